#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth {

/// The options and arguments of one command: which there are, what they came to, and what is done then. An option is named by its
/// spellings ("-dp,-p,--docker-port"), an argument by a word ("dns-name").
class CommandLine {
 public:
  /// One of them. Its values go to a variable of the command's that outlives this.
  struct Item {
    std::vector<std::string> names;
    std::string description;
    std::string type;        ///< what its value is, for help: "<port>"; "" for a flag
    bool argument = false;   ///< has no dash
    bool must = false;       ///< an argument that has to be given
    bool repeats = false;    ///< may be given several times; an argument takes all that follow
    bool shown = true;       ///< in help and completion
    bool has_alone = false;  ///< an option that may stand without its value, which is `alone` then
    std::string alone;
    std::function<void(const std::string&)> set;
    bool given = false;

    Item* required();
    Item* type_name(std::string name);
    Item* hidden();
    Item* or_alone(std::string value);
  };

  Item* add_option(std::string_view names, std::string& value, std::string description);
  Item* add_option(std::string_view names, std::optional<std::string>& value, std::string description);
  Item* add_option(std::string_view names, unsigned& value, std::string description);
  Item* add_option(std::string_view names, std::size_t& value, std::string description);
  Item* add_option(std::string_view names, std::vector<std::string>& values, std::string description);
  Item* add_option(std::string_view names, std::function<void(const std::string&)> set,
                   std::string description);
  Item* add_flag(std::string_view names, bool& value, std::string description);
  Item* add_flag(std::string_view names, std::function<void()> set, std::string description);
  /// "-g,--resource-group": which of several hosts of one name is meant.
  Item* add_group(std::string& value);

  /// What the command does once its arguments are read.
  void callback(std::function<void()> action) { action_ = std::move(action); }

  /// Reads the arguments. Throws Error(invalid) about the first that cannot be right; no value is in its text.
  void parse(const std::vector<std::string>& arguments);
  void run() const { action_(); }

  const std::vector<std::unique_ptr<Item>>& items() const { return items_; }
  /// "<name> [image]"
  std::string usage() const;

 private:
  Item* add(std::string_view names, std::string description, std::function<void(const std::string&)> set);
  Item* find(std::string_view name) const;
  Error unknown(const std::string& name) const;
  void read_option(const std::vector<std::string>& arguments, std::size_t& at);
  void read_argument(const std::string& text);

  std::vector<std::unique_ptr<Item>> items_;
  std::function<void()> action_ = [] {};
};

/// The candidate that a mistyped word stands for: at most a third of its letters are wrong, left out, too many or swapped. "" if there is
/// none.
std::string neighbour_of(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace berth
