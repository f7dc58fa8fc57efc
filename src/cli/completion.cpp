#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/help.h"
#include "cli/session.h"

/// `azure completion bash|zsh|fish|man`. The shells' functions ask the program what may stand next (the hidden command `completion next`),
/// so that they never differ from it.
namespace berth {
namespace {

using nlohmann::ordered_json;

// What a shell calls gives one candidate a line, with its description after a tab; files stand for themselves.
constexpr std::string_view bash_function = R"(_azure() {
  local current=${COMP_WORDS[COMP_CWORD]} list
  list=$("${COMP_WORDS[0]}" completion next -- "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$current" 2>/dev/null | cut -f1)
  mapfile -t COMPREPLY < <(compgen -W "$list" -- "$current")
  [[ -n $list || $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
}
complete -o filenames -F _azure azure)";
constexpr std::string_view zsh_function = R"(#compdef azure
_azure() {
  local -a lines
  lines=("${(@f)$("${words[1]}" completion next -- "${(@)words[2,CURRENT-1]}" "${words[CURRENT]}" 2>/dev/null)}")
  lines=("${(@)lines:#}")
  if (( ! ${#lines} )); then _files; return; fi
  lines=("${(@)lines//:/\\:}")
  lines=("${(@)lines/$'\t'/:}")
  _describe command lines
}
compdef _azure azure)";
constexpr std::string_view fish_function = R"(function __azure_next
  azure completion next -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null
end
complete -c azure -f -n 'count (__azure_next) >/dev/null' -a '(__azure_next)'
complete -c azure -F -n 'not count (__azure_next) >/dev/null')";

struct Candidate {
  std::string word, description;
};

/// What may stand in place of the last of `words`; the others stand before it. Nothing where a value or a file is wanted.
std::vector<Candidate> candidates(std::vector<std::string> words, Session& session) {
  const std::string current = words.empty() ? "" : words.back();
  if (!words.empty()) words.pop_back();
  if (!words.empty() && words.front() == "help") words.erase(words.begin());
  if (std::ranges::find(words, "--") != words.end()) return {};
  std::vector<std::string> plain;
  for (const std::string& word : words)
    if (!word.starts_with('-')) plain.push_back(word);
  std::vector<Candidate> found;
  const auto add = [&](std::string word, std::string_view description) {
    const bool known = std::ranges::any_of(found, [&](const Candidate& one) { return one.word == word; });
    if (word.starts_with(current) && !known) found.push_back({std::move(word), std::string(description)});
  };
  for (const Command& command : all_commands()) {
    const auto name = words_of(command.name);
    if (plain.size() < name.size() || !std::equal(name.begin(), name.end(), plain.begin())) continue;
    if (!current.starts_with('-')) return {};
    CommandLine line;
    command.declare(line, session);
    for (const auto& item : line.items())
      if (!item->argument && item->shown) add(item->names.back(), item->description);
    for (const CommonOption& option : common_options)
      add(std::string(option.names.substr(option.names.rfind("--"))), option.description);
    return found;
  }
  const auto below = [&](std::string_view name, std::string_view description) {
    const auto parts = words_of(name);
    if (parts.size() > plain.size() && std::equal(plain.begin(), plain.end(), parts.begin()))
      add(parts[plain.size()], parts.size() == plain.size() + 1 ? description : "");
  };
  for (const CommandGroup& group : command_groups()) below(group.name, group.summary);
  for (const Command& command : all_commands()) below(command.name, command.summary);
  if (plain.empty()) add("help", "Say more about a command");
  return found;
}

void print_text(Session& session, std::string_view text) {
  if (session.out.json_mode()) return session.out.json({{"text", text}});
  session.out.raw(text);
}

void completion_bash(CommandLine& app, Session& session) {
  app.callback([&session] { print_text(session, bash_function); });
}
void completion_zsh(CommandLine& app, Session& session) {
  app.callback([&session] { print_text(session, zsh_function); });
}
void completion_fish(CommandLine& app, Session& session) {
  app.callback([&session] { print_text(session, fish_function); });
}
void completion_man(CommandLine& app, Session& session) {
  app.callback([&session] { print_text(session, manual_page(session.version)); });
}

void completion_next(CommandLine& app, Session& session) {
  auto words = std::make_shared<std::vector<std::string>>();
  app.add_option("words", *words, "What was typed so far, and the beginning of the next word");
  app.callback([words, &session] {
    const std::vector<Candidate> found = candidates(*words, session);
    if (session.out.json_mode()) {
      ordered_json all = ordered_json::array();
      for (const Candidate& one : found)
        all.push_back({{"word", one.word}, {"description", one.description}});
      return session.out.json(all);
    }
    std::string text;
    for (const Candidate& one : found) text += (text.empty() ? "" : "\n") + one.word + "\t" + one.description;
    if (!text.empty()) session.out.raw(text);
  });
}

constexpr Command completion_table[] = {
    {"completion bash", "Print completion for bash: source <(azure completion bash)", &completion_bash, true},
    {"completion zsh", "Print completion for zsh: source <(azure completion zsh)", &completion_zsh, true},
    {"completion fish", "Print completion for fish: azure completion fish | source", &completion_fish, true},
    {"completion man", "Print the manual page azure(1)", &completion_man, true},
    {"completion next", "Print what may stand next, for the shells", &completion_next, true},
};

}  // namespace

std::span<const Command> completion_commands() {
  return completion_table;
}

}  // namespace berth
