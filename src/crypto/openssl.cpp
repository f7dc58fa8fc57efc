#include "crypto/openssl.h"

#include <fmt/format.h>
#include <openssl/buffer.h>
#include <openssl/err.h>

namespace berth {

std::string openssl_reason() {
  const unsigned long error = ERR_peek_error();
  const char* reason = error != 0 ? ERR_reason_error_string(error) : nullptr;
  std::string text = reason ? reason : error != 0 ? fmt::format("OpenSSL error {:x}", error) : "malformed";
  ERR_clear_error();
  return text;
}

void throw_openssl(std::string_view what) {
  throw Error(ErrorKind::internal, "CryptographyFailed",
              fmt::format("OpenSSL could not {}: {}.", what, openssl_reason()));
}

BioPtr reading_bio(std::string_view bytes, std::string_view what) {
  constexpr std::size_t largest = 16u << 20;
  if (bytes.size() > largest)
    throw Error(ErrorKind::invalid, "TooLarge",
                fmt::format("{} is larger than {} MiB.", what, largest >> 20));
  ERR_clear_error();
  return must(BioPtr(BIO_new_mem_buf(bytes.empty() ? "" : bytes.data(), static_cast<int>(bytes.size()))),
              "take memory");
}

BioPtr writing_bio() {
  ERR_clear_error();
  return must(BioPtr(BIO_new(BIO_s_mem())), "take memory");
}

std::string_view written_to(const BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return size > 0 ? std::string_view(data, static_cast<std::size_t>(size)) : std::string_view();
}

}  // namespace berth
