#include "region/vm_restoring.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>

#include "base/as_error.h"
#include "crypto/encoding.h"
#include "crypto/password.h"
#include "crypto/random.h"
#include "host/files.h"
#include "images/disk.h"
#include "model/catalog.h"
#include "model/docker_extension.h"
#include "network/addresses.h"
#include "region/host_share.h"
#include "region/images.h"
#include "region/operations.h"
#include "region/region_records.h"
#include "region/switches.h"
#include "region/vm_records.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::string_view machine_prefix = "template-";
constexpr auto boot_limit = 600s;      // of a machine that is to be frozen, on a busy host
constexpr auto identity_limit = 120s;  // two tenths of a second on an idle one
constexpr auto front_limit = 120s;
constexpr auto front_chance = 14min;     // as long as the machine listens
constexpr auto failure_is_kept = 15min;  // of making a template: it takes long, and would fail again
constexpr auto other_limit = 700s;       // of waiting for another process that makes the same
constexpr std::size_t entropy_bytes = 64;

/// What a tag of the VM says; for those who want to see their image boot.
constexpr std::string_view cold_tag = "berth:boot";

bool wants_to_boot(const Vm& vm) {
  for (const auto& [name, value] : vm.tags)
    if (same_name(name, cold_tag) && same_name(value, "cold")) return true;
  return false;
}

Error no_identity(const std::string& why) {
  return Error(ErrorKind::unavailable, "IdentityNotTaken", fmt::format("The restored machine {}.", why));
}

/// The port and the PEM files of settings that ask for nothing but Docker on a port, over TLS; nullopt for all
/// others: the engine would have to start again with them.
std::optional<json> front_of(const Extension& extension, const Secret& protected_settings) {
  if (!same_name(extension.type, "DockerExtension") || extension.state != "enabled" ||
      !extension.after.empty())
    return std::nullopt;
  const json open = json::parse(extension.settings, nullptr, false);
  const json secret = json::parse(protected_settings.reveal(), nullptr, false);
  if (!open.is_object() || open.size() != 1 || !open.contains("docker") || !open["docker"].is_object() ||
      open["docker"].size() != 1 || !secret.is_object() || secret.size() != 1 || !secret.contains("certs") ||
      !secret["certs"].is_object() || secret["certs"].size() != 3)
    return std::nullopt;
  const auto port = docker_port(extension.settings);
  if (!port) return std::nullopt;
  json front = {{"accept", fmt::format("0.0.0.0:{}", *port)}};
  for (const char* name : {"ca", "cert", "key"}) {
    const json text = secret["certs"].value(name, json());
    if (!text.is_string()) return std::nullopt;
    const auto pem = base64_decode(text.get<std::string>());
    if (!pem || !pem->starts_with("-----BEGIN ")) return std::nullopt;
    front[name] = pem->ends_with('\n') ? *pem : *pem + "\n";
  }
  return front;
}

}  // namespace

VmRestoring::VmRestoring(RegionRecords& records, Operations& operations, VmRecords& vms, Images& images,
                         Driver& driver, Threads threads)
    : records_(records),
      operations_(operations),
      vms_(vms),
      images_(images),
      driver_(driver),
      threads_(std::move(threads)) {}

// --- the template

asio::awaitable<VmRestoring::Beginning> VmRestoring::prepare(std::string operation, Ref ref, std::string id,
                                                             Wanted wanted, ImageFiles image) {
  if (wants_to_boot(vms_.current(ref, id))) co_return Beginning{{}, "it was asked to"};
  if (!image.takes_identity) co_return Beginning{{}, "machines of its image take no identity"};
  if (wanted.spec.nics.size() != 1) co_return Beginning{{}, "it has more than one network interface"};
  wanted.spec.data_disks.clear();  // they are plugged in later
  Beginning beginning;
  try {
    const std::string layout = co_await layout_of(wanted);
    if (layout.empty()) co_return Beginning{{}, "this host freezes no machines"};
    const auto wanted_still = [this, ref, id] { vms_.current(ref, id); };
    beginning.from = co_await find_or_make(operation, wanted, image, layout, wanted_still);
  } catch (const std::exception& caught) {
    if (operations_.stopping()) throw;
    beginning.why_not = fmt::format("its template could not be made ({})", caught.what());
  }
  vms_.current(ref, id);  // it is being deleted
  if (!beginning.from) spdlog::warn("{} machine={}", beginning.why_not, id);
  co_return beginning;
}

