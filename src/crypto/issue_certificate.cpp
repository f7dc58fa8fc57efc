#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>
#include <set>

#include "crypto/openssl.h"
#include "crypto/random.h"

namespace berth {
namespace {

using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Releaser<X509_EXTENSION_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Releaser<GENERAL_NAMES_free>>;
using NamePtr = std::unique_ptr<GENERAL_NAME, Releaser<GENERAL_NAME_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Releaser<BN_free>>;

[[noreturn]] void throw_bad_name(const std::string& happened) {
  throw Error(ErrorKind::invalid, "InvalidCertificateName", happened);
}

void set_serial(X509* x509) {
  std::string bytes = random_bytes(16);
  bytes[0] = static_cast<char>(bytes[0] | 1);  // never zero
  const NumberPtr number(BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), 16, nullptr));
  must(number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)), "set a serial number");
}

void set_dates(X509* x509, std::chrono::days lifetime) {
  std::time_t now = std::time(nullptr);
  must(X509_time_adj_ex(X509_getm_notBefore(x509), 0, -5 * 60, &now) &&
           X509_time_adj_ex(X509_getm_notAfter(x509), static_cast<int>(lifetime.count()), 0, &now),
       "set the dates of a certificate");
}

void add_part(X509_NAME* name, const std::string& field, const std::string& value) {
  ERR_clear_error();
  const bool added = !value.empty() && value.find('\0') == value.npos &&
                     X509_NAME_add_entry_by_txt(name, field.c_str(), MBSTRING_UTF8,
                                                reinterpret_cast<const unsigned char*>(value.data()),
                                                static_cast<int>(value.size()), -1, 0) == 1;
  if (!added)
    throw_bad_name(fmt::format("'{}' cannot be the {} of a certificate's subject: {}.", value, field,
                               value.empty() ? "it is empty" : openssl_reason()));
}

void set_subject(X509* x509, const CertificateOrder& order) {
  X509_NAME* name = X509_get_subject_name(x509);
  for (const auto& [field, value] : order.subject_prefix) add_part(name, field, value);
  add_part(name, "CN", order.common_name);
}

bool is_dns_name(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  if (name.empty() || name.size() > 253) return false;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('.', begin), name.size());
    if (end == begin || end - begin > 63) return false;
    begin = end + 1;
  }
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c < 128 && std::isalnum(c)) || c == '-' || c == '_' || c == '.';
  });
}

/// The octets of an address as RFC 5280 wants them; empty when it is none.
std::string octets_of(const std::string& address) {
  char bytes[16];
  if (::inet_pton(AF_INET, address.c_str(), bytes) == 1) return std::string(bytes, 4);
  if (::inet_pton(AF_INET6, address.c_str(), bytes) == 1) return std::string(bytes, 16);
  return {};
}

void add_name(GENERAL_NAMES* names, int type, ASN1_STRING* value, std::string_view bytes) {
  must(value && ASN1_STRING_set(value, bytes.data(), static_cast<int>(bytes.size())), "set a name");
  NamePtr name(GENERAL_NAME_new());
  must(name != nullptr, "set a name");
  GENERAL_NAME_set0_value(name.get(), type, value);
  must(sk_GENERAL_NAME_push(names, name.get()), "add a name");
  (void)name.release();
}

void add_alternative_names(X509* x509, const CertificateOrder& order) {
  const NamesPtr names(must(GENERAL_NAMES_new(), "take memory"));
  std::set<std::string> added;
  for (const std::string& name : order.dns_names) {
    if (!is_dns_name(name)) throw_bad_name(fmt::format("'{}' is not a DNS name.", name));
    if (added.insert(name).second) add_name(names.get(), GEN_DNS, ASN1_IA5STRING_new(), name);
  }
  for (const std::string& address : order.ip_addresses) {
    const std::string octets = octets_of(address);
    if (octets.empty()) throw_bad_name(fmt::format("'{}' is not an IP address.", address));
    if (added.insert(octets).second) add_name(names.get(), GEN_IPADD, ASN1_OCTET_STRING_new(), octets);
  }
  if (!added.empty())
    must(X509_add1_ext_i2d(x509, NID_subject_alt_name, names.get(), 0, X509V3_ADD_DEFAULT), "add the names");
}

