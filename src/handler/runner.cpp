#include "handler/runner.h"

#include <fmt/format.h>

namespace berth::extension {

RunResult ProcessRunner::run(const std::vector<std::string>& argv, const RunOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  RunResult result = berth::run(argv, options);
  const auto took = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start);
  std::string command;
  for (const std::string& word : argv) command += (command.empty() ? "" : " ") + word;
  log_.line(fmt::format("ran command='{}' exit={} ms={:.1f}", command, result.exit_code, took.count()));
  if (result.exit_code != 0 && !result.err.empty()) log_.line("said " + last_lines(result, 10));
  return result;
}

void ProcessRunner::detach(const std::vector<std::string>& argv) {
  spawn_detached(argv, {});
}

std::string last_lines(const RunResult& result, std::size_t lines) {
  std::string_view text = result.err.empty() ? result.out : result.err;
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  std::size_t from = text.size();
  for (std::size_t n = 0; n < lines && from != std::string_view::npos && from > 0; ++n)
    from = text.rfind('\n', from - 1);
  return std::string(text.substr(from == std::string_view::npos || from == 0 ? 0 : from + 1));
}

}  // namespace berth::extension
