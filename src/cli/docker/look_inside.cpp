#include "cli/docker/look_inside.h"

#include <fmt/format.h>

#include <charconv>
#include <set>
#include <sstream>
#include <vector>

#include "base/error.h"
#include "cli/vm/ssh.h"
#include "host/process.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

constexpr const char* script =
    "df -P -k / /var/lib/docker 2>/dev/null; df -P -i / 2>/dev/null | sed 's/^/inodes /'; "
    "echo service $(systemctl is-active docker 2>/dev/null)";
constexpr unsigned long least_free_kib = 1024;

unsigned long number_of(const std::string& text) {
  unsigned long value = ~0UL;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::string explain_inside(std::string_view said) {
  std::string text;
  std::set<std::string> told;
  const auto add = [&](const std::string& sentence) {
    if (told.insert(sentence).second) text += (text.empty() ? "" : " ") + sentence;
  };
  std::istringstream lines{std::string(said)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    if (words.size() == 2 && words[0] == "service" && words[1] != "active")
      add(fmt::format("the service docker is {}.", words[1]));
    const bool inodes = !words.empty() && words[0] == "inodes";
    if (inodes) words.erase(words.begin());
    if (words.size() < 6 || words[1] == "Inodes" || words[1].starts_with("1024")) continue;
    if (!inodes && number_of(words[3]) < least_free_kib)
      add(fmt::format("the disk at {} is full.", words[5]));
    if (inodes && words[1] != "0" && words[3] == "0")
      add(fmt::format("the disk at {} has no room for more files.", words[5]));
  }
  return text;
}

std::string look_inside(const HostView& host) {
  const auto access = find_ssh_access(host);
  if (!access) return {};
  std::vector<std::string> argv = ssh_argv(*access);
  for (const char* option : {"-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR"})
    argv.emplace_back(option);
  argv.push_back(access->target());
  argv.emplace_back(script);
  try {
    const RunResult result = berth::run(argv, {.limit = 15s});
    return result.exit_code == 0 ? explain_inside(result.out) : std::string();
  } catch (const Error&) {
    return {};
  }
}

}  // namespace berth
