#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ArgumentsOfACommand : public testing::Test {
 protected:
  ArgumentsOfACommand() {
    line.add_option("name", name, "Name")->required();
    line.add_option("more", more, "More");
    line.add_option("-dp,-p,--docker-port", port, "Port")->type_name("<port>");
    line.add_option("-e,--ssh", ssh, "SSH")->type_name("[port]")->or_alone("22");
    line.add_option("-n,--lines", lines, "Lines")->type_name("<count>");
    line.add_flag("-q,--quiet", quiet, "Quiet");
    line.add_flag("-b,--blob-delete", blob, "Blob");
  }
  void parse(const std::vector<std::string>& arguments) { line.parse(arguments); }
  Error refused(const std::vector<std::string>& arguments) {
    try {
      line.parse(arguments);
    } catch (const Error& error) {
      return error;
    }
    return Error(ErrorKind::internal, "", "it was accepted");
  }

  std::string name, port, ssh;
  std::vector<std::string> more;
  std::size_t lines = 50;
  bool quiet = false, blob = false;
  CommandLine line;
};

TEST_F(ArgumentsOfACommand, OptionsStandAnywhereInEverySpelling) {
  parse({"-dp=1", "web1", "--lines", "7", "a", "-qb", "b", "-e"});
  EXPECT_EQ(port, "1");
  EXPECT_EQ(name, "web1");
  EXPECT_THAT(more, ElementsAre("a", "b"));
  EXPECT_EQ(lines, 7U);
  EXPECT_TRUE(quiet && blob);
  EXPECT_EQ(ssh, "22");
}

TEST_F(ArgumentsOfACommand, AShortOptionTakesItsValueAttached) {
  parse({"-p5555", "-n=3", "web1"});
  EXPECT_EQ(port, "5555");
  EXPECT_EQ(lines, 3U);
}

TEST_F(ArgumentsOfACommand, AnOptionAloneDoesNotTakeTheNextOptionForItsValue) {
  parse({"-e", "--quiet", "web1"});
  EXPECT_EQ(ssh, "22");
  EXPECT_TRUE(quiet);
  EXPECT_THAT(refused({"web1", "--docker-port", "--quiet"}).what(),
              HasSubstr("--docker-port needs a value: --docker-port <port>"));
  EXPECT_THAT(refused({"web1", "--docker-port"}).what(), HasSubstr("needs a value"));
}

TEST_F(ArgumentsOfACommand, AfterTwoDashesEverythingIsAnArgument) {
  parse({"web1", "--", "-q", "--lines"});
  EXPECT_THAT(more, ElementsAre("-q", "--lines"));
  EXPECT_FALSE(quiet);
}

TEST_F(ArgumentsOfACommand, WhatCannotBeRightIsRefusedByName) {
  EXPECT_STREQ(refused({"web1", "--quite"}).what(), "unknown option `--quite'");
  EXPECT_EQ(refused({"web1", "--quite"}).advice, "Did you mean --quiet?");
  EXPECT_EQ(refused({"web1", "--nothing-like-it"}).advice, "");
  EXPECT_STREQ(refused({"web1", "-x"}).what(), "unknown option `-x'");
  EXPECT_STREQ(refused({}).what(), "missing required argument `name'");
  EXPECT_STREQ(refused({"web1", "--lines", "many"}).what(), "--lines must be a number, not 'many'");
  EXPECT_STREQ(refused({"web1", "--quiet=no"}).what(), "--quiet takes no value");
}

TEST_F(ArgumentsOfACommand, AnOptionGivenTwiceIsRefused) {
  EXPECT_STREQ(refused({"web1", "-p", "1", "-p", "2"}).what(), "-p is given twice");
}

TEST(CommandLineWithoutAList, OneArgumentTooManyIsRefusedWithoutSayingIt) {
  std::string name;
  CommandLine line;
  line.add_option("name", name, "Name");
  try {
    line.parse({"web1", "Secr3t!"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "there is an argument too many");
  }
}

TEST(Neighbours, AreWordsWithFewWrongLetters) {
  const std::vector<std::string> words{"create", "list", "show", "start", "restart"};
  EXPECT_EQ(neighbour_of("craete", words), "create");
  EXPECT_EQ(neighbour_of("lst", words), "list");
  EXPECT_EQ(neighbour_of("strat", words), "start");
  EXPECT_EQ(neighbour_of("frobnicate", words), "");
  EXPECT_EQ(neighbour_of("ls", words), "");
}

}  // namespace
}  // namespace berth
