#include "region/extensions.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/as_error.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "crypto/password.h"
#include "host/workers.h"
#include "region/settings.h"
#include "region/vm_certificates.h"
#include "region/vm_records.h"
#include "region/vm_restoring.h"

namespace berth {

namespace asio = boost::asio;

namespace {

std::string target_of(const Ref& vm, const std::string& name) {
  return "virtualMachines/" + vm.group + "/" + vm.name + "/extensions/" + name;
}

unsigned number_of(const std::string& text) {
  unsigned value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

const HandlerStatus* status_of(const Vm& vm, const Extension& extension) {
  if (!vm.agent) return nullptr;
  const auto found = std::ranges::find_if(vm.agent->handlers, [&](const HandlerStatus& status) {
    return same_name(status.handler, extension.handler());
  });
  return found == vm.agent->handlers.end() ? nullptr : &*found;
}

/// What to say while the handler is at work.
std::string at_work(const HandlerStatus& status) {
  for (auto item = status.substatus.rbegin(); item != status.substatus.rend(); ++item)
    if (item->status == "transitioning") return item->message;
  if (status.settings && !status.settings->message.empty()) return status.settings->message;
  return status.message;
}

void forget_extension(Vm& vm, const std::string& name) {
  std::erase_if(vm.extensions, [&](const Extension& e) { return same_name(e.name, name); });
  ++vm.incarnation;
}

Error failed(const Vm& vm, const Extension& extension, const std::string& why) {
  return Error(
      ErrorKind::conflict, "VMExtensionProvisioningError",
      fmt::format("VM has reported a failure when processing extension '{}' on {}: {}",
                  extension.of_platform() ? extension.type : extension.name, vm.name, why),
      fmt::format("'azure vm extension logs {} {}' shows its log (in the VM: /var/log/azure/{}).", vm.name,
                  extension.of_platform() ? extension.handler() : extension.name, extension.handler()));
}

/// The same handler, version, settings and state that stand there, in good order or on the way to it.
bool asks_nothing_new(const Extension& known, const ExtensionOrder& order, const std::string& version) {
  if (known.provisioning == Provisioning::failed) return false;
  const bool same_secret = !order.has_protected_settings ||
                           (order.protected_settings.empty()
                                ? known.protected_settings.empty()
                                : !known.protected_print.empty() &&
                                      fits_print(order.protected_settings.reveal(), known.protected_print));
  return same_secret && known.version_wanted == order.version && known.version == version &&
         known.auto_upgrade == order.auto_upgrade && known.settings == order.settings &&
         known.force_update_tag == order.force_update_tag && known.after == order.after &&
         known.state == order.state;
}

/// Extensions that come after each other in a circle would never begin.
void check_order_of(const Vm& vm, const ExtensionOrder& order) {
  std::vector<std::string> open = order.after;
  std::set<std::string, NameLess> seen;
  while (!open.empty()) {
    const std::string name = std::move(open.back());
    open.pop_back();
    if (same_name(name, order.name))
      throw Error(ErrorKind::invalid, "InvalidParameter",
                  fmt::format("Extension '{}' of {} comes after itself by 'provisionAfterExtensions'.",
                              order.name, vm.name),
                  "Break the circle.");
    if (!seen.insert(name).second) continue;
    if (const Extension* before = find_extension(vm, name))
      open.insert(open.end(), before->after.begin(), before->after.end());
  }
}

void check_runs(const Vm& vm) {
  if (vm.provisioning == Provisioning::deleting ||
      !(vm.power == PowerState::running || vm.power == PowerState::starting ||
        vm.provisioning == Provisioning::creating))
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Cannot modify extensions in the VM when the VM is not running: {} is {}.",
                            vm.name, to_string(vm.power)),
                "Start it first.");
}

/// Each handler serves one extension of a machine: this one, if it is there already.
void check_handler_is_free(const Vm& vm, const Extension* known, const ExtensionPackage& package,
                           const char* advice) {
  for (const Extension& other : vm.extensions)
    if (&other != known && same_name(other.handler(), package.handler()))
      throw Error(ErrorKind::conflict, "OnlyOneExtensionPerHandler",
                  fmt::format("Extension '{}' of {} already uses the handler {}.", other.name, vm.name,
                              package.handler()),
                  advice);
}

/// What an extension waits for before its turn comes; "" when it is its turn.
std::string waits_for(const Vm& vm, const Extension& extension) {
  for (const std::string& name : extension.after) {
    const Extension* before = find_extension(vm, name);
    if (!before) return fmt::format("Waiting for the extension '{}', which is not there yet", name);
    if (before->provisioning == Provisioning::creating || before->provisioning == Provisioning::updating)
      return fmt::format("Waiting for the extension '{}'", name);
  }
  return {};
}

}  // namespace

