#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "endpoints/classic/role_changes.h"
#include "images/gallery.h"
#include "model/catalog.h"
#include "model/names.h"

/// One role of a deployment: changed, started, stopped, captured.
namespace berth::classic {
namespace {

using nlohmann::json;

std::string state_word(const std::string& state) {
  return state.empty() || same_name(state, "enable") ? "enabled" : "disabled";
}

void check_settings(const ExtensionReference& reference, const std::string& text, const char* which) {
  const json settings = json::parse(text, nullptr, false);
  if (!settings.is_object())
    throw bad_request(
        fmt::format("The {} settings of extension '{}' are not a JSON object.", which, reference.reference));
  const auto docker = settings.find("docker");
  if (!same_name(reference.name, "DockerExtension") || docker == settings.end() || !docker->is_object())
    return;
  const json port = docker->value("port", json("2376"));
  const std::string digits = port.is_string() ? port.get<std::string>() : port.dump();
  int number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size() || number < 1 || number > 65535)
    throw bad_request(
        fmt::format("The docker port '{}' is not a number from 1 to 65535.", digits.substr(0, 32)));
}

ExtensionOrder extension_order(const ExtensionReference& reference) {
  ExtensionOrder order;
  order.name = reference.reference;
  order.publisher = reference.publisher;
  order.type = reference.name;
  order.version = reference.version;
  order.state = state_word(reference.state);
  if (reference.settings && !reference.settings->empty()) {
    check_settings(reference, *reference.settings, "public");
    order.settings = *reference.settings;
  }
  if (reference.protected_settings) {
    if (!reference.protected_settings->empty())
      check_settings(reference, reference.protected_settings->reveal(), "private");
    order.protected_settings = *reference.protected_settings;
    order.has_protected_settings = true;
  }
  return order;
}

const Extension* find_extension(const Vm& vm, const std::string& reference) {
  const auto found =
      std::ranges::find_if(vm.extensions, [&](const Extension& e) { return same_name(e.name, reference); });
  return found == vm.extensions.end() ? nullptr : &*found;
}

bool says_the_same(const Extension& known, const ExtensionReference& wanted) {
  return !wanted.protected_settings && same_name(known.publisher, wanted.publisher) &&
         same_name(known.type, wanted.name) && known.state == state_word(wanted.state) &&
         (wanted.version.empty() || wanted.version == known.version_wanted ||
          wanted.version == known.version) &&
         (!wanted.settings || *wanted.settings == known.settings);
}

/// The endpoints as they shall be: what is new is opened, what is missing is closed, by whatever had opened
/// it.
void change_endpoints(Region& region, const CloudService& service, const Vm& vm,
                      const std::vector<InputEndpoint>& wanted) {
  const NetworkInterface* found = interface_of(region, vm, service);
  if (!found) throw conflict(fmt::format("The role '{}' has no interface at '{}'.", vm.name, service.name));
  for (const Vm* other : roles_of(region, service))
    if (other != &vm)
      for (const EndpointView& taken : endpoints_of(region, service, *other))
        for (const InputEndpoint& one : wanted)
          if (taken.port == one.endpoint.public_port && taken.protocol == one.endpoint.protocol)
            throw conflict(
                fmt::format("Port {} is already used by endpoint '{}' of the role '{}' in the deployment.",
                            taken.port, taken.name, other->name));
  NetworkInterface nic = *found;
  const std::vector<EndpointView> now = endpoints_of(region, service, vm);
  const auto is_there = [&](const InputEndpoint& one) {
    return std::ranges::find_if(now, [&](const EndpointView& view) {
             return same_name(view.name, one.endpoint.name) && view.port == one.endpoint.public_port &&
                    view.local_port == one.endpoint.private_port && view.protocol == one.endpoint.protocol;
           }) != now.end();
  };
  const auto is_wanted = [&](const EndpointView& view) {
    return std::ranges::any_of(wanted, [&](const InputEndpoint& one) {
      return view.port == one.endpoint.public_port && view.protocol == one.endpoint.protocol;
    });
  };
  const auto is_own = [&](const std::string& protocol, std::uint16_t port) {
    return std::ranges::find_if(nic.endpoints, [&](const Endpoint& endpoint) {
             return endpoint.protocol == protocol && endpoint.public_port == port;
           }) != nic.endpoints.end();
  };
  std::optional<SecurityGroup> rules;
  if (!nic.endpoints_only)
    if (const SecurityGroup* group = region.find_security_group(nic.security_group)) rules = *group;
  bool rules_changed = false;
  for (const EndpointView& view : now) {
    if (is_wanted(view) || is_own(view.protocol, view.port)) continue;
    const std::string port = std::to_string(view.port);
    const std::size_t removed = rules ? std::erase_if(rules->rules,
                                                      [&](const SecurityRule& rule) {
                                                        return same_name(rule.direction, "Inbound") &&
                                                               same_name(rule.access, "Allow") &&
                                                               rule.destination_ports == std::vector{port};
                                                      })
                                      : 0;
    if (removed == 0)
      throw conflict(fmt::format("Port {} of '{}' is opened by security rules for more than this port.",
                                 view.port, vm.name),
                     "Change the rules of its network security group.");
    rules_changed = true;
  }
  std::vector<Endpoint> endpoints;
  for (const InputEndpoint& one : wanted)
    if (nic.endpoints_only || is_own(one.endpoint.protocol, one.endpoint.public_port) || !is_there(one))
      endpoints.push_back(one.endpoint);
  if (rules_changed) region.put_security_group(std::move(*rules));
  nic.endpoints = std::move(endpoints);
  region.put_interface(std::move(nic));
}

/// Sets, disables and removes the extensions that the references name; returns the operations.
std::vector<std::string> change_extensions(Region& region, const Ref& vm,
                                           const std::vector<ExtensionReference>& references) {
  std::vector<std::string> operations;
  for (const ExtensionReference& reference : references) {
    const Extension* known = find_extension(region.get_vm(vm), reference.reference);
    if (same_name(reference.state, "uninstall")) {
      if (known) operations.push_back(region.delete_extension(vm, reference.reference).operation);
      continue;
    }
    if (known && says_the_same(*known, reference)) continue;
    ExtensionOrder order = extension_order(reference);
    if (known && !reference.settings) order.settings = known->settings;
    operations.push_back(region.put_extension(vm, std::move(order)).operation);
  }
  return operations;
}

std::string update_order(Region& region, const Vm& vm, const RoleOrder& wanted) {
  const VmSize* size = wanted.size.empty() ? nullptr : find_vm_size(wanted.size);
  if (!wanted.size.empty() && !size)
    throw bad_request(fmt::format("There is no VM size '{}'.", wanted.size.substr(0, 64)));
  const bool resized = size && !same_name(size->name, vm.size);
  const bool diagnosed = wanted.boot_diagnostics.value_or(false) && !vm.boot_diagnostics;
  if (!resized && !diagnosed) return {};
  VmOrder order;
  order.vm = vm;
  if (resized) order.vm.size = size->name;
  order.vm.boot_diagnostics = vm.boot_diagnostics || diagnosed;
  return region.put_vm(std::move(order)).operation;
}

std::string capture(Classic& classic, const CloudService& service, const std::string& deployment,
                    const Vm& vm, const RoleOperation& wanted) {
  Region& region = classic.region;
  const bool as_vm_image = wanted.type == "CaptureRoleAsVMImageOperation";
  if (!as_vm_image && !same_name(wanted.post_capture, "Delete"))
    throw bad_request(fmt::format("PostCaptureAction '{}' is not there.", wanted.post_capture.substr(0, 32)),
                      "Only Delete is: the captured virtual machine is removed.");
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated)
    throw conflict(fmt::format("{} is {} and cannot be captured now.", vm.name, to_string(vm.power)),
                   "Shut it down first ('azure vm shutdown').");
  const std::string name = wanted.image_name;
  if (region.gallery().find(name))
    throw conflict(fmt::format("An image named '{}' exists already.", name), "Choose another name.");
  const std::string label = wanted.image_label.empty() ? name : wanted.image_label;
  const Accepted accepted = region.capture_vm(vm.ref(), name, label);
  json words;
  if (as_vm_image)
    words = {{"kind", "vm"},
             {"state", wanted.os_state},
             {"label", label},
             {"service", service.name},
             {"deployment", deployment},
             {"role", vm.name},
             {"location", vm.location},
             {"created", utc_now()}};
  return region.begin("image capture", "hostedServices/" + service.name + "/roles/" + vm.name,
                      [&classic, name, words, as_vm_image, operation = accepted.operation,
                       ref = vm.ref()](std::string) -> asio::awaitable<void> {
                        co_await classic.region.finish(operation);
                        if (as_vm_image)
                          classic.region.keep_document(image_table, lower(name), words.dump());
                        else
                          co_await remove_roles(classic, std::vector{ref}, true);
                      });
}

