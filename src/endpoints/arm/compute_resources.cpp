#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/extensions.h"
#include "api/arm/groups.h"
#include "api/arm/identities.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/diagnostics.h"
#include "endpoints/arm/service.h"
#include "images/gallery.h"

/// Microsoft.Compute's types over the region.
namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::string_view image_type = "Microsoft.Compute/images";

// --- virtual machines

void write_machine(Arm& arm, JsonText& out, const Vm& vm, const View& view) {
  const std::string logs = view.instance_view && vm.boot_diagnostics && !view.origin.empty()
                               ? diagnostics_url(arm, vm.ref(), view.origin)
                               : std::string();
  write_vm(out, vm, arm.subscription(), view.instance_view, logs, arm.access.tenant);
}

/// A disk that is a blob has a name in its VM alone: of two VMs whose disk is called "osdisk" the second one's disk
/// gets the VM's name before it.
void name_blobs(const Arm& arm, const ResourceId& id, const json& body, VmOrder& request) {
  const auto own_name = [&](const std::string& name) {
    const Disk* there = name.empty() ? nullptr : arm.region.disks().find({id.group, name});
    return there && !(there->vm == id.ref()) ? id.name() + "_" + name : name;
  };
  const Field storage = Field(body)["properties"]["storageProfile"];
  if (!storage["osDisk"]["vhd"]["uri"].missing() && !request.attach_os_disk)
    request.os_disk_name = own_name(request.os_disk_name);
  const std::vector<Field> disks = storage["dataDisks"].items();
  for (std::size_t i = 0; i < disks.size() && i < request.vm.data_disks.size(); ++i)
    if (!disks[i]["vhd"]["uri"].missing() && request.vm.data_disks[i].disk.empty())
      request.vm.data_disks[i].name = own_name(request.vm.data_disks[i].name);
}

VmOrder read_vm(Arm& arm, const ResourceId& id, const json& body) {
  const Vm* before = arm.region.machines().find(id.ref());
  // One that never came to be is made anew, with everything that it takes.
  if (before && before->never_made()) before = nullptr;
  VmOrder order = parse_vm(body, place_of(arm, id), before);
  if (!before) name_blobs(arm, id, body, order);
  if (!before && !order.attach_os_disk) resolve_image(arm, order.vm);
  return order;
}

void check_vm(Arm& arm, const ResourceId& id, const json& body) {
  read_vm(arm, id, body);
}

/// A machine comes into no set that is not there.
void check_availability_set(const Arm& arm, const Vm& wanted, const ResourceId& id) {
  const Ref& set = wanted.availability_set;
  const Vm* before = arm.region.machines().find(id.ref());
  if (set.empty() || (before && before->availability_set == set) ||
      arm.region.inert().find(std::string(availability_set_type), set))
    return;
  throw Error(ErrorKind::not_found, "InvalidResourceReference",
              fmt::format("Resource {} referenced by resource {} was not found.",
                          make_id(arm.subscription(), set.group, availability_set_type, set.name), id.text()),
              "Create it first.");
}

Applied put_vm(Arm& arm, const ResourceId& id, const json& body) {
  VmOrder order = read_vm(arm, id, body);
  check_kept_references(arm, order.vm.kept, id);
  check_availability_set(arm, order.vm, id);
  for (const std::string& user : identities_of(order.vm).users)
    if (!show_resource(arm, *ResourceId::parse(user), {}))
      throw Error(ErrorKind::not_found, "FailedIdentityOperation",
                  fmt::format("The user-assigned identity '{}' was not found.", user.substr(0, 400)),
                  "Create it first.");
  const Accepted accepted = arm.region.machines().put(std::move(order));
  JsonText out;
  write_vm(out, arm.region.machines().get(id.ref()), arm.subscription(), false, {}, arm.access.tenant);
  return {.document = out.take(), .created = accepted.created, .operation = accepted.operation};
}

/// Azure leaves disks and interfaces behind unless they say otherwise; ?deleteDisks and ?deleteInterfaces are
/// ours.
/// The ids of what goes with a machine, for those who asked for that.
std::vector<std::string> going_with(const Arm& arm, const Vm& vm, const VmDeletion& also) {
  std::vector<std::string> ids;
  const auto add = [&](std::string_view type, const Ref& ref) {
    ids.push_back(make_id(arm.subscription(), ref.group, type, ref.name));
  };
  if (also.disks || vm.os_disk_deleted_with_vm) add(disk_type, vm.os_disk);
  for (const DataDisk& data : vm.data_disks)
    if (also.disks || data.deleted_with_vm) add(disk_type, data.disk);
  for (const Ref& ref : also.interfaces ? vm.interfaces : vm.interfaces_deleted_with_vm) {
    add("Microsoft.Network/networkInterfaces", ref);
    const auto* nic = arm.region.networks().find<NetworkInterface>(ref);
    if (!nic) continue;
    for (const IpConfiguration& configuration : nic->configurations)
      if (configuration.address_deleted_with_vm && !configuration.public_address.empty())
        add("Microsoft.Network/publicIPAddresses", configuration.public_address);
  }
  return ids;
}

