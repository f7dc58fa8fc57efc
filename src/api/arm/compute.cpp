#include "api/arm/compute.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "api/arm/document.h"
#include "api/arm/groups.h"
#include "api/arm/identities.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"
#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/password.h"
#include "model/catalog.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::int64_t largest_disk_gib = 4095;
constexpr std::size_t largest_custom_data = 65'535;
constexpr std::size_t most_data_disks = 64;

Error invalid_parameter(const std::string& what, const std::string& advice = {}) {
  return Error(ErrorKind::invalid, "InvalidParameter", what, advice);
}

/// Resource Manager's rule for Linux, which is wider than the article's: any three of the four kinds of
/// characters.
bool is_strong(std::string_view password) {
  int kinds[4] = {};
  for (const char c : password) {
    if (static_cast<unsigned char>(c) < 0x20) return false;
    kinds[c >= 'a' && c <= 'z' ? 0 : c >= 'A' && c <= 'Z' ? 1 : c >= '0' && c <= '9' ? 2 : 3] = 1;
  }
  return password.size() >= 6 && password.size() <= 72 && kinds[0] + kinds[1] + kinds[2] + kinds[3] >= 3;
}

Error change_not_allowed(const Field& field) {
  return Error(ErrorKind::conflict, "PropertyChangeNotAllowed",
               fmt::format("Changing property '{}' is not allowed.", field.path()),
               "Delete the virtual machine and create it anew.");
}

void take_size(Vm& vm, const Field& field, const Vm* before) {
  const std::string wanted = field.text(before ? std::string_view(before->size) : default_vm_size);
  const VmSize* size = find_vm_size(wanted);
  if (!size)
    throw invalid_parameter(fmt::format("The value {} provided for the VM size is not valid.", wanted),
                            "Sizes are listed by GET …/locations/{location}/vmSizes.");
  vm.size = size->name;
}

void take_image(Vm& vm, const Field& reference, const Place& place, const Vm* before) {
  if (reference.missing()) {
    if (before) return;
    throw invalid_parameter(
        "Required parameter 'imageReference' is missing (null).",
        "Name an image: publisher, offer, sku and version, or the id of a managed image.");
  }
  Vm named;
  named.image_id = reference["id"].text();
  named.image = reference["osImage"].text();
  named.image_publisher = reference["publisher"].text();
  named.image_offer = reference["offer"].text();
  named.image_sku = reference["sku"].text();
  named.image_version = reference["version"].text();
  if (before) {
    // Clients send back what they got; an image is part of the disk and cannot change.
    const bool same = same_name(named.image_id, before->image_id) &&
                      same_name(named.image_publisher, before->image_publisher) &&
                      same_name(named.image_offer, before->image_offer) &&
                      same_name(named.image_sku, before->image_sku);
    if (!same) throw change_not_allowed(reference);
    return;
  }
  if (!named.image_id.empty())
    parse_reference(named.image_id, "Microsoft.Compute/images", place.subscription, reference.path() + ".id");
  else if (named.image.empty())
    for (const char* part : {"publisher", "offer", "sku", "version"}) reference[part].required_text();
  vm.image_id = named.image_id;
  vm.image = named.image;
  vm.image_publisher = named.image_publisher;
  vm.image_offer = named.image_offer;
  vm.image_sku = named.image_sku;
  vm.image_version = named.image_version;
}

std::string caching_of(const Field& field, std::string_view otherwise) {
  const std::string text = field.text(otherwise);
  for (const std::string_view known : {"None", "ReadOnly", "ReadWrite"})
    if (same_name(known, text)) return std::string(known);
  field.refuse("one of 'None', 'ReadOnly', 'ReadWrite'");
}

std::uint64_t disk_size(const Field& field) {
  const std::int64_t size = field.number(0);
  if (size < 0 || size > largest_disk_gib)
    field.refuse(fmt::format("a size from 1 to {} GB", largest_disk_gib));
  return static_cast<std::uint64_t>(size);
}

