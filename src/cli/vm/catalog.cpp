#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/terminal/phases.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/hosts.h"
#include "http/message.h"
#include "model/catalog.h"
#include "model/names.h"

/// `azure vm location|size list`, `azure vm resize`, `azure group …`: what there is to choose from, and where things are.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto resize_limit = 900s, group_limit = 1800s;

// --- locations, sizes

void vm_location_list(CommandLine& app, Session& session) {
  app.callback([&session] {
    ordered_json all = ordered_json::array();
    std::vector<std::vector<std::string>> rows;
    for (const json& one : session.arm().list("locations")) {
      all.push_back({{"name", text(one, {"name"})}, {"displayName", text(one, {"displayName"})}});
      rows.push_back({text(one, {"name"}), text(one, {"displayName"})});
    }
    if (session.out.json_mode()) return session.out.json(all);
    session.out.table({"Name", "Display Name"}, rows);
  });
}

void list_sizes(Session& session, const std::string& wanted) {
  std::string location = wanted.empty() ? setting("location") : wanted;
  if (location.empty()) location = "West US";
  const Location* known = find_location(location);
  std::vector<json> sizes =
      session.arm().list(fmt::format("providers/Microsoft.Compute/locations/{}/vmSizes",
                                     known != nullptr ? std::string(known->name) : location));
  ordered_json all = ordered_json::array();
  std::vector<std::vector<std::string>> rows;
  for (const json& one : sizes) {
    all.push_back({{"name", text(one, {"name"})},
                   {"numberOfCores", at(one, {"numberOfCores"})},
                   {"memoryInMB", at(one, {"memoryInMB"})},
                   {"maxDataDiskCount", at(one, {"maxDataDiskCount"})}});
    rows.push_back({text(one, {"name"}), text(one, {"numberOfCores"}), text(one, {"memoryInMB"}),
                    text(one, {"maxDataDiskCount"})});
  }
  if (session.out.json_mode()) return session.out.json(all);
  session.out.table({"Name", "Cores", "Memory MB", "Data Disks"}, rows);
}

void vm_size_list(CommandLine& app, Session& session) {
  auto location = std::make_shared<std::string>();
  app.add_option("-l,--location", *location, "Where [West US]")->type_name("<location>");
  app.callback([location, &session] { list_sizes(session, *location); });
}

// --- vm resize

