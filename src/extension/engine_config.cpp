#include "extension/engine_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/error.h"
#include "model/engine_configuration.h"

namespace berth::extension {
namespace {

using nlohmann::ordered_json;

enum class FlagType { text, flag, number, list, map, limits };

struct Flag {
  std::string_view name;  ///< without dashes
  std::string_view key;   ///< of daemon.json
  FlagType type;
};

/// dockerd's flags that have a key in daemon.json. Source: the engine's own reference, "Daemon configuration
/// file"; others go on the command line, where every engine reads them.
constexpr Flag flags[] = {
    {"D", "debug", FlagType::flag},
    {"G", "group", FlagType::text},
    {"bip", "bip", FlagType::text},
    {"bridge", "bridge", FlagType::text},
    {"b", "bridge", FlagType::text},
    {"cgroup-parent", "cgroup-parent", FlagType::text},
    {"data-root", "data-root", FlagType::text},
    {"graph", "data-root", FlagType::text},
    {"g", "data-root", FlagType::text},
    {"debug", "debug", FlagType::flag},
    {"default-runtime", "default-runtime", FlagType::text},
    {"default-shm-size", "default-shm-size", FlagType::text},
    {"default-ulimit", "default-ulimits", FlagType::limits},
    {"dns", "dns", FlagType::list},
    {"dns-opt", "dns-opts", FlagType::list},
    {"dns-search", "dns-search", FlagType::list},
    {"exec-opt", "exec-opts", FlagType::list},
    {"exec-root", "exec-root", FlagType::text},
    {"experimental", "experimental", FlagType::flag},
    {"fixed-cidr", "fixed-cidr", FlagType::text},
    {"fixed-cidr-v6", "fixed-cidr-v6", FlagType::text},
    {"group", "group", FlagType::text},
    {"icc", "icc", FlagType::flag},
    {"init", "init", FlagType::flag},
    {"insecure-registry", "insecure-registries", FlagType::list},
    {"ip", "ip", FlagType::text},
    {"ip-forward", "ip-forward", FlagType::flag},
    {"ip-masq", "ip-masq", FlagType::flag},
    {"iptables", "iptables", FlagType::flag},
    {"ipv6", "ipv6", FlagType::flag},
    {"label", "labels", FlagType::list},
    {"live-restore", "live-restore", FlagType::flag},
    {"log-driver", "log-driver", FlagType::text},
    {"log-level", "log-level", FlagType::text},
    {"l", "log-level", FlagType::text},
    {"log-opt", "log-opts", FlagType::map},
    {"max-concurrent-downloads", "max-concurrent-downloads", FlagType::number},
    {"max-concurrent-uploads", "max-concurrent-uploads", FlagType::number},
    {"metrics-addr", "metrics-addr", FlagType::text},
    {"mtu", "mtu", FlagType::number},
    {"no-new-privileges", "no-new-privileges", FlagType::flag},
    {"pidfile", "pidfile", FlagType::text},
    {"p", "pidfile", FlagType::text},
    {"registry-mirror", "registry-mirrors", FlagType::list},
    {"selinux-enabled", "selinux-enabled", FlagType::flag},
    {"shutdown-timeout", "shutdown-timeout", FlagType::number},
    {"storage-driver", "storage-driver", FlagType::text},
    {"s", "storage-driver", FlagType::text},
    {"storage-opt", "storage-opts", FlagType::list},
    {"userland-proxy", "userland-proxy", FlagType::flag},
    {"userns-remap", "userns-remap", FlagType::text},
};

/// dockerd takes these up on SIGHUP. Source: the engine's reference, "Configuration reload behavior".
constexpr std::string_view reloadable[] = {"debug",
                                           "labels",
                                           "live-restore",
                                           "max-concurrent-downloads",
                                           "max-concurrent-uploads",
                                           "max-download-attempts",
                                           "default-runtime",
                                           "runtimes",
                                           "authorization-plugins",
                                           "insecure-registries",
                                           "registry-mirrors",
                                           "shutdown-timeout",
                                           "features"};

/// Defaults of ours that go with another key's default only: the options of a log driver are its own, and
/// without the engine's packet filter a published port needs the proxy. Who chose the second key chose the
/// first.
constexpr std::pair<std::string_view, std::string_view> companions[] = {{"log-opts", "log-driver"},
                                                                        {"userland-proxy", "iptables"}};

/// The user chose `key` otherwise than by our settings: defaults of ours give way.
void give_way(std::vector<DaemonKey>& wanted, std::string_view key) {
  std::erase_if(wanted, [&](const DaemonKey& ours) {
    return !ours.firm && (ours.name == key || std::find(std::begin(companions), std::end(companions),
                                                        std::pair<std::string_view, std::string_view>(
                                                            ours.name, key)) != std::end(companions));
  });
}

/// A command-line word taken apart: "--log-opt=a=b" is {"log-opt", "a=b"}; "-H" and "tcp://…" come
/// separately.
struct FlagWord {
  std::string name;
  std::optional<std::string> value;
};

std::optional<FlagWord> take_apart(std::string_view word) {
  if (word.size() < 2 || word[0] != '-') return std::nullopt;
  const bool is_long = word[1] == '-';
  const std::string_view body = word.substr(is_long ? 2 : 1);
  const std::size_t equals = body.find('=');
  if (equals != std::string_view::npos)
    return FlagWord{std::string(body.substr(0, equals)), std::string(body.substr(equals + 1))};
  if (is_long || body.size() == 1) return FlagWord{std::string(body), std::nullopt};
  return FlagWord{std::string(body.substr(0, 1)), std::string(body.substr(1))};  // -Htcp://…
}

const Flag* find_flag(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(flags), std::end(flags), [&](const Flag& flag) { return flag.name == name; });
  return found == std::end(flags) ? nullptr : found;
}

bool is_listener(std::string_view name) {
  return name == "H" || name == "host";
}
bool is_tls(std::string_view name) {
  return name.starts_with("tls");
}
/// Another daemon.json: ours, with its TLS keys, would not be read.
bool is_other_file(std::string_view name) {
  return name == "config-file";
}

[[noreturn]] void throw_bad_option(const std::string& happened, const std::string& advice = {}) {
  throw Error(ErrorKind::invalid, "BadSettings", happened, advice);
}

ordered_json flag_value(const Flag& flag, const std::string& text) {
  switch (flag.type) {
    case FlagType::flag:
      if (text != "true" && text != "false")
        throw_bad_option(fmt::format("docker.options gives --{} the value '{}'; it can be true or false.",
                                     flag.name, text));
      return text == "true";
    case FlagType::number:
      if (text.empty() || text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos)
        throw_bad_option(
            fmt::format("docker.options gives --{} the value '{}', which is not a number.", flag.name, text));
      return std::stoi(text);
    default:
      return text;
  }
}

/// "nofile=1024:4096" or "nofile=1024", as daemon.json has it.
void add_limit(ordered_json& limits, const Flag& flag, const std::string& text) {
  const std::size_t equals = std::min(text.find('='), text.size());
  const std::size_t colon = std::min(text.find(':', equals), text.size());
  const std::string name = text.substr(0, equals);
  const auto amount = [&](std::size_t begin, std::size_t end) {
    const std::string digits = begin < end ? text.substr(begin, end - begin) : "";
    if (digits == "-1") return -1;
    if (name.empty() || digits.empty() || digits.size() > 9 ||
        digits.find_first_not_of("0123456789") != std::string::npos)
      throw_bad_option(
          fmt::format("docker.options gives --{} the value '{}', which is not NAME=SOFT or NAME=SOFT:HARD.",
                      flag.name, text));
    return std::stoi(digits);
  };
  const int soft = amount(equals + 1, colon);
  const int hard = colon == text.size() ? soft : amount(colon + 1, text.size());
  limits[name] = {{"Name", name}, {"Hard", hard}, {"Soft", soft}};
}

void add_key(DaemonOptions& sorted, const Flag& flag, const std::string& text) {
  auto found = std::find_if(sorted.keys.begin(), sorted.keys.end(),
                            [&](const DaemonKey& key) { return key.name == flag.key; });
  if (found == sorted.keys.end()) {
    const bool named = flag.type == FlagType::map || flag.type == FlagType::limits;
    sorted.keys.push_back({std::string(flag.key), flag.type == FlagType::list ? ordered_json::array()
                                                  : named                     ? ordered_json::object()
                                                                              : ordered_json()});
    found = sorted.keys.end() - 1;
  }
  if (flag.type == FlagType::list) {
    found->value.push_back(text);
  } else if (flag.type == FlagType::map) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos)
      throw_bad_option(
          fmt::format("docker.options gives --{} the value '{}', which is not NAME=VALUE.", flag.name, text));
    found->value[text.substr(0, equals)] = text.substr(equals + 1);
  } else if (flag.type == FlagType::limits) {
    add_limit(found->value, flag, text);
  } else {
    found->value = flag_value(flag, text);
  }
}

