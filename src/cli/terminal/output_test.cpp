#include "cli/terminal/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/terminal/phases.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class Lines : public testing::Test {
 protected:
  std::ostringstream out, err;
  Output plain{out, err, {}};
};

}  // namespace

TEST_F(Lines, BeginWithTheirLevelInNineColumns) {
  plain.info("one");
  plain.data("two");
  plain.help("three");
  plain.warn("four");
  plain.error("five");
  EXPECT_EQ(out.str(), "info:    one\ndata:    two\nhelp:    three\nwarn:    four\n");
  EXPECT_EQ(err.str(), "error:   five\n");
}

TEST_F(Lines, ATextOfSeveralLinesIsSeveralLines) {
  plain.error("one\ntwo\n");
  EXPECT_EQ(err.str(), "error:   one\nerror:   two\nerror:\n");
}

TEST_F(Lines, WhatWouldSteerTheTerminalIsLeftOut) {
  plain.data(
      "a\x1b[2Jb\x07\rc\xc2\x9b"
      "d\te ü");
  EXPECT_EQ(out.str(), "data:    a[2Jbcd e ü\n");
}

TEST_F(Lines, VerboseOnesAreForVerboseRuns) {
  plain.verbose("x");
  plain.style().verbose = true;
  plain.verbose("y");
  EXPECT_EQ(out.str(), "verbose: y\n");
}

TEST_F(Lines, ColorsAreForTheLevelOfTheStreamThatHasThem) {
  Output colored(out, err, {.color = true});
  colored.warn("x");
  colored.error("y");
  EXPECT_EQ(out.str(), "\x1b[33mwarn:\x1b[0m    x\n");
  EXPECT_EQ(err.str(), "error:   y\n");
}

TEST_F(Lines, InJsonModeOnlyJsonIsOnTheOutputStream) {
  Output json(out, err, {.json = true});
  json.info("dropped");
  json.warn("careful");
  json.help("do this");
  json.json({{"b", 1}, {"a", 2}});
  EXPECT_EQ(out.str(), "{\n  \"b\": 1,\n  \"a\": 2\n}\n");
  EXPECT_EQ(err.str(), "warn:    careful\nhelp:    do this\n");
}

TEST_F(Lines, TablesAreAlignedBelowTheirTitles) {
  plain.table({"Name", "OS"}, {{"a-long-name", "Linux"}, {"ü", ""}});
  EXPECT_EQ(out.str(),
            "data:    Name         OS\n"
            "data:    -----------  -----\n"
            "data:    a-long-name  Linux\n"
            "data:    ü\n");
}

TEST_F(Lines, PairsHaveTheirValuesBelowEachOther) {
  plain.pairs({{"a", "1"}, {"long", "2"}});
  EXPECT_EQ(out.str(), "data:    a     1\ndata:    long  2\n");
}

TEST_F(Lines, PhasesAreALineWhenTheyBeginAndOneWhenTheyEnd) {
  PhaseDisplay phases(plain);
  std::vector<Phase> now{{"Building", "1 of 2", "2026-11-24T10:00:00.000Z", ""}};
  phases.update(now);
  phases.update(now);
  now[0].ended = "2026-11-24T10:01:40.250Z";
  now.push_back({"Starting", "", "2026-11-24T10:01:40.250Z", ""});
  phases.update(now);
  phases.update(now);
  EXPECT_EQ(out.str(), "info:    Building...\ninfo:    Building (1 min 40 s)\ninfo:    Starting...\n");
  EXPECT_EQ(phases.current(), "Starting");
}

TEST_F(Lines, OnATerminalTheRunningPhaseIsRedrawnInPlace) {
  Output terminal(out, err, {.live = true, .width = 40});
  PhaseDisplay phases(terminal);
  phases.update({{"Building", "a detail that is far too long for one line", "x", ""}});
  EXPECT_EQ(out.str(), "\r\x1b[Kinfo:    Building: a detail that is far");
  out.str("");
  phases.update({{"Building", "", "x", "y"}});
  EXPECT_EQ(out.str(), "\r\x1b[Kinfo:    Building (0.0 s)\n");
}

TEST_F(Lines, TimesAreShort) {
  EXPECT_EQ(seconds_text(450ms), "0.4 s");
  EXPECT_EQ(seconds_text(12'345ms), "12.3 s");
  EXPECT_EQ(seconds_text(125s), "2 min 05 s");
  EXPECT_EQ(time_between("2026-11-24T23:59:59.900Z", "2026-11-25T00:00:00.100Z"), 200ms);
  EXPECT_EQ(time_between("", "2026-11-25T00:00:00.100Z"), 0ms);
}

}  // namespace berth
