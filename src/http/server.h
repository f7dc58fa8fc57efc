#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "http/message.h"

namespace berth {

/// What the server holds its clients to. A client is known once a gate has said so of one of its requests.
struct ServerLimits {
  std::size_t header = std::size_t{32} * 1024;          ///< bytes of one; then 431
  std::size_t bodies = std::size_t{256} * 1024 * 1024;  ///< bytes of all that are read or worked on; then 503
  std::chrono::seconds read{60};                        ///< for one whole request of a known client to arrive
  std::chrono::seconds idle{300};                       ///< between requests of a known client
  /// For a TLS handshake, for one head, and for all that a client that is not known sends or holds back.
  std::chrono::seconds head{20};
  /// When there are more, the one that is missed least goes: of a client that is not known before one that
  /// is idle, and of the account that has most; of them the one that was silent longest.
  std::size_t connections = 4096;
  /// The same for clients that are not known, counted apart for this account (with root) and for all others.
  std::size_t unknown = 256;
  /// The time between the beginnings of two TLS handshakes, which take the thread a millisecond each: for
  /// other accounts, all of them together.
  std::chrono::milliseconds pace{2};
};

struct ServerTls {
  std::string certificate_chain;        ///< PEM, leaf first
  Secret key;                           ///< PEM
  bool ask_client_certificate = false;  ///< ask, take any, and let the gate decide
  /// What clients may call this server in Host, without the port: its own, or none. A request for another
  /// name is 421 (a web page can make its own name lead here), one that a page of another origin sends is
  /// 403. Empty: any name.
  std::vector<std::string> names = {};
};

/// An HTTP/1.1 server on one listening socket. The handler runs on the executor's thread; what it throws is a
/// bug and becomes 500 with an empty body: handlers turn berth::Error into their dialect themselves. TLS 1.2
/// and newer, with forward secrecy. The destructor closes the listener and all connections; it too runs on
/// the executor's thread.
class Server {
 public:
  /// `port` 0 takes a free one. Throws Error(unavailable) naming the address when it cannot listen.
  static std::unique_ptr<Server> on_tcp(boost::asio::any_io_executor executor, const std::string& address,
                                        std::uint16_t port, const ServerTls& tls, Gate gate,
                                        ServerLimits limits = {});
  /// Plain HTTP on a unix socket (replaced if it exists, mode 0600).
  static std::unique_ptr<Server> on_unix(boost::asio::any_io_executor executor,
                                         const std::filesystem::path& socket, Gate gate,
                                         ServerLimits limits = {});
  virtual ~Server() = default;
  virtual std::uint16_t port() const = 0;  ///< 0 for a unix socket
  /// "https://NAME:PORT" for each of its names.
  virtual std::vector<std::string> origins() const = 0;
};

}  // namespace berth
