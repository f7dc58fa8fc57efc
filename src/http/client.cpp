#include "http/client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string_view>

#include "base/error.h"

namespace berth {
namespace {

constexpr std::size_t largest_head = std::size_t{1} << 20;
constexpr int cancel_poll_ms = 100;
constexpr int idle_poll_ms = 1000;

struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, FreeList>;

void append(List& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (!longer) throw std::bad_alloc();
  static_cast<void>(list.release());  // now part of `longer`
  list.reset(longer);
}

struct Answer {
  Response response;
  std::size_t largest = 0;
  std::size_t head = 0;  ///< bytes of all header lines so far
  bool too_large = false;
};

std::size_t take_body(char* data, std::size_t size, std::size_t count, void* user) {
  auto& answer = *static_cast<Answer*>(user);
  if (answer.response.body.size() + size * count > answer.largest) {
    answer.too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  answer.response.body.append(data, size * count);
  return size * count;
}

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* user) {
  auto& answer = *static_cast<Answer*>(user);
  auto& headers = answer.response.headers;
  answer.head += size * count;
  if (answer.head > largest_head) {
    answer.too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) headers.clear();  // the head before was an interim one
  const auto colon = line.find(':');
  if (colon != std::string_view::npos) {
    const auto trim = [](std::string_view text) {
      const auto first = text.find_first_not_of(" \t\r\n");
      if (first == std::string_view::npos) return std::string_view();
      return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
    };
    const std::string_view value = trim(line.substr(colon + 1));
    const auto [entry, is_new] = headers.try_emplace(std::string(trim(line.substr(0, colon))), value);
    if (!is_new) entry->second.append(", ").append(value);
  }
  return size * count;
}

/// The host of a URL, without brackets; throws when there is none.
std::string host_of(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  char* host = nullptr;
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK ||
      curl_url_get(parsed.get(), CURLUPART_HOST, &host, 0) != CURLUE_OK)
    throw Error(ErrorKind::invalid, "InvalidUrl",
                fmt::format("\"{}\" is not a URL.", url.substr(0, url.find_first_of("?@"))));
  std::string name = host;
  curl_free(host);
  std::erase_if(name, [](char c) { return c == '[' || c == ']'; });
  return name;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host.ends_with(".localhost") || host == "::1" || host.starts_with("127.");
}

/// The first of these variables of the environment that is set to something: its name and its value.
std::optional<std::pair<std::string, std::string>> first_variable(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0')
      return std::make_pair(std::string(name), std::string(value));
  return std::nullopt;
}

/// Authorities that the environment names in place of the system's, by the names that OpenSSL, Python and curl know.
std::optional<std::pair<std::string, std::string>> authorities_of_environment() {
  return first_variable({"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"});
}

/// "the proxy proxy.corp:3128 (HTTPS_PROXY)", without the password that may stand in it; "" without one.
std::string proxy_of_environment(bool tls) {
  const auto proxy = tls ? first_variable({"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
                         : first_variable({"http_proxy", "all_proxy", "ALL_PROXY"});
  if (!proxy) return {};
  std::string where = proxy->second;
  if (const auto scheme = where.find("://"); scheme != std::string::npos) where.erase(0, scheme + 3);
  if (const auto user = where.rfind('@'); user != std::string::npos) where.erase(0, user + 1);
  return fmt::format("the proxy {} ({})", where.substr(0, where.find('/')), proxy->first);
}

/// How an exchange without an answer went.
struct Failure {
  CURLcode result = CURLE_OK;
  long os_error = 0;
  long proxy_status = 0;  ///< of a proxy that was asked for a way through; 0: none answered
  std::string detail, host;
  std::string proxy;    ///< as by proxy_of_environment()
  bool own_ca = false;  ///< the caller named the authority
  std::chrono::milliseconds took{};
};

std::string tls_advice(const Failure& failure) {
  const auto says = [&](const char* text) { return failure.detail.find(text) != std::string::npos; };
  if (says("not yet valid") || says("has expired"))
    return "Is the clock of this machine right? Certificates are judged by it ('date -u').";
  const bool unknown = says("self-signed") || says("self signed") || says("unable to get");
  if (const auto file = authorities_of_environment(); file && !failure.own_ca)
    return fmt::format("The authorities are those in {} ({}).", file->second, file->first);
  if (unknown && !failure.own_ca)
    return "Where a company's proxy opens TLS, name the file with its authority: SSL_CERT_FILE=FILE.";
  return {};
}

/// True when it was the proxy that could not be reached: then libcurl's words name it, not the host.
bool is_about_proxy(const Failure& failure) {
  return !failure.proxy.empty() &&
         failure.detail.find("connect to " + failure.host + " ") == std::string::npos;
}

[[noreturn]] void throw_failure(const Failure& failure) {
  const auto fail = [&](std::string_view code, const std::string& reason, const std::string& advice = {}) {
    throw Error(ErrorKind::unavailable, code, fmt::format("Cannot reach {}: {}.", failure.host, reason),
                advice);
  };
  const std::string proxy_advice =
      fmt::format("Check the variable, or except the host: NO_PROXY={}.", failure.host);
  if (failure.proxy_status >= 300)
    fail("ConnectionFailed",
         fmt::format("{} answered HTTP {}", failure.proxy.empty() ? "the proxy" : failure.proxy,
                     failure.proxy_status),
         failure.proxy_status == 407
             ? "It wants a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT."
             : proxy_advice);
  // In TLS 1.3 a server refuses our certificate only after our side of the handshake has ended.
  const bool is_alert = failure.detail.find("alert") != std::string::npos;
  switch (failure.result) {
    case CURLE_COULDNT_RESOLVE_PROXY:
      fail("HostNotFound", fmt::format("the name of {} is not known", failure.proxy), proxy_advice);
    case CURLE_COULDNT_RESOLVE_HOST:
      fail("HostNotFound", "its name is not known",
           "Check the name, and that this machine has a name server.");
    case CURLE_COULDNT_CONNECT:
      if (is_about_proxy(failure))
        fail(failure.os_error == ECONNREFUSED ? "ConnectionRefused" : "ConnectionFailed",
             fmt::format("{} {}", failure.proxy,
                         failure.os_error == ECONNREFUSED ? "refused the connection" : "does not answer"),
             proxy_advice);
      if (failure.os_error == ECONNREFUSED) fail("ConnectionRefused", "the connection was refused");
      fail("ConnectionFailed", failure.os_error
                                   ? std::generic_category().message(static_cast<int>(failure.os_error))
                                   : "no connection");
    case CURLE_OPERATION_TIMEDOUT:
      fail("TimedOut",
           fmt::format("no answer within {} s", std::max<long>(1, (failure.took.count() + 500) / 1000)));
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      fail("TlsFailed", "TLS: " + failure.detail, tls_advice(failure));
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      if (is_alert) fail("TlsFailed", "TLS: " + failure.detail);
      [[fallthrough]];
    default:
      fail("TransferFailed", failure.detail);
  }
  throw std::logic_error("unreachable");
}

}  // namespace

struct Client::Impl {
  explicit Impl(ClientOptions wanted) : options(std::move(wanted)) {
    static std::once_flag once;  // on first use only: programs that never connect start without it
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    easy = curl_easy_init();
    multi = curl_multi_init();
    if (!easy || !multi) throw std::bad_alloc();
  }
  ~Impl() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void set_connection(const std::string& host, const List& connect_to) const {
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_limit.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(options.limit.count()));
    const auto named = authorities_of_environment();
    if (const std::string ca = !options.ca_file.empty() ? options.ca_file.string()
                               : named                  ? named->second
                                                        : "";
        !ca.empty()) {
      curl_easy_setopt(easy, CURLOPT_CAINFO, ca.c_str());
      curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);  // else the system's store would be trusted too
    }
    if (!options.certificate_file.empty())
      curl_easy_setopt(easy, CURLOPT_SSLCERT, options.certificate_file.c_str());
    if (!options.key_file.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, options.key_file.c_str());
    if (connect_to) curl_easy_setopt(easy, CURLOPT_CONNECT_TO, connect_to.get());
    if (is_direct(host)) curl_easy_setopt(easy, CURLOPT_PROXY, "");
  }

