#include "cli/sign_in/authority.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/terminal/foreign_text.h"
#include "cli/terminal/terminal.h"
#include "crypto/encoding.h"
#include "crypto/random.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using std::chrono::seconds;

constexpr std::size_t largest_token_answer = std::size_t{1} << 20, longest_token = std::size_t{64} << 10;
constexpr seconds longest_lifetime = 24h, longest_device_sign_in = 1h, longest_interval = 60s;

/// It goes into a header: visible ASCII, nothing that could begin a line of its own.
bool is_token(const std::string& text) {
  return text.size() <= longest_token &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7F; });
}

/// A number, or one as text; nullopt for anything else.
std::optional<long long> number_in(const json& object, const char* key) {
  const json& value = at(object, {key});
  if (value.is_number_integer()) return value.get<long long>();
  if (value.is_number()) return static_cast<long long>(std::clamp(value.get<double>(), -1e15, 1e15));
  const std::string digits = text(object, {key});
  long long number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

seconds seconds_in(const json& object, const char* key, seconds otherwise, seconds least, seconds most) {
  const auto number = number_in(object, key);
  return number ? seconds(std::clamp<long long>(*number, least.count(), most.count())) : otherwise;
}

/// The number of "AADSTS50126: …", by which Microsoft's documentation knows it.
int error_number(const std::string& description) {
  const std::size_t at = description.find("AADSTS");
  int number = 0;
  if (at != std::string::npos)
    std::from_chars(description.data() + at + 6, description.data() + description.size(), number);
  return number;
}

struct KnownRefusal {
  int number;
  const char* advice;
};
constexpr KnownRefusal known_refusals[] = {
    {50020,
     "The user belongs to another tenant: leave --tenant away, or name one that has invited the user."},
    {50034, "There is no such user in that tenant: check -u and --tenant."},
    {50053, "The account is locked after too many wrong passwords. Wait, or ask the tenant's administrator."},
    {50055, "The password has expired: change it in a browser first."},
    {50057, "The account is disabled: ask the tenant's administrator."},
    {50074, "More than a password is asked for: sign in with 'azure login' alone, in a browser."},
    {50076, "More than a password is asked for: sign in with 'azure login' alone, in a browser."},
    {50079, "More than a password is asked for: sign in with 'azure login' alone, in a browser."},
    {50126, "Is the password right? Personal accounts cannot sign in so: use 'azure login' alone."},
    {50158, "More than a password is asked for: sign in with 'azure login' alone, in a browser."},
    {53003,
     "The tenant's rules (conditional access) forbid this way. Ask its administrator, or sign in otherwise."},
    {530084,
     "The tenant's rules (conditional access) forbid sign-in by device code. Use a service principal."},
    {65001,
     "An administrator of the tenant has to consent to this client, or give another one: --client-id."},
    {70021,
     "No federated credential of the application matches the token: check its issuer, subject and audience."},
    {90002, "There is no such tenant in this cloud: check --tenant and -e."},
    {700016, "There is no such application in that tenant: check -u and --tenant."},
    {700024, "Is the clock of this machine right? What a certificate signs is good for ten minutes."},
    {700027, "Is this certificate registered with the application ('az ad app credential list --cert')?"},
    {7000215, "The secret's value is asked for, not its id. Is the one in the file still right?"},
    {7000222, "The secret has expired: make a new one for the application, and put it into the file."},
};

}  // namespace

bool Refusal::wants_user() const {
  return error == "invalid_grant" || error == "interaction_required" || error == "login_required" ||
         error == "consent_required";
}

std::string Refusal::advice() const {
  for (const KnownRefusal& known : known_refusals)
    if (known.number == number) return known.advice;
  return {};
}

TokenAnswer parse_token_answer(int status, const std::string& body, const std::string& who) {
  const json answer = json::parse(body, nullptr, false);
  TokenAnswer result;
  const std::string token = text(answer, {"access_token"});
  if (status == 200 && !token.empty() && is_token(token)) {
    Grant grant;
    grant.access = Secret(token);
    if (const std::string refresh = text(answer, {"refresh_token"}); is_token(refresh))
      grant.refresh = Secret(refresh);
    grant.id_token = text(answer, {"id_token"});
    grant.lifetime = seconds_in(answer, "expires_in", 1h, 0s, longest_lifetime);
    if (const auto end = number_in(answer, "expires_on"); end && at(answer, {"expires_in"}).is_null()) {
      const auto now = std::chrono::floor<seconds>(std::chrono::system_clock::now()).time_since_epoch();
      grant.lifetime = seconds(std::clamp<long long>(*end - now.count(), 0, longest_lifetime.count()));
    }
    result.grant = std::move(grant);
    return result;
  }
  Refusal& refusal = result.refusal;
  refusal.status = status;
  refusal.error = printable_line(text(answer, {"error"}), 100);
  const std::string description = text(answer, {"error_description"});
  refusal.number = error_number(description);
  refusal.description = printable_line(description);
  if (status >= 200 && status < 300)
    throw Error(ErrorKind::unavailable, "AuthorityUnclear",
                fmt::format("The answer of {} holds no token.", who),
                "Is it an authority? A proxy that wants a sign-in of its own answers so, too.");
  if (refusal.error.empty())
    throw Error(ErrorKind::unavailable, "AuthorityUnclear",
                fmt::format("{} answered HTTP {}, and does not say why.", who, status),
                status == 429 || status >= 500 ? "Try again later."
                                               : "Is it an authority ('azure account env show NAME')?");
  if (refusal.description.empty()) refusal.description = refusal.error;
  return result;
}

