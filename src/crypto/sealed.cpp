#include "crypto/sealed.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <string.h>

#include <cstdint>

#include "base/error.h"
#include "crypto/encoding.h"
#include "crypto/random.h"

namespace berth {
namespace {

constexpr std::string_view begin_line = "-----BEGIN BERTH SEALED-----\n",
                           end_line = "-----END BERTH SEALED-----\n";
constexpr std::size_t salt_size = 16, nonce_size = 12, tag_size = 16, key_size = 32;
constexpr std::uint64_t scrypt_n = 1 << 15, scrypt_r = 8, scrypt_p = 1,
                        scrypt_memory = std::uint64_t{64} << 20;
constexpr std::size_t largest = 1 << 20;

const unsigned char* sealed_bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* sealed_bytes(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

[[noreturn]] void cannot_seal() {
  throw Error(ErrorKind::internal, "CryptoFailed", "OpenSSL could not encrypt.");
}

struct CipherContext {
  EVP_CIPHER_CTX* get = EVP_CIPHER_CTX_new();
  CipherContext() {
    if (get == nullptr) cannot_seal();
  }
  CipherContext(const CipherContext&) = delete;
  CipherContext& operator=(const CipherContext&) = delete;
  ~CipherContext() { EVP_CIPHER_CTX_free(get); }
};

/// Its bytes are wiped with it.
Secret key_from(const Secret& passphrase, std::string_view salt) {
  std::string key(key_size, '\0');
  const std::string& words = passphrase.reveal();
  if (EVP_PBE_scrypt(words.data(), words.size(), sealed_bytes(salt), salt.size(), scrypt_n, scrypt_r,
                     scrypt_p, scrypt_memory, sealed_bytes(key), key.size()) != 1)
    cannot_seal();
  return Secret(std::move(key));
}

Error unreadable(std::string_view what, const char* why, const char* advice) {
  return Error(ErrorKind::invalid, "SealInvalid", fmt::format("{} {}", what, why), advice);
}

}  // namespace

std::string seal(const Secret& plain, const Secret& passphrase) {
  const std::string salt = random_bytes(salt_size), nonce = random_bytes(nonce_size);
  const Secret key = key_from(passphrase, salt);
  const std::string& text = plain.reveal();
  std::string sealed(text.size(), '\0'), tag(tag_size, '\0');
  int written = 0, rest = 0;
  CipherContext context;
  if (EVP_EncryptInit_ex(context.get, EVP_aes_256_gcm(), nullptr,
                         sealed_bytes(std::string_view(key.reveal())),
                         sealed_bytes(std::string_view(nonce))) != 1 ||
      EVP_EncryptUpdate(context.get, sealed_bytes(sealed), &written, sealed_bytes(std::string_view(text)),
                        static_cast<int>(text.size())) != 1 ||
      EVP_EncryptFinal_ex(context.get, sealed_bytes(sealed) + written, &rest) != 1 ||
      EVP_CIPHER_CTX_ctrl(context.get, EVP_CTRL_GCM_GET_TAG, tag_size, tag.data()) != 1)
    cannot_seal();
  std::string lines = base64_encode(salt + nonce + tag + sealed, 64);
  if (!lines.ends_with('\n')) lines += '\n';
  return std::string(begin_line) + lines + std::string(end_line);
}

Secret unseal(std::string_view sealed, const Secret& passphrase, std::string_view what) {
  const std::size_t from = sealed.find(begin_line), to = sealed.find(end_line);
  const char* export_it = "Give a file that 'azure vm docker export' made.";
  if (from == std::string_view::npos || to == std::string_view::npos || to < from || sealed.size() > largest)
    throw unreadable(what, "is not an exported host.", export_it);
  std::string lines(sealed.substr(from + begin_line.size(), to - from - begin_line.size()));
  std::erase(lines, '\n');
  const auto all = base64_decode(lines);
  if (!all || all->size() < salt_size + nonce_size + tag_size)
    throw unreadable(what, "is damaged.", export_it);
  const std::string salt = all->substr(0, salt_size), nonce = all->substr(salt_size, nonce_size);
  std::string tag = all->substr(salt_size + nonce_size, tag_size);
  const std::string body = all->substr(salt_size + nonce_size + tag_size);
  const Secret key = key_from(passphrase, salt);
  std::string text(body.size(), '\0');
  int written = 0, rest = 0;
  CipherContext context;
  const bool good =
      EVP_DecryptInit_ex(context.get, EVP_aes_256_gcm(), nullptr,
                         sealed_bytes(std::string_view(key.reveal())),
                         sealed_bytes(std::string_view(nonce))) == 1 &&
      EVP_DecryptUpdate(context.get, sealed_bytes(text), &written, sealed_bytes(std::string_view(body)),
                        static_cast<int>(body.size())) == 1 &&
      EVP_CIPHER_CTX_ctrl(context.get, EVP_CTRL_GCM_SET_TAG, tag_size, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(context.get, sealed_bytes(text) + written, &rest) == 1;
  Secret plain(std::move(text));
  if (!good)
    throw unreadable(what, "does not open: the passphrase is another one, or the file was changed.", "");
  return plain;
}

}  // namespace berth