/// A word of the command line as dockerd gets it.
struct CommandWord {
  std::string text;
  std::string file;       ///< that sets it
  std::size_t place = 0;  ///< of the word of ExecStart that it comes from; 0 is the program
};

/// ${NAME} within a word: its value, one word still.
std::string with_variables(const EngineUnit& unit, const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::size_t end = text.compare(i, 2, "${") == 0 ? text.find('}', i) : std::string::npos;
    if (end == std::string::npos) {
      result += text[i];
      if (text.compare(i, 2, "$$") == 0) ++i;
      continue;
    }
    const auto variable = unit.variables.find(text.substr(i + 2, end - i - 2));
    if (variable != unit.variables.end()) result += variable->second;
    i = end;
  }
  return result;
}

/// The unit's command line with its variables as systemd replaces them: $NAME becomes as many words as it
/// holds.
std::vector<CommandWord> command_words(const EngineUnit& unit) {
  std::vector<CommandWord> result;
  const std::vector<UnitWord> words = split_unit_words(unit.exec_start);
  for (std::size_t place = 0; place < words.size(); ++place) {
    const std::string& text = words[place].text;
    if (text.size() < 2 || text[0] != '$' || text[1] == '{' || text[1] == '$') {
      const std::string name =
          text.starts_with("${") && text.ends_with("}") ? text.substr(2, text.size() - 3) : "";
      const auto origin = unit.origins.find(name);
      result.push_back(
          {with_variables(unit, text), origin == unit.origins.end() ? unit.file : origin->second, place});
      continue;
    }
    const auto variable = unit.variables.find(text.substr(1));
    if (variable == unit.variables.end()) continue;
    for (const UnitWord& inner : split_unit_words(variable->second))
      result.push_back({inner.text, unit.origins.at(variable->first), place});
  }
  return result;
}

