#include "images/build.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <deque>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "host/files.h"
#include "host/process.h"
#include "images/apt_sources.h"
#include "images/disk.h"
#include "images/kernel.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using std::chrono::minutes;
using std::chrono::seconds;

using Command = std::vector<std::string>;

/// Whoever ends us ends the build: setpriv's signal reaches unshare, unshare's the first process of the new
/// process namespace, and with that the kernel ends all others and undoes their mounts.
const Command as_root{"setpriv", "--pdeathsig", "KILL",   "unshare",
                      "--mount", "--pid",       "--fork", "--kill-child=KILL"};

/// Root of a user namespace: outside, its files are ours (and those of its other users our subordinate ids').
/// First of all, since entering one takes setpriv's signal away.
Command as_user() {
  Command command{"unshare", "--user", "--map-root-user", "--map-auto"};
  command.insert(command.end(), as_root.begin(), as_root.end());
  return command;
}

void need_program(const std::string& name, const std::string& package) {
  if (find_program(name)) return;
  throw Error(ErrorKind::unavailable, "ProgramNotFound",
              fmt::format("Building an image needs the program {}, which is not installed.", name),
              fmt::format("Install it: apt-get install {}.", package));
}

/// True when a file like /etc/subuid gives this user 65536 ids.
bool has_subordinate_ids(const fs::path& file) {
  const auto text = read_file_if_there(file);
  const passwd* user = ::getpwuid(::geteuid());
  const std::string id = std::to_string(::geteuid());
  std::string_view rest = text ? std::string_view(*text) : "";
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const auto first = line.find(':');
    const auto last = line.rfind(':');
    if (first == line.npos || first == last) continue;
    const std::string_view who = line.substr(0, first);
    if (who != id && !(user && who == user->pw_name)) continue;
    long count = 0;
    std::from_chars(line.data() + last + 1, line.data() + line.size(), count);
    if (count >= 65536) return true;
  }
  return false;
}

/// Why this way does not work here; empty when it does: it mounts something and sees other users' ids.
std::string obstacle(const Command& way) {
  Command argv = way;
  argv.insert(argv.end(), {"sh", "-c", "mount -t tmpfs none /mnt && mkdir /mnt/x && chown 33:33 /mnt/x"});
  const RunResult result = run(argv, {.limit = seconds(30)});
  if (result.exit_code == 0) return {};
  std::string text = result.err;
  text.erase(text.find_last_not_of(" \n.") + 1);
  return text.empty() ? fmt::format("exit code {}", result.exit_code) : text.substr(text.rfind('\n') + 1);
}

/// The command in front of the build script with which it may mount and give files to other users.
Command privileges(const fs::path& etc) {
  std::string why;
  if (::geteuid() == 0) {
    why = obstacle(as_root);
    if (why.empty()) return as_root;
  } else {
    need_program("newuidmap", "uidmap");
    for (const fs::path& file : {etc / "subuid", etc / "subgid"})
      if (!has_subordinate_ids(file))
        throw Error(ErrorKind::unavailable, "NoSubordinateIds",
                    fmt::format("Building an image as an ordinary user needs 65536 subordinate ids in {}.",
                                file.string()),
                    "As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER.");
  }
  const std::string why_not_either = obstacle(as_user());
  if (why_not_either.empty()) return as_user();
  throw Error(ErrorKind::unavailable, "NamespacesUnavailable",
              fmt::format("An image cannot be built here: {}.", why.empty() ? why_not_either : why),
              "The build needs mount namespaces: as an ordinary user, user namespaces must be allowed; in a "
              "container, "
              "the right to mount. A ready image can be imported instead.");
}

/// Lines for apt.conf: how this machine reaches its mirror and how strict it is with it.
std::string apt_configuration() {
  std::string text = "APT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\n";
  const auto apt_config = find_program("apt-config");
  if (!apt_config) return text;
  const RunResult result = run({*apt_config, "dump", "--format", "%F \"%v\";%n", "Acquire"});
  std::string_view rest = result.out;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::string_view name = line.substr(0, line.find(' '));
    const bool ours = name.starts_with("Acquire::http") || name.starts_with("Acquire::ftp") ||
                      name.starts_with("Acquire::Check-") || name.starts_with("Acquire::Retries") ||
                      name.starts_with("Acquire::Force");
    if (ours && !line.ends_with("\"\";")) text.append(line).append("\n");
  }
  for (const auto& [option, path] : {std::pair("Dir::Etc::netrc", "/etc/apt/auth.conf"),
                                     std::pair("Dir::Etc::netrcparts", "/etc/apt/auth.conf.d")})
    if (::access(path, R_OK) == 0) text += fmt::format("{} \"{}\";\n", option, path);
  return text;
}

/// The log file, and its last lines for the error.
class BuildLog {
 public:
  explicit BuildLog(const fs::path& file) : file_(file), stream_(file, std::ios::trunc) {}

  void line(std::string_view text) {
    stream_ << text << '\n' << std::flush;
    // What apt and dpkg say about each package would push out the reason.
    for (const std::string_view start :
         {"Get:", "Selecting ", "Preparing ", "Unpacking ", "Setting up ", "(Reading "})
      if (text.starts_with(start)) return;
    last_.emplace_back(text.substr(0, 200));
    if (last_.size() > 12) last_.pop_front();
  }

  std::string last_lines() const { return fmt::format("{}", fmt::join(last_, "\n")); }
  const fs::path& file() const { return file_; }

 private:
  fs::path file_;
  std::ofstream stream_;
  std::deque<std::string> last_;
};

