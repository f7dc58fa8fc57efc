#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/fake_region.h"
#include "host/process.h"

namespace berth {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

std::string next(std::vector<std::string> words) {
  words.insert(words.begin(), {"completion", "next", "--"});
  const Ran ran = run_program(words);
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  return ran.out;
}

TEST(Completion, OffersGroupsCommandsAndOptionsWithWhatTheyAre) {
  EXPECT_THAT(next({""}), AllOf(HasSubstr("vm\tVirtual machines and Docker hosts\n"), HasSubstr("help\t")));
  EXPECT_THAT(next({"re"}), StartsWith("region\t"));
  EXPECT_THAT(next({"vm", ""}), AllOf(HasSubstr("list\tList the virtual machines\n"), HasSubstr("docker\t")));
  EXPECT_THAT(next({"vm", "docker", "cr"}), StartsWith("create\t"));
  EXPECT_THAT(next({"help", "vm", "sho"}), StartsWith("show\t"));
  EXPECT_THAT(next({"vm", "docker", "create", "--lo"}), StartsWith("--location\tLocation"));
  EXPECT_THAT(next({"vm", "show", "web1", "--j"}), StartsWith("--json\t"));
}

TEST(Completion, LeavesNamesAndFilesToTheShell) {
  EXPECT_THAT(next({"vm", "show", ""}), IsEmpty());
  EXPECT_THAT(next({"vm", "docker", "create", "--custom-data", "x"}), IsEmpty());
}

TEST(Completion, TheBashFunctionCompletesACommand) {
  TemporaryFolder folder;
  const std::string script = run_program({"completion", "bash"}).out;
  // In place of the program: what it was asked is in a file, and it answers with two words.
  write_file(folder / "azure",
             "#!/bin/sh\necho \"$@\" >" + std::string(folder / "asked") +
                 "\nprintf 'create\\tMake one\\ncapture\\tImage of one\\n'\n",
             0755);
  write_file(folder / "function", script);
  const RunResult ran =
      run({"bash", "-c",
           "source " + std::string(folder / "function") + "; COMP_WORDS=(" + std::string(folder / "azure") +
               " vm docker cr) COMP_CWORD=3; _azure; printf '%s\\n' \"${COMPREPLY[@]}\""});
  EXPECT_EQ(ran.out, "create\n") << ran.err;
  EXPECT_EQ(read_file(folder / "asked"), "completion next -- vm docker cr\n");
}

TEST(Completion, EveryShellHasAFunctionThatAsksTheProgram) {
  for (const char* shell : {"bash", "zsh", "fish"})
    EXPECT_THAT(run_program({"completion", shell}).out,
                AllOf(HasSubstr("completion next --"), Not(HasSubstr("info:"))));
}

TEST(ManualPage, HasEveryCommandAndOptionThatHelpHas) {
  const std::string page = run_program({"completion", "man"}).out;
  EXPECT_THAT(page, StartsWith(".TH AZURE 1"));
  for (const Command& command : all_commands()) {
    std::string name;  // as roff has it: a plain '-' may be broken or become another dash
    for (const char c : std::string_view(command.name)) name += c == '-' ? "\\-" : std::string(1, c);
    EXPECT_THAT(page, HasSubstr(".SS " + name + "\n")) << name;
  }
  EXPECT_THAT(page, HasSubstr("\\-dp, \\-p, \\-\\-docker\\-port <port>"));
}

TEST(CommandTable, EveryCommandStandsInAGroupAndSaysWhatItDoesInOneLine) {
  for (const Command& command : all_commands()) {
    const auto words = words_of(command.name);
    const bool grouped = std::ranges::any_of(command_groups(), [&](const CommandGroup& group) {
      return std::string(command.name).starts_with(std::string(group.name) + " ");
    });
    EXPECT_TRUE(grouped || words.size() == 1) << command.name;
    EXPECT_FALSE(command.summary.empty()) << command.name;
    EXPECT_EQ(command.summary.find('\n'), std::string_view::npos) << command.name;
  }
}

TEST(CommandTable, EveryCommandHasHelp) {
  for (const Command& command : all_commands()) {
    std::vector<std::string> words = words_of(command.name);
    words.insert(words.begin(), "help");
    const Ran ran = run_program(words);
    EXPECT_EQ(ran.exit_code, 0) << command.name;
    EXPECT_THAT(ran.out, HasSubstr("Usage: azure " + std::string(command.name))) << command.name;
  }
}

}  // namespace
}  // namespace berth