/// "tcp://0.0.0.0:2376", or the old "0.0.0.0:2376" and ":2376".
bool is_tcp(std::string_view listener) {
  return listener.starts_with("tcp://") ||
         (listener.find("://") == std::string_view::npos && listener.find(':') != std::string_view::npos);
}

bool on_port(std::string_view listener, std::uint16_t port) {
  const std::string ending = ":" + std::to_string(port);
  return is_tcp(listener) && (listener.ends_with(ending) || listener.ends_with(ending + "/"));
}

/// The unit's own words that stay: as written, but for a variable that holds something that makes room, of
/// which the rest is written out.
struct KeptWords {
  std::vector<std::string> words;
  bool all = true;  ///< nothing had to make room
  bool local_listener = false, tcp_listener = false;
};
KeptWords kept_words(const EngineUnit& unit, const Settings& settings) {
  const std::vector<CommandWord> words = command_words(unit);
  KeptWords kept;
  std::set<std::size_t> goes, changed;  // words, and places that lose one
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto flag = take_apart(words[i].text);
    if (words[i].place == 0 || !flag || (!is_listener(flag->name) && !is_tls(flag->name))) continue;
    const std::size_t at = i;
    const bool takes_value = flag->name != "tls" && flag->name != "tlsverify";
    if (!flag->value && takes_value && i + 1 < words.size()) ++i;
    bool make_room = settings.port.has_value();
    if (is_listener(flag->name)) {
      const std::string value = flag->value ? *flag->value : i > at ? words[i].text : "";
      const bool dead_socket = value.starts_with("fd://") && !unit.has_socket;
      make_room = dead_socket || (settings.port && on_port(value, *settings.port));
      if (!make_room && (value.starts_with("fd://") || value.starts_with("unix://")))
        kept.local_listener = true;
      if (!make_room && is_tcp(value)) kept.tcp_listener = true;
    }
    for (std::size_t word = at; make_room && word <= i; ++word) {
      goes.insert(word);
      changed.insert(words[word].place);
    }
  }
  kept.all = changed.empty();
  const std::vector<UnitWord> written = split_unit_words(unit.exec_start);
  for (std::size_t place = 0; place < written.size(); ++place) {
    if (!changed.contains(place)) {
      kept.words.push_back(written[place].raw);
      continue;
    }
    for (std::size_t word = 0; word < words.size(); ++word)
      if (words[word].place == place && !goes.contains(word))
        kept.words.push_back(quote_unit_word(words[word].text));
  }
  return kept;
}

