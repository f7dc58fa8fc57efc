#include "base/log.h"

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/error.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

/// The default logger is the process's own: what the tests set is taken back.
class LogToFile : public testing::Test {
 protected:
  LogToFile() : before_(spdlog::default_logger()) {
    char name[] = "/tmp/berth-log-XXXXXX";
    folder_ = ::mkdtemp(name);
    log_to_file((folder_ / "log").string());
  }
  ~LogToFile() override {
    spdlog::drop("berth");
    spdlog::set_default_logger(before_);
    fs::remove_all(folder_);
  }
  std::string text() const {
    std::ostringstream all;
    all << std::ifstream(folder_ / "log").rdbuf();
    return all.str();
  }
  fs::path folder_;

 private:
  std::shared_ptr<spdlog::logger> before_;
};

}  // namespace

TEST_F(LogToFile, AnEventIsOneLineWhateverIsInIt) {
  spdlog::info("failed why=\"first\nsecond\x1b[2J\" größe=1");
  EXPECT_EQ(std::ranges::count(text(), '\n'), 1);
  EXPECT_NE(text().find(R"(info failed why="first\nsecond\x1b[2J" größe=1)"), std::string::npos) << text();
}

TEST_F(LogToFile, OnlyItsOwnerReadsIt) {
  spdlog::info("event");
  EXPECT_EQ(fs::status(folder_ / "log").permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(LogToFile, AWordThatIsNoLevelDoesNotSilenceIt) {
  spdlog::drop("berth");
  ::setenv("BERTH_LOG", "verbose", 1);
  log_to_file((folder_ / "log").string());
  ::unsetenv("BERTH_LOG");
  spdlog::info("event");
  EXPECT_NE(text().find("event"), std::string::npos);
}

TEST_F(LogToFile, AFileThatCannotBeOpenedIsNamed) {
  try {
    log_to_file((folder_ / "log" / "below-a-file").string());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "LogUnavailable");
    EXPECT_NE(std::string(error.what()).find("below-a-file"), std::string::npos);
  }
}

}  // namespace berth
