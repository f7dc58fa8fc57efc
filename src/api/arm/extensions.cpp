#include "api/arm/extensions.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/groups.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"
#include "base/error.h"

namespace berth::arm {
namespace {

/// What the handler said about these very settings; nullptr while it has not.
const HandlerStatus* reported(const Vm& vm, const Extension& extension) {
  if (!vm.agent) return nullptr;
  const auto found = std::ranges::find_if(vm.agent->handlers, [&](const HandlerStatus& handler) {
    return same_name(handler.handler, extension.handler());
  });
  return found == vm.agent->handlers.end() ? nullptr : &*found;
}

std::string_view level_of(std::string_view status) {
  return status == "error" ? "Error" : status == "warning" ? "Warning" : "Info";
}

void write_extension_status(JsonText& out, std::string_view code, std::string_view level,
                            std::string_view display, std::string_view message, std::string_view time) {
  out.open().put("code", code).put("level", level).put("displayStatus", display).put_if("message", message);
  out.put_if("time", time).close();
}

void write_substatus(JsonText& out, const StatusItem& item) {
  write_extension_status(out,
                         fmt::format("ComponentStatus/{}/{}", item.name.empty() ? "substatus" : item.name,
                                     item.status == "success" ? "succeeded" : item.status),
                         level_of(item.status),
                         item.status == "success" ? "Provisioning succeeded"
                         : item.status == "error" ? "Provisioning failed"
                                                  : item.status,
                         item.message, {});
}

}  // namespace

ExtensionOrder parse_extension(const nlohmann::json& body, const Extension* before) {
  const Field document(body);
  document.require_object();
  const Field properties = document["properties"];
  properties.require_object();
  ExtensionOrder order;
  order.tags = document["tags"].tags();
  order.kept = kept_members(extension_type, body);
  order.publisher =
      before ? properties["publisher"].text(before->publisher) : properties["publisher"].required_text();
  order.type = before ? properties["type"].text(before->type) : properties["type"].required_text();
  order.version = before ? properties["typeHandlerVersion"].text(before->version_wanted)
                         : properties["typeHandlerVersion"].text();
  if (before && (!same_name(order.publisher, before->publisher) || !same_name(order.type, before->type)))
    throw Error(ErrorKind::conflict, "BadRequest",
                fmt::format("The extension '{}' is {} and cannot become {}.{}.", before->name,
                            before->handler(), order.publisher, order.type),
                "Delete it first, or give the new one another name.");
  order.auto_upgrade = properties["autoUpgradeMinorVersion"].flag(true);
  if (!properties["settings"].missing()) properties["settings"].require_object();
  order.settings = properties["settings"].as_json();
  const Field protected_settings = properties["protectedSettings"];
  order.has_protected_settings = !protected_settings.missing();
  if (order.has_protected_settings) {
    protected_settings.require_object();
    order.protected_settings = Secret(protected_settings.as_json());
  }
  order.force_update_tag = properties["forceUpdateTag"].text();
  order.after = properties["provisionAfterExtensions"].texts();
  order.suppress_failures = properties["suppressFailures"].flag(false);
  return order;
}

void write_extension_view(JsonText& out, std::string_view key, const Vm& vm, const Extension& extension) {
  const HandlerStatus* handler = reported(vm, extension);
  const bool is_current = handler && handler->sequence == extension.sequence && handler->settings;
  out.open(key)
      .put("name", extension.name)
      .put("type", extension.handler())
      .put("typeHandlerVersion", handler && !handler->version.empty() ? handler->version : extension.version);
  if (handler && handler->sequence) out.put("sequenceNumber", *handler->sequence);  // ours: what it speaks of
  if (is_current && !handler->substatus.empty()) {
    out.open_list("substatuses");
    for (const StatusItem& item : handler->substatus) write_substatus(out, item);
    out.close_list();
  }
  out.open_list("statuses");
  // Where a command failed before it wrote a status, the agent reports one of its own that says
  // "transitioning".
  const bool is_last_word =
      is_current && !(extension.problem && handler->settings->status == "transitioning");
  if (is_last_word) {
    const StatusItem& item = *handler->settings;
    const bool failed = item.status == "error";
    const std::string code = failed ? fmt::format("ProvisioningState/failed/{}", item.code)
                             : item.status == "success" || item.status == "warning"
                                 ? "ProvisioningState/succeeded"
                                 : "ProvisioningState/transitioning";
    write_extension_status(out, code, level_of(item.status),
                           failed                                  ? "Provisioning failed"
                           : code == "ProvisioningState/succeeded" ? "Provisioning succeeded"
                                                                   : "Transitioning",
                           item.message, handler->time);
  } else if (extension.problem) {
    write_extension_status(out, "ProvisioningState/failed/1", "Error", "Provisioning failed",
                           extension.problem->message, {});
  } else {
    write_extension_status(
        out, "ProvisioningState/transitioning", "Info", "Transitioning",
        handler && !handler->message.empty() ? handler->message : "The guest has not reported yet.", {});
  }
  out.close_list().close();
}

namespace {

void write_own_extension(JsonText& out, const Vm& vm, const Extension& extension,
                         std::string_view subscription, bool instance_view) {
  out.open()
      .put("id", make_id(subscription, vm.group, extension_type, vm.name + "/" + extension.name))
      .put("name", extension.name)
      .put("type", extension_type)
      .put("location", vm.location);
  write_tags(out, extension.tags);
  out.open("properties")
      .put("provisioningState", to_string(extension.provisioning))
      .put("publisher", extension.publisher)
      .put("type", extension.type)
      .put("typeHandlerVersion",
           extension.version_wanted.empty() ? extension.version : extension.version_wanted)
      .put("autoUpgradeMinorVersion", extension.auto_upgrade);
  out.put_if("forceUpdateTag", extension.force_update_tag);
  out.put("suppressFailures", extension.suppress_failures);
  if (!extension.after.empty()) {
    out.open_list("provisionAfterExtensions");
    for (const std::string& name : extension.after) out.item(name);
    out.close_list();
  }
  out.raw("settings", extension.settings.empty() ? "{}" : std::string_view(extension.settings));
  if (instance_view) write_extension_view(out, "instanceView", vm, extension);
  out.close().close();
}

}  // namespace

void write_extension(JsonText& out, const Vm& vm, const Extension& extension, std::string_view subscription,
                     bool instance_view) {
  write_with_kept(out, extension.kept, [&](JsonText& own) {
    write_own_extension(own, vm, extension, subscription, instance_view);
  });
}

}  // namespace berth::arm
