#include "network/egress_filter.h"

#include <gtest/gtest.h>

namespace berth::network {
namespace {

using namespace std::chrono_literals;

const EgressFilter::Time some_time{1000h};
const Ipv4 somewhere = ipv4(151, 101, 2, 132);

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
       {Egress{Egress::Policy::full, {}}, Egress{Egress::Policy::hosts, {"0.0.0.0/0"}}})
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
