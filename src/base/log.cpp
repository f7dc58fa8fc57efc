#include "base/log.h"

#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace berth {
namespace {

constexpr std::size_t largest_file = 10 * 1024 * 1024;
constexpr std::size_t kept_files = 3;

void install(std::shared_ptr<spdlog::logger> logger) {
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  const char* level = std::getenv("BERTH_LOG");
  logger->set_level(level ? spdlog::level::from_str(level) : spdlog::level::info);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

void log_to_file(const std::string& file) {
  const mode_t before = ::umask(0077);
  try {
    install(spdlog::rotating_logger_mt("berth", file, largest_file, kept_files));
  } catch (const spdlog::spdlog_ex& e) {
    ::umask(before);
    throw Error(ErrorKind::unavailable, "LogUnavailable",
                fmt::format("The log file {} cannot be opened: {}.", file, e.what()),
                "Make its folder writable, or choose another with BERTH_HOME.");
  }
  ::umask(before);
}

void log_to_stderr() { install(spdlog::stderr_logger_mt("berth-stderr")); }

}  // namespace berth