/// Clients of versions that do not know a "deleteOption" leave it as it is.
bool is_deleted_with_vm(const Field& option, bool otherwise) {
  const std::string text = option.text();
  if (text.empty()) return otherwise;
  if (same_name(text, "Delete") || same_name(text, "Detach")) return same_name(text, "Delete");
  option.refuse("'Delete' or 'Detach'");
}

void take_os_disk(VmOrder& order, const Field& disk, const Place& place, const Vm* before) {
  if (const std::string os = disk["osType"].text("Linux"); !same_name(os, "Linux"))
    throw Error(ErrorKind::invalid, "OperationNotAllowed",
                fmt::format("'{}' is '{}': the local region runs Linux.", disk["osType"].path(), os));
  const std::string option =
      disk["createOption"].text(before && before->os_disk_attached ? "Attach" : "FromImage");
  if (!same_name(option, "FromImage") && !same_name(option, "Attach"))
    throw Error(
        ErrorKind::invalid, "OperationNotAllowed",
        fmt::format("'{}' is '{}': it must be 'FromImage' or 'Attach'.", disk["createOption"].path(), option),
        "Make an image of the disk first, or name an image.");
  order.attach_os_disk = same_name(option, "Attach");
  order.vm.os_disk_caching =
      caching_of(disk["caching"], before ? std::string_view(before->os_disk_caching) : "ReadWrite");
  order.os_disk_gib = disk_size(disk["diskSizeGB"]);
  order.os_disk_name = disk["name"].text();
  if (!order.os_disk_name.empty()) check_resource_name(order.os_disk_name, disk_type);
  if (order.attach_os_disk && !before) {
    const Field id = disk["managedDisk"]["id"];
    const ResourceId attached = parse_reference(id.required_text(), disk_type, place.subscription, id.path());
    order.os_disk_name = attached.name();
    order.os_disk_group = attached.group;
  }
  order.vm.os_disk_deleted_with_vm =
      is_deleted_with_vm(disk["deleteOption"], before && before->os_disk_deleted_with_vm);
}

void take_data_disks(Vm& vm, const Field& disks, const Place& place, const Vm* before) {
  if (disks.missing()) return;  // of an update: those that are there stay
  vm.data_disks.clear();
  std::set<int> luns;
  for (const Field& item : disks.items()) {
    DataDisk disk;
    disk.kept = kept_members("Microsoft.Compute/virtualMachines/dataDisks", item.value(), item.path());
    const std::int64_t lun = item["lun"].number(-1);
    if (lun < 0 || lun >= static_cast<std::int64_t>(most_data_disks))
      item["lun"].refuse("a number from 0 to 63");
    disk.lun = static_cast<int>(lun);
    if (!luns.insert(disk.lun).second)
      throw invalid_parameter(fmt::format("Two data disks have the LUN {}.", disk.lun));
    disk.name = item["name"].text();
    disk.size_gib = disk_size(item["diskSizeGB"]);
    disk.caching = caching_of(item["caching"], "None");
    disk.deleted_with_vm = is_deleted_with_vm(item["deleteOption"], false);
    const Field id = item["managedDisk"]["id"];
    if (!id.missing()) {
      disk.disk = parse_reference(id.text(), disk_type, place.subscription, id.path()).ref();
      if (disk.name.empty()) disk.name = disk.disk.name;
    }
    const std::string option = item["createOption"].text(id.missing() ? "Empty" : "Attach");
    const bool already =
        before && std::ranges::any_of(before->data_disks, [&](const DataDisk& old) {
          // One that is a blob may have got its VM's name before its own.
          return old.lun == disk.lun && (disk.name.empty() || same_name(old.name, disk.name) ||
                                         same_name(old.name, place.name + "_" + disk.name));
        });
    if (already) {
      const auto old = std::ranges::find(before->data_disks, disk.lun, &DataDisk::lun);
      if (disk.disk.empty()) disk.disk = old->disk;
      disk.name = old->name;
      if (disk.size_gib == 0) disk.size_gib = old->size_gib;
      disk.deleted_with_vm = is_deleted_with_vm(item["deleteOption"], old->deleted_with_vm);
    } else if (same_name(option, "Attach")) {
      if (disk.disk.empty()) item["managedDisk"]["id"].required_text();
    } else if (same_name(option, "Empty")) {
      if (disk.size_gib == 0) item["diskSizeGB"].refuse("given for an empty disk");
    } else {
      item["createOption"].refuse("'Empty' or 'Attach'");
    }
    vm.data_disks.push_back(std::move(disk));
  }
}

