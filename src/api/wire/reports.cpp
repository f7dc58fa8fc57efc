#include "api/wire/reports.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>

#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::wire {
namespace {

using Json = nlohmann::json;

constexpr std::size_t longest_name = 256;
constexpr std::size_t longest_message = std::size_t{16} * 1024;
constexpr std::size_t longest_list = 100;  // handlers, substatuses, events
constexpr int deepest_json = 32;

[[noreturn]] void refuse(const std::string& happened) {
  throw Error(ErrorKind::invalid, "InvalidGuestReport", happened);
}

/// Length of the well-formed UTF-8 sequence at the front; 0 when there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  const unsigned char second = at(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool surrogate = first == 0xed && second > 0x9f;
  const bool too_high = first == 0xf4 && second > 0x8f;
  return overlong || surrogate || too_high ? 0 : length;
}

/// At most `limit` bytes of it, in valid UTF-8, without control characters but line ends and tabs.
std::string clean(std::string_view text, std::size_t limit) {
  std::string cleaned;
  while (!text.empty() && cleaned.size() < limit) {
    const std::size_t length = utf8_length(text);
    const char c = text.front();
    if (length == 0)
      cleaned += "\xef\xbf\xbd";
    else if (length > 1 || c == '\n' || c == '\t' || (c >= 0x20 && c != 0x7f))
      cleaned += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return cleaned;
}

/// Throws on what is no JSON, and on nesting that would cost far more memory than the text itself.
Json parse_json(std::string_view text, std::string_view what) {
  try {
    return Json::parse(text, [](int depth, Json::parse_event_t, Json&) {
      if (depth > deepest_json) throw std::length_error("nested too deeply");
      return true;
    });
  } catch (const std::exception&) {
    refuse(fmt::format("The guest's {} is not JSON.", what));
  }
}

/// The member, or null when there is none or `object` is something else.
const Json& member(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found == object.end() ? null : *found;
}

/// Strings as they are, numbers as text; anything else is "".
std::string text(const Json& value, std::size_t limit = longest_name) {
  if (value.is_string()) return clean(value.get_ref<const std::string&>(), limit);
  return value.is_number() ? value.dump() : "";
}

/// Numbers, also as text; what does not fit becomes the nearest that does.
std::optional<int> number(const Json& value) {
  constexpr std::int64_t low = std::numeric_limits<int>::min(), high = std::numeric_limits<int>::max();
  if (value.is_number_unsigned())
    return static_cast<int>(std::min<std::uint64_t>(value.get<std::uint64_t>(), high));
  if (value.is_number_integer()) return static_cast<int>(std::clamp(value.get<std::int64_t>(), low, high));
  if (value.is_number_float()) return static_cast<int>(std::clamp<double>(value.get<double>(), low, high));
  if (!value.is_string()) return std::nullopt;
  const std::string& digits = value.get_ref<const std::string&>();
  int parsed = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), parsed);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(parsed) : std::nullopt;
}

/// Messages stand in "formattedMessage" or, in the agent's own reports, directly in "message".
std::string message(const Json& status) {
  const Json& formatted = member(status, "formattedMessage");
  return text(member(formatted.is_object() ? formatted : status, "message"), longest_message);
}

/// Calls `take` with each element of a list, up to a limit; with none for what is no list.
template <class Take>
void for_each(const Json& list, Take take) {
  if (!list.is_array()) return;
  for (std::size_t i = 0; i < std::min(list.size(), longest_list); ++i) take(list[i]);
}

StatusItem parse_item(const Json& status) {
  StatusItem item;
  item.name = text(member(status, "name"));
  item.status = text(member(status, "status"));
  item.code = number(member(status, "code")).value_or(0);
  item.message = message(status);
  return item;
}

HandlerStatus parse_handler(const Json& json) {
  HandlerStatus handler;
  handler.handler = text(member(json, "handlerName"));
  handler.version = text(member(json, "handlerVersion"));
  handler.status = text(member(json, "status"));
  handler.code = number(member(json, "code")).value_or(0);
  handler.message = message(json);
  const Json& runtime = member(json, "runtimeSettingsStatus");
  handler.sequence = number(member(runtime, "sequenceNumber"));
  const Json& report = member(runtime, "settingsStatus");
  const Json& status = member(report, "status");
  if (!status.is_object()) return handler;
  handler.time = text(member(report, "timestampUTC"));
  handler.operation = text(member(status, "operation"));
  handler.settings = parse_item(status);
  for_each(member(status, "substatus"),
           [&](const Json& substatus) { handler.substatus.push_back(parse_item(substatus)); });
  return handler;
}

