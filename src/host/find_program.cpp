#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "host/process.h"

namespace berth {
namespace {

bool is_program(const std::string& file) {
  struct stat status {};
  return ::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(file.c_str(), X_OK) == 0;
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
  if (name.empty()) return std::nullopt;
  if (name.find('/') != std::string::npos) {
    if (name.front() == '/' && is_program(name)) return name;
    return std::nullopt;
  }
  // An ordinary user's PATH lacks the sbin folders, where mkfs and its like stand.
  const char* path = std::getenv("PATH");
  const std::string folders =
      std::string(path ? path : "") + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  std::string_view rest = folders;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(':'), rest.size());
    const std::string_view folder = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (folder.empty() || folder.front() != '/') continue;  // never from the current folder
    std::string file = std::string(folder) + "/" + name;
    if (is_program(file)) return file;
  }
  return std::nullopt;
}

}  // namespace berth
