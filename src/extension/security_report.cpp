#include "extension/security_report.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "extension/engine_config.h"
#include "extension/front.h"
#include "extension/system.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using nlohmann::json;
using Verdict = SecurityItem::Verdict;

/// What is looked at, and the items as they come.
class Inspection {
 public:
  Inspection(const Root& root, const Settings& settings, std::string_view info)
      : root_(root),
        settings_(settings),
        system_(look_at_system(root)),
        info_(json::parse(info, nullptr, false)),
        daemon_(json::parse(read_file_if_there(root(daemon_file)).value_or("{}"), nullptr, false)) {
    if (!info_.is_object()) info_ = json::object();
    if (!daemon_.is_object()) daemon_ = json::object();
  }

  std::vector<SecurityItem> run() {
    check_engine_settings();
    check_costly_settings();
    check_kernel();
    check_files();
    check_people();
    return std::move(items_);
  }

 private:
  void add(std::string id, Verdict verdict, std::string reason) {
    items_.push_back({std::move(id), verdict, std::move(reason)});
  }
  void judge(std::string id, bool good, std::string when_good, std::string when_bad) {
    add(std::move(id), good ? Verdict::pass : Verdict::fail,
        good ? std::move(when_good) : std::move(when_bad));
  }

  /// The value of a key of daemon.json, or of the flag that stands for it on the engine's command line.
  json setting(const std::string& key) const {
    if (daemon_.contains(key)) return daemon_[key];
    if (!system_.unit) return {};
    for (const UnitWord& word : split_unit_words(system_.unit->exec_start)) {
      if (daemon_key_of_flag(word.text) != key) continue;
      const std::size_t equals = word.text.find('=');
      const std::string value = equals == std::string::npos ? "true" : word.text.substr(equals + 1);
      return value == "true" || value == "false" ? json(value == "true") : json(value);
    }
    return {};
  }
  bool is_on(const std::string& key) const { return setting(key) == true; }
  bool is_off(const std::string& key) const { return setting(key) == false; }
  bool has_list(const std::string& key) const {
    return setting(key).is_array() ? !setting(key).empty() : !setting(key).is_null();
  }
  std::string text(const std::string& key) const {
    const json value = setting(key);
    return value.is_string() ? value.get<std::string>() : std::string();
  }
  /// The front has the configuration that its image brings, which demands one.
  bool front_serves() const {
    const auto front = front_text(root_, settings_);
    return front && settings_.has_certificates() && read_file_if_there(root_(front_file)) == front;
  }
  bool engine_says(const std::string& option) const {
    const auto options = info_.find("SecurityOptions");
    if (options == info_.end() || !options->is_array()) return false;
    return std::any_of(options->begin(), options->end(), [&](const json& one) {
      return one.is_string() && one.get<std::string>().starts_with(option);
    });
  }

  void check_engine_settings() {
    if (!settings_.port)
      add("2.7-tls", Verdict::not_applicable, "the engine does not listen on TCP");
    else
      judge("2.7-tls", front_serves() || is_on("tlsverify"),
            fmt::format("port {} demands a client certificate{}", *settings_.port,
                        front_serves() ? ", of docker-tls.service" : ""),
            fmt::format("port {} is plain TCP on {}", *settings_.port, settings_.address));
    const std::string level = text("log-level");
    judge("2.3-log-level", level.empty() || level == "info", "info", "log-level is " + level);
    judge("2.4-iptables", !is_off("iptables"), "the engine manages its own rules",
          "iptables is false: containers are not fenced off");
    judge("2.5-insecure-registries", !has_list("insecure-registries"), "none",
          "daemon.json lists insecure registries");
    const std::string driver = info_.value("Driver", text("storage-driver"));
    judge("2.6-storage-driver", driver != "aufs", driver.empty() ? "not aufs" : driver,
          "aufs is not maintained");
    if (in_swarm(info_.dump(), system_))
      add("2.15-live-restore", Verdict::not_applicable, "a machine in a swarm cannot have it");
    else
      judge("2.15-live-restore", info_.value("LiveRestoreEnabled", is_on("live-restore")),
            "containers outlive an engine restart", "live-restore is off");
    judge("2.16-userland-proxy", is_off("userland-proxy"), "off",
          "published ports go through a proxy process");
    judge("2.14-no-new-privileges", is_on("no-new-privileges"), "on for all containers",
          "containers may gain privileges by setuid programs; profile cis forbids it");
    judge("2.18-experimental", !info_.value("ExperimentalBuild", is_on("experimental")), "off",
          "experimental features are on");
    const std::string log_driver = info_.value("LoggingDriver", text("log-driver"));
    const json log_options = setting("log-opts");
    const bool turns_over = log_driver == "local" || (!log_driver.empty() && log_driver != "json-file") ||
                            (log_options.is_object() && log_options.contains("max-size"));
    judge("log-rotation", turns_over, log_driver.empty() ? "json-file with max-size" : log_driver,
          "container logs grow without limit");
    judge("2.8-default-ulimits", has_list("default-ulimits"), "set",
          "containers have the limits of the engine's unit");
  }

  void check_costly_settings() {
    judge("2.2-icc", is_off("icc"), "containers of the default network do not reach each other",
          "containers of the default network reach each other; profile cis forbids it");
    judge("2.9-userns-remap", !text("userns-remap").empty() || engine_says("name=userns"), "on",
          "root in a container is root outside; docker.options [\"--userns-remap=default\"] on a new host "
          "changes that");
    judge("2.12-authorization", has_list("authorization-plugins"), "a plugin decides",
          "every client certificate may do everything");
    const std::string log_driver = info_.value("LoggingDriver", text("log-driver"));
    judge("2.13-central-log", !log_driver.empty() && log_driver != "json-file" && log_driver != "local",
          log_driver, "container logs stay on this machine");
    judge("2.1-rootless", engine_says("name=rootless"), "the engine runs without root",
          "the engine runs as root, as its network and storage need");
  }

