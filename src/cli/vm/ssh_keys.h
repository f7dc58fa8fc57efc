#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/secret.h"

namespace berth {

/// The public key of a file as one OpenSSH line: a PEM certificate (RSA), or an OpenSSH public key. Throws
/// Error(invalid) naming the file.
std::string read_ssh_key(const std::filesystem::path& file);

struct GeneratedSshKey {
  std::filesystem::path private_key;  ///< 0600
  std::string line;                   ///< the public half
  bool made = false;                  ///< false: it was there already
};

/// Where keys that Berth makes are, below its configuration folder.
std::filesystem::path ssh_folder();

/// The private key that was made for a host; nullopt if none was.
std::optional<std::filesystem::path> find_ssh_key(const std::string& host);

/// A key that a new machine shall prove itself by: RSA, PEM, and its public half as an OpenSSH line.
struct SshHostKey {
  Secret private_key;
  std::string line;
};
SshHostKey make_ssh_host_key();

/// The key pair for a host below Berth's configuration folder, made if it is not there; RSA, which every
/// image accepts.
GeneratedSshKey load_or_make_ssh_key(const std::string& host);

}  // namespace berth
