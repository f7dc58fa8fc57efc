#include "host/hosts_file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <strings.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "host/directories.h"
#include "host/fd.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using Names = std::map<std::string, std::string>;

constexpr std::size_t largest_hosts_file = 16u << 20;

[[noreturn]] void throw_hosts_unwritable(const fs::path& file, int error) {
  throw Error(ErrorKind::unavailable, "HostsFileUnavailable",
              fmt::format("{} cannot be written: {}.", file.string(), std::strerror(error)),
              "Run as root to have names resolved, or use the address instead.");
}

bool only_of(std::string_view text, std::string_view punctuation) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](unsigned char c) {
    return std::isalnum(c) || punctuation.find(static_cast<char>(c)) != punctuation.npos;
  });
}

bool is_address(const std::string& text) {
  unsigned char binary[16];
  return ::inet_pton(AF_INET, text.c_str(), binary) == 1 || ::inet_pton(AF_INET6, text.c_str(), binary) == 1;
}

/// Nothing that could end a line, start a comment or add a name goes into a file that every program trusts.
void check(const std::string& owner, const Names& names) {
  if (!only_of(owner, "-_."))
    throw Error(ErrorKind::invalid, "InvalidName",
                fmt::format("'{}' cannot mark a block of a hosts file.", owner));
  for (const auto& [name, address] : names) {
    if (!only_of(name, "-_.") || name.size() > 253)
      throw Error(ErrorKind::invalid, "InvalidName", fmt::format("'{}' is not a host name.", name));
    if (!is_address(address))
      throw Error(ErrorKind::invalid, "InvalidAddress",
                  fmt::format("'{}' of {} is not an IP address.", address, name));
  }
}

/// Each line with its end-of-line, so that joining them gives the text again.
std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = text.find('\n');
    lines.push_back(text.substr(0, end == text.npos ? end : end + 1));
    text.remove_prefix(lines.back().size());
  }
  return lines;
}

std::string_view trimmed(std::string_view line) {
  const auto begin = line.find_first_not_of(" \t\r\n");
  if (begin == line.npos) return {};
  return line.substr(begin, line.find_last_not_of(" \t\r\n") - begin + 1);
}

