#include "api/arm/run_commands.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "api/arm/document.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "crypto/encoding.h"
#include "model/names.h"

namespace berth::arm {
namespace {

using nlohmann::json;

struct KnownCommand {
  std::string_view id, label, description;
  std::vector<std::string_view> script;
  bool takes_script = false;
};

const std::array<KnownCommand, 3>& known_commands() {
  static const std::array<KnownCommand, 3> known{{
      {"RunShellScript",
       "Executes a Linux shell script",
       "Custom Linux shell script can be defined in script property and executed.",
       {"echo This is a sample script", "echo Optional parameters: $1 $2"},
       true},
      {"ifconfig",
       "List network configuration",
       "Get the configuration of all network interfaces.",
       {"ifconfig -a 2>/dev/null || ip address"}},
      {"RemoveRunCommandLinuxExtension",
       "Remove the RunCommand extension",
       "Remove the RunCommand extension for Linux from the VM.",
       {}},
  }};
  return known;
}

constexpr std::size_t largest_script = 190u << 10;  // the handler takes 256 KiB of base64

const KnownCommand* find_command(std::string_view id) {
  const auto& all = known_commands();
  const auto found =
      std::ranges::find_if(all, [&](const KnownCommand& one) { return same_name(one.id, id); });
  return found == all.end() ? nullptr : &*found;
}

void write_head(JsonText& out, const KnownCommand& command) {
  out.put("$schema", "http://schema.management.azure.com/schemas/2016-11-17/runcommands.json");
  out.put("id", command.id)
      .put("osType", "Linux")
      .put("label", command.label)
      .put("description", command.description);
}

std::string joined(const std::vector<std::string_view>& lines) {
  return fmt::format("{}\n", fmt::join(lines, "\n"));
}

std::string script_of(const KnownCommand& command, const Field& given) {
  const std::vector<std::string> lines = given.texts();
  if (lines.empty()) return joined(command.script);
  if (!command.takes_script)
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("Run command '{}' takes no script.", command.id),
                "Leave it out, or use RunShellScript.");
  std::string script = joined({lines.begin(), lines.end()});
  if (script.size() > largest_script)
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("The script has {} bytes; at most {} are taken.", script.size(), largest_script));
  return script;
}

}  // namespace

void write_run_command_list(JsonText& out) {
  out.open().open_list("value");
  for (const KnownCommand& command : known_commands()) {
    out.open();
    write_head(out, command);
    out.close();
  }
  out.close_list().close();
}

std::optional<std::string> run_command_document(std::string_view id) {
  const KnownCommand* command = find_command(id);
  if (!command) return std::nullopt;
  JsonText out;
  out.open();
  write_head(out, *command);
  out.open_list("script");
  for (const std::string_view line : command->script) out.item(line);
  out.close_list();
  out.open_list("parameters");
  if (command->takes_script)
    for (const char* name : {"arg1", "arg2"})
      out.open()
          .put("name", name)
          .put("type", "string")
          .put("defaultValue", "")
          .put("required", false)
          .close();
  out.close_list().close();
  return out.take();
}

RunCommandOrder parse_run_command(const json& body) {
  const Field document(body);
  document.require_object();
  const std::string id = document["commandId"].required_text();
  const KnownCommand* command = find_command(id);
  if (!command)
    throw Error(ErrorKind::not_found, "NotFound",
                fmt::format("Run command '{}' was not found.", id.substr(0, 80)),
                "Those for Linux are RunShellScript, ifconfig and RemoveRunCommandLinuxExtension.");
  RunCommandOrder order;
  if (command->script.empty()) {
    order.removes_handler = true;
    return order;
  }
  json settings = {{"script", base64_encode(script_of(*command, document["script"]))},
                   {"parameters", json::array()}};
  for (const Field& parameter : document["parameters"].items()) {
    parameter.require_object();
    settings["parameters"].push_back(
        {{"name", parameter["name"].required_text()}, {"value", parameter["value"].text()}});
  }
  order.settings = Secret(dump(settings));
  return order;
}

void write_run_command_result(JsonText& out, std::string_view key, std::string_view output) {
  out.open(key).open_list("value").open();
  out.put("code", "ProvisioningState/succeeded")
      .put("level", "Info")
      .put("displayStatus", "Provisioning succeeded");
  out.put("message", output).close().close_list().close();
}

}  // namespace berth::arm
