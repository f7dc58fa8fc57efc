#pragma once

#include <string>
#include <string_view>

#include "base/secret.h"

namespace berth {

/// crypt(3) form "$6$salt$hash" with a random salt.
std::string hash_password(const Secret& password);
bool password_matches(const Secret& password, std::string_view hash);

/// A form of something secret by which another value can be told from it, and no more: the crypt(3) form of
/// its SHA-256. "" fits every value: it was not kept.
std::string make_print(std::string_view secret);
bool fits_print(std::string_view secret, const std::string& print);

}  // namespace berth