std::string operate(Classic& classic, const CloudService& service, const std::string& deployment,
                    const Vm& vm, const RoleOperation& wanted) {
  Region& region = classic.region;
  if (wanted.type == "StartRoleOperation") return region.start_vm(vm.ref()).operation;
  if (wanted.type == "RestartRoleOperation") return region.restart_vm(vm.ref()).operation;
  if (wanted.type == "ShutdownRoleOperation")
    return wanted.post_shutdown == "StoppedDeallocated" ? region.deallocate_vm(vm.ref()).operation
                                                        : region.stop_vm(vm.ref(), false).operation;
  if (wanted.type == "CaptureRoleOperation" || wanted.type == "CaptureRoleAsVMImageOperation")
    return capture(classic, service, deployment, vm, wanted);
  throw bad_request(fmt::format("The operation '{}' is not known.", wanted.type),
                    "There are Start, Restart, Shutdown, Capture and CaptureRoleAsVMImage.");
}

}  // namespace

std::vector<ExtensionOrder> extension_orders(const RoleOrder& role) {
  std::vector<ExtensionOrder> orders;
  if (role.extensions)
    for (const ExtensionReference& reference : *role.extensions)
      if (!same_name(reference.state, "uninstall")) orders.push_back(extension_order(reference));
  return orders;
}

