#include "endpoints/classic/disks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "api/classic/documents.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/mapping.h"
#include "endpoints/classic/removal.h"
#include "model/catalog.h"
#include "model/names.h"

namespace berth::classic {
namespace {

using nlohmann::json;

DiskView view_of(const Region& region, const Disk& disk) {
  DiskView view{.name = disk.name,
                .label = read_document(region, disk_table, disk.ref().key()).value("label", ""),
                .os = disk.os,
                .location = display_location(disk.location),
                .media_link = media_link_of(region, disk),
                .image = disk.image,
                .service = {},
                .deployment = {},
                .role = {},
                .size_gib = disk.size_gib};
  if (const Vm* vm = region.machines().find(disk.vm)) {
    const auto service = service_of(region, *vm);
    view.role = vm->name;
    view.service = service ? service->name : vm->group;
    view.deployment = service ? deployment_name(*service, roles_of(region, *service)) : vm->group;
  }
  return view;
}

int lun_param(const Request& request) {
  const std::string text = param(request, "lun");
  int lun = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), lun);
  if (error != std::errc() || end != text.data() + text.size() || lun < 0 || lun > 63)
    throw bad_request(
        fmt::format("The logical unit number '{}' is not one from 0 to 63.", text.substr(0, 32)));
  return lun;
}

const DataDisk& data_disk(const Vm& vm, int lun) {
  const auto found = std::ranges::find(vm.data_disks, lun, &DataDisk::lun);
  if (found == vm.data_disks.end())
    throw not_found(fmt::format("The role '{}' has no data disk at logical unit number {}.", vm.name, lun));
  return *found;
}

std::string change_disks(Region& region, Vm changed) {
  VmOrder order;
  order.vm = std::move(changed);
  return region.machines().put(std::move(order)).operation;
}

}  // namespace

const Disk& get_disk(const Region& region, const std::string& name) {
  const Disk* disk = find_only(region.disks().list(), name, "disk");
  if (!disk)
    throw not_found(fmt::format("The disk '{}' does not exist.", name.substr(0, 200)),
                    "'azure vm disk list' shows those there are.");
  return *disk;
}

const Disk& get_free_disk(const Region& region, const std::string& name) {
  const Disk& disk = get_disk(region, name);
  if (!disk.vm.empty())
    throw conflict(
        fmt::format("The disk '{}' is in use by the virtual machine '{}'.", disk.name, disk.vm.name));
  return disk;
}

std::string new_disk_name(const Region& region, const std::string& group, const std::string& beginning) {
  const std::string name = fmt::format("{}-{}", beginning, utc_digits());
  std::string free = name;
  for (int i = 2; region.disks().find({group, free}); ++i) free = fmt::format("{}-{}", name, i);
  return free;
}

const DataDisk& add_data_disk(const Region& region, Vm& vm, const DataDiskOrder& order) {
  const auto at = [&](int lun) { return std::ranges::find(vm.data_disks, lun, &DataDisk::lun); };
  if (!order.source_media_link.empty())
    throw bad_request("A data disk cannot be made from a blob: this region has no blob service.");
  DataDisk wanted;
  if (order.lun)
    wanted.lun = *order.lun;
  else
    while (at(wanted.lun) != vm.data_disks.end()) ++wanted.lun;
  if (at(wanted.lun) != vm.data_disks.end())
    throw conflict(
        fmt::format("The role '{}' has a data disk at logical unit number {} already.", vm.name, wanted.lun));
  const VmSize* size = find_vm_size(vm.size);
  if (size && vm.data_disks.size() >= size->max_data_disks)
    throw bad_request(fmt::format("{} takes {} data disks, and has them.", vm.size, size->max_data_disks),
                      "Choose a larger size.");
  if (!order.caching.empty()) wanted.caching = order.caching;
  if (order.name.empty()) {
    if (order.size_gib == 0) throw bad_request("The data disk has no LogicalDiskSizeInGB.");
    wanted.size_gib = order.size_gib;
    wanted.name = new_disk_name(region, vm.group, fmt::format("{}-{}", vm.name, wanted.lun));
  } else {
    const Disk& disk = get_free_disk(region, order.name);
    if (std::ranges::find(vm.data_disks, disk.ref(), &DataDisk::disk) != vm.data_disks.end())
      throw conflict(fmt::format("The role '{}' names the disk '{}' twice.", vm.name, disk.name));
    wanted.name = disk.name;
    wanted.size_gib = disk.size_gib;
    wanted.disk = disk.ref();
  }
  return vm.data_disks.emplace_back(std::move(wanted));
}

