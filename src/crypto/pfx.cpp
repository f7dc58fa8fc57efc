#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/pkcs7.h>

#include <cstdint>
#include <cstring>

#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "crypto/openssl.h"

namespace berth {
namespace {

using Pkcs12Ptr = std::unique_ptr<PKCS12, Releaser<PKCS12_free>>;

struct ReleaseBags {
  void operator()(STACK_OF(PKCS12_SAFEBAG) * bags) const {
    sk_PKCS12_SAFEBAG_pop_free(bags, &PKCS12_SAFEBAG_free);
  }
};
using BagsPtr = std::unique_ptr<STACK_OF(PKCS12_SAFEBAG), ReleaseBags>;

struct ReleaseSafes {
  void operator()(STACK_OF(PKCS7) * safes) const { sk_PKCS7_pop_free(safes, &PKCS7_free); }
};
using SafesPtr = std::unique_ptr<STACK_OF(PKCS7), ReleaseSafes>;

/// A reader pairs a key with the certificate that carries the same id.
void set_pair_id(PKCS12_SAFEBAG* bag, const Certificate& certificate) {
  std::string id = sha1(certificate.to_der());
  must(bag && PKCS12_add_localkeyid(bag, reinterpret_cast<unsigned char*>(id.data()),
                                    static_cast<int>(id.size())),
       "fill a PFX");
}

template <typename Owner, typename Stack>
void take_back(Owner& owner, Stack* stack) {  // OpenSSL may have made or moved it
  (void)owner.release();
  owner.reset(stack);
}

void add_identity(const Identity& identity, BagsPtr& certificates, BagsPtr& keys) {
  const auto& [certificate, key] = identity;
  if (!certificate.matches(key))
    throw Error(ErrorKind::invalid, "InvalidKey",
                fmt::format("The private key is not that of the certificate {}.", certificate.thumbprint()));
  auto* certificate_stack = certificates.get();
  PKCS12_SAFEBAG* bag = PKCS12_add_cert(&certificate_stack, certificate.impl().x509.get());
  take_back(certificates, certificate_stack);
  set_pair_id(bag, certificate);

  auto* key_stack = keys.get();
  bag = PKCS12_add_key(&key_stack, key.impl().key.get(), 0, PKCS12_DEFAULT_ITER, NID_aes_256_cbc, "");
  take_back(keys, key_stack);
  set_pair_id(bag, certificate);
}

}  // namespace

std::string pfx_for_guest(const std::vector<Identity>& identities) {
  if (identities.empty())
    throw Error(ErrorKind::invalid, "InvalidPfx", "A PFX without any certificate cannot be made.");
  ERR_clear_error();
  BagsPtr certificates;
  BagsPtr keys;
  for (const Identity& identity : identities) add_identity(identity, certificates, keys);

  SafesPtr safes;
  auto* stack = safes.get();
  const bool added =
      PKCS12_add_safe(&stack, certificates.get(), NID_aes_256_cbc, PKCS12_DEFAULT_ITER, "") == 1 &&
      PKCS12_add_safe(&stack, keys.get(), -1, 0, nullptr) == 1;  // each key is encrypted already
  take_back(safes, stack);
  must(added, "fill a PFX");
  const Pkcs12Ptr pfx(must(PKCS12_add_safes(safes.get(), 0), "make a PFX"));
  must(PKCS12_set_mac(pfx.get(), "", 0, nullptr, 0, PKCS12_DEFAULT_ITER, EVP_sha256()), "protect a PFX");
  return der_of(&i2d_PKCS12, pfx.get(), "write a PFX");
}

std::string pfx_for_publish_settings(const Identity& identity) {
  const auto& [certificate, key] = identity;
  if (EVP_PKEY_get_base_id(key.impl().key.get()) != EVP_PKEY_RSA)
    throw Error(ErrorKind::invalid, "InvalidKey", "A publish-settings file can carry only an RSA key.");
  if (!certificate.matches(key))
    throw Error(ErrorKind::invalid, "InvalidKey",
                fmt::format("The private key is not that of the certificate {}.", certificate.thumbprint()));
  constexpr int iterations = 2000;
  constexpr int cipher = NID_pbe_WithSHA1And3_Key_TripleDES_CBC;
  constexpr int without_mac = -1;  // it is set below: PKCS12_create would take SHA-256
  ERR_clear_error();
  const Pkcs12Ptr pfx(
      must(PKCS12_create(nullptr, "management", key.impl().key.get(), certificate.impl().x509.get(), nullptr,
                         cipher, cipher, iterations, without_mac, 0),
           "make a PFX"));
  must(PKCS12_set_mac(pfx.get(), nullptr, 0, nullptr, 0, iterations, EVP_sha1()), "protect a PFX");
  return der_of(&i2d_PKCS12, pfx.get(), "write a PFX");
}

namespace {

/// Deriving keys from passwords is slow on purpose: a PFX says itself how slow. What it asks for is added up
/// before anything is derived.
class Iterations {
 public:
  explicit Iterations(std::string_view what) : what_(what) {}

