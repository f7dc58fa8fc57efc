#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/groups.h"
#include "api/arm/identities.h"
#include "api/arm/json_text.h"
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

/// What Azure adds to such a document by itself, whichever API it came by.
void complete(const Arm& arm, const InertResource& inert, json& properties) {
  const std::string &type = inert.type, &name = inert.name;
  properties["provisioningState"] = "Succeeded";
  if (same_name(type, "Microsoft.Storage/storageAccounts")) {
    const auto endpoint = [&](const char* service) {
      return "https://" + lower(name) + "." + service + ".core.windows.net/";
    };
    properties["primaryEndpoints"] = {{"blob", endpoint("blob")},
                                      {"file", endpoint("file")},
                                      {"queue", endpoint("queue")},
                                      {"table", endpoint("table")}};
    properties["statusOfPrimary"] = "available";
  }
  if (same_name(type, "Microsoft.Compute/availabilitySets")) {
    properties.emplace("platformFaultDomainCount", 2);
    properties.emplace("platformUpdateDomainCount", 5);
  }
  if (same_name(type, user_identity_type)) {
    const Principal known = principal_of(make_id(arm.subscription(), inert.group, type, name));
    properties = {{"principalId", known.principal}, {"clientId", known.client}, {"tenantId", arm.access.tenant}};
  }
}

void write_inert(Arm& arm, JsonText& out, const Resource& resource, const View&) {
  const auto& inert = static_cast<const InertResource&>(resource);
  open_resource(out, inert, inert.type, arm.subscription());
  if (!inert.kind.empty()) out.raw("kind", inert.kind);
  if (!inert.sku.empty()) out.raw("sku", inert.sku);
  json properties = inert.properties.empty() ? json::object() : json::parse(inert.properties);
  complete(arm, inert, properties);
  out.raw("properties", dump(properties)).close();
}

Applied put_inert(Arm& arm, const std::string& type, const ResourceId& id, const json& body) {
  const Field document(body);
  document.require_object();
  check_resource_name(id.name(), type);
  const InertResource* before = arm.region.inert().find(type, id.ref());
  InertResource wanted;
  wanted.group = id.group;
  wanted.name = id.name();
  wanted.type = type;
  wanted.location = location_of(body, type, before ? std::string_view(before->location) : std::string_view());
  wanted.tags = document["tags"].tags();
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

json storage_keys(const std::string& account_id) {
  json keys = json::array();
  for (const char* name : {"key1", "key2"}) {
    const std::string about = fmt::format("storage {} of {}", name, lower(account_id));
    keys.push_back({{"keyName", name},
                    {"value", base64_encode(sha256(about) + sha256("second half " + about))},
                    {"permissions", "FULL"}});
  }
  return {{"keys", std::move(keys)}};
}

asio::awaitable<Response> list_storage_keys(Arm& arm, Request request) {
  const std::string type = "Microsoft.Storage/storageAccounts";
  const Ref account{arm.region.groups().get(request.params["group"]).name, request.params["account"]};
  if (!arm.region.inert().find(type, account)) throw resource_not_found(type, account.name, account.group);
  co_return json_response(200, dump(storage_keys(make_id(arm.subscription(), account.group, type, account.name))));
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
    return Pair{issue_certificate(order, key).ssh_rsa_key().value_or("") + " generated-by-azure", key.to_pem()};
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
  std::vector<Kind> all;
  for (const std::string_view type :
       {std::string_view("Microsoft.Storage/storageAccounts"), availability_set_type,
        std::string_view("Microsoft.Compute/proximityPlacementGroups"),
        std::string_view("Microsoft.Network/applicationSecurityGroups"),
        std::string_view("Microsoft.Network/routeTables"), std::string_view("Microsoft.Network/natGateways"),
        ssh_key_type, user_identity_type})
    all.push_back(inert_kind(std::string(type)));
  return all;
}

}  // namespace berth::arm
