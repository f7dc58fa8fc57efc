#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

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
