#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/secret.h"

namespace berth {

/// What is kept of an account's sign-in, in a file of the user's alone (0600).
struct CachedToken {
  Secret token;
  std::chrono::sys_seconds good_until;
  Secret refresh;  ///< gets the next one; empty for accounts that sign in by themselves

  bool is_good() const { return !token.empty() && good_until > std::chrono::system_clock::now(); }
};

/// nullopt when there is nothing of that account.
std::optional<CachedToken> find_token(const std::filesystem::path& file, const std::string& account);
/// Why it could not be kept; "" when it is.
std::string keep_token(const std::filesystem::path& file, const std::string& account,
                       const CachedToken& token);
/// Of the accounts that `which` says; of how many.
std::size_t forget_cached_tokens(const std::filesystem::path& file,
                                 const std::function<bool(const std::string&)>& which);

}  // namespace berth
