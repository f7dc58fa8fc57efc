#include "api/arm/ids.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace berth::arm {
namespace {

TEST(ResourceIds, TakeChildrenApart) {
  const auto id = ResourceId::parse(
      "/subscriptions/S/resourcegroups/G/providers/Microsoft.Compute//virtualMachines/web1/extensions/"
      "Docker");

  ASSERT_TRUE(id);
  EXPECT_EQ(id->type(), "Microsoft.Compute/virtualMachines/extensions");
  EXPECT_EQ(id->full_name(), "web1/Docker");
  EXPECT_EQ(id->ref(), (Ref{"G", "web1"}));
  EXPECT_EQ(
      id->text(),
      "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/web1/extensions/Docker");
}

TEST(ResourceIds, AreRefusedWhenSomethingIsMissing) {
  for (const char* text : {"", "web1", "/subscriptions/S", "/subscriptions/S/resourceGroups/G",
                           "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute",
                           "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines"})
    EXPECT_FALSE(ResourceId::parse(text)) << text;
}

TEST(ResourceIds, SayWhichPlaceNamesTheWrongType) {
  try {
    parse_reference("/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/V",
                    "Microsoft.Network/publicIPAddresses", "s", "properties.publicIPAddress.id");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "InvalidResourceReference");
    EXPECT_THAT(error.what(), testing::HasSubstr("properties.publicIPAddress.id"));
  }
}

TEST(ResourceIds, OfAnotherSubscriptionAreRefused) {
  EXPECT_THROW(
      parse_reference("/subscriptions/OTHER/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/V",
                      "Microsoft.Network/virtualNetworks", "S", "id"),
      Error);
}

TEST(ResourceNames, AreChecked) {
  EXPECT_NO_THROW(check_group_name("my-group_(1)"));
  EXPECT_THROW(check_group_name("group."), Error);
  EXPECT_THROW(check_group_name(std::string(91, 'g')), Error);
  EXPECT_THROW(check_resource_name("a b", "T"), Error);
  EXPECT_THROW(check_resource_name("", "T"), Error);
}

TEST(ResourceIds, OfWhatIsAboutAnotherResourceHaveItAsTheirScope) {
  const std::string vm = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/v";
  const auto lock = ResourceId::parse(vm + "/providers/Microsoft.Authorization/locks/l");

  ASSERT_TRUE(lock);
  EXPECT_EQ(lock->type(), "Microsoft.Authorization/locks");
  EXPECT_EQ(lock->full_name(), "l");
  EXPECT_EQ(lock->group, "G");
  EXPECT_EQ(lock->about(), vm);
  EXPECT_EQ(lock->text(), vm + "/providers/Microsoft.Authorization/locks/l");
  EXPECT_EQ(ResourceId::parse("/subscriptions/S/resourceGroups/G/providers/Microsoft.Authorization/locks/l")
                ->about(),
            "/subscriptions/S/resourceGroups/G");
  EXPECT_FALSE(ResourceId::parse(vm + "/providers/Microsoft.Authorization"));
}

}  // namespace
}  // namespace berth::arm
