#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "api/arm/json_text.h"
#include "api/arm/tokens.h"
#include "base/error.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "endpoints/arm/service.h"
#include "http/peer.h"

/// The region's own authority: an ADFS-style one for az and our client, and the token route of the classic
/// client. Source: docs/wire/arm.md, sign-in.
namespace berth::arm {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr std::int64_t access_seconds = 3600;
constexpr std::int64_t refresh_seconds = 14 * 24 * 3600;
constexpr std::int64_t device_seconds = 900;
constexpr std::size_t most_devices = 256, most_devices_of_one = 16;  ///< sign-ins; of one account
constexpr std::string_view management_audience = "https://management.core.windows.net/";

std::string authority(const Request& request) {
  return request.origin + "/adfs";
}

CaseInsensitiveMap parse_form(const std::string& body) {
  CaseInsensitiveMap form;
  std::string_view rest = body;
  while (!rest.empty()) {
    std::string pair(rest.substr(0, rest.find('&')));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    std::ranges::replace(pair, '+', ' ');
    const std::size_t equals = std::min(pair.find('='), pair.size());
    form[percent_decode(pair.substr(0, equals))] =
        percent_decode(pair.substr(std::min(equals + 1, pair.size())));
  }
  return form;
}

std::string field(const CaseInsensitiveMap& form, std::string_view key) {
  const auto found = form.find(key);
  return found == form.end() ? std::string() : found->second;
}

/// What a client may send of itself: it is kept, or stands in tokens.
constexpr struct {
  const char* name;
  std::size_t longest;
} limited_fields[] = {{"client_id", 128}, {"resource", 200}, {"scope", 2048}, {"username", 256}};

/// OAuth's error body. 401 for wrong credentials: clients remember a 400 for a minute, and try a 5xx again.
Response refused(int status, std::string_view error, std::string_view description) {
  JsonText out;
  out.open().put("error", error).put("error_description", description).close();
  Response response = json_response(status, out.take());
  response.headers["Cache-Control"] = "no-store";
  return response;
}

std::optional<Response> too_long(const CaseInsensitiveMap& form) {
  for (const auto& [name, longest] : limited_fields)
    if (field(form, name).size() > longest)
      return refused(400, "invalid_request",
                     fmt::format("AADSTS90100: '{}' is longer than {} characters.", name, longest));
  return std::nullopt;
}

bool knows_client(const Arm& arm, const std::string& client, const std::string& secret) {
  const bool same = equal_in_constant_time(secret, arm.access.client_secret.reveal());
  return same && !arm.access.client_secret.empty() && same_name(client, arm.access.client_id);
}

/// What the token shall be good for: a classic `resource`, or the one of the scopes that names a resource
/// ("https://management.core.windows.net//.default"); "openid" and its like stand before or after it.
std::string audience_of(const CaseInsensitiveMap& form) {
  std::string audience = field(form, "resource");
  const std::string scope = field(form, "scope");
  for (std::string_view scopes = scope; audience.empty() && !scopes.empty();) {
    const std::string_view word = scopes.substr(0, scopes.find(' '));
    scopes.remove_prefix(std::min(word.size() + 1, scopes.size()));
    if (word.find("://") != word.npos) audience = word;
  }
  if (audience.ends_with("/.default"))
    audience.resize(audience.size() - std::string_view("/.default").size());
  return audience.empty() ? std::string(management_audience) : audience;
}

/// Azure's two names of Resource Manager, and ours, with or without the slash at the end. Never the name that
/// the request calls us by: that is the client's word.
bool is_for_resource_manager(std::string_view audience, const Arm& arm) {
  while (audience.ends_with('/')) audience.remove_suffix(1);
  return same_name(audience, "https://management.core.windows.net") ||
         same_name(audience, "https://management.azure.com") ||
         std::ranges::any_of(arm.origins, [&](const std::string& ours) { return same_name(audience, ours); });
}

struct Grant {
  std::string subject, client_id;
  bool is_user = false;
  bool refresh = false;
};

Response grant_tokens(const Arm& arm, const Request& request, const CaseInsensitiveMap& form,
                      const Grant& grant) {
  const std::int64_t now = arm.clock();
  TokenClaims claims;
  claims.issuer = authority(request);
  claims.audience = audience_of(form);
  claims.tenant = arm.access.tenant;
  claims.subject = grant.subject;
  claims.is_user = grant.is_user;
  claims.issued = sys_seconds(seconds(now));
  claims.expires = sys_seconds(seconds(now + access_seconds));
  const Secret access = sign_token(claims, arm.access.token_key);
  JsonText out;
  out.open()
      .put("token_type", "Bearer")
      .put("expires_in", access_seconds - 1)
      .put("ext_expires_in", access_seconds - 1);
  out.put("expires_on", std::to_string(now + access_seconds)).put("not_before", std::to_string(now));
  out.put("resource", claims.audience).put_if("scope", field(form, "scope"));
  out.put("access_token", access.reveal());
  if (grant.refresh) {
    TokenClaims longer = claims;
    longer.use = TokenUse::refresh;
    longer.expires = sys_seconds(seconds(now + refresh_seconds));
    out.put("refresh_token", sign_token(longer, arm.access.token_key).reveal());
    out.put("id_token", make_id_token(claims, grant.client_id));
    JsonText info;
    info.open().put("uid", grant.subject).put("utid", arm.access.tenant).close();
    out.put("client_info", base64url_encode(info.take()));
  }
  out.close();
  Response response = json_response(200, out.take());
  response.headers["Cache-Control"] = "no-store";
  response.headers["Pragma"] = "no-cache";
  spdlog::info("signed in subject={} grant={}", grant.subject, field(form, "grant_type"));
  return response;
}

/// By a certificate: RFC 7523, section 2.2. The audience is the address that was asked, by any of our names.
std::string client_assertion_problem(const Arm& arm, const Request& request, const CaseInsensitiveMap& form) {
  if (field(form, "client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
    return "The client assertion is of no type that the region knows.";
  ClientAssertion wanted{
      .certificate = arm.access.client_certificate, .client_id = arm.access.client_id, .audiences = {}};
  std::string path = request.path;
  while (path.ends_with('/')) path.pop_back();
  for (const std::string& origin : arm.origins) wanted.audiences.push_back(origin + path);
  const std::string client = field(form, "client_id");
  if (!client.empty() && !same_name(client, arm.access.client_id)) return "There is no such client.";
  return assertion_problem(field(form, "client_assertion"), wanted, sys_seconds(seconds(arm.clock())));
}

Response grant_to_client(const Arm& arm, const Request& request, const CaseInsensitiveMap& form) {
  std::string client = field(form, "client_id"), secret = field(form, "client_secret");
  if (!field(form, "client_assertion").empty()) {
    const std::string problem = client_assertion_problem(arm, request, form);
    if (problem.empty())
      return grant_tokens(arm, request, form,
                          {.subject = arm.access.client_id, .client_id = arm.access.client_id});
    spdlog::warn("refused sign-in peer={} grant=client_credentials reason=\"{}\"", request.peer, problem);
    return refused(
        401, "invalid_client",
        fmt::format("AADSTS700027: {} The file with the certificate and its key is shown by 'azure region "
                    "status --json'.",
                    problem));
  }
  if (const std::string header = request.header("Authorization");
      secret.empty() && header.starts_with("Basic ")) {
    const std::string pair = base64_decode(header.substr(6)).value_or("");
    const std::size_t colon = std::min(pair.find(':'), pair.size());
    client = percent_decode(pair.substr(0, colon));
    secret = percent_decode(pair.substr(std::min(colon + 1, pair.size())));
  }
  if (!knows_client(arm, client, secret)) {
    spdlog::warn("refused sign-in peer={} grant=client_credentials", request.peer);
    return refused(
        401, "invalid_client",
        "AADSTS7000215: Invalid client secret provided. The client id and the file with the secret are "
        "shown by 'azure region status --json'.");
  }
  return grant_tokens(arm, request, form, {.subject = arm.access.client_id, .client_id = client});
}

/// The region has one account; its name as a user is the client id, with or without a domain.
Response grant_to_user(const Arm& arm, const Request& request, const CaseInsensitiveMap& form) {
  const std::string user = field(form, "username");
  if (!knows_client(arm, user.substr(0, user.find('@')), field(form, "password"))) {
    spdlog::warn("refused sign-in peer={} grant=password", request.peer);
    return refused(401, "invalid_grant",
                   "AADSTS50126: Error validating credentials due to invalid username or password.");
  }
  return grant_tokens(
      arm, request, form,
      {.subject = user, .client_id = field(form, "client_id"), .is_user = true, .refresh = true});
}

Response grant_again(const Arm& arm, const Request& request, const CaseInsensitiveMap& form) {
  try {
    const TokenClaims claims =
        verify_token(field(form, "refresh_token"), arm.access.token_key, sys_seconds(seconds(arm.clock())));
    if (claims.use == TokenUse::refresh && claims.tenant == arm.access.tenant)
      return grant_tokens(arm, request, form,
                          {.subject = claims.subject,
                           .client_id = field(form, "client_id"),
                           .is_user = claims.is_user,
                           .refresh = true});
  } catch (const Error&) {
    // Said below: which check failed is nobody's business.
  }
  return refused(401, "invalid_grant", "AADSTS700082: The refresh token has expired or is not one of ours.");
}

/// A managed identity as a web app of Azure asks for its own: by a secret that its environment holds.
Response grant_to_identity(const Arm& arm, const Request& request) {
  if (!knows_client(arm, arm.access.client_id, request.header("secret"))) {
    spdlog::warn("refused sign-in peer={} grant=identity", request.peer);
    return refused(
        401, "invalid_client",
        "The header 'secret' does not hold the client's secret. The file with it is shown by 'azure region "
        "status --json'.");
  }
  return grant_tokens(arm, request, {{"resource", request.parameter("resource")}, {"grant_type", "identity"}},
                      {.subject = arm.access.client_id, .client_id = arm.access.client_id});
}

void forget_old_devices(Arm& arm) {
  std::erase_if(arm.devices, [&](const DeviceSignIn& device) { return device.expires <= arm.clock(); });
}

/// For one more sign-in that `account` begins its own oldest one goes, when it has many; when there are many
/// of all, the oldest of an account that is not ours, else the oldest.
void make_room_for_device(Arm& arm, std::int64_t account) {
  std::vector<DeviceSignIn>& devices = arm.devices;
  const auto same_account = [&](const DeviceSignIn& device) { return device.account == account; };
  if (std::ranges::count_if(devices, same_account) >= std::ptrdiff_t{most_devices_of_one}) {
    devices.erase(std::ranges::find_if(devices, same_account));
  } else if (devices.size() >= most_devices) {
    const auto other = std::ranges::find_if(
        devices, [](const DeviceSignIn& device) { return !is_own_account(device.account); });
    devices.erase(other == devices.end() ? devices.begin() : other);
  }
}

Response grant_to_device(Arm& arm, const Request& request, const CaseInsensitiveMap& form) {
  forget_old_devices(arm);
  std::string code = field(form, "device_code");
  if (code.empty()) code = field(form, "code");
  const auto found = std::ranges::find(arm.devices, code, &DeviceSignIn::device_code);
  if (found == arm.devices.end())
    return refused(400, "expired_token", "AADSTS70020: The device code has expired.");
  if (!found->confirmed)
    return refused(400, "authorization_pending", "AADSTS70016: The user has not confirmed the code yet.");
  const std::string client = found->client_id;
  arm.devices.erase(found);
  return grant_tokens(
      arm, request, form,
      {.subject = arm.access.client_id, .client_id = client, .is_user = true, .refresh = true});
}

std::string device_page(std::string_view message) {
  return fmt::format(
      "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Sign in to the local "
      "region</title></head>"
      "<body><h1>Sign in to the local region</h1><p>{}</p><form method=\"post\" action=\"/devicelogin\">"
      "<p><label>Code <input name=\"code\" autocomplete=\"off\" autofocus></label></p>"
      "<p><label>Client secret <input name=\"secret\" type=\"password\" autocomplete=\"off\"></label> (the "
      "file is shown by "
      "<code>azure region status --json</code>)</p><p><button>Sign in</button></p></form></body></html>",
      message);
}

Response html(int status, std::string_view message) {
  Response response{.status = status, .headers = {}, .body = device_page(message)};
  response.headers["Content-Type"] = "text/html; charset=utf-8";
  response.headers["Content-Security-Policy"] =
      "default-src 'none'; form-action 'self'; frame-ancestors 'none'";
  return response;
}

}  // namespace

void authenticate(const Arm& arm, const Request& request) {
  const std::string header = request.header("Authorization");
  if (header.empty())
    throw Error(ErrorKind::unauthorized, "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.", "Sign in first.");
  if (header.size() < 8 || !same_name(std::string_view(header).substr(0, 7), "Bearer "))
    throw Error(ErrorKind::unauthorized, "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is provided in an invalid format.",
                "It must be 'Bearer' and an access token.");
  const TokenClaims claims = verify_token(std::string_view(header).substr(7), arm.access.token_key,
                                          sys_seconds(seconds(arm.clock())));
  if (claims.use != TokenUse::access)
    throw Error(ErrorKind::unauthorized, "InvalidAuthenticationToken",
                "The access token is invalid: it is a refresh token.", "Sign in again.");
  if (!is_for_resource_manager(claims.audience, arm))
    throw Error(
        ErrorKind::unauthorized, "InvalidAuthenticationTokenAudience",
        fmt::format("The access token has been obtained for wrong audience or resource '{}'. The allowed "
                    "audiences are '{}', 'https://management.azure.com/' and '{}'.",
                    claims.audience, management_audience, arm.origins.empty() ? "" : arm.origins.front()),
        "Ask for a token for one of them.");
  if (!claims.principal.empty() && !has_role(arm, claims.principal))
    throw Error(ErrorKind::unauthorized, "AuthorizationFailed",
                fmt::format("The managed identity of '{}' has no role: it may do nothing in this region.",
                            claims.resource),
                fmt::format("Assign one to it ('az role assignment create --assignee-object-id {}').",
                            claims.principal));
  // What is of this host (folders of templates, disk files that become images) is for whoever owns the region.
  if (!claims.principal.empty() && lower(request.path).find("/providers/berth.local/") != std::string::npos)
    throw Error(
        ErrorKind::unauthorized, "AuthorizationFailed",
        fmt::format("The managed identity of '{}' may not ask for what is of this host.", claims.resource),
        "Sign in as the region's user.");
  if (!same_name(claims.tenant, arm.access.tenant))
    throw Error(ErrorKind::unauthorized, "InvalidAuthenticationTokenTenant",
                fmt::format("The access token is from the wrong issuer: its tenant is '{}'.", claims.tenant),
                "Sign in again.");
}

std::string user_of(const Arm& arm, const Request& request) {
  const std::string header = request.header("Authorization");
  const TokenClaims claims =
      verify_token(std::string_view(header).substr(std::min<std::size_t>(header.size(), 7)),
                   arm.access.token_key, sys_seconds(seconds(arm.clock())));
  return claims.is_user ? claims.subject : std::string();
}

asio::awaitable<Response> get_metadata(Arm& arm, Request request) {
  const std::string& origin = request.origin;
  JsonText out;
  // Versions before 2018 describe one cloud in words of their own, those until 2022 a list of clouds, later ones
  // the one cloud again.
  const std::string version = request.parameter("api-version");
  if (version < "2018") {
    out.open().put("galleryEndpoint", origin + "/gallery").put("graphEndpoint", origin + "/graph");
    out.put("portalEndpoint", origin + "/portal").open("authentication");
    out.put("loginEndpoint", authority(request))
        .open_list("audiences")
        .item(management_audience)
        .close_list()
        .close()
        .close();
    co_return json_response(200, out.take());
  }
  const bool is_list = version < "2022";
  if (is_list) out.open_list();
  out.open().put("name", "Berth").put("resourceManager", origin).put("portal", origin + "/portal");
  out.put("gallery", origin + "/gallery")
      .put("graph", origin + "/graph")
      .put("graphAudience", origin + "/graph");
  out.put("vmImageAliasDoc", origin + "/aliases.json").open("authentication");
  out.put("loginEndpoint", authority(request)).open_list("audiences").item(management_audience).close_list();
  out.put("tenant", arm.access.tenant).put("identityProvider", "ADFS").close();
  out.open("suffixes").put("storage", "core.local").put("keyVaultDns", "vault.local").close().close();
  if (is_list) out.close_list();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_discovery(Arm&, Request request) {
  const std::string base = authority(request);
  JsonText out;
  out.open()
      .put("issuer", base)
      .put("authorization_endpoint", base + "/oauth2/authorize")
      .put("token_endpoint", base + "/oauth2/token/")
      .put("device_authorization_endpoint", base + "/oauth2/devicecode")
      .put("jwks_uri", base + "/discovery/keys")
      .open_list("response_types_supported")
      .item("code")
      .close_list()
      .open_list("grant_types_supported")
      .item("client_credentials")
      .item("password")
      .item("refresh_token")
      .item("urn:ietf:params:oauth:grant-type:device_code")
      .close_list()
      .close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_instance_discovery(Arm&, Request request) {
  JsonText out;
  out.open().put("tenant_discovery_endpoint", authority(request) + "/.well-known/openid-configuration");
  out.put("api-version", "1.1").open_list("metadata").close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> post_token(Arm& arm, Request request) {
  const CaseInsensitiveMap form = parse_form(request.body);
  if (auto refusal = too_long(form)) co_return *std::move(refusal);
  const std::string grant = field(form, "grant_type");
  if (grant == "client_credentials") co_return grant_to_client(arm, request, form);
  if (grant == "password") co_return grant_to_user(arm, request, form);
  if (grant == "refresh_token") co_return grant_again(arm, request, form);
  if (grant == "device_code" || grant == "urn:ietf:params:oauth:grant-type:device_code")
    co_return grant_to_device(arm, request, form);
  co_return refused(400, "unsupported_grant_type",
                    fmt::format("AADSTS70003: The grant type '{}' is not supported.", grant.substr(0, 64)));
}

asio::awaitable<Response> get_identity_token(Arm& arm, Request request) {
  co_return grant_to_identity(arm, request);
}

asio::awaitable<Response> post_device_code(Arm& arm, Request request) {
  const CaseInsensitiveMap form = parse_form(request.body);
  if (auto refusal = too_long(form)) co_return *std::move(refusal);
  forget_old_devices(arm);
  make_room_for_device(arm, request.account);
  static constexpr std::string_view letters = "BCDFGHJKLMNPQRSTVWXZ";
  std::string user_code;
  for (const char byte : random_bytes(9))
    user_code += letters[static_cast<unsigned char>(byte) % letters.size()];
  const std::string device_code = random_secret(32).reveal();
  arm.devices.push_back({.device_code = device_code,
                         .user_code = user_code,
                         .client_id = field(form, "client_id"),
                         .account = request.account,
                         .expires = arm.clock() + device_seconds});
  const std::string page = request.origin + "/devicelogin";
  const std::string message =
      fmt::format("To sign in, use a web browser to open the page {} and enter the code {} to authenticate.",
                  page, user_code);
  JsonText out;
  out.open().put("device_code", device_code).put("user_code", user_code).put("verification_uri", page);
  out.put("verification_url", page)
      .put("expires_in", device_seconds)
      .put("interval", 1)
      .put("message", message)
      .close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_device_page(Arm&, Request) {
  co_return html(200, "Enter the code that the program shows you.");
}

asio::awaitable<Response> post_device_page(Arm& arm, Request request) {
  forget_old_devices(arm);
  const CaseInsensitiveMap form = parse_form(request.body);
  std::string code = field(form, "code");
  std::erase(code, ' ');
  const auto found = std::ranges::find_if(
      arm.devices, [&](const DeviceSignIn& device) { return same_name(device.user_code, code); });
  const bool secret = knows_client(arm, arm.access.client_id, field(form, "secret"));
  if (found == arm.devices.end() || !secret)
    co_return html(403, "The code or the secret is not right, or the code has expired.");
  found->confirmed = true;
  co_return html(200, "You are signed in. You can close this page.");
}

}  // namespace berth::arm
