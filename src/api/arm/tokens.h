#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace berth::arm {

enum class TokenUse { access, refresh };

/// What one of the region's tokens says.
struct TokenClaims {
  TokenUse use = TokenUse::access;
  std::string issuer;    ///< "https://127.0.0.1:8443/adfs"
  std::string audience;  ///< what it may be used at: "https://management.core.windows.net/"
  std::string tenant;    ///< UUID
  std::string subject;   ///< client id, or user name
  bool is_user = false;
  std::string principal;  ///< of a managed identity: its principal's UUID
  std::string resource;   ///< of a managed identity: the id of what it belongs to
  std::chrono::sys_seconds issued{}, expires{};
};

/// A JSON Web Token (RFC 7519), HS256.
Secret sign_token(const TokenClaims& claims, const Secret& key);

/// Throws Error(unauthorized): "InvalidAuthenticationToken" when it is not one of ours (form, algorithm,
/// signature), "ExpiredAuthenticationToken" when its time is over. Two minutes of clock difference are
/// allowed at the beginning, none at the end.
TokenClaims verify_token(std::string_view token, const Secret& key, std::chrono::sys_seconds now);

/// What a client that proves itself by a certificate has to have signed (RFC 7523): RS256 or PS256.
struct ClientAssertion {
  std::string certificate;  ///< PEM
  std::string client_id;    ///< issuer and subject
  std::vector<std::string> audiences;
};
/// Why the token does not prove it at `now`; "" when it does. It may be good for a day at most.
std::string assertion_problem(std::string_view token, const ClientAssertion& wanted,
                              std::chrono::sys_seconds now);

/// The unsigned id_token that sign-in clients read their user's name from; no door opens to it.
std::string make_id_token(const TokenClaims& claims, std::string_view client_id);

}  // namespace berth::arm