pugi::xml_document parse_xml(std::string_view xml, std::string_view what) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8))
    refuse(fmt::format("The guest's {} is not XML.", what));
  return document;
}

}  // namespace

HealthReport parse_health(std::string_view xml) {
  const pugi::xml_document document = parse_xml(xml, "health report");
  const auto read = [](pugi::xml_node parent, const char* name, std::size_t limit = longest_name) {
    return clean(parent.child_value(name), limit);
  };
  const auto require = [&](pugi::xml_node parent, const char* name) {
    if (!parent.child(name)) refuse(fmt::format("The guest's health report has no {}.", name));
    return read(parent, name);
  };
  const pugi::xml_node root = document.child("Health"), container = root.child("Container");
  const pugi::xml_node role = container.child("RoleInstanceList").child("Role");
  const pugi::xml_node health = role.child("Health"), details = health.child("Details");
  HealthReport report;
  report.incarnation = require(root, "GoalStateIncarnation");
  report.container_id = require(container, "ContainerId");
  report.instance_id = require(role, "InstanceId");
  report.state = require(health, "State");
  report.substatus = read(details, "SubStatus");
  report.description = read(details, "Description", longest_message);
  return report;
}

std::optional<std::string> parse_status_upload(std::string_view json) {
  const Json upload = parse_json(json, "status upload");
  const Json& content = member(upload, "content");
  if (!upload.is_object() || !(content.is_null() || content.is_string()))
    refuse("The guest's status upload is not an object with \"content\".");
  if (content.is_null()) return std::nullopt;
  std::optional<std::string> status = base64_decode(content.get_ref<const std::string&>());
  if (!status) refuse("The content of the guest's status upload is not base64.");
  while (!status->empty() && (status->back() == ' ' || status->back() == '\0')) status->pop_back();
  if (status->empty()) return std::nullopt;
  return status;
}

AgentStatus parse_status(std::string_view json) {
  while (!json.empty() && (json.back() == ' ' || json.back() == '\0')) json.remove_suffix(1);
  const Json document = parse_json(json, "status");
  const Json& aggregate = member(document, "aggregateStatus");
  if (!aggregate.is_object()) refuse("The guest's status has no aggregateStatus.");
  const Json& agent = member(aggregate, "guestAgentStatus");
  const Json& system = member(document, "guestOSInfo");
  const Json& goal_state =
      member(member(aggregate, "vmArtifactsAggregateStatus"), "goalStateAggregateStatus");
  AgentStatus status;
  status.version = text(member(agent, "version"));
  status.status = text(member(agent, "status"));
  status.message = message(agent);
  status.os_name = text(member(system, "osName"));
  status.os_version = text(member(system, "osVersion"));
  status.computer_name = text(member(system, "computerName"));
  status.incarnation = text(member(goal_state, "inSvdSeqNo"));
  status.time = text(member(document, "timestampUTC"));
  for_each(member(aggregate, "handlerAggregateStatus"),
           [&](const Json& handler) { status.handlers.push_back(parse_handler(handler)); });
  return status;
}

std::vector<TelemetryEvent> parse_telemetry(std::string_view xml) {
  const pugi::xml_document document = parse_xml(xml, "telemetry");
  std::vector<TelemetryEvent> events;
  for (const pugi::xml_node provider : document.child("TelemetryData").children("Provider")) {
    for (const pugi::xml_node node : provider.children("Event")) {
      if (events.size() >= longest_list) return events;
      pugi::xml_document params;  // the text of an event is XML again, without a root
      params.load_string(node.child_value(), pugi::parse_default | pugi::parse_fragment);
      const auto value = [&](const char* name, std::size_t limit = longest_name) {
        return clean(params.find_child_by_attribute("Param", "Name", name).attribute("Value").value(), limit);
      };
      TelemetryEvent event;
      event.name = value("Name");
      event.version = value("Version");
      event.operation = value("Operation");
      event.message = value("Message", longest_message);
      event.succeeded = value("OperationSuccess") != "False";
      events.push_back(std::move(event));
    }
  }
  return events;
}

std::vector<std::string> unhealthy_observations(std::string_view json) {
  const Json report = parse_json(json, "health observation");
  std::vector<std::string> names;
  for_each(member(report, "Observations"), [&](const Json& observation) {
    const Json& healthy = member(observation, "IsHealthy");
    if (healthy.is_boolean() && !healthy.get<bool>())
      names.push_back(text(member(observation, "ObservationName")));
  });
  return names;
}

}  // namespace berth::wire
