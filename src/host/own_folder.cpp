#include "host/own_folder.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <glob.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr const char* mark_file = ".berth";
constexpr const char* of_the_file_system = "lost+found";  ///< where the folder is a whole disk

constexpr std::string_view region_contents[] = {"lock",
                                                "start.lock",
                                                "region.json",
                                                "region.db*",
                                                "berthd*.log",
                                                "accelerator.json",
                                                "access/ids.json",
                                                "access/client-secret",
                                                "access/client.pem",
                                                "access/token-key",
                                                "access/*.publishsettings",
                                                "tls/*.pem",
                                                "disks/*.qcow2",
                                                "disks/*.qcow2.*.new",
                                                "vm/*/",
                                                "net/*/",
                                                "images/.lock",
                                                "images/.new/",
                                                "images/*/",
                                                "extensions/*.zip"};
constexpr std::string_view region_signs[] = {"lock", "start.lock", "region.db", "berthd.log",
                                             "images/*/image.json"};

// ALIAS-HASH with what comes before and beside it: .building, .lock.
#define BERTH_IMAGE "*-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]*"
constexpr std::string_view cache_contents[] = {BERTH_IMAGE "/", BERTH_IMAGE ".lock", "log/*.log"};
constexpr std::string_view cache_signs[] = {BERTH_IMAGE};
#undef BERTH_IMAGE

std::optional<struct stat> status_of(const fs::path& path, bool follow = false) {
  struct stat status {};
  const int result = follow ? ::stat(path.c_str(), &status) : ::lstat(path.c_str(), &status);
  return result == 0 ? std::optional(status) : std::nullopt;
}

/// ".region.json.x3FgAq", a draft of write_file(), is region.json on its way.
std::string final_name(const std::string& name) {
  constexpr std::size_t random = 7;
  if (name.size() < random + 2 || name.front() != '.' || name[name.size() - random] != '.') return name;
  return name.substr(1, name.size() - random - 1);
}

bool matches(std::string_view pattern, const std::string& name) {
  return ::fnmatch(std::string(pattern).c_str(), name.c_str(), FNM_PATHNAME | FNM_PERIOD) == 0;
}

/// True for what Berth makes under this name; `name` is relative to the folder.
bool is_ours(std::span<const std::string_view> patterns, const fs::path& name, mode_t mode) {
  const fs::path made = name.parent_path() / final_name(name.filename().string());
  return std::ranges::any_of(patterns, [&](std::string_view pattern) {
    const bool whole_folder = pattern.ends_with('/');
    if (whole_folder) return S_ISDIR(mode) && matches(pattern.substr(0, pattern.size() - 1), name.string());
    return (S_ISREG(mode) || S_ISSOCK(mode)) &&
           (matches(pattern, name.string()) || matches(pattern, made.string()));
  });
}

/// True for a folder in which only some things are ours: "disks" for "disks/*.qcow2".
bool is_shared(const OwnFolder& kind, const fs::path& name, mode_t mode) {
  return S_ISDIR(mode) && std::ranges::any_of(kind.contents, [&](std::string_view pattern) {
           return pattern.starts_with(name.string() + "/") && pattern.size() > name.native().size() + 1;
         });
}

bool has_sign(const OwnFolder& kind, const fs::path& folder) {
  return std::ranges::any_of(kind.signs, [&](std::string_view sign) {
    glob_t found{};
    const bool any = ::glob((folder / sign).c_str(), GLOB_NOSORT, nullptr, &found) == 0;
    ::globfree(&found);
    return any;
  });
}

struct Content {
  std::vector<fs::path> ours, shared, foreign;  ///< relative; a folder stands for all that is in it
};

void look(const OwnFolder& kind, const fs::path& folder, const fs::path& inside, Content& content) {
  for (const auto& entry : fs::directory_iterator(folder / inside)) {
    const fs::path name = inside / entry.path().filename();
    const auto status = status_of(entry.path());
    if (!status || final_name(name.string()) == mark_file) continue;
    if (is_ours(kind.contents, name, status->st_mode)) {
      content.ours.push_back(name);
    } else if (inside.empty() && is_shared(kind, name, status->st_mode)) {
      content.shared.push_back(name);
      look(kind, folder, name, content);
    } else {
      content.foreign.push_back(name);
    }
  }
}

Content content_of(const OwnFolder& kind, const fs::path& folder) {
  Content content;
  try {
    look(kind, folder, {}, content);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("The folder {} cannot be read: {}.", folder.string(), error.code().message()));
  }
  for (auto* names : {&content.ours, &content.shared, &content.foreign}) std::ranges::sort(*names);
  return content;
}

Error not_ours(const OwnFolder& kind, const fs::path& folder, const std::string& why) {
  return Error(ErrorKind::conflict, "FolderNotOurs",
               fmt::format("{} cannot be the folder of {}: {}.", folder.string(), kind.name, why),
               fmt::format("Choose a folder that is empty or not there with {}.", kind.variable));
}

std::string user_name(uid_t user) {
  const passwd* entry = ::getpwuid(user);
  return entry ? entry->pw_name : std::to_string(user);
}

bool is_marked(const OwnFolder& kind, const fs::path& folder) {
  const auto status = status_of(folder / mark_file);
  if (!status || !S_ISREG(status->st_mode) || status->st_uid != ::geteuid()) return false;
  const std::string text = read_file(folder / mark_file, 4096);
  if (text.starts_with(kind.mark)) return true;
  throw not_ours(kind, folder,
                 fmt::format("it is something else of Berth's: {}", text.substr(0, text.find('\n'))));
}

