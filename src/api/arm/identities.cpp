#include "api/arm/identities.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::arm {
namespace {

using nlohmann::json;

std::string uuid_of(const std::string& what) {
  std::string digits = sha256_hex(what).substr(0, 32);
  digits[12] = '5';
  for (const std::size_t at : {8u, 13u, 18u, 23u}) digits.insert(at, "-");
  return digits;
}

Principal named_principal(const std::string& what, std::string resource) {
  return {.principal = uuid_of("principal of " + what),
          .client = uuid_of("client of " + what),
          .resource = std::move(resource)};
}

json kept_identity(std::string_view kept) {
  if (kept.find("\"identity\"") == std::string_view::npos) return nullptr;
  const json document = json::parse(kept, nullptr, false);
  return document.is_object() && document.contains("identity") ? document["identity"] : json();
}

}  // namespace

VmIdentities identities_of(const Vm& vm) {
  VmIdentities found;
  const json identity = kept_identity(vm.kept);
  if (!identity.is_object()) return found;
  found.system = lower(identity.value("type", "")).find("systemassigned") != std::string::npos;
  if (const json* users = find_member(identity, "userAssignedIdentities"); users && users->is_object())
    for (const auto& [id, value] : users->items()) found.users.push_back(id);
  return found;
}

void take_identities(Vm& vm, const Field& identity, std::string_view kept_before) {
  json wanted = kept_identity(kept_before);
  if (!identity.missing()) {
    std::string type = identity["type"].text("None");
    std::erase(type, ' ');
    const bool system = same_name(type, "SystemAssigned") || same_name(type, "SystemAssigned,UserAssigned");
    const bool user = same_name(type, "UserAssigned") || same_name(type, "SystemAssigned,UserAssigned");
    if (!system && !user && !same_name(type, "None"))
      identity["type"].refuse("'None', 'SystemAssigned', 'UserAssigned' or 'SystemAssigned, UserAssigned'");
    json users = json::object();
    if (const Field given = identity["userAssignedIdentities"]; !given.missing()) {
      given.require_object();
      for (const auto& [id, value] : given.value().items()) {
        const auto parsed = ResourceId::parse(id);
        if (!parsed || !parsed->is(user_identity_type))
          throw Error(ErrorKind::invalid, "InvalidIdentity",
                      fmt::format("'{}' at path '{}' is not the id of a user-assigned identity.",
                                  id.substr(0, 300), given.path()));
        if (!value.is_null()) users[id] = json::object();
      }
    }
    if (user == users.empty())
      throw Error(
          ErrorKind::invalid, "InvalidIdentity",
          user ? std::string("The identity's type is UserAssigned, and it names no 'userAssignedIdentities'.")
               : fmt::format("The identity's type is '{}', and it names 'userAssignedIdentities'.", type));
    wanted = nullptr;
    if (system || user)
      wanted = {{"type", system && user ? "SystemAssigned, UserAssigned"
                         : system       ? "SystemAssigned"
                                        : "UserAssigned"}};
    if (user) wanted["userAssignedIdentities"] = std::move(users);
  }
  if (wanted.is_null()) return;
  json kept = vm.kept.empty() ? json::object() : json::parse(vm.kept);
  kept["identity"] = std::move(wanted);
  vm.kept = dump(kept);
}

void write_identities(JsonText& out, const Vm& vm, std::string_view tenant) {
  const VmIdentities identities = identities_of(vm);
  if (!identities.system && identities.users.empty()) return;
  out.open("identity");
  if (identities.system) out.put("principalId", principal_of(vm, {}).principal).put("tenantId", tenant);
  if (!identities.users.empty()) {
    out.open("userAssignedIdentities");
    for (const std::string& id : identities.users) {
      const Principal known = principal_of(id);
      out.open(id).put("principalId", known.principal).put("clientId", known.client).close();
    }
    out.close();
  }
  out.close();
}

Principal principal_of(const Vm& vm, std::string_view subscription) {
  return named_principal("machine " + vm.vm_id, make_id(subscription, vm.group, vm_type, vm.name));
}

Principal principal_of(std::string_view user_identity_id) {
  return named_principal(lower(user_identity_id), std::string(user_identity_id));
}

}  // namespace berth::arm
