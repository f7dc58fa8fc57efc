#include "cli/vm/host_removal.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/arm/json_view.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/hosts.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// Azure keeps an interface for its machine for 180 s after that could not be made.
constexpr auto reservation_limit = 200s;
constexpr auto deployment_end_limit = 300s;
constexpr std::chrono::milliseconds first_retry_after = 500ms, longest_retry_after = 20s;

void remove_resource(ArmClient& arm, const std::string& path, std::chrono::seconds limit) {
  const auto end = steady_clock::now() + reservation_limit;
  for (auto pause = first_retry_after;; pause = std::min(2 * pause, longest_retry_after)) {
    try {
      arm.wait(arm.remove(path), path, limit);
      return;
    } catch (const Error& error) {
      if (error.code != "NicReservedForAnotherVm" || steady_clock::now() >= end) throw;
    }
    if (interrupt::sleep(pause)) interrupt::check();
  }
}

/// What is Ctrl-C, or may be mended by trying all of it again.
bool ends_removal(const Error& error) {
  return is_connection_loss(error) || error.code == "OperationCanceled" || error.code == "SignInNeeded";
}

/// "web1-nic" of its path.
std::string last_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

std::vector<std::string> resources_of_host(ArmClient& arm, const std::string& group,
                                           const ResourceNames& names, const std::string& vm_name,
                                           const std::string& host) {
  std::vector<std::string> ours;
  for (const std::string& path : host_resources(group, names, vm_name)) {
    const auto document = arm.find(path);
    if (!document) continue;
    // A disk that came with its machine has no tags of its own everywhere.
    const std::string holder = text(*document, {"managedBy"});
    const bool of_machine = same_name(part_of_id(holder, "virtualMachines"), vm_name) &&
                            same_name(part_of_id(holder, "resourceGroups"), group);
    if (of_machine || same_name(text(*document, {"tags", host_tag}), host)) ours.push_back(path);
  }
  return ours;
}

void remove_resources(ArmClient& arm, const std::vector<std::string>& paths, std::chrono::seconds limit) {
  std::optional<Error> first;
  std::string all;
  for (const std::string& path : paths) {
    try {
      remove_resource(arm, path, limit);
    } catch (const Error& error) {
      if (ends_removal(error)) throw;
      if (!first) first = error;
      all += fmt::format("{}{} stays: {}", all.empty() ? "" : "\n", last_name(path), error.what());
    }
  }
  if (first) throw Error(first->kind, first->code, all, first->advice);
}

std::string deployment_path(const std::string& group, const std::string& host) {
  return fmt::format("resourcegroups/{}/providers/Microsoft.Resources/deployments/docker-{}", group, host);
}

void end_deployment(ArmClient& arm, const std::string& group, const std::string& host) {
  const std::string path = deployment_path(group, host);
  try {
    arm.post(path + "/cancel", {});
    arm.wait({.document = R"({"properties":{"provisioningState":"Running"}})"}, path, deployment_end_limit);
  } catch (const Error& error) {
    if (ends_removal(error)) throw;
  }
}

std::optional<HostRemains> find_remains(ArmClient& arm, const std::string& host, const std::string& group) {
  const auto is_ours = [&](const json& document) {
    return same_name(text(document, {"tags", host_tag}), host);
  };
  HostRemains remains;
  for (const json& one : arm.list("resourcegroups")) {
    const std::string name = text(one, {"name"});
    if (is_ours(one) && (group.empty() || same_name(name, group)))
      return HostRemains{.group = name, .whole_group = true, .paths = {}};
  }
  for (const char* type : {"Network/networkInterfaces", "Network/loadBalancers", "Network/publicIPAddresses",
                           "Network/networkSecurityGroups", "Network/virtualNetworks", "Compute/disks"}) {
    for (const json& one : arm.list(std::string("providers/Microsoft.") + type)) {
      const std::string id = text(one, {"id"}), in = part_of_id(id, "resourceGroups");
      if (!is_ours(one) || (!group.empty() && !same_name(in, group))) continue;
      if (!remains.group.empty() && !same_name(remains.group, in))
        throw Error(ErrorKind::conflict, "AmbiguousName",
                    fmt::format("There are remains of hosts named \"{}\" in the resource groups {} and {}.",
                                host, remains.group, in),
                    "Say which with --resource-group.");
      remains.group = in;
      remains.paths.push_back(
          fmt::format("resourcegroups/{}/providers/Microsoft.{}/{}", in, type, last_name(id)));
    }
  }
  if (remains.group.empty()) return std::nullopt;
  return remains;
}

void remove_remains(ArmClient& arm, const HostRemains& remains, std::chrono::seconds limit) {
  const std::string group = "resourcegroups/" + remains.group;
  if (!remains.whole_group) return remove_resources(arm, remains.paths, limit);
  arm.wait(arm.remove(group), group, limit);
}

}  // namespace berth
