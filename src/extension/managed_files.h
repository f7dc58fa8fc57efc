#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "handler/root.h"

namespace berth::extension {

/// SHA-256 of the file, however large; "" when there is none or it cannot be read.
std::string hash_of_file(const std::filesystem::path& file);

/// A set of files that are to be as asked for, or as they were: compared first, written only where they
/// differ (bytes, mode or owner), put back by roll_back(). What is wanted belongs to the handler's own user
/// and group: root. Paths are absolute in the machine.
class FileChanges {
 public:
  explicit FileChanges(const Root& root) : root_(root) {}

  void want(const std::string& path, std::string bytes, mode_t mode);
  /// To be gone, if what stands there still has the hash in `ours` (path -> SHA-256).
  void want_gone(const std::string& path, const std::map<std::string, std::string>& ours);

  bool differs(const std::string& path) const;
  bool any() const { return !changes_.empty(); }

  /// Writes what differs, in the order of the wishes; folders are made 0755. On trouble puts back what it
  /// wrote, then throws.
  void apply();
  /// Bytes, modes and owners from before apply(), in the opposite order. Goes on past trouble; returns what
  /// could not be put back.
  std::vector<std::string> roll_back() noexcept;

 private:
  struct Content {
    std::string bytes;
    mode_t mode = 0;
    uid_t owner = 0;
    gid_t group = 0;
    bool operator==(const Content&) const = default;
  };
  struct Change {
    std::string path;
    std::optional<Content> before, after;
    bool applied = false;
  };
  std::optional<Content> read(const std::string& path) const;
  void put(const std::string& path, const std::optional<Content>& content) const;

  const Root& root_;
  std::vector<Change> changes_;
};

}  // namespace berth::extension