Extensions::Extensions(RegionRecords& records, Operations& operations, VmRecords& vms,
                       VmCertificates& certificates, VmRestoring& restoring, ExtensionGallery& gallery,
                       Workers& workers, const RegionSettings& settings)
    : records_(records),
      operations_(operations),
      vms_(vms),
      certificates_(certificates),
      restoring_(restoring),
      gallery_(gallery),
      workers_(workers),
      settings_(settings) {}

ExtensionPackage Extensions::package_for(const ExtensionOrder& order) const {
  if (auto package = gallery_.resolve(order.publisher, order.type, order.version, order.auto_upgrade))
    return *package;
  const bool known = !gallery_.versions(order.publisher, order.type).empty();
  throw Error(ErrorKind::not_found, known ? "VMExtensionVersionNotFound" : "VMExtensionNotFound",
              known ? fmt::format("The handler '{}.{}' has no version '{}' in this region.", order.publisher,
                                  order.type, order.version)
                    : fmt::format("There is no extension handler '{}.{}' in this region.", order.publisher,
                                  order.type),
              "See those there are with 'azure vm extension list', or publish one to the region.");
}

Accepted Extensions::put(const Ref& ref, ExtensionOrder order) {
  const Vm& vm = vms_.get(ref);
  check_runs(vm);
  const ExtensionPackage package = package_for(order);
  const Extension* known = find_extension(vm, order.name);
  check_handler_is_free(vm, known, package, "Change that one, or remove it first.");
  if (known && known->state == "uninstall")
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Extension '{}' of {} is being removed.", known->name, vm.name));
  check_order_of(vm, order);
  if (known && !same_name(known->handler(), package.handler()))
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Extension '{}' of {} is of the handler {}; its type cannot be changed.",
                            known->name, vm.name, known->handler()),
                "Remove it first.");
  return records_.change([&]() -> Accepted {
    Vm& changed = vms_.edit(ref);
    const bool created = !known;
    if (created) changed.extensions.push_back({.name = order.name, .sequence = -1});
    Extension& extension = *find_extension(changed, order.name);
    extension.kept = order.kept;
    extension.tags = order.tags;
    extension.suppress_failures = order.suppress_failures;
    if (!created && asks_nothing_new(extension, order, package.version)) {
      // Azure gives the guest no new goal state for this, and nothing runs again.
      return {await_again(changed, extension), false};
    }
    extension.publisher = package.publisher;
    extension.type = package.type;
    extension.version_wanted = order.version;
    extension.auto_upgrade = order.auto_upgrade;
    extension.version = package.version;
    extension.settings = order.settings;
    extension.force_update_tag = order.force_update_tag;
    extension.after = order.after;
    extension.state = order.state;
    if (order.has_protected_settings) set_protected(changed, extension, order.protected_settings.reveal());
    if (created)
      records_.after([&restoring = restoring_, id = changed.id, given = extension,
                      secret = order.protected_settings] { restoring.hand_over(id, given, secret); });
    return {begin(changed, extension, created), created};
  });
}