const DataDisk* change_data_disk(Vm& vm, const DataDiskOrder& order) {
  const auto known = std::ranges::find_if(vm.data_disks, [&](const DataDisk& disk) {
    const bool named = !order.name.empty() && same_name(order.name, disk.name);
    return order.lun ? disk.lun == *order.lun && (named || order.name.empty()) : named;
  });
  if (known == vm.data_disks.end()) return nullptr;
  if (order.size_gib != 0 && order.size_gib != known->size_gib)
    throw conflict(fmt::format("The size of the data disk '{}' cannot be changed.", known->name));
  if (!order.caching.empty()) known->caching = order.caching;
  return &*known;
}

void keep_disk_words(Region& region, const std::string& group, const DataDisk& disk,
                     const DataDiskOrder& order) {
  const bool is_new = disk.disk.empty();
  const std::string key = is_new ? Ref{group, disk.name}.key() : disk.disk.key();
  json words = read_document(region, disk_table, key);
  const json before = words;
  if (!order.label.empty()) words["label"] = order.label;
  if (is_new && !order.media_link.empty()) words["mediaLink"] = order.media_link;
  if (words != before) region.documents().keep(disk_table, key, words.dump());
}

asio::awaitable<Response> list_disks(Classic& classic, const Request&) {
  std::vector<DiskView> views;
  for (const Disk* disk : classic.region.disks().list()) views.push_back(view_of(classic.region, *disk));
  co_return xml_response(200, disks_xml(views));
}

asio::awaitable<Response> get_disk(Classic& classic, const Request& request) {
  co_return xml_response(200,
                         disk_xml(view_of(classic.region, get_disk(classic.region, param(request, "disk")))));
}

asio::awaitable<Response> post_disk(Classic&, const Request&) {
  throw bad_request("A disk cannot be made from a blob: this region has no blob service.",
                    "'azure vm disk attach-new' makes an empty one.");
  co_return Response();
}

asio::awaitable<Response> delete_disk(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const Disk& disk = get_disk(region, param(request, "disk"));
  const DiskView view = view_of(region, disk);
  if (!view.role.empty())
    throw bad_request(fmt::format(
        "A disk with name {} is currently in use by virtual machine {} running within hosted service {}, "
        "deployment {}.",
        view.name, view.role, view.service, view.deployment));
  const Ref ref = disk.ref();
  region.disks().remove(ref);
  region.documents().drop(disk_table, ref.key());
  if (!find_cloud_service(region, ref.group)) co_await drop_group_if_empty(classic, ref.group);
  co_return no_body(200);
}

asio::awaitable<Response> post_data_disk(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const DataDiskOrder order = parse_data_disk(request.body);
  Vm changed = role_at(region, request).vm;
  const DataDisk added = add_data_disk(region, changed, order);
  const std::string group = changed.group, operation = change_disks(region, std::move(changed));
  keep_disk_words(region, group, added, order);
  co_return accepted(operation);
}

asio::awaitable<Response> get_data_disk(Classic& classic, const Request& request) {
  const Role role = role_at(classic.region, request);
  const int lun = data_disk(role.vm, lun_param(request)).lun;
  for (const DataDiskView& view : role_view(classic.region, role.service, role.vm).data_disks)
    if (view.lun == lun) co_return xml_response(200, data_disk_xml(view));
  throw not_found("The data disk does not exist.");
}

asio::awaitable<Response> put_data_disk(Classic& classic, const Request& request) {
  Region& region = classic.region;
  Vm changed = role_at(region, request).vm;
  const DataDisk before = data_disk(changed, lun_param(request));
  DataDiskOrder order = parse_data_disk(request.body);
  order.lun = before.lun;  // the path says which one is meant
  order.name = before.name;
  change_data_disk(changed, order);
  const DataDisk& disk = data_disk(changed, before.lun);
  keep_disk_words(region, changed.group, disk, order);
  if (disk.caching != before.caching)
    co_await region.operations().finish(change_disks(region, std::move(changed)));
  co_return no_body(200);
}

asio::awaitable<Response> delete_data_disk(Classic& classic, const Request& request) {
  Region& region = classic.region;
  Vm changed = role_at(region, request).vm;
  const DataDisk gone = data_disk(changed, lun_param(request));
  std::erase_if(changed.data_disks, [&](const DataDisk& disk) { return disk.lun == gone.lun; });
  const std::string operation = change_disks(region, std::move(changed));
  if (!with_media(request)) co_return accepted(operation);
  co_return accepted(
      region.operations().begin(OperationKind::disk_delete, "disks/" + gone.name,
                                [&region, operation, disk = gone.disk](std::string) -> asio::awaitable<void> {
                                  co_await region.operations().finish(operation);
                                  region.disks().remove(disk);
                                  region.documents().drop(disk_table, disk.key());
                                }));
}

}  // namespace berth::classic
