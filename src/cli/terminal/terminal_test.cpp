#include "cli/terminal/terminal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "base/error.h"
#include "host/fd.h"

namespace berth {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// A child on a terminal of its own, and the user before it.
class TerminalChild {
 public:
  explicit TerminalChild(const std::function<int()>& work) {
    int terminal = -1;
    pid_ = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      interrupt::install();
      ::_exit(work());
    }
    terminal_ = Fd(terminal);
  }
  TerminalChild(const TerminalChild&) = delete;
  TerminalChild& operator=(const TerminalChild&) = delete;
  ~TerminalChild() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  void type(std::string_view text) const {
    ASSERT_EQ(::write(terminal_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  /// What the terminal shows, until `end` or the child's end; at most 30 s.
  std::string read_until(std::string_view end) {
    std::string text;
    pollfd poll{terminal_.get(), POLLIN, 0};
    while (text.find(end) == std::string::npos && ::poll(&poll, 1, 30'000) > 0) {
      char chunk[256];
      const ssize_t count = ::read(terminal_.get(), chunk, sizeof chunk);
      if (count <= 0) break;
      text.append(chunk, static_cast<std::size_t>(count));
    }
    return text;
  }
  int exit_code() {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  Fd terminal_;
};

int ask() {
  try {
    return prompt_secret("Password:", "").reveal() == "Str0ng!pass" ? 7 : 8;
  } catch (const Error& error) {
    return error.code == "OperationCanceled" ? 9 : 10;
  }
}

}  // namespace

TEST(Terminal, APasswordIsReadWithoutBeingShown) {
  TerminalChild child(&ask);
  EXPECT_THAT(child.read_until("Password:"), HasSubstr("Password:"));
  child.type("Str0ng!pass\n");
  EXPECT_THAT(child.read_until("\x01"), Not(HasSubstr("Str0ng")));
  EXPECT_EQ(child.exit_code(), 7);
}

TEST(Terminal, CtrlCAtThePromptCancels) {
  TerminalChild child(&ask);
  child.read_until("Password:");
  child.type("Str\x03");
  EXPECT_EQ(child.exit_code(), 9);
}

TEST(Terminal, TheEchoComesBackAfterwards) {
  TerminalChild child([] {
    ask();
    return prompt_yes("Sure?", "") ? 1 : 0;
  });
  child.read_until("Password:");
  child.type("Str0ng!pass\n");
  child.read_until("Sure? [y/n] ");
  child.type("yes\n");
  EXPECT_THAT(child.read_until("yes"), HasSubstr("yes"));
  EXPECT_EQ(child.exit_code(), 1);
}

TEST(Terminal, WithoutATerminalTheAdviceSaysHowElse) {
  const Fd saved(::dup(STDIN_FILENO));
  const Fd nothing(::open("/dev/null", O_RDONLY));
  ::dup2(nothing.get(), STDIN_FILENO);
  try {
    prompt_secret("Password:", "Use a file.");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    EXPECT_EQ(error.advice, "Use a file.");
  }
  ::dup2(saved.get(), STDIN_FILENO);
}

TEST(Terminal, TheSecondCtrlCLeavesAtOnceAndSaysWhatIsLeft) {
  TerminalChild child([] {
    interrupt::set_farewell("Left behind: the group web1.");
    ::raise(SIGINT);
    if (!interrupt::requested()) return 1;
    interrupt::begin_cleanup();
    if (interrupt::requested()) return 2;
    ::raise(SIGINT);
    return 3;
  });
  EXPECT_THAT(child.read_until("web1."), HasSubstr("error:   Left behind: the group web1."));
  EXPECT_EQ(child.exit_code(), interrupt::exit_code);
}

TEST(Terminal, SecretsAreWipedFromArgumentsAndNothingElseIs) {
  std::vector<std::string> words{"azure", "ops", "hunter2", "--password=hunter2", "xhunter2", "hunter2x"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  wipe_argument(static_cast<int>(words.size()), argv.data(), "hunter2");
  EXPECT_EQ(words[1], "ops");
  EXPECT_EQ(words[2], std::string(7, '\0'));
  EXPECT_STREQ(words[3].c_str(), "--password=");
  EXPECT_EQ(words[4], "xhunter2");
  EXPECT_EQ(words[5], "hunter2x");
}

}  // namespace berth
