#include "images/apt_sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text.find_first_not_of(blank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::vector<std::string> split(std::string_view text, std::string_view separators = " \t\r\n") {
  std::vector<std::string> words;
  while (true) {
    const auto first = text.find_first_not_of(separators);
    if (first == text.npos) return words;
    text.remove_prefix(first);
    const auto end = std::min(text.find_first_of(separators), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// Options have the same names in both formats but for case, and "arch" for "architectures".
void set_option(AptSource& source, std::string_view name, const std::string& value) {
  const std::string key = lower(name);
  if (key == "signed-by" && value.starts_with('/')) source.signed_by = value;
  if (key == "arch" || key == "architectures") source.architectures = split(value, ", \t\n");
  if (key == "trusted") source.trusted = lower(value) == "yes";
}

std::optional<AptSource> parse_line(std::string_view line) {
  line = trim(line.substr(0, line.find('#')));
  if (!line.starts_with("deb ") && !line.starts_with("deb\t")) return std::nullopt;
  line = trim(line.substr(4));
  AptSource source;
  if (line.starts_with('[')) {
    const auto end = line.find(']');
    if (end == line.npos) return std::nullopt;
    for (const std::string& option : split(line.substr(1, end - 1))) {
      const auto equals = option.find('=');
      if (equals != option.npos) set_option(source, option.substr(0, equals), option.substr(equals + 1));
    }
    line = trim(line.substr(end + 1));
  }
  const std::vector<std::string> words = split(line);
  if (words.size() < 3) return std::nullopt;  // without components it is a flat archive, never Debian's own
  source.uris = {words[0]};
  source.suites = {words[1]};
  source.components.assign(words.begin() + 2, words.end());
  return source;
}

/// Field name in lower case -> value, continuation lines joined by "\n".
using Stanza = std::map<std::string, std::string>;

std::optional<AptSource> source_from(const Stanza& stanza) {
  const auto field = [&stanza](const char* name) {
    const auto found = stanza.find(name);
    return found == stanza.end() ? std::string() : found->second;
  };
  if (lower(trim(field("enabled"))) == "no") return std::nullopt;
  if (!std::ranges::count(split(field("types")), "deb")) return std::nullopt;
  AptSource source;
  source.uris = split(field("uris"));
  source.suites = split(field("suites"));
  source.components = split(field("components"));
  for (const auto& [name, value] : stanza) set_option(source, name, std::string(trim(value)));
  if (source.uris.empty() || source.suites.empty() || source.components.empty()) return std::nullopt;
  return source;
}

/// The first mirror of a list that apt's mirror method reads; the guest will not have that file.
std::string first_mirror(const std::string& uri) {
  const std::string path = uri.substr(uri.find(':') + 1);
  const auto list = read_file_if_there("/" + path.substr(std::min(path.find_first_not_of('/'), path.size())));
  const std::string text = list.value_or("");
  for (const std::string_view line : lines_of(text)) {
    const auto words = split(line.substr(0, line.find('#')));
    if (!words.empty()) return words.front();
  }
  return {};
}

void resolve_mirror_files(std::vector<AptSource>& sources) {
  for (AptSource& source : sources) {
    for (std::string& uri : source.uris)
      if (uri.starts_with("mirror+file:")) uri = first_mirror(uri);
    std::erase(source.uris, "");
  }
}

/// "bookworm" of "bookworm", "bookworm-updates", "bookworm-security" and "bookworm/updates"; empty when it is
/// no name of a Debian release.
struct SuiteName {
  std::string release;
  std::string_view pocket;  ///< "", "-updates" or "-security"
};
std::optional<SuiteName> parse_suite(const std::string& suite) {
  static constexpr std::array releases = {"bullseye", "bookworm", "trixie",  "forky",    "duke",
                                          "sid",      "stable",   "testing", "unstable", "oldstable"};
  for (const std::string_view pocket : {"-updates", "-security", "/updates", ""}) {
    if (!suite.ends_with(pocket)) continue;
    const std::string release = suite.substr(0, suite.size() - pocket.size());
    if (std::ranges::count(releases, release))
      return SuiteName{release, pocket == "/updates" ? "-security" : pocket};
  }
  return std::nullopt;
}

/// The name under which apt keeps the Release file of this archive, without its folder.
std::string release_file(std::string_view uri, const std::string& suite) {
  if (const auto scheme = uri.find("://"); scheme != uri.npos) uri.remove_prefix(scheme + 3);
  if (const auto user = uri.find('@'); user < uri.find('/')) uri.remove_prefix(user + 1);
  while (uri.ends_with('/')) uri.remove_suffix(1);
  std::string name = fmt::format("{}/dists/{}/InRelease", uri, suite);
  std::ranges::replace(name, '/', '_');
  return name;
}

/// Whose archive it is, as far as the host can tell.
enum class Owner { debian, unknown, other };
Owner owner_of(const AptSource& source, const std::string& uri, const std::string& suite,
               const fs::path& lists) {
  if (const auto release = read_file_if_there(lists / release_file(uri, suite)))
    for (const std::string_view line : lines_of(*release))
      if (line.starts_with("Origin:")) return trim(line.substr(7)) == "Debian" ? Owner::debian : Owner::other;
  if (source.signed_by.empty()) return Owner::unknown;
  const bool ours = fs::path(source.signed_by).filename().string().starts_with("debian-archive");
  return ours ? Owner::debian : Owner::other;
}

bool serves_this_machine(const AptSource& source) {
  return source.architectures.empty() || std::ranges::count(source.architectures, "amd64");
}

std::string line_for(const AptSource& source, const std::string& uri, const std::string& suite) {
  std::string options = "arch=amd64";
  if (!source.signed_by.empty()) options += " signed-by=" + source.signed_by;
  if (source.trusted) options += " trusted=yes";
  return fmt::format("deb [{}] {} {} {}", options, uri, suite, fmt::join(source.components, " "));
}

std::vector<std::string> lines_of_owner(Owner wanted, const std::vector<AptSource>& sources,
                                        const std::string& suite, const fs::path& lists) {
  std::vector<std::string> lines;
  for (const AptSource& source : sources) {
    if (!serves_this_machine(source) || !std::ranges::count(source.components, "main")) continue;
    for (const std::string& name : source.suites) {
      const auto parsed = parse_suite(name);
      if (!parsed) continue;
      for (const std::string& uri : source.uris) {
        if (uri.starts_with("cdrom:") || owner_of(source, uri, name, lists) != wanted) continue;
        const std::string line = line_for(source, uri, suite + std::string(parsed->pocket));
        if (!std::ranges::count(lines, line)) lines.push_back(line);
      }
    }
  }
  return lines;
}

}  // namespace

std::vector<AptSource> parse_sources_list(std::string_view text) {
  std::vector<AptSource> sources;
  for (const std::string_view line : lines_of(text))
    if (auto source = parse_line(line)) sources.push_back(std::move(*source));
  return sources;
}

std::vector<AptSource> parse_deb822_sources(std::string_view text) {
  std::vector<AptSource> sources;
  Stanza stanza;
  std::string* value = nullptr;
  const auto finish = [&] {
    if (auto source = source_from(stanza)) sources.push_back(std::move(*source));
    stanza.clear();
    value = nullptr;
  };
  for (const std::string_view line : lines_of(text)) {
    if (line.starts_with('#')) continue;
    if (trim(line).empty()) {
      finish();
    } else if (line.front() == ' ' || line.front() == '\t') {
      if (value) value->append("\n").append(trim(line));
    } else if (const auto colon = line.find(':'); colon != line.npos) {
      value = &stanza[lower(trim(line.substr(0, colon)))];
      *value = trim(line.substr(colon + 1));
    }
  }
  finish();
  return sources;
}

std::vector<AptSource> read_apt_sources(const fs::path& etc_apt) {
  std::vector<fs::path> files{etc_apt / "sources.list"};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(etc_apt / "sources.list.d", ignored))
    files.push_back(entry.path());
  std::sort(files.begin() + 1, files.end());

  std::vector<AptSource> sources;
  for (const fs::path& file : files) {
    const bool deb822 = file.extension() == ".sources";
    if (!deb822 && file.extension() != ".list") continue;
    const auto text = read_file_if_there(file);
    if (!text) continue;
    for (AptSource& source : deb822 ? parse_deb822_sources(*text) : parse_sources_list(*text))
      sources.push_back(std::move(source));
  }
  resolve_mirror_files(sources);
  return sources;
}

