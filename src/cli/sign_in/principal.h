#pragma once

#include <string>

namespace berth {

/// Who signed in to a cloud, and how. There is no secret in it: those stay in their files, or in the token cache.
struct Principal {
  enum class Way {
    secret,       ///< a service principal; `file` holds its secret
    certificate,  ///< a service principal; `file` holds its certificate and key, PEM
    assertion,  ///< a service principal; `file` holds a token of another authority that its tenant trusts, and is kept fresh by others
    user,       ///< a person; the cache holds the refresh token
    managed,    ///< the identity of the machine that this is
  };
  Way way = Way::secret;
  std::string environment;
  std::string tenant;  ///< id or domain; "" for a managed identity
  std::string
      client_id;  ///< of a user: of the client that he signed in with; of a managed identity: "" or NAME=VALUE (managed_identity.h)
  std::string file;  ///< absolute
  std::string user;  ///< a person's name
  bool with_chain = false;

  /// "ops@contoso.com", an application's id, or "the managed identity"
  std::string name() const;
};

/// "servicePrincipal", "user" or "managedIdentity", as `az account list` calls them.
const char* type_of(const Principal& principal);

/// In a profile: "secret", "certificate", "assertion", "user", "managed". Of anything else: secret.
const char* to_text(Principal::Way way);
Principal::Way parse_way(const std::string& text);

}  // namespace berth
