#include "extension/system.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view our_drop_in = "10-docker-ext.conf";
constexpr std::string_view our_late_drop_in = "zz-docker-ext.conf";

/// Where systemd looks for units, strongest first.
constexpr const char* unit_folders[] = {"/etc/systemd/system", "/run/systemd/system",
                                        "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
                                        "/lib/systemd/system"};

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

/// The value of a shell-like assignment without its quotes.
std::string unquoted(std::string_view value) {
  value = trimmed(value);
  std::string result;
  char quote = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    const char c = value[i];
    if (quote == 0 && (c == '"' || c == '\''))
      quote = c;
    else if (c == quote)
      quote = 0;
    else if (c == '\\' && quote != '\'' && i + 1 < value.size())
      result += value[++i];
    else
      result += c;
  }
  return result;
}

std::optional<std::string> read(const Root& root, const std::string& file) {
  std::error_code trouble;
  if (!fs::is_regular_file(root(file), trouble)) return std::nullopt;
  return read_file_if_there(root(file));
}

/// "Name=value" lines of a unit file's [Service] section, continuation lines joined.
std::vector<std::pair<std::string, std::string>> service_assignments(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> result;
  bool in_service = false;
  std::string pending;
  for (const std::string_view raw : split_lines(text)) {
    const std::string_view line = trimmed(raw);
    if (line.starts_with('#') || line.starts_with(';')) continue;
    if (!line.empty() && line.back() == '\\') {
      pending.append(line.substr(0, line.size() - 1)).append(" ");
      continue;
    }
    const std::string whole = pending + std::string(line);
    pending.clear();
    if (whole.starts_with('[')) {
      in_service = whole == "[Service]";
    } else if (const std::size_t equals = whole.find('='); in_service && equals != std::string::npos) {
      result.emplace_back(trimmed(std::string_view(whole).substr(0, equals)),
                          trimmed(std::string_view(whole).substr(equals + 1)));
    }
  }
  return result;
}

void set_variable(EngineUnit& unit, std::string_view assignment, const std::string& file) {
  const std::size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) return;
  const std::string name(trimmed(assignment.substr(0, equals)));
  unit.variables[name] = unquoted(assignment.substr(equals + 1));
  unit.origins[name] = file;
}

void read_environment_file(const Root& root, std::string_view value, EngineUnit& unit) {
  if (value.starts_with('-')) value.remove_prefix(1);
  const std::string file = unquoted(value);
  if (!file.starts_with('/')) return;
  unit.files.push_back(file);
  const auto text = read(root, file);
  if (!text) return;
  for (const std::string_view line : split_lines(*text))
    if (!trimmed(line).starts_with('#')) set_variable(unit, line, file);
}

void apply_unit_file(const Root& root, const std::string& file, EngineUnit& unit) {
  const auto text = read(root, file);
  if (!text) return;
  unit.files.push_back(file);
  for (const auto& [name, value] : service_assignments(*text)) {
    if (name == "ExecStart" && !value.empty()) {
      unit.exec_start = value;
      unit.file = file;
    } else if (name == "Environment") {
      for (const UnitWord& word : split_unit_words(value)) set_variable(unit, word.text, file);
    } else if (name == "EnvironmentFile") {
      read_environment_file(root, value, unit);
    }
  }
}

/// Drop-ins by file name; of two with one name the stronger folder's counts.
std::map<std::string, std::string> drop_ins(const Root& root) {
  std::map<std::string, std::string> found;
  for (const char* folder : unit_folders) {
    const std::string below = std::string(folder) + "/docker.service.d";
    std::error_code trouble;
    for (const auto& entry : fs::directory_iterator(root(below), trouble)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".conf") && name != our_drop_in && name != our_late_drop_in)
        found.emplace(name, below + "/" + name);
    }
  }
  return found;
}

std::optional<EngineUnit> read_unit(const Root& root, System& system) {
  EngineUnit unit;
  bool found = false;
  for (const char* folder : unit_folders) {
    const std::string file = std::string(folder) + "/docker.service";
    std::error_code trouble;
    if (fs::is_symlink(root(file), trouble) && fs::read_symlink(root(file), trouble) == "/dev/null") {
      system.masked = true;
      return std::nullopt;
    }
    if (!fs::exists(root(file), trouble)) continue;
    apply_unit_file(root, file, unit);
    found = true;
    break;
  }
  if (!found) return std::nullopt;
  for (const auto& [name, file] : drop_ins(root)) {
    const std::string before = unit.file;
    apply_unit_file(root, file, unit);
    if (unit.file == file && unit.file != before && name > our_drop_in) unit.later_drop_in = true;
  }
  for (const char* folder : unit_folders) {
    std::error_code trouble;
    if (fs::exists(root(std::string(folder) + "/docker.socket"), trouble)) unit.has_socket = true;
  }
  return unit;
}

std::optional<std::string> find_dockerd(const Root& root, const std::optional<EngineUnit>& unit) {
  std::vector<std::string> candidates;
  if (unit) {
    for (const UnitWord& word : split_unit_words(unit->exec_start)) {
      const std::string path = word.text.substr(std::min(word.text.find('/'), word.text.size()));
      if (path.ends_with("/dockerd")) candidates.push_back(path);
    }
  }
  for (const char* folder : {"/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/opt/bin"})
    candidates.push_back(std::string(folder) + "/dockerd");
  for (const std::string& path : candidates) {
    std::error_code trouble;
    if (fs::is_regular_file(root(path), trouble)) return path;
  }
  return std::nullopt;
}

