#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "crypto/certificate.h"

namespace berth {

/// The people who may use a Docker host besides its owner. Docker has no list of revoked certificates: each person has an authority of his
/// own, whose key is thrown away once it has signed his certificate, and a host accepts the authorities that it is told. To revoke one is to
/// no longer tell his; nobody else notices. Here is kept which ones a host is told: certificates alone, no key.
class Identities {
 public:
  /// Of one host of one region (subscription id), below Berth's configuration folder.
  Identities(const std::string& region, const std::string& host);

  struct Person {
    std::string name;
    CertificateTime not_after;
  };
  std::vector<Person> list() const;
  bool has(const std::string& person) const;

  struct Issued {
    std::string certificate;  ///< PEM
    Secret key;               ///< PEM
  };
  /// A new pair for a person, whose authority belongs to the bundle from now on. Throws Error: conflict when he has one; invalid for a name
  /// that none can have.
  Issued issue(const std::string& person, std::chrono::days lifetime) const;
  /// Throws Error(not_found).
  void remove(const std::string& person) const;
  /// Those of all persons, PEM.
  std::string bundle() const;
  /// With the host they are gone, too.
  void forget_all() const;

 private:
  std::filesystem::path file(const std::string& person) const;
  std::filesystem::path folder_;
};

}  // namespace berth