void check_role(const RoleOrder& role) {
  if (role.windows)
    throw bad_request("This region runs Linux virtual machines only.",
                      "Choose an image of 'azure vm image list'.");
  if (role.public_addresses > 0)
    throw bad_request(fmt::format("The role '{}' cannot have a public address of its own.", role.name),
                      "It is reached through that of its cloud service.");
}

void keep_role_words(Region& region, const Ref& vm, const RoleOrder& role) {
  json words = read_document(region, role_table, vm.key());
  if (!role.size.empty()) words["size"] = role.size;
  if (!role.availability_set.empty()) words["availabilitySet"] = role.availability_set;
  if (!role.subnets.empty()) words["subnets"] = role.subnets;
  if (role.has_network) {
    json endpoints = json::object();
    for (const InputEndpoint& endpoint : role.endpoints) {
      json own = json::object();
      if (!endpoint.load_balanced_set.empty()) own["set"] = endpoint.load_balanced_set;
      if (endpoint.direct_server_return) own["direct"] = true;
      if (endpoint.idle_timeout_minutes) own["idle"] = endpoint.idle_timeout_minutes;
      if (!own.empty()) endpoints[lower(endpoint.endpoint.name)] = own;
    }
    words["endpoints"] = endpoints;
  }
  if (role.extensions)
    for (const ExtensionReference& reference : *role.extensions) {
      json& own = words["extensions"][lower(reference.reference)];
      if (!reference.public_key.empty()) own["publicKey"] = reference.public_key;
      if (!reference.state.empty()) own["state"] = reference.state;
    }
  region.keep_document(role_table, vm.key(), words.dump());
}

