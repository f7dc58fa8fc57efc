#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "crypto/certificate.h"
#include "crypto/envelope.h"

namespace berth {

struct TlsProbe {
  std::optional<Certificate> leaf;  ///< what the server presented; nullopt when the handshake never got there
  bool asks_for_client_certificate = false;
  bool accepted = false;  ///< the handshake finished and the server did not send an alert right after it
  std::string trouble;    ///< what ended it early; empty when accepted
};

/// One blocking TLS handshake with address:port (1.2 or newer), without checking the server's certificate.
/// With `client`, presents it; without, presents none, so that a server which demands one must refuse.
/// Never throws for what the server does; a refused connection is `trouble`.
TlsProbe probe_tls(const std::string& address, std::uint16_t port, const std::optional<Identity>& client,
                   std::chrono::milliseconds limit);

}  // namespace berth
