#include "cli/extension/view.h"

#include <fmt/format.h>

#include "cli/arm/json_view.h"
#include "model/names.h"

namespace berth {

using nlohmann::json;
using nlohmann::ordered_json;

std::string extension_path(const HostView& host, const std::string& name) {
  return fmt::format("{}/extensions/{}", host.path(), name);
}

namespace {

ordered_json status_json(const json& status) {
  ordered_json out = ordered_json::object();
  for (const char* key : {"code", "level", "displayStatus", "message", "time"})
    if (status.contains(key)) out[key] = status[key];
  return out;
}

/// One extension: what was asked for, and what the guest agent reported.
ordered_json extension_view(const json& vm, const json& resource) {
  std::string name = text(resource, {"name"});
  if (const auto slash = name.find('/'); slash != std::string::npos) name.erase(0, slash + 1);
  const json& wanted = at(resource, {"properties"});
  const std::string handler = text(wanted, {"publisher"}) + "." + text(wanted, {"type"});
  ordered_json view = {{"name", name},
                       {"publisher", text(wanted, {"publisher"})},
                       {"type", text(wanted, {"type"})},
                       {"versionWanted", text(wanted, {"typeHandlerVersion"})},
                       {"provisioningState", text(wanted, {"provisioningState"})},
                       {"settings", ordered_json::parse(at(wanted, {"settings"}).dump())},
                       {"substatuses", ordered_json::array()}};
  for (const json& item : at(vm, {"properties", "instanceView", "extensions"})) {
    if (!same_name(text(item, {"name"}), name)) continue;
    view["version"] = text(item, {"typeHandlerVersion"});
    if (item.contains("sequenceNumber")) view["sequenceNumber"] = item["sequenceNumber"];
    const json& statuses = at(item, {"statuses"});
    if (statuses.is_array() && !statuses.empty()) view["status"] = status_json(statuses.front());
    const json& parts = at(item, {"substatuses"});
    if (parts.is_array())
      for (const json& part : parts) view["substatuses"].push_back(status_json(part));
  }
  for (const json& item : at(vm, {"properties", "instanceView", "vmAgent", "extensionHandlers"}))
    if (same_name(text(item, {"type"}), handler)) {
      view["handlerVersion"] = text(item, {"typeHandlerVersion"});
      view["handlerStatus"] = status_json(at(item, {"status"}));
    }
  return view;
}

std::string said(const ordered_json& status) {
  const std::string shown = status.value("displayStatus", ""), message = status.value("message", "");
  return message.empty() ? shown : shown + ": " + message;
}

/// "tls" of "ComponentStatus/tls/succeeded".
std::string part_name(const ordered_json& status) {
  const std::string code = status.value("code", "");
  const auto first = code.find('/'), last = code.rfind('/');
  return first == last ? code : code.substr(first + 1, last - first - 1);
}

}  // namespace

std::vector<ordered_json> extension_views(Session& session, const HostView& host) {
  const json vm = session.arm().get(host.path() + "?$expand=instanceView");
  std::vector<ordered_json> views;
  const json& resources = at(vm, {"resources"});
  if (resources.is_array())
    for (const json& resource : resources) views.push_back(extension_view(vm, resource));
  return views;
}

std::optional<ordered_json> find_extension_view(Session& session, const HostView& host,
                                                const std::string& name) {
  for (ordered_json& view : extension_views(session, host))
    if (same_name(view["name"].get<std::string>(), name)) return std::move(view);
  return std::nullopt;
}

void show_extension(Session& session, const ordered_json& view) {
  if (session.out.json_mode()) return session.out.json(view);
  std::vector<std::pair<std::string, std::string>> rows;
  const auto row = [&rows](const std::string& key, std::string value) {
    while (value.ends_with('\n')) value.pop_back();
    // A message may have lines of its own: they stand below each other.
    for (std::size_t begin = 0; begin <= value.size() && !value.empty();) {
      const std::size_t end = std::min(value.find('\n', begin), value.size());
      rows.emplace_back(begin == 0 ? key : "  ", value.substr(begin, end - begin));
      begin = end + 1;
    }
  };
  row("Name", view["name"]);
  row("Handler", view["publisher"].get<std::string>() + "." + view["type"].get<std::string>());
  row("Version", fmt::format("{} (wanted: {})", view.value("version", ""), view.value("versionWanted", "")));
  row("Provisioning state", view["provisioningState"]);
  if (view.contains("sequenceNumber")) row("Sequence number", view["sequenceNumber"].dump());
  if (view.contains("status")) {
    row("Status", said(view["status"]));
    row("Reported", view["status"].value("time", ""));
  }
  for (const ordered_json& part : view["substatuses"]) row("Substatus " + part_name(part), said(part));
  if (view.contains("handlerStatus"))
    row("Agent says", said(view["handlerStatus"]));
  else
    row("Agent says", "nothing about this handler");
  row("Settings", view["settings"].dump());
  session.out.pairs(rows);
}

}  // namespace berth
