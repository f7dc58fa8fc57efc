#pragma once

#include <string>
#include <string_view>

#include "base/secret.h"

namespace berth {

/// Text that only who knows the passphrase reads, and that nobody changes unnoticed: scrypt (N 2^15, r 8, p 1) and AES-256-GCM, in the
/// armour of lines that begin with "-----BEGIN BERTH SEALED-----".
std::string seal(const Secret& plain, const Secret& passphrase);

/// Throws Error(invalid): not such a text, another passphrase, or it was changed. `what` names it.
Secret unseal(std::string_view sealed, const Secret& passphrase, std::string_view what);

}  // namespace berth
