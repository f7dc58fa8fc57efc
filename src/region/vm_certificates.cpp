#include "region/vm_certificates.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <chrono>

#include "crypto/certificate.h"
#include "crypto/envelope.h"
#include "region/settings.h"
#include "region/threads.h"
#include "region/vm_records.h"

namespace berth {
namespace {

struct TransportCertificate {
  std::string certificate;
  Secret key;
};

TransportCertificate make_transport_certificate(const std::function<PrivateKey()>& new_key) {
  const PrivateKey key = new_key();
  CertificateOrder order;
  order.use = CertificateUse::encryption;
  order.common_name = "TenantEncryptionCert";
  order.subject_prefix = {{"DC", "Windows Azure CRP Certificate Generator"}};
  order.lifetime = std::chrono::days(3650);
  return {issue_certificate(order, key).to_pem(), key.to_pem()};
}

}  // namespace

VmCertificates::VmCertificates(RegionRecords& records, VmRecords& vms, asio::any_io_executor pool,
                               const RegionSettings& settings, std::function<PrivateKey()> new_key)
    : records_(records),
      vms_(vms),
      pool_(std::move(pool)),
      settings_(settings),
      new_key_(new_key ? std::move(new_key) : &PrivateKey::generate_rsa) {}

void VmCertificates::load() {
  for (auto& [id, key] : records_.all("vm-key")) keys_.emplace(id, Secret(key));
}

void VmCertificates::keep(Vm& vm, std::string certificate, Secret key) {
  vm.certificate = std::move(certificate);
  records_.write("vm-key", vm.id, key.reveal());
  keys_[vm.id] = std::move(key);  // without the certificate it is nothing
}

bool VmCertificates::has(const Vm& vm) const {
  return !vm.certificate.empty() && keys_.contains(vm.id);
}

void VmCertificates::ensure(Vm& vm) {
  if (has(vm)) return;
  TransportCertificate made = make_transport_certificate(new_key_);
  keep(vm, std::move(made.certificate), std::move(made.key));
}

asio::awaitable<void> VmCertificates::make(Ref ref, std::string id) {
  if (has(vms_.current(ref, id))) co_return;
  TransportCertificate made =
      co_await on(pool_, [new_key = new_key_] { return make_transport_certificate(new_key); });
  if (has(vms_.current(ref, id))) co_return;
  records_.change([&] { keep(records_.vms.edit(ref), std::move(made.certificate), std::move(made.key)); });
}

void VmCertificates::give(const Vm& vm, const std::string& transport) {
  const CertificateDelivery& delivery = vm.delivery;
  if (delivery.holder == transport) return;
  const auto now = std::chrono::steady_clock::now();
  CertificateDelivery& times = records_.vms.unkept(vm.ref())->delivery;
  if (!times.given) times.given = now;  // by an earlier process of this region
  const bool overdue = !delivery.acknowledged && now - *times.given >= settings_.certificate_patience;
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
  vms_.change(vm.ref(), [&](Vm& changed) { changed.delivery = {.holder = transport, .given = now}; });
}

Secret VmCertificates::pfx(const std::string& vm_id, const std::string& transport) {
  const Vm* vm = vms_.find_by_id(vm_id);
  if (!vm) throw Error(ErrorKind::not_found, "ResourceNotFound", "There is no VM " + vm_id + ".");
  if (!has(*vm)) records_.change([&] { ensure(records_.vms.edit(vm->ref())); });
  give(*vm, transport);
  return Secret(pfx_for_guest({{Certificate::parse_pem(vm->certificate, "the VM's certificate"),
                                PrivateKey::parse_pem(keys_.at(vm_id), "the VM's key")}}));
}

void VmCertificates::erase(const Vm& vm) {
  records_.write("vm-key", vm.id, std::nullopt);
  records_.after([this, id = vm.id] { keys_.erase(id); });
}

}  // namespace berth
