#include "region/region.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>

#include "crypto/encoding.h"
#include "region/impl.h"

namespace berth {
namespace {

// What the tables are searched by.

std::vector<std::string> terms_of_network(const VirtualNetwork& network) {
  std::vector<std::string> terms;
  for (const Subnet& subnet : network.subnets)
    if (!subnet.security_group.empty()) terms.push_back(term("security-group", subnet.security_group));
  return terms;
}

std::vector<std::string> terms_of_address(const PublicAddress& address) {
  std::vector<std::string> terms{"at " + address.address};
  if (!address.label.empty()) terms.push_back("label " + lower(address.label));
  return terms;
}

std::vector<std::string> terms_of_interface(const NetworkInterface& nic) {
  std::vector<std::string> terms;
  if (!nic.vm.empty()) terms.push_back(term("vm", nic.vm));
  if (!nic.security_group.empty()) terms.push_back(term("security-group", nic.security_group));
  for (const IpConfiguration& configuration : nic.configurations) {
    terms.push_back(term("network", configuration.network));
    if (!configuration.public_address.empty()) terms.push_back(term("address", configuration.public_address));
  }
  return terms;
}

std::vector<std::string> terms_of_disk(const Disk& disk) {
  return disk.vm.empty() ? std::vector<std::string>() : std::vector<std::string>{term("vm", disk.vm)};
}

}  // namespace

Region::Impl::Impl(Services services, RegionSettings fixed)
    : host(std::move(services)),
      settings(std::move(fixed)),
      records(host.database),
      groups(records, "group"),
      networks(records, "network", terms_of_network),
      addresses(records, "address", terms_of_address),
      security_groups(records, "security-group"),
      interfaces(records, "interface", terms_of_interface),
      disks(records, "disk", terms_of_disk),
      vms(records, "vm"),
      inert(records, "inert"),
      hosts_owner("region-" + sha256_hex(host.home.string()).substr(0, 12)),
      workers(std::make_unique<Workers>(host.executor)) {
  if (!host.vm_key) host.vm_key = &PrivateKey::generate_rsa;
}

Region::Region(Services services, RegionSettings settings)
    : impl_(std::make_unique<Impl>(std::move(services), std::move(settings))) {}
Region::~Region() = default;

const RegionSettings& Region::settings() const {
  return impl_->settings;
}
const std::vector<std::string>& Region::set_aside() const {
  return impl_->set_aside;
}
Gallery& Region::gallery() const {
  return impl_->host.gallery;
}
Workers& Region::workers() const {
  return *impl_->workers;
}
ExtensionGallery& Region::extension_gallery() const {
  return impl_->host.extensions;
}

asio::awaitable<void> Region::recover() {
  return impl_->recover();
}

asio::awaitable<void> Region::shut_down() {
  impl_->stopping = true;
  for (const auto& [id, state] : impl_->live) {
    state->giving_up.request_stop();
    state->changed.notify();
  }
  impl_->workers->stop();
  co_return;
}

const Operation* Region::find_operation(const std::string& id) const {
  const auto found = impl_->operations.find(id);
  return found == impl_->operations.end() ? nullptr : &found->second->operation;
}

std::vector<const Operation*> Region::operations_of(const std::string& target) const {
  std::vector<const Operation*> found;
  for (const auto& [id, entry] : impl_->operations)
    if (same_name(entry->operation.target, target)) found.push_back(&entry->operation);
  std::ranges::sort(found, [](const Operation* a, const Operation* b) { return a->began < b->began; });
  return found;
}

void Region::change(const std::function<void()>& work) {
  impl_->records.change(work);
}
asio::awaitable<void> Region::insist(std::function<void()> work) {
  return impl_->insist(std::move(work));
}
asio::awaitable<Operation> Region::wait(std::string id, std::chrono::milliseconds limit) {
  return impl_->wait(std::move(id), limit);
}
asio::awaitable<void> Region::finish(std::string id) {
  return impl_->finish(std::move(id));
}
std::string Region::begin(const std::string& kind, const std::string& target,
                          std::function<asio::awaitable<void>(std::string operation)> work) {
  return impl_->begin(kind, target, std::move(work));
}

}  // namespace berth