void take_keys(Vm& vm, const Field& keys, const std::string& user) {
  for (const Field& item : keys.items()) {
    SshKey key;
    key.path = item["path"].text("/home/" + user + "/.ssh/authorized_keys");
    key.key = parse_ssh_key(item["keyData"].required_text(), item["keyData"].path());
    vm.ssh_keys.push_back(std::move(key));
  }
}

void take_os_profile(VmOrder& order, const Field& profile, const Place& place, const Vm* before) {
  Vm& vm = order.vm;
  order.password = Secret(profile["adminPassword"].text());
  const Field linux_configuration = profile["linuxConfiguration"];
  const bool password_login =
      !linux_configuration["disablePasswordAuthentication"].flag(before && !before->password_login);
  // A password that nobody can sign in with is no password: templates put an SSH key there.
  if (!password_login) order.password = {};
  if (!order.password.empty() && !is_strong(order.password.reveal()))
    throw invalid_parameter(
        "The supplied password must be between 6-72 characters long and must satisfy at least 3 of "
        "password complexity requirements from the following: Contains an uppercase character, "
        "Contains a lowercase character, Contains a numeric digit, Contains a special character.");
  if (before) {
    if (const std::string user = profile["adminUsername"].text(before->admin_user);
        user != before->admin_user)
      throw change_not_allowed(profile["adminUsername"]);
    if (!same_name(profile["computerName"].text(before->computer_name), before->computer_name))
      throw change_not_allowed(profile["computerName"]);
    if (password_login != before->password_login)
      throw change_not_allowed(linux_configuration["disablePasswordAuthentication"]);
    if (!order.password.empty() && !fits_print(order.password.reveal(), before->password_print))
      throw change_not_allowed(profile["adminPassword"]);
    if (const std::string encoded = profile["customData"].text();
        !encoded.empty() && (!before->has_custom_data || !fits_print(base64_decode(encoded).value_or(encoded),
                                                                     before->custom_data_print)))
      throw change_not_allowed(profile["customData"]);
    if (const Field keys = linux_configuration["ssh"]["publicKeys"]; !keys.missing()) {
      Vm named;
      take_keys(named, keys, before->admin_user);
      if (!std::ranges::equal(named.ssh_keys, before->ssh_keys, {}, &SshKey::key, &SshKey::key))
        throw change_not_allowed(keys);
    }
    order.password = {};
    return;
  }
  if (profile.missing()) throw invalid_parameter("Required parameter 'osProfile' is missing (null).");
  vm.computer_name = profile["computerName"].text(place.name);
  if (const auto problem = host_name_problem(vm.computer_name))
    throw invalid_parameter(*problem, "Give another osProfile.computerName.");
  vm.admin_user = profile["adminUsername"].required_text();
  if (const auto problem = user_name_problem(vm.admin_user))
    throw invalid_parameter(fmt::format("The Admin Username specified is not allowed. {}", *problem),
                            "Choose another user name.");
  if (!linux_configuration["provisionVMAgent"].flag(true))
    linux_configuration["provisionVMAgent"].refuse(
        "true: without its agent a guest cannot be provisioned here");
  take_keys(vm, linux_configuration["ssh"]["publicKeys"], vm.admin_user);
  vm.password_login = password_login;
  if (!vm.password_login && vm.ssh_keys.empty())
    throw invalid_parameter("Authentication using SSH keys was chosen, but no SSH public key was given.");
  if (vm.password_login && order.password.empty())
    throw invalid_parameter("Required parameter 'adminPassword' is missing (null).",
                            "Give a password, or an SSH key with disablePasswordAuthentication.");
  if (!order.password.empty()) vm.password_print = make_print(order.password.reveal());
  if (const std::string encoded = profile["customData"].text(); !encoded.empty()) {
    const auto decoded = base64_decode(encoded);
    if (!decoded)
      throw invalid_parameter(
          "Custom data in OSProfile must be in Base64 encoding and with a maximum length of 87380 "
          "characters.");
    if (decoded->size() > largest_custom_data)
      throw invalid_parameter(
          fmt::format("The custom data has {} bytes; {} are allowed.", decoded->size(), largest_custom_data));
    order.custom_data = *decoded;
    vm.custom_data_print = make_print(*decoded);
    vm.has_custom_data = true;
  }
}