  void add(std::int64_t count) {
    if (count < 0 || count > most || (sum_ += count) > most)
      throw Error(
          ErrorKind::invalid, "InvalidPfx",
          fmt::format("{} asks for more than {} iterations of its password's key derivation.", what_, most),
          "Export it again with fewer: 'openssl pkcs12 -export' takes 2048.");
  }

  /// Those of an encryption by password: PKCS#12's own, PBES1 or PBES2 with PBKDF2.
  void add(const X509_ALGOR* algorithm) {
    const ASN1_OBJECT* object = nullptr;
    X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
    if (OBJ_obj2nid(object) != NID_pbes2) {
      const auto parameters = parameters_of<PBEPARAM, PBEPARAM_free>(algorithm, ASN1_ITEM_rptr(PBEPARAM));
      return add(number(parameters ? parameters->iter : nullptr));
    }
    const auto scheme = parameters_of<PBE2PARAM, PBE2PARAM_free>(algorithm, ASN1_ITEM_rptr(PBE2PARAM));
    if (scheme) X509_ALGOR_get0(&object, nullptr, nullptr, scheme->keyfunc);
    if (!scheme || OBJ_obj2nid(object) != NID_id_pbkdf2)
      throw Error(ErrorKind::invalid, "InvalidPfx",
                  fmt::format("{} derives its keys in a way that is not taken; PBKDF2 is.", what_));
    const auto derivation =
        parameters_of<PBKDF2PARAM, PBKDF2PARAM_free>(scheme->keyfunc, ASN1_ITEM_rptr(PBKDF2PARAM));
    add(number(derivation ? derivation->iter : nullptr));
  }

  void add(const STACK_OF(PKCS12_SAFEBAG) * bags, int depth = 0) {
    if (depth > 8)
      throw Error(ErrorKind::invalid, "InvalidPfx", fmt::format("{} is nested too deep.", what_));
    for (int i = 0; i < sk_PKCS12_SAFEBAG_num(bags); ++i) {
      const PKCS12_SAFEBAG* bag = sk_PKCS12_SAFEBAG_value(bags, i);
      if (PKCS12_SAFEBAG_get_nid(bag) == NID_safeContentsBag) {
        add(PKCS12_SAFEBAG_get0_safes(bag), depth + 1);
      } else if (PKCS12_SAFEBAG_get_nid(bag) == NID_pkcs8ShroudedKeyBag) {
        const X509_ALGOR* algorithm = nullptr;
        X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(bag), &algorithm, nullptr);
        add(algorithm);
      }
    }
  }

 private:
  static constexpr std::int64_t most = 1'000'000;

