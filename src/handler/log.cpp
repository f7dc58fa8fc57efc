#include "handler/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <ctime>
#include <exception>

namespace berth::extension {
namespace {

constexpr off_t largest_file = 5 * 1024 * 1024;
constexpr int kept_files = 3;
constexpr std::size_t longest_line = 4000;

void turn_over(const std::filesystem::path& file) {
  struct stat now {};
  if (::stat(file.c_str(), &now) != 0 || now.st_size < largest_file) return;
  const auto numbered = [&](int n) { return file.string() + (n == 0 ? "" : "." + std::to_string(n)); };
  for (int n = kept_files - 1; n > 0; --n) ::rename(numbered(n - 1).c_str(), numbered(n).c_str());
}

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written <= 0) return;  // a full disk or a closed pipe must not end the work
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

Log::Log(const std::filesystem::path& file) {
  std::error_code trouble;
  if (!std::filesystem::is_directory(file.parent_path(), trouble)) {
    std::filesystem::create_directories(file.parent_path(), trouble);
    ::chmod(file.parent_path().c_str(), 0750);
  }
  turn_over(file);
  file_ = Fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640));
  if (file_)
    ::fchmod(file_.get(), 0640);
  else
    line(fmt::format("cannot open the log file={}", file.string()));
}

void Log::line(std::string_view text) {
  std::string clean = printable(redactor(text), longest_line);
  for (char& c : clean)
    if (c == '\n') c = ' ';
  const std::string whole = utc_text(std::chrono::system_clock::now()) + " " + clean + "\n";
  if (file_) write_all(file_.get(), whole);
  if (!quiet) write_all(STDERR_FILENO, whole);
}

Log::Timer::~Timer() {
  const auto took = std::chrono::steady_clock::now() - start;
  log.line(fmt::format("{} ms={:.1f}{}", name, std::chrono::duration<double, std::milli>(took).count(),
                       std::uncaught_exceptions() > 0 ? " outcome=failed" : ""));
}

std::string utc_text(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace berth::extension