std::string path_with_sbin() {
  const char* path = std::getenv("PATH");
  return fmt::format("{}:/usr/local/sbin:/usr/sbin:/sbin",
                     path && *path ? path : "/usr/local/bin:/usr/bin:/bin");
}

/// Keyrings that the mirrors are signed with, for apt in the guest.
std::string keyrings(const std::vector<AptSource>& sources) {
  std::vector<std::string> files;
  for (const AptSource& source : sources)
    if (!source.signed_by.empty() && !std::ranges::count(files, source.signed_by))
      files.push_back(source.signed_by);
  return fmt::format("{}", fmt::join(files, " "));
}

void run_script(const Recipe& recipe, const Command& privileges, const fs::path& work,
                const std::string& keys, BuildLog& log, const ImageProgress& progress, std::stop_token stop) {
  Command argv = privileges;
  argv.push_back((work / "recipe/build").string());
  BuildProgress follow(progress);
  RunOptions options;
  options.limit = minutes(90);
  options.stop = std::move(stop);
  options.environment = {{"WORK", work.string()},
                         {"RECIPE", (work / "recipe").string()},
                         {"SUITE", recipe.suite},
                         {"PACKAGES", fmt::format("{}", fmt::join(recipe.packages(), ","))},
                         {"DISK_GIB", std::to_string(recipe.image.size_gib)},
                         {"KEYRINGS", keys},
                         {"LC_ALL", "C.UTF-8"},
                         {"DEBIAN_FRONTEND", "noninteractive"},
                         {"PATH", path_with_sbin()}};
  options.on_line = [&](std::string_view text) {
    log.line(text);
    follow.line(text);
  };
  const RunResult result = run(argv, options);
  if (result.exit_code != 0)
    throw Error(ErrorKind::unavailable, "ImageBuildFailed",
                fmt::format("Building the image {} failed:\n{}", recipe.image.name, log.last_lines()),
                fmt::format("The whole log is in {}.", log.file().string()));
}

}  // namespace

void BuildProgress::say(const std::string& what, double fraction) {
  if (what == said_) return;
  said_ = what;
  if (report_) report_(what, fraction);
}

void BuildProgress::line(std::string_view text) {
  if (text.starts_with("I: running apt-get update")) return say("Reading the mirror's package lists", 0.01);
  if (text.starts_with("I: installing remaining packages")) last_stage_ = true;
  if (text.starts_with("I: running --customize-hook")) return say("Configuring the system", 0.88);
  if (text.starts_with("berth: making the file system")) return say("Making the file system", 0.91);
  if (const auto end = text.find(" newly installed"); end != text.npos) {
    const auto start = text.rfind(' ', end - 1) + 1;  // "0 upgraded, 89 newly installed, ..."
    int count = 0;
    std::from_chars(text.data() + start, text.data() + end, count);
    packages_ += count;
    return say("Downloading packages", last_stage_ ? 0.35 : 0.03);
  }
  const bool unpacking = text.starts_with("Unpacking ");
  const bool setting_up = text.starts_with("Setting up ");
  if (packages_ == 0 || (!unpacking && !setting_up)) return;
  installed_ += setting_up;
  unpacked_ += unpacking;
  const double done = std::min(1.0, (installed_ + unpacked_) / (2.0 * packages_));
  if (last_stage_ && setting_up)
    say(fmt::format("Installing packages, {} of {}", installed_, packages_), 0.35 + 0.5 * done);
  else
    say(last_stage_ ? "Unpacking packages" : "Installing the base system",
        last_stage_ ? 0.35 + 0.5 * done : 0.1);
}

void build_image(const Recipe& recipe, const fs::path& etc, const fs::path& work, const fs::path& log_file,
                 const ImageProgress& progress, std::stop_token stop) {
  need_program("mmdebstrap", "mmdebstrap");
  need_program("mke2fs", "e2fsprogs");
  need_program("qemu-img", "qemu-utils");
  need_program("unshare", "util-linux");
  const std::vector<AptSource> sources = read_apt_sources(etc / "apt");
  const auto lines = debian_sources(sources, recipe.suite);
  write_recipe_files(work / "recipe");
  write_file(work / "sources.list", fmt::format("{}\n", fmt::join(lines, "\n")));
  write_file(work / "apt.conf", apt_configuration());

  BuildLog log(log_file);
  run_script(recipe, privileges(etc), work, keyrings(sources), log, progress, stop);

  if (progress) progress("Making the disk image", 0.95);
  flatten_disk(work / "disk.raw", "raw", work / "disk.qcow2", stop);
  write_file(work / "kernel", uncompressed_kernel(read_file(work / "kernel")));
  std::vector<fs::path> rest;
  for (const auto& entry : fs::directory_iterator(work)) {
    const auto name = entry.path().filename();
    if (name != "disk.qcow2" && name != "kernel" && name != "initrd") rest.push_back(entry.path());
  }
  for (const fs::path& path : rest) fs::remove_all(path);
  for (const char* name : {"disk.qcow2", "kernel", "initrd"}) fs::permissions(work / name, fs::perms(0600));
}

void remove_build(const fs::path& work) {
  std::error_code failed;
  // What was killed a moment ago may still be dying, and leave one more file behind the one who deletes.
  for (int i = 0; i < 50; ++i) {
    fs::remove_all(work, failed);
    if (!failed && !fs::exists(work)) return;
    if (failed == std::errc::permission_denied || failed == std::errc::operation_not_permitted) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  if (::geteuid() != 0 && find_program("newuidmap")) {
    Command argv = as_user();
    argv.insert(argv.end(), {"rm", "-rf", "--", work.string()});
    run(argv, {.limit = minutes(5)});
  }
}

}  // namespace berth