std::string listed(const std::vector<fs::path>& names) {
  constexpr std::size_t most = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(most, names.size()); ++i) text += (i ? ", " : "") + names[i].string();
  return names.size() > most ? fmt::format("{} and {} more", text, names.size() - most) : text;
}

/// Does something with each path below a folder, links not followed; what vanishes meanwhile is left out.
template <class Act>
void for_each_below(const fs::path& folder, const Act& act) {
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(folder, gone)) {
    const auto status = status_of(entry.path());
    if (!status) continue;
    act(entry.path(), *status);
    if (S_ISDIR(status->st_mode)) for_each_below(entry.path(), act);
  }
}

/// What others could put there is theirs, whatever its name says.
void refuse_planted(const OwnFolder& kind, const fs::path& folder) {
  for_each_below(folder, [&](const fs::path& path, const struct stat& status) {
    if (status.st_uid != ::geteuid() && path.filename() != of_the_file_system)
      throw not_ours(kind, folder,
                     fmt::format("others can write to it, and {} belongs to the user {}", path.string(),
                                 user_name(status.st_uid)));
  });
}

void close_one(const fs::path& path, const struct stat& status) {
  if (S_ISLNK(status.st_mode) || (status.st_mode & 077) == 0) return;
  if (status.st_uid != ::geteuid()) return;  // of a build's other users; its folder is closed
  if (::chmod(path.c_str(), status.st_mode & 07700) != 0 && errno != ENOENT)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} can be read by other users and cannot be closed to them: {}.", path.string(),
                            std::strerror(errno)));
}

/// Whoever could look into it can no longer; what he has open stays open to him.
void close_to_others(const fs::path& folder, const struct stat& status) {
  close_one(folder, status);  // first: then nobody else comes any further
  for_each_below(folder, close_one);
}

void remove_whole(const fs::path& path) {
  std::error_code trouble;
  fs::remove_all(path, trouble);  // removes links, and what they lead to never
  if (trouble)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} cannot be removed: {}.", path.string(), trouble.message()),
                "Remove it by hand.");
}

}  // namespace

const OwnFolder region_home_folder{"a region", "Berth region", "BERTH_HOME", region_contents, region_signs};
const OwnFolder image_cache_folder{"the built images", "Berth images", "BERTH_IMAGES", cache_contents,
                                   cache_signs};

void refuse_foreign_folder(const OwnFolder& kind, const fs::path& folder) {
  for (const bool follow : {false, true}) {
    const auto status = status_of(folder, follow);
    if (!status) continue;
    // A link must be ours, or the administrator's, as what it leads to must be ours.
    if (status->st_uid == ::geteuid() || (S_ISLNK(status->st_mode) && status->st_uid == 0)) continue;
    throw not_ours(kind, folder, fmt::format("it belongs to the user {}", user_name(status->st_uid)));
  }
}

std::string claim_folder(const OwnFolder& kind, const fs::path& folder) {
  refuse_foreign_folder(kind, folder);
  const auto status = status_of(folder, true);
  if (status && !S_ISDIR(status->st_mode)) throw not_ours(kind, folder, "it is a file");
  const bool marked = status && is_marked(kind, folder);
  if (status && !marked) {
    Content content = content_of(kind, folder);
    std::erase(content.foreign, of_the_file_system);
    if (content.foreign.empty() && !has_sign(kind, folder)) {
      content.foreign = std::move(content.ours);
      content.foreign.insert(content.foreign.end(), content.shared.begin(), content.shared.end());
    }
    // Another process of ours may have made it, marked it and begun to fill it while we looked.
    if (!content.foreign.empty() && !is_marked(kind, folder))
      throw not_ours(kind, folder, "it holds what Berth did not make: " + listed(content.foreign));
  }
  const bool loose = status && (status->st_mode & 077) != 0;
  if (status && (status->st_mode & 022) != 0) refuse_planted(kind, folder);
  if (loose || (status && !marked)) close_to_others(folder, *status);
  make_folder(folder);
  if (!marked) write_file(folder / mark_file, fmt::format("{}\n", kind.mark));
  if (!loose) return {};
  return fmt::format("Other users could look into {}, the folder of {}; it was closed to them.",
                     folder.string(), kind.name);
}

std::vector<fs::path> remove_own_folder(const OwnFolder& kind, const fs::path& folder) {
  refuse_foreign_folder(kind, folder);
  const Content content = content_of(kind, folder);
  std::vector<fs::path> stay;
  for (const fs::path& name : content.foreign) stay.push_back(folder / name);
  // What tells that it is ours goes last: cut short, this can be repeated.
  const auto is_sign = [&](const fs::path& name) {
    return std::ranges::find(kind.signs, name.string()) != kind.signs.end();
  };
  for (const fs::path& name : content.ours)
    if (!is_sign(name)) remove_whole(folder / name);
  std::error_code not_empty;
  for (const fs::path& name : content.shared) fs::remove(folder / name, not_empty);
  for (const fs::path& name : content.ours)
    if (is_sign(name)) remove_whole(folder / name);
  remove_whole(folder / mark_file);
  if (!stay.empty()) return stay;
  std::error_code trouble;
  fs::remove(fs::canonical(folder), trouble);
  if (trouble)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("The folder {} cannot be removed: {}.", folder.string(), trouble.message()),
                "Remove it by hand.");
  return stay;
}

}  // namespace berth
