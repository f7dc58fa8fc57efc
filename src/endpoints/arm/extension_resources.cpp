#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/identities.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"

/// Resources that are about another one, a group or the subscription: locks and tags, which are honoured; role
/// assignments and diagnostic settings, which are kept and given back. They go with what they are about.
namespace berth::arm {
namespace {

using nlohmann::json;

constexpr const char* extension_table = "arm-extension";  ///< by lower case id
constexpr std::string_view lock_type = "Microsoft.Authorization/locks";
constexpr std::string_view tags_type = "Microsoft.Resources/tags";
constexpr std::string_view kept_types[] = {
    "Microsoft.Authorization/roleAssignments", "Microsoft.Authorization/roleDefinitions",
    "Microsoft.Insights/diagnosticSettings", "Microsoft.Insights/dataCollectionRuleAssociations",
    "Microsoft.Maintenance/configurationAssignments"};

/// The document of what it is about; "" for a group and the subscription. Throws Error(not_found), and Error(invalid)
/// for what is itself about something: each level would ask for all those below it.
std::string subject_document(Arm& arm, const ResourceId& id) {
  if (id.group.empty()) return {};
  arm.region.groups().get(id.group);
  if (id.scope.empty()) return {};
  const auto subject = ResourceId::parse(id.scope);
  if (subject && (!subject->scope.empty() || is_extension_resource(subject->type())))
    throw Error(ErrorKind::invalid, "InvalidScope",
                fmt::format("'{}' cannot be about '{}', which is about another resource itself.", id.type(),
                            subject->type()));
  auto document = subject ? show_resource(arm, *subject, {}) : std::nullopt;
  if (!document)
    throw Error(
        ErrorKind::not_found, "ResourceNotFound",
        fmt::format("The resource '{}', which '{}' is about, was not found.", id.scope, id.full_name()),
        "Create it first.");
  return std::move(*document);
}

/// Those of a type, by their keys: nothing is parsed that is not asked for, and nothing that is damaged.
void each_of_type(const Arm& arm, std::string_view type,
                  const std::function<void(const std::string& key, const json& document)>& look) {
  const std::string part = fmt::format("/providers/{}/", lower(type));
  arm.region.documents().each(extension_table, [&](const std::string& key, const std::string& text) {
    if (key.find(part) == std::string::npos) return;
    const json document = json::parse(text, nullptr, false);
    if (document.is_object() && same_name(document.value("type", ""), type)) look(key, document);
  });
}

bool is_of_type(const std::string& key, std::string_view type) {
  const auto id = ResourceId::parse(key);
  return id && id->is(type);
}

/// For kinds whose documents others look through.
constexpr std::size_t largest_small_document = 16 * 1024;

std::optional<std::string> show_extended(Arm& arm, const ResourceId& id, const View&) {
  return arm.region.documents().find(extension_table, lower(id.text()));
}

json extended_properties(const json& body, const ResourceId& id) {
  const Field properties = Field(body)["properties"];
  if (properties.missing()) return json::object();
  properties.require_object();
  json made = properties.value();
  if (id.is(lock_type)) {
    const std::string level = properties["level"].required_text();
    if (!same_name(level, "CanNotDelete") && !same_name(level, "ReadOnly"))
      properties["level"].refuse("'CanNotDelete' or 'ReadOnly'");
    made = {{"level", same_name(level, "ReadOnly") ? "ReadOnly" : "CanNotDelete"}};
    if (const std::string notes = properties["notes"].text(); !notes.empty()) made["notes"] = notes;
  }
  if (id.is(kept_types[0]) && !properties["principalId"].missing())
    made["principalId"] = properties["principalId"].text();
  if ((id.is(lock_type) || id.is(kept_types[0])) && dump(made).size() > largest_small_document)
    throw Error(ErrorKind::invalid, "RequestContentTooLarge",
                fmt::format("'{}' has more than {} KiB of properties.", id.full_name(),
                            largest_small_document / 1024));
  return made;
}

Applied put_extended(Arm& arm, const ResourceId& id, const json& body) {
  Field(body).require_object();
  check_resource_name(id.name(), id.type());
  if (!id.group.empty()) arm.region.groups().check_stays(id.group);
  subject_document(arm, id);
  json made = {{"id", id.text()},
               {"name", id.full_name()},
               {"type", id.type()},
               {"properties", extended_properties(body, id)}};
  if (id.is(lock_type) && !made["properties"].contains("level"))
    throw Error(ErrorKind::invalid, "InvalidRequestContent", "The lock has no 'properties.level'.");
  if (!id.is(lock_type)) made["properties"]["scope"] = id.about();
  const std::string key = lower(id.text());
  const bool created = !arm.region.documents().find(extension_table, key);
  arm.region.documents().keep(extension_table, key, dump(made));
  return {.document = dump(made), .created = created, .operation = {}};
}

std::optional<std::string> remove_extended(Arm& arm, const ResourceId& id, const Request*) {
  const std::string key = lower(id.text());
  if (!arm.region.documents().find(extension_table, key)) return std::nullopt;
  arm.region.documents().drop(extension_table, key);
  return "";
}

Kind extended_kind(std::string_view type) {
  Kind kind;
  kind.type = type;
  kind.show = show_extended;
  kind.put = put_extended;
  kind.remove = remove_extended;
  return kind;
}

Kind kept_kind(std::string_view type) {
  Kind kind = extended_kind(type);
  kind.has_effect = false;
  return kind;
}

// --- tags

/// The document of what the tags are of. Throws Error(not_found).
json tagged_document(Arm& arm, const ResourceId& tags) {
  if (!same_name(tags.name(), "default"))
    throw Error(ErrorKind::not_found, "NotFound", "The tags of a resource have the name 'default'.");
  if (tags.group.empty())
    throw Error(ErrorKind::invalid, "OperationNotAllowed",
                "The subscription has no tags in the local region: it is not kept as a resource.",
                "Tag its resource groups.");
  if (tags.scope.empty()) {
    json known = json::object();
    for (const auto& [key, value] : arm.region.groups().get(tags.group).tags) known[key] = value;
    return {{"tags", known}};
  }
  return json::parse(subject_document(arm, tags));
}

std::string tags_document(const ResourceId& id, const json& tags) {
  return dump({{"id", id.text()},
               {"name", "default"},
               {"type", tags_type},
               {"properties", {{"tags", tags.is_object() ? tags : json::object()}}}});
}

Applied set_tags(Arm& arm, const ResourceId& id, const json& wanted) {
  json whole = tagged_document(arm, id);
  whole["tags"] = wanted;
  const Tags tags = Field(whole)["tags"].tags();
  if (id.scope.empty()) {
    const ResourceGroup group = arm.region.groups().get(id.group);
    arm.region.groups().put(group.name, group.location, tags);
    return {.document = tags_document(id, wanted), .created = false, .operation = {}};
  }
  const ResourceId subject = *ResourceId::parse(id.scope);
  const Kind& kind = get_kind(subject.type());
  if (!kind.put || !kind.find)
    throw Error(ErrorKind::invalid, "OperationNotAllowed", fmt::format("'{}' has no tags.", subject.type()));
  const Applied applied = (kind.patch ? kind.patch : kind.put)(arm, subject, whole);
  return {.document = tags_document(id, wanted), .created = false, .operation = applied.operation};
}

json given_tags(const json& body) {
  const Field tags = Field(body)["properties"]["tags"];
  tags.tags();  // refuses what is none
  return tags.missing() ? json::object() : tags.value();
}

Kind tags_kind() {
  Kind kind;
  kind.type = tags_type;
  kind.show = [](Arm& arm, const ResourceId& id, const View&) -> std::optional<std::string> {
    return tags_document(id, tagged_document(arm, id).value("tags", json::object()));
  };
  kind.put = [](Arm& arm, const ResourceId& id, const json& body) {
    return set_tags(arm, id, given_tags(body));
  };
  kind.remove = [](Arm& arm, const ResourceId& id, const Request*) -> std::optional<std::string> {
    return set_tags(arm, id, json::object()).operation;
  };
  return kind;
}

// --- the identity of a machine, as templates ask for it below the machine

Kind identity_kind() {
  Kind kind;
  kind.type = "Microsoft.ManagedIdentity/identities";
  kind.show = [](Arm& arm, const ResourceId& id, const View&) -> std::optional<std::string> {
    const auto subject = ResourceId::parse(id.scope);
    const Vm* vm = subject && subject->is("Microsoft.Compute/virtualMachines")
                       ? arm.region.machines().find(subject->ref())
                       : nullptr;
    if (!vm || !identities_of(*vm).system) return std::nullopt;
    const Principal known = principal_of(*vm, arm.subscription());
    return dump(
        {{"id", id.text()},
         {"name", id.name()},
         {"type", id.type()},
         {"properties",
          {{"principalId", known.principal}, {"clientId", known.client}, {"tenantId", arm.access.tenant}}}});
  };
  return kind;
}

/// {"operation": "Merge" | "Replace" | "Delete", "properties": {"tags"}}
Applied change_tags(Arm& arm, const ResourceId& id, const json& change) {
  const std::string operation = Field(change)["operation"].required_text();
  json tags = tagged_document(arm, id).value("tags", json::object());
  const json given = given_tags(change);
  if (same_name(operation, "Replace")) {
    tags = given;
  } else if (same_name(operation, "Merge")) {
    tags.update(given);
  } else if (same_name(operation, "Delete")) {
    for (const auto& [key, value] : given.items())
      if (const auto known = tags.find(key); known != tags.end() && *known == value) tags.erase(known);
  } else {
    Field(change)["operation"].refuse("'Merge', 'Replace' or 'Delete'");
  }
  return set_tags(arm, id, tags);
}

/// Of a request whose path names an extension resource of the subscription, or of what is in a group.
ResourceId extended_id(const Request& request) {
  const auto id = ResourceId::parse(request.path);
  if (!id) throw Error(ErrorKind::invalid, "InvalidResourceNamespace", "The address names no resource.");
  return *id;
}

// --- children that are kept and given back, with no effect: what templates make below resources that have none either

constexpr std::string_view kept_children[] = {"Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
                                              "Microsoft.Network/routeTables/routes",
                                              "Microsoft.Storage/storageAccounts/blobServices",
                                              "Microsoft.Storage/storageAccounts/blobServices/containers",
                                              "Microsoft.Storage/storageAccounts/fileServices",
                                              "Microsoft.Storage/storageAccounts/fileServices/shares",
                                              "Microsoft.Storage/storageAccounts/queueServices",
                                              "Microsoft.Storage/storageAccounts/tableServices",
                                              "Microsoft.Storage/storageAccounts/managementPolicies",
                                              "Microsoft.Network/networkWatchers/flowLogs",
                                              "Microsoft.Network/networkWatchers/connectionMonitors",
                                              "Microsoft.Network/networkWatchers/packetCaptures",
                                              "Microsoft.OperationalInsights/workspaces/dataSources",
                                              "Microsoft.OperationalInsights/workspaces/savedSearches",
                                              "Microsoft.OperationalInsights/workspaces/linkedServices",
                                              "Microsoft.OperationalInsights/workspaces/tables"};

Applied put_child(Arm& arm, const ResourceId& id, const json& body) {
  Field(body).require_object();
  check_resource_name(id.name(), id.type());
  ResourceId top = id;
  top.segments.resize(1);
  arm.region.groups().check_stays(id.group);
  if (!show_resource(arm, top, {})) throw parent_not_found(id.type(), id.full_name(), top.full_name());
  json made = {{"id", id.text()}, {"name", id.name()}, {"type", id.type()}, {"properties", json::object()}};
  if (const Field properties = Field(body)["properties"]; !properties.missing()) {
    properties.require_object();
    made["properties"] = properties.value();
  }
  made["properties"]["provisioningState"] = "Succeeded";
  const std::string key = lower(id.text());
  const bool created = !arm.region.documents().find(extension_table, key);
  arm.region.documents().keep(extension_table, key, dump(made));
  return {.document = dump(made), .created = created, .operation = {}};
}

Kind child_kind(std::string_view type) {
  Kind kind = kept_kind(type);
  kind.put = put_child;
  kind.children = [type](Arm& arm, const ResourceId& parent) {
    std::vector<std::string> documents;
    for (auto& [key, text] : arm.region.documents().list(extension_table, lower(parent.text()) + "/"))
      if (is_of_type(key, type)) documents.push_back(text);
    return documents;
  };
  return kind;
}

}  // namespace

std::vector<Kind> extension_resource_kinds() {
  std::vector<Kind> all{extended_kind(lock_type), tags_kind(), identity_kind()};
  for (const std::string_view type : kept_types) all.push_back(kept_kind(type));
  for (const std::string_view type : kept_children) all.push_back(child_kind(type));
  return all;
}

bool is_extension_resource(std::string_view type) {
  return same_name(type, lock_type) || same_name(type, tags_type) ||
         std::ranges::any_of(kept_types, [&](std::string_view kept) { return same_name(kept, type); });
}

std::optional<Applied> patch_extension_resource(Arm& arm, const ResourceId& id, const json& change) {
  if (!id.is(tags_type)) return std::nullopt;
  return change_tags(arm, id, change);
}

namespace {

/// Keys of the assignments to it.
std::vector<std::string> roles_of(const Arm& arm, std::string_view principal) {
  std::vector<std::string> keys;
  each_of_type(arm, kept_types[0], [&](const std::string& key, const json& assignment) {
    const json* properties = find_member(assignment, "properties");
    const json* named = properties ? find_member(*properties, "principalId") : nullptr;
    if (named && named->is_string() && same_name(named->get_ref<const std::string&>(), principal))
      keys.push_back(key);
  });
  return keys;
}

}  // namespace

bool has_role(const Arm& arm, std::string_view principal) {
  return !roles_of(arm, principal).empty();
}

void drop_roles_of(Arm& arm, std::string_view principal) {
  for (const std::string& key : roles_of(arm, principal)) arm.region.documents().drop(extension_table, key);
}

std::string list_extension_resources(Arm& arm, std::string_view type, const std::string& about) {
  JsonText out;
  out.open().open_list("value");
  for (const auto& [key, text] : arm.region.documents().list(extension_table, lower(about) + "/"))
    if (is_of_type(key, type) && json::accept(text)) out.raw_item(text);
  out.close_list().close();
  return out.take();
}

void drop_extension_resources(Arm& arm, const std::string& subject) {
  for (const auto& [key, text] : arm.region.documents().list(extension_table, lower(subject) + "/"))
    arm.region.documents().drop(extension_table, key);
}

void check_locks(Arm& arm, const std::string& id, bool deletes) {
  std::string target = lower(id);
  while (target.ends_with('/')) target.pop_back();
  target += '/';
  each_of_type(arm, lock_type, [&](const std::string&, const json& lock) {
    const auto lock_id = ResourceId::parse(lock.value("id", ""));
    if (!lock_id) return;
    const std::string subject = lock_id->about();
    const bool above = target.starts_with(lower(subject) + "/");
    if (!above && !(deletes && (lower(subject) + "/").starts_with(target))) return;
    if (!deletes && lock["properties"].value("level", "") != "ReadOnly") return;
    throw Error(
        ErrorKind::conflict, "ScopeLocked",
        fmt::format("The scope '{}' cannot perform {} operation because following scope(s) are locked: '{}'.",
                    id, deletes ? "delete" : "write", subject),
        fmt::format("Remove the lock '{}' first ('az lock delete').", lock.value("name", "")));
  });
}

asio::awaitable<Response> get_in_subscription(Arm& arm, Request request) {
  const ResourceId id = extended_id(request);
  auto document = get_kind(id.type()).show(arm, id, {});
  if (!document) throw resource_not_found(id.type(), id.full_name(), "");
  co_return json_response(200, std::move(*document));
}

asio::awaitable<Response> put_in_subscription(Arm& arm, Request request) {
  const ResourceId id = extended_id(request);
  const Kind& kind = get_kind(id.type());
  if (!is_extension_resource(kind.type))
    throw Error(ErrorKind::invalid, "MethodNotAllowed", fmt::format("'{}' belongs into a group.", kind.type));
  co_return co_await answer_put(arm, request, kind, id, kind.put(arm, id, parse_document(request.body)));
}

asio::awaitable<Response> delete_in_subscription(Arm& arm, Request request) {
  const ResourceId id = extended_id(request);
  co_return co_await answer_accepted(arm, request, get_kind(id.type()).remove(arm, id, &request));
}

}  // namespace berth::arm