void take_interfaces(Vm& vm, const Field& profile, const Place& place, const Vm* before) {
  const auto items = profile["networkInterfaces"].items();
  std::vector<Ref> interfaces, deleted_with_vm;
  int primaries = 0;
  for (const Field& item : items) {
    const Field id = item["id"];
    const Ref ref = parse_reference(id.required_text(), interface_type, place.subscription, id.path()).ref();
    const bool primary = item["properties"]["primary"].flag(false);
    primaries += primary ? 1 : 0;
    if (primary)
      interfaces.insert(interfaces.begin(), ref);
    else
      interfaces.push_back(ref);
    const bool was = before && std::ranges::find(before->interfaces_deleted_with_vm, ref) !=
                                   before->interfaces_deleted_with_vm.end();
    if (is_deleted_with_vm(item["properties"]["deleteOption"], was)) deleted_with_vm.push_back(ref);
  }
  if (before && interfaces.empty()) return;
  if (interfaces.size() > 1 && primaries != 1)
    throw Error(ErrorKind::invalid, "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary",
                fmt::format("Virtual machine {} must have one network interface set as the primary; {} are.",
                            place.name, primaries),
                "Set properties.primary of one of its networkInterfaces to true.");
  if (interfaces.empty())
    throw invalid_parameter("Required parameter 'networkProfile.networkInterfaces' is missing (null).",
                            "Create a network interface first and name it.");
  if (before && interfaces != before->interfaces) throw change_not_allowed(profile["networkInterfaces"]);
  vm.interfaces = std::move(interfaces);
  vm.interfaces_deleted_with_vm = std::move(deleted_with_vm);
}

}  // namespace

std::string parse_ssh_key(const std::string& key_data, const std::string& path) {
  std::string text = key_data;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  const bool one_line = text.find_first_of("\r\n") == text.npos;
  for (const std::string_view kind : {"ssh-rsa ", "ssh-ed25519 "}) {  // the guest agent takes no others
    if (!text.starts_with(kind) || !one_line) continue;
    const std::string_view rest = std::string_view(text).substr(kind.size());
    const auto blob = base64_decode(rest.substr(0, rest.find(' ')));
    if (blob && blob->size() > 16) return text;
  }
  if (const auto der = base64_decode(text); der && der->size() > 64) {
    try {
      if (const auto key = Certificate::parse_der(*der, path).ssh_rsa_key()) return *key;
    } catch (const Error&) {
      // Not a certificate either: said below.
    }
  }
  throw invalid_parameter(fmt::format("The value of parameter {} is invalid: it is no SSH public key.", path),
                          "Give one line of an OpenSSH public key file (ssh-rsa or ssh-ed25519).");
}

namespace {

/// Nothing is set up in a disk that is attached: it has its users.
void refuse_with_attached(const Field& properties) {
  for (const Field& one : {properties["osProfile"], properties["storageProfile"]["imageReference"]})
    if (!one.missing())
      throw invalid_parameter(fmt::format("Parameter '{}' is not allowed.", one.path()),
                              "A VM whose OS disk is attached starts as that disk is: leave it out.");
}

}  // namespace

