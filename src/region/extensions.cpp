#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>

#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "region/impl.h"

namespace berth {
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

Error failed(const Vm& vm, const Extension& extension, const std::string& why) {
  return Error(ErrorKind::conflict, "VMExtensionProvisioningError",
               fmt::format("VM has reported a failure when processing extension '{}' on {}: {}",
                           extension.name, vm.name, why),
               fmt::format("'azure vm extension logs {} {}' shows its log (in the VM: /var/log/azure/{}).",
                           vm.name, extension.name, extension.handler()));
}

}  // namespace

Extension* Region::Impl::find_extension(Vm& vm, const std::string& name) {
  const auto found =
      std::ranges::find_if(vm.extensions, [&](const Extension& e) { return same_name(e.name, name); });
  return found == vm.extensions.end() ? nullptr : &*found;
}

Accepted Region::put_extension(const Ref& ref, ExtensionOrder order) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  if (vm.provisioning == Provisioning::deleting ||
      !(vm.power == PowerState::running || vm.power == PowerState::starting ||
        vm.provisioning == Provisioning::creating))
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Cannot modify extensions in the VM when the VM is not running: {} is {}.",
                            vm.name, to_string(vm.power)),
                "Start it first.");
  const auto package =
      self.host.extensions.resolve(order.publisher, order.type, order.version, order.auto_upgrade);
  if (!package) {
    const bool known = !self.host.extensions.versions(order.publisher, order.type).empty();
    throw Error(ErrorKind::not_found, known ? "VMExtensionVersionNotFound" : "VMExtensionNotFound",
                known ? fmt::format("The handler '{}.{}' has no version '{}' in this region.",
                                    order.publisher, order.type, order.version)
                      : fmt::format("There is no extension handler '{}.{}' in this region.", order.publisher,
                                    order.type),
                "See those there are with 'azure vm extension list', or publish one to the region.");
  }
  Extension* known = self.find_extension(vm, order.name);
  for (const Extension& other : vm.extensions)
    if (&other != known && same_name(other.handler(), package->handler()))
      throw Error(ErrorKind::conflict, "OnlyOneExtensionPerHandler",
                  fmt::format("Extension '{}' of {} already uses the handler {}.", other.name, vm.name,
                              package->handler()),
                  "Change that one, or remove it first.");
  if (known && known->state == "uninstall")
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Extension '{}' of {} is being removed.", known->name, vm.name));
  const bool created = !known;
  if (!known) {
    known = &vm.extensions.emplace_back();
    known->name = order.name;
    known->sequence = -1;
  } else if (!same_name(known->handler(), package->handler())) {
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Extension '{}' of {} is of the handler {}; its type cannot be changed.",
                            known->name, vm.name, known->handler()),
                "Remove it first.");
  }
  known->publisher = package->publisher;
  known->type = package->type;
  known->version_wanted = order.version;
  known->auto_upgrade = order.auto_upgrade;
  known->version = package->version;
  known->settings = order.settings;
  known->force_update_tag = order.force_update_tag;
  known->tags = order.tags;
  known->state = order.state;
  if (order.has_protected_settings) {
    self.ensure_certificate(vm);
    known->protected_settings =
        order.protected_settings.empty()
            ? ""
            : base64_encode(cms_encrypt(order.protected_settings.reveal(),
                                        Certificate::parse_pem(vm.certificate, "the VM's certificate"),
                                        ContentCipher::aes_256_cbc));
  }
  return {self.begin_extension(vm, *known, created), created};
}

std::string Region::Impl::begin_extension(Vm& machine, Extension& extension, bool created) {
  ++extension.sequence;
  extension.provisioning = created ? Provisioning::creating : Provisioning::updating;
  extension.problem.reset();
  ++machine.incarnation;
  touch(machine);
  return begin("extension set", target_of(machine.ref(), extension.name),
               [this, ref = machine.ref(), id = machine.id, name = extension.name,
                sequence = extension.sequence](std::string operation) {
                 return conclude_extension(std::move(operation), ref, id, name, sequence);
               });
}

