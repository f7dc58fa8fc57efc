#include "crypto/random.h"

#include <fmt/format.h>
#include <string.h>
#include <sys/random.h>

#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "crypto/encoding.h"

namespace berth {

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t done = 0; done < count;) {
    const ssize_t got = ::getrandom(bytes.data() + done, count - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw Error(ErrorKind::unavailable, "NoRandomNumbers",
                  fmt::format("The operating system gives no random numbers: {}.", std::strerror(errno)));
    done += static_cast<std::size_t>(got);
  }
  return bytes;
}

std::string random_hex(std::size_t digits) {
  return hex_encode(random_bytes((digits + 1) / 2)).substr(0, digits);
}

std::string new_uuid() {
  std::string bytes = random_bytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);  // version 4
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);  // the variant of RFC 4122
  std::string text = hex_encode(bytes);
  for (const std::size_t dash : {8u, 13u, 18u, 23u}) text.insert(dash, 1, '-');
  return text;
}

Secret random_secret(std::size_t bytes) {
  while (true) {
    std::string raw = random_bytes(bytes);
    Secret secret(base64url_encode(raw));
    ::explicit_bzero(raw.data(), raw.size());
    if (secret.empty() || std::isalpha(static_cast<unsigned char>(secret.reveal().front())) != 0)
      return secret;
  }
}

}  // namespace berth
