#include <gtest/gtest.h>

#include "base/error.h"
#include "base/secret.h"

namespace berth {

TEST(Secret, IsNeverPrinted) {
  EXPECT_EQ(fmt::format("token={}", Secret("hunter2")), "token=[secret]");
}

TEST(Secret, GivesItsTextOnlyWhenAsked) {
  EXPECT_EQ(Secret("hunter2").reveal(), "hunter2");
}

TEST(Secret, LeavesNothingBehindWhenMovedFrom) {
  Secret first(std::string(64, 'x'));
  const Secret second(std::move(first));
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is the point
  EXPECT_EQ(second.reveal(), std::string(64, 'x'));
}

TEST(Secret, LeavesNoShortTextBehindEither) {
  Secret first(std::string("hunter2"));
  const char* inside = first.reveal().data();
  const Secret second(std::move(first));
  EXPECT_EQ(second.reveal(), "hunter2");
  EXPECT_EQ(std::string(inside, 7), std::string(7, '\0'));
}

TEST(Error, CarriesKindCodeAndAdvice) {
  const Error error(ErrorKind::conflict, "VmExists", "web1 exists.", "Choose another name.");
  EXPECT_EQ(error.kind, ErrorKind::conflict);
  EXPECT_EQ(error.code, "VmExists");
  EXPECT_STREQ(error.what(), "web1 exists.");
  EXPECT_EQ(error.advice, "Choose another name.");
}

}  // namespace berth
