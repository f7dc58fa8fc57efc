#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "crypto/random.h"
#include "model/catalog.h"
#include "region/impl.h"

namespace berth {
namespace {

std::string inert_key(const std::string& type, const Ref& ref) {
  return lower(type) + " " + ref.key();
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
  const ResourceGroup* found = find_group(name);
  if (!found)
    throw Error(ErrorKind::not_found, "ResourceGroupNotFound",
                fmt::format("Resource group '{}' could not be found.", name));
  return *found;
}

Accepted Region::delete_group(const std::string& name) {
  const std::string kept = get_group(name).name;
  const std::string target = "resourceGroups/" + kept;
  if (impl_->groups_going.contains(lower(kept)))
    for (const Operation* operation : operations_of(target))
      if (operation->status == OperationStatus::running) return {operation->id, false};
  for (const auto& [key, nic] : impl_->interfaces.rows())
    for (const IpConfiguration& configuration : nic.configurations)
      if (!same_name(nic.group, kept) && same_name(configuration.network.group, kept))
        throw Error(
            ErrorKind::conflict, "InUseVirtualNetworkCannotBeDeleted",
            fmt::format("The resource group '{}' cannot be deleted: its virtual network '{}' is used by "
                        "interface '{}' of group '{}'.",
                        kept, configuration.network.name, nic.name, nic.group),
            fmt::format("Delete the resource group '{}' first.", nic.group));
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
  for (const Ref& ref : refs(vms)) {
    Vm& vm = *vms.find(ref);
    vm.provisioning = Provisioning::deleting;
    live_vm(vm.id).giving_up.request_stop();
    touch(vm);
    deletions.push_back(begin(
        "vm delete", "virtualMachines/" + ref.group + "/" + ref.name,
        [this, ref, id = vm.id](std::string op) { return remove(std::move(op), ref, id, {.disks = true}); }));
  }
  std::optional<Error> trouble;
  for (const std::string& deletion : deletions) try {
      co_await finish(deletion);
    } catch (const Error& error) {
      trouble = error;
    }
  if (!trouble) try {
      for (const Ref& ref : refs(interfaces)) interfaces.erase(ref);
      for (const Ref& ref : refs(addresses)) addresses.erase(ref);
      write_hosts();
      for (const Ref& ref : refs(networks)) {
        const std::string id = network_id(*networks.find(ref));
        co_await host.networks.remove(id);
        live_networks.erase(id);
        networks.erase(ref);
      }
      for (const Ref& ref : refs(security_groups)) security_groups.erase(ref);
      std::vector<std::filesystem::path> files;
      for (const Ref& ref : refs(disks)) {
        if (const Disk* disk = disks.find(ref); !disk->file.empty()) files.push_back(host.home / disk->file);
        disks.erase(ref);
      }
      co_await on_pool([files] {
        std::error_code ignored;
        for (const auto& file : files) std::filesystem::remove(file, ignored);
        return 0;
      });
      for (auto row = inert.begin(); row != inert.end();) {
        if (!same_name(row->second.group, name)) {
          ++row;
          continue;
        }
        host.database.erase("inert", row->first);
        row = inert.erase(row);
      }
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

Put<Disk> Region::put_disk(Disk wanted) {
  get_group(wanted.group);
  const Disk* before = impl_->disks.find(wanted.ref());
  if (wanted.size_gib == 0 && !before)
    throw Error(ErrorKind::invalid, "InvalidParameter", fmt::format("Disk '{}' has no size.", wanted.name),
                "Give diskSizeGB.");
  if (before && wanted.size_gib != 0 && wanted.size_gib < before->size_gib)
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Disk '{}' with {} GiB cannot be made smaller.", before->name, before->size_gib));
  stamp(wanted, before);
  if (before) {
    wanted.size_gib = before->size_gib;
    wanted.file = before->file;
    wanted.vm = before->vm;
    wanted.os = before->os;
    wanted.image = before->image;
  } else {
    wanted.file = "disks/" + random_hex(12) + ".qcow2";
    impl_->host.gallery.make_empty_disk(impl_->host.home / wanted.file, wanted.size_gib);
  }
  const bool created = !before;
  return {impl_->disks.put(std::move(wanted)), created};
}

void Region::delete_disk(const Ref& ref) {
  const Disk* disk = impl_->disks.find(ref);
  if (!disk) return;
  if (!disk->vm.empty() && impl_->vms.find(disk->vm))
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Disk '{}' is attached to VM '{}'.", ref.name, disk->vm.name),
                "Detach it or delete the VM first.");
  std::error_code ignored;
  if (!disk->file.empty()) std::filesystem::remove(impl_->host.home / disk->file, ignored);
  impl_->disks.erase(ref);
}

std::vector<const Disk*> Region::disks(const std::string& group) const {
  return impl_->disks.list(group);
}
const Disk* Region::find_disk(const Ref& ref) const {
  return impl_->disks.find(ref);
}

Put<InertResource> Region::put_inert(InertResource wanted) {
  get_group(wanted.group);
  const InertResource* before = find_inert(wanted.type, wanted.ref());
  stamp(wanted, before);
  const bool created = !before;
  const std::string key = inert_key(wanted.type, wanted.ref());
  impl_->host.database.put("inert", key, to_document(wanted));
  return {impl_->inert.insert_or_assign(key, std::move(wanted)).first->second, created};
}

void Region::delete_inert(const std::string& type, const Ref& ref) {
  const std::string key = inert_key(type, ref);
  impl_->host.database.erase("inert", key);
  impl_->inert.erase(key);
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