std::optional<std::string> remove_vm(Arm& arm, const ResourceId& id, const Request* request) {
  if (!arm.region.machines().find(id.ref())) return std::nullopt;
  VmDeletion also;
  if (request) {
    also.disks = request->parameter("deleteDisks") == "true";
    also.interfaces = request->parameter("deleteInterfaces") == "true";
  }
  const auto going = going_with(arm, *arm.region.machines().find(id.ref()), also);
  for (const std::string& each : going) check_locks(arm, each, true);
  std::string operation = arm.region.machines().remove(id.ref(), also).operation;
  for (const std::string& each : going) drop_extension_resources(arm, each);
  return operation;
}

// --- extensions

std::optional<std::string> show_extension(Arm& arm, const ResourceId& id, const View& view) {
  const Vm* vm = arm.region.machines().find(id.ref());
  const Extension* extension = vm ? find_extension(*vm, id.name()) : nullptr;
  if (!extension || extension->of_platform()) return std::nullopt;
  JsonText out;
  write_extension(out, *vm, *extension, arm.subscription(), view.instance_view);
  return out.take();
}

/// `keeps_secret`: protected settings that are not given stay, as PATCH has it; a PUT takes them away.
Applied apply_extension(Arm& arm, const ResourceId& id, const json& body, bool keeps_secret) {
  const Vm* vm = arm.region.machines().find(id.ref());
  if (!vm) throw parent_not_found(extension_type, id.full_name(), id.segments[0].second);
  check_resource_name(id.name(), extension_type);
  ExtensionOrder order = parse_extension(body, find_extension(*vm, id.name()));
  order.name = id.name();
  order.has_protected_settings |= !keeps_secret;
  const Accepted accepted = arm.region.extensions().put(id.ref(), std::move(order));
  return {.document = show_extension(arm, id, {}).value_or(""),
          .created = accepted.created,
          .operation = accepted.operation};
}

void check_extension(Arm& arm, const ResourceId& id, const json& body) {
  const Vm* vm = arm.region.machines().find(id.ref());
  arm.region.extensions().package_for(parse_extension(body, vm ? find_extension(*vm, id.name()) : nullptr));
}

Applied put_extension(Arm& arm, const ResourceId& id, const json& body) {
  return apply_extension(arm, id, body, false);
}
Applied patch_extension(Arm& arm, const ResourceId& id, const json& whole) {
  return apply_extension(arm, id, whole, true);
}

std::optional<std::string> remove_extension(Arm& arm, const ResourceId& id, const Request* request) {
  const Vm* vm = arm.region.machines().find(id.ref());
  const Extension* extension = vm ? find_extension(*vm, id.name()) : nullptr;
  if (!extension || extension->of_platform()) return std::nullopt;
  const bool force = request && same_name(request->parameter("forceDeletion"), "true");
  return arm.region.extensions().remove(id.ref(), id.name(), force).operation;
}

std::vector<std::string> extensions_of(Arm& arm, const ResourceId& parent) {
  std::vector<std::string> documents;
  const Vm& vm = arm.region.machines().get(parent.ref());
  for (const Extension& extension : vm.extensions) {
    if (extension.of_platform()) continue;
    JsonText out;
    write_extension(out, vm, extension, arm.subscription(), false);
    documents.push_back(out.take());
  }
  return documents;
}

// --- disks

void write_disk_of(Arm& arm, JsonText& out, const Disk& disk, const View&) {
  write_disk(out, disk, arm.subscription());
}

Applied put_disk(Arm& arm, const ResourceId& id, const json& body) {
  const Accepted accepted =
      arm.region.disks().put(parse_disk(body, place_of(arm, id), arm.region.disks().find(id.ref())));
  JsonText out;
  write_disk(out, *arm.region.disks().find(id.ref()), arm.subscription());
  // 200 also for a new one: az takes no 201
  return {.document = out.take(), .created = false, .operation = accepted.operation};
}

std::optional<std::string> remove_disk(Arm& arm, const ResourceId& id, const Request*) {
  if (!arm.region.disks().find(id.ref())) return std::nullopt;
  arm.region.disks().remove(id.ref());
  return "";
}

// --- managed images: a name in a group for a gallery image of the user's own

void write_managed_image(Arm& arm, JsonText& out, const Resource& resource, const View&) {
  const auto& image = static_cast<const InertResource&>(resource);
  open_resource(out, image, image_type, arm.subscription());
  out.raw("properties", image.properties.empty() ? "{}" : std::string_view(image.properties)).close();
}

std::string image_properties(const ResourceId& vm, std::string_view state) {
  JsonText properties;
  properties.open().put("provisioningState", state).put("hyperVGeneration", "V1");
  properties.open("sourceVirtualMachine").put("id", vm.text()).close();
  properties.open("storageProfile")
      .open("osDisk")
      .put("osType", "Linux")
      .put("osState", "Generalized")
      .close();
  properties.open_list("dataDisks").close_list().close().close();
  return properties.take();
}

