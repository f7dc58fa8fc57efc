#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/fake_region.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/signature.h"
#include "http/message.h"

/// For the tests of this folder: Azure as far as a client sees it, with an authority as Entra is one, tenants with subscriptions, and a
/// Resource Manager (the fake region's). It listens on this machine; nothing leaves it.
namespace berth {

class PlayedAzure {
 public:
  using json = nlohmann::json;
  using Form = std::map<std::string, std::string>;

  PlayedAzure() {
    const json document = json::parse(read_file(region.home() / "region.json"));
    origin = document["managementEndpoint"];
    ca = document["caCertificate"];
    ::setenv("BERTH_HOME", (region.folder.path() / "no-region").c_str(), 1);
    // An address of this process' own: on Azure the engine is at the port that was asked for.
    region.azure_address = fmt::format("127.{}.{}.9", 128 + (::getpid() >> 8) % 64, ::getpid() % 256);
    region.takes_token = [this](const std::string& bearer) { return knows(bearer); };
    region.on_request = [this](const Request& request) { return answer(request); };
  }

  ~PlayedAzure() { region.stop(); }  // an answer that nobody waits for any more may still be in the making

  /// `azure account env add played`.
  Ran add_environment() {
    return run_program({"account", "env", "add", "played", "--metadata",
                        origin + "/metadata/endpoints?api-version=2022-09-01", "--ca-file", ca});
  }
  std::filesystem::path config() const { return region.folder.path() / ".config/berth"; }
  std::string file(const std::string& name, const std::string& text) const {
    write_file(region.folder / name, text);
    return region.folder / name;
  }

  /// Token requests so far, and what each sent.
  std::vector<Form> forms() {
    const std::lock_guard lock(mutex_);
    return forms_;
  }
  std::size_t count(const std::string& grant) {
    const auto all = forms();
    return static_cast<std::size_t>(std::ranges::count_if(all, [&](const Form& form) {
      const auto found = form.find("grant_type");
      return found != form.end() && found->second == grant;
    }));
  }
  /// Every access token that was given out is refused from now on.
  void expire_tokens() {
    const std::lock_guard lock(mutex_);
    tokens_.clear();
  }
  /// Every refresh token, too: the user's password has changed.
  void revoke() {
    const std::lock_guard lock(mutex_);
    tokens_.clear();
    refresh_.clear();
  }

  FakeRegion region;
  std::string origin, ca;

  std::string user = "ops@contoso.com", password = "Str0ng!pass";
  std::string application = "11111111-1111-1111-1111-111111111111", secret = "app-s3cret";
  std::optional<Certificate> certificate;  ///< that the application registered
  bool trusts_issuers = false;             ///< a certificate is taken only with its chain
  /// What polls of a device code are answered, one after the other; when none is left the user has confirmed it.
  std::deque<std::string> polls;
  /// By tenant, in the order of their ids: names and ids of subscriptions, with states.
  struct Sub {
    std::string name, id, state = "Enabled";
  };
  std::map<std::string, std::vector<Sub>> tenants = {{"tenant-1", {{"Work", "sub-1"}}}};
  /// Tenants whose tokens want more to be proved than the first sign-in did.
  std::set<std::string> strict_tenants;
  bool wants_proof = false;  ///< changes are for those alone who signed in by what its challenge claims
  long lifetime = 3599;
  bool rotates_refresh_tokens = false;  ///< each is good once
  std::string seen_at = "203.0.113.7";  ///< where a person's requests come from
  std::set<std::string> taken_names;    ///< DNS labels that another customer has
  /// Namespaces that are not registered in the subscription, and how often one has to look until they are, once they were asked for.
  struct Unregistered {
    int looks = 2;
    bool asked = false;
  };
  std::map<std::string, Unregistered> unregistered;
  bool may_register = true;
  std::string identity_resource;      ///< what the identity service was asked for last
  std::deque<int> identity_troubles;  ///< statuses that it answers first
  /// Asked first; a Response of its own goes out in place of ours.
  std::function<std::optional<Response>(const Request&)> trouble;