void Extensions::set_protected(Vm& vm, Extension& extension, std::string_view secret) {
  extension.protected_settings.clear();
  extension.protected_print.clear();
  if (secret.empty()) return;
  certificates_.ensure(vm);
  extension.protected_settings = base64_encode(cms_encrypt(
      secret, Certificate::parse_pem(vm.certificate, "the VM's certificate"), ContentCipher::aes_256_cbc));
  extension.protected_print = make_print(secret);
}

Accepted Extensions::run_command(const Ref& ref, const Secret& settings) {
  const Vm& vm = vms_.get(ref);
  check_runs(vm);
  const Extension* known = find_extension(vm, run_command_extension);
  if (known &&
      (known->provisioning == Provisioning::creating || known->provisioning == Provisioning::updating ||
       known->provisioning == Provisioning::deleting))
    throw Error(ErrorKind::conflict, "Conflict",
                fmt::format("Run command extension execution is in progress on {}. Please wait for "
                            "completion before invoking "
                            "a run command.",
                            vm.name));
  const auto package = gallery_.resolve("Microsoft.CPlat.Core", "RunCommandLinux", "1", true);
  if (!package)
    throw Error(ErrorKind::not_found, "VMExtensionNotFound",
                "The handler Microsoft.CPlat.Core.RunCommandLinux is not in this region's gallery.",
                "It comes with Berth; build its packages (target extension-packages).");
  check_handler_is_free(vm, known, *package, "Remove it first: run command brings its own.");
  return records_.change([&]() -> Accepted {
    Vm& changed = vms_.edit(ref);
    if (!known) changed.extensions.push_back({.name = std::string(run_command_extension), .sequence = -1});
    Extension& extension = *find_extension(changed, run_command_extension);
    extension.publisher = package->publisher;
    extension.type = package->type;
    extension.version_wanted = package->version;
    extension.version = package->version;
    set_protected(changed, extension, settings.reveal());
    return {begin(changed, extension, !known), !known};
  });
}

std::string Extensions::await_again(const Vm& machine, const Extension& extension) {
  return operations_.begin(
      extension.of_platform() ? OperationKind::run_command : OperationKind::extension_set,
      target_of(machine.ref(), extension.name),
      [this, ref = machine.ref(), id = machine.id, name = extension.name, sequence = extension.sequence](
          std::string operation) { return conclude(std::move(operation), ref, id, name, sequence); });
}

std::string Extensions::begin(Vm& machine, Extension& extension, bool created) {
  ++extension.sequence;
  extension.provisioning = created ? Provisioning::creating : Provisioning::updating;
  extension.problem.reset();
  ++machine.incarnation;
  return await_again(machine, extension);
}

std::vector<ExtensionMove> Extensions::publish(const std::filesystem::path& zip, const std::string& publisher,
                                               const std::string& type, const std::string& version,
                                               bool replace) {
  const ExtensionPackage package = gallery_.publish(zip, publisher, type, version, replace);
  return published(package);
}

asio::awaitable<std::vector<ExtensionMove>> Extensions::publish(std::string client, std::filesystem::path zip,
                                                                std::string publisher, std::string type,
                                                                std::string version, bool replace) {
  const ExtensionPackage package =
      co_await workers_.run(std::move(client), [&gallery = gallery_, zip, publisher, type, version, replace] {
        return gallery.publish(zip, publisher, type, version, replace);
      });
  co_return published(package);
}

asio::awaitable<void> Extensions::prepare(Ref ref) {
  const Vm* vm = records_.vms.find(ref);
  if (!vm || !vm->certificate.empty() || vm->provisioning == Provisioning::deleting) co_return;
  co_await certificates_.make(ref, vm->id);
}

std::vector<ExtensionMove> Extensions::published(const ExtensionPackage& package) {
  spdlog::info("published extension={} version={} sha256={}", package.handler(), package.version,
               package.sha256);
  return move_on();
}

