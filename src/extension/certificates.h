#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/secret.h"
#include "handler/root.h"

namespace berth::extension {

/// What the server side of mutual TLS needs, all PEM.
struct ServerCertificates {
  std::string ca, certificate;
  Secret key;
  bool operator==(const ServerCertificates&) const = default;
};

struct CertificateCheck {
  std::string summary;  ///< "The server certificate is valid for 364 days, until 2027-01-02T03:04:05Z."
  std::vector<std::string> warnings;
  std::chrono::sys_seconds recheck;  ///< when the answer will be another one
};

/// Whether dockerd and its clients can work with them: they parse, key and certificate belong together, the
/// certificate chains to the CA, today is within their time (five minutes of grace for clocks), the
/// certificate is for servers. Throws Error(invalid) with the first thing that is not so.
CertificateCheck check_certificates(const ServerCertificates& files, std::chrono::sys_seconds now);

/// Those in /etc/docker; empty strings where there is none.
ServerCertificates read_installed(const Root& root);

}  // namespace berth::extension