  void check_kernel() {
    judge("5.22-seccomp", engine_says("name=seccomp"), "the default profile confines system calls",
          "the kernel or the engine lacks seccomp");
    if (!std::filesystem::exists(root_("/sys/module/apparmor")))
      add("5.2-apparmor", Verdict::not_applicable, "the kernel has no AppArmor");
    else
      judge("5.2-apparmor", engine_says("name=apparmor"), "docker-default confines containers",
            "the kernel has AppArmor, but the engine does not use it; install package apparmor");
    if (!std::filesystem::exists(root_("/sys/fs/selinux")))
      add("5.3-selinux", Verdict::not_applicable, "the kernel has no SELinux");
    else
      judge("5.3-selinux", engine_says("name=selinux"), "on",
            "selinux-enabled is off; install container-selinux and set it");
    const std::string cgroups = info_.value("CgroupVersion", "");
    if (cgroups.empty())
      add("cgroups", Verdict::not_applicable, "the engine does not say");
    else
      judge("cgroups", cgroups == "2", "version 2", "version " + cgroups);
  }

  void check_mode(const std::string& id, const std::string& path, mode_t most, const char* group = "root") {
    struct stat status {};
    if (::stat(root_(path).c_str(), &status) != 0)
      return add(id, Verdict::not_applicable, path + " is not there");
    const mode_t mode = status.st_mode & 07777;
    const auto account = find_account(root_, "/etc/group", group);
    const bool right_group =
        !root_.is_machine() ||
        (account && account->size() > 2 && (*account)[2] == std::to_string(status.st_gid)) ||
        status.st_gid == 0;
    const bool right_owner = !root_.is_machine() || status.st_uid == 0;
    judge(id, (mode & ~most) == 0 && right_owner && right_group, fmt::format("{} is {:04o}", path, mode),
          fmt::format("{} is {:04o} and belongs to {}:{}; at most {:04o} root:{}", path, mode, status.st_uid,
                      status.st_gid, most, group));
  }

  void check_files() {
    if (system_.unit) check_mode("3.1-service-file", system_.unit->files.front(), 0644);
    check_mode("3.4-socket-file", "/usr/lib/systemd/system/docker.socket", 0644);
    check_mode("3.6-etc-docker", "/etc/docker", 0755);
    check_mode("3.9-ca-certificate", std::string(ca_file), 0444);
    check_mode("3.11-server-certificate", std::string(certificate_file), 0444);
    check_mode("3.13-server-key", std::string(key_file), 0400);
    check_mode("3.15-engine-socket", "/run/docker.sock", 0660, "docker");
    check_mode("3.18-daemon-json", std::string(daemon_file), 0644);
    check_mode("3.24-containerd-socket", "/run/containerd/containerd.sock", 0660);
    struct stat data {
    }, above{};
    if (::stat(root_("/var/lib/docker").c_str(), &data) == 0 &&
        ::stat(root_("/var/lib").c_str(), &above) == 0)
      judge("1.1.1-own-partition", data.st_dev != above.st_dev, "/var/lib/docker has its own file system",
            "/var/lib/docker shares a file system with the system; a data disk would part them");
    else
      add("1.1.1-own-partition", Verdict::not_applicable, "/var/lib/docker is not there");
    if (!std::filesystem::is_directory(root_("/etc/audit/rules.d")))
      add("1.1.3-audit", Verdict::not_applicable, "auditd is not installed");
    else
      judge("1.1.3-audit", std::filesystem::exists(root_("/etc/audit/rules.d/docker-ext.rules")),
            "the engine's files are watched", "no audit rules for the engine");
  }

  void check_people() {
    const auto group = find_account(root_, "/etc/group", "docker");
    const std::string members = group && group->size() > 3 ? (*group)[3] : "";
    if (!group) return add("1.1.2-docker-group", Verdict::not_applicable, "there is no group docker");
    const std::string named =
        provisioned_user(read_file_if_there(root_("/var/lib/waagent/ovf-env.xml")).value_or("")).value_or("");
    judge("1.1.2-docker-group", members.empty() || members == named,
          members.empty() ? "has no members" : fmt::format("only {}, who made this machine", members),
          fmt::format("{} can become root through the engine", members));
  }

  const Root& root_;
  const Settings& settings_;
  System system_;
  json info_, daemon_;
  std::vector<SecurityItem> items_;
};

std::string_view word(Verdict verdict) {
  constexpr std::string_view words[] = {"pass", "fail", "n/a"};
  return words[static_cast<int>(verdict)];
}

}  // namespace

std::vector<SecurityItem> check_security(const Root& root, const Settings& settings, std::string_view info) {
  return Inspection(root, settings, info).run();
}

std::string security_text(const std::vector<SecurityItem>& items) {
  const auto count = [&](Verdict verdict) {
    return std::count_if(items.begin(), items.end(),
                         [&](const SecurityItem& item) { return item.verdict == verdict; });
  };
  std::string text = fmt::format("{} pass, {} fail, {} n/a", count(Verdict::pass), count(Verdict::fail),
                                 count(Verdict::not_applicable));
  for (const SecurityItem& item : items)
    text += fmt::format("\n{}: {} {}", item.id, word(item.verdict), item.reason);
  return text;
}

}  // namespace berth::extension
