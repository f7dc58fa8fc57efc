#include "extension/certificates.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "crypto/certificate.h"
#include "extension/engine_config.h"
#include "handler/log.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using std::chrono::days;
using std::chrono::sys_seconds;

constexpr std::chrono::minutes clock_skew{5};
constexpr days warn_before{30};

[[noreturn]] void throw_bad_certificate(const std::string& happened, const std::string& advice) {
  throw Error(ErrorKind::invalid, "BadCertificate", happened, advice);
}

void check_time(const Certificate& certificate, std::string_view what, sys_seconds now) {
  if (certificate.not_before() - clock_skew > now)
    throw_bad_certificate(
        fmt::format("The {} is not valid before {}.", what, utc_text(certificate.not_before())),
        "Check the clock of this machine and of the one that made it, or make a new one.");
  if (certificate.not_after() < now)
    throw_bad_certificate(fmt::format("The {} expired on {}.", what, utc_text(certificate.not_after())),
                          "Make a new one and apply the settings again.");
}

/// Follows issuers from the leaf through its bundle to one of the CAs.
bool chains_to(const std::vector<Certificate>& bundle, const std::vector<Certificate>& authorities) {
  const Certificate* link = &bundle.front();
  for (std::size_t step = 0; step < bundle.size(); ++step) {
    if (std::any_of(authorities.begin(), authorities.end(),
                    [&](const Certificate& ca) { return link->is_issued_by(ca); }))
      return true;
    const auto next = std::find_if(bundle.begin() + 1, bundle.end(), [&](const Certificate& between) {
      return &between != link && between.is_ca() && link->is_issued_by(between);
    });
    if (next == bundle.end()) return false;
    link = &*next;
  }
  return false;
}

}  // namespace

CertificateCheck check_certificates(const ServerCertificates& files, sys_seconds now) {
  const auto authorities = Certificate::parse_bundle(files.ca, "the CA certificate");
  const auto bundle = Certificate::parse_bundle(files.certificate, "the server certificate");
  const Certificate& leaf = bundle.front();
  const PrivateKey key = PrivateKey::parse_pem(files.key, "the server key");
  if (!leaf.matches(key))
    throw_bad_certificate("The server key does not belong to the server certificate.",
                          "Send the pair that was made together.");
  if (!chains_to(bundle, authorities))
    throw_bad_certificate(fmt::format("The server certificate ({}) is not issued by the given CA ({}).",
                                      leaf.subject(), authorities.front().subject()),
                          "Send the CA that signed the certificate.");
  check_time(leaf, "server certificate", now);
  for (const Certificate& ca : authorities) {
    // A bundle may hold the old CA beside the new one; one of them must be good.
    if (ca.not_after() >= now && ca.not_before() - clock_skew <= now) break;
    if (&ca == &authorities.back()) check_time(ca, "CA certificate", now);
  }
  if (!leaf.allows_server_auth())
    throw_bad_certificate("The server certificate's extended key usage does not allow servers (serverAuth).",
                          "Make one for a server.");

  CertificateCheck check;
  const auto left = std::chrono::floor<days>(leaf.not_after() - now);
  check.summary = fmt::format("The server certificate is valid for {} days, until {}.", left.count(),
                              utc_text(leaf.not_after()));
  if (leaf.dns_names().empty() && leaf.ip_addresses().empty())
    check.warnings.push_back(
        "The server certificate has no subject alternative name: clients that verify it (--tlsverify) refuse "
        "it.");
  check.recheck = leaf.not_after() - warn_before;
  if (check.recheck <= now) {
    check.warnings.push_back(fmt::format("The server certificate expires in {} days.", left.count()));
    check.recheck = leaf.not_after();
  }
  return check;
}

ServerCertificates read_installed(const Root& root) {
  const auto text = [&](std::string_view file) { return read_file_if_there(root(file)).value_or(""); };
  return {text(ca_file), text(certificate_file), Secret(text(key_file))};
}

}  // namespace berth::extension
