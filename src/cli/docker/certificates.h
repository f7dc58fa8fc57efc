#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/secret.h"
#include "crypto/certificate.h"

namespace berth {

/// Lifetimes: the authority outlives its hosts; the leaves stay below what clients refuse as too long.
inline constexpr std::chrono::days authority_lifetime{3650};
inline constexpr std::chrono::days leaf_lifetime{825};

/// A server certificate with its key, PEM. Lives in memory only.
struct ServerCertificate {
  std::string certificate;
  Secret key;
};

/// The names and addresses that users type to reach a host.
struct HostNames {
  std::string host, vm_name;
  std::string fqdn, address;  ///< "": none
  std::string common_name;    ///< "": its first name
};

/// The certificates in a docker client's folder: ca.pem, ca-key.pem, cert.pem, key.pem. What is there is used
/// as it is and never written over.
class DockerCertificates {
 public:
  /// Looks, and changes nothing: throws Error(invalid) naming the file when the set is broken: half present,
  /// unreadable, expired, not belonging together, a key with a passphrase.
  static void check(const std::filesystem::path& folder);

  /// The same, and makes what is not there: the whole set, or a client pair for an authority that has none.
  /// Keys are 0600, new folders 0700. An interrupted run is finished by the next one.
  static DockerCertificates load_or_make(const std::filesystem::path& folder);

  bool made_authority() const { return made_authority_; }
  bool made_client() const { return made_client_; }
  const std::filesystem::path& folder() const { return folder_; }
  const std::string& authority_pem() const { return authority_pem_; }
  /// What the user should know: a key that others can read, a certificate near its end.
  const std::vector<std::string>& warnings() const { return warnings_; }

  /// A new certificate of this authority for a Docker host.
  ServerCertificate issue_server(const std::string& common_name, std::vector<std::string> dns_names,
                                 std::vector<std::string> ip_addresses) const;
  /// The same, good for all names and addresses of the host, and localhost.
  ServerCertificate issue_for_host(const HostNames& names) const;

 private:
  DockerCertificates(std::filesystem::path folder, Certificate authority, PrivateKey key)
      : folder_(std::move(folder)), authority_(std::move(authority)), authority_key_(std::move(key)) {}
  static DockerCertificates load(const std::filesystem::path& folder);

  std::filesystem::path folder_;
  std::string authority_pem_;
  Certificate authority_;
  PrivateKey authority_key_;
  bool made_authority_ = false, made_client_ = false;
  std::vector<std::string> warnings_;
};

/// Where the docker client looks by default: $DOCKER_CONFIG, else ~/.docker.
std::filesystem::path docker_config_folder();
/// The folder that --docker-cert-dir names; "": that of `azure config`, else docker's own.
std::filesystem::path certificate_folder(const std::string& option);

}  // namespace berth
