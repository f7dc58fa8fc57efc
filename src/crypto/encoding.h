#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

/// Standard alphabet, padded, one line. With `width`, broken by "\n" after each `width` characters.
std::string base64_encode(std::string_view bytes, std::size_t width = 0);
/// Skips white space; nullopt on any other foreign character or a wrong length.
std::optional<std::string> base64_decode(std::string_view text);

/// RFC 4648 section 5, without padding (tokens).
std::string base64url_encode(std::string_view bytes);
std::optional<std::string> base64url_decode(std::string_view text);

std::string hex_encode(std::string_view bytes);  ///< lower case

std::string sha1(std::string_view bytes);    ///< 20 bytes; for certificate thumbprints only
std::string sha256(std::string_view bytes);  ///< 32 bytes
std::string sha256_hex(std::string_view bytes);
std::string hmac_sha256(std::string_view key, std::string_view bytes);  ///< 32 bytes

/// Compares in a time that does not depend on where they differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace berth
