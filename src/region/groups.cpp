#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "crypto/random.h"
#include "model/catalog.h"
#include "region/impl.h"

namespace berth {
namespace {

std::string inert_key(const std::string& type, const Ref& ref) {
  InertResource resource;
  resource.type = type;
  resource.group = ref.group;
  resource.name = ref.name;
  return key_of(resource);
}

std::string disk_target(const Ref& ref) {
  return "disks/" + ref.group + "/" + ref.name;
}

Error group_not_found(const std::string& name) {
  return Error(ErrorKind::not_found, "ResourceGroupNotFound",
               fmt::format("Resource group '{}' could not be found.", name));
}

}  // namespace

Error resource_not_found(const std::string& type, const Ref& ref) {
  return Error(ErrorKind::not_found, "ResourceNotFound",
               fmt::format("The Resource '{}/{}' under resource group '{}' was not found.", type, ref.name,
                           ref.group));
}

void stamp(Resource& resource, const Resource* before) {
  resource.etag = new_uuid();
  resource.guid = before ? before->guid : new_uuid();
  resource.created = before ? before->created : utc_now();
  if (before) {  // names stay as they were first written
    resource.group = before->group;
    resource.name = before->name;
  }
  if (resource.location.empty() && before) resource.location = before->location;
}

Put<ResourceGroup> Region::put_group(const std::string& name, const std::string& location, const Tags& tags) {
  const bool fits =
      !name.empty() && name.size() <= 90 && name.back() != '.' && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.' || c == '(' || c == ')';
      });
  if (!fits)
    throw Error(ErrorKind::invalid, "InvalidResourceGroup",
                fmt::format("'{}' is not a name for a resource group.", name),
                "Use up to 90 letters, digits, '-', '_', '.', '(' and ')', with no '.' at the end.");
  const Location* place = find_location(location);
  if (!place)
    throw Error(ErrorKind::invalid, "LocationNotAvailableForResourceGroup",
                fmt::format("The provided location '{}' is not available for resource group.", location),
                "'azure region status' and 'az account list-locations' show those there are.");
  if (impl_->groups_going.contains(lower(name)))
    throw Error(ErrorKind::conflict, "ResourceGroupBeingDeleted",
                fmt::format("The resource group '{}' is being deleted.", name), "Try again when it is gone.");
  const ResourceGroup* before = find_group(name);
  if (before && before->location != place->name)
    throw Error(
        ErrorKind::conflict, "InvalidResourceGroupLocation",
        fmt::format(
            "Invalid resource group location '{}'. The Resource group already exists in location '{}'.",
            place->name, before->location));
  ResourceGroup wanted;
  wanted.name = wanted.group = name;
  wanted.location = place->name;
  wanted.tags = tags;
  stamp(wanted, before);
  const bool created = !before;
  return {impl_->groups.put(std::move(wanted)), created};
}

std::vector<const ResourceGroup*> Region::groups() const {
  return impl_->groups.list({});
}
const ResourceGroup* Region::find_group(const std::string& name) const {
  return impl_->groups.find({name, name});
}
const ResourceGroup& Region::get_group(const std::string& name) const {
  if (const ResourceGroup* found = find_group(name)) return *found;
  throw group_not_found(name);
}

void Region::Impl::check_group(const std::string& name) const {
  if (!groups.find({name, name})) throw group_not_found(name);
  if (groups_going.contains(lower(name)))
    throw Error(ErrorKind::conflict, "ResourceGroupBeingDeleted",
                fmt::format("The resource group '{}' is being deleted.", name), "Try again when it is gone.");
}

void Region::Impl::check_use_from_outside(const std::string& group) const {
  const auto refuse = [&](const char* code, const char* what, const Ref& used, const char* user,
                          const Ref& by) {
    if (used.empty() || !same_name(used.group, group) || same_name(by.group, group)) return;
    throw Error(
        ErrorKind::conflict, code,
        fmt::format("The resource group '{}' cannot be deleted: its {} '{}' is used by {} '{}' of group "
                    "'{}'.",
                    group, what, used.name, user, by.name, by.group),
        fmt::format("Delete the resource group '{}' first, or that {}.", by.group, user));
  };
  constexpr const char* of_security_group = "InUseNetworkSecurityGroupCannotBeDeleted";
  for (const auto& [key, nic] : interfaces.rows()) {
    refuse(of_security_group, "network security group", nic.security_group, "interface", nic.ref());
    for (const IpConfiguration& configuration : nic.configurations) {
      refuse("InUseVirtualNetworkCannotBeDeleted", "virtual network", configuration.network, "interface",
             nic.ref());
      refuse("InUsePublicIPAddressCannotBeDeleted", "public address", configuration.public_address,
             "interface", nic.ref());
    }
  }
  for (const auto& [key, network] : networks.rows())
    for (const Subnet& subnet : network.subnets)
      refuse(of_security_group, "network security group", subnet.security_group, "virtual network",
             network.ref());
  for (const auto& [key, vm] : vms.rows()) {
    for (const Ref& nic : vm.interfaces) refuse("NicInUse", "network interface", nic, "VM", vm.ref());
    for (const Ref& disk : vm.disks()) refuse("DiskInUse", "disk", disk, "VM", vm.ref());
  }
}

