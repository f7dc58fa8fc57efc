#include "api/arm/secrets.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace berth::arm {
namespace {

using nlohmann::json;

Secrets secrets_of(const json& value) {
  Secrets made;
  made.add(value);
  return made;
}

TEST(Secrets, LeaveNoPartOfOneThatBeginsLikeAnother) {
  const Secrets secrets = secrets_of({"Passw0rd", "Passw0rd-1234", "1234-tail"});

  EXPECT_EQ(secrets.redact("with Passw0rd-1234."), "with [secret].");
  EXPECT_EQ(secrets.redact("Passw0rd-1234-tail!"), "[secret]!");
  EXPECT_EQ(secrets.redact("Passw0rd Passw0rd"), "[secret] [secret]");
}

TEST(Secrets, AreFoundInJsonNotation) {
  EXPECT_EQ(secrets_of("a\"b\\c").redact(R"({"x":"a\"b\\c"})"), R"({"x":"[secret]"})");
}

TEST(Secrets, OfAnyTextLeaveAValueWhole) {
  const Secrets secrets =
      secrets_of({{"pin", "1234"}, {"flag", "true"}, {"number", 98765}, {"word", "secret"}});

  EXPECT_EQ(
      secrets.redact_value(
          json::parse(R"({"a":true,"b":[1234,12345,98765],"c":"pin 1234","secret":"is true"})")),
      json::parse(
          R"({"a":true,"b":["[secret]",12345,"[secret]"],"c":"pin [secret]","[secret]":"is [secret]"})"));
}

TEST(Secrets, OfAnyLengthAreReplacedWhole) {
  for (const std::size_t size : {127u, 128u, 129u, 255u, 256u, 257u, 1000u}) {
    std::string secret;
    for (std::size_t i = 0; i < size; ++i) secret += static_cast<char>('a' + (i * i + i / 26) % 26);
    EXPECT_EQ(secrets_of(secret).redact("<" + secret + ">"), "<[secret]>") << size;
  }
}

TEST(Secrets, ThatAreTooShortAreLeft) {
  EXPECT_EQ(secrets_of("abc").redact("abc"), "abc");
}

}  // namespace
}  // namespace berth::arm