asio::awaitable<Response> get_role(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const Vm& vm = get_role(classic.region, service, param(request, "deployment"), param(request, "role"));
  co_return xml_response(200, role_xml(role_view(classic.region, service, vm)));
}

asio::awaitable<Response> put_role(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const RoleOrder wanted = parse_role(request.body);
  const CloudService service = get_cloud_service(region, param(request, "service"));
  const Vm& vm = get_role(region, service, param(request, "deployment"), param(request, "role"));
  if (!same_name(wanted.name, vm.name))
    throw bad_request(
        fmt::format("The role is '{}'; its name cannot be changed to '{}'.", vm.name, wanted.name));
  const Ref ref = vm.ref();
  if (wanted.extensions)
    for (const ExtensionReference& reference : *wanted.extensions)
      extension_order(reference);  // what is wrong with it is said before anything changes
  check_role(wanted);
  if (const NetworkInterface* nic = interface_of(region, vm, service);
      nic && !wanted.static_address.empty() &&
      wanted.static_address != nic->configurations.front().private_address)
    throw bad_request(fmt::format("The private address of '{}' is {} for as long as it exists.", vm.name,
                                  nic->configurations.front().private_address),
                      "Give another one when the virtual machine is made ('--static-ip').");
  std::vector<std::string> operations;
  if (wanted.has_network) change_endpoints(region, service, vm, wanted.endpoints);
  if (std::string update = update_order(region, vm, wanted); !update.empty())
    operations.push_back(std::move(update));
  if (wanted.extensions)
    for (std::string& operation : change_extensions(region, ref, *wanted.extensions))
      operations.push_back(std::move(operation));
  keep_role_words(region, ref, wanted);
  co_return accepted(region.begin("role update", "hostedServices/" + service.name + "/roles/" + ref.name,
                                  [&region, operations, ref](std::string) -> asio::awaitable<void> {
                                    co_await region.settle_ports(ref);
                                    for (const std::string& operation : operations)
                                      co_await region.finish(operation);
                                  }));
}

asio::awaitable<Response> update_load_balanced_sets(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const std::vector<InputEndpoint> wanted = parse_load_balanced_set(request.body);
  const CloudService service = get_cloud_service(region, param(request, "service"));
  std::vector<Ref> changed;
  for (const Vm* vm : get_deployment_roles(region, service, param(request, "deployment"))) {
    const NetworkInterface* found = interface_of(region, *vm, service);
    if (!found) continue;
    NetworkInterface nic = *found;
    const json words = read_document(region, role_table, vm->ref().key()).value("endpoints", json::object());
    bool touched = false;
    for (Endpoint& endpoint : nic.endpoints)
      for (const InputEndpoint& one : wanted)
        if (words.value(lower(endpoint.name), json::object()).value("set", "") == one.load_balanced_set &&
            !one.load_balanced_set.empty()) {
          endpoint.sources = one.endpoint.sources;
          touched = true;
        }
    if (!touched) continue;
    region.put_interface(std::move(nic));
    changed.push_back(vm->ref());
  }
  if (changed.empty()) throw not_found("The deployment has no load-balanced set of that name.");
  co_return accepted(region.begin("endpoint update", "hostedServices/" + service.name,
                                  [&region, changed](std::string) -> asio::awaitable<void> {
                                    for (const Ref& ref : changed) co_await region.settle_ports(ref);
                                  }));
}

asio::awaitable<Response> post_role_operation(Classic& classic, const Request& request) {
  const RoleOperation wanted = parse_role_operation(request.body);
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const std::string deployment = param(request, "deployment");
  const Vm& vm = get_role(classic.region, service, deployment, param(request, "role"));
  co_return accepted(operate(classic, service, deployment, vm, wanted));
}

asio::awaitable<Response> post_roles_operation(Classic&, const Request&) {
  throw bad_request("Operations on several roles at once are not there.", "Send one for each role instance.");
  co_return Response();
}

}  // namespace berth::classic