Accepted Region::delete_group(const std::string& name) {
  const std::string kept = get_group(name).name;
  const std::string target = "resourceGroups/" + kept;
  if (impl_->groups_going.contains(lower(kept)))
    for (const Operation* operation : operations_of(target))
      if (operation->status == OperationStatus::running) return {operation->id, false};
  impl_->check_use_from_outside(kept);
  impl_->groups_going.insert(lower(kept));
  impl_->host.database.put("group-going", lower(kept), kept);
  return {impl_->begin("group delete", target,
                       [self = impl_.get(), kept](std::string operation) {
                         return self->remove_group(std::move(operation), kept);
                       }),
          false};
}

asio::awaitable<void> Region::Impl::remove_group(std::string operation, std::string name) {
  phase(operation, "Deleting the resource group");
  const std::string prefix = lower(name) + "/";
  const auto refs = [&](auto& table) {
    std::vector<Ref> found;
    for (const auto* row : table.list(name)) found.push_back(row->ref());
    return found;
  };
  std::vector<std::string> deletions;
  for (const Ref& ref : refs(vms)) deletions.push_back(begin_removal(*vms.find(ref), {}));
  std::optional<Error> trouble;
  for (const std::string& deletion : deletions) try {
      co_await finish(deletion);
    } catch (const Error& error) {
      trouble = error;
    }
  if (!trouble) try {
      for (const Ref& ref : refs(interfaces)) interfaces.erase(ref);
      for (const Ref& ref : refs(addresses)) addresses.erase(ref);
      rewrite_hosts();
      for (const Ref& ref : refs(networks)) {
        const std::string id = network_id(*networks.find(ref));
        co_await host.networks.remove(id);
        live_networks.erase(id);
        networks.erase(ref);
      }
      for (const Ref& ref : refs(security_groups)) security_groups.erase(ref);
      std::vector<std::string> files;
      for (const Ref& ref : refs(disks)) {
        files.push_back(disks.find(ref)->file);
        disks.erase(ref);
      }
      co_await remove_files(std::move(files));
      std::vector<std::string> keys_of_inert;
      for (const auto& [key, row] : inert)
        if (same_name(row.group, name)) keys_of_inert.push_back(key);
      for (const std::string& key : keys_of_inert) drop_inert(key);
      sweep_images();
      for (auto& [table, rows] : documents)
        for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix);) {
          host.database.erase("dialect " + table, row->first);
          row = rows.erase(row);
        }
      groups.erase({name, name});
    } catch (const Error& error) {
      trouble = error;
    }
  groups_going.erase(lower(name));
  host.database.erase("group-going", lower(name));
  if (trouble) throw *trouble;
}

void Region::Impl::check_growth(const Disk& disk, std::uint64_t size_gib) const {
  if (size_gib < disk.size_gib)
    throw Error(
        ErrorKind::conflict, "OperationNotAllowed",
        fmt::format("Disk '{}' has {} GiB and cannot shrink to {} GiB.", disk.name, disk.size_gib, size_gib));
  const Vm* user = vms.find(disk.vm);
  if (size_gib > disk.size_gib && user && user->power != PowerState::deallocated)
    throw Error(
        ErrorKind::conflict, "OperationNotAllowed",
        fmt::format("Cannot resize disk '{}' while it is attached to running VM '{}'. Resizing a disk of an "
                    "Azure Virtual Machine requires the virtual machine to be deallocated.",
                    disk.name, user->name),
        "Deallocate it, then try again ('az vm deallocate').");
}

