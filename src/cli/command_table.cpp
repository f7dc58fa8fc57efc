#include "cli/command.h"

namespace berth {
namespace {

constexpr CommandGroup groups[] = {
    {"vm", "Virtual machines and Docker hosts"},
    {"vm docker", "Virtual machines that run a Docker host"},
    {"vm docker certs", "Certificates of a Docker host, and who may use it"},
    {"vm docker context", "Contexts of the docker client"},
    {"vm docker port", "Ports of containers that are reachable from outside"},
    {"vm endpoint", "Open ports of virtual machines"},
    {"vm image", "Images that virtual machines are made from"},
    {"vm image alias", "Images by the names that templates use"},
    {"vm location", "Locations of virtual machines"},
    {"vm size", "Sizes of virtual machines"},
    {"vm extension", "VM extensions: in the region's gallery, and on virtual machines"},
    {"group", "Resource groups"},
    {"region", "The local region: the cloud on this machine"},
    {"account", "Subscriptions, and publish-settings files of classic clients"},
    {"account env", "Clouds that can be signed in to"},
    {"config", "Defaults of options"},
    {"completion", "Completion of commands by your shell, and the manual page"},
};

}  // namespace

std::span<const CommandGroup> command_groups() {
  return groups;
}

std::vector<Command> all_commands() {
  std::vector<Command> all;
  for (const auto& table :
       {vm_commands(), vm_power_commands(), docker_commands(), docker_list_commands(),
        docker_power_commands(), docker_where_commands(), docker_inside_commands(), docker_certs_commands(),
        endpoint_commands(), hand_over_commands(), vm_image_commands(), extension_gallery_commands(),
        extension_commands(), region_commands(), account_commands(), config_commands(), login_commands(),
        catalog_commands(), completion_commands()})
    all.insert(all.end(), table.begin(), table.end());
  return all;
}

std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  while (!name.empty()) {
    const std::size_t blank = name.find(' ');
    words.emplace_back(name.substr(0, blank));
    name = blank == std::string_view::npos ? "" : name.substr(blank + 1);
  }
  return words;
}

}  // namespace berth
