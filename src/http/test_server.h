#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "http/server.h"

/// For the tests of this folder: a server on a thread of its own, and self-signed certificates.
namespace berth {

struct TestIdentity {
  std::string certificate, key, der;  // PEM, PEM, DER
};

/// Self-signed for 127.0.0.1 and localhost. OpenSSL by hand, for crypto/ is not below this folder.
inline TestIdentity make_test_identity(const char* name, bool rsa = false) {
  EVP_PKEY* key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -300);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name), -1,
                             -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_set_pubkey(certificate, key);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost,DNS:web1.test");
  X509_add_ext(certificate, names, -1);
  X509_sign(certificate, key, EVP_sha256());

  TestIdentity identity;
  const auto text = [](auto write) {
    BIO* memory = BIO_new(BIO_s_mem());
    write(memory);
    char* data = nullptr;
    const long size = BIO_get_mem_data(memory, &data);
    std::string result(data, static_cast<std::size_t>(size));
    BIO_free(memory);
    return result;
  };
  identity.certificate = text([&](BIO* out) { PEM_write_bio_X509(out, certificate); });
  identity.der = text([&](BIO* out) { i2d_X509_bio(out, certificate); });
  identity.key =
      text([&](BIO* out) { PEM_write_bio_PKCS8PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); });
  X509_EXTENSION_free(names);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return identity;
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "berth-http-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

/// An io_context that runs on a thread; servers are made and destroyed on that thread.
class ServerThread {
 public:
  ServerThread() : work_(context_.get_executor()), thread_([this] { context_.run(); }) {}
  ~ServerThread() {
    do_there([this] { server_.reset(); });
    context_.stop();
    thread_.join();
  }
  ServerThread(const ServerThread&) = delete;
  ServerThread& operator=(const ServerThread&) = delete;

  boost::asio::any_io_executor executor() { return context_.get_executor(); }

  /// `names`: see ServerTls.
  std::uint16_t tcp(Gate gate, ServerLimits limits = {}, bool ask_client_certificate = false,
                    std::vector<std::string> names = {}) {
    do_there([&] {
      server_ = Server::on_tcp(executor(), "127.0.0.1", 0,
                               {identity.certificate, Secret(identity.key), ask_client_certificate, names},
                               gate, limits);
    });
    return server_->port();
  }
  void unix_socket(const std::filesystem::path& path, Gate gate, ServerLimits limits = {}) {
    do_there([&] { server_ = Server::on_unix(executor(), path, gate, limits); });
  }
  std::vector<std::string> origins() const { return server_->origins(); }
  void stop() {
    do_there([this] { server_.reset(); });
  }

  template <class Work>
  void do_there(Work work) {
    std::promise<void> done;
    boost::asio::post(context_, [&] {
      try {
        work();
        done.set_value();
      } catch (...) {
        done.set_exception(std::current_exception());
      }
    });
    done.get_future().get();
  }

  TestIdentity identity = make_test_identity("server");

 private:
  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
  std::unique_ptr<Server> server_;
};

}  // namespace berth
