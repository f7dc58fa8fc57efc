#include "cli/sign_in/principal_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "cli/arm/token_cache.h"
#include "cli/sign_in/client_assertion.h"
#include "cli/sign_in/managed_identity.h"
#include "cli/terminal/terminal.h"
#include "crypto/encoding.h"
#include "host/files.h"
#include "model/names.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using Way = Principal::Way;

constexpr std::size_t largest_assertion = std::size_t{64} << 10;

/// In the cache.
std::string key_of(const Principal& principal) {
  std::string key = principal.environment + " " + principal.tenant + " " + principal.client_id;
  if (principal.way == Way::user) key += " " + principal.user;
  if (principal.way == Way::managed) key += " managed";
  return key;
}

/// Whose it is, as far as its key says.
Principal principal_of_key(const std::string& key) {
  Principal principal;
  std::size_t from = 0;
  for (std::string* part : {&principal.environment, &principal.tenant, &principal.client_id}) {
    const std::size_t space = std::min(key.find(' ', from), key.size());
    *part = key.substr(from, space - from);
    from = std::min(space + 1, key.size());
  }
  principal.user = key.substr(from);
  if (principal.user == "managed")
    principal.way = Way::managed;
  else if (!principal.user.empty())
    principal.way = Way::user;
  return principal;
}

/// What a person has to type.
std::string login_command(const Principal& principal, const std::string& claims) {
  return fmt::format("azure login -e {} --tenant {}{}", principal.environment, principal.tenant,
                     claims.empty() ? "" : " --claims-challenge " + base64_encode(claims));
}

bool is_adfs(const SignInPlace& place) {
  return place.login.ends_with("/adfs");
}

/// A new one is asked for five minutes early, or halfway where they live shorter than that.
seconds good_for(const Grant& grant) {
  return std::max(grant.lifetime - seconds(300), grant.lifetime / 2);
}

CachedToken cached(const Grant& grant) {
  return {grant.access, std::chrono::floor<seconds>(system_clock::now()) + good_for(grant), grant.refresh};
}

class PrincipalTokens final : public TokenSource {
 public:
  PrincipalTokens(SignInPlace place, Principal principal, Secret secret)
      : place_(std::move(place)), principal_(std::move(principal)), secret_(std::move(secret)) {}

  AccessToken get(bool anew, const std::string& claims, const Listener& listener) override {
    std::optional<CachedToken> kept;
    if (!place_.cache.empty()) kept = find_token(place_.cache, key_of(principal_));
    if (kept && kept->is_good() && !anew)
      return {kept->token, steady_clock::now() + (kept->good_until - system_clock::now())};
    TokenAnswer answer =
        principal_.way == Way::user ? ask_again(kept, claims, listener) : sign_in(claims, listener);
    if (!answer.grant) throw sign_in_refused(answer.refusal, host(), principal_, claims);
    Grant& grant = *answer.grant;
    if (principal_.way == Way::user && grant.refresh.empty() && kept) grant.refresh = kept->refresh;
    if (!place_.cache.empty())
      if (const std::string why = keep_token(place_.cache, key_of(principal_), cached(grant));
          !why.empty() && listener.warn)
        listener.warn(fmt::format("The token could not be kept for the next command: {}", why));
    return {grant.access, steady_clock::now() + good_for(grant)};
  }

 private:
  std::string host() const {
    return principal_.way == Way::managed ? "The identity service" : host_of_url(place_.login);
  }

  TokenAnswer sign_in(const std::string& claims, const Listener& listener) {
    if (principal_.way == Way::managed)
      return ask_managed_identity(place_.audience, principal_.client_id, place_.ca_file, listener);
    const Authority::Addresses addresses = addresses_of(place_, principal_.tenant);
    Authority authority(addresses, listener);
    Authority::Form form = {{"grant_type", "client_credentials"},
                            {"client_id", principal_.client_id},
                            {"scope", scope_of(place_)},
                            {"claims", claims}};
    if (principal_.way == Way::secret) {
      const Secret secret = secret_.empty() ? read_password(principal_.file) : secret_;
      form.emplace_back("client_secret", secret.reveal());
      return authority.ask(form);
    }
    form.emplace_back("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    form.emplace_back("client_assertion", assertion(addresses.token_url).reveal());
    return authority.ask(form);
  }

  Secret assertion(const std::string& audience) const {
    if (principal_.way == Way::certificate)
      return client_assertion({.file = principal_.file,
                               .client_id = principal_.client_id,
                               .audience = audience,
                               .for_adfs = is_adfs(place_),
                               .with_chain = principal_.with_chain},
                              system_clock::now());
    const Secret text(read_file(principal_.file, largest_assertion));
    return Secret(text.reveal().substr(0, text.reveal().find_first_of(" \r\n")));
  }

  /// By the refresh token. Where each is good once, another command may just have used ours and have kept a newer one.
  TokenAnswer ask_again(std::optional<CachedToken>& kept, const std::string& claims,
                        const Listener& listener) {
    if (!kept || kept->refresh.empty())
      throw Error(ErrorKind::unauthorized, "SignInNeeded",
                  fmt::format("{} is not signed in to {} any more.", principal_.user, principal_.environment),
                  login_command(principal_, claims));
    Authority authority(addresses_of(place_, principal_.tenant), listener);
    TokenAnswer answer = ask_by_refresh_token(authority, place_, principal_.client_id, kept->refresh, claims);
    if (answer.grant || !answer.refusal.wants_user()) return answer;
    auto newer = find_token(place_.cache, key_of(principal_));
    if (!newer || newer->refresh.empty() || newer->refresh == kept->refresh) return answer;
    kept = std::move(newer);
    return ask_by_refresh_token(authority, place_, principal_.client_id, kept->refresh, claims);
  }

  SignInPlace place_;
  Principal principal_;
  Secret secret_;
};

class GrantedToken final : public TokenSource {
 public:
  explicit GrantedToken(AccessToken token) : token_(std::move(token)) {}
  AccessToken get(bool anew, const std::string&, const Listener&) override {
    if (anew)
      throw Error(ErrorKind::unauthorized, "AuthenticationFailed",
                  "Resource Manager does not take the token that was just granted.",
                  "Is it the right cloud ('-e'), and the clock of this machine right?");
    return token_;
  }