std::vector<std::string> mirror_hosts(const std::vector<AptSource>& sources) {
  std::set<std::string> hosts;
  for (const AptSource& source : sources)
    for (std::string_view uri : source.uris) {
      const auto slashes = uri.find("://");
      if (slashes == uri.npos) continue;  // "file:/srv", "cdrom:[…]/"
      uri.remove_prefix(slashes + 3);
      uri = uri.substr(0, uri.find('/'));
      uri.remove_prefix(uri.find('@') + 1);  // npos + 1: nobody signs in
      uri = uri.substr(0, uri.find(':'));
      if (!uri.empty()) hosts.insert(lower(uri));
    }
  return {hosts.begin(), hosts.end()};
}

std::vector<std::string> debian_sources(const std::vector<AptSource>& sources, const std::string& suite,
                                        const fs::path& lists) {
  for (const Owner owner : {Owner::debian, Owner::unknown}) {
    auto lines = lines_of_owner(owner, sources, suite, lists);
    const bool complete = std::ranges::any_of(lines, [&](const std::string& line) {
      return line.find(" " + suite + " ") != line.npos;  // not just the updates to it
    });
    if (complete) return lines;
  }
  throw Error(
      ErrorKind::unavailable, "MirrorNotFound",
      "The apt configuration of this machine (/etc/apt) names no Debian mirror to build an image from.",
      "Add one ('deb URI bookworm main' in /etc/apt/sources.list.d/debian.list), or import a ready image.");
}

}  // namespace berth
