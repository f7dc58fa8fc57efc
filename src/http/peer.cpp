#include "http/peer.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstring>

namespace berth {
namespace {

/// One socket for all questions of a thread.
class Kernel {
 public:
  Kernel() : fd_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)) {
    const timeval limit{.tv_sec = 1, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  ~Kernel() {
    if (fd_ >= 0) ::close(fd_);
  }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  /// Source: sock_diag(7).
  std::int64_t account_of(const inet_diag_sockid& socket, int family) {
    struct {
      nlmsghdr header;
      inet_diag_req_v2 request;
    } question{};
    question.header.nlmsg_len = sizeof question;
    question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question.header.nlmsg_flags = NLM_F_REQUEST;
    question.header.nlmsg_seq = ++number_;
    question.request.sdiag_family = static_cast<std::uint8_t>(family);
    question.request.sdiag_protocol = IPPROTO_TCP;
    question.request.idiag_states = ~0U;
    question.request.id = socket;
    if (::send(fd_, &question, sizeof question, 0) != static_cast<ssize_t>(sizeof question)) return -1;
    alignas(nlmsghdr) char buffer[8192];
    while (true) {
      const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
      if (count < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(inet_diag_msg)))) return -1;
      nlmsghdr header{};
      std::memcpy(&header, buffer, sizeof header);
      if (header.nlmsg_seq != number_) continue;  // a late answer to an earlier question
      if (header.nlmsg_type != SOCK_DIAG_BY_FAMILY) return -1;
      inet_diag_msg answer{};
      std::memcpy(&answer, buffer + NLMSG_HDRLEN, sizeof answer);
      // A socket that its process has closed has no inode any more, and says uid 0.
      return answer.idiag_inode == 0 ? -1 : static_cast<std::int64_t>(answer.idiag_uid);
    }
  }

 private:
  int fd_;
  std::uint32_t number_ = 0;
};

/// Puts an address into one half of the question; false for one that is not of TCP.
bool put(const sockaddr_storage& address, __be16& port, __be32 (&octets)[4]) {
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    port = v4.sin_port;
    octets[0] = v4.sin_addr.s_addr;
    return true;
  }
  if (address.ss_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address, sizeof v6);
  port = v6.sin6_port;
  std::memcpy(octets, &v6.sin6_addr, sizeof octets);
  return true;
}

}  // namespace

std::int64_t peer_account(int fd) {
  sockaddr_storage ours{}, theirs{};
  socklen_t our_size = sizeof ours, their_size = sizeof theirs;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&ours), &our_size) != 0) return -1;
  if (ours.ss_family == AF_UNIX) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    const bool told = ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
    return told ? static_cast<std::int64_t>(credentials.uid) : -1;
  }
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&theirs), &their_size) != 0) return -1;
  inet_diag_sockid socket{};  // as the client sees it: its own end is the source
  if (!put(theirs, socket.idiag_sport, socket.idiag_src) || !put(ours, socket.idiag_dport, socket.idiag_dst))
    return -1;
  socket.idiag_cookie[0] = socket.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  thread_local Kernel kernel;
  return kernel.account_of(socket, ours.ss_family);
}

bool is_own_account(std::int64_t account) {
  return account == 0 || account == static_cast<std::int64_t>(::geteuid());
}

}  // namespace berth
