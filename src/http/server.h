#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/secret.h"
#include "http/message.h"

namespace berth {

/// What the server holds a client to.
struct ServerLimits {
  std::size_t body = std::size_t{8} * 1024 * 1024;  ///< then 413
  /// Another limit for requests that carry files, by method and path; nullptr: the same for all.
  std::size_t (*body_of)(std::string_view method, std::string_view path) = nullptr;
  std::size_t header = std::size_t{64} * 1024;  ///< then 431
  std::chrono::seconds read{60};                ///< for one whole request to arrive
  std::chrono::seconds idle{300};               ///< between requests of a kept connection
  std::size_t connections = 4096;               ///< more are accepted and closed
};

struct ServerTls {
  std::string certificate_chain;        ///< PEM, leaf first
  Secret key;                           ///< PEM
  bool ask_client_certificate = false;  ///< ask, take any, and let the handler decide
};

/// An HTTP/1.1 server on one listening socket. The handler runs on the executor's thread; what it throws is a
/// bug and becomes 500 with an empty body: handlers turn berth::Error into their dialect themselves. TLS 1.2
/// and newer. The destructor closes the listener and all connections; it too runs on the executor's thread.
class Server {
 public:
  /// `port` 0 takes a free one. Throws Error(unavailable) naming the address when it cannot listen.
  static std::unique_ptr<Server> on_tcp(boost::asio::any_io_executor executor, const std::string& address,
                                        std::uint16_t port, const ServerTls& tls, Handler handler,
                                        ServerLimits limits = {});
  /// Plain HTTP on a unix socket (replaced if it exists, mode 0600).
  static std::unique_ptr<Server> on_unix(boost::asio::any_io_executor executor,
                                         const std::filesystem::path& socket, Handler handler,
                                         ServerLimits limits = {});
  virtual ~Server() = default;
  virtual std::uint16_t port() const = 0;  ///< 0 for a unix socket
};

}  // namespace berth
