#include "extension/engine_install.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "crypto/encoding.h"
#include "extension/managed_files.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr minutes longest_download{20};
constexpr seconds first_pause{1}, lock_pause{5}, longest_pause{60};
constexpr minutes longest_lock{10};  ///< that apt itself waits for
constexpr std::size_t largest_archive = 512 * 1024 * 1024;

bool is_program(const Root& root, std::string_view path) {
  std::error_code trouble;
  return fs::is_regular_file(root(path), trouble);
}

bool says(const RunResult& result, std::initializer_list<std::string_view> texts) {
  return std::any_of(texts.begin(), texts.end(), [&](std::string_view text) {
    return result.out.find(text) != std::string::npos || result.err.find(text) != std::string::npos;
  });
}

bool is_locked(const RunResult& result) {
  return says(result, {"Could not get lock", "Unable to acquire the dpkg frontend lock", "Unable to lock",
                       "is another process using it", "lock was locked by another process",
                       "Waiting for process with pid", "System management is locked"});
}

bool is_missing(const RunResult& result) {
  return says(result, {"Unable to locate package", "has no installation candidate", "was not found",
                       "No match for argument", "Unable to find a match", "not found in package names"});
}

/// A source that may answer in a minute; not one that has nothing under that address.
bool is_unreachable(const RunResult& result) {
  return says(result, {"Temporary failure resolving", "Could not resolve", "Could not connect",
                       "Connection timed out", "Connection failed", "Unable to connect", "Curl error",
                       "Hash Sum mismatch", "Cannot initiate the connection"});
}

bool is_network(const RunResult& result) {
  return is_unreachable(result) || says(result, {"Failed to fetch", "Cannot download"});
}

/// What our file at `path` shall be; recorded before it is written.
void place(const Root& root, const std::string& path, const std::string& bytes,
           std::map<std::string, std::string>& files, mode_t mode = 0644) {
  files[path] = sha256_hex(bytes);
  const fs::path file = root(path);
  if (!fs::is_directory(file.parent_path())) make_folder(file.parent_path(), 0755);
  write_file(file, bytes, mode);
}

void add_apt_source(const Root& root, const Settings& settings, std::map<std::string, std::string>& files) {
  place(root, "/etc/apt/keyrings/docker-ext.asc", settings.repository_key, files);
  place(root, "/etc/apt/sources.list.d/docker-ext.list",
        fmt::format("deb [signed-by=/etc/apt/keyrings/docker-ext.asc] {}\n", settings.repository), files);
}

void add_dnf_source(const Root& root, const Settings& settings, std::map<std::string, std::string>& files) {
  place(root, "/etc/pki/rpm-gpg/docker-ext.asc", settings.repository_key, files);
  place(root, "/etc/yum.repos.d/docker-ext.repo",
        fmt::format("[docker-ext]\nname=Docker Engine\nbaseurl={}\nenabled=1\ngpgcheck=1\n"
                    "gpgkey=file:///etc/pki/rpm-gpg/docker-ext.asc\n",
                    settings.repository),
        files);
}

void install_distribution_engine(const Root& root, Packages& packages, const Settings& settings) {
  switch (packages.tool()) {
    case PackageTool::apt: {
      std::vector<std::string> wanted = {pinned_package(PackageTool::apt, "docker.io", settings.version),
                                         "ca-certificates"};
      // Without the parser the engine would run containers unconfined on a kernel that can confine them.
      if (fs::exists(root("/sys/module/apparmor"))) wanted.push_back("apparmor");
      packages.install(wanted);
      if (!is_program(root, "/usr/bin/docker")) packages.install_first({"docker-cli", "docker.io"});
      return;
    }
    case PackageTool::dnf:
      return packages.install({pinned_package(PackageTool::dnf, "moby-engine", settings.version)});
    case PackageTool::zypper:
      return packages.install({pinned_package(PackageTool::zypper, "docker", settings.version)});
    case PackageTool::none:
      break;
  }
  throw Error(ErrorKind::unavailable, "NoPackageTool",
              "This machine has no engine, and no apt-get, dnf or zypper to install one with.",
              "Use an image with an engine, or set docker.channel to static.");
}

