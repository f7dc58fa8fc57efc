#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/extension/source.h"
#include "cli/session.h"
#include "cli/vm/hosts.h"
#include "model/names.h"

/// `azure vm extension publish|unpublish|list`: the gallery's side of the loop of those who write VM
/// extensions (docs/extension-authors.md).
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

std::string package_path(const wire::PackageName& name) {
  return fmt::format("providers/Berth.Local/extensions/{}/{}/{}", name.publisher, name.type, name.version);
}

std::string size_text(std::size_t bytes) {
  return bytes < 10240 ? fmt::format("{} bytes", bytes) : fmt::format("{} KiB", bytes / 1024);
}

// --- publish

struct PublishOptions {
  std::string path;
  wire::PackageName name;
  bool no_replace = false, no_wait = false;
  unsigned timeout = 600;
};

/// What is wrong with the package, all of it; throws when there is something.
void check_package(Session& session, const PublishOptions& options, const ExtensionSource& source) {
  for (const wire::PackageFault& note : source.contents.notes)
    session.out.warn(note.what + (note.advice.empty() ? "." : ". " + note.advice));
  const auto& faults = source.contents.faults;
  if (faults.empty()) return;
  std::string what, advice;
  for (const wire::PackageFault& fault : faults) {
    what += "\n- " + fault.what;
    if (!fault.advice.empty() && advice.find(fault.advice) == std::string::npos)
      advice += (advice.empty() ? "" : "\n") + fault.advice;
  }
  throw Error(ErrorKind::invalid, "InvalidExtensionPackage",
              fmt::format("{} is not a usable extension package:{}", options.path, what), advice);
}

/// Waits until the VMs that had an earlier revision have this one. The first failure is thrown, after all
/// ended.
void await_updates(Session& session, const json& updating, std::chrono::seconds limit) {
  std::optional<Error> first_error;
  for (const json& item : updating) {
    const std::string vm = part_of_id(text(item, {"id"}), "virtualMachines");
    const std::string operation = text(item, {"operation"});
    if (operation.empty()) {
      session.out.info(fmt::format("{} does not run; it gets it when it starts", vm));
      continue;
    }
    try {
      session.await({.operation = operation}, "", fmt::format("Updating {}", vm), limit);
    } catch (const Error& error) {
      if (error.code == "OperationCanceled") throw;
      if (!first_error) first_error = error;
    }
  }
  if (first_error) throw *first_error;
}

void publish(Session& session, const PublishOptions& options) {
  const ExtensionSource source = load_extension(options.path, options.name);
  check_package(session, options, source);
  const wire::PackageName& name = source.name;
  const json published =
      json::parse(session.arm()
                      .put_file(package_path(name) + (options.no_replace ? "" : "?replace=true"), source.zip)
                      .document);
  const std::string installed = text(published, {"properties", "installedVersion"});
  session.out.info(fmt::format(
      "{}.{} {} published ({}){}", name.publisher, name.type, name.version, size_text(source.zip.size()),
      installed == name.version ? "" : fmt::format("; VMs know it as {}", installed)));
  const json& updating = at(published, {"properties", "updating"});
  if (!options.no_wait && updating.is_array())
    await_updates(session, updating, std::chrono::seconds(options.timeout));
  if (session.out.json_mode()) return session.out.json(ordered_json::parse(published.dump()));
  const json& users = at(published, {"properties", "usedBy"});
  if (!users.is_array() || users.empty())
    session.out.info(
        fmt::format("Next: azure vm extension set <vm> {} {} {}", name.type, name.publisher, name.version));
}

void extension_publish(CommandLine& app, Session& session) {
  auto options = std::make_shared<PublishOptions>();
  app.add_option("path", options->path, "The handler's zip, or a folder to make it from")->required();
  app.add_option("-p,--publisher", options->name.publisher, "Its publisher [from its manifest or file name]")
      ->type_name("<name>");
  app.add_option("-n,--name,--type", options->name.type, "Its name [from its manifest or file name]")
      ->type_name("<name>");
  app.add_option("--version", options->name.version, "Its version [from its manifest or file name]")
      ->type_name("<version>");
  app.add_flag("--no-replace", options->no_replace, "Fail when that version is published already");
  app.add_flag("--no-wait", options->no_wait, "Do not wait for the VMs that have it");
  app.add_option("--timeout", options->timeout, "How long each VM may take [600]")->type_name("<seconds>");
  app.callback([options, &session] { publish(session, *options); });
}