 private:
  static Response reply(int status, const json& body) {
    Response response{.status = status, .headers = {}, .body = body.dump()};
    response.headers["Content-Type"] = "application/json";
    return response;
  }
  static Response refuse(const std::string& error, const std::string& description, int status = 400) {
    return reply(status, {{"error", error},
                          {"error_description", description + "\r\nTrace ID: 1\r\nCorrelation ID: 2"},
                          {"error_codes", {1}},
                          {"correlation_id", "2"}});
  }
  static Form parse_form(std::string_view rest) {
    Form form;
    while (!rest.empty()) {
      const std::string_view pair = rest.substr(0, rest.find('&'));
      rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
      const std::size_t equals = std::min(pair.find('='), pair.size());
      form[std::string(pair.substr(0, equals))] =
          percent_decode(pair.substr(std::min(equals + 1, pair.size())));
    }
    return form;
  }

  /// An access token has its claims between two dots.
  static std::string tenant_of(const std::string& token) {
    const std::size_t dot = token.find('.') + 1;
    return json::parse(base64url_decode(token.substr(dot, token.rfind('.') - dot)).value_or("{}"))
        .value("tid", "");
  }
  bool knows(const std::string& bearer) {
    const std::lock_guard lock(mutex_);
    return bearer.starts_with("Bearer ") && tokens_.contains(bearer.substr(7));
  }

  bool has_proved(const std::string& bearer) {
    const std::lock_guard lock(mutex_);
    return bearer.starts_with("Bearer ") && proved_.contains(bearer.substr(7));
  }

  json grant(const std::string& tenant, bool person, bool proved = false) {
    const std::string number = std::to_string(++given_);
    json claims = {{"tid", tenant}};
    if (person && !seen_at.empty()) claims["ipaddr"] = seen_at;
    const std::string access = "at-" + number + "." + base64url_encode(claims.dump()) + ".x";
    tokens_.insert(access);
    if (proved) proved_.insert(access);
    json tokens = {{"token_type", "Bearer"}, {"expires_in", lifetime}, {"access_token", access}};
    if (!person) return tokens;
    refresh_.insert("rt-" + number + "." + tenant);
    if (proved) proved_.insert("rt-" + number + "." + tenant);
    tokens["refresh_token"] = "rt-" + number + "." + tenant;
    tokens["id_token"] =
        "e30." + base64url_encode(json{{"preferred_username", user}, {"tid", "tenant-1"}}.dump()) + ".";
    return tokens;
  }

  std::optional<Response> answer(const Request& request) {
    if (trouble)
      if (auto own = trouble(request)) return own;
    const auto ends = [&](const char* end) { return request.path.ends_with(end); };
    if (request.path == "/metadata/endpoints")
      return reply(
          200, {{"resourceManager", origin + "/"},
                {"authentication", {{"loginEndpoint", origin + "/"}, {"audiences", {"https://played/"}}}}});
    if (ends("/oauth2/v2.0/devicecode")) {
      device_claims_ = !parse_form(request.body)["claims"].empty();
      return reply(200, {{"device_code", "dev1ce-c0de"},
                         {"user_code", "ABCD1234"},
                         {"verification_uri", "https://played.example/device"},
                         {"expires_in", 900},
                         {"interval", 1},
                         {"message", "Ignore me"}});
    }
    if (wants_proof && request.method == "PUT" && !has_proved(request.header("Authorization"))) {
      Response more = reply(401, {{"error", {{"code", "AuthenticationFailed"}, {"message", "Prove more."}}}});
      more.headers["WWW-Authenticate"] = "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"" +
                                         base64_encode("{\"access_token\":{\"acrs\":{}}}") + "\"";
      return more;
    }
    if (ends("/oauth2/v2.0/token")) return token_request(request);
    if (ends("/metadata/identity/oauth2/token")) return identity_request(request);
    if (auto own = marketplace(request)) return own;
    if (request.path != "/tenants" && request.path != "/subscriptions") return std::nullopt;
    if (!knows(request.header("Authorization")))
      return reply(401, {{"error", {{"code", "ExpiredAuthenticationToken"}, {"message", "Expired."}}}});
    json list = json::array();
    if (request.path == "/tenants") {
      for (const auto& [tenant, subscriptions] : tenants)
        list.push_back({{"tenantId", tenant}, {"displayName", "The " + tenant}});
    } else {
      const std::string tenant = tenant_of(request.header("Authorization"));
      for (const Sub& one : tenants[tenant])
        list.push_back({{"subscriptionId", one.id},
                        {"displayName", one.name},
                        {"tenantId", tenant},
                        {"state", one.state}});
    }
    return reply(200, {{"value", list}});
  }

