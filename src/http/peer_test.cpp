#include "http/peer.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>

namespace berth {
namespace {

/// A connection over loopback; `client` is in a child of its own with the uid that it got.
class Loopback {
 public:
  explicit Loopback(int family, uid_t uid = ::geteuid()) {
    sockaddr_storage address{};
    socklen_t size = 0;
    if (family == AF_INET) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(address);
      v4.sin_family = AF_INET;
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      size = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
      v6.sin6_family = AF_INET6;
      v6.sin6_addr = in6addr_loopback;
      size = sizeof v6;
    }
    listener_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    usable =
        ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0 && ::listen(listener_, 1) == 0;
    if (!usable) return;  // this machine has no such address
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    EXPECT_EQ(::pipe(end_), 0);
    child_ = ::fork();
    if (child_ == 0) {
      if (uid != ::geteuid() && ::setuid(uid) != 0) ::_exit(1);
      const int client = ::socket(family, SOCK_STREAM, 0);
      if (::connect(client, reinterpret_cast<sockaddr*>(&address), size) != 0) ::_exit(1);
      ::close(end_[1]);
      char byte;
      ::_exit(::read(end_[0], &byte, 1) == 0 ? 0 : 1);
    }
    accepted = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  }
  ~Loopback() {
    leave();
    ::close(accepted);
    ::close(listener_);
  }
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  /// The client ends, and its socket with it.
  void leave() {
    if (child_ <= 0) return;
    ::close(end_[0]);
    ::close(end_[1]);
    ::waitpid(std::exchange(child_, -1), nullptr, 0);
  }

  int accepted = -1;
  bool usable = false;

 private:
  int listener_ = -1, end_[2] = {-1, -1};
  pid_t child_ = -1;
};

}  // namespace

TEST(PeerAccount, IsThatOfTheProcessAtTheOtherEnd) {
  EXPECT_EQ(peer_account(Loopback(AF_INET).accepted), ::geteuid());
  const Loopback v6(AF_INET6);
  if (v6.usable) {
    EXPECT_EQ(peer_account(v6.accepted), ::geteuid());
  }
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
  EXPECT_EQ(peer_account(pair[0]), ::geteuid());
  ::close(pair[0]);
  ::close(pair[1]);
}

TEST(PeerAccount, OfAnotherUserIsTheirs) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can connect as somebody else";
  const Loopback other(AF_INET, 65534);
  EXPECT_EQ(peer_account(other.accepted), 65534);
  EXPECT_FALSE(is_own_account(65534));
}

TEST(PeerAccount, OfAClientThatHasGoneIsNobodys) {
  Loopback connection(AF_INET);
  connection.leave();
  EXPECT_EQ(peer_account(connection.accepted), -1);
  EXPECT_FALSE(is_own_account(-1));
}

TEST(PeerAccount, OwnIsRootAndWhoWeRunAs) {
  EXPECT_TRUE(is_own_account(0));
  EXPECT_TRUE(is_own_account(::geteuid()));
}

}  // namespace berth
