#include "base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/rotating_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/error.h"

namespace berth {
namespace {

constexpr std::size_t largest_file = 10 * 1024 * 1024;
constexpr std::size_t kept_files = 3;

/// The message in one line, whatever is in it: what a guest or a client sent cannot look like an event of its
/// own.
class OneLine : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    for (const char c : message.payload) {
      if (c == '\n')
        fmt::format_to(std::back_inserter(out), "\\n");
      else if (static_cast<unsigned char>(c) < ' ' || c == '\x7f')
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned>(c));
      else
        out.push_back(c);
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<OneLine>(); }
};

/// A word that is none of spdlog's would turn the log off.
spdlog::level::level_enum wanted_level() {
  const char* text = std::getenv("BERTH_LOG");
  const auto level = text ? spdlog::level::from_str(text) : spdlog::level::info;
  return level == spdlog::level::off && std::string_view(text) != "off" ? spdlog::level::info : level;
}

void install(std::shared_ptr<spdlog::logger> logger) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<OneLine>('*').set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %*");
  logger->set_formatter(std::move(formatter));
  logger->set_level(wanted_level());
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

void log_to_stderr() {
  install(spdlog::stderr_logger_mt("berth-stderr"));
}

}  // namespace berth
