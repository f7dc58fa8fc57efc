#include "cli/vm/ssh_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "cli/settings.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

Error not_a_key(const std::string& file) {
  return Error(ErrorKind::invalid, "SshKeyInvalid",
               fmt::format("Specified SSH certificate {} is not in PEM or OpenSSH public key format", file),
               "Give a public key such as ~/.ssh/id_ed25519.pub, or a PEM certificate with an RSA key.");
}

/// "ssh-ed25519 AAAA… comment": the type stands again inside the base64.
bool is_openssh_line(const std::string& line) {
  const std::size_t blank = line.find(' ');
  if (blank == std::string::npos) return false;
  const std::string type = line.substr(0, blank);
  if (!type.starts_with("ssh-") && !type.starts_with("ecdsa-") && !type.starts_with("sk-")) return false;
  const std::size_t end = line.find(' ', blank + 1);
  const auto blob = base64_decode(line.substr(blank + 1, end == std::string::npos ? end : end - blank - 1));
  return blob && blob->size() > type.size() + 4 && blob->compare(4, type.size(), type) == 0;
}

std::string first_line(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  line.erase(line.find_last_not_of(" \r\t") + 1);
  return line;
}

std::string key_of_certificate(const Certificate& certificate, const std::string& file) {
  const auto key = certificate.ssh_rsa_key();
  if (!key) throw not_a_key(file);
  return *key;
}

fs::path ssh_key_file(const std::string& host) {
  return ssh_folder() / (host + "-key.pem");
}

}  // namespace

fs::path ssh_folder() {
  return config_folder() / "ssh";
}

std::string read_ssh_key(const fs::path& file) {
  const std::string text = read_file(file, 1024 * 1024);
  if (text.find("PRIVATE KEY") != std::string::npos)
    throw Error(
        ErrorKind::invalid, "SshKeyInvalid", fmt::format("{} is a private key.", file.string()),
        fmt::format("Give the public half: {}.pub, or 'ssh-keygen -y -f {}'.", file.string(), file.string()));
  if (text.find("-----BEGIN CERTIFICATE-----") != std::string::npos)
    return key_of_certificate(Certificate::parse_pem(text, file.string()), file.string());
  const std::string line = first_line(text);
  if (!is_openssh_line(line)) throw not_a_key(file.string());
  return line;
}

std::optional<fs::path> find_ssh_key(const std::string& host) {
  const fs::path file = ssh_key_file(host);
  std::error_code ec;
  return fs::is_regular_file(file, ec) ? std::optional(file) : std::nullopt;
}

SshHostKey make_ssh_host_key() {
  const PrivateKey key = PrivateKey::generate_rsa();
  return {key.to_pem(), key_of_certificate(issue_certificate({.common_name = "host"}, key), "the host key")};
}

GeneratedSshKey load_or_make_ssh_key(const std::string& host) {
  GeneratedSshKey generated{.private_key = ssh_key_file(host), .line = {}};
  make_folder(generated.private_key.parent_path());
  if (const auto pem = read_file_if_there(generated.private_key)) {
    const PrivateKey key = PrivateKey::parse_pem(Secret(*pem), generated.private_key.string());
    generated.line =
        key_of_certificate(issue_certificate({.common_name = host}, key), generated.private_key.string());
    return generated;
  }
  const PrivateKey key = PrivateKey::generate_rsa();
  generated.line =
      key_of_certificate(issue_certificate({.common_name = host}, key), generated.private_key.string());
  create_file(generated.private_key, key.to_pem().reveal(), 0600);
  generated.made = true;
  return generated;
}

}  // namespace berth
