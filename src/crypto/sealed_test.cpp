#include "crypto/sealed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace berth {
namespace {

std::string opened(const std::string& sealed, const char* passphrase) {
  try {
    return unseal(sealed, Secret(passphrase), "host.berth").reveal();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    return error.what();
  }
}

TEST(Sealed, OpensWithItsPassphraseAlone) {
  const std::string sealed = seal(Secret("the key\n"), Secret("correct horse"));
  EXPECT_EQ(sealed.find("the key"), std::string::npos);
  EXPECT_EQ(opened(sealed, "correct horse"), "the key\n");
  EXPECT_EQ(opened(sealed, "wrong horse"),
            "host.berth does not open: the passphrase is another one, or the file was changed.");
  EXPECT_NE(seal(Secret("the key\n"), Secret("correct horse")), sealed);
  EXPECT_EQ(opened(seal(Secret(""), Secret("x")), "x"), "");
}

TEST(Sealed, OneChangedLetterIsNoticed) {
  const std::string sealed = seal(Secret(std::string(200, 'k')), Secret("p"));
  const std::size_t body = sealed.find('\n') + 1;
  for (const std::size_t at : {body + 2, body + 30, body + 50, body + 90}) {
    std::string changed = sealed;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    EXPECT_THAT(opened(changed, "p"), testing::HasSubstr("does not open"));
  }
}

TEST(Sealed, WhatIsNoneIsRefused) {
  for (const char* wrong : {"", "x", "-----BEGIN BERTH SEALED-----\n-----END BERTH SEALED-----\n",
                            "-----END BERTH SEALED-----\n-----BEGIN BERTH SEALED-----\n"})
    EXPECT_THAT(opened(wrong, "p"), testing::AnyOf(testing::HasSubstr("is not an exported host"),
                                                   testing::HasSubstr("is damaged")));
}

}  // namespace
}  // namespace berth
