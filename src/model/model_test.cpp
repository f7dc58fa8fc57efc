#include <gtest/gtest.h>

#include "model/catalog.h"
#include "model/resources.h"

namespace berth {

TEST(Names, CompareWithoutCase) {
  EXPECT_TRUE(same_name("WestUS", "westus"));
  EXPECT_FALSE(same_name("westus", "westus2"));
  EXPECT_EQ((Ref{"G", "Web1"}), (Ref{"g", "WEB1"}));
}

TEST(Names, KnowADnsLabel) {
  for (const char* good : {"a", "web1", "My-Host", "x1-2"}) EXPECT_TRUE(is_dns_label(good)) << good;
  for (const std::string& bad : {std::string(), std::string("1a"), std::string("a-"), std::string("a.b"),
                                 std::string("a_b"), std::string(64, 'a'), std::string("ü")})
    EXPECT_FALSE(is_dns_label(bad)) << bad;
}

TEST(PowerStates, FollowFromEveryStateAndEvent) {
  using enum PowerState;
  using enum PowerEvent;
  constexpr PowerState states[] = {starting, running, stopping, stopped, deallocating, deallocated};
  struct Row {
    PowerEvent event;
    PowerState from_each[6];  ///< in the order of `states`
  };
  constexpr PowerState off = stopped;
  const Row rows[] = {
      {switch_on, {starting, starting, starting, starting, starting, starting}},
      {started, {running, running, running, running, running, running}},
      {not_started, {off, off, off, off, off, off}},
      {switch_off, {stopping, stopping, stopping, stopping, stopping, stopping}},
      {deallocate, {deallocating, deallocating, deallocating, deallocating, deallocating, deallocating}},
      {switched_off, {off, off, off, off, deallocated, deallocated}},
      {died, {off, off, stopping, off, deallocating, deallocated}},
      {released, {deallocated, deallocated, deallocated, deallocated, deallocated, deallocated}},
      {found_running, {running, running, running, running, running, running}},
      {found_off, {off, off, off, off, deallocated, deallocated}},
  };
  for (const Row& row : rows)
    for (int i = 0; i < 6; ++i)
      EXPECT_EQ(next(states[i], row.event), row.from_each[i])
          << to_string(states[i]) << ", event " << static_cast<int>(row.event);
}

TEST(Catalog, FindsALocationByEitherName) {
  ASSERT_NE(find_location("West US"), nullptr);
  EXPECT_EQ(find_location("West US"), find_location("westus"));
  EXPECT_EQ(find_location("France Central")->name, "francecentral");
  EXPECT_EQ(find_location("Atlantis"), nullptr);
}

TEST(Catalog, FindsASizeByItsClassicName) {
  ASSERT_NE(find_vm_size("small"), nullptr);
  EXPECT_EQ(find_vm_size("small")->name, "Standard_A1");
  EXPECT_EQ(find_vm_size("Standard_A9")->memory_mib, 114688u);
  EXPECT_NE(find_vm_size(default_vm_size), nullptr);
  EXPECT_EQ(find_vm_size("Huge"), nullptr);
  for (const char* name :
       {"Standard_A4m_v2", "Standard_B2ts_v2", "Standard_DS3_v2", "Standard_D8ds_v4", "Standard_D16as_v5",
        "Standard_D2ads_v5", "Standard_D64s_v3", "Standard_D4lds_v6", "Standard_F4s_v2", "Basic_A1"})
    EXPECT_NE(find_vm_size(name), nullptr) << name;
  EXPECT_EQ(find_vm_size("standard_d8s_v3")->cpus, 8u);
  EXPECT_EQ(find_vm_size("standard_d8s_v3")->memory_mib, 32u * 1024);
}

TEST(Passwords, FollowTheArticlesRule) {
  EXPECT_FALSE(password_problem("Str0ng!pass"));
  EXPECT_FALSE(password_problem("aA1=aA1="));
  for (const char* weak :
       {"", "Str0ng!", "str0ng!pass", "STR0NG!PASS", "Strong!pass", "Str0ngpass", "Str0ng.pass"})
    EXPECT_TRUE(password_problem(weak)) << weak;
}

TEST(UserNames, RefuseDockerAndSystemAccounts) {
  EXPECT_FALSE(user_name_problem("ops"));
  EXPECT_FALSE(user_name_problem("azureUser"));
  for (const char* bad : {"docker", "Docker", "root", "www-data", "admin", "", "Admin", "1abc", "a b", "a:b"})
    EXPECT_TRUE(user_name_problem(bad)) << bad;
}

TEST(HostNames, MayHaveADomainBehindThem) {
  for (const char* good : {"web1", "9lives", "web1.example.net"})
    EXPECT_FALSE(host_name_problem(good)) << good;
  for (const char* bad : {"", "-a", "a-", "a..b", ".a", "a.", "10.0.0.1", "42", "a_b", "a.-b"})
    EXPECT_TRUE(host_name_problem(bad)) << bad;
}

}  // namespace berth