VmOrder parse_vm(const json& body, const Place& place, const Vm* before) {
  const Field document(body);
  document.require_object();
  check_resource_name(place.name, vm_type);
  VmOrder order;
  Vm& vm = order.vm;
  if (before) vm = *before;
  vm.group = place.group;
  vm.name = before ? before->name : place.name;
  vm.location = location_of(body, vm_type, before ? std::string_view(before->location) : std::string_view());
  if (before && vm.location != before->location) throw change_not_allowed(document["location"]);
  if (!before || !document["tags"].missing()) vm.tags = document["tags"].tags();
  vm.kept = kept_members(vm_type, body);
  take_identities(vm, document["identity"], before ? std::string_view(before->kept) : std::string_view());
  const Field properties = document["properties"];
  if (!before) properties.require_object();
  take_size(vm, properties["hardwareProfile"]["vmSize"], before);
  take_os_disk(order, properties["storageProfile"]["osDisk"], place, before);
  take_data_disks(vm, properties["storageProfile"]["dataDisks"], place, before);
  if (order.attach_os_disk && !before) {
    refuse_with_attached(properties);
  } else {
    take_image(vm, properties["storageProfile"]["imageReference"], place, before);
    take_os_profile(order, properties["osProfile"], place, before);
  }
  take_interfaces(vm, properties["networkProfile"], place, before);
  vm.boot_diagnostics =
      properties["diagnosticsProfile"]["bootDiagnostics"]["enabled"].flag(before && before->boot_diagnostics);
  if (const Field id = properties["availabilitySet"]["id"]; !id.missing())
    vm.availability_set =
        parse_reference(id.text(), availability_set_type, place.subscription, id.path()).ref();
  return order;
}

Disk parse_disk(const json& body, const Place& place, const Disk* before) {
  const Field document(body);
  document.require_object();
  check_resource_name(place.name, disk_type);
  Disk disk;
  if (before) disk = *before;
  disk.group = place.group;
  disk.name = place.name;
  disk.location =
      location_of(body, disk_type, before ? std::string_view(before->location) : std::string_view());
  disk.tags = document["tags"].tags();
  disk.kept = kept_members(disk_type, body);
  disk.sku = document["sku"]["name"].text(before ? std::string_view(before->sku) : "Standard_LRS");
  const Field properties = document["properties"];
  if (const std::string option = properties["creationData"]["createOption"].text("Empty");
      !before && !same_name(option, "Empty"))
    throw Error(ErrorKind::invalid, "OperationNotAllowed",
                fmt::format("'{}' is '{}': the local region makes empty disks only.",
                            properties["creationData"]["createOption"].path(), option));
  if (const std::uint64_t size = disk_size(properties["diskSizeGB"]); size > 0) {
    if (before && size < before->size_gib)
      throw Error(
          ErrorKind::conflict, "OperationNotAllowed",
          fmt::format("Disk '{}' has {} GB and cannot shrink to {} GB.", place.name, before->size_gib, size));
    disk.size_gib = size;
  }
  if (disk.size_gib == 0) properties["diskSizeGB"].refuse("given for an empty disk");
  return disk;
}

namespace {

void write_own_disk(JsonText& out, const Disk& disk, std::string_view subscription) {
  open_resource(out, disk, disk_type, subscription);
  if (!disk.vm.empty()) out.put("managedBy", make_id(subscription, disk.vm.group, vm_type, disk.vm.name));
  out.open("sku").put("name", disk.sku).put("tier", disk.sku.substr(0, disk.sku.find('_'))).close();
  out.open("properties").put("provisioningState", disk.file.empty() ? "Creating" : "Succeeded");
  out.put_if("osType", disk.os)
      .put("diskSizeGB", disk.size_gib)
      .put("diskState", disk.vm.empty() ? "Unattached" : "Attached")
      .put("timeCreated", disk.created)
      .put("uniqueId", disk.guid)
      .open("creationData")
      .put("createOption", disk.image.empty() ? "Empty" : "FromImage")
      .close()
      .open("encryption")
      .put("type", "EncryptionAtRestWithPlatformKey")
      .close()
      .close()
      .close();
}

}  // namespace

void write_disk(JsonText& out, const Disk& disk, std::string_view subscription) {
  write_with_kept(out, disk.kept, [&](JsonText& own) { write_own_disk(own, disk, subscription); });
}

}  // namespace berth::arm