  bool is_direct(const std::string& host) const {
    return options.direct || is_loopback(options.connect_to.empty() ? host : options.connect_to);
  }

  void set_request(const ClientRequest& request, List& headers) const {
    curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
    if (request.method == "HEAD")
      curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    else if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
             request.method == "PATCH") {
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.data());
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    }
    if (request.method != "HEAD") curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request.method.c_str());

    append(headers, "Expect:");
    if (!request.headers.contains("Content-Type")) append(headers, "Content-Type:");
    if (!request.headers.contains("User-Agent")) append(headers, "User-Agent: berth");
    for (const auto& [name, value] : request.headers)
      append(headers, value.empty() ? name + ";" : name + ": " + value);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
    if (!request.bearer.empty()) {
      curl_easy_setopt(easy, CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
      curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, request.bearer.reveal().c_str());
    }
  }

  /// Runs the prepared exchange; CURLE_ABORTED_BY_CALLBACK when `cancelled` said so.
  CURLcode perform() const {
    if (curl_multi_add_handle(multi, easy) != CURLM_OK) return CURLE_FAILED_INIT;
    CURLcode result = CURLE_FAILED_INIT;
    while (true) {
      int running = 0;
      if (curl_multi_perform(multi, &running) != CURLM_OK) break;
      if (running == 0) {
        int left = 0;
        if (const CURLMsg* message = curl_multi_info_read(multi, &left)) result = message->data.result;
        break;
      }
      if (options.cancelled && options.cancelled()) {
        result = CURLE_ABORTED_BY_CALLBACK;
        break;
      }
      curl_multi_poll(multi, nullptr, 0, options.cancelled ? cancel_poll_ms : idle_poll_ms, nullptr);
    }
    curl_multi_remove_handle(multi, easy);
    return result;
  }

  ClientOptions options;
  CURL* easy = nullptr;
  CURLM* multi = nullptr;  ///< holds the kept connections
};

