#include "network/host_networks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace berth::network {
namespace {

using testing::Contains;

TEST(HostNetworks, HasTheLoopbackOfThisHost) {
  const HostNetworksWatch watch;
  EXPECT_THAT(watch.now().addresses, Contains(ipv4(127, 0, 0, 1)));
  EXPECT_THAT(watch.now().networks, Contains(Cidr{ipv4(127, 0, 0, 0), 8}));
}

/// Gives the loopback interface of this network namespace another address (netdevice(7)).
bool give_address(Ipv4 address) {
  const Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq wanted{};
  std::strcpy(wanted.ifr_name, "lo:1");
  auto* in = reinterpret_cast<sockaddr_in*>(&wanted.ifr_addr);
  in->sin_family = AF_INET;
  in->sin_addr.s_addr = htonl(address.bits);
  return ::ioctl(socket.get(), SIOCSIFADDR, &wanted) == 0;
}

/// In a process with a network namespace of its own: an ordinary user has one by way of a user namespace.
int follow_a_new_address() {
  if (::unshare(::geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWNET | CLONE_NEWUSER) != 0) return 11;
  HostNetworksWatch watch;
  if (!watch.now().addresses.empty()) return 12;
  if (!give_address(ipv4(198, 51, 100, 7))) return 10;  // of a network of 24 bits, since it begins with 198
  PollSet set;
  set.clear(10'000);
  watch.fill(set);
  set.wait();
  if (!watch.poll(set)) return 13;
  if (watch.now().addresses != std::vector{ipv4(198, 51, 100, 7)}) return 14;
  const auto& networks = watch.now().networks;
  if (std::ranges::find(networks, Cidr{ipv4(198, 51, 100, 0), 24}) == networks.end()) return 15;
  set.clear(0);
  watch.fill(set);
  set.wait();
  return watch.poll(set) ? 16 : 0;
}

TEST(HostNetworks, FollowsAnAddressThatComes) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(follow_a_new_address());
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << "11: no network namespace could be made";
}

}  // namespace
}  // namespace berth::network
