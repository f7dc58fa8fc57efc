#include "network/dns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::network {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint16_t a = 1, ptr = 12, aaaa = 28;

void put_name(Bytes& bytes, std::string_view name) {
  while (!name.empty()) {
    const auto dot = std::min(name.find('.'), name.size());
    bytes.push_back(static_cast<std::uint8_t>(dot));
    bytes.insert(bytes.end(), name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dot));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  bytes.push_back(0);
}

void put16(Bytes& bytes, unsigned value) {
  bytes.resize(bytes.size() + 2);
  store16(bytes.data() + bytes.size() - 2, value);
}

Bytes question(std::string_view name, std::uint16_t type, bool extended = false) {
  Bytes bytes = {0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(extended)};
  put_name(bytes, name);
  put16(bytes, type);
  put16(bytes, 1);
  if (extended) {
    const Bytes option = {0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0};
    bytes.insert(bytes.end(), option.begin(), option.end());
  }
  return bytes;
}

HostNames two_machines() {
  HostNames names(*parse_cidr("10.0.0.0/24"));
  names.add("web1", ipv4(10, 0, 0, 4));
  names.add("DB", ipv4(10, 0, 0, 5));
  return names;
}

unsigned code(const std::optional<Bytes>& reply) {
  return reply ? reply->at(3) & 15u : 99;
}
unsigned answers(const std::optional<Bytes>& reply) {
  return reply ? load16(reply->data() + 6) : 99;
}

TEST(HostNames, AnswerTheShortAndTheInternalNameToTheByte) {
  const auto reply = two_machines().answer(question("web1.internal", a));
  Bytes expected = {0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0};
  put_name(expected, "web1.internal");
  const Bytes rest = {0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 10, 0, 0, 4};
  expected.insert(expected.end(), rest.begin(), rest.end());
  EXPECT_EQ(reply, expected);

  const auto bare = read_dns_answer(*two_machines().answer(question("web1", a)));
  ASSERT_TRUE(bare);
  EXPECT_THAT(bare->addresses, ElementsAre(ipv4(10, 0, 0, 4)));
}

TEST(HostNames, IgnoreCaseAndKeepTheQuestionAsItCame) {
  const auto reply = two_machines().answer(question("dB.InTeRnAl", a));
  ASSERT_EQ(answers(reply), 1u);
  EXPECT_EQ((*reply)[13], 'd');
  EXPECT_EQ((*reply)[14], 'B');
}

TEST(HostNames, HaveNoIpv6AddressButExist) {
  const auto reply = two_machines().answer(question("web1", aaaa));
  EXPECT_EQ(code(reply), 0u);
  EXPECT_EQ(answers(reply), 0u);
}

TEST(HostNames, AnswerReverseQuestionsOfTheirBlockAndNoOthers) {
  const auto reply = two_machines().answer(question("5.0.0.10.in-addr.arpa", ptr));
  ASSERT_EQ(answers(reply), 1u);
  const Bytes name = {2, 'd', 'b', 8, 'i', 'n', 't', 'e', 'r', 'n', 'a', 'l', 0};
  EXPECT_TRUE(std::equal(name.rbegin(), name.rend(), reply->rbegin()));
  EXPECT_EQ(code(two_machines().answer(question("9.0.0.10.in-addr.arpa", ptr))), 3u)
      << "a private address is nobody else's business";
  EXPECT_FALSE(two_machines().answer(question("8.8.8.8.in-addr.arpa", ptr)));
}

TEST(HostNames, LeaveOtherNamesToTheNameServer) {
  EXPECT_FALSE(two_machines().answer(question("pkg.mirror.lan", a)));
  EXPECT_FALSE(two_machines().answer(question("web1.example.com", a)));
  EXPECT_FALSE(two_machines().answer(question("web2", a)));
}

TEST(HostNames, AnswerExtendedQuestionsWithTheOption) {
  const auto reply = two_machines().answer(question("web1", a, true));
  ASSERT_TRUE(reply);
  EXPECT_EQ(load16(reply->data() + 10), 1);
  const Bytes option = {0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0};
  EXPECT_TRUE(std::equal(option.rbegin(), option.rend(), reply->rbegin()));
}

TEST(HostNames, TheFirstMachineKeepsAName) {
  HostNames names = two_machines();
  names.add("web1", ipv4(10, 0, 0, 9));
  EXPECT_THAT(read_dns_answer(*names.answer(question("web1", a)))->addresses, ElementsAre(ipv4(10, 0, 0, 4)));
}

TEST(HostNames, DoNotTakeNamesThatDnsCannotCarry) {
  HostNames names(*parse_cidr("10.0.0.0/24"));
  for (const std::string& name :
       {std::string(), std::string("a..b"), std::string(64, 'x'), std::string(300, 'x')})
    names.add(name, ipv4(10, 0, 0, 4));
  EXPECT_EQ(code(names.answer(question("4.0.0.10.in-addr.arpa", ptr))), 3u);
}

TEST(Dns, RefusesAnyQuestion) {
  const auto reply = refuse_dns(question("pkg.mirror.lan", a));
  EXPECT_EQ(code(reply), 5u);
  EXPECT_EQ(answers(reply), 0u);
  EXPECT_FALSE(refuse_dns(Bytes{1, 2, 3}));
}

TEST(Dns, MalformedQuestionsGetNoAnswer) {
  const Bytes whole = question("web1", a);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(two_machines().answer(std::span(whole).first(size))) << size;
  Bytes loop = whole;
  loop[12] = 0xc0;
  loop[13] = 12;
  EXPECT_FALSE(two_machines().answer(loop)) << "a name that points to itself";
  Bytes response = whole;
  response[2] |= 0x80;
  EXPECT_FALSE(two_machines().answer(response))
      << "an answer is no question: two switches would play ping-pong";
}

Bytes answer_with_alias() {
  Bytes bytes = {0x12, 0x34, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0};
  put_name(bytes, "pkg.mirror.lan");
  const Bytes rest = {0,    1,  0, 1,                                                         //
                      0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 6, 3,   'c', 'd', 'n', 0xc0, 16,  // alias
                      0xc0, 44, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 151, 101, 2,   132};
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  return bytes;
}

TEST(DnsAnswer, GivesTheAddressesBehindAliases) {
  const auto answer = read_dns_answer(answer_with_alias());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->name, "pkg.mirror.lan");
  EXPECT_THAT(answer->addresses, ElementsAre(ipv4(151, 101, 2, 132)));
}

TEST(DnsAnswer, IsNothingWhenCutOffOrAnError) {
  const Bytes whole = answer_with_alias();
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read_dns_answer(std::span(whole).first(size))) << size;
  Bytes failed = whole;
  failed[3] = 0x83;
  EXPECT_FALSE(read_dns_answer(failed));
  EXPECT_FALSE(read_dns_answer(question("pkg.mirror.lan", a)));
}

}  // namespace
}  // namespace berth::network
