#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

/// What the user sees, in the classic client's form: every line begins with its level, padded to nine columns
/// ("info:    …"). `error:` goes to the error stream, all else to the output stream. In JSON mode the output
/// stream carries JSON alone: information is dropped, warnings and help go to the error stream.
class Output {
 public:
  struct Style {
    bool json = false;
    bool verbose = false;
    bool bare = false;         ///< what is printed is for another program: all but raw() as in JSON mode
    bool live = false;         ///< the output stream is a terminal: one line may be redrawn
    bool color = false;        ///< for the output stream
    bool error_color = false;  ///< for the error stream
    std::size_t width = 80;    ///< columns of the terminal
    std::string about;         ///< stands before each text, when several things are done at once: "web-2: "
  };

  Output(std::ostream& out, std::ostream& err, Style style) : out_(out), err_(err), style_(style) {}

  /// For this process' streams: colors and a live line on a terminal only, none with NO_COLOR or TERM=dumb.
  static Style style_of_process();

  Style& style() { return style_; }
  const Style& style() const { return style_; }
  bool json_mode() const { return style_.json; }

  // A text with line breaks becomes as many lines. What would steer the terminal is left out of it.
  void info(std::string_view text);
  void data(std::string_view text);
  void help(std::string_view text);
  void warn(std::string_view text);
  void error(std::string_view text);
  void verbose(std::string_view text);  ///< only with -v

  /// For another program: as it is, without a level.
  void raw(std::string_view text);
  void json(const nlohmann::ordered_json& document);

  /// Columns as wide as their widest cell, a line of dashes below the titles, two blanks between.
  void table(const std::vector<std::string>& titles, const std::vector<std::vector<std::string>>& rows);
  /// "data:    key    value" with the values below each other; a pair without value is a heading.
  void pairs(const std::vector<std::pair<std::string, std::string>>& pairs);

  /// All lines so far, those of -v too whether it was said or not: the last 256 KiB.
  const std::string& history() const { return history_; }

  /// Draws `text` in place of the live line; nothing unless the output is a terminal. The next ordinary line,
  /// and end_live(), wipe it.
  void live(std::string_view text);
  void end_live();

 private:
  void remember(std::string_view level, std::string_view text);
  bool for_programs() const { return style_.json || style_.bare; }
  void line(std::ostream& stream, std::string_view level, std::string_view color, std::string_view given);

  std::ostream& out_;
  std::ostream& err_;
  Style style_;
  bool live_shown_ = false;
  std::string history_;
};

/// "0.4 s", "12.3 s", "2 min 05 s".
std::string seconds_text(std::chrono::milliseconds time);

}  // namespace berth