std::string tcp_listener(const Settings& settings) {
  const bool bare_ipv6 = settings.address.find(':') != std::string::npos && settings.address[0] != '[';
  return fmt::format("tcp://{}:{}", bare_ipv6 ? "[" + settings.address + "]" : settings.address,
                     *settings.port);
}

int indent_of(const std::string& text) {
  const std::size_t line = text.find('\n');
  if (line == std::string::npos) return 2;
  const std::size_t first = text.find_first_not_of(' ', line + 1);
  if (first == std::string::npos) return 2;
  const std::size_t width = first - line - 1;
  return width >= 1 && width <= 8 ? static_cast<int>(width) : 2;
}

}  // namespace

DaemonOptions sort_options(const std::vector<std::string>& options) {
  DaemonOptions sorted;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const std::string& word = options[i];
    const auto flag = take_apart(word);
    if (!flag) {
      if (word.empty()) continue;
      sorted.words.push_back(word);
      continue;
    }
    if (is_listener(flag->name) || is_tls(flag->name))
      throw_bad_option(fmt::format(
          "docker.options holds '{}'; listeners and TLS are set by docker.port and the certificates.",
          word.substr(0, 80)));
    if (is_other_file(flag->name))
      throw_bad_option(
          fmt::format("docker.options holds '{}'; the engine's file is {}.", word.substr(0, 80), daemon_file),
          fmt::format("Put what that file holds into {}, where it stays.", daemon_file));
    const std::size_t blank = word.find(' ');
    if (blank != std::string::npos && blank < word.find('='))
      throw_bad_option(fmt::format("docker.options holds '{}', two words in one item.", word.substr(0, 80)),
                       "Write it as two items, or with '=' between flag and value.");
    const Flag* known = find_flag(flag->name);
    if (!known) {
      sorted.words.push_back(word);
      continue;
    }
    if (flag->value) {
      add_key(sorted, *known, *flag->value);
    } else if (known->type == FlagType::flag) {
      add_key(sorted, *known, "true");
    } else if (i + 1 < options.size()) {
      add_key(sorted, *known, options[++i]);
    } else {
      throw_bad_option(fmt::format("docker.options ends with '{}', which needs a value.", word));
    }
  }
  return sorted;
}

std::vector<DaemonKey> tls_daemon_keys() {
  std::vector<DaemonKey> keys;
  for (const EngineKey& key : engine_tls_keys())
    keys.push_back({std::string(key.name), ordered_json::parse(key.value)});
  return keys;
}

std::vector<DaemonKey> wanted_daemon_keys(const Settings& settings, const DaemonOptions& options, bool swarm,
                                          TlsBy tls) {
  std::vector<DaemonKey> wanted;
  if (settings.port && settings.has_certificates() && tls == TlsBy::engine) wanted = tls_daemon_keys();
  const bool cis = settings.hardening == Hardening::cis;
  for (const EngineKey& key : engine_default_keys()) {
    DaemonKey ours{std::string(key.name), ordered_json::parse(key.value), false};
    if (key.name == "live-restore" && swarm)
      ours = {"live-restore", false};  // dockerd does not start with both
    else if (key.name == "live-restore" && settings.live_restore)
      ours = {"live-restore", *settings.live_restore};
    if (key.name == "userland-proxy") ours.firm = cis;
    wanted.push_back(std::move(ours));
  }
  if (cis) {
    wanted.push_back({"no-new-privileges", true});
    wanted.push_back({"icc", false});
  }
  for (const DaemonKey& key : options.keys) {
    std::erase_if(wanted, [&](const DaemonKey& ours) { return ours.name == key.name; });
    if (key.name == "live-restore" && swarm && key.value == true)
      throw Error(ErrorKind::conflict, "BadSettings",
                  "docker.options asks for live-restore on a machine in a swarm; the engine refuses both.");
    give_way(wanted, key.name);
    wanted.push_back(key);
  }
  return wanted;
}

