#include "network/host_resolver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace berth::network {
namespace {

using namespace std::chrono_literals;

std::vector<HostResolver::Found> wait(HostResolver& resolver, std::chrono::milliseconds limit) {
  PollSet set;
  for (const auto end = std::chrono::steady_clock::now() + limit; std::chrono::steady_clock::now() < end;) {
    set.clear(50);
    resolver.fill(set);
    set.wait();
    if (auto found = resolver.take(); !found.empty()) return found;
  }
  return {};
}

TEST(HostResolver, FindsWhatANameLeadsToWithoutHoldingUpTheCaller) {
  HostResolver resolver;
  resolver.set_names({"localhost"});
  const auto found = wait(resolver, 20s);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, "localhost");
  EXPECT_THAT(found[0].addresses, testing::Contains(ipv4(127, 0, 0, 1)));
}

TEST(HostResolver, StaysSilentWithoutNames) {
  HostResolver resolver;
  resolver.set_names({});
  EXPECT_TRUE(wait(resolver, 60ms).empty());
}

TEST(HostResolver, MayGoWhileItWorks) {
  for (int i = 0; i < 20; ++i) {
    HostResolver resolver;
    resolver.set_names({"localhost"});
  }
}

}  // namespace
}  // namespace berth::network
