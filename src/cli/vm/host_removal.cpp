#include "cli/vm/host_removal.h"

#include <nlohmann/json.hpp>

#include "cli/arm/json_view.h"
#include "cli/vm/hosts.h"
#include "model/names.h"

namespace berth {

using nlohmann::json;

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

}  // namespace berth