void extension_unpublish(CommandLine& app, Session& session) {
  auto name = std::make_shared<wire::PackageName>();
  app.add_option("name", name->type, "Name of the extension")->required();
  app.add_option("publisher-name", name->publisher, "Its publisher")->required();
  app.add_option("version", name->version, "Its version")->required();
  app.callback([name, &session] {
    wire::check_package_name(*name);
    const json all = session.arm().list("providers/Berth.Local/extensions");
    const std::string full = fmt::format("{}.{} {}", name->publisher, name->type, name->version);
    const bool known = std::ranges::any_of(all, [&](const json& item) {
      return same_name(fmt::format("{}.{} {}", text(item, {"properties", "publisher"}),
                                   text(item, {"properties", "type"}), text(item, {"properties", "version"})),
                       full);
    });
    if (!known)
      throw Error(ErrorKind::not_found, "ExtensionNotFound", fmt::format("There is no extension {}.", full),
                  "'azure vm extension list' shows those that there are.");
    session.arm().remove(package_path(*name));
    if (session.out.json_mode()) return session.out.json({{"unpublished", full}});
    session.out.info(full + " is out of the gallery");
  });
}

// --- list

void list_extensions(Session& session, const wire::PackageName& wanted) {
  session.out.info("Getting the extensions of the gallery");
  ordered_json all = ordered_json::array();
  std::vector<std::vector<std::string>> rows;
  for (const json& item : session.arm().list("providers/Berth.Local/extensions")) {
    const json& package = at(item, {"properties"});
    const std::string publisher = text(package, {"publisher"}), type = text(package, {"type"});
    if (!wanted.publisher.empty() && !same_name(publisher, wanted.publisher)) continue;
    if (!wanted.type.empty() && !same_name(type, wanted.type)) continue;
    ordered_json users = ordered_json::array();
    std::string names;
    for (const json& id : at(package, {"usedBy"})) {
      users.emplace_back(id.get<std::string>());
      names += (names.empty() ? "" : ", ") + part_of_id(id.get<std::string>(), "virtualMachines");
    }
    const bool bundled = package.value("bundled", false);
    rows.push_back({publisher, type, text(package, {"version"}), text(package, {"installedVersion"}),
                    bundled ? "Berth" : "published", names});
    all.emplace_back(ordered_json{{"publisher", publisher},
                                  {"name", type},
                                  {"version", text(package, {"version"})},
                                  {"installedVersion", text(package, {"installedVersion"})},
                                  {"bundled", bundled},
                                  {"sha256", text(package, {"sha256"})},
                                  {"usedBy", users}});
  }
  if (session.out.json_mode()) return session.out.json(all);
  if (rows.empty()) return session.out.info("No extensions found");
  session.out.table({"Publisher", "Extension name", "Version", "On VMs as", "From", "Used by"}, rows);
}

void extension_list(CommandLine& app, Session& session) {
  auto wanted = std::make_shared<wire::PackageName>();
  app.add_option("-n,--extension-name", wanted->type, "Only those of this name")->type_name("<name>");
  app.add_option("-p,--publisher-name", wanted->publisher, "Only those of this publisher")
      ->type_name("<name>");
  app.callback([wanted, &session] { list_extensions(session, *wanted); });
}

constexpr Command extension_gallery_table[] = {
    {"vm extension publish", "Put an extension into the gallery, and onto the VMs that have it",
     &extension_publish},
    {"vm extension unpublish", "Take an extension out of the gallery", &extension_unpublish},
    {"vm extension list", "List the extensions of the gallery", &extension_list},
};

}  // namespace

std::span<const Command> extension_gallery_commands() {
  return extension_gallery_table;
}

}  // namespace berth
