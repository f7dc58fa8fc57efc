#include "region/region.h"

#include "crypto/certificate.h"
#include "region/parts.h"
#include "region/recovery.h"

namespace berth {
namespace {

Threads threads_of(const Region::Services& host) {
  return {host.executor, host.pool, host.builds};
}

}  // namespace

Parts::Parts(const Region::Services& host, const RegionSettings& settings)
    : records(host.database),
      operations(records, host.executor),
      workers(host.executor),
      vms(records, operations, host.executor, host.vm_changed),
      images(records, operations, vms, threads_of(host), host.gallery, host.home),
      disks(records, operations, images, threads_of(host), host.home),
      inert(records, images),
      documents(records),
      names(records, operations, host.executor, settings.hosts_file, host.home),
      switches(records, operations, host.executor, host.networks, settings),
      networks(records, switches, names, settings, host.home),
      certificates(records, vms, host.pool, settings, host.vm_key),
      restoring(records, operations, vms, images, host.driver, threads_of(host)),
      extensions(records, operations, vms, certificates, restoring, host.extensions, workers, settings),
      guests(records, vms, certificates, host.extensions, settings),
      attachments(records, vms, disks),
      power(records, operations, vms, switches,
            {host.driver, host.gallery, host.guest_endpoints, threads_of(host), host.home}, settings),
      hibernation(records, operations, vms, switches, power, host.driver),
      making(records, operations, {vms, attachments, certificates, power, restoring, images, switches},
             threads_of(host), host.home),
      changes(records, operations, {vms, attachments, making, power, disks}, host.driver, host.home,
              settings),
      removal(records, operations, {vms, attachments, certificates, power, disks, images, switches, names}),
      vm_recovery(records, {vms, attachments, making, changes, power, hibernation, removal, extensions}),
      machines(records, operations, {vms, making, changes, power, hibernation, restoring, removal},
               host.driver, settings),
      groups(records, operations, {removal, switches, names, disks, images, inert, documents}) {}

struct Region::Impl {
  Impl(Services services, RegionSettings fixed)
      : host(std::move(services)), settings(std::move(fixed)), parts(host, settings) {}

  const Services host;
  const RegionSettings settings;
  Parts parts;
  std::vector<std::string> set_aside;
};

Region::Region(Services services, RegionSettings settings)
    : impl_(std::make_unique<Impl>(std::move(services), std::move(settings))) {}
Region::~Region() = default;

asio::awaitable<void> Region::recover() {
  impl_->set_aside = co_await berth::recover(impl_->parts, impl_->host, impl_->settings);
}

asio::awaitable<void> Region::shut_down() {
  co_await impl_->parts.hibernation.stop();
  impl_->parts.operations.stop();
  impl_->parts.vms.stop();
  impl_->parts.workers.stop();
  co_await impl_->parts.restoring.stop();
}

const std::vector<std::string>& Region::set_aside() const {
  return impl_->set_aside;
}
const RegionSettings& Region::settings() const {
  return impl_->settings;
}
Workers& Region::workers() const {
  return impl_->parts.workers;
}
Operations& Region::operations() const {
  return impl_->parts.operations;
}
Groups& Region::groups() const {
  return impl_->parts.groups;
}
Images& Region::images() const {
  return impl_->parts.images;
}
Disks& Region::disks() const {
  return impl_->parts.disks;
}
Networks& Region::networks() const {
  return impl_->parts.networks;
}
Machines& Region::machines() const {
  return impl_->parts.machines;
}
Extensions& Region::extensions() const {
  return impl_->parts.extensions;
}
Guests& Region::guests() const {
  return impl_->parts.guests;
}
InertResources& Region::inert() const {
  return impl_->parts.inert;
}
DialectDocuments& Region::documents() const {
  return impl_->parts.documents;
}

}  // namespace berth
