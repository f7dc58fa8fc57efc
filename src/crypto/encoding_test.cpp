#include "crypto/encoding.h"

#include <gtest/gtest.h>

#include "crypto/digest.h"

namespace berth {
namespace {

std::string all_bytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  return bytes;
}

TEST(Base64, MatchesTheVectorsOfRfc4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
}

TEST(Base64, BringsEveryByteBack) {
  EXPECT_EQ(base64_decode(base64_encode(all_bytes())), all_bytes());
  EXPECT_EQ(base64url_decode(base64url_encode(all_bytes())), all_bytes());
}

TEST(Base64, BreaksLinesAtTheWidth) {
  EXPECT_EQ(base64_encode("foobarfoo", 8), "Zm9vYmFy\nZm9v\n");
  EXPECT_EQ(base64_encode("foobar", 8), "Zm9vYmFy\n");
  EXPECT_EQ(base64_encode("", 8), "");
  EXPECT_EQ(base64_decode(base64_encode(all_bytes(), 64)), all_bytes());
}

TEST(Base64, SkipsWhiteSpaceAnywhere) {
  EXPECT_EQ(base64_decode(" Z\tm9\r\nv Yg=\n="), "foob");
}

TEST(Base64, RefusesWhatIsNotBase64) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zm9v=", "Zg===", "====", "=", "Z===", "Zg==Zg==", "Zm9v!",
                           "Zm-v", "Zm_v", "Zm9\xff", "Zh==", "Zm9="})
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
  EXPECT_EQ(base64_decode(std::string_view("Zm9\0", 4)), std::nullopt);
}

TEST(Base64Url, UsesTheOtherAlphabetWithoutPadding) {
  EXPECT_EQ(base64url_encode("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(base64url_encode("f"), "Zg");
  EXPECT_EQ(base64url_decode("-__-"), "\xfb\xff\xfe");
  EXPECT_EQ(base64url_decode("Zg"), "f");
}

TEST(Base64Url, RefusesEveryOtherWayToWriteTheSameBytes) {
  for (const char* text : {"Zg==", "Zh", "Zm9", "Z", "Zm 9v", "Zm9v\n", "+//+"})
    EXPECT_EQ(base64url_decode(text), std::nullopt) << text;
}

TEST(Hex, IsLowerCase) {
  EXPECT_EQ(hex_encode(std::string_view("\0\x0f\xf0\xff", 4)), "000ff0ff");
}

TEST(Digests, MatchPublishedVectors) {
  EXPECT_EQ(hex_encode(sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc").size(), 32u);
  const std::string long_text(1'000'000, 'x');
  std::size_t at = 0;
  const auto next = [&] {
    const std::string_view piece = std::string_view(long_text).substr(at, 70'000);
    at += piece.size();
    return piece;
  };
  EXPECT_EQ(sha256_hex(next), sha256_hex(long_text));
  // RFC 4231, test case 2.
  EXPECT_EQ(hex_encode(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex_encode(hmac_sha256("", "")),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(EqualInConstantTime, ComparesLengthAndBytes) {
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_TRUE(equal_in_constant_time("token", "token"));
  EXPECT_FALSE(equal_in_constant_time("token", "tokeN"));
  EXPECT_FALSE(equal_in_constant_time("token", "toke"));
  EXPECT_FALSE(equal_in_constant_time("token", ""));
}

}  // namespace
}  // namespace berth
