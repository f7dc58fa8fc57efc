#include "endpoints/guest/identity_host.h"

#include <chrono>

#include "api/arm/identities.h"
#include "api/arm/json_text.h"
#include "api/arm/tokens.h"
#include "base/error.h"
#include "model/names.h"
#include "region/guests.h"

namespace berth {
namespace {

class IdentityHost final : public GuestHost {
 public:
  IdentityHost(Guests& guests, IdentityTokens tokens) : guests_(guests), tokens_(std::move(tokens)) {}
  std::optional<GuestView> guest_view(const std::string& vm_id) const override {
    return guests_.guest_view(vm_id);
  }
  void take_health(const std::string& vm_id, HealthReport report) override {
    guests_.take_health(vm_id, std::move(report));
  }
  void take_status(const std::string& vm_id, AgentStatus status) override {
    guests_.take_status(vm_id, std::move(status));
  }
  Secret guest_pfx(const std::string& vm_id, const std::string& transport) override {
    return guests_.guest_pfx(vm_id, transport);
  }
  std::optional<ExtensionPackage> guest_package(const std::string& handler,
                                                const std::string& version) const override {
    return guests_.guest_package(handler, version);
  }
  std::vector<ExtensionPackage> guest_packages(const std::string& handler) const override {
    return guests_.guest_packages(handler);
  }
  Secret identity_token(const std::string& vm_id, const IdentityQuestion& question) const override;

 private:
  Guests& guests_;
  IdentityTokens tokens_;
};

Error identity_refused(const std::string& why) {
  return Error(ErrorKind::invalid, "invalid_request", why);
}

/// The one of the VM's identities that is meant.
arm::Principal identity_meant(const Vm& vm, const IdentityQuestion& question, const IdentityTokens& tokens) {
  const arm::VmIdentities known = arm::identities_of(vm);
  std::vector<arm::Principal> all;
  if (known.system) all.push_back(arm::principal_of(vm, tokens.subscription));
  for (const std::string& user : known.users)
    if (tokens.exists(user)) all.push_back(arm::principal_of(user));
  if (all.empty()) throw identity_refused("Identity not found");
  const bool named =
      !question.client_id.empty() || !question.object_id.empty() || !question.identity_id.empty();
  if (!named && !known.system && all.size() > 1)
    throw identity_refused(
        "Multiple user assigned identities exist, please specify the clientId / resourceId of the "
        "identity in the token request");
  if (!named) return all.front();
  for (const arm::Principal& one : all)
    if ((!question.client_id.empty() && same_name(one.client, question.client_id)) ||
        (!question.object_id.empty() && same_name(one.principal, question.object_id)) ||
        (!question.identity_id.empty() && same_name(one.resource, question.identity_id)))
      return one;
  throw identity_refused("Identity not found");
}

Secret IdentityHost::identity_token(const std::string& vm_id, const IdentityQuestion& question) const {
  constexpr std::chrono::hours lifetime{24};
  const Vm* vm = guests_.find_vm(vm_id);
  if (!vm || tokens_.key.empty()) throw identity_refused("Identity not found");
  if (question.resource.empty() || question.resource.size() > 512)
    throw identity_refused("Required audience parameter not specified");
  const arm::Principal meant = identity_meant(*vm, question, tokens_);
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  arm::TokenClaims claims;
  claims.issuer = "https://sts.windows.net/" + tokens_.tenant + "/";
  claims.audience = question.resource;
  claims.tenant = tokens_.tenant;
  claims.subject = meant.client;
  claims.principal = meant.principal;
  claims.resource = meant.resource;
  claims.issued = now;
  claims.expires = now + lifetime;
  const auto seconds = [](auto time) { return std::to_string(time.time_since_epoch().count()); };
  arm::JsonText out;
  out.open()
      .put("access_token", arm::sign_token(claims, tokens_.key).reveal())
      .put("client_id", meant.client)
      .put("expires_in", std::to_string(std::chrono::seconds(lifetime).count()))
      .put("expires_on", seconds(claims.expires))
      .put("ext_expires_in", std::to_string(std::chrono::seconds(lifetime).count()))
      .put("not_before", seconds(claims.issued))
      .put("resource", question.resource)
      .put("token_type", "Bearer")
      .close();
  return Secret(out.take());
}

}  // namespace

std::unique_ptr<GuestHost> with_identities(Guests& guests, IdentityTokens tokens) {
  return std::make_unique<IdentityHost>(guests, std::move(tokens));
}

}  // namespace berth