struct Constraints {
  const char* basic;
  const char* key_usage;
  const char* extended;  ///< nullptr: none
};

Constraints constraints_of(CertificateUse use, const EVP_PKEY* key) {
  const bool rsa = EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA;
  const char* server = rsa ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature";
  switch (use) {
    case CertificateUse::authority:
      return {"critical,CA:TRUE", "critical,keyCertSign,cRLSign", nullptr};
    case CertificateUse::server:
      return {"critical,CA:FALSE", server, "serverAuth"};
    case CertificateUse::client:
      return {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth"};
    case CertificateUse::encryption:
      return {"critical,CA:FALSE", "critical,keyEncipherment", nullptr};
  }
  return {};
}

/// Only for texts of our own: in others a comma would begin another value.
void add_extension(X509* x509, X509V3_CTX* context, int kind, const char* value) {
  const ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, context, kind, value));
  must(extension && X509_add_ext(x509, extension.get(), -1), "add an extension");
}

void add_name_constraints(X509* x509, X509V3_CTX* context, const CertificateOrder& order) {
  if (order.permitted_names.empty()) return;
  std::string text = "critical";
  for (const std::string& name : order.permitted_names) {
    if (!is_dns_name(name)) throw_bad_name(fmt::format("'{}' is not a DNS name.", name));
    text += ",permitted;DNS:" + name;
  }
  add_extension(x509, context, NID_name_constraints, text.c_str());
}

const EVP_MD* digest_for(const EVP_PKEY* key) {
  const int kind = EVP_PKEY_get_base_id(key);
  return kind == EVP_PKEY_ED25519 || kind == EVP_PKEY_ED448 ? nullptr
                                                            : EVP_sha256();  // these bring their own
}

}  // namespace

Certificate issue_certificate(const CertificateOrder& order, const PrivateKey& subject,
                              const Certificate* issuer, const PrivateKey* issuer_key) {
  if ((issuer == nullptr) != (issuer_key == nullptr) || (issuer && !issuer->matches(*issuer_key)))
    throw Error(ErrorKind::invalid, "InvalidKey",
                fmt::format("The certificate of {} cannot be signed: the key of its issuer is another's.",
                            order.common_name));
  ERR_clear_error();
  X509Ptr x509(must(X509_new(), "take memory"));
  EVP_PKEY* key = subject.impl().key.get();
  must(X509_set_version(x509.get(), X509_VERSION_3) && X509_set_pubkey(x509.get(), key),
       "fill a certificate");
  set_serial(x509.get());
  set_dates(x509.get(), order.lifetime);
  set_subject(x509.get(), order);
  X509* signer = issuer ? issuer->impl().x509.get() : x509.get();
  EVP_PKEY* signing_key = issuer ? issuer_key->impl().key.get() : key;
  must(X509_set_issuer_name(x509.get(), X509_get_subject_name(signer)), "name the issuer");

  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, signer, x509.get(), nullptr, nullptr, 0);
  const Constraints constraints = constraints_of(order.use, key);
  add_extension(x509.get(), &context, NID_basic_constraints, constraints.basic);
  add_extension(x509.get(), &context, NID_key_usage, constraints.key_usage);
  if (constraints.extended) add_extension(x509.get(), &context, NID_ext_key_usage, constraints.extended);
  add_extension(x509.get(), &context, NID_subject_key_identifier, "hash");
  // An issuer made elsewhere may have no key identifier; then there is nothing to point at.
  if (X509_get0_subject_key_id(signer))
    add_extension(x509.get(), &context, NID_authority_key_identifier, "keyid:always");
  add_alternative_names(x509.get(), order);
  add_name_constraints(x509.get(), &context, order);

  must(X509_sign(x509.get(), signing_key, digest_for(signing_key)), "sign a certificate");
  // Read again: OpenSSL keeps what it worked out about a certificate, and did so before this one was signed.
  return Certificate::parse_der(der_of(&i2d_X509, x509.get(), "write a certificate"), "The new certificate");
}

}  // namespace berth
