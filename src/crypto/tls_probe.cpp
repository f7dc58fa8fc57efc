#include "crypto/tls_probe.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "crypto/openssl.h"

namespace berth {
namespace {

using Clock = std::chrono::steady_clock;
using ContextPtr = std::unique_ptr<SSL_CTX, Releaser<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Releaser<SSL_free>>;

/// What the server or the network did; becomes TlsProbe::trouble.
struct Trouble {
  std::string text;
};

/// A TCP connection whose every wait ends at the deadline, and which never raises SIGPIPE.
class Connection {
 public:
  Connection(const std::string& address, std::uint16_t port, Clock::time_point deadline)
      : deadline_(deadline) {
    sockaddr_storage where{};
    const socklen_t size = parse(address, port, where);
    fd_ = ::socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) throw Trouble{std::strerror(errno)};
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&where), size) == 0) return;
    int error = errno;
    if (error == EINPROGRESS && !wait(POLLOUT, deadline_)) error = ETIMEDOUT;
    socklen_t error_size = sizeof error;
    if (error == EINPROGRESS) ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &error_size);
    if (error != 0) {
      ::close(fd_);
      throw Trouble{std::strerror(error)};
    }
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { ::close(fd_); }

  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes.remove_prefix(static_cast<std::size_t>(sent));
      } else if (errno == EAGAIN) {
        if (!wait(POLLOUT, deadline_)) throw Trouble{"the server did not take our bytes in time"};
      } else if (errno == EPIPE || errno == ECONNRESET) {
        return;  // it closed: what it said before that is still to be read, and explains more
      } else if (errno != EINTR) {
        throw Trouble{std::strerror(errno)};
      }
    }
  }

  /// What arrives next; nullopt when nothing does until `until`, empty at the end of the stream.
  std::optional<std::string> receive(Clock::time_point until) {
    std::array<char, 16 * 1024> buffer;
    while (true) {
      const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
      if (got >= 0) return std::string(buffer.data(), static_cast<std::size_t>(got));
      if (errno == ECONNRESET) return std::string();
      if (errno == EAGAIN) {
        if (!wait(POLLIN, std::min(until, deadline_))) return std::nullopt;
      } else if (errno != EINTR) {
        throw Trouble{std::strerror(errno)};
      }
    }
  }

 private:
  static socklen_t parse(const std::string& address, std::uint16_t port, sockaddr_storage& where) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&where);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&where);
    if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
      v4->sin_family = AF_INET;
      v4->sin_port = htons(port);
      return sizeof *v4;
    }
    if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(port);
      return sizeof *v6;
    }
    throw Trouble{fmt::format("'{}' is not an IP address", address)};
  }

  bool wait(short events, Clock::time_point until) const {
    while (true) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      if (left <= 0) return false;
      pollfd waiting{fd_, events, 0};
      const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<long long>(left, 60'000)));
      if (ready > 0) return true;
    }
  }

  int fd_ = -1;
  Clock::time_point deadline_;
};

