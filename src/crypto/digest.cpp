#include "crypto/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <memory>

#include "crypto/encoding.h"
#include "crypto/openssl.h"

namespace berth {
namespace {

const unsigned char* data_of(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::string digest(std::string_view bytes, const EVP_MD* algorithm) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash;
  unsigned size = 0;
  must(EVP_Digest(bytes.data(), bytes.size(), hash.data(), &size, algorithm, nullptr), "make a digest");
  return std::string(reinterpret_cast<const char*>(hash.data()), size);
}

}  // namespace

std::string sha1(std::string_view bytes) {
  return digest(bytes, EVP_sha1());
}
std::string sha256(std::string_view bytes) {
  return digest(bytes, EVP_sha256());
}
std::string sha256_hex(std::string_view bytes) {
  return hex_encode(sha256(bytes));
}

std::string sha256_hex(const std::function<std::string_view()>& next) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  must(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1, "make a digest");
  for (std::string_view piece = next(); !piece.empty(); piece = next())
    must(EVP_DigestUpdate(context.get(), piece.data(), piece.size()), "make a digest");
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash;
  unsigned size = 0;
  must(EVP_DigestFinal_ex(context.get(), hash.data(), &size), "make a digest");
  return hex_encode(std::string_view(reinterpret_cast<const char*>(hash.data()), size));
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> code;
  unsigned size = 0;
  must(HMAC(EVP_sha256(), key.empty() ? "" : key.data(), static_cast<int>(key.size()), data_of(bytes),
            bytes.size(), code.data(), &size),
       "make a message authentication code");
  return std::string(reinterpret_cast<const char*>(code.data()), size);
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace berth
