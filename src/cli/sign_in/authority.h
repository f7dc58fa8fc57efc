#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "cli/arm/exchange.h"

namespace berth {

/// Tokens that an authority gave.
struct Grant {
  Secret access, refresh;  ///< refresh is empty when there is none
  std::chrono::seconds lifetime{3600};
  std::string id_token;  ///< who signed in; empty when it was not asked for
};

/// Why it gave none, in its own words: one printable line.
struct Refusal {
  int status = 0;
  std::string error;        ///< "invalid_grant"
  std::string description;  ///< "AADSTS50126: Error validating credentials …"
  int number = 0;           ///< 50126; 0 when there is none
  /// True when signing in again by hand may help, and asking again will not.
  bool wants_user() const;
  /// What the reader can do about it; "" when nothing is known.
  std::string advice() const;
};

struct TokenAnswer {
  std::optional<Grant> grant;
  Refusal refusal;  ///< when there is no grant
};

/// A sign-in that waits for its user, who confirms it in a browser anywhere.
struct DeviceCode {
  Secret device_code;
  std::string user_code, page;
  std::chrono::seconds expires{900}, interval{5};
};

/// An OAuth 2.0 authority: Entra, ADFS, or the local region's own. Its answers are held to be hostile: they are limited, and what is
/// printed of them is printable. Sources: RFC 6749, RFC 8628; Microsoft identity platform, "device authorization grant" and "error codes".
class Authority {
 public:
  using Form = std::vector<std::pair<std::string, std::string>>;
  using Sleep = std::function<bool(std::chrono::milliseconds)>;

  struct Addresses {
    std::string token_url, device_url;  ///< https
    std::filesystem::path ca_file;      ///< as in ClientOptions
  };
  /// `sleep`: interrupt::sleep unless a test has its own.
  explicit Authority(Addresses addresses, Listener listener = {}, Sleep sleep = {});

  /// One token request. Throws Error(unavailable) when there is no answer, or one that is none of an authority's.
  TokenAnswer ask(const Form& form);

  /// Begins a sign-in by device code. Throws Error(unauthorized) when the authority does not do that.
  /// `claims`: what has to be proved further, JSON; mostly empty.
  DeviceCode begin_device(const std::string& client_id, const std::string& scope,
                          const std::string& claims = {});
  /// Asks until the user has confirmed it, has declined, or the code has expired (the refusal is "expired_token" then). Lost connections
  /// are waited for. Throws Error(unavailable, "OperationCanceled") on Ctrl-C.
  TokenAnswer wait_for_user(const DeviceCode& code, const std::string& client_id,
                            const std::string& claims = {});

  std::string host() const { return host_of_url(addresses_.token_url); }

 private:
  Response post(const std::string& url, const Form& form);

  Addresses addresses_;
  Sleep sleep_;
  Exchange exchange_;
};

/// What an authority, or a machine's identity service, answered to a token request: `status` with `body`. Throws
/// Error(unavailable, "AuthorityUnclear") naming `who` when it is neither tokens nor a refusal.
TokenAnswer parse_token_answer(int status, const std::string& body, const std::string& who);

/// Of an id token, which is not verified: it came from the authority itself, over TLS.
struct WhoSignedIn {
  std::string user, tenant;  ///< "" where it does not say
};
WhoSignedIn who_signed_in(const std::string& id_token);

}  // namespace berth