/// OpenSSL as a machine that turns bytes into bytes; we move them ourselves.
class Handshake {
 public:
  Handshake(Connection& connection, const std::optional<Identity>& client, TlsProbe& probe)
      : connection_(connection), probe_(probe) {
    context_ = must(ContextPtr(SSL_CTX_new(TLS_client_method())), "set up TLS");
    must(SSL_CTX_set_min_proto_version(context_.get(), TLS1_2_VERSION), "set up TLS");
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_cert_verify_callback(context_.get(), &Handshake::note_leaf, this);
    SSL_CTX_set_cert_cb(context_.get(), &Handshake::note_request, this);
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context_.get(), &Handshake::note_ticket);
    if (client) present(*client);
    ssl_ = must(SslPtr(SSL_new(context_.get())), "set up TLS");
    SSL_set_app_data(ssl_.get(), this);
    in_ = must(BIO_new(BIO_s_mem()), "take memory");
    out_ = must(BIO_new(BIO_s_mem()), "take memory");
    BIO_set_mem_eof_return(in_, -1);  // an empty buffer means "not yet"
    SSL_set_bio(ssl_.get(), in_, out_);
    SSL_set_connect_state(ssl_.get());
  }

  void finish(Clock::time_point deadline) {
    const auto step = [this] { return SSL_do_handshake(ssl_.get()); };
    if (!drive(step, deadline)) throw Trouble{"the server did not answer in time"};
  }

  /// In TLS 1.3 our side is finished before the server has looked at our certificate. Waits for the first
  /// thing it sends then: a session ticket or data, which mean yes, or an alert, which means no. A server
  /// that sends neither is content, and costs the whole wait.
  void hear_verdict(Clock::time_point until) {
    if (SSL_version(ssl_.get()) < TLS1_3_VERSION) return;
    const auto step = [this] {
      char byte;
      const int got = SSL_peek(ssl_.get(), &byte, 1);
      return has_ticket_ && got <= 0 && SSL_get_error(ssl_.get(), got) == SSL_ERROR_WANT_READ ? 1 : got;
    };
    drive(step, until);
  }

 private:
  void present(const Identity& client) {
    ERR_clear_error();
    if (SSL_CTX_use_certificate(context_.get(), client.first.impl().x509.get()) != 1 ||
        SSL_CTX_use_PrivateKey(context_.get(), client.second.impl().key.get()) != 1)
      throw Error(ErrorKind::invalid, "InvalidKey",
                  fmt::format("The client certificate {} cannot be presented: {}.", client.first.thumbprint(),
                              openssl_reason()));
  }

  /// Repeats the step and moves bytes until it succeeds; false when the time is up.
  bool drive(const auto& step, Clock::time_point until) {
    while (true) {
      ERR_clear_error();
      const int result = step();
      const int error = SSL_get_error(ssl_.get(), result);
      const std::string reason = ERR_peek_error() != 0 ? openssl_reason() : "";
      connection_.send(written());
      if (result > 0) return true;
      if (error != SSL_ERROR_WANT_READ || ended_)
        throw Trouble{reason.empty() ? "the server closed the connection" : reason};
      const auto bytes = connection_.receive(until);
      if (!bytes) return false;
      ended_ = bytes->empty();
      if (!ended_) BIO_write(in_, bytes->data(), static_cast<int>(bytes->size()));
    }
  }

  std::string written() {
    std::string bytes(BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }

  static int note_leaf(X509_STORE_CTX* store, void* self) {
    X509* leaf = X509_STORE_CTX_get0_cert(store);
    if (leaf && X509_up_ref(leaf) == 1)
      static_cast<Handshake*>(self)->probe_.leaf = Certificate::Impl::wrap(X509Ptr(leaf));
    return 1;
  }
  static int note_request(SSL*, void* self) {
    static_cast<Handshake*>(self)->probe_.asks_for_client_certificate = true;
    return 1;
  }
  static int note_ticket(SSL* ssl, SSL_SESSION*) {
    static_cast<Handshake*>(SSL_get_app_data(ssl))->has_ticket_ = true;
    return 0;  // we keep none
  }

  Connection& connection_;
  TlsProbe& probe_;
  ContextPtr context_;
  SslPtr ssl_;
  BIO* in_ = nullptr;  // ssl_ owns them
  BIO* out_ = nullptr;
  bool ended_ = false;
  bool has_ticket_ = false;
};

}  // namespace

TlsProbe probe_tls(const std::string& address, std::uint16_t port, const std::optional<Identity>& client,
                   std::chrono::milliseconds limit) {
  constexpr std::chrono::seconds longest_verdict{5};
  const auto deadline = Clock::now() + limit;
  TlsProbe probe;
  try {
    Connection connection(address, port, deadline);
    Handshake handshake(connection, client, probe);
    handshake.finish(deadline);
    handshake.hear_verdict(std::min(deadline, Clock::now() + longest_verdict));
    probe.accepted = true;
  } catch (const Trouble& trouble) {
    probe.trouble = trouble.text;
  }
  return probe;
}

}  // namespace berth