DaemonFile merge_daemon_file(const std::optional<std::string>& current,
                             const std::vector<DaemonKey>& all_wanted, const ordered_json& owned) {
  std::vector<DaemonKey> wanted = all_wanted;
  const bool blank = !current || current->find_first_not_of(" \t\r\n") == std::string::npos;
  const ordered_json before = blank ? ordered_json::object() : ordered_json::parse(*current, nullptr, false);
  if (!before.is_object())
    throw Error(ErrorKind::conflict, "BadDaemonConfig",
                fmt::format("{} is not a JSON object; it was left as it is.", daemon_file),
                "Repair the file (dockerd would not start with it either), then apply the settings again.");
  const auto ours_before = [&](const std::string& name) -> const ordered_json* {
    const auto found = owned.is_object() ? owned.find(name) : owned.end();
    return owned.is_object() && found != owned.end() && found->is_object() && found->contains("ours")
               ? &*found
               : nullptr;
  };
  const auto is_users = [&](const std::string& name) {
    const ordered_json* mine = ours_before(name);
    return before.contains(name) && !(mine && before[name] == (*mine)["ours"]);
  };
  for (const auto& [name, value] : before.items())
    if (is_users(name)) give_way(wanted, name);

  DaemonFile result;
  result.owned = ordered_json::object();
  ordered_json after = before;
  if (owned.is_object()) {
    for (const auto& [name, mine] : owned.items()) {
      const bool still =
          std::any_of(wanted.begin(), wanted.end(), [&](const DaemonKey& key) { return key.name == name; });
      if (still || !ours_before(name) || !after.contains(name) || after[name] != mine["ours"]) continue;
      if (mine.contains("before"))
        after[name] = mine["before"];
      else
        after.erase(name);
    }
  }
  for (const DaemonKey& key : wanted) {
    const ordered_json* mine = ours_before(key.name);
    ordered_json record = {{"ours", key.value}};
    if (mine && mine->contains("before")) record["before"] = (*mine)["before"];
    // A TLS key that already says exactly ours is ours, whatever became of our records: left behind without
    // its files it would keep the engine from starting.
    else if (is_users(key.name) && !(key.name.starts_with("tls") && after[key.name] == key.value))
      record["before"] = after[key.name];
    after[key.name] = key.value;
    result.owned[key.name] = std::move(record);
  }

  for (const auto& [name, value] : after.items())
    if (!before.contains(name) || before[name] != value) result.changed.push_back(name);
  for (const auto& [name, value] : before.items())
    if (!after.contains(name)) result.changed.push_back(name);
  if (result.changed.empty())
    result.text = current.value_or("");
  else if (!after.empty() || !blank)
    result.text =
        after.dump(blank ? 2 : indent_of(*current), ' ', false, ordered_json::error_handler_t::replace) +
        "\n";
  return result;
}

std::string daemon_key_of_flag(std::string_view word) {
  const auto flag = take_apart(word);
  if (!flag) return {};
  if (is_listener(flag->name)) return "hosts";
  if (is_tls(flag->name)) return flag->name;
  const Flag* known = find_flag(flag->name);
  return known ? std::string(known->key) : std::string();
}

void settle_flags(const EngineUnit& unit, const ordered_json& daemon, bool adds_flags,
                  std::vector<DaemonKey>& wanted) {
  const auto conflict = [](const std::string& happened, const std::string& advice) {
    throw Error(ErrorKind::conflict, "EngineConfigConflict", happened, advice);
  };
  const std::vector<CommandWord> words = command_words(unit);
  for (std::size_t i = 1; i < words.size(); ++i) {
    const auto& [word, file, place] = words[i];
    const auto flag = take_apart(word);
    if (flag && is_other_file(flag->name)) {
      const std::string other = flag->value ? *flag->value : i + 1 < words.size() ? words[i + 1].text : "";
      if (other != daemon_file)
        conflict(
            fmt::format("{} starts the engine with --config-file={}, and this extension configures it in {}.",
                        file, other.substr(0, 80), daemon_file),
            fmt::format("Move what {} holds to {} and remove the flag from {}.", other.substr(0, 80),
                        daemon_file, file));
    }
    const std::string key = daemon_key_of_flag(word);
    if (key.empty() || key.starts_with("tls")) continue;  // the unit's TLS flags make room for ours
    give_way(wanted, key);
    const bool asked =
        std::any_of(wanted.begin(), wanted.end(), [&](const DaemonKey& ours) { return ours.name == key; });
    if (asked || daemon.contains(key))
      conflict(fmt::format("{} sets {} by a flag ({}), and {} {} '{}' as well; the engine refuses both.",
                           file, key, word.substr(0, 80), daemon_file,
                           asked && !daemon.contains(key) ? "is to set" : "sets", key),
               fmt::format("Remove it from {} or from {}.", file,
                           daemon.contains(key) ? daemon_file : "the settings"));
  }
  if (adds_flags && daemon.contains("hosts"))
    conflict(
        fmt::format("{} sets 'hosts', and listeners are set by flags; the engine refuses both.", daemon_file),
        fmt::format("Remove hosts from {}: docker.port opens a port, and the unix socket stays.",
                    daemon_file));
}