/// Temporary disks have sizes of their own, with a file system that was made for it.
asio::awaitable<std::string> VmRestoring::layout_of(const Wanted& wanted) {
  std::string layout = co_await driver_.template_layout(wanted.spec);
  if (!layout.empty()) layout += fmt::format("temporary_mib={}\n", wanted.temporary_mib);
  co_return layout;
}

asio::awaitable<MachineTemplate> VmRestoring::find_or_make(std::string operation, Wanted wanted,
                                                           ImageFiles image, std::string layout,
                                                           std::function<void()> wanted_still) {
  const Key key{image.disk.parent_path(), layout};
  for (;;) {
    wanted_still();
    if (const auto making = making_.find(key); making != making_.end()) {
      operations_.phase(operation, "Making the image's template");
      const auto signal = making->second;
      co_await signal->wait(1s);
      continue;
    }
    if (const auto found = co_await on(threads_.pool, [&templates = templates_, image, layout] {
          return templates.find(image, layout);
        }))
      co_return *found;
    if (making_.contains(key)) continue;  // someone began while we looked
    if (const auto failed = failed_.find(key); failed != failed_.end()) {
      if (std::chrono::steady_clock::now() < failed->second.second)
        throw Error(ErrorKind::unavailable, "TemplateNotMade", failed->second.first);
      failed_.erase(failed);
    }
    making_[key] = std::make_shared<Signal>(threads_.executor);
    asio::co_spawn(threads_.executor, make_and_keep(key, wanted, image), asio::detached);
  }
}

/// All who want it wait for it, and may go: it is made for the next one then. Never throws.
asio::awaitable<void> VmRestoring::make_and_keep(Key key, Wanted wanted, ImageFiles image) {
  std::optional<std::string> trouble;
  try {
    std::shared_ptr<Templates::Draft> draft;
    const auto until = std::chrono::steady_clock::now() + other_limit;
    // Another region of the same cache may be making it.
    for (bool there = false;;) {
      std::tie(there, draft) =
          co_await on(threads_.pool, [&templates = templates_, image, layout = key.second,
                                      temporary = wanted.spec.temporary_disk.has_value(),
                                      memory = wanted.spec.memory_mib] {
            const bool found = templates.find(image, layout).has_value();
            return std::pair(found, std::shared_ptr<Templates::Draft>(
                                        found ? nullptr : templates.begin(image, layout, temporary, memory)));
          });
      if (there || draft) break;
      if (std::chrono::steady_clock::now() > until || operations_.stopping())
        throw Error(ErrorKind::unavailable, "TemplateNotMade", "another region does not finish it");
      co_await making_.at(key)->wait(500ms);
    }
    if (draft) {
      co_await make(wanted, image, draft->files());
      co_await on(threads_.pool, [draft] {
        draft->keep();
        return 0;
      });
      spdlog::info("made a template image={} memory_mib={} cpus={}", key.first.filename().string(),
                   wanted.spec.memory_mib, wanted.spec.cpus);
    }
  } catch (const std::exception& caught) {
    trouble = caught.what();
  }
  if (trouble) failed_[key] = {*trouble, std::chrono::steady_clock::now() + failure_is_kept};
  const auto signal = making_.extract(key).mapped();
  signal->notify();
}