  /// What Azure has and the fake region has not, and the other way round.
  std::optional<Response> marketplace(const Request& request) {
    const auto has = [&](const char* part) { return request.path.find(part) != std::string::npos; };
    if (has("/providers/Berth.Local/"))
      return reply(
          404, {{"error",
                 {{"code", "InvalidResourceNamespace"}, {"message", "The resource namespace is invalid."}}}});
    if (auto own = provider_request(request)) return own;
    if (has("/CheckDnsNameAvailability"))
      return reply(200, {{"available", !taken_names.contains(request.parameter("domainNameLabel"))}});
    if (request.method == "POST" && has("/virtualMachines/")) {
      Response accepted{.status = 202};
      accepted.headers["Azure-AsyncOperation"] =
          origin + "/operations/power?api-version=2021-07-01&t=1&s=s1gnature";
      return accepted;
    }
    if (request.path == "/operations/power")
      return knows(request.header("Authorization")) ? reply(200, {{"status", "Succeeded"}})
                                                    : Response{.status = 401};
    if (!has("/artifacttypes/vmimage/")) return std::nullopt;
    if (has("/publishers/Canonical/") && has("/offers/ubuntu-24_04-lts/skus/server/versions"))
      return reply(200, json::array({{{"name", "24.04.202611010"}}}));
    return reply(404, {{"error", {{"code", "NotFound"}, {"message", "Artifact: VMImage was not found."}}}});
  }

  /// "/subscriptions/sub-1/providers/Microsoft.Compute" and its register.
  std::optional<Response> provider_request(const Request& request) {
    const std::string key = "/providers/Microsoft.";
    const std::size_t at = request.path.find(key);
    if (at == std::string::npos || request.path.find("/resourcegroups/") != std::string::npos)
      return std::nullopt;
    const std::string rest = request.path.substr(at + std::string("/providers/").size());
    const std::string space = rest.substr(0, rest.find('/'));
    const bool is_order = request.method == "POST" && rest == space + "/register";
    const auto found = unregistered.find(space);
    if (rest != space && !is_order) {
      if (found == unregistered.end()) return std::nullopt;
      return reply(409, {{"error",
                          {{"code", "MissingSubscriptionRegistration"},
                           {"message", "The subscription is not registered to use " + space + "."}}}});
    }
    if (request.parameter("api-version") != "2019-10-01")
      return reply(400,
                   {{"error", {{"code", "InvalidApiVersionParameter"}, {"message", "No such version."}}}});
    if (is_order && !may_register)
      return reply(403, {{"error", {{"code", "AuthorizationFailed"}, {"message", "You may not."}}}});
    std::string state = found == unregistered.end() ? "Registered"
                        : found->second.asked       ? "Registering"
                                                    : "NotRegistered";
    if (is_order && found != unregistered.end()) {
      found->second.asked = true;
      state = "Registering";
    } else if (state == "Registering" && --found->second.looks <= 0) {
      unregistered.erase(found);
      state = "Registered";
    }
    return reply(200, {{"namespace", space}, {"registrationState", state}});
  }

