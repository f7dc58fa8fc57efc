#include "cli/terminal/output.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>

#include "cli/terminal/foreign_text.h"

namespace berth {
namespace {

constexpr std::string_view green = "32", yellow = "33", red = "31", none;

/// Columns that a UTF-8 text takes: one per code point, which holds for what we print.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, columns(text)), ' ');
}

std::string without_trailing_blanks(std::string text) {
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

/// At most `width` columns.
std::string_view cut(std::string_view text, std::size_t width) {
  std::size_t used = 0;
  for (std::size_t i = 0; i < text.size(); ++i)
    if ((text[i] & 0xC0) != 0x80 && used++ == width) return text.substr(0, i);
  return text;
}

}  // namespace

Output::Style Output::style_of_process() {
  Style style;
  const char* term = std::getenv("TERM");
  const char* no_color = std::getenv("NO_COLOR");
  const bool capable = term != nullptr && std::string_view(term) != "dumb";
  const bool colors = capable && (no_color == nullptr || *no_color == '\0');
  style.live = capable && ::isatty(STDOUT_FILENO) == 1;
  style.color = colors && ::isatty(STDOUT_FILENO) == 1;
  style.error_color = colors && ::isatty(STDERR_FILENO) == 1;
  winsize size{};
  if (style.live && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    style.width = size.ws_col;
  return style;
}

void Output::line(std::ostream& stream, std::string_view level, std::string_view color,
                  std::string_view given) {
  const std::string clean = printable(given);  // much of it is what others said
  std::string_view text = clean;
  static std::mutex one_line_at_a_time;
  const std::lock_guard lock(one_line_at_a_time);
  end_live();
  remember(level, text);
  const bool colored = !color.empty() && (&stream == &err_ ? style_.error_color : style_.color);
  while (true) {
    const std::size_t end = text.find('\n');
    std::string shown = padded(std::string(level) + ":", 9) + style_.about + std::string(text.substr(0, end));
    shown = without_trailing_blanks(std::move(shown));
    if (colored) shown = fmt::format("\x1b[{}m{}:\x1b[0m{}", color, level, shown.substr(level.size() + 1));
    stream << shown << '\n';
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  stream.flush();
}

void Output::remember(std::string_view level, std::string_view text) {
  constexpr std::size_t most = 256 * 1024;
  history_ += fmt::format("{:<9}{}\n", std::string(level) + ":", text.substr(0, most / 4));
  if (history_.size() > most) history_.erase(0, history_.find('\n', history_.size() - most / 2) + 1);
}

void Output::info(std::string_view text) {
  if (for_programs()) remember("info", text);
  if (!for_programs()) line(out_, "info", green, text);
}
void Output::data(std::string_view text) {
  line(out_, "data", none, text);
}
void Output::help(std::string_view text) {
  line(for_programs() ? err_ : out_, "help", none, text);
}
void Output::warn(std::string_view text) {
  line(for_programs() ? err_ : out_, "warn", yellow, text);
}
void Output::error(std::string_view text) {
  line(err_, "error", red, text);
}
void Output::verbose(std::string_view text) {
  if (!style_.verbose) remember("verbose", text);
  if (style_.verbose) line(for_programs() ? err_ : out_, "verbose", none, text);
}

void Output::raw(std::string_view text) {
  end_live();
  out_ << text << std::endl;
}

void Output::json(const nlohmann::ordered_json& document) {
  end_live();
  out_ << document.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << std::endl;
}

void Output::table(const std::vector<std::string>& titles,
                   const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& title : titles) widths.push_back(columns(title));
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], columns(row[i]));
  const auto print = [&](const std::vector<std::string>& row) {
    std::string text;
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
      text += padded(row[i], widths[i]) + (i + 1 < widths.size() ? "  " : "");
    data(text);
  };
  print(titles);
  std::vector<std::string> dashes;
  for (const std::size_t width : widths) dashes.emplace_back(width, '-');
  print(dashes);
  for (const auto& row : rows) print(row);
}

void Output::pairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::size_t width = 0;
  for (const auto& [key, value] : pairs)
    if (!value.empty()) width = std::max(width, columns(key));
  for (const auto& [key, value] : pairs) data(value.empty() ? key : padded(key, width) + "  " + value);
}

void Output::live(std::string_view text) {
  if (!style_.live || for_programs()) return;
  out_ << "\r\x1b[K" << cut(printable(text), style_.width - 1) << std::flush;
  live_shown_ = true;
}

void Output::end_live() {
  if (!live_shown_) return;
  out_ << "\r\x1b[K" << std::flush;
  live_shown_ = false;
}

std::string seconds_text(std::chrono::milliseconds time) {
  const auto ms = std::max<std::chrono::milliseconds::rep>(time.count(), 0);
  if (ms < 100'000) return fmt::format("{}.{} s", ms / 1000, ms % 1000 / 100);
  return fmt::format("{} min {:02} s", ms / 60'000, ms / 1000 % 60);
}

}  // namespace berth
