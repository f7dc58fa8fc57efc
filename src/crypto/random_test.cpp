#include "crypto/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <set>

#include "crypto/encoding.h"

namespace berth {
namespace {

TEST(Random, GivesAsManyBytesAsAskedAndNeverTheSame) {
  EXPECT_EQ(random_bytes(0), "");
  EXPECT_EQ(random_bytes(100'000).size(), 100'000u);
  EXPECT_NE(random_bytes(16), random_bytes(16));
}

TEST(Random, GivesAsManyDigitsAsAsked) {
  for (const std::size_t digits : {0u, 1u, 7u, 32u}) EXPECT_EQ(random_hex(digits).size(), digits);
  EXPECT_THAT(random_hex(200), testing::MatchesRegex("[0-9a-f]+"));
}

TEST(Random, MakesUuidsOfVersionFour) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const std::string uuid = new_uuid();
    EXPECT_EQ(uuid.size(), 36u);
    EXPECT_THAT(uuid, testing::MatchesRegex("[0-9a-f]+-[0-9a-f]+-4[0-9a-f]+-[89ab][0-9a-f]+-[0-9a-f]+"));
    EXPECT_TRUE(seen.insert(uuid).second);
  }
}

TEST(Random, MakesSecretsThatFitIntoUrls) {
  const Secret secret = random_secret(32);
  EXPECT_EQ(base64url_decode(secret.reveal()).value().size(), 32u);
  EXPECT_NE(secret, random_secret(32));
}

TEST(Random, MakesSecretsThatNoProgramTakesForAnOption) {
  for (int i = 0; i < 1000; ++i)
    EXPECT_TRUE(std::isalpha(static_cast<unsigned char>(random_secret(24).reveal()[0])));
}

}  // namespace
}  // namespace berth