/// Where a replaced package is still wanted, its successor is from now on.
std::vector<ExtensionMove> Extensions::move_on() {
  struct Move {
    Ref vm;
    std::string extension, version;
  };
  std::vector<Move> moving;
  for (const ExtensionPackage& package : gallery_.list()) {
    if (package.revision == 0) continue;
    for (const auto& [key, vm] : records_.vms.rows())
      for (const Extension& extension : vm.extensions)
        if (same_name(extension.handler(), package.handler()) && package.replaces(extension.version) &&
            extension.state != "uninstall" && vm.provisioning != Provisioning::deleting)
          moving.push_back({vm.ref(), extension.name, package.version});
  }
  if (moving.empty()) return {};
  return records_.change([&] {
    std::vector<ExtensionMove> moves;
    for (const auto& [ref, name, version] : moving) {
      Vm& vm = vms_.edit(ref);
      Extension& extension = *find_extension(vm, name);
      extension.version = version;
      ExtensionMove& move = moves.emplace_back(ExtensionMove{ref, name, ""});
      if (vm.power == PowerState::running || vm.power == PowerState::starting) {
        move.operation = begin(vm, extension, false);
        continue;
      }
      ++extension.sequence;
      ++vm.incarnation;
    }
    return moves;
  });
}

void Extensions::unpublish(const std::string& publisher, const std::string& type,
                           const std::string& version) {
  if (const auto package = gallery_.find(publisher, type, version))
    for (const auto& [key, vm] : records_.vms.rows())
      for (const Extension& extension : vm.extensions)
        if (same_name(extension.handler(), package->handler()) && extension.version == package->version)
          throw Error(ErrorKind::conflict, "ExtensionInUse",
                      fmt::format("{} {} is on the virtual machine {}.", package->handler(),
                                  package->published, vm.name),
                      fmt::format("Remove it there first: 'azure vm extension delete {} {}'.", vm.name,
                                  extension.name));
  gallery_.remove(publisher, type, version);
}

