#include "host/log_tail.h"

#include <gtest/gtest.h>

#include <fstream>

#include "host/temporary_folder.h"

namespace berth {
namespace {

TEST(LogTail, IsTheLastLinesOfWhatCameSince) {
  const TemporaryFolder folder;
  std::ofstream(folder / "log") << "one\ntwo\nthree\nfour\n\n";
  EXPECT_EQ(log_tail(folder / "log", 2), "three\nfour");
  EXPECT_EQ(log_tail(folder / "log", 9), "one\ntwo\nthree\nfour");
  EXPECT_EQ(log_tail(folder / "log", 9, 8), "three\nfour");
  EXPECT_EQ(log_tail(folder / "log", 9, 100), "");
}

TEST(LogTail, IsEmptyWhenThereIsNoLog) {
  const TemporaryFolder folder;
  EXPECT_EQ(log_tail(folder / "log", 2), "");
}

TEST(LogTail, OfALogOfAnySizeTakesWholeLinesOfItsEnd) {
  const TemporaryFolder folder;
  {
    std::ofstream log(folder / "log");
    log.seekp(std::streamoff{5} << 30);  // a hole: no space is taken
    log << "\nthe end\n";
  }
  EXPECT_EQ(log_tail(folder / "log", 1), "the end");
  std::ofstream(folder / "log") << std::string(20'000, 'x') << "\nlast\n";
  EXPECT_EQ(log_tail(folder / "log", 9), "last");
  EXPECT_EQ(log_tail(folder / "log", 9, 0, 64 * 1024).size(), 20'005);
}

TEST(LogTail, OfASerialConsoleHasPlainLineEnds) {
  const TemporaryFolder folder;
  std::ofstream(folder / "log") << "boot\r\nlogin: \r\n";
  EXPECT_EQ(log_tail(folder / "log", 9), "boot\nlogin: ");
}

}  // namespace
}  // namespace berth
