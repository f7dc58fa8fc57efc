#include "scripts/download.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/error.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// Answers with these results, one after the other; the last one stays.
class FakeFetcher final : public Runner {
 public:
  RunResult run(const std::vector<std::string>& argv, const RunOptions& options) override {
    command.clear();
    for (const std::string& word : argv) command += word + " ";
    input = options.input;
    ++calls;
    const RunResult result = results.size() > 1 ? std::move(results.front()) : results.front();
    if (results.size() > 1) results.erase(results.begin());
    write_file(target, "#!/bin/sh\n");
    return result;
  }
  void detach(const std::vector<std::string>&) override {}

  std::vector<RunResult> results;
  fs::path target;
  std::string command, input;
  int calls = 0;
};

class Download : public testing::Test {
 protected:
  Download() {
    log.quiet = true;
    fetcher.target = folder / "run.sh";
    downloads.pause = [this](std::chrono::milliseconds time) { paused += time; };
  }
  std::string refusal() {
    try {
      downloads.fetch(file, folder.path());
    } catch (const Error& error) {
      return error.what();
    }
    return "it was fetched";
  }

  TemporaryFolder folder;
  FakeFetcher fetcher;
  Log log;
  Downloads downloads{fetcher, log};
  WantedFile file = parse_file_uri("https://files.example/run.sh?sig=hunter2\"x");
  std::chrono::milliseconds paused{0};
};

TEST_F(Download, GivesTheAddressOnStandardInputOnly) {
  fetcher.results = {{0, "200", ""}};

  downloads.fetch(file, folder.path());

  EXPECT_THAT(fetcher.command, Not(HasSubstr("hunter2")));
  EXPECT_THAT(fetcher.input, HasSubstr("hunter2"));
  struct stat status {};
  ::stat(fetcher.target.c_str(), &status);
  EXPECT_EQ(status.st_mode & 07777, 0500u);
}

TEST_F(Download, IsTriedAgainWhenTheAnswerMayPass) {
  fetcher.results = {{22, "503", "curl: (22)"}, {7, "000", "curl: (7) refused"}, {0, "200", ""}};

  downloads.fetch(file, folder.path());

  EXPECT_EQ(fetcher.calls, 3);
  EXPECT_EQ(paused, std::chrono::seconds(9));
}

TEST_F(Download, EndsAtOnceForAFileThatIsNotThere) {
  fetcher.results = {{22, "404", "curl: (22)"}};

  EXPECT_THAT(refusal(), AllOf(HasSubstr("run.sh"), HasSubstr("files.example"), HasSubstr("404"),
                               Not(HasSubstr("hunter2"))));
  EXPECT_EQ(fetcher.calls, 1);
  EXPECT_FALSE(fs::exists(fetcher.target));
}

TEST_F(Download, GivesUpAfterSevenAttempts) {
  fetcher.results = {{6, "000", "curl: (6) Could not resolve host"}};

  EXPECT_THAT(refusal(), HasSubstr("Could not resolve host"));
  EXPECT_EQ(fetcher.calls, 7);
}

TEST_F(Download, BecomesAUnixTextIfItIsAScript) {
  const fs::path text = folder / "text", binary = folder / "binary.sh", table = folder / "table.csv",
                 named = folder / "a.py";
  write_file(text, "\xEF\xBB\xBF#!/bin/sh\r\necho 'a\rb'\r\n", 0500);
  write_file(binary, std::string("a\r\n\0", 4), 0500);

  write_file(table, "a,b\r\n", 0500);
  write_file(named, "print(1)\r\n", 0500);

  for (const fs::path& file : {table, named}) make_unix_text(file);
  make_unix_text(text);
  make_unix_text(binary);

  EXPECT_EQ(read_file(text), "#!/bin/sh\necho 'a\rb'\n");
  EXPECT_EQ(read_file(table), "a,b\r\n");
  EXPECT_EQ(read_file(named), "print(1)\n");
  EXPECT_EQ(read_file(binary), std::string("a\r\n\0", 4));
}

}  // namespace
}  // namespace berth::extension