 private:
  AccessToken token_;
};

}  // namespace

const char* const public_client_id = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

std::string scope_of(const SignInPlace& place) {
  return place.audience + "/.default";
}

Authority::Addresses addresses_of(const SignInPlace& place, const std::string& tenant) {
  if (is_adfs(place))  // it has one tenant, and no version in its addresses
    return {place.login + "/oauth2/token", place.login + "/oauth2/devicecode", place.ca_file};
  const std::string base = place.login + "/" + (tenant.empty() ? "organizations" : tenant) + "/oauth2/v2.0/";
  return {base + "token", base + "devicecode", place.ca_file};
}

std::unique_ptr<TokenSource> principal_tokens(SignInPlace place, Principal principal) {
  return std::make_unique<PrincipalTokens>(std::move(place), std::move(principal), Secret());
}

std::unique_ptr<TokenSource> secret_tokens(SignInPlace place, std::string client_id, Secret secret) {
  Principal principal;
  principal.client_id = std::move(client_id);
  return std::make_unique<PrincipalTokens>(std::move(place), std::move(principal), std::move(secret));
}

std::unique_ptr<TokenSource> granted_token(const Grant& grant) {
  return std::make_unique<GrantedToken>(AccessToken{grant.access, steady_clock::now() + good_for(grant)});
}

TokenAnswer ask_by_refresh_token(Authority& authority, const SignInPlace& place, const std::string& client_id,
                                 const Secret& refresh, const std::string& claims) {
  return authority.ask({{"grant_type", "refresh_token"},
                        {"client_id", client_id},
                        {"scope", scope_of(place) + " offline_access openid profile"},
                        {"claims", claims},
                        {"refresh_token", refresh.reveal()}});
}

void keep_grant(const SignInPlace& place, const Principal& principal, const Grant& grant) {
  const std::string why = keep_token(place.cache, key_of(principal), cached(grant));
  if (why.empty() || grant.refresh.empty()) return;
  throw Error(ErrorKind::unavailable, "TokenNotKept", fmt::format("The sign-in could not be kept: {}", why),
              "Make room there, then sign in again.");
}

std::size_t forget_grants(const std::filesystem::path& cache, const std::string& environment,
                          const std::string& name) {
  return forget_cached_tokens(cache, [&](const std::string& key) {
    const Principal principal = principal_of_key(key);
    return (environment.empty() || principal.environment == environment) &&
           (name.empty() || same_name(principal.name(), name));
  });
}

bool share_tokens(const Principal& one, const Principal& other) {
  return key_of(one) == key_of(other);
}

void forget_grant(const std::filesystem::path& cache, const Principal& principal) {
  forget_cached_tokens(cache, [&](const std::string& key) { return key == key_of(principal); });
}

Error sign_in_refused(const Refusal& refusal, const std::string& host, const Principal& principal,
                      const std::string& claims) {
  std::string advice = refusal.advice();
  if (principal.way == Way::user && refusal.wants_user()) {
    const std::string again = "Sign in again: " + login_command(principal, claims);
    if (!claims.empty()) advice.clear();  // it would name another command
    return Error(ErrorKind::unauthorized, "SignInNeeded",
                 fmt::format("{} wants {} to sign in again ({}).", host, principal.user, refusal.description),
                 advice.empty() ? again : advice + " " + again);
  }
  if (principal.way == Way::managed) {
    if (advice.empty())
      advice =
          "Has this machine that identity ('az vm identity show')? One of several has to be named: "
          "--client-id.";
  } else if (principal.environment.empty()) {
    advice = "Its credentials may have changed: 'azure region stop', then try again.";
  } else if (advice.empty() && !principal.file.empty()) {
    advice = fmt::format("Is the {} in {} still right, and the tenant?",
                         principal.way == Way::assertion ? "token" : to_text(principal.way), principal.file);
  }
  return Error(
      refusal.status == 429 || refusal.status >= 500 ? ErrorKind::unavailable : ErrorKind::unauthorized,
      "AuthenticationFailed",
      fmt::format("{} did not let us in ({}).", principal.environment.empty() ? "The region" : host,
                  refusal.description),
      advice);
}

}  // namespace berth
