#pragma once

#include <string>
#include <string_view>

#include "base/secret.h"

namespace berth {

/// crypt(3) form "$6$salt$hash" with a random salt.
std::string hash_password(const Secret& password);
bool password_matches(const Secret& password, std::string_view hash);

}  // namespace berth
