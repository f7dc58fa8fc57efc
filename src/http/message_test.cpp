#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/message.h"
#include "http/target.h"

namespace berth {

TEST(Message, HeadersAreFoundWithoutRegardToCase) {
  Request request;
  request.headers["X-Ms-Version"] = "2012-03-01";
  EXPECT_EQ(request.header("x-ms-version"), "2012-03-01");
  EXPECT_EQ(request.header("x-ms-versio"), "");
}

TEST(Message, PercentEncodingKeepsOnlyUnreservedCharacters) {
  EXPECT_EQ(percent_encode("a-Z0._~ /?&\xc3\xa9"), "a-Z0._~%20%2F%3F%26%C3%A9");
}

TEST(Message, PercentDecodingLeavesBadEscapesAsTheyAre) {
  EXPECT_EQ(percent_decode("%41%2fb%zz%4"), "A/b%zz%4");
  EXPECT_EQ(percent_decode("%"), "%");
}

TEST(Message, DateIsInTheFixedFormOfHttp) {
  EXPECT_THAT(http_date(), testing::MatchesRegex("[A-Z][a-z][a-z], [0-9][0-9] [A-Z][a-z][a-z] [0-9]+ "
                                                 "[0-9][0-9]:[0-9][0-9]:[0-9][0-9] GMT"));
}

TEST(Message, EveryKindOfErrorHasItsStatus) {
  EXPECT_EQ(http_status(ErrorKind::invalid), 400);
  EXPECT_EQ(http_status(ErrorKind::unauthorized), 401);
  EXPECT_EQ(http_status(ErrorKind::not_found), 404);
  EXPECT_EQ(http_status(ErrorKind::conflict), 409);
  EXPECT_EQ(http_status(ErrorKind::unavailable), 409);
  EXPECT_EQ(http_status(ErrorKind::internal), 500);
}

TEST(Target, PathIsDecodedAndItsRepeatedSlashesCollapse) {
  const auto target = parse_target("//a%20b///c?x=1");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/a b/c");
}

TEST(Target, QueryIsDecodedAndTheLastOfRepeatedKeysCounts) {
  const auto target = parse_target("/machine?comp=a&Comp=goal%20state&flag&$filter=x+eq+%27y%27&e=a=b#part");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->query.at("comp"), "goal state");
  EXPECT_EQ(target->query.at("flag"), "");
  EXPECT_EQ(target->query.at("$filter"), "x eq 'y'");
  EXPECT_EQ(target->query.at("e"), "a=b");
}

TEST(Target, AbsoluteFormNamesItsHost) {
  const auto target = parse_target("http://168.63.129.16:80/pkg/a.zip?x=1");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->authority, "168.63.129.16:80");
  EXPECT_EQ(target->path, "/pkg/a.zip");
  EXPECT_EQ(parse_target("HTTPS://host")->path, "/");
  EXPECT_EQ(parse_target("http://host?x=1")->query.at("x"), "1");
}

TEST(Target, WhatIsNoPathAndNoUrlIsRefused) {
  for (const char* wrong : {"", "host:443", "ftp://host/x", "http:///x", "x/y", "/a%00b", "/a%0d%0ab", "?x"})
    EXPECT_FALSE(parse_target(wrong)) << wrong;
}

}  // namespace berth
