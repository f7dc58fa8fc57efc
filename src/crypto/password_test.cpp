#include "crypto/password.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/test_support.h"

namespace berth {
namespace {

TEST(Password, IsHashedInTheFormOfShadowFiles) {
  const std::string hash = hash_password(Secret("Str0ng!pass"));
  EXPECT_THAT(hash, testing::MatchesRegex("\\$6\\$[./0-9A-Za-z]+\\$[./0-9A-Za-z]+"));
  EXPECT_EQ(hash.size(), 3u + 16u + 1u + 86u);
}

TEST(Password, HasAnotherSaltEachTime) {
  EXPECT_NE(hash_password(Secret("Str0ng!pass")), hash_password(Secret("Str0ng!pass")));
}

TEST(Password, IsHashedAsOpensslDoes) {
  const std::string hash = hash_password(Secret("Str0ng!pass"));
  const OpensslProgram openssl;
  EXPECT_EQ(openssl.run("passwd -6 -salt '" + hash.substr(3, 16) + "' 'Str0ng!pass'").text, hash + "\n");
}

TEST(Password, MatchesItsOwnHashAlone) {
  const std::string hash = hash_password(Secret("Str0ng!pass"));
  EXPECT_TRUE(password_matches(Secret("Str0ng!pass"), hash));
  EXPECT_FALSE(password_matches(Secret("Str0ng!pasS"), hash));
  EXPECT_FALSE(password_matches(Secret(""), hash));
  EXPECT_FALSE(password_matches(Secret("Str0ng!pass"), hash.substr(0, hash.size() - 1)));
}

TEST(Password, MatchesNothingThatIsNoHash) {
  for (const char* hash : {"", "*", "!", "*0", "x", "$6$", "Str0ng!pass", "$9$salt$hash"})
    EXPECT_FALSE(password_matches(Secret("Str0ng!pass"), hash)) << hash;
}

TEST(Password, WithAZeroByteOrFarTooLongIsRefusedNotCut) {
  EXPECT_EQ(thrown_by([] { hash_password(Secret(std::string("abc\0def", 7))); }).kind, ErrorKind::invalid);
  EXPECT_EQ(thrown_by([] { hash_password(Secret(std::string(100'000, 'x'))); }).kind, ErrorKind::invalid);
  EXPECT_FALSE(password_matches(Secret(std::string("abc\0def", 7)), hash_password(Secret("abc"))));
}

}  // namespace
}  // namespace berth
