#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/groups.h"
#include "api/arm/identities.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"
#include "crypto/certificate.h"
#include "crypto/digest.h"
#include "crypto/encoding.h"
#include "endpoints/arm/service.h"
#include "host/workers.h"

/// Types that are kept and given back, with no effect on this host.
namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::string_view ssh_key_type = "Microsoft.Compute/sshPublicKeys";
constexpr std::string_view storage_type = "Microsoft.Storage/storageAccounts";
constexpr std::string_view workspace_type = "Microsoft.OperationalInsights/workspaces";
constexpr std::string_view component_type = "Microsoft.Insights/components";

/// Members of any resource that say nothing here; they are given back as they were sent.
constexpr std::string_view kept_members_of_all[] = {"identity", "managedBy", "plan", "zones"};

void complete_storage(const std::string& name, json& properties) {
  const auto endpoint = [&](const char* service) {
    return "https://" + lower(name) + "." + service + ".core.windows.net/";
  };
  properties["provisioningState"] = "Succeeded";
  properties["primaryEndpoints"] = {{"blob", endpoint("blob")},
                                    {"file", endpoint("file")},
                                    {"queue", endpoint("queue")},
                                    {"table", endpoint("table")}};
  properties["statusOfPrimary"] = "available";
}

/// What Azure adds to such a document by itself, whichever API it came by.
void complete(const Arm& arm, const InertResource& inert, json& properties) {
  const std::string &type = inert.type, &name = inert.name;
  properties["provisioningState"] = "Succeeded";
  if (same_name(type, storage_type)) complete_storage(name, properties);
  if (same_name(type, "Microsoft.Compute/availabilitySets")) {
    properties.emplace("platformFaultDomainCount", 2);
    properties.emplace("platformUpdateDomainCount", 5);
  }
  if (same_name(type, workspace_type)) properties["customerId"] = inert.guid;
  if (same_name(type, component_type)) {
    properties["AppId"] = properties["InstrumentationKey"] = inert.guid;
    properties["ConnectionString"] = "InstrumentationKey=" + inert.guid;
  }
  if (same_name(type, user_identity_type)) {
    const Principal known = principal_of(make_id(arm.subscription(), inert.group, type, name));
    properties = {
        {"principalId", known.principal}, {"clientId", known.client}, {"tenantId", arm.access.tenant}};
  }
}

void write_inert(Arm& arm, JsonText& out, const Resource& resource, const View&) {
  const auto& inert = static_cast<const InertResource&>(resource);
  write_with_kept(out, inert.kept, [&](JsonText& own) {
    open_resource(own, inert, inert.type, arm.subscription());
    if (!inert.kind.empty()) own.raw("kind", inert.kind);
    if (!inert.sku.empty()) own.raw("sku", inert.sku);
    json properties = inert.properties.empty() ? json::object() : json::parse(inert.properties);
    complete(arm, inert, properties);
    own.raw("properties", dump(properties)).close();
  });
}

/// An identity that is made anew is nobody yet, whoever had its name before.
void forget_roles(Arm& arm, const ResourceId& identity) {
  drop_roles_of(arm,
                principal_of(make_id(arm.subscription(), identity.group, user_identity_type, identity.name()))
                    .principal);
}

Applied put_inert(Arm& arm, const std::string& type, const ResourceId& id, const json& body) {
  const Field document(body);
  document.require_object();
  check_resource_name(id.name(), type);
  const InertResource* before = arm.region.inert().find(type, id.ref());
  if (!before && same_name(type, user_identity_type)) forget_roles(arm, id);
  InertResource wanted;
  wanted.group = id.group;
  wanted.name = id.name();
  wanted.type = type;
  wanted.location = location_of(body, type, before ? std::string_view(before->location) : std::string_view());
  wanted.tags = document["tags"].tags();
  json kept = json::object();
  for (const std::string_view member : kept_members_of_all)
    if (const json* sent = find_member(body, member); sent && !sent->is_null())
      kept[std::string(member)] = *sent;
  if (!kept.empty()) wanted.kept = dump(kept);
  wanted.kind = document["kind"].as_json();
  wanted.sku = document["sku"].as_json();
  const json properties = document["properties"].missing() ? json::object() : document["properties"].value();
  if (!properties.is_object()) document["properties"].require_object();
  wanted.properties = dump(properties);
  const auto put = arm.region.inert().put(std::move(wanted));
  JsonText out;
  write_inert(arm, out, put.resource, {});
  // These two answer 200 for a new one too, and clients take nothing else.
  const bool created = put.created && !same_name(type, "Microsoft.Storage/storageAccounts") &&
                       !same_name(type, availability_set_type);
  return {.document = out.take(), .created = created, .operation = {}};
}

Kind inert_kind(const std::string& type) {
  Kind kind;
  kind.type = type;
  kind.has_effect = type == ssh_key_type || type == user_identity_type;
  kind.find = [type](const Region& region, const Ref& ref) -> const Resource* {
    return region.inert().find(type, ref);
  };
  kind.all = [type](const Region& region, const std::string& group) {
    const auto found = region.inert().list(type, group);
    return std::vector<const Resource*>(found.begin(), found.end());
  };
  kind.write = write_inert;
  kind.put = [type](Arm& arm, const ResourceId& id, const json& body) {
    return put_inert(arm, type, id, body);
  };
  kind.remove = [type](Arm& arm, const ResourceId& id, const Request*) -> std::optional<std::string> {
    if (!arm.region.inert().find(type, id.ref())) return std::nullopt;
    arm.region.inert().remove(type, id.ref());
    return "";
  };
  return kind;
}

}  // namespace