std::vector<ExtensionMove> Region::publish_extension(const std::filesystem::path& zip,
                                                     const std::string& publisher, const std::string& type,
                                                     const std::string& version, bool replace) {
  const auto before = impl_->host.extensions.find(publisher, type, version);
  return impl_->move_extensions(before,
                                impl_->host.extensions.publish(zip, publisher, type, version, replace));
}

asio::awaitable<std::vector<ExtensionMove>> Region::publish_extension(std::string client,
                                                                      std::filesystem::path zip,
                                                                      std::string publisher, std::string type,
                                                                      std::string version, bool replace) {
  const auto before = impl_->host.extensions.find(publisher, type, version);
  const ExtensionPackage package = co_await impl_->workers->run(
      std::move(client), [&gallery = impl_->host.extensions, zip, publisher, type, version, replace] {
        return gallery.publish(zip, publisher, type, version, replace);
      });
  co_return impl_->move_extensions(before, package);
}

asio::awaitable<void> Region::prepare_extension(Ref ref) {
  const Vm* vm = impl_->vms.find(ref);
  if (!vm || !vm->certificate.empty() || vm->provisioning == Provisioning::deleting) co_return;
  co_await impl_->make_certificate(ref, vm->id);
}

std::vector<ExtensionMove> Region::Impl::move_extensions(const std::optional<ExtensionPackage>& before,
                                                         const ExtensionPackage& package) {
  spdlog::info("published extension={} version={} sha256={}", package.handler(), package.version,
               package.sha256);
  std::vector<ExtensionMove> moves;
  if (!before || before->version == package.version) return moves;
  for (auto& [key, vm] : vms.rows())
    for (Extension& extension : vm.extensions) {
      if (!same_name(extension.handler(), package.handler()) || extension.version != before->version ||
          extension.state == "uninstall" || vm.provisioning == Provisioning::deleting)
        continue;
      extension.version = package.version;
      ExtensionMove& move = moves.emplace_back(ExtensionMove{vm.ref(), extension.name, ""});
      if (vm.power == PowerState::running || vm.power == PowerState::starting) {
        move.operation = begin_extension(vm, extension, false);
        continue;
      }
      ++extension.sequence;
      ++vm.incarnation;
      touch(vm);
    }
  return moves;
}

void Region::unpublish_extension(const std::string& publisher, const std::string& type,
                                 const std::string& version) {
  Impl& self = *impl_;
  if (const auto package = self.host.extensions.find(publisher, type, version))
    for (const auto& [key, vm] : self.vms.rows())
      for (const Extension& extension : vm.extensions)
        if (same_name(extension.handler(), package->handler()) && extension.version == package->version)
          throw Error(ErrorKind::conflict, "ExtensionInUse",
                      fmt::format("{} {} is on the virtual machine {}.", package->handler(),
                                  package->published, vm.name),
                      fmt::format("Remove it there first: 'azure vm extension delete {} {}'.", vm.name,
                                  extension.name));
  self.host.extensions.remove(publisher, type, version);
}

asio::awaitable<void> Region::Impl::conclude_extension(std::string operation, Ref ref, std::string id,
                                                       std::string name, int sequence) {
  std::optional<Error> trouble;
  try {
    co_await await_extension(std::move(operation), ref, id, name, sequence);
  } catch (const Error& error) {
    trouble = error;
  }
  Vm* vm = vms.find(ref);
  Extension* extension = vm && vm->id == id ? find_extension(*vm, name) : nullptr;
  if (extension && extension->sequence == sequence && extension->state != "uninstall" && !stopping) {
    extension->provisioning = trouble ? Provisioning::failed : Provisioning::succeeded;
    extension->problem = trouble ? std::optional(to_problem(*trouble)) : std::nullopt;
    touch(*vm);
  }
  if (trouble) throw *trouble;
}