std::string decoded_entities(std::string_view text) {
  static constexpr std::pair<std::string_view, char> entities[] = {
      {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
  std::string result;
  while (!text.empty()) {
    const auto* known = std::find_if(std::begin(entities), std::end(entities),
                                     [&](const auto& entity) { return text.starts_with(entity.first); });
    const bool is_known = known != std::end(entities);
    result += is_known ? known->second : text.front();
    text.remove_prefix(is_known ? known->first.size() : 1);
  }
  return result;
}

}  // namespace

bool Distribution::is_like(std::string_view family) const {
  return id == family || std::find(like.begin(), like.end(), family) != like.end();
}

Distribution parse_os_release(std::string_view text) {
  Distribution distribution;
  distribution.id = "linux";
  for (const std::string_view raw : split_lines(text)) {
    const std::string_view line = trimmed(raw);
    const std::size_t equals = line.find('=');
    if (line.starts_with('#') || equals == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, equals);
    const std::string value = unquoted(line.substr(equals + 1));
    if (name == "ID" && !value.empty()) distribution.id = value;
    if (name == "VERSION_ID") distribution.version = value;
    if (name == "PRETTY_NAME") distribution.name = value;
    if (name == "ID_LIKE") {
      distribution.like.clear();
      for (const UnitWord& word : split_unit_words(value)) distribution.like.push_back(word.text);
    }
  }
  if (distribution.name.empty())
    distribution.name = distribution.id + (distribution.version.empty() ? "" : " " + distribution.version);
  return distribution;
}

Distribution read_distribution(const Root& root) {
  for (const char* file : {"/etc/os-release", "/usr/lib/os-release"})
    if (const auto text = read(root, file)) return parse_os_release(*text);
  return parse_os_release("");
}

System look_at_system(const Root& root) {
  System system;
  std::error_code trouble;
  system.distribution = read_distribution(root);
  if (fs::is_directory(root("/run/systemd/system"), trouble))
    system.init = Init::systemd;
  else if (fs::is_directory(root("/etc/init.d"), trouble))
    system.init = Init::sysv;
  if (system.init == Init::systemd) system.unit = read_unit(root, system);
  system.dockerd = find_dockerd(root, system.unit);
  system.enabled =
      fs::is_symlink(root("/etc/systemd/system/multi-user.target.wants/docker.service"), trouble);
  system.swarm = fs::exists(root("/var/lib/docker/swarm/docker-state.json"), trouble);
  return system;
}

std::vector<UnitWord> split_unit_words(std::string_view line) {
  std::vector<UnitWord> words;
  for (std::size_t i = 0; i < line.size();) {
    if (is_blank(line[i])) {
      ++i;
      continue;
    }
    UnitWord word;
    char quote = 0;
    for (; i < line.size() && (quote != 0 || !is_blank(line[i])); ++i) {
      const char c = line[i];
      word.raw += c;
      if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
        word.raw += line[++i];
        word.text += line[i];
      } else if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (c == quote) {
        quote = 0;
      } else {
        word.text += c;
      }
    }
    words.push_back(std::move(word));
  }
  return words;
}

std::string quote_unit_word(std::string_view word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-_=./:,@+%$[]{}").find(c) != std::string_view::npos;
  });
  std::string result = plain ? "" : "\"";
  for (const char c : word) {
    if (c == '%' || c == '$') result += c;
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return plain ? result : result + '"';
}

std::optional<std::vector<std::string>> find_account(const Root& root, std::string_view file,
                                                     std::string_view name) {
  const auto text = read(root, std::string(file));
  if (!text) return std::nullopt;
  for (std::string_view line : split_lines(*text)) {
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
    std::vector<std::string> fields;
    for (std::size_t end = 0; end != std::string_view::npos;) {
      end = line.find(':');
      fields.emplace_back(line.substr(0, end));
      line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
    }
    return fields;
  }
  return std::nullopt;
}

std::optional<std::string> provisioned_user(std::string_view document) {
  // One element of one document; namespaces and prefixes do not matter.
  for (std::size_t at = 0; (at = document.find("UserName", at)) != std::string_view::npos; at += 8) {
    const std::size_t open = document.rfind('<', at);
    if (open == std::string_view::npos || document[open + 1] == '/') continue;
    const std::string_view prefix = document.substr(open + 1, at - open - 1);
    if (!prefix.empty() &&
        (prefix.back() != ':' || prefix.find_first_of(" \t\r\n>") != std::string_view::npos))
      continue;
    const std::size_t close = document.find('>', at);
    if (close == std::string_view::npos ||
        document.substr(at + 8, close - at - 8).find_first_not_of(" \t\r\n") != std::string_view::npos)
      continue;
    const std::size_t end = document.find('<', close);
    if (end == std::string_view::npos) return std::nullopt;
    const std::string user = decoded_entities(trimmed(document.substr(close + 1, end - close - 1)));
    const bool fits =
        !user.empty() && user.size() <= 32 && user[0] != '-' &&
        std::all_of(user.begin(), user.end(), [](char c) {
          return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
        });
    return fits ? std::optional(user) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace berth::extension
