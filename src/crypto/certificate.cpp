#include "crypto/certificate.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#include <algorithm>

#include "crypto/encoding.h"
#include "crypto/openssl.h"

namespace berth {
namespace {

using NamesPtr = std::unique_ptr<GENERAL_NAMES, Releaser<GENERAL_NAMES_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Releaser<BN_free>>;

[[noreturn]] void throw_no_certificate(std::string_view what, std::string_view form) {
  throw Error(ErrorKind::invalid, "InvalidCertificate",
              fmt::format("{} is not a certificate in {} form: {}.", what, form, openssl_reason()));
}

CertificateTime time_of(const ASN1_TIME* time) {
  tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1)
    throw Error(ErrorKind::invalid, "InvalidCertificate",
                fmt::format("A date of the certificate cannot be read: {}.", openssl_reason()));
  return CertificateTime(std::chrono::seconds(::timegm(&parts)));
}

NamesPtr alternative_names(X509* x509) {
  NamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  return names;
}

std::string_view bytes_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

bool allows(X509* x509, std::uint32_t purpose) {
  const std::uint32_t usage = X509_get_extended_key_usage(x509);  // all ones when there is no such extension
  ERR_clear_error();
  return (usage & (purpose | XKU_ANYEKU)) != 0;
}

/// RFC 4251 section 5: a string, with its length before it.
void append_ssh(std::string& blob, std::string_view bytes) {
  for (int shift = 24; shift >= 0; shift -= 8) blob += static_cast<char>(bytes.size() >> shift & 255);
  blob += bytes;
}

/// RFC 4251 section 5: a number, with a zero byte before a leading one bit.
void append_ssh(std::string& blob, const BIGNUM* number) {
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number)), '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
  if (!bytes.empty() && (bytes[0] & 0x80) != 0) bytes.insert(0, 1, '\0');
  append_ssh(blob, bytes);
}

}  // namespace

Certificate Certificate::parse_pem(std::string_view pem, std::string_view what) {
  const BioPtr bio = reading_bio(pem, what);
  X509Ptr x509(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!x509) throw_no_certificate(what, "PEM");
  return Impl::wrap(std::move(x509));
}

std::vector<Certificate> Certificate::parse_bundle(std::string_view pem, std::string_view what) {
  const BioPtr bio = reading_bio(pem, what);
  std::vector<Certificate> certificates;
  while (X509Ptr x509{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)})
    certificates.push_back(Impl::wrap(std::move(x509)));
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  if (certificates.empty() || !at_end) throw_no_certificate(what, "PEM");
  ERR_clear_error();
  return certificates;
}

Certificate Certificate::parse_der(std::string_view der, std::string_view what) {
  const BioPtr bio = reading_bio(der, what);
  X509Ptr x509(d2i_X509_bio(bio.get(), nullptr));
  if (!x509) throw_no_certificate(what, "DER");
  if (BIO_pending(bio.get()) > 0)
    throw Error(ErrorKind::invalid, "InvalidCertificate",
                fmt::format("{} holds more bytes than its certificate.", what));
  return Impl::wrap(std::move(x509));
}

std::string Certificate::to_pem() const {
  const BioPtr bio = writing_bio();
  must(PEM_write_bio_X509(bio.get(), impl_->x509.get()), "write a certificate");
  return std::string(written_to(bio));
}

std::string Certificate::to_der() const {
  return der_of(&i2d_X509, impl_->x509.get(), "write a certificate");
}

std::string Certificate::thumbprint() const {
  std::string text = hex_encode(sha1(to_der()));
  for (char& digit : text) digit = static_cast<char>(std::toupper(static_cast<unsigned char>(digit)));
  return text;
}

std::string Certificate::subject() const {
  const BioPtr bio = writing_bio();
  must(X509_NAME_print_ex(bio.get(), X509_get_subject_name(impl_->x509.get()), 0,
                          XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB)) >= 0,
       "print a name");
  return std::string(written_to(bio));
}

CertificateTime Certificate::not_before() const {
  return time_of(X509_get0_notBefore(impl_->x509.get()));
}
CertificateTime Certificate::not_after() const {
  return time_of(X509_get0_notAfter(impl_->x509.get()));
}

bool Certificate::is_ca() const {
  constexpr int says_so = 1;              // in its basic constraints
  constexpr int old_and_self_signed = 3;  // X.509 version 1 has no constraints to say it in
  const int answer = X509_check_ca(impl_->x509.get());
  ERR_clear_error();
  return answer == says_so || answer == old_and_self_signed;
}

bool Certificate::has_name_constraints() const {
  return X509_get_ext_by_NID(impl_->x509.get(), NID_name_constraints, -1) >= 0;
}

std::vector<std::string> Certificate::dns_names() const {
  std::vector<std::string> result;
  const NamesPtr names = alternative_names(impl_->x509.get());
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    const std::string_view text = bytes_of(name->d.dNSName);
    if (text.find('\0') == text.npos) result.emplace_back(text);  // a zero byte is there to deceive
  }
  return result;
}

std::vector<std::string> Certificate::ip_addresses() const {
  std::vector<std::string> result;
  const NamesPtr names = alternative_names(impl_->x509.get());
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_IPADD) continue;
    const std::string_view bytes = bytes_of(name->d.iPAddress);
    char text[INET6_ADDRSTRLEN];
    if (bytes.size() != 4 && bytes.size() != 16) continue;
    if (::inet_ntop(bytes.size() == 4 ? AF_INET : AF_INET6, bytes.data(), text, sizeof text))
      result.emplace_back(text);
  }
  return result;
}

bool Certificate::allows_server_auth() const {
  return allows(impl_->x509.get(), XKU_SSL_SERVER);
}
bool Certificate::allows_client_auth() const {
  return allows(impl_->x509.get(), XKU_SSL_CLIENT);
}

bool Certificate::matches(const PrivateKey& key) const {
  const bool same = X509_check_private_key(impl_->x509.get(), key.impl().key.get()) == 1;
  ERR_clear_error();
  return same;
}

bool Certificate::is_issued_by(const Certificate& issuer) const {
  X509* theirs = issuer.impl().x509.get();
  EVP_PKEY* key = X509_get0_pubkey(theirs);
  const bool issued =
      issuer.is_ca() && key &&
      X509_NAME_cmp(X509_get_issuer_name(impl_->x509.get()), X509_get_subject_name(theirs)) == 0 &&
      X509_verify(impl_->x509.get(), key) == 1;
  ERR_clear_error();
  return issued;
}

std::string Certificate::public_key_der() const {
  return der_of(&i2d_X509_PUBKEY, X509_get_X509_PUBKEY(impl_->x509.get()), "write a public key");
}

std::optional<std::string> Certificate::ssh_rsa_key() const {
  const EVP_PKEY* key = X509_get0_pubkey(impl_->x509.get());
  BIGNUM* exponent = nullptr;
  BIGNUM* modulus = nullptr;
  const bool rsa = key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA &&
                   EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
                   EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &modulus) == 1;
  const NumberPtr e(exponent);
  const NumberPtr n(modulus);
  ERR_clear_error();
  if (!rsa) return std::nullopt;
  std::string blob;
  append_ssh(blob, "ssh-rsa");
  append_ssh(blob, e.get());
  append_ssh(blob, n.get());
  return "ssh-rsa " + base64_encode(blob);
}

}  // namespace berth