void vm_resize(CommandLine& app, Session& session) {
  struct Options {
    std::string name, size, group;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the virtual machine")->required();
  app.add_option("vm-size", options->size, "A size of 'azure vm size list'")->required();
  app.add_group(options->group);
  app.callback([options, &session] {
    session.out.info("Getting virtual machines");
    const HostView host = get_host(session.arm(), options->name, options->group);
    const VmSize* known = find_vm_size(options->size);
    const std::string size = known != nullptr ? std::string(known->name) : options->size;
    const json body = {{"properties", {{"hardwareProfile", {{"vmSize", size}}}}}};
    session.await(session.arm().patch(host.path(), body), host.path(), fmt::format("Resizing {}", host.name),
                  resize_limit);
    const HostView now = get_host(session.arm(), host.name, host.group);
    if (session.out.json_mode()) return session.out.json({{"name", now.name}, {"vmSize", now.size}});
    session.out.info(fmt::format("{} is a {} now", now.name, now.size));
  });
}

// --- group

ordered_json group_json(const json& group) {
  return {{"name", text(group, {"name"})},
          {"location", text(group, {"location"})},
          {"provisioningState", text(group, {"properties", "provisioningState"})},
          {"tags", at(group, {"tags"})}};
}

void group_list(CommandLine& app, Session& session) {
  app.callback([&session] {
    ordered_json all = ordered_json::array();
    std::vector<std::vector<std::string>> rows;
    for (const json& group : session.arm().list("resourcegroups")) {
      all.push_back(group_json(group));
      rows.push_back({text(group, {"name"}), text(group, {"location"}),
                      text(group, {"properties", "provisioningState"})});
    }
    if (session.out.json_mode()) return session.out.json(all);
    if (rows.empty()) return session.out.info("No resource groups found");
    session.out.table({"Name", "Location", "Provisioning State"}, rows);
  });
}

json get_group(Session& session, const std::string& name) {
  if (const auto group = session.arm().find("resourcegroups/" + percent_encode(name))) return *group;
  throw Error(ErrorKind::not_found, "ResourceGroupNotFound",
              fmt::format("There is no resource group {}.", name),
              "'azure group list' shows those that there are.");
}

void group_show(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name of the resource group")->required();
  app.callback([name, &session] {
    const json group = get_group(session, *name);
    std::vector<json> resources =
        session.arm().list("resourcegroups/" + percent_encode(*name) + "/resources");
    ordered_json document = group_json(group);
    document["resources"] = ordered_json::array();
    std::vector<std::vector<std::string>> rows;
    for (const json& one : resources) {
      document["resources"].push_back({{"name", text(one, {"name"})}, {"type", text(one, {"type"})}});
      rows.push_back({text(one, {"name"}), text(one, {"type"})});
    }
    if (session.out.json_mode()) return session.out.json(document);
    session.out.pairs({{"Name", text(group, {"name"})}, {"Location", text(group, {"location"})}});
    if (rows.empty()) return session.out.info("Nothing is in it");
    session.out.table({"Resource", "Type"}, rows);
  });
}

void group_create(CommandLine& app, Session& session) {
  struct Options {
    std::string name, location;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the resource group")->required();
  app.add_option("location", options->location, "Where [West US]");
  app.add_option("-l,--location", options->location, "The same")->type_name("<location>");
  app.callback([options, &session] {
    std::string location = options->location.empty() ? setting("location") : options->location;
    if (location.empty()) location = "West US";
    const Location* known = find_location(location);
    const std::string path = "resourcegroups/" + percent_encode(options->name);
    if (session.arm().find(path))
      throw Error(ErrorKind::conflict, "ResourceGroupExists",
                  fmt::format("The resource group {} exists already.", options->name),
                  "Choose another name.");
    session.arm().put(path, {{"location", known != nullptr ? std::string(known->name) : location}});
    const json group = get_group(session, options->name);
    if (session.out.json_mode()) return session.out.json(group_json(group));
    session.out.info(
        fmt::format("Created resource group {} at {}", text(group, {"name"}), text(group, {"location"})));
  });
}

void group_delete(CommandLine& app, Session& session) {
  struct Options {
    std::string name;
    bool quiet = false;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the resource group")->required();
  app.add_flag("-q,--quiet", options->quiet, "Do not ask");
  app.callback([options, &session] {
    get_group(session, options->name);
    if (!options->quiet &&
        !prompt_yes(fmt::format("Delete the resource group {} with everything in it?", options->name),
                    "Add --quiet to delete without being asked."))
      throw Error(ErrorKind::invalid, "NotConfirmed", "Nothing was deleted.");
    const std::string path = "resourcegroups/" + percent_encode(options->name);
    session.await(session.arm().remove(path), path, fmt::format("Deleting {}", options->name), group_limit);
    if (session.out.json_mode()) session.out.json({{"deleted", options->name}});
  });
}

constexpr Command catalog_table[] = {
    {"vm location list", "List the locations that virtual machines can be at", &vm_location_list},
    {"vm size list", "List the sizes of virtual machines at a location", &vm_size_list},
    {"vm resize", "Give a virtual machine another size", &vm_resize},
    {"group list", "List the resource groups", &group_list},
    {"group show", "Show a resource group and what is in it", &group_show},
    {"group create", "Make a resource group", &group_create},
    {"group delete", "Delete a resource group with everything in it", &group_delete},
};

}  // namespace

std::span<const Command> catalog_commands() {
  return catalog_table;
}

}  // namespace berth