/// The address and names of a line; empty for a comment.
std::vector<std::string_view> words_of(std::string_view line) {
  line = line.substr(0, line.find('#'));
  std::vector<std::string_view> words;
  while (true) {
    const auto begin = line.find_first_not_of(" \t\r\n");
    if (begin == line.npos) return words;
    line.remove_prefix(begin);
    const auto end = std::min(line.find_first_of(" \t\r\n"), line.size());
    words.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

void check_conflicts(const fs::path& file, std::string_view line, const Names& names) {
  const auto words = words_of(line);
  for (std::size_t i = 1; i < words.size(); ++i)
    for (const auto& [name, address] : names)
      if (same_name(words[i], name) && words[0] != address)
        throw Error(ErrorKind::conflict, "HostNameInUse",
                    fmt::format("{} already gives {} the address {}.", file.string(), name, words[0]),
                    "Remove that line, or choose another name.");
}

struct Marks {
  explicit Marks(const std::string& owner)
      : begin(fmt::format("# berth {} begin", owner)), end(fmt::format("# berth {} end", owner)) {}
  std::string begin, end;
};

std::string block_of(const Marks& marks, const Names& names) {
  if (names.empty()) return {};
  std::string block = marks.begin + "\n";
  for (const auto& [name, address] : names) block += fmt::format("{} {}\n", address, name);
  return block + marks.end + "\n";
}

/// The text with our block replaced where it stands, or added at the end. A begin without an end (someone
/// edited the file) loses its mark only: the lines below it may not be ours.
std::string with_block(const fs::path& file, std::string_view text, const std::string& owner,
                       const Names& names) {
  const Marks marks(owner);
  const std::string block = block_of(marks, names);
  const auto lines = lines_of(text);
  std::string result;
  bool placed = false;
  for (auto line = lines.begin(); line != lines.end(); ++line) {
    if (trimmed(*line) == marks.begin) {
      const auto end = std::find_if(line + 1, lines.end(), [&](auto other) {
        return trimmed(other) == marks.end || trimmed(other) == marks.begin;
      });
      if (!std::exchange(placed, true)) result += block;
      if (end != lines.end() && trimmed(*end) == marks.end) line = end;
    } else if (trimmed(*line) != marks.end) {
      check_conflicts(file, *line, names);
      result += *line;
    }
  }
  if (!placed && !block.empty()) {
    if (!result.empty() && result.back() != '\n') result += '\n';
    result += block;
  }
  return result;
}

/// One lock for a hosts file, by whatever path it is named. nullopt while another process holds it.
std::optional<FileLock> lock_now(const Fd& fd, const fs::path& file) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw_hosts_unwritable(file, errno);
  if (!S_ISREG(status.st_mode)) throw_hosts_unwritable(file, EINVAL);
  const fs::path folder = runtime_folder();
  make_folder(folder);
  return FileLock::try_take(folder / fmt::format("hosts-{:x}-{:x}.lock", status.st_dev, status.st_ino));
}

std::string read_text(const fs::path& file, const Fd& fd) {
  std::string text(64 * 1024, '\0');
  std::size_t used = 0;
  while (true) {
    const ssize_t got = ::pread(fd.get(), text.data() + used, text.size() - used, static_cast<off_t>(used));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_hosts_unwritable(file, errno);
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
    if (used > largest_hosts_file)
      throw Error(ErrorKind::invalid, "FileTooLarge",
                  fmt::format("{} is larger than {} MiB.", file.string(), largest_hosts_file >> 20));
    if (used == text.size()) text.resize(2 * used);
  }
  text.resize(used);
  return text;
}

/// False with errno set when not all of it could be written.
bool write_at(const Fd& fd, std::size_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    offset += static_cast<std::size_t>(written);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

/// Takes the space for a longer text first, in empty lines: a full disk must not cost the lines of others.
/// Then one write over the old text, and the cut. Whoever is killed in between leaves empty lines, nothing
/// else.
void overwrite(const fs::path& file, const Fd& fd, const std::string& text, std::size_t old_size) {
  std::string padded = text;
  if (padded.size() < old_size) padded.append(old_size - padded.size(), '\n');
  if (!write_at(fd, old_size, std::string(padded.size() - old_size, '\n'))) {
    const int error = errno;
    [[maybe_unused]] const int cut = ::ftruncate(fd.get(), static_cast<off_t>(old_size));  // else they stay
    throw_hosts_unwritable(file, error);
  }
  if (!write_at(fd, 0, padded)) throw_hosts_unwritable(file, errno);
  if (::ftruncate(fd.get(), static_cast<off_t>(text.size())) != 0 || ::fsync(fd.get()) != 0)
    throw_hosts_unwritable(file, errno);
}

/// Readable for all, as every program needs it.
Fd make_hosts_file(const fs::path& file, int flags) {
  Fd fd(::open(file.c_str(), flags | O_CREAT, 0644));
  if (fd) ::fchmod(fd.get(), 0644);
  return fd;
}

}  // namespace

bool write_hosts_block(const fs::path& file, const std::string& owner, const Names& names) {
  check(owner, names);
  constexpr int flags = O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  int cannot_write = 0;
  Fd fd(::open(file.c_str(), O_RDWR | flags));
  if (!fd && errno == ENOENT && names.empty()) return true;
  if (!fd && errno == ENOENT) fd = make_hosts_file(file, O_RDWR | flags);
  if (!fd) {
    cannot_write = errno;
    fd = Fd(::open(file.c_str(), O_RDONLY | flags));  // perhaps it says what we want already
    if (!fd) throw_hosts_unwritable(file, cannot_write);
  }
  if (cannot_write != 0) {
    const std::string text = read_text(file, fd);
    if (with_block(file, text, owner, names) == text) return true;
    throw_hosts_unwritable(file, cannot_write);
  }
  const auto lock = lock_now(fd, file);
  if (!lock) return false;
  const std::string old_text = read_text(file, fd);
  const std::string text = with_block(file, old_text, owner, names);
  if (text != old_text) overwrite(file, fd, text, old_text.size());
  return true;
}

}  // namespace berth
