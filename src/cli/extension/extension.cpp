#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/extension/logs.h"
#include "cli/extension/source.h"
#include "cli/extension/view.h"
#include "cli/session.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/hosts.h"
#include "host/files.h"
#include "model/names.h"

/// `azure vm extension set|get|logs|delete`: the extensions of a virtual machine.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::size_t largest_settings = std::size_t{1024} * 1024;

// --- set, delete

struct SetOptions {
  std::string vm, group, name, publisher, version, reference;
  std::optional<std::string> public_text, public_file, private_text, private_file;
  bool uninstall = false;
  unsigned timeout = 1800;
};

/// The object that an option gives, or a file; nullopt when neither is given.
std::optional<json> settings_from(const std::optional<std::string>& inline_text,
                                  const std::optional<std::string>& file, const char* option) {
  if (inline_text && file)
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("--{} and --{}-path say the same thing twice.", option, option),
                "Give one of them.");
  if (!inline_text && !file) return std::nullopt;
  const std::string where = file ? *file : "--" + std::string(option);
  const std::string document = file ? read_file(*file, largest_settings) : *inline_text;
  try {
    json settings = json::parse(document);
    if (settings.is_object()) return settings;
  } catch (const json::parse_error& error) {
    throw Error(
        ErrorKind::invalid, "InvalidParameter",
        fmt::format("{} is not JSON: an error at byte {} of {}.", where, error.byte, document.size()));
  }
  throw Error(ErrorKind::invalid, "InvalidParameter", fmt::format("{} is not a JSON object.", where),
              R"(Settings look like this: {"key": "value"}.)");
}

/// The extension of that handler that the VM has; a null document if it has none.
json find_extension_of(Session& session, const HostView& host, const std::string& handler) {
  for (const HostView::Extension& extension : host.extensions)
    if (same_name(extension.handler, handler))
      if (auto document = session.arm().find(extension_path(host, extension.name)))
        return *std::move(document);
  return nullptr;
}

void remove_extension(Session& session, const HostView& host, const std::string& name, bool force,
                      unsigned timeout) {
  const std::string path = extension_path(host, name);
  if (!session.arm().find(path))
    throw Error(ErrorKind::not_found, "ResourceNotFound",
                fmt::format("{} has no extension {}.", host.name, name),
                fmt::format("'azure vm extension get {}' shows those that it has.", host.name));
  const ArmAccepted accepted = session.arm().remove(path + (force ? "?forceDeletion=true" : ""));
  if (!force)
    session.await(accepted, path, fmt::format("Uninstalling {} from {}", name, host.name),
                  std::chrono::seconds(timeout));
  if (session.out.json_mode()) return session.out.json({{"deleted", name}, {"vm", host.name}});
  session.out.info(force ? fmt::format("{} is told to forget {}", host.name, name)
                         : fmt::format("{} no longer has {}", host.name, name));
}

void set_extension(Session& session, SetOptions& options) {
  const auto public_settings = settings_from(options.public_text, options.public_file, "public-config");
  const auto private_settings = settings_from(options.private_text, options.private_file, "private-config");
  wire::check_package_name({options.publisher, options.name, "1.0"});
  session.out.info("Getting virtual machines");
  const HostView host = get_host(session.arm(), options.vm, options.group);
  const json before = find_extension_of(session, host, options.publisher + "." + options.name);
  const std::string name = before.is_object()          ? text(before, {"name"})
                           : options.reference.empty() ? options.name
                                                       : options.reference;
  if (options.uninstall) return remove_extension(session, host, name, false, options.timeout);
  json properties = {{"publisher", options.publisher},
                     {"type", options.name},
                     {"typeHandlerVersion", options.version},
                     {"autoUpgradeMinorVersion", true},
                     {"settings", public_settings.value_or(at(before, {"properties", "settings"}))}};
  if (properties["settings"].is_null()) properties["settings"] = json::object();
  if (private_settings) properties["protectedSettings"] = *private_settings;
  const std::string path = extension_path(host, name);
  const json body = {{"location", host.location}, {"properties", std::move(properties)}};
  // A PUT without protected settings would take away those it has.
  const bool keeps = before.is_object() && !private_settings;
  const ArmAccepted accepted = keeps ? session.arm().patch(path, body) : session.arm().put(path, body);
  session.await(accepted, path,
                fmt::format("{} {} on {}", before.is_object() ? "Updating" : "Enabling", name, host.name),
                std::chrono::seconds(options.timeout));
  if (const auto view = find_extension_view(session, host, name)) show_extension(session, *view);
}

void extension_set(CommandLine& app, Session& session) {
  auto options = std::make_shared<SetOptions>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_option("extension-name", options->name, "Name of the extension")->required();
  app.add_option("publisher-name", options->publisher, "Its publisher")->required();
  app.add_option("version", options->version, "Its version: 1.0.0, 1.0 or 1.*")->required();
  const auto setting = [&app](const char* names, std::optional<std::string>& value, const char* type,
                              const char* description) {
    app.add_option(names, value, description)->type_name(type);
  };
  setting("-i,--public-config", options->public_text, "<json>", "Public settings [those it has]");
  setting("-c,--public-config-path", options->public_file, "<file>", "The same from a file");
  setting("-t,--private-config", options->private_text, "<json>", "Protected settings [those it has]");
  setting("-e,--private-config-path", options->private_file, "<file>", "The same from a file");
  app.add_option("-r,--reference-name", options->reference, "Name of the resource [extension-name]")
      ->type_name("<name>");
  app.add_flag("-u,--uninstall", options->uninstall, "Uninstall it");
  app.add_group(options->group);
  app.add_option("--timeout", options->timeout, "How long it may take [1800]")->type_name("<seconds>");
  app.callback([options, &session] {
    if (options->private_text) wipe_argument(session.argc, session.argv, *options->private_text);
    set_extension(session, *options);
  });
}

