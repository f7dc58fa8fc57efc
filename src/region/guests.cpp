#include "region/guests.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/utc.h"
#include "model/catalog.h"
#include "region/port_rules.h"
#include "region/settings.h"
#include "region/vm_certificates.h"
#include "region/vm_records.h"

namespace berth {
namespace {

/// A status without the times in it: what is worth a write and a wake-up.
bool says_the_same(const AgentStatus& a, const AgentStatus& b) {
  AgentStatus left = a, right = b;
  for (AgentStatus* status : {&left, &right}) {
    status->time.clear();
    status->received.clear();
    for (HandlerStatus& handler : status->handlers) handler.time.clear();
  }
  Vm x, y;
  x.agent = std::move(left);
  y.agent = std::move(right);
  return to_document(x) == to_document(y);
}

/// The agent reports on a goal state once it has taken in all that it points to. True when that is news.
bool acknowledges_certificate(const Vm& vm, const std::string& incarnation) {
  const CertificateDelivery& delivery = vm.delivery;
  return !delivery.acknowledged && !delivery.holder.empty() && incarnation == std::to_string(vm.incarnation);
}

}  // namespace

Guests::Guests(RegionRecords& records, VmRecords& vms, VmCertificates& certificates,
               ExtensionGallery& gallery, const RegionSettings& settings)
    : records_(records), vms_(vms), certificates_(certificates), gallery_(gallery), settings_(settings) {}

const Vm* Guests::find_vm(const std::string& vm_id) const {
  return vms_.find_by_id(vm_id);
}

Secret Guests::guest_pfx(const std::string& vm_id, const std::string& transport) {
  return certificates_.pfx(vm_id, transport);
}

std::optional<GuestView> Guests::guest_view(const std::string& vm_id) const {
  const Vm* vm = vms_.find_by_id(vm_id);
  if (!vm) return std::nullopt;
  GuestView view;
  view.vm_id = vm->id;
  view.incarnation = vm->incarnation;
  view.container_id = vm->container_id;
  view.deployment_id = vm->deployment_id;
  view.role = vm->name;
  view.certificate = vm->certificate;
  view.has_certificate = vm->delivery.acknowledged;
  for (const Extension& extension : vm->extensions) {
    const auto level = dependency_level(*vm, extension);
    if (!level) continue;  // what it comes after is not there yet
    GuestPlugin& plugin = view.plugins.emplace_back();
    plugin.handler = extension.handler();
    plugin.version = extension.version;
    plugin.state = extension.state;
    plugin.sequence = extension.sequence;
    plugin.settings = extension.settings;
    plugin.protected_settings = extension.protected_settings;
    plugin.level = *level;
    for (const std::string& name : extension.after)
      plugin.after.push_back(find_extension(*vm, name)->handler());
  }
  view.agent_location = vm->location;
  view.subscription = settings_.subscription;
  view.group = vm->group;
  view.uuid = vm->vm_id;
  view.size = vm->size;
  view.offer = vm->image_offer;
  view.publisher = vm->image_publisher;
  view.sku = vm->image_sku;
  view.version = vm->image_version;
  view.admin_user = vm->admin_user;
  for (const auto& [name, value] : vm->tags) view.tags += (view.tags.empty() ? "" : ";") + name + ":" + value;
  for (const Ref& ref : vm->interfaces) {
    const NetworkInterface* nic = records_.interfaces.find(ref);
    if (!nic || nic->configurations.empty()) continue;
    const IpConfiguration& configuration = nic->configurations.front();
    GuestView::Nic out;
    out.mac = nic->mac;
    std::erase(out.mac, '-');
    out.address = configuration.private_address;
    if (const PublicAddress* address = records_.addresses.find(configuration.public_address))
      out.public_address = address->address;
    if (const VirtualNetwork* network = records_.networks.find(configuration.network))
      for (const Subnet& subnet : network->subnets) {
        std::uint32_t base = 0;
        unsigned bits = 0;
        if (!same_name(subnet.name, configuration.subnet) || !parse_cidr(subnet.prefix, base, bits)) continue;
        out.subnet = format_ipv4(base);
        out.prefix = static_cast<int>(bits);
      }
    view.nics.push_back(std::move(out));
  }
  return view;
}

void Guests::take_health(const std::string& vm_id, HealthReport report) {
  const Vm* vm = vms_.find_by_id(vm_id);
  if (!vm) return;
  const bool acknowledged = acknowledges_certificate(*vm, report.incarnation);
  spdlog::info("health vm={} state={} substatus={}", vm->name, report.state, report.substatus);
  vms_.change(vm->ref(), [&](Vm& changed) {
    if (report.state == "Ready") changed.restored = false;
    changed.health = std::move(report);
    changed.delivery.acknowledged |= acknowledged;
  });
}

void Guests::take_status(const std::string& vm_id, AgentStatus status) {
  const Vm* vm = vms_.find_by_id(vm_id);
  if (!vm) return;
  status.received = utc_now();
  const bool acknowledged = acknowledges_certificate(*vm, status.incarnation);
  if (!acknowledged && vm->agent && says_the_same(*vm->agent, status))
    records_.vms.unkept(vm->ref())->agent = std::move(status);
  else
    vms_.change(vm->ref(), [&](Vm& changed) {
      changed.agent = std::move(status);
      changed.delivery.acknowledged |= acknowledged;
    });
}

std::optional<ExtensionPackage> Guests::guest_package(const std::string& handler,
                                                      const std::string& version) const {
  for (const ExtensionPackage& package : guest_packages(handler))
    if (package.version == version) return package;
  return std::nullopt;
}

std::vector<ExtensionPackage> Guests::guest_packages(const std::string& handler) const {
  const auto dot = handler.rfind('.');
  if (dot == std::string::npos) return {};
  return gallery_.versions(handler.substr(0, dot), handler.substr(dot + 1));
}

}  // namespace berth