std::string image_document(Arm& arm, const InertResource& image) {
  JsonText out;
  write_managed_image(arm, out, image, {});
  return out.take();
}

/// Images that are being captured, by the key of their resource: what a killed region left of them is
/// removed.
constexpr const char* coming_table = "arm-image-coming";

/// The image is there once the VM's disk is copied, and not before.
asio::awaitable<void> add_captured_image(Arm& arm, InertResource image, std::string capture) {
  std::optional<Error> trouble;
  const std::string key = image.ref().key();
  bool copied = false;
  try {
    co_await arm.region.operations().finish(std::move(capture));
    copied = true;
    co_await arm.region.operations().insist([&] {
      arm.region.inert().put(image);
      arm.region.documents().drop(coming_table, key);
    });
  } catch (const Error& error) {  // of the last: its group was deleted meanwhile
    trouble = error;
  }
  if (!trouble) co_return;
  if (copied) arm.region.images().remove(image.name);
  co_await arm.region.operations().insist([&] { arm.region.documents().drop(coming_table, key); });
  throw *trouble;
}

Field source_of_image(const json& body) {
  const Field source = Field(body)["properties"]["sourceVirtualMachine"]["id"];
  if (source.missing())
    throw Error(ErrorKind::invalid, "InvalidParameter",
                "An image is made from a virtual machine: 'properties.sourceVirtualMachine.id' is missing.",
                "To bring a disk file of your own, use 'azure vm image create NAME FILE'.");
  return source;
}

void check_managed_image(Arm& arm, const ResourceId& id, const json& body) {
  if (!arm.region.inert().find(std::string(image_type), id.ref())) source_of_image(body);
}

Applied capture_managed_image(Arm& arm, InertResource image, const Field& source) {
  const ResourceId id = parse_reference(source.text(), vm_type, arm.subscription(), source.path());
  require_generalized(arm.region.machines().get(id.ref()));
  image.properties = image_properties(id, "Creating");
  Applied applied{.document = image_document(arm, image), .created = true, .operation = {}};
  image.properties = image_properties(id, "Succeeded");
  arm.region.operations().change([&] {
    std::string capture = arm.region.images().capture(id.ref(), image.name, image.name).operation;
    arm.region.documents().keep(coming_table, image.ref().key(), image.name);
    applied.operation = arm.region.operations().begin(
        OperationKind::image_create, fmt::format("images/{}/{}", image.group, image.name),
        [&arm, image, capture](std::string) { return add_captured_image(arm, image, capture); });
  });
  return applied;
}

Applied put_managed_image(Arm& arm, const ResourceId& id, const json& body) {
  check_resource_name(id.name(), image_type);
  const InertResource* before = arm.region.inert().find(std::string(image_type), id.ref());
  InertResource image;
  image.group = id.group;
  image.name = id.name();
  image.type = image_type;
  image.location =
      location_of(body, image_type, before ? std::string_view(before->location) : std::string_view());
  image.tags = Field(body)["tags"].tags();
  if (!before) return capture_managed_image(arm, std::move(image), source_of_image(body));
  image.properties = before->properties;
  return {.document = image_document(arm, arm.region.inert().put(std::move(image)).resource),
          .created = false,
          .operation = {}};
}

std::optional<std::string> remove_managed_image(Arm& arm, const ResourceId& id, const Request*) {
  const std::string type(image_type);
  if (!arm.region.inert().find(type, id.ref())) return std::nullopt;
  arm.region.inert().remove(type, id.ref());
  return "";
}

}  // namespace

void remove_unfinished_images(Arm& arm) {
  for (const auto& [key, name] : arm.region.documents().list(coming_table)) {
    if (arm.region.images().gallery().find(name)) arm.region.images().remove(name);
    arm.region.documents().drop(coming_table, key);
  }
}

std::vector<Kind> compute_kinds() {
  Kind vm = top_level<Vm>(vm_type, &Region::machines, write_machine);
  vm.put = put_vm;
  vm.remove = remove_vm;
  vm.check = check_vm;
  Kind extension{
      .type = std::string(extension_type),
      .has_effect = true,
      .show = show_extension,
      .put = put_extension,
      .patch = patch_extension,
      .remove = remove_extension,
      .prepare = [](Arm& arm, const ResourceId& id) { return arm.region.extensions().prepare(id.ref()); },
      .check = check_extension,
      .find = {},
      .all = {},
      .write = {},
      .children = extensions_of};
  Kind disk = top_level<Disk>(disk_type, &Region::disks, write_disk_of);
  disk.put = put_disk;
  disk.remove = remove_disk;
  Kind image;
  image.type = image_type;
  image.find = [](const Region& region, const Ref& ref) -> const Resource* {
    return region.inert().find(std::string(image_type), ref);
  };
  image.all = [](const Region& region, const std::string& group) {
    const auto found = region.inert().list(std::string(image_type), group);
    return std::vector<const Resource*>(found.begin(), found.end());
  };
  image.write = write_managed_image;
  image.put = put_managed_image;
  image.check = check_managed_image;
  image.remove = remove_managed_image;
  return {disk, vm, extension, image};
}

}  // namespace berth::arm