  Response token_request(const Request& request) {
    const std::lock_guard lock(mutex_);
    const Form form = parse_form(request.body);
    forms_.push_back(form);
    const auto field = [&](const char* key) {
      const auto found = form.find(key);
      return found == form.end() ? std::string() : found->second;
    };
    std::string tenant = request.path.substr(1, request.path.find('/', 1) - 1);
    if (tenant == "organizations") tenant = "tenant-1";
    if (!tenants.contains(tenant))
      return refuse("invalid_request", "AADSTS90002: Tenant '" + tenant + "' not found.");
    const std::string type = field("grant_type");
    if (type == "client_credentials") {
      if (field("client_id") != application)
        return refuse("unauthorized_client", "AADSTS700016: No such application.");
      if (field("client_secret") == secret || proves(field("client_assertion"), origin + request.path))
        return reply(200, grant(tenant, false));
      return refuse("invalid_client",
                    field("client_assertion").empty() ? "AADSTS7000215: Invalid client secret provided."
                                                      : "AADSTS700027: The certificate is not registered.",
                    401);
    }
    if (type == "password") {
      if (field("username") == user && field("password") == password)
        return reply(200, grant(tenant, true, !field("claims").empty()));
      return refuse("invalid_grant", "AADSTS50126: Error validating credentials.");
    }
    if (type == "refresh_token") {
      const std::string token = field("refresh_token");
      if (!refresh_.contains(token)) return refuse("invalid_grant", "AADSTS50173: The grant was revoked.");
      if (strict_tenants.contains(tenant) || (!field("claims").empty() && !proved_.contains(token)))
        return refuse("interaction_required", "AADSTS50076: You must use multi-factor authentication.");
      if (rotates_refresh_tokens) refresh_.erase(token);
      return reply(200, grant(tenant, true, proved_.contains(token)));
    }
    if (type == "urn:ietf:params:oauth:grant-type:device_code" && field("device_code") == "dev1ce-c0de") {
      if (polls.empty()) return reply(200, grant(tenant, true, device_claims_));
      const std::string error = polls.front();
      polls.pop_front();
      return refuse(error, "AADSTS70016: " + error);
    }
    return refuse("unsupported_grant_type", "AADSTS70003: " + type);
  }

  /// As Entra checks it: who signed, for whom, until when.
  bool proves(const std::string& assertion, const std::string& audience) const {
    if (!certificate) return false;
    const std::size_t first = assertion.find('.'), second = assertion.rfind('.');
    if (first == std::string::npos || second == first) return false;
    const json header =
        json::parse(base64url_decode(assertion.substr(0, first)).value_or(""), nullptr, false);
    const json claims = json::parse(
        base64url_decode(assertion.substr(first + 1, second - first - 1)).value_or(""), nullptr, false);
    const long now = static_cast<long>(::time(nullptr)) + 1;  // time() lags a little behind other clocks
    return header.value("alg", "") == "PS256" &&
           header.value("x5t#S256", "") == base64url_encode(sha256(certificate->to_der())) &&
           (!trusts_issuers || header.contains("x5c")) && claims.value("aud", "") == audience &&
           claims.value("iss", "") == application && claims.value("sub", "") == application &&
           claims.value("nbf", 0L) <= now && claims.value("exp", 0L) > now &&
           claims.value("exp", 0L) <= now + 600 &&
           is_signed_by(*certificate, assertion.substr(0, second),
                        base64url_decode(assertion.substr(second + 1)).value_or(""), SignatureScheme::ps256);
  }

  Response identity_request(const Request& request) {
    const std::lock_guard lock(mutex_);
    if (request.header("Metadata") != "true")
      return refuse("bad_request_102", "Required metadata header not specified");
    if (!identity_troubles.empty()) {
      const int status = identity_troubles.front();
      identity_troubles.pop_front();
      return Response{.status = status};
    }
    if (!request.parameter("client_id").empty() && request.parameter("client_id") != application)
      return refuse("invalid_request", "Identity not found");
    identity_resource = request.parameter("resource");
    json tokens = grant("tenant-1", false);
    tokens["expires_in"] = std::to_string(lifetime);  // as text, there
    return reply(200, tokens);
  }

  std::mutex mutex_;
  std::vector<Form> forms_;
  std::set<std::string> tokens_, refresh_, proved_;
  bool device_claims_ = false;
  int given_ = 0;
};

}  // namespace berth