bool adds_flags(const Settings& settings, const DaemonOptions& options) {
  return settings.port || !options.words.empty();
}

bool opens_other_tcp(const EngineUnit& unit, const Settings& settings) {
  return kept_words(unit, settings).tcp_listener;
}

std::optional<std::string> drop_in_text(const EngineUnit& unit, const Settings& settings,
                                        const DaemonOptions& options, TlsBy tls) {
  if (!adds_flags(settings, options)) return std::nullopt;
  const KeptWords kept = kept_words(unit, settings);
  if (tls == TlsBy::front && kept.all && options.words.empty()) return std::nullopt;
  std::string command;
  for (const std::string& word : kept.words) command += (command.empty() ? "" : " ") + word;
  for (const std::string& word : options.words) command += " " + quote_unit_word(word);
  if (!kept.local_listener) command += " -H unix:///run/docker.sock";
  if (settings.port && tls == TlsBy::engine) command += " -H " + tcp_listener(settings);
  return fmt::format(
      "# Made by the Docker VM extension, which writes it again at every change of its settings.\n"
      "[Service]\nExecStart=\nExecStart={}\n",
      command);
}

std::string drop_in_file(const EngineUnit& unit) {
  return std::string("/etc/systemd/system/docker.service.d/") +
         (unit.later_drop_in ? "zz-docker-ext.conf" : "10-docker-ext.conf");
}

std::string options_line(const Settings& settings, const DaemonOptions& options) {
  std::string words;
  for (const std::string& word : options.words) {
    if (word.find_first_of(" \"'$`\\") != std::string::npos)
      throw_bad_option(fmt::format("docker.options holds '{}', which {} cannot carry.", word.substr(0, 80),
                                   defaults_file));
    words += word + " ";
  }
  if (settings.port) words += fmt::format("-H unix:///var/run/docker.sock -H {}", tcp_listener(settings));
  return fmt::format("DOCKER_OPTS=\"{}\"", words);
}

std::string find_options_line(const std::string& text) {
  const std::size_t at = text.find("DOCKER_OPTS=");
  if (at == std::string::npos) return {};
  const std::size_t begin = text.rfind('\n', at) + 1;  // npos + 1 is the beginning
  return text.substr(begin, text.find('\n', at) - begin);
}

std::string with_options_line(const std::string& text, const std::string& line) {
  const std::string there = find_options_line(text);
  std::string result = text;
  if (there.empty()) {
    if (!line.empty()) result += (text.empty() || text.ends_with('\n') ? "" : "\n") + line + "\n";
    return result;
  }
  const std::size_t begin = text.find(there);
  const std::size_t end = begin + there.size();
  const bool whole = line.empty() && end < text.size();
  return result.replace(begin, there.size() + (whole ? 1 : 0), line);
}

EngineAction action_for(const ConfigChange& change, bool active) {
  if (!active) return EngineAction::start;
  const bool all_reloadable =
      std::all_of(change.daemon_keys.begin(), change.daemon_keys.end(), [](const std::string& key) {
        return std::find(std::begin(reloadable), std::end(reloadable), key) != std::end(reloadable);
      });
  if (change.tls || change.unit || !all_reloadable) return EngineAction::restart;
  return change.daemon_keys.empty() ? EngineAction::none : EngineAction::reload;
}

}  // namespace berth::extension
