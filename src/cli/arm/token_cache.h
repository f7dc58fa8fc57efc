#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "base/secret.h"

namespace berth {

/// Access tokens that are still good, in a file of the user's alone (0600), one for each account.
struct CachedToken {
  Secret token;
  std::chrono::sys_seconds good_until;
};

/// nullopt without one, or when it is no longer good.
std::optional<CachedToken> find_token(const std::filesystem::path& file, const std::string& account);
/// A file that cannot be written only costs the next sign-in: false.
bool keep_token(const std::filesystem::path& file, const std::string& account, const CachedToken& token);
/// Of accounts that begin so; "": of all.
void forget_cached_tokens(const std::filesystem::path& file, const std::string& beginning);

}  // namespace berth