/// Boots a machine of that image that is nobody's, and freezes it once it has nothing more to do.
asio::awaitable<void> VmRestoring::make(Wanted wanted, const ImageFiles& image,
                                        const MachineTemplate& files) {
  MachineSpec& spec = wanted.spec;
  spec.id = std::string(machine_prefix) + random_hex(8);
  spec.name = spec.id;
  spec.uuid = new_uuid();
  spec.os_disk = files.disk;
  spec.memory_file = files.memory;
  spec.nics.front().mac = "02:00:00:00:00:01";
  spec.nics.front().socket = driver_.folder(spec.id) / "nic.sock";
  spec.direct_boot->command_line += " identity=wait";
  if (spec.temporary_disk) spec.temporary_disk = files.temporary_disk;
  co_await on(threads_.pool, [files, image, temporary_mib = wanted.temporary_mib] {
    create_disk(files.disk, read_disk(image.disk, image.format).virtual_size, image.disk, image.format);
    if (!files.temporary_disk.empty()) create_disk(files.temporary_disk, std::uint64_t{temporary_mib} << 20);
    return 0;
  });
  if (ending_.stop_requested()) throw Error(ErrorKind::unavailable, "TemplateNotMade", "the region ends");
  machines_.insert(spec.id);
  std::exception_ptr trouble;
  try {
    co_await driver_.start(spec, {});
    co_await talk(spec.id, {}, boot_limit);
    co_await driver_.freeze(spec.id, files.devices);
  } catch (...) {
    trouble = std::current_exception();
  }
  co_await remove(spec.id);
  machines_.erase(spec.id);
  if (trouble) std::rethrow_exception(trouble);
}

Accepted VmRestoring::warm(const std::string& name, const VmSize& size) {
  const auto image = images_.gallery().find(name);
  if (!image)
    throw Error(ErrorKind::not_found, "ImageNotFound", fmt::format("Image \"{}\" not found", name),
                "'azure vm image list' shows those there are.");
  std::string operation;
  operations_.change([&] {
    operation = operations_.begin(
        OperationKind::image_warm, "images/" + image->name,
        [this, name = image->name, size](std::string op) { return warm_up(std::move(op), name, size); });
  });
  return {operation, false};
}

asio::awaitable<void> VmRestoring::warm_up(std::string operation, std::string image, VmSize size) {
  operations_.phase(operation, "Preparing the image");
  const ImageFiles files = co_await on(
      threads_.builds, [&gallery = images_.gallery(), image, progress = images_.progress(operation),
                        stop = ending_.get_token()] { return gallery.ensure(image, progress, stop); });
  const HostShare share = host_share(size);
  Wanted wanted;
  MachineSpec& spec = wanted.spec;
  spec.cpus = share.cpus;
  spec.memory_mib = share.memory_mib;
  spec.azure_disks = files.azure_disks;
  if (files.azure_disks && size.resource_disk_mib > 0) {
    spec.temporary_disk = "temporary.qcow2";
    wanted.temporary_mib = size.resource_disk_mib;
  }
  if (!files.kernel.empty())
    spec.direct_boot = MachineSpec::DirectBoot{files.kernel, files.initrd, files.command_line};
  spec.nics.push_back({.mac = "02:00:00:00:00:01", .socket = {}});
  const std::string layout = co_await layout_of(wanted);
  if (layout.empty() || !files.takes_identity)
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                "Machines of this image boot: they cannot be restored from a template.");
  failed_.erase({files.disk.parent_path(), layout});
  co_await find_or_make(std::move(operation), std::move(wanted), files, layout, [] {});
}

std::string_view VmRestoring::template_of(const GalleryImage& image) const {
  const auto files = images_.gallery().files_of(image);
  if (!files) return "none";
  if (templates_.has_any(*files)) return "ready";
  const bool making = std::ranges::any_of(
      making_, [&](const auto& each) { return each.first.first == files->disk.parent_path(); });
  return making ? "making" : "none";
}

asio::awaitable<void> VmRestoring::sweep() {
  std::vector<std::string> left;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(driver_.folder("any").parent_path(), none))
    if (entry.path().filename().string().starts_with(machine_prefix))
      left.push_back(entry.path().filename().string());
  for (const std::string& id : left) {
    spdlog::info("removing what was to be a template machine={}", id);
    co_await remove(id);
  }
}

asio::awaitable<void> VmRestoring::remove(std::string id) {
  try {
    co_await driver_.destroy(id);
  } catch (const std::exception& error) {
    spdlog::warn("a template's machine is left machine={} {}", id, error.what());
  }
}

asio::awaitable<void> VmRestoring::stop() {
  ending_.request_stop();
  for (const std::string& id : std::set<std::string>(machines_)) co_await remove(id);
}

