#include "crypto/password.h"

#include <crypt.h>
#include <string.h>

#include <memory>

#include "base/error.h"
#include "crypto/encoding.h"
#include "crypto/random.h"

namespace berth {
namespace {

/// crypt_r's 32 KiB of state; it holds the password.
struct CryptState {
  CryptState() = default;
  CryptState(const CryptState&) = delete;
  CryptState& operator=(const CryptState&) = delete;
  ~CryptState() { ::explicit_bzero(&data, sizeof data); }
  crypt_data data{};
};

/// Empty when the setting is no hash, or the password cannot be hashed.
std::string hash_with(const Secret& password, const std::string& setting) {
  if (password.reveal().find('\0') != std::string::npos) return {};  // crypt would stop there
  const auto state = std::make_unique<CryptState>();
  const char* hash = ::crypt_r(password.reveal().c_str(), setting.c_str(), &state->data);
  return hash && *hash != '*' ? hash : "";
}

}  // namespace

std::string hash_password(const Secret& password) {
  constexpr std::string_view alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::string salt = random_bytes(16);
  for (char& byte : salt) byte = alphabet[static_cast<unsigned char>(byte) % alphabet.size()];
  std::string hash = hash_with(password, "$6$" + salt);
  if (hash.empty())
    throw Error(ErrorKind::invalid, "InvalidPassword",
                "The password cannot be hashed: it is longer than 511 bytes or holds a zero byte.",
                "Choose another password.");
  return hash;
}

bool password_matches(const Secret& password, std::string_view hash) {
  const std::string again = hash_with(password, std::string(hash));
  if (again.size() != hash.size() || again.empty()) return false;
  unsigned char difference = 0;
  for (std::size_t i = 0; i < again.size(); ++i)
    difference = static_cast<unsigned char>(difference | (again[i] ^ hash[i]));
  return difference == 0;
}

namespace {

/// crypt takes no more than 511 bytes and no zero byte: it gets a digest.
Secret digest_of(std::string_view secret) {
  return Secret(sha256_hex(secret));
}

}  // namespace

std::string make_print(std::string_view secret) {
  return hash_password(digest_of(secret));
}

bool fits_print(std::string_view secret, const std::string& print) {
  return print.empty() || password_matches(digest_of(secret), print);
}

}  // namespace berth