asio::awaitable<void> Region::Impl::await_extension(std::string operation, Ref ref, std::string id,
                                                    std::string name, int sequence) {
  phase(operation, "Waiting for the extension");
  const auto state = live_ptr(id);
  const unsigned incarnation = still(ref, id).incarnation;
  const auto until = std::chrono::steady_clock::now() + settings.boot_limit + settings.extension_limit;
  for (;;) {
    Vm& vm = still(ref, id);
    const Extension* extension = find_extension(vm, name);
    if (!extension || extension->sequence != sequence)
      throw Error(ErrorKind::conflict, "OperationPreempted",
                  fmt::format("Extension '{}' of {} was changed again meanwhile.", name, vm.name));
    if (vm.provisioning == Provisioning::failed && !vm.provisioned)
      throw failed(vm, *extension,
                   "the VM itself could not be made: " + (vm.problem ? vm.problem->message : ""));
    if (vm.power != PowerState::running && vm.power != PowerState::starting &&
        vm.provisioning != Provisioning::creating)
      throw failed(vm, *extension, "the VM stopped before the extension had reported.");
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
      detail(operation, at_work(*status));
    }
    if (vm.waits_for_space()) detail(operation, std::string(held_for_space));
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds(0))
      throw Error(ErrorKind::unavailable, "VMExtensionProvisioningTimeout",
                  fmt::format("Extension '{}' on {} did not report within {} s.", name, vm.name,
                              settings.extension_limit.count()),
                  fmt::format("Its log is in the VM: /var/log/azure/{}.", extension->handler()));
    co_await state->changed.wait(std::min(left, std::chrono::milliseconds(10'000)));
  }
}

Accepted Region::delete_extension(const Ref& ref, const std::string& name, bool force) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  Extension* extension = self.find_extension(vm, name);
  if (!extension)
    throw Error(ErrorKind::not_found, "ResourceNotFound",
                fmt::format("{} has no extension '{}'.", vm.name, name));
  if (force) {
    std::erase_if(vm.extensions, [&](const Extension& e) { return same_name(e.name, name); });
    ++vm.incarnation;
    self.touch(vm);
    return {};
  }
  if (vm.power != PowerState::running)
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Cannot modify extensions in the VM when the VM is not running: {} is {}.",
                            vm.name, to_string(vm.power)),
                "Start it first.");
  extension->state = "uninstall";
  extension->provisioning = Provisioning::deleting;
  ++extension->sequence;
  ++vm.incarnation;
  self.touch(vm);
  return {self.begin("extension delete", target_of(ref, extension->name),
                     [&self, ref, id = vm.id, name = extension->name](std::string op) {
                       return self.conclude_uninstall(std::move(op), ref, id, name);
                     }),
          false};
}

asio::awaitable<void> Region::Impl::conclude_uninstall(std::string operation, Ref ref, std::string id,
                                                       std::string name) {
  std::optional<Error> trouble;
  try {
    co_await await_uninstall(std::move(operation), ref, id, name);
  } catch (const Error& error) {
    trouble = error;
  }
  if (!trouble) co_return;
  Vm* vm = vms.find(ref);
  Extension* extension = vm && vm->id == id ? find_extension(*vm, name) : nullptr;
  if (extension && extension->state == "uninstall" && !stopping) {
    extension->state = "enabled";  // it is still there, and can be changed or removed again
    extension->provisioning = Provisioning::failed;
    extension->problem = to_problem(*trouble);
    touch(*vm);
  }
  throw *trouble;
}

asio::awaitable<void> Region::Impl::await_uninstall(std::string operation, Ref ref, std::string id,
                                                    std::string name) {
  phase(operation, "Waiting for the extension to leave");
  const auto state = live_ptr(id);
  const unsigned incarnation = still(ref, id).incarnation;
  const auto until = std::chrono::steady_clock::now() + settings.extension_limit;
  for (;;) {
    Vm& vm = still(ref, id);
    const Extension* extension = find_extension(vm, name);
    if (!extension) co_return;
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
      std::erase_if(vm.extensions, [&](const Extension& e) { return same_name(e.name, name); });
      ++vm.incarnation;
      touch(vm);
      co_return;
    }
    if (late)
      throw Error(ErrorKind::unavailable, "VMExtensionProvisioningTimeout",
                  fmt::format("Extension '{}' on {} did not leave within {} s.", name, vm.name,
                              settings.extension_limit.count()));
    co_await state->changed.wait(std::chrono::milliseconds(10'000));
  }
}

}  // namespace berth
