#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/secret.h"
#include "crypto/certificate.h"

namespace berth {

/// For crypto/ only: OpenSSL's objects with their owners.
template <auto release>
struct Releaser {
  void operator()(auto* object) const { release(object); }
};
using BioPtr = std::unique_ptr<BIO, Releaser<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Releaser<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Releaser<X509_free>>;

struct PrivateKey::Impl {
  KeyPtr key;
  static PrivateKey wrap(KeyPtr key) {
    return PrivateKey(std::make_shared<const Impl>(Impl{std::move(key)}));
  }
};

struct Certificate::Impl {
  X509Ptr x509;
  static Certificate wrap(X509Ptr x509) {
    return Certificate(std::make_shared<const Impl>(Impl{std::move(x509)}));
  }
};

/// The first reason in this thread's queue, which is the innermost; empties the queue.
std::string openssl_reason();

/// Error(internal): OpenSSL could not do what it always can (memory, our own wrong call).
[[noreturn]] void throw_openssl(std::string_view what);

template <typename Pointer>
Pointer must(Pointer object, std::string_view what) {
  if (!object) throw_openssl(what);
  return object;
}
inline void must(int success, std::string_view what) {
  if (success <= 0) throw_openssl(what);
}

/// Reads from `bytes`, which must outlive it. Throws Error(invalid) naming `what` above 16 MiB.
BioPtr reading_bio(std::string_view bytes, std::string_view what);

/// Grows in memory; wiped when freed.
BioPtr writing_bio();
std::string_view written_to(const BioPtr& bio);

/// The DER form of any OpenSSL object, by its i2d function.
template <typename Object>
std::string der_of(int (*encode)(const Object*, unsigned char**), const Object* object,
                   std::string_view what) {
  const int size = encode(object, nullptr);
  must(size, what);
  std::string der(static_cast<std::size_t>(size), '\0');
  auto* end = reinterpret_cast<unsigned char*>(der.data());
  must(encode(object, &end), what);
  return der;
}

}  // namespace berth