Accepted Region::put_disk(Disk wanted) {
  Impl& self = *impl_;
  self.check_group(wanted.group);
  const Disk* before = self.disks.find(wanted.ref());
  if (wanted.size_gib == 0 && !before)
    throw Error(ErrorKind::invalid, "InvalidParameter", fmt::format("Disk '{}' has no size.", wanted.name),
                "Give diskSizeGB.");
  const std::uint64_t size = wanted.size_gib != 0 ? wanted.size_gib : before->size_gib;
  if (before) {
    if (before->file.empty())
      for (const Operation* operation : operations_of(disk_target(before->ref())))
        if (operation->status == OperationStatus::running) return {operation->id, false};
    self.check_growth(*before, size);
    wanted.size_gib = before->size_gib;
    wanted.file = before->file;
    wanted.vm = before->vm;
    wanted.os = before->os;
    wanted.image = before->image;
  }
  stamp(wanted, before);
  const bool created = !before;
  const Disk& kept = self.disks.put(std::move(wanted));
  if (!kept.file.empty() && size == kept.size_gib) return {"", created};
  return {self.begin(created ? "disk create" : "disk resize", disk_target(kept.ref()),
                     [&self, ref = kept.ref(), size](std::string) { return self.make_disk(ref, size); }),
          created};
}

void Region::delete_disk(const Ref& ref) {
  const Disk* disk = impl_->disks.find(ref);
  if (!disk) return;
  if (!disk->vm.empty() && impl_->vms.find(disk->vm))
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Disk '{}' is attached to VM '{}'.", ref.name, disk->vm.name),
                "Detach it or delete the VM first.");
  const std::string file = disk->file;
  impl_->disks.erase(ref);
  std::error_code ignored;
  if (!file.empty()) std::filesystem::remove(impl_->host.home / file, ignored);
  impl_->sweep_images();
}

std::vector<const Disk*> Region::disks(const std::string& group) const {
  return impl_->disks.list(group);
}
const Disk* Region::find_disk(const Ref& ref) const {
  return impl_->disks.find(ref);
}

Put<InertResource> Region::put_inert(InertResource wanted) {
  impl_->check_group(wanted.group);
  const InertResource* before = find_inert(wanted.type, wanted.ref());
  stamp(wanted, before);
  const bool created = !before;
  const std::string key = inert_key(wanted.type, wanted.ref());
  impl_->host.database.put("inert", key, to_document(wanted));
  return {impl_->inert.insert_or_assign(key, std::move(wanted)).first->second, created};
}

void Region::delete_inert(const std::string& type, const Ref& ref) {
  impl_->drop_inert(inert_key(type, ref));
  impl_->sweep_images();
}

void Region::Impl::drop_inert(const std::string& key) {
  const auto row = inert.find(key);
  if (row == inert.end()) return;
  // A managed image is a name in a group for an image of the user in the gallery.
  if (same_name(row->second.type, "Microsoft.Compute/images"))
    if (const auto image = host.gallery.find(row->second.name); image && image->category == "User")
      host.gallery.remove(image->name);
  host.database.erase("inert", key);
  inert.erase(row);
}

std::vector<const InertResource*> Region::inert(const std::string& type, const std::string& group) const {
  std::vector<const InertResource*> found;
  const std::string prefix = type.empty() ? "" : inert_key(type, {}).substr(0, type.size() + 1);
  for (auto row = impl_->inert.lower_bound(prefix);
       row != impl_->inert.end() && row->first.starts_with(prefix); ++row)
    if (group.empty() || same_name(row->second.group, group)) found.push_back(&row->second);
  return found;
}

const InertResource* Region::find_inert(const std::string& type, const Ref& ref) const {
  const auto found = impl_->inert.find(inert_key(type, ref));
  return found == impl_->inert.end() ? nullptr : &found->second;
}

void Region::keep_document(const std::string& table, const std::string& key, const std::string& document) {
  this->document(table, key);  // loads the table
  impl_->host.database.put("dialect " + table, key, document);
  impl_->documents[table][key] = document;
}

void Region::drop_document(const std::string& table, const std::string& key) {
  document(table, key);
  impl_->host.database.erase("dialect " + table, key);
  impl_->documents[table].erase(key);
}

// Tables are read from the store at their first use.
std::optional<std::string> Region::document(const std::string& table, const std::string& key) const {
  const auto rows = impl_->documents.find(table);
  if (rows == impl_->documents.end()) {
    auto& loaded = impl_->documents[table];
    for (auto& [name, text] : impl_->host.database.all("dialect " + table)) loaded.emplace(name, text);
    return document(table, key);
  }
  const auto found = rows->second.find(key);
  return found == rows->second.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::pair<std::string, std::string>> Region::documents(const std::string& table,
                                                                   const std::string& prefix) const {
  document(table, {});
  std::vector<std::pair<std::string, std::string>> found;
  const auto& rows = impl_->documents[table];
  for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix); ++row)
    found.push_back(*row);
  return found;
}

}  // namespace berth