std::optional<json> foreseen_reference(const ResourceId& id) {
  if (!id.is(storage_type)) return std::nullopt;
  json properties = json::object();
  complete_storage(id.name(), properties);
  return properties;
}

asio::awaitable<Response> check_storage_name(Arm& arm, Request request) {
  const json body = parse_document(request.body);
  const std::string name = Field(body)["name"].required_text();
  bool taken = false;
  for (const InertResource* account : arm.region.inert().list("Microsoft.Storage/storageAccounts"))
    taken = taken || same_name(account->name, name);
  JsonText out;
  out.open().put("nameAvailable", !taken);
  if (taken)
    out.put("reason", "AlreadyExists")
        .put("message", "The storage account named " + name + " is already taken.");
  out.close();
  co_return json_response(200, out.take());
}

std::optional<json> inert_keys(std::string_view function, const std::string& id, std::string_view version) {
  const auto parsed = ResourceId::parse(id);
  if (!parsed) return std::nullopt;
  const auto key = [&](std::string_view name) {
    const std::string about = fmt::format("storage {} of {}", name, lower(id));
    return base64_encode(sha256(about) + sha256("second half " + about));
  };
  const bool all = same_name(function, "listKeys");
  if (all && parsed->is(storage_type) && !version.empty() &&
      version < "2016")  // Source: Storage REST 2015-06-15
    return json{{"key1", key("key1")}, {"key2", key("key2")}};
  if (all && parsed->is(storage_type)) {
    json keys = json::array();
    for (const char* name : {"key1", "key2"})
      keys.push_back({{"keyName", name}, {"value", key(name)}, {"permissions", "FULL"}});
    return json{{"keys", std::move(keys)}};
  }
  if (parsed->is(storage_type) && same_name(function, "listAccountSas"))
    return json{{"accountSasToken", "sv=2021-06-08&sig=" + percent_encode(key("key1").substr(0, 44))}};
  if (parsed->is(storage_type) && same_name(function, "listServiceSas"))
    return json{{"serviceSasToken", "sv=2021-06-08&sig=" + percent_encode(key("key1").substr(0, 44))}};
  if (parsed->is(workspace_type) &&
      (all || same_name(function, "listSharedKeys") || same_name(function, "sharedKeys")))
    return json{{"primarySharedKey", key("key1")}, {"secondarySharedKey", key("key2")}};
  return std::nullopt;
}

asio::awaitable<Response> list_storage_keys(Arm& arm, Request request) {
  const std::string type(storage_type);
  const Ref account{arm.region.groups().get(request.params["group"]).name, request.params["account"]};
  if (!arm.region.inert().find(type, account)) throw resource_not_found(type, account.name, account.group);
  co_return json_response(
      200, dump(*inert_keys("listKeys", make_id(arm.subscription(), account.group, type, account.name),
                            request.parameter("api-version"))));
}

/// A new pair for a public key that is there. The private half is in this answer only.
asio::awaitable<Response> generate_key_pair(Arm& arm, Request request) {
  const std::string type(ssh_key_type), client = client_of(request);
  const Ref ref{arm.region.groups().get(request.params["group"]).name, request.params["key"]};
  const auto find = [&] {
    const InertResource* found = arm.region.inert().find(type, ref);
    if (!found) throw resource_not_found(type, ref.name, ref.group);
    return found;
  };
  find();
  struct Pair {
    std::string public_key;
    Secret private_key;
  };
  const Pair pair = co_await arm.region.workers().run(client, [] {
    const PrivateKey key = PrivateKey::generate_rsa();
    CertificateOrder order;  // only a certificate tells the public key in OpenSSH's form
    order.common_name = "generated";
    return Pair{issue_certificate(order, key).ssh_rsa_key().value_or("") + " generated-by-azure",
                key.to_pem()};
  });
  InertResource key = *find();
  json properties = key.properties.empty() ? json::object() : json::parse(key.properties);
  properties["publicKey"] = pair.public_key;
  key.properties = dump(properties);
  arm.region.inert().put(key);
  JsonText out;
  out.open()
      .put("id", make_id(arm.subscription(), ref.group, type, ref.name))
      .put("publicKey", pair.public_key)
      .put("privateKey", pair.private_key.reveal())
      .close();
  Response response = json_response(200, out.take());
  response.headers["Cache-Control"] = "no-store";
  co_return response;
}

std::vector<Kind> inert_kinds() {
  static constexpr std::string_view types[] = {
      storage_type,
      availability_set_type,
      "Microsoft.Compute/proximityPlacementGroups",
      "Microsoft.Network/applicationSecurityGroups",
      "Microsoft.Network/routeTables",
      "Microsoft.Network/publicIPPrefixes",
      "Microsoft.Network/natGateways",
      "Microsoft.Network/networkWatchers",
      "Microsoft.Network/bastionHosts",
      "Microsoft.Network/ddosProtectionPlans",
      "Microsoft.OperationalInsights/workspaces",
      "Microsoft.OperationsManagement/solutions",
      "Microsoft.Insights/components",
      "Microsoft.Insights/actionGroups",
      "Microsoft.Insights/metricAlerts",
      "Microsoft.Insights/activityLogAlerts",
      "Microsoft.Insights/scheduledQueryRules",
      "Microsoft.Insights/dataCollectionRules",
      "Microsoft.Insights/dataCollectionEndpoints",
      "Microsoft.Insights/workbooks",
      "Microsoft.Portal/dashboards",
      "Microsoft.DevTestLab/schedules",
      "Microsoft.Maintenance/maintenanceConfigurations",
      ssh_key_type,
      user_identity_type,
  };
  std::vector<Kind> all;
  for (const std::string_view type : types) all.push_back(inert_kind(std::string(type)));
  return all;
}

}  // namespace berth::arm