// --- the identity

/// A line each way; throws unless the machine says that it did as it was told, or waits.
asio::awaitable<void> VmRestoring::talk(std::string id, Secret line, std::chrono::milliseconds limit) {
  const std::string said = co_await driver_.converse(id, std::move(line), limit);
  const json answer = json::parse(said, nullptr, false);
  const json state = answer.is_object() ? answer.value("state", json()) : json();
  if (state == "done" || state == "waiting") co_return;
  const json why = answer.is_object() ? answer.value("why", json()) : json();
  throw no_identity(why.is_string() ? "failed: " + why.get<std::string>().substr(0, 400)
                                    : "answered with something else");
}

/// docs/wire/identity.md
Secret VmRestoring::identity_of(const Vm& vm, const Secret& password, bool grow) const {
  const NetworkInterface* nic =
      vm.interfaces.empty() ? nullptr : records_.interfaces.find(vm.interfaces.front());
  const VirtualNetwork* network = nic ? records_.networks.find(nic->configurations.front().network) : nullptr;
  const auto block = network ? network::parse_cidr(whole_block(*network)) : std::nullopt;
  if (!block) throw no_identity("has no network");
  std::string mac = lower(nic->mac);
  std::ranges::replace(mac, '-', ':');
  json keys = json::array();
  for (const SshKey& key : vm.ssh_keys) keys.push_back({{"path", key.path}, {"key", key.key}});
  const bool signs_in = vm.password_login && !password.empty();
  const json identity = {{"entropy", base64_encode(random_bytes(entropy_bytes))},
                         {"time", static_cast<double>(std::chrono::duration_cast<std::chrono::microseconds>(
                                                          std::chrono::system_clock::now().time_since_epoch())
                                                          .count()) /
                                      1e6},
                         {"machineId", random_hex(32)},
                         {"bootId", new_uuid()},
                         {"vmUuid", smbios_uuid(vm.vm_id)},
                         {"hostName", vm.computer_name},
                         {"engineId", new_uuid()},
                         {"mac", mac},
                         {"address", nic->configurations.front().private_address},
                         {"netmask", network::to_string(network::Ipv4{block->mask()})},
                         {"gateway", network::to_string(network::Subnet{*block}.gateway())},
                         {"grow", grow},
                         {"user",
                          {{"name", vm.admin_user},
                           {"passwordHash", signs_in ? hash_password(password) : ""},
                           {"hasPassword", !password.empty()},
                           {"keys", keys}}}};
  return Secret(identity.dump());
}

asio::awaitable<void> VmRestoring::introduce(std::string operation, Ref ref, std::string id, Secret password,
                                             bool grow) {
  operations_.phase(operation, "Giving it an identity");
  co_await talk(id, identity_of(vms_.current(ref, id), password, grow), identity_limit);
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(listening_, [now](const auto& each) { return each.second < now; });
  listening_[id] = now + front_chance;
  co_await operations_.insist([&] {
    vms_.current(ref, id);
    vms_.edit(ref).provisioned = true;
  });
}

void VmRestoring::hand_over(const std::string& vm_id, const Extension& extension,
                            const Secret& protected_settings) {
  if (const auto front = front_of(extension, protected_settings)) tell_front(vm_id, *front);
}

void VmRestoring::take_back(const std::string& vm_id) {
  tell_front(vm_id, nullptr);
}

void VmRestoring::tell_front(const std::string& vm_id, const json& front) {
  const auto listening = listening_.find(vm_id);
  if (listening == listening_.end() || std::chrono::steady_clock::now() > listening->second) return;
  asio::co_spawn(
      threads_.executor,
      [](VmRestoring& self, std::string id, Secret line) -> asio::awaitable<void> {
        try {
          co_await self.talk(id, std::move(line), front_limit);
        } catch (const std::exception& error) {
          spdlog::warn("Docker's port was not settled, its extension does that machine={} {}", id,
                       error.what());
        }
      }(*this, vm_id, Secret(json{{"front", front}}.dump())),
      asio::detached);
}

}  // namespace berth
