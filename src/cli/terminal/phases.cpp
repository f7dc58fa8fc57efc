#include "cli/terminal/phases.h"

#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <optional>

namespace berth {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::optional<milliseconds> parse_time(const std::string& text) {
  std::tm parts{};
  double seconds = 0;
  if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%lf", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
                  &parts.tm_hour, &parts.tm_min, &seconds) != 6)
    return std::nullopt;
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return std::chrono::seconds(::timegm(&parts)) + milliseconds(static_cast<long>(seconds * 1000 + 0.5));
}

}  // namespace

milliseconds time_between(const std::string& began, const std::string& ended) {
  const auto from = parse_time(began), to = parse_time(ended);
  return from && to && *to > *from ? *to - *from : milliseconds(0);
}

void PhaseDisplay::begin(const std::string& name) {
  if (running_) end();
  show(name, {});
}

void PhaseDisplay::tick() {
  if (running_) show(name_, detail_);
}

void PhaseDisplay::end() {
  if (!running_) return;
  close(name_, std::chrono::duration_cast<milliseconds>(steady_clock::now() - began_));
}

void PhaseDisplay::update(const std::vector<Phase>& phases) {
  for (const Phase& phase : phases) {
    const std::string key = phase.name + " " + phase.began;
    if (ended_.contains(key)) continue;
    if (phase.ended.empty()) {
      show(phase.name, phase.detail);
      continue;
    }
    ended_.insert(key);
    name_ = phase.name;
    close(phase.name, time_between(phase.began, phase.ended));
  }
}

void PhaseDisplay::show(const std::string& name, const std::string& detail) {
  if (!running_ || name != name_) {
    name_ = name;
    running_ = true;
    began_ = steady_clock::now();
    if (!out_.style().live) out_.info(name + "...");
  }
  detail_ = detail;
  const auto time = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began_);
  out_.live(
      fmt::format("info:    {}{}{} ({})", name, detail.empty() ? "" : ": ", detail, seconds_text(time)));
}

void PhaseDisplay::close(const std::string& name, milliseconds took) {
  running_ = false;
  out_.info(fmt::format("{} ({})", name, seconds_text(took)));
}

}  // namespace berth
