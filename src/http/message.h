#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth {

/// Orders names of headers and query keys without regard to ASCII case.
struct CaseInsensitiveLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};
using CaseInsensitiveMap = std::map<std::string, std::string, CaseInsensitiveLess>;

/// One request, whole: plain data, so that handlers compile without Beast.
struct Request {
  std::string method;        ///< upper case
  std::string path;          ///< percent-decoded, repeated slashes collapsed, no query
  std::string raw_target;    ///< as on the wire
  CaseInsensitiveMap query;  ///< decoded; the last of repeated keys
  CaseInsensitiveMap headers;
  std::string body;
  CaseInsensitiveMap params;  ///< filled by the router from {name} segments
  std::string origin;  ///< "https://127.0.0.1:8443": scheme and the Host header, for absolute URLs in answers
  std::string client_certificate;  ///< DER of what the client presented in TLS, unchecked; empty if nothing
  std::string peer;                ///< for the log: address, or the socket's path
  std::int64_t account = -1;       ///< uid of the process at the other end; -1 when it cannot be told

  std::string header(std::string_view name) const;     ///< empty if absent
  std::string parameter(std::string_view name) const;  ///< of `query`; empty if absent
};

struct Response {
  int status = 200;
  CaseInsensitiveMap headers;
  std::string body;
};

using Handler = std::function<boost::asio::awaitable<Response>(Request)>;

/// What is decided about a request when its head is there and its body is not.
struct Admission {
  Handler handler;               ///< gets the request when it is whole; empty: it is refused
  Response refusal;              ///< sent at once then, and the body is never read
  std::size_t largest_body = 0;  ///< bytes; then 413
  bool known = false;            ///< the client has proved who it is
};

/// Decides by the head alone, and may set its `params`. What it throws is a bug, and becomes 500.
using Gate = std::function<Admission(Request& head)>;

/// Lets everybody in, with bodies of up to `largest_body` bytes: for a socket that only one client can reach.
Gate open_gate(Handler handler, std::size_t largest_body = std::size_t{8} * 1024 * 1024);

/// ErrorKind as an HTTP status: 400, 401, 404, 409, 409 (unavailable: see base/error.h), 500.
int http_status(ErrorKind kind);

/// A date as HTTP writes it, now.
std::string http_date();

std::string percent_encode(std::string_view text);  ///< RFC 3986 unreserved characters stay
std::string percent_decode(std::string_view text);  ///< bad escapes stay as they are

}  // namespace berth