asio::awaitable<void> Extensions::conclude(std::string operation, Ref ref, std::string id, std::string name,
                                           int sequence) {
  std::optional<Error> trouble;
  try {
    co_await await_report(operation, ref, id, name, sequence);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  bool suppressed = false;
  co_await operations_.insist([&] {
    const Vm* vm = records_.vms.find(ref);
    const Extension* known = vm && vm->id == id ? find_extension(*vm, name) : nullptr;
    suppressed =
        trouble && known && known->suppress_failures && trouble->code == "VMExtensionProvisioningError";
    if (!known || known->sequence != sequence || known->state == "uninstall") return;
    if (const HandlerStatus* said = known->of_platform() && !trouble ? status_of(*vm, *known) : nullptr;
        said && said->settings)
      operations_.output(operation, said->settings->message);
    Extension& extension = *find_extension(vms_.edit(ref), name);
    extension.provisioning = trouble && !suppressed ? Provisioning::failed : Provisioning::succeeded;
    extension.problem = trouble ? std::optional(to_problem(*trouble)) : std::nullopt;
  });
  if (trouble && !suppressed) throw *trouble;
}

asio::awaitable<void> Extensions::await_report(std::string operation, Ref ref, std::string id,
                                               std::string name, int sequence) {
  operations_.phase(operation, "Waiting for the extension");
  const auto state = vms_.live(id);
  const unsigned incarnation = vms_.current(ref, id).incarnation;
  auto limit = settings_.extension_limit;
  auto until = std::chrono::steady_clock::now() + settings_.boot_limit + limit;
  for (;;) {
    const Vm& vm = vms_.current(ref, id);
    const Extension* extension = find_extension(vm, name);
    if (!extension || extension->sequence != sequence)
      throw Error(ErrorKind::conflict, "OperationPreempted",
                  fmt::format("Extension '{}' of {} was changed again meanwhile.", name, vm.name));
    if (vm.provisioning == Provisioning::failed && !vm.provisioned)
      throw failed(vm, *extension,
                   "the VM itself could not be made: " + (vm.problem ? vm.problem->message : ""));
    if (vm.power != PowerState::running && vm.power != PowerState::starting && !is_asleep(vm.power) &&
        vm.provisioning != Provisioning::creating)
      throw failed(vm, *extension, "the VM stopped before the extension had reported.");
    if (is_asleep(vm.power)) until = std::max(until, std::chrono::steady_clock::now() + limit);
    if (const HandlerStatus* status = status_of(vm, *extension);
        status && number_of(vm.agent->incarnation) >= incarnation && status->version == extension->version) {
      const bool mine = status->sequence && *status->sequence == sequence;
      if (status->status == "NotReady" && status->code != 0 && extension->state == "enabled")
        throw failed(vm, *extension, fmt::format("{} (code {})", status->message, status->code));
      if (extension->state == "disabled" && status->status == "NotReady") co_return;
      if (mine && status->settings &&
          (status->settings->status == "success" || status->settings->status == "warning"))
        co_return;
      if (mine && status->settings && status->settings->status == "error")
        throw failed(vm, *extension,
                     fmt::format("{} (code {})", status->settings->message, status->settings->code));
      if (mine && status->settings && limit < settings_.work_limit) {
        until += settings_.work_limit - limit;
        limit = settings_.work_limit;
      }
      operations_.detail(operation, at_work(*status));
    }
    if (const std::string other = waits_for(vm, *extension); !other.empty()) {
      operations_.detail(operation, other);
      // Its own time begins with its turn, unless what it comes after never appears.
      if (dependency_level(vm, *extension)) until = std::max(until, std::chrono::steady_clock::now() + limit);
    }
    if (vm.waits_for_space()) operations_.detail(operation, std::string(held_for_space));
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds(0))
      throw Error(
          ErrorKind::unavailable, "VMExtensionProvisioningTimeout",
          fmt::format("Extension '{}' on {} did not report within {} s.", name, vm.name, limit.count()),
          fmt::format("Its log is in the VM: /var/log/azure/{}.", extension->handler()));
    co_await state->changed.wait(std::min(left, std::chrono::milliseconds(10'000)));
  }
}

Accepted Extensions::remove(const Ref& ref, const std::string& name, bool force) {
  const Vm& vm = vms_.get(ref);
  if (!find_extension(vm, name))
    throw Error(ErrorKind::not_found, "ResourceNotFound",
                fmt::format("{} has no extension '{}'.", vm.name, name));
  const bool opened_a_port = [&] {
    const Extension& extension = *find_extension(vm, name);
    return same_name(extension.type, "DockerExtension") && extension.provisioning != Provisioning::succeeded;
  }();
  const auto close_it = [&] {
    if (opened_a_port) records_.after([&restoring = restoring_, id = vm.id] { restoring.take_back(id); });
  };
  if (force) {
    if (is_asleep(vm.power)) throw not_now(vm, "rid of an extension");  // its port could not be closed
    vms_.change(ref, [&](Vm& changed) {
      close_it();
      forget_extension(changed, name);
    });
    return {};
  }
  if (vm.power != PowerState::running)
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Cannot modify extensions in the VM when the VM is not running: {} is {}.",
                            vm.name, to_string(vm.power)),
                "Start it first.");
  return records_.change([&]() -> Accepted {
    Vm& changed = vms_.edit(ref);
    Extension& extension = *find_extension(changed, name);
    close_it();
    extension.state = "uninstall";
    extension.provisioning = Provisioning::deleting;
    ++extension.sequence;
    ++changed.incarnation;
    return {operations_.begin(OperationKind::extension_delete, target_of(ref, extension.name),
                              [this, ref, id = changed.id, kept = extension.name](std::string op) {
                                return conclude_uninstall(std::move(op), ref, id, kept);
                              }),
            false};
  });
}

asio::awaitable<void> Extensions::conclude_uninstall(std::string operation, Ref ref, std::string id,
                                                     std::string name) {
  std::optional<Error> trouble;
  try {
    co_await await_uninstall(std::move(operation), ref, id, name);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  if (!trouble) co_return;
  co_await operations_.insist([&] {
    const Vm* vm = records_.vms.find(ref);
    const Extension* known = vm && vm->id == id ? find_extension(*vm, name) : nullptr;
    if (!known || known->state != "uninstall") return;
    Extension& extension = *find_extension(vms_.edit(ref), name);
    extension.state = "enabled";  // it is still there, and can be changed or removed again
    extension.provisioning = Provisioning::failed;
    extension.problem = to_problem(*trouble);
  });
  throw *trouble;
}

asio::awaitable<void> Extensions::await_uninstall(std::string operation, Ref ref, std::string id,
                                                  std::string name) {
  operations_.phase(operation, "Waiting for the extension to leave");
  const auto state = vms_.live(id);
  const unsigned incarnation = vms_.current(ref, id).incarnation;
  auto until = std::chrono::steady_clock::now() + settings_.extension_limit;
  for (;;) {
    const Vm& vm = vms_.current(ref, id);
    const Extension* extension = find_extension(vm, name);
    if (!extension) co_return;
    if (is_asleep(vm.power)) until = std::chrono::steady_clock::now() + settings_.extension_limit;
    // The agent runs disable and uninstall, then no longer speaks of the handler.
    const bool gone =
        vm.agent && number_of(vm.agent->incarnation) >= incarnation && !status_of(vm, *extension);
    const bool late = std::chrono::steady_clock::now() >= until;
    const HandlerStatus* status = status_of(vm, *extension);
    // Its disable command failed: the agent goes no further. Of uninstall it takes no notice.
    if (status && number_of(vm.agent->incarnation) >= incarnation && status->status == "NotReady" &&
        status->code != 0)
      throw Error(
          ErrorKind::conflict, "VMExtensionProvisioningError",
          fmt::format("The extension '{}' did not leave {}: {} (code {})", name, vm.name, status->message,
                      status->code),
          "Publish a version whose disable command ends with 0, or delete it with --force: its folder "
          "goes, no command is run.");
    if (gone) {
      co_await operations_.insist([&] {
        vms_.current(ref, id);
        forget_extension(vms_.edit(ref), name);
      });
      co_return;
    }
    if (late)
      throw Error(ErrorKind::unavailable, "VMExtensionProvisioningTimeout",
                  fmt::format("Extension '{}' on {} did not leave within {} s.", name, vm.name,
                              settings_.extension_limit.count()));
    co_await state->changed.wait(std::chrono::milliseconds(10'000));
  }
}

void Extensions::take_up(const Ref& ref, const Extension& extension, bool runs,
                         Operations::Unfinished& unfinished) {
  if (extension.provisioning != Provisioning::creating && extension.provisioning != Provisioning::updating &&
      extension.provisioning != Provisioning::deleting)
    return;
  Vm& vm = vms_.edit(ref);  // played guests speak of it again
  const std::string id = vm.id, name = extension.name;
  const std::string target = "virtualMachines/" + ref.group + "/" + ref.name + "/extensions/" + name;
  if (!runs) {
    Extension& given_up = *find_extension(vm, name);
    given_up.problem = interrupted("the extension was being set");
    given_up.provisioning = Provisioning::failed;
  } else if (extension.provisioning == Provisioning::deleting) {
    operations_.begin(
        OperationKind::extension_delete, target,
        [this, ref, id, name](std::string op) { return conclude_uninstall(std::move(op), ref, id, name); },
        take_unfinished(unfinished, OperationKind::extension_delete, target));
  } else {
    const OperationKind kind =
        extension.of_platform() ? OperationKind::run_command : OperationKind::extension_set;
    operations_.begin(
        kind, target,
        [this, ref, id, name, sequence = extension.sequence](std::string op) {
          return conclude(std::move(op), ref, id, name, sequence);
        },
        take_unfinished(unfinished, kind, target));
  }
}

}  // namespace berth
