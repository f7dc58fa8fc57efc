#include "store/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "store/members.h"

namespace berth {
namespace {

/// Gives every member, and every member of a member, a value that it does not have by itself.
class Filler {
 public:
  template <class T>
  void fill(T& value) {
    ++number_;
    if constexpr (HasMembers<T>) {
      for_each_member([this](const char*, auto& field) { this->fill(field); }, value);
    } else if constexpr (std::is_same_v<T, bool>) {
      value = !value;
    } else if constexpr (std::is_enum_v<T>) {
      value = value == last_of<T> ? T() : last_of<T>;
    } else if constexpr (std::is_integral_v<T>) {
      value = static_cast<T>(value + static_cast<T>(number_));
    } else if constexpr (std::is_same_v<T, std::string>) {
      value += " \"é\n" + std::to_string(number_);
    } else {
      value = T{{"key " + std::to_string(number_), "value"}};
    }
  }
  template <class T>
  void fill(std::vector<T>& list) {
    if (depth_ == 3) return;  // a problem has problems
    ++depth_;
    list.resize(3);
    for (T& item : list) fill(item);
    --depth_;
  }
  template <class T>
  void fill(std::optional<T>& value) {
    fill(value.emplace());
  }

 private:
  int number_ = 0, depth_ = 0;
};

/// Calls told(path) for every member, and every member of a member, that is the same in both; or is not.
class Comparison {
 public:
  explicit Comparison(bool wanted) : wanted_(wanted) {}
  std::vector<std::string> found;

  template <class T>
  void compare(const std::string& path, const T& a, const T& b) {
    if constexpr (HasMembers<T>)
      for_each_member(
          [&](const char* name, const auto& x, const auto& y) { this->compare(path + "." + name, x, y); }, a,
          b);
    else if ((a == b) == wanted_)
      found.push_back(path);
  }
  template <class T>
  void compare(const std::string& path, const std::vector<T>& a, const std::vector<T>& b) {
    if (a.size() == b.size()) {
      if (a.empty() && wanted_ && !path.ends_with("details.details.details")) found.push_back(path);
      for (std::size_t i = 0; i < a.size(); ++i) compare(path + "[" + std::to_string(i) + "]", a[i], b[i]);
    } else if (!wanted_) {
      found.push_back(path + ": " + std::to_string(a.size()) + " and " + std::to_string(b.size()));
    }
  }
  template <class T>
  void compare(const std::string& path, const std::optional<T>& a, const std::optional<T>& b) {
    if (a && b)
      compare(path, *a, *b);
    else if ((a.has_value() == b.has_value()) == wanted_)
      found.push_back(path);
  }

 private:
  bool wanted_;
};

/// Leaves no list, text or optional with anything in it.
template <class T>
void empty(T& value) {
  if constexpr (HasMembers<T>)
    for_each_member([](const char*, auto& field) { empty(field); }, value);
  else
    value = T();
}

template <class T>
std::vector<std::string> lost_in_the_store(const T& value) {
  Comparison difference(false);
  difference.compare("", value, from_document<T>(to_document(value)));
  return difference.found;
}

template <class T>
class Documents : public testing::Test {};
using Kept = testing::Types<ResourceGroup, VirtualNetwork, PublicAddress, SecurityGroup, NetworkInterface,
                            LoadBalancer, Disk, Vm, InertResource, Operation>;
TYPED_TEST_SUITE(Documents, Kept);

TYPED_TEST(Documents, GiveBackEveryMember) {
  const TypeParam usual;
  TypeParam value;
  Filler().fill(value);
  Comparison untouched(true);
  untouched.compare("", value, usual);
  ASSERT_THAT(untouched.found, testing::IsEmpty()) << "the test does not try these";

  EXPECT_THAT(lost_in_the_store(value), testing::IsEmpty());
}

TYPED_TEST(Documents, GiveBackWhatIsEmptyAsEmpty) {
  TypeParam value;
  empty(value);
  EXPECT_THAT(lost_in_the_store(value), testing::IsEmpty());
}

TYPED_TEST(Documents, GiveBackWhatIsAsItBegan) {
  EXPECT_THAT(lost_in_the_store(TypeParam()), testing::IsEmpty());
}

// Each has more than its default has, and less.
TEST(DocumentsOfRules, AddNothingToTheirLists) {
  SecurityGroup group;
  group.rules.resize(2);
  group.rules[0].source_prefixes = {"10.1.2.0/24"};
  group.rules[0].destination_ports = {"22", "80"};
  group.rules[1].source_ports = {};

  const SecurityGroup read = from_document<SecurityGroup>(to_document(group));

  EXPECT_THAT(read.rules.at(0).source_prefixes, testing::ElementsAre("10.1.2.0/24"));
  EXPECT_THAT(read.rules.at(0).destination_ports, testing::ElementsAre("22", "80"));
  EXPECT_THAT(read.rules.at(0).source_ports, testing::ElementsAre("*"));
  EXPECT_THAT(read.rules.at(1).source_ports, testing::IsEmpty());
}

TEST(DocumentsOfVms, ReadAnOlderOneWithItsFieldsMissing) {
  EXPECT_EQ(from_document<Vm>(R"({"name":"web1","future":1})").incarnation, 1u);
}

TEST(DocumentsOfVms, SayWhenTheyAreDamaged) {
  for (const char* text :
       {"{", "", "[]", "7", "null", R"({"power":17})", R"({"power":-1})", R"({"power":"running"})",
        R"({"power":1.5})", R"({"name":7})", R"({"data_disks":{}})", R"({"data_disks":"x"})",
        R"({"data_disks":[{"lun":99999999999}]})", R"({"data_disks":[{"size_gib":-1}]})",
        R"({"incarnation":true})", R"({"agent":[]})", R"({"tags":["a"]})", R"({"os_disk":{"name":[]}})"})
    EXPECT_THROW(from_document<Vm>(text), Error) << text;
}

}  // namespace
}  // namespace berth