  template <class Parameters, auto release>
  static std::unique_ptr<Parameters, Releaser<release>> parameters_of(const X509_ALGOR* algorithm,
                                                                      const ASN1_ITEM* form) {
    return std::unique_ptr<Parameters, Releaser<release>>(
        static_cast<Parameters*>(ASN1_TYPE_unpack_sequence(form, algorithm->parameter)));
  }
  /// What is no number asks for too much.
  static std::int64_t number(const ASN1_INTEGER* written) {
    std::int64_t value = 0;
    return written && ASN1_INTEGER_get_int64(&value, written) == 1 ? value : most + 1;
  }

  std::string_view what_;
  std::int64_t sum_ = 0;
};

/// Counts what can be seen without the password.
void count_outer(PKCS12* pfx, Iterations& iterations) {
  const ASN1_INTEGER* rounds = nullptr;
  if (PKCS12_mac_present(pfx)) {
    PKCS12_get0_mac(nullptr, nullptr, nullptr, &rounds, pfx);
    std::int64_t count = 1;
    iterations.add(!rounds || ASN1_INTEGER_get_int64(&count, rounds) == 1 ? count : std::int64_t{-1});
  }
  const SafesPtr safes(PKCS12_unpack_authsafes(pfx));
  for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) {
    PKCS7* safe = sk_PKCS7_value(safes.get(), i);
    if (!safe->d.ptr) continue;
    if (PKCS7_type_is_encrypted(safe)) {
      iterations.add(safe->d.encrypted->enc_data->algorithm);
    } else if (PKCS7_type_is_data(safe)) {
      const BagsPtr bags(PKCS12_unpack_p7data(safe));
      if (bags) iterations.add(bags.get());
    }
  }
}

/// Counts what stands inside what the password opens.
void count_inner(PKCS12* pfx, const char* password, Iterations& iterations) {
  const SafesPtr safes(PKCS12_unpack_authsafes(pfx));
  for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) {
    PKCS7* safe = sk_PKCS7_value(safes.get(), i);
    if (!safe->d.ptr || !PKCS7_type_is_encrypted(safe)) continue;
    const BagsPtr bags(
        PKCS12_unpack_p7encdata(safe, password, password ? static_cast<int>(std::strlen(password)) : 0));
    if (bags) iterations.add(bags.get());
  }
}

}  // namespace

Identity parse_pfx(std::string_view der, std::string_view what, const Secret& secret) {
  const BioPtr bio = reading_bio(der, what);
  const Pkcs12Ptr pfx(d2i_PKCS12_bio(bio.get(), nullptr));
  if (!pfx)
    throw Error(ErrorKind::invalid, "InvalidPfx",
                fmt::format("{} is not a PFX file: {}.", what, openssl_reason()));
  Iterations iterations(what);
  count_outer(pfx.get(), iterations);
  const auto opens_with = [&](const char* password) {
    return !PKCS12_mac_present(pfx.get()) ||
           PKCS12_verify_mac(pfx.get(), password, password ? static_cast<int>(std::strlen(password)) : 0) ==
               1;
  };
  KeyPtr key;
  X509Ptr x509;
  std::string reason = secret.empty() ? "it is protected by a password" : "its password is another one";
  std::vector<const char*> passwords{nullptr, ""};
  if (!secret.empty()) passwords.push_back(secret.reveal().c_str());
  for (const char* password : passwords) {
    ERR_clear_error();
    if (!opens_with(password)) continue;
    Iterations inner = iterations;
    count_inner(pfx.get(), password, inner);
    EVP_PKEY* raw_key = nullptr;
    X509* raw_x509 = nullptr;
    const bool parsed = PKCS12_parse(pfx.get(), password, &raw_key, &raw_x509, nullptr) == 1;
    key.reset(raw_key);
    x509.reset(raw_x509);
    if (parsed && key && x509) break;
    reason = parsed ? "it holds no certificate with its private key" : openssl_reason();
  }
  ERR_clear_error();
  if (!key || !x509)
    throw Error(ErrorKind::invalid, "InvalidPfx", fmt::format("{} cannot be opened: {}.", what, reason));
  return {Certificate::Impl::wrap(std::move(x509)), PrivateKey::Impl::wrap(std::move(key))};
}

}  // namespace berth
