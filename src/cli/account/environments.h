#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/arm/arm_client.h"
#include "cli/sign_in/principal_tokens.h"

namespace berth {

/// A cloud: where its Resource Manager is, and who signs in for it.
struct Environment {
  std::string name;
  std::string resource_manager;  ///< no slash at the end
  std::string login;             ///< no slash at the end
  std::string audience;
  std::string metadata;  ///< URL that told it; "" for those that we know
  std::string ca_file;   ///< PEM; "": the system's store
  bool is_own = false;   ///< added by the user
};

/// Those that we know, then the user's own. The local region is none of them: it needs no sign-in.
std::vector<Environment> list_environments();
/// Throws Error(not_found).
Environment get_environment(const std::string& name);
/// Asks its metadata, and keeps what they say. Throws Error: conflict when there is one of that name; unavailable; invalid when the answer
/// is no description of a cloud.
Environment add_environment(const std::string& name, const std::string& metadata_url,
                            const std::string& ca_file);
/// Asks it again, or another URL, and keeps what is new. Of a cloud that we know the authority alone can be chosen. `ca_file` is "system"
/// for the system's store, "" for the one before.
Environment change_environment(const std::string& name, const std::string& metadata_url,
                               const std::string& ca_file);
/// Throws Error(not_found), or Error(conflict) for one that is not the user's own.
void delete_environment(const std::string& name);

/// Source: GET /metadata/endpoints, forms of 2015-01-01 and of 2019-05-01 and later.
Environment parse_environment(std::string_view document);

SignInPlace sign_in_place(const Environment& environment);
/// How its Resource Manager is reached for one of the principal's subscriptions.
ArmEndpoint account_endpoint(const Principal& account, const std::string& subscription);
/// The same with tokens of another source.
ArmEndpoint account_endpoint(const Environment& environment, std::shared_ptr<TokenSource> tokens);

/// Where tokens are kept: readable by the user alone.
std::filesystem::path token_cache_file();

}  // namespace berth
