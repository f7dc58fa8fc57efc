#include <fmt/format.h>

#include "api/arm/compute.h"
#include "api/arm/json_text.h"
#include "model/catalog.h"

/// Which sizes of VMs there are, and how many of them may be.
namespace berth::arm {

void write_vm_sizes(JsonText& out, std::string_view key) {
  out.open_list(key);
  for (const VmSize& size : vm_sizes())
    out.open()
        .put("name", size.name)
        .put("numberOfCores", size.cpus)
        .put("osDiskSizeInMB", size.os_disk_mib)
        .put("resourceDiskSizeInMB", size.resource_disk_mib)
        .put("memoryInMB", size.memory_mib)
        .put("maxDataDiskCount", size.max_data_disks)
        .close();
  out.close_list();
}

void write_skus(JsonText& out, std::string_view key, std::string_view location_filter) {
  out.open_list(key);
  const auto capability = [&](std::string_view name, const std::string& value) {
    out.open().put("name", name).put("value", value).close();
  };
  for (const VmSize& size : vm_sizes()) {
    const std::size_t underscore = size.name.find('_');
    const std::string_view short_name = size.name.substr(underscore + 1);
    out.open()
        .put("resourceType", "virtualMachines")
        .put("name", size.name)
        .put("tier", size.name.substr(0, underscore))
        .put("size", short_name)
        .put("family",
             fmt::format("standard{}Family", short_name.substr(0, short_name.find_first_of("0123456789"))));
    out.open_list("locations");
    for (const Location& location : locations())
      if (location_filter.empty() || same_name(location_filter, location.name)) out.item(location.name);
    out.close_list().open_list("locationInfo");
    for (const Location& location : locations())
      if (location_filter.empty() || same_name(location_filter, location.name))
        out.open().put("location", location.name).open_list("zones").close_list().close();
    out.close_list().open_list("capabilities");
    capability("vCPUs", std::to_string(size.cpus));
    capability("MemoryGB", fmt::format("{:g}", size.memory_mib / 1024.0));
    capability("MaxDataDiskCount", std::to_string(size.max_data_disks));
    capability("OSVhdSizeMB", std::to_string(size.os_disk_mib));
    capability("PremiumIO", "False");
    capability("HyperVGenerations", "V1");
    capability("CpuArchitectureType", "x64");
    capability("AcceleratedNetworkingEnabled", "False");
    out.close_list().open_list("restrictions").close_list().close();
  }
  out.close_list();
}

void write_usages(JsonText& out, std::string_view key, std::size_t vms, std::size_t cores) {
  const auto usage = [&](std::size_t limit, std::size_t current, std::string_view name,
                         std::string_view text) {
    out.open().put("limit", limit).put("unit", "Count").put("currentValue", current);
    out.open("name").put("value", name).put("localizedValue", text).close().close();
  };
  // The host's memory is the real limit and is checked when a VM starts; these are the counts that Azure has.
  out.open_list(key);
  usage(2500, 0, "availabilitySets", "Availability Sets");
  usage(100'000, cores, "cores", "Total Regional vCPUs");
  usage(25'000, vms, "virtualMachines", "Virtual Machines");
  out.close_list();
}

}  // namespace berth::arm