void install_docker_ce(const Root& root, Packages& packages, const Settings& settings,
                       std::map<std::string, std::string>& files) {
  const PackageTool tool = packages.tool();
  if (tool != PackageTool::apt && tool != PackageTool::dnf)
    throw Error(ErrorKind::unavailable, "NoPackageTool",
                "Channel docker-ce needs apt-get or dnf, and this machine has neither.");
  if (!settings.repository.empty()) {
    if (tool == PackageTool::apt)
      add_apt_source(root, settings, files);
    else
      add_dnf_source(root, settings, files);
    packages.refresh();
  }
  packages.install({pinned_package(tool, "docker-ce", settings.version),
                    pinned_package(tool, "docker-ce-cli", settings.version), "containerd.io"});
}

fs::path download(const Root& root, Runner& runner, const Settings& settings, const fs::path& folder) {
  const fs::path archive = folder / "engine.tgz";
  std::vector<std::string> command;
  if (is_program(root, "/usr/bin/curl"))
    command = {"curl", "--fail",   "--silent",       "--show-error", "--location",        "--retry",
               "5",    "--output", archive.string(), "--",           settings.archive_url};
  else if (is_program(root, "/usr/bin/wget"))
    command = {"wget", "--quiet",           "--tries=5", "--output-document=" + archive.string(),
               "--",   settings.archive_url};
  else
    throw Error(ErrorKind::unavailable, "NoDownloader",
                "Channel static needs curl or wget, and this machine has neither.");
  RunOptions options;
  options.limit = longest_download;
  const RunResult result = runner.run(command, options);
  if (result.exit_code != 0)
    throw Error(ErrorKind::unavailable, "DownloadFailed",
                fmt::format("The engine's archive could not be downloaded: {}", last_lines(result)),
                "Check docker.archiveUrl and the network of this machine.");
  return archive;
}

void check_archive(const fs::path& archive, const Settings& settings) {
  const std::string found = hash_of_file(archive);
  std::string wanted = settings.archive_sha256;
  std::transform(wanted.begin(), wanted.end(), wanted.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (found != wanted)
    throw Error(ErrorKind::invalid, "BadChecksum",
                fmt::format("The downloaded archive has SHA-256 {}, not docker.archiveSha256.", found),
                "Nothing of it was used. Check the address and the checksum.");
}

/// The units of an engine that came as bare programs; it starts its own containerd.
constexpr std::string_view archive_service = R"([Unit]
Description=Docker Application Container Engine
After=network-online.target docker.socket
Wants=network-online.target
Requires=docker.socket

[Service]
Type=notify
ExecStart=/usr/local/bin/dockerd -H fd://
ExecReload=/bin/kill -s HUP $MAINPID
TimeoutStartSec=0
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
Delegate=yes
KillMode=process
OOMScoreAdjust=-500
Restart=on-failure
StartLimitBurst=3
StartLimitInterval=60s

[Install]
WantedBy=multi-user.target
)";
constexpr std::string_view archive_socket = R"([Unit]
Description=Docker Socket for the API

[Socket]
ListenStream=/run/docker.sock
SocketMode=0660
SocketUser=root
SocketGroup=docker

[Install]
WantedBy=sockets.target
)";

void install_archive(const Root& root, Runner& runner, const Settings& settings,
                     std::map<std::string, std::string>& files) {
  if (look_at_system(root).init != Init::systemd)
    throw Error(ErrorKind::unavailable, "NoSystemd",
                "Channel static needs systemd, which does not run this machine.",
                "Use an image with an engine, or set docker.channel to distro.");
  make_folder(root("/var/lib/docker-ext"), 0700);
  const TemporaryFolder folder(root("/var/lib/docker-ext"));
  const fs::path archive = download(root, runner, settings, folder.path());
  check_archive(archive, settings);
  const fs::path tree = folder / "tree";
  make_folder(tree, 0700);
  const RunResult unpacked = runner.run({"tar", "--extract", "--gzip", "--no-same-owner", "--file",
                                         archive.string(), "--directory", tree.string()});
  if (unpacked.exit_code != 0 || fs::is_symlink(tree / "docker") ||
      !fs::is_regular_file(fs::symlink_status(tree / "docker/dockerd")))
    throw Error(ErrorKind::invalid, "BadArchive",
                fmt::format("The engine's archive does not hold docker/dockerd. {}", last_lines(unpacked)));
  for (const auto& entry : fs::directory_iterator(tree / "docker")) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    // dockerd last: an engine is there only when all of it is.
    if (entry.path().filename() != "dockerd")
      place(root, "/usr/local/bin/" + entry.path().filename().string(),
            read_file(entry.path(), largest_archive), files, 0755);
  }
  if (!find_account(root, "/etc/group", "docker")) runner.run({"groupadd", "--system", "docker"});
  place(root, "/etc/systemd/system/docker.socket", std::string(archive_socket), files);
  place(root, "/etc/systemd/system/docker.service", std::string(archive_service), files);
  place(root, "/usr/local/bin/dockerd", read_file(tree / "docker/dockerd", largest_archive), files, 0755);
  runner.run({"systemctl", "daemon-reload"});
  runner.run({"systemctl", "enable", "docker.socket"});
}

}  // namespace

