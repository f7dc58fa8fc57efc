#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "cli/arm/token_source.h"
#include "cli/sign_in/authority.h"
#include "cli/sign_in/principal.h"

namespace berth {

/// Where a principal signs in, and where its tokens are kept.
struct SignInPlace {
  std::string login;     ///< "https://login.microsoftonline.com"; one that ends in "/adfs" has one tenant
  std::string audience;  ///< of Resource Manager
  std::filesystem::path ca_file;  ///< as in ClientOptions
  std::filesystem::path cache;    ///< "": tokens are kept in memory alone
};

/// The scope that its tokens are asked for with: "https://management.core.windows.net//.default" (the audience ends in a slash of its own).
std::string scope_of(const SignInPlace& place);
Authority::Addresses addresses_of(const SignInPlace& place, const std::string& tenant);
/// The client that people sign in with unless they name another one: that of the Azure command line, which every tenant knows.
extern const char* const public_client_id;

/// Signs in whenever a token is needed: by its secret, certificate or assertion, by the machine's identity, or by the refresh token that the
/// cache holds. Tokens are kept in the cache, and a new one is asked for five minutes before the old one ends. Throws of get():
/// Error(unauthorized, "SignInNeeded") when a person has to sign in again; Error(unauthorized, "AuthenticationFailed").
std::unique_ptr<TokenSource> principal_tokens(SignInPlace place, Principal principal);
/// The same with a secret in memory: the local region's.
std::unique_ptr<TokenSource> secret_tokens(SignInPlace place, std::string client_id, Secret secret);

/// One that was just granted, and that nobody can renew.
std::unique_ptr<TokenSource> granted_token(const Grant& grant);

/// One token request for a person in one tenant, by a refresh token of any tenant.
TokenAnswer ask_by_refresh_token(Authority& authority, const SignInPlace& place, const std::string& client_id,
                                 const Secret& refresh, const std::string& claims = {});

/// Keeps what was granted. Throws Error(unavailable) when a refresh token cannot be kept: the person would have to sign in for each command.
void keep_grant(const SignInPlace& place, const Principal& principal, const Grant& grant);
/// Of all principals of that environment ("": of all), or of the one alone that has this name, in all of its tenants. Returns of how many
/// tenants tokens were forgotten.
std::size_t forget_grants(const std::filesystem::path& cache, const std::string& environment,
                          const std::string& name = {});
/// In its tenant alone.
void forget_grant(const std::filesystem::path& cache, const Principal& principal);
/// True when they have their tokens in common: the same principal, in the same tenant.
bool share_tokens(const Principal& one, const Principal& other);

/// The error that tells of a refusal. `claims`: what had to be proved, which another sign-in has to ask for, too.
Error sign_in_refused(const Refusal& refusal, const std::string& host, const Principal& principal,
                      const std::string& claims = {});

}  // namespace berth
