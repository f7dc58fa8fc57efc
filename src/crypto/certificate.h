#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace berth {

/// A private key. A value; copies share the key.
class PrivateKey {
 public:
  static PrivateKey generate_ec();   ///< ECDSA P-256
  static PrivateKey generate_rsa();  ///< RSA 2048: where the reader of the key accepts nothing else
  /// Any unencrypted PEM form. Throws Error(invalid) naming `what` when it is none, or is encrypted.
  static PrivateKey parse_pem(const Secret& pem, std::string_view what);

  Secret to_pem() const;  ///< PKCS#8, unencrypted

  struct Impl;
  const Impl& impl() const { return *impl_; }  ///< for crypto/ only

 private:
  explicit PrivateKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

using CertificateTime = std::chrono::sys_seconds;  ///< UTC

/// An X.509 certificate. A value; copies share it.
class Certificate {
 public:
  /// The first certificate of a PEM text. Throws Error(invalid) naming `what`.
  static Certificate parse_pem(std::string_view pem, std::string_view what);
  /// Every certificate of a PEM bundle, at least one.
  static std::vector<Certificate> parse_bundle(std::string_view pem, std::string_view what);
  static Certificate parse_der(std::string_view der, std::string_view what);

  std::string to_pem() const;
  std::string to_der() const;
  std::string thumbprint() const;  ///< upper-case hexadecimal SHA-1 of the DER, as Azure names certificates
  std::string subject() const;     ///< one line, RFC 2253
  CertificateTime not_before() const;
  CertificateTime not_after() const;
  bool is_ca() const;
  bool has_name_constraints() const;
  std::vector<std::string> dns_names() const;     ///< of the subject alternative name
  std::vector<std::string> ip_addresses() const;  ///< likewise, as text
  /// True when there is no extended key usage at all, or it holds the named one.
  bool allows_server_auth() const;
  bool allows_client_auth() const;
  bool matches(const PrivateKey& key) const;
  /// Signature, issuer name and CA flag; not the dates.
  bool is_issued_by(const Certificate& issuer) const;
  std::string public_key_der() const;  ///< SubjectPublicKeyInfo
  /// The public key as one OpenSSH line ("ssh-rsa AAAA…"); nullopt unless it is RSA.
  std::optional<std::string> ssh_rsa_key() const;

  struct Impl;
  const Impl& impl() const { return *impl_; }  ///< for crypto/ only

 private:
  explicit Certificate(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
  friend Certificate issue_certificate(const struct CertificateOrder&, const PrivateKey&, const Certificate*,
                                       const PrivateKey*);
};

enum class CertificateUse {
  authority,   ///< CA:TRUE, keyCertSign and cRLSign
  server,      ///< extended key usage serverAuth
  client,      ///< extended key usage clientAuth
  encryption,  ///< key encipherment only: the transport of protected settings
};

struct CertificateOrder {
  CertificateUse use = CertificateUse::server;
  std::string common_name;
  std::vector<std::string> dns_names;
  std::vector<std::string> ip_addresses;
  /// Of an authority: of names it can sign for these and those below them alone. Empty: for any. Addresses are
  /// not constrained: OpenSSL before 1.1, which old clients bring along, refuses a chain that does it.
  std::vector<std::string> permitted_names;
  std::chrono::days lifetime{365};
  /// Distinguished name parts before the common name, e.g. {"DC", "Windows Azure CRP Certificate Generator"}.
  std::vector<std::pair<std::string, std::string>> subject_prefix;
};

/// A certificate for the public half of `subject`: random 128-bit serial, notBefore five minutes back,
/// SHA-256. Without an issuer it is self-signed. Throws Error(invalid) on a name or address that X.509 cannot
/// carry.
Certificate issue_certificate(const CertificateOrder& order, const PrivateKey& subject,
                              const Certificate* issuer = nullptr, const PrivateKey* issuer_key = nullptr);

}  // namespace berth