void extension_delete(CommandLine& app, Session& session) {
  struct Options {
    std::string vm, name, group;
    bool force = false;
    unsigned timeout = 1800;
  };
  auto options = std::make_shared<Options>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_option("name", options->name, "Name of the extension")->required();
  app.add_group(options->group);
  app.add_flag("--force", options->force, "Run none of its commands: the guest deletes its files");
  app.add_option("--timeout", options->timeout, "How long it may take [1800]")->type_name("<seconds>");
  app.callback([options, &session] {
    session.out.info("Getting virtual machines");
    remove_extension(session, get_host(session.arm(), options->vm, options->group), options->name,
                     options->force, options->timeout);
  });
}

// --- get

void get_extensions(Session& session, const std::string& vm, const std::string& group,
                    const std::string& name) {
  session.out.info("Getting virtual machines");
  const HostView host = get_host(session.arm(), vm, group);
  if (!name.empty()) {
    const auto view = find_extension_view(session, host, name);
    if (!view)
      throw Error(ErrorKind::not_found, "ResourceNotFound",
                  fmt::format("{} has no extension {}.", host.name, name),
                  fmt::format("'azure vm extension get {}' shows those that it has.", host.name));
    return show_extension(session, *view);
  }
  const std::vector<ordered_json> views = extension_views(session, host);
  if (session.out.json_mode()) return session.out.json(views);
  if (views.empty()) return session.out.info("No extensions found");
  std::vector<std::vector<std::string>> rows;
  for (const ordered_json& view : views)
    rows.push_back({view["publisher"], view["type"], view["name"], view.value("version", ""),
                    view["provisioningState"],
                    view.contains("status") ? view["status"].value("displayStatus", "") : std::string()});
  session.out.table({"Publisher", "Extension name", "ReferenceName", "Version", "State", "Status"}, rows);
}

void extension_get(CommandLine& app, Session& session) {
  struct Options {
    std::string vm, name, group;
  };
  auto options = std::make_shared<Options>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_option("name", options->name, "Name of the extension [all]");
  app.add_group(options->group);
  app.callback([options, &session] { get_extensions(session, options->vm, options->group, options->name); });
}

// --- logs

struct LogOptions {
  std::string vm, name, group, identity, password_file;
  std::size_t lines = 50;
};

void print_logs(Session& session, const LogOptions& options) {
  session.out.info("Getting virtual machines");
  const HostView host = get_host(session.arm(), options.vm, options.group);
  std::string handler;
  for (const HostView::Extension& extension : host.extensions)
    if (same_name(extension.name, options.name) || same_name(extension.handler, options.name))
      handler = extension.handler;
  // One that is gone left its log behind: name its handler in full.
  if (handler.empty() && options.name.find('.') != std::string::npos) handler = options.name;
  if (handler.empty())
    throw Error(ErrorKind::not_found, "ResourceNotFound",
                fmt::format("{} has no extension {}.", host.name, options.name),
                "The log of one that it had is there under PUBLISHER.NAME.");
  const wire::PackageName parts = wire::parse_package_name(handler);
  wire::check_package_name({parts.publisher, parts.type, "1.0"});
  LogAccess access{.identity = options.identity, .password = {}};
  if (!options.password_file.empty()) access.password = read_password(options.password_file);
  std::vector<GuestLog> logs;
  try {
    logs = read_guest_logs(host, handler, options.lines, access);
  } catch (const Error& error) {
    if (error.code != "SshRefused" || !access.password.empty() || !can_prompt()) throw;
    access.password = prompt_secret(fmt::format("Password of {} on {}: ", host.user, host.name), "");
    logs = read_guest_logs(host, handler, options.lines, access);
  }
  if (session.out.json_mode()) {
    ordered_json all = ordered_json::array();
    for (const GuestLog& log : logs) all.emplace_back(ordered_json{{"file", log.file}, {"lines", log.lines}});
    return session.out.json(all);
  }
  if (logs.empty()) return session.out.info(fmt::format("{} has no logs of {}", host.name, handler));
  for (const GuestLog& log : logs) {
    session.out.info(log.file);
    for (const std::string& line : log.lines) session.out.data(line);
  }
}

void extension_logs(CommandLine& app, Session& session) {
  auto options = std::make_shared<LogOptions>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_option("name", options->name, "Name of the extension, or PUBLISHER.NAME")->required();
  app.add_option("-n,--lines", options->lines, "How many lines of each file [50]")->type_name("<count>");
  app.add_option("-i,--identity", options->identity, "Private key to sign in with [those of ssh]")
      ->type_name("<file>");
  app.add_option("--password-file", options->password_file,
                 "File with the password; - for standard input; without it, keys are tried")
      ->type_name("<file>");
  app.add_group(options->group);
  app.callback([options, &session] { print_logs(session, *options); });
}

constexpr Command extension_table[] = {
    {"vm extension set", "Enable an extension on a virtual machine, or change its settings", &extension_set},
    {"vm extension get", "Show what the extensions of a virtual machine reported", &extension_get},
    {"vm extension logs", "Show the log of an extension, from inside the virtual machine", &extension_logs},
    {"vm extension delete", "Uninstall an extension from a virtual machine", &extension_delete},
};

}  // namespace

std::span<const Command> extension_commands() {
  return extension_table;
}

}  // namespace berth
