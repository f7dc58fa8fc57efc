#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/secret.h"

namespace berth {

/// What clients sign in to one region with, and what it proves itself with. Made once, kept in its home:
/// tls/ca.pem, tls/server.pem, and the secrets in files of mode 0600 (tls/*-key.pem, access/client-secret,
/// access/client.pem, access/token-key).
struct RegionAccess {
  std::string subscription, tenant, client_id;  ///< UUIDs
  Secret client_secret;
  std::filesystem::path client_secret_file;
  /// The client may prove itself by this certificate too: PEM; the file holds its RSA key as well. "": by none.
  std::string client_certificate;
  std::filesystem::path client_certificate_file;
  Secret token_key;                ///< signs the region's tokens
  std::filesystem::path ca_file;   ///< PEM; what clients must trust
  std::string certificate_chain;   ///< PEM, leaf first
  Secret server_key;               ///< PEM
  std::vector<std::string> names;  ///< what clients may call the region in Host; an IPv6 address in brackets
};

/// Reads them, or makes those that are missing; a server certificate that ends within 30 days is renewed, and
/// so is, with the key that it has, an authority that may sign for more than the region.
/// RSA, since some clients of the classic API take nothing else. Throws Error(unavailable | invalid) naming
/// the file.
RegionAccess load_access(const std::filesystem::path& home);

}  // namespace berth
