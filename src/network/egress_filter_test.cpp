#include "network/egress_filter.h"

#include <gtest/gtest.h>

namespace berth::network {
namespace {

using namespace std::chrono_literals;

const EgressFilter::Time some_time{1000h};
const Ipv4 somewhere = ipv4(151, 101, 2, 132);

/// A host in a LAN of public addresses, with a bridge for containers.
HostNetworks some_host() {
  return {.addresses = {ipv4(203, 0, 113, 5), ipv4(172, 17, 0, 1)},
          .networks = {*parse_cidr("203.0.113.0/28"), *parse_cidr("172.17.0.0/16")}};
}

TEST(EgressFilter, InternetLetsOutToPublicAddressesOnly) {
  EgressFilter filter({Egress::Policy::internet, {}});
  filter.set_host(some_host());
  EXPECT_TRUE(filter.allows(somewhere, some_time));
  EXPECT_TRUE(filter.allows(ipv4(203, 0, 113, 99), some_time)) << "beside the LAN";
  EXPECT_TRUE(filter.allows_names());
  for (const Ipv4 closed : {ipv4(203, 0, 113, 5), ipv4(203, 0, 113, 6), ipv4(172, 17, 0, 1),
                            ipv4(172, 17, 0, 2), ipv4(10, 1, 2, 3), ipv4(172, 31, 0, 1), ipv4(192, 168, 1, 1),
                            ipv4(100, 64, 0, 1), ipv4(198, 18, 0, 1)})
    EXPECT_FALSE(filter.allows(closed, some_time)) << to_string(closed);
}

TEST(EgressFilter, InternetFollowsTheAddressesOfTheHost) {
  EgressFilter filter({Egress::Policy::internet, {}});
  EXPECT_TRUE(filter.allows(ipv4(203, 0, 113, 5), some_time));
  filter.set_host(some_host());
  EXPECT_FALSE(filter.allows(ipv4(203, 0, 113, 5), some_time));
  filter.set_host({});
  EXPECT_TRUE(filter.allows(ipv4(203, 0, 113, 5), some_time));
}

TEST(EgressFilter, InternetReachesListedHostsOfPrivateNetworksButNeverThisHost) {
  EgressFilter filter({Egress::Policy::internet, {"mirror.lan", "172.17.0.0/16"}});
  filter.set_host(some_host());
  filter.learn("mirror.lan", std::vector{ipv4(192, 168, 1, 9), ipv4(203, 0, 113, 5)}, some_time);
  EXPECT_TRUE(filter.allows(ipv4(192, 168, 1, 9), some_time));
  EXPECT_TRUE(filter.allows(ipv4(172, 17, 0, 2), some_time));
  EXPECT_FALSE(filter.allows(ipv4(192, 168, 1, 8), some_time));
  EXPECT_FALSE(filter.allows(ipv4(203, 0, 113, 5), some_time));
  EXPECT_FALSE(filter.allows(ipv4(172, 17, 0, 1), some_time));
}

TEST(EgressFilter, FullLetsOutToTheWorldAndToPrivateNetworks) {
  const EgressFilter filter({Egress::Policy::full, {}});
  EXPECT_TRUE(filter.allows(somewhere, some_time));
  EXPECT_TRUE(filter.allows(ipv4(192, 168, 1, 1), some_time));
  EXPECT_TRUE(filter.allows_names());
}

TEST(EgressFilter, NoPolicyReachesLoopbackLinkLocalOrTheWireServer) {
  const Ipv4 never[] = {ipv4(127, 0, 0, 1),   ipv4(127, 9, 9, 9), ipv4(0, 0, 0, 0),
                        ipv4(169, 254, 1, 1), metadata_address,   wire_server_address,
                        ipv4(224, 0, 0, 1),   everybody,          ipv4(240, 0, 0, 1)};
  for (const Egress& egress :
       {Egress{Egress::Policy::full, {}}, Egress{Egress::Policy::internet, {"0.0.0.0/0"}},
        Egress{Egress::Policy::hosts, {"0.0.0.0/0"}}})
    for (const Ipv4 address : never)
      EXPECT_FALSE(EgressFilter(egress).allows(address, some_time)) << to_string(address);
}

TEST(EgressFilter, NoneLetsNothingOutAndAsksNoNames) {
  const EgressFilter filter({Egress::Policy::none, {}});
  EXPECT_FALSE(filter.allows(somewhere, some_time));
  EXPECT_FALSE(filter.allows_names());
}

TEST(EgressFilter, HostsLetsOutToListedAddressesAndBlocks) {
  const EgressFilter filter({Egress::Policy::hosts, {"192.0.2.7", "198.51.100.0/24"}});
  EXPECT_TRUE(filter.allows(ipv4(192, 0, 2, 7), some_time));
  EXPECT_FALSE(filter.allows(ipv4(192, 0, 2, 8), some_time));
  EXPECT_TRUE(filter.allows(ipv4(198, 51, 100, 200), some_time));
  EXPECT_TRUE(filter.allows_names());
}

TEST(EgressFilter, HostsLetsOutToWhatListedNamesLeadTo) {
  EgressFilter filter({Egress::Policy::hosts, {"Pkg.Mirror.lan."}});
  EXPECT_FALSE(filter.allows(somewhere, some_time));
  filter.learn("pkg.mirror.lan", std::vector{somewhere}, some_time);
  EXPECT_TRUE(filter.allows(somewhere, some_time));
  filter.learn("evil.example", std::vector{ipv4(6, 6, 6, 6)}, some_time);
  EXPECT_FALSE(filter.allows(ipv4(6, 6, 6, 6), some_time));
}

TEST(EgressFilter, ForgetsAnAddressAnHourAfterItWasLastTold) {
  EgressFilter filter({Egress::Policy::hosts, {"pkg.mirror.lan"}});
  filter.learn("pkg.mirror.lan", std::vector{somewhere}, some_time);
  EXPECT_TRUE(filter.allows(somewhere, some_time + 59min));
  filter.learn("pkg.mirror.lan", std::vector{somewhere}, some_time + 59min);
  EXPECT_TRUE(filter.allows(somewhere, some_time + 118min));
  EXPECT_FALSE(filter.allows(somewhere, some_time + 120min));
}

}  // namespace
}  // namespace berth::network
