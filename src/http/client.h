#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/secret.h"
#include "http/message.h"

namespace berth {

struct ClientOptions {
  /// PEM; empty: that of SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE, else the system's store.
  std::filesystem::path ca_file;
  std::filesystem::path certificate_file;  ///< client certificate and key, PEM; empty: none
  std::filesystem::path key_file;
  std::string connect_to;  ///< address to connect to in place of the URL's host; empty: resolve it
  std::chrono::milliseconds connect_limit{10'000};
  std::chrono::milliseconds limit{60'000};             ///< for the whole exchange
  std::size_t largest_answer = std::size_t{64} << 20;  ///< bytes of its body
  bool direct = false;                                 ///< by no proxy, whatever the environment says
  std::function<bool()> cancelled;                     ///< asked a few times a second; true ends the exchange
};

struct ClientRequest {
  std::string method = "GET";
  std::string url;
  CaseInsensitiveMap headers;
  std::string body;
  Secret bearer;                       ///< Authorization: Bearer …; empty: none
  std::chrono::milliseconds limit{0};  ///< in place of the client's; 0: that one
};

/// Why there is no answer. Throws of send() carry one of these codes:
///   "ConnectionRefused", "ConnectionFailed", "HostNotFound", "TlsFailed", "TimedOut", "OperationCanceled",
///   "TransferFailed"
/// One blocking HTTP exchange over libcurl (HTTP/1.1, no redirects followed; proxies by HTTPS_PROXY, ALL_PROXY and
/// NO_PROXY, none for loopback). Any status is an answer. Keeps connections open between calls. Not for two threads at once.
class Client {
 public:
  explicit Client(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Throws Error(unavailable) naming the URL's host and the reason, and the proxy where it is to blame.
  Response send(const ClientRequest& request);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
