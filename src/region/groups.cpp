#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>

#include "base/as_error.h"
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
  return impl_->records.change([&]() -> Put<ResourceGroup> {
    return {impl_->groups.put(std::move(wanted)), created};
  });
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
  return impl_->records.change([&]() -> Accepted {
    impl_->records.write("group-going", lower(kept), kept);
    impl_->records.after([self = impl_.get(), kept] { self->groups_going.insert(lower(kept)); });
    return {impl_->begin("group delete", target,
                         [self = impl_.get(), kept](std::string operation) {
                           return self->remove_group(std::move(operation), kept);
                         }),
            false};
  });
}

asio::awaitable<void> Region::Impl::remove_group(std::string operation, std::string name) {
  phase(operation, "Deleting the resource group");
  std::optional<Error> trouble;
  std::vector<std::string> deletions;
  try {
    for (const Vm* vm : vms.list(name)) deletions.push_back(begin_removal(vm->ref(), {}));
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  for (const std::string& deletion : deletions) try {
      co_await finish(deletion);
    } catch (const std::exception& caught) {
      trouble = as_error(caught);
    }
  if (!trouble) try {
      for (const VirtualNetwork* network : networks.list(name))
        co_await host.networks.remove(network_id(*network));
    } catch (const std::exception& caught) {
      trouble = as_error(caught);
    }
  std::vector<std::string> files;
  co_await insist([&] {
    files.clear();
    if (!trouble) erase_group(name, files);
    records.write("group-going", lower(name), std::nullopt);
    records.after([this, name] { groups_going.erase(lower(name)); });
  });
  if (trouble) throw *trouble;
  rewrite_hosts();
  co_await remove_files(std::move(files));
  sweep_images();
}

/// All that is left in it, within a change.
void Region::Impl::erase_group(const std::string& name, std::vector<std::string>& files) {
  const auto erase_all = [&](auto& table) {
    for (const auto* row : table.list(name)) table.erase(row->ref());
  };
  erase_all(interfaces);
  erase_all(addresses);
  for (const VirtualNetwork* network : networks.list(name))
    records.after([this, id = network_id(*network)] { live_networks.erase(id); });
  erase_all(networks);
  erase_all(security_groups);
  for (const Disk* disk : disks.list(name)) erase_disk(disk->ref(), files);
  std::vector<std::string> keys_of_inert;
  for (const auto& [key, row] : inert.rows())
    if (same_name(row.group, name)) keys_of_inert.push_back(key);
  for (const std::string& key : keys_of_inert) drop_inert(key);
  const std::string prefix = lower(name) + "/", of_dialect = "dialect ";
  for (const std::string& kind : host.database.kinds())
    if (kind.starts_with(of_dialect)) documents_of(kind.substr(of_dialect.size()));
  for (const auto& [table, rows] : documents)
    for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix); ++row)
      write_document(table, row->first, std::nullopt);
  groups.erase({name, name});
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
  return self.records.change([&]() -> Accepted {
    const Disk& kept = self.disks.put(std::move(wanted));
    if (!kept.file.empty() && size == kept.size_gib) return {"", created};
    return {self.begin(created ? "disk create" : "disk resize", disk_target(kept.ref()),
                       [&self, ref = kept.ref(), size](std::string) { return self.make_disk(ref, size); }),
            created};
  });
}

void Region::delete_disk(const Ref& ref) {
  const Disk* disk = impl_->disks.find(ref);
  if (!disk) return;
  if (!disk->vm.empty() && impl_->vms.find(disk->vm))
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Disk '{}' is attached to VM '{}'.", ref.name, disk->vm.name),
                "Detach it or delete the VM first.");
  impl_->records.change([&] {
    std::vector<std::string> files;
    impl_->erase_disk(ref, files);
    impl_->records.after([self = impl_.get(), files] {
      asio::co_spawn(
          self->host.executor,
          [](Impl& region, std::vector<std::string> going) -> asio::awaitable<void> {
            co_await region.remove_files(std::move(going));
            region.sweep_images();
          }(*self, files),
          asio::detached);
    });
  });
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
  return impl_->records.change([&]() -> Put<InertResource> {
    return {impl_->inert.put(std::move(wanted)), created};
  });
}

void Region::delete_inert(const std::string& type, const Ref& ref) {
  impl_->records.change([&] { impl_->drop_inert(inert_key(type, ref)); });
  impl_->sweep_images();
}

void Region::Impl::drop_inert(const std::string& key) {
  const InertResource* row = inert.find(key);
  if (!row) return;
  // A managed image is a name in a group for an image of the user in the gallery.
  if (same_name(row->type, "Microsoft.Compute/images")) {
    records.write("image-going", row->name, "");
    records.after([this, name = row->name] { remove_going_image(name); });
  }
  inert.erase(key);
}

/// Of a managed image that was deleted; tried again when it cannot be.
void Region::Impl::remove_going_image(const std::string& name) {
  try {
    if (const auto image = host.gallery.find(name); image && image->category == "User")
      host.gallery.remove(image->name);
    images_left.erase(name);
    insist_soon([this, name] { records.write("image-going", name, std::nullopt); });
  } catch (const std::exception& error) {
    spdlog::warn("could not remove image={}: {}", name, error.what());
    images_left.insert(name);
  }
}

std::vector<const InertResource*> Region::inert(const std::string& type, const std::string& group) const {
  std::vector<const InertResource*> found;
  const std::string prefix = type.empty() ? "" : inert_key(type, {}).substr(0, type.size() + 1);
  const auto& rows = impl_->inert.rows();
  for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix); ++row)
    if (group.empty() || same_name(row->second.group, group)) found.push_back(&row->second);
  return found;
}

const InertResource* Region::find_inert(const std::string& type, const Ref& ref) const {
  return impl_->inert.find(inert_key(type, ref));
}

void Region::Impl::write_document(const std::string& table, const std::string& key,
                                  std::optional<std::string> text) {
  records.write("dialect " + table, key, text);
  records.after([this, table, key, text = std::move(text)] {
    auto& rows = documents_of(table);
    if (text)
      rows[key] = *text;
    else
      rows.erase(key);
  });
}

void Region::keep_document(const std::string& table, const std::string& key, const std::string& document) {
  impl_->documents_of(table);  // before there is more in the store
  impl_->records.change([&] { impl_->write_document(table, key, document); });
}

void Region::drop_document(const std::string& table, const std::string& key) {
  if (!document(table, key)) return;
  impl_->records.change([&] { impl_->write_document(table, key, std::nullopt); });
}

// Tables are read from the store at their first use.
std::map<std::string, std::string>& Region::Impl::documents_of(const std::string& table) {
  const auto known = documents.find(table);
  if (known != documents.end()) return known->second;
  auto& rows = documents[table];
  for (auto& [key, text] : host.database.all("dialect " + table)) rows.emplace(key, text);
  return rows;
}

std::optional<std::string> Region::document(const std::string& table, const std::string& key) const {
  const auto& rows = impl_->documents_of(table);
  const auto found = rows.find(key);
  return found == rows.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::pair<std::string, std::string>> Region::documents(const std::string& table,
                                                                   const std::string& prefix) const {
  std::vector<std::pair<std::string, std::string>> found;
  const auto& rows = impl_->documents_of(table);
  for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix); ++row)
    found.push_back(*row);
  return found;
}

}  // namespace berth
