#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "api/classic/requests.h"
#include "endpoints/classic/mapping.h"
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
  if (const Vm* vm = region.find_vm(disk.vm)) {
    const auto service = service_of(region, *vm);
    view.role = vm->name;
    view.service = service ? service->name : vm->group;
    view.deployment = service ? deployment_name(*service, roles_of(region, *service)) : vm->group;
  }
  return view;
}

const Disk& get(const Region& region, const std::string& name) {
  for (const Disk* disk : region.disks())
    if (same_name(disk->name, name)) return *disk;
  throw not_found(fmt::format("The disk '{}' does not exist.", name.substr(0, 200)));
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

const Vm& vm_param(const Region& region, const Request& request) {
  const CloudService service = get_cloud_service(region, param(request, "service"));
  return get_role(region, service, param(request, "deployment"), param(request, "role"));
}

const DataDisk& data_disk(const Vm& vm, int lun) {
  const auto found = std::ranges::find(vm.data_disks, lun, &DataDisk::lun);
  if (found == vm.data_disks.end())
    throw not_found(fmt::format("The role '{}' has no data disk at logical unit number {}.", vm.name, lun));
  return *found;
}

std::string change_disks(Region& region, const Vm& vm, std::vector<DataDisk> disks) {
  VmOrder order;
  order.vm = vm;
  order.vm.data_disks = std::move(disks);
  return region.put_vm(std::move(order)).operation;
}

}  // namespace

asio::awaitable<Response> list_disks(Classic& classic, const Request&) {
  std::vector<DiskView> views;
  for (const Disk* disk : classic.region.disks()) views.push_back(view_of(classic.region, *disk));
  co_return xml_response(200, disks_xml(views));
}

asio::awaitable<Response> get_disk(Classic& classic, const Request& request) {
  co_return xml_response(200, disk_xml(view_of(classic.region, get(classic.region, param(request, "disk")))));
}

asio::awaitable<Response> post_disk(Classic&, const Request&) {
  throw bad_request("A disk cannot be made from a blob: this region has no blob service.",
                    "'azure vm disk attach-new' makes an empty one.");
  co_return Response();
}

asio::awaitable<Response> delete_disk(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const Disk& disk = get(region, param(request, "disk"));
  const DiskView view = view_of(region, disk);
  if (!view.role.empty())
    throw bad_request(fmt::format(
        "A disk with name {} is currently in use by virtual machine {} running within hosted service {}, "
        "deployment {}.",
        view.name, view.role, view.service, view.deployment));
  const Ref ref = disk.ref();
  region.delete_disk(ref);
  region.drop_document(disk_table, ref.key());
  if (!find_cloud_service(region, ref.group)) co_await drop_group_if_empty(classic, ref.group);
  co_return no_body(200);
}

asio::awaitable<Response> post_data_disk(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const DataDiskOrder order = parse_data_disk(request.body);
  const Vm& vm = vm_param(region, request);
  if (!order.source_media_link.empty())
    throw bad_request("A data disk cannot be made from a blob: this region has no blob service.");
  std::vector<DataDisk> disks = vm.data_disks;
  DataDisk wanted;
  if (order.lun) {
    wanted.lun = *order.lun;
  } else {
    while (std::ranges::find(disks, wanted.lun, &DataDisk::lun) != disks.end()) ++wanted.lun;
  }
  if (std::ranges::find(disks, wanted.lun, &DataDisk::lun) != disks.end())
    throw conflict(
        fmt::format("The role '{}' has a data disk at logical unit number {} already.", vm.name, wanted.lun));
  const VmSize* size = find_vm_size(vm.size);
  if (size && disks.size() >= size->max_data_disks)
    throw bad_request(fmt::format("{} takes {} data disks, and has them.", vm.size, size->max_data_disks),
                      "Choose a larger size.");
  if (!order.caching.empty()) wanted.caching = order.caching;
  json words = json::object();
  if (!order.label.empty()) words["label"] = order.label;
  if (!order.media_link.empty()) words["mediaLink"] = order.media_link;
  if (!order.name.empty()) {
    const Disk& disk = get(region, order.name);
    if (!disk.vm.empty())
      throw conflict(
          fmt::format("The disk '{}' is in use by the virtual machine '{}'.", disk.name, disk.vm.name));
    wanted.name = disk.name;
    wanted.size_gib = disk.size_gib;
    wanted.disk = disk.ref();
  } else {
    if (order.size_gib == 0) throw bad_request("The data disk has no LogicalDiskSizeInGB.");
    wanted.size_gib = order.size_gib;
    std::string stamp = utc_now();
    std::erase_if(stamp, [](char c) { return c < '0' || c > '9'; });
    wanted.name = fmt::format("{}-{}-{}", vm.name, wanted.lun, stamp);
    region.keep_document(disk_table, Ref{vm.group, wanted.name}.key(), words.dump());
  }
  disks.push_back(std::move(wanted));
  co_return accepted(change_disks(region, vm, std::move(disks)));
}

asio::awaitable<Response> get_data_disk(Classic& classic, const Request& request) {
  const Region& region = classic.region;
  const CloudService service = get_cloud_service(region, param(request, "service"));
  const Vm& vm = vm_param(region, request);
  const int lun = data_disk(vm, lun_param(request)).lun;
  for (const DataDiskView& view : role_view(region, service, vm).data_disks)
    if (view.lun == lun) co_return xml_response(200, data_disk_xml(view));
  throw not_found("The data disk does not exist.");
}

asio::awaitable<Response> put_data_disk(Classic& classic, const Request& request) {
  const Vm& vm = vm_param(classic.region, request);
  const DataDisk& disk = data_disk(vm, lun_param(request));
  const DataDiskOrder order = parse_data_disk(request.body);
  if (order.size_gib != 0 && order.size_gib != disk.size_gib)
    throw conflict(fmt::format("The size of the data disk '{}' cannot be changed.", disk.name));
  if (!order.caching.empty() && !same_name(order.caching, disk.caching))
    throw conflict(fmt::format("The caching of the data disk '{}' is {} and cannot be changed.", disk.name,
                               disk.caching),
                   "Detach it, and attach it anew.");
  if (!order.label.empty()) {
    json words = read_document(classic.region, disk_table, disk.disk.key());
    words["label"] = order.label;
    classic.region.keep_document(disk_table, disk.disk.key(), words.dump());
  }
  co_return no_body(200);
}

asio::awaitable<Response> delete_data_disk(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const Vm& vm = vm_param(region, request);
  const DataDisk gone = data_disk(vm, lun_param(request));
  std::vector<DataDisk> disks = vm.data_disks;
  std::erase_if(disks, [&](const DataDisk& disk) { return disk.lun == gone.lun; });
  const std::string operation = change_disks(region, vm, std::move(disks));
  if (!with_media(request)) co_return accepted(operation);
  co_return accepted(
      region.begin("disk delete", "disks/" + gone.name,
                   [&region, operation, disk = gone.disk](std::string) -> asio::awaitable<void> {
                     co_await region.finish(operation);
                     region.delete_disk(disk);
                     region.drop_document(disk_table, disk.key());
                   }));
}

}  // namespace berth::classic