PackageTool find_package_tool(const Root& root) {
  if (is_program(root, "/usr/bin/apt-get")) return PackageTool::apt;
  if (is_program(root, "/usr/bin/dnf")) return PackageTool::dnf;
  return is_program(root, "/usr/bin/zypper") ? PackageTool::zypper : PackageTool::none;
}

std::string pinned_package(PackageTool tool, const std::string& package, const std::string& version) {
  if (version.empty()) return package;
  const bool exact = version.find('-') != std::string::npos;
  if (tool != PackageTool::apt) return package + "-" + version + (exact ? "" : "*");
  const bool needs_epoch = package.starts_with("docker-ce") && version.find(':') == std::string::npos;
  return package + "=" + (needs_epoch ? "5:" : "") + version + (exact ? "" : "*");
}

/// False when enough was waited already.
bool Packages::wait(std::string_view because, milliseconds time) {
  if (waited_ >= longest_) return false;
  log_.line(fmt::format("waiting because='{}' ms={}", because, time.count()));
  pause_(time);
  waited_ += time;
  return true;
}

RunResult Packages::run(const std::vector<std::string>& arguments) {
  std::vector<std::string> command;
  switch (tool_) {
    case PackageTool::apt:
      command = {
          "apt-get",
          "--quiet",
          "-o",
          fmt::format("DPkg::Lock::Timeout={}", std::min(longest_, milliseconds(longest_lock)) / seconds(1)),
          "-o",
          "Acquire::Retries=3",
          "-o",
          "Dpkg::Options::=--force-confold",
          "-o",
          "Dpkg::Use-Pty=0"};
      break;
    case PackageTool::dnf:
      command = {"dnf", "--assumeyes", "--quiet"};
      break;
    case PackageTool::zypper:
      command = {"zypper", "--non-interactive"};
      break;
    case PackageTool::none:
      throw Error(ErrorKind::unavailable, "NoPackageTool",
                  "This machine has no apt-get, dnf or zypper to install packages with.");
  }
  command.insert(command.end(), arguments.begin(), arguments.end());
  const RunResult result = run_patiently(command);
  if (tool_ != PackageTool::apt || result.exit_code == 0 || !says(result, {"dpkg was interrupted"}))
    return result;
  mend();
  return run_patiently(command);
}

RunResult Packages::run_patiently(const std::vector<std::string>& command) {
  RunOptions options;
  options.limit = longest_;
  options.environment = {{"LC_ALL", "C"}};
  if (tool_ == PackageTool::apt)
    options.environment.insert({{"DEBIAN_FRONTEND", "noninteractive"}, {"NEEDRESTART_MODE", "l"}});
  if (tool_ == PackageTool::zypper) options.environment["ZYPP_LOCK_TIMEOUT"] = "600";
  milliseconds pause = first_pause;
  while (true) {
    RunResult result = runner_.run(command, options);
    if (result.exit_code == 0 || is_missing(result)) return result;
    if (is_locked(result)) {
      if (!wait("another package manager works", lock_pause)) return result;
    } else {
      if (!is_network(result) || !wait(last_lines(result, 1), pause)) return result;
      pause = std::min(pause * 2, milliseconds(longest_pause));
    }
  }
}

void Packages::mend() {
  if (tool_ != PackageTool::apt) return;  // the others do not unpack before they configure
  const RunResult result = run_patiently({"dpkg", "--configure", "-a"});
  if (result.exit_code != 0) log_.line(fmt::format("dpkg could not mend everything: {}", last_lines(result)));
}