Client::Client(ClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Client::~Client() = default;

Response Client::send(const ClientRequest& request) {
  const std::string host = host_of(request.url);
  const ClientOptions& options = impl_->options;
  CURL* easy = impl_->easy;
  List headers, connect_to;
  if (!options.connect_to.empty()) {
    const bool v6 = options.connect_to.find(':') != std::string::npos;
    append(connect_to, v6 ? "::[" + options.connect_to + "]:" : "::" + options.connect_to + ":");
  }
  Answer answer;
  answer.largest = options.largest_answer;
  char reason[CURL_ERROR_SIZE] = "";

  curl_easy_reset(easy);  // keeps connections
  impl_->set_connection(host, connect_to);
  impl_->set_request(request, headers);
  if (request.limit.count() > 0)
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.limit.count()));
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &take_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &take_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &answer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, reason);
  const auto began = std::chrono::steady_clock::now();
  const CURLcode result = impl_->perform();
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began);
  long status = 0, os_error = 0, proxy_status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
  curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
  curl_easy_reset(easy);  // it must not keep pointers into this frame

  if (result == CURLE_ABORTED_BY_CALLBACK)
    throw Error(ErrorKind::unavailable, "OperationCanceled",
                fmt::format("The request to {} was interrupted.", host));
  if (answer.too_large)
    throw Error(ErrorKind::unavailable, "TransferFailed",
                fmt::format("Cannot reach {}: its answer is larger than {} MiB.", host,
                            std::max(options.largest_answer, largest_head) >> 20));
  if (result != CURLE_OK)
    throw_failure(
        {.result = result,
         .os_error = os_error,
         .proxy_status = proxy_status,
         .detail = *reason ? reason : curl_easy_strerror(result),
         .host = host,
         .proxy = impl_->is_direct(host) ? "" : proxy_of_environment(request.url.starts_with("https:")),
         .own_ca = !options.ca_file.empty(),
         .took = took});
  answer.response.status = static_cast<int>(status);
  return std::move(answer.response);
}

}  // namespace berth
