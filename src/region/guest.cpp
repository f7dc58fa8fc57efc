#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "crypto/envelope.h"
#include "model/catalog.h"
#include "region/impl.h"
#include "region/port_rules.h"

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

std::optional<GuestView> Region::guest_view(const std::string& vm_id) const {
  const Vm* vm = find_vm_by_id(vm_id);
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
  view.subscription = impl_->settings.subscription;
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
    const NetworkInterface* nic = impl_->interfaces.find(ref);
    if (!nic || nic->configurations.empty()) continue;
    const IpConfiguration& configuration = nic->configurations.front();
    GuestView::Nic out;
    out.mac = nic->mac;
    std::erase(out.mac, '-');
    out.address = configuration.private_address;
    if (const PublicAddress* address = impl_->addresses.find(configuration.public_address))
      out.public_address = address->address;
    if (const VirtualNetwork* network = impl_->networks.find(configuration.network))
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

void Region::take_health(const std::string& vm_id, HealthReport report) {
  const Vm* vm = find_vm_by_id(vm_id);
  if (!vm) return;
  const bool acknowledged = acknowledges_certificate(*vm, report.incarnation);
  spdlog::info("health vm={} state={} substatus={}", vm->name, report.state, report.substatus);
  impl_->change_vm(vm->ref(), [&](Vm& changed) {
    changed.health = std::move(report);
    changed.delivery.acknowledged |= acknowledged;
  });
}

void Region::take_status(const std::string& vm_id, AgentStatus status) {
  const Vm* vm = find_vm_by_id(vm_id);
  if (!vm) return;
  status.received = utc_now();
  const bool acknowledged = acknowledges_certificate(*vm, status.incarnation);
  if (!acknowledged && vm->agent && says_the_same(*vm->agent, status))
    impl_->vms.unkept(vm->ref())->agent = std::move(status);
  else
    impl_->change_vm(vm->ref(), [&](Vm& changed) {
      changed.agent = std::move(status);
      changed.delivery.acknowledged |= acknowledged;
    });
}

void Region::Impl::give_certificate(const Vm& vm, const std::string& transport) {
  const CertificateDelivery& delivery = vm.delivery;
  if (delivery.holder == transport) return;
  const auto now = std::chrono::steady_clock::now();
  CertificateDelivery& times = vms.unkept(vm.ref())->delivery;
  if (!times.given) times.given = now;  // by an earlier process of this region
  const bool overdue = !delivery.acknowledged && now - *times.given >= settings.certificate_patience;
  if (!delivery.holder.empty() && !overdue) {
    if (!times.told || now - *times.told >= std::chrono::minutes(1)) {
      times.told = now;
      spdlog::warn(
          "certificate refused vm={} transport={} reason=\"given to another since the VM was switched on\"",
          vm.name, transport);
    }
    throw Error(
        ErrorKind::conflict, "CertificateGiven",
        fmt::format("The certificate of {} was given to another transport certificate since the VM was "
                    "switched on.",
                    vm.name),
        "Restart the VM if its agent lost it.");
  }
  if (overdue && !delivery.holder.empty())
    spdlog::warn("certificate given again vm={} transport={} reason=\"the one before was never reported on\"",
                 vm.name, transport);
  change_vm(vm.ref(), [&](Vm& changed) { changed.delivery = {.holder = transport, .given = now}; });
}

Secret Region::guest_pfx(const std::string& vm_id, const std::string& transport) {
  const Vm* vm = find_vm_by_id(vm_id);
  if (!vm) throw Error(ErrorKind::not_found, "ResourceNotFound", "There is no VM " + vm_id + ".");
  if (!impl_->has_certificate(*vm))
    impl_->records.change([&] { impl_->ensure_certificate(impl_->vms.edit(vm->ref())); });
  impl_->give_certificate(*vm, transport);
  return Secret(pfx_for_guest({{Certificate::parse_pem(vm->certificate, "the VM's certificate"),
                                PrivateKey::parse_pem(impl_->keys.at(vm_id), "the VM's key")}}));
}

std::optional<ExtensionPackage> Region::guest_package(const std::string& handler,
                                                      const std::string& version) const {
  for (const ExtensionPackage& package : guest_packages(handler))
    if (package.version == version) return package;
  return std::nullopt;
}

std::vector<ExtensionPackage> Region::guest_packages(const std::string& handler) const {
  const auto dot = handler.rfind('.');
  if (dot == std::string::npos) return {};
  return impl_->host.extensions.versions(handler.substr(0, dot), handler.substr(dot + 1));
}

}  // namespace berth
