#pragma once

#include <boost/asio/awaitable.hpp>
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

  std::string header(std::string_view name) const;     ///< empty if absent
  std::string parameter(std::string_view name) const;  ///< of `query`; empty if absent
};

struct Response {
  int status = 200;
  CaseInsensitiveMap headers;
  std::string body;
};

using Handler = std::function<boost::asio::awaitable<Response>(Request)>;

/// ErrorKind as an HTTP status: 400, 401, 404, 409, 409 (unavailable: see base/error.h), 500.
int http_status(ErrorKind kind);

/// A date as HTTP writes it, now.
std::string http_date();

std::string percent_encode(std::string_view text);  ///< RFC 3986 unreserved characters stay
std::string percent_decode(std::string_view text);  ///< bad escapes stay as they are

}  // namespace berth