WhoSignedIn who_signed_in(const std::string& id_token) {
  const std::size_t first = id_token.find('.');
  if (first == std::string::npos || id_token.size() > longest_token) return {};
  const auto claims_text =
      base64url_decode(id_token.substr(first + 1, id_token.find('.', first + 1) - first - 1));
  const json claims = json::parse(claims_text.value_or(""), nullptr, false);
  WhoSignedIn who;
  for (const char* claim : {"preferred_username", "upn", "unique_name", "email", "sub"})
    if (who.user.empty()) who.user = printable_line(text(claims, {claim}), 200);
  who.tenant = printable_line(text(claims, {"tid"}), 100);
  return who;
}

Authority::Authority(Addresses addresses, Listener listener, Sleep sleep)
    : addresses_(std::move(addresses)),
      sleep_(sleep ? std::move(sleep) : Sleep(&interrupt::sleep)),
      exchange_({.client = {.ca_file = addresses_.ca_file,
                            .limit = 60s,
                            .largest_answer = largest_token_answer,
                            .cancelled = &interrupt::requested},
                 .far = true,
                 .sleep = sleep_}) {
  exchange_.listener = std::move(listener);
}

Response Authority::post(const std::string& url, const Form& form) {
  ClientRequest request{.method = "POST", .url = url};
  request.headers["Content-Type"] = "application/x-www-form-urlencoded";
  request.headers["Accept"] = "application/json";
  request.headers["client-request-id"] = new_uuid();
  for (const auto& [name, value] : form) {
    if (value.empty()) continue;
    request.body += (request.body.empty() ? "" : "&") + name + "=" + percent_encode(value);
  }
  return exchange_.send(request, true);
}

TokenAnswer Authority::ask(const Form& form) {
  const Response response = post(addresses_.token_url, form);
  TokenAnswer answer = parse_token_answer(response.status, response.body, host());
  // An authority has no reason to say what we sent; what is no secret may stand in its words.
  for (const auto& [name, value] : form)
    if (value.size() >= 6 && name != "scope" && name != "client_id" && name != "username" &&
        answer.refusal.description.find(value) != std::string::npos)
      answer.refusal.description = answer.refusal.error;
  return answer;
}

DeviceCode Authority::begin_device(const std::string& client_id, const std::string& scope,
                                   const std::string& claims) {
  const Response response =
      post(addresses_.device_url, {{"client_id", client_id}, {"scope", scope}, {"claims", claims}});
  const json answer = json::parse(response.body, nullptr, false);
  DeviceCode code;
  code.device_code = Secret(text(answer, {"device_code"}));
  code.user_code = printable_line(text(answer, {"user_code"}), 64);
  code.page = printable_line(text(answer, {"verification_uri"}), 500);
  if (code.page.empty()) code.page = printable_line(text(answer, {"verification_url"}), 500);
  if (response.status != 200 || code.device_code.empty() || code.user_code.empty()) {
    const Refusal refusal =
        parse_token_answer(response.status == 200 ? 502 : response.status, response.body, host()).refusal;
    throw Error(ErrorKind::unauthorized, "AuthenticationFailed",
                fmt::format("{} begins no sign-in by device code ({}).", host(), refusal.description),
                refusal.advice());
  }
  if (!code.page.starts_with("https://"))
    throw Error(ErrorKind::unavailable, "AuthorityUnclear",
                fmt::format("{} leads to a page that is not https: '{}'.", host(), code.page),
                "Do not open it.");
  code.expires = seconds_in(answer, "expires_in", 900s, 1s, longest_device_sign_in);
  code.interval = seconds_in(answer, "interval", 5s, 1s, longest_interval);
  return code;
}

TokenAnswer Authority::wait_for_user(const DeviceCode& code, const std::string& client_id,
                                     const std::string& claims) {
  seconds interval = code.interval, waited{0};
  TokenAnswer answer;
  while (waited < code.expires) {
    if (sleep_(interval)) throw Error(ErrorKind::unavailable, "OperationCanceled", "Canceled.");
    waited += interval;
    try {
      answer = ask({{"grant_type", "urn:ietf:params:oauth:grant-type:device_code"},
                    {"client_id", client_id},
                    {"claims", claims},
                    {"device_code", code.device_code.reveal()}});
    } catch (const Error& error) {
      if (error.kind != ErrorKind::unavailable || error.code == "OperationCanceled" ||
          error.code == "TlsFailed")
        throw;
      interval = std::min(interval * 2, longest_interval);  // the network is away; the user may still confirm
      continue;
    }
    const std::string& error = answer.refusal.error;
    if (answer.grant || (error != "authorization_pending" && error != "slow_down")) return answer;
    if (error == "slow_down") interval = std::min(interval + 5s, longest_interval);
  }
  answer.refusal = {.status = 400, .error = "expired_token", .description = "The code has expired."};
  return answer;
}

}  // namespace berth