void Packages::refresh() {
  if (tool_ != PackageTool::apt) return;  // the others do it when they need to
  const RunResult result = run({"update"});
  if (result.exit_code != 0)
    throw Error(ErrorKind::unavailable, "PackagesUnavailable",
                fmt::format("The lists of packages could not be read: {}", last_lines(result)),
                "Check this machine's package sources and its way to the network.");
  // apt-get goes on past a source that does not answer, with exit code 0 and a warning.
  unread_ = is_unreachable(result) ? last_lines(result, 2) : "";
}

void Packages::install_any(const std::vector<std::vector<std::string>>& alternatives) {
  for (milliseconds pause = first_pause;; pause = std::min(pause * 2, milliseconds(longest_pause))) {
    RunResult result;
    for (const std::vector<std::string>& packages : alternatives) {
      std::vector<std::string> arguments = {"install"};
      if (tool_ == PackageTool::apt) arguments.insert(arguments.end(), {"--yes", "--no-install-recommends"});
      arguments.insert(arguments.end(), packages.begin(), packages.end());
      result = run(arguments);
      if (result.exit_code == 0) return;
      if (!is_missing(result))
        throw Error(ErrorKind::unavailable, "InstallFailed",
                    fmt::format("Installing {} ended with exit code {}: {}", fmt::join(packages, ", "),
                                result.exit_code, last_lines(result)));
    }
    const std::string names = fmt::format("{}", fmt::join(alternatives.back(), ", "));
    if (unread_.empty())
      throw Error(
          ErrorKind::not_found, "PackageNotFound",
          fmt::format("This machine's package sources do not have {}: {}", names, last_lines(result, 1)),
          "Check docker.version and docker.channel, or add a source that has it (docker.repository).");
    if (!wait("a source of packages could not be read", pause))
      throw Error(ErrorKind::unavailable, "PackagesUnavailable",
                  fmt::format("A source of packages could not be read, and the others do not have {}: {}",
                              names, unread_),
                  "Check this machine's package sources and its way to the network.");
    refresh();
  }
}

void Packages::install_first(const std::vector<std::string>& candidates) {
  std::vector<std::vector<std::string>> alternatives;
  for (const std::string& candidate : candidates) alternatives.push_back({candidate});
  install_any(alternatives);
}

void Packages::remove(const std::vector<std::string>& candidates) {
  std::vector<std::string> arguments = {"remove"};
  if (tool_ == PackageTool::apt) arguments.push_back("--yes");
  const std::size_t none = arguments.size();
  for (const std::string& package : candidates) {
    const std::vector<std::string> query = tool_ == PackageTool::apt
                                               ? std::vector<std::string>{"dpkg", "--status", package}
                                               : std::vector<std::string>{"rpm", "--query", package};
    if (runner_.run(query).exit_code == 0) arguments.push_back(package);
  }
  if (arguments.size() == none) return;
  const RunResult result = run(arguments);
  if (result.exit_code != 0)
    throw Error(ErrorKind::unavailable, "RemoveFailed",
                fmt::format("The engine's package could not be removed: {} ended with exit code {}: {}",
                            fmt::join(arguments, " "), result.exit_code, last_lines(result)));
}

void install_engine(const Root& root, Runner& runner, Log& log, Packages& packages, const Settings& settings,
                    std::map<std::string, std::string>& files) {
  switch (settings.channel) {
    case Channel::none:
      throw Error(ErrorKind::unavailable, "NoEngine",
                  "This machine has no Docker Engine, and docker.channel is none.",
                  "Install one, or set docker.channel to distro, docker-ce or static.");
    case Channel::distro:
      packages.refresh();
      install_distribution_engine(root, packages, settings);
      break;
    case Channel::docker_ce:
      if (settings.repository.empty()) packages.refresh();
      install_docker_ce(root, packages, settings, files);
      break;
    case Channel::archive:
      install_archive(root, runner, settings, files);
      break;
  }
  if (!look_at_system(root).dockerd)
    throw Error(ErrorKind::unavailable, "NoEngine",
                "The installation ended well, but there is no dockerd on this machine.",
                "Look into the log for what the package manager said.");
  log.line("installed the engine");
}

void remove_engine_packages(Packages& packages) {
  switch (packages.tool()) {
    case PackageTool::apt:
      return packages.remove({"docker.io", "docker-ce"});
    case PackageTool::dnf:
      return packages.remove({"moby-engine", "docker-ce"});
    case PackageTool::zypper:
      return packages.remove({"docker"});
    case PackageTool::none:
      return;
  }
}

}  // namespace berth::extension
