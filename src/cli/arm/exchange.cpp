#include "cli/arm/exchange.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/error.h"
#include "cli/terminal/foreign_text.h"
#include "cli/terminal/output.h"
#include "cli/terminal/terminal.h"
#include "model/names.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr milliseconds longest_wait = 120s, worth_telling = 3s;
constexpr auto clock_tolerance = 300s;

std::string header_of(const Response& response, std::string_view name) {
  const auto found = response.headers.find(name);
  return found == response.headers.end() ? std::string() : found->second;
}

/// A date as HTTP writes it (RFC 9110, IMF-fixdate), of this century or near it: the others do not fit a clock in nanoseconds.
std::optional<std::chrono::sys_seconds> parse_http_date(const std::string& text) {
  struct tm time {};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &time);
  if (end == nullptr || *end != '\0' || time.tm_year < 70 || time.tm_year > 300) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&time)));
}

/// The names that Resource Manager and Entra give an exchange, for whoever asks their support.
std::string ids_of(const Response& response) {
  std::string ids;
  for (const char* name : {"x-ms-request-id", "x-ms-correlation-request-id", "client-request-id"})
    if (const std::string id = header_of(response, name); !id.empty())
      ids += fmt::format(" {}={}", name, printable_line(id, 80));
  return ids;
}

/// Whether the connection failed, and not the request: it may do better in a moment.
bool may_pass(const Error& error) {
  return error.code == "ConnectionRefused" || error.code == "ConnectionFailed" ||
         error.code == "TransferFailed" || error.code == "HostNotFound" || error.code == "TimedOut";
}

}  // namespace

std::optional<milliseconds> retry_after(const Response& response) {
  constexpr long day = 24 * 3600;
  const auto number = [](const std::string& text) -> std::optional<long> {
    long value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
  };
  for (const char* name : {"x-ms-retry-after-ms", "retry-after-ms"})
    if (const auto value = number(header_of(response, name)))
      return milliseconds(std::min(*value, day * 1000));
  const std::string text = header_of(response, "Retry-After");
  if (const auto value = number(text)) return std::chrono::seconds(std::min(*value, day));
  if (const auto date = parse_http_date(text)) {
    // By their clock, where they tell it: ours may be another one.
    const auto now = parse_http_date(header_of(response, "Date"))
                         .value_or(std::chrono::floor<std::chrono::seconds>(system_clock::now()));
    return std::clamp(std::chrono::duration_cast<milliseconds>(*date - now), milliseconds(0),
                      milliseconds(std::chrono::seconds(day)));
  }
  return std::nullopt;
}

std::string clock_trouble(const Response& response, const std::string& host, system_clock::time_point now) {
  const auto theirs = parse_http_date(header_of(response, "Date"));
  if (!theirs) return {};
  const auto ahead = std::chrono::duration_cast<std::chrono::seconds>(now - *theirs);
  if (ahead <= clock_tolerance && ahead >= -clock_tolerance) return {};
  return fmt::format(
      "The clock of this machine is {} {} that of {}. Tokens and certificates are judged by it: set it "
      "right.",
      seconds_text(ahead < 0s ? -ahead : ahead), ahead < 0s ? "behind" : "ahead of", host);
}

std::string without_keys(const std::string& url) {
  const std::size_t query = std::min(url.find('?'), url.size());
  const std::size_t version = url.find("api-version=", query);
  std::string shown = url.substr(0, query);
  if (version != std::string::npos) shown += "?" + url.substr(version, url.find('&', version) - version);
  return printable_line(shown, 1000);
}

std::string host_of_url(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::size_t from = scheme == std::string::npos ? 0 : scheme + 3;
  std::string host = url.substr(from, url.find_first_of("/?#", from) - from);
  if (const auto user = host.rfind('@'); user != std::string::npos) host.erase(0, user + 1);
  const std::size_t port = host.rfind(':');
  if (port != std::string::npos && host.find(']', port) == std::string::npos) host.resize(port);
  return lower(host);
}

struct Exchange::Impl {
  explicit Impl(Options wanted) : options(std::move(wanted)), client(options.client) {
    if (!options.sleep) options.sleep = &interrupt::sleep;
  }

  Options options;
  Client client;
  bool told_clock = false;
  int repeated_changes = 0;

  bool passes(int status, bool repeatable) const {
    if (status == 408 || status == 429 || status == 503) return true;
    return (repeatable && status >= 500) || std::ranges::count(options.also_passing, status) > 0;
  }

  void look_at_clock(const Response& response, const std::string& host, const Listener& hearer) {
    if (told_clock || !hearer.warn) return;
    const std::string trouble = clock_trouble(response, host, system_clock::now());
    if (trouble.empty()) return;
    told_clock = true;
    hearer.warn(trouble);
  }

  void wait(milliseconds time) {
    if (options.sleep(time)) throw Error(ErrorKind::unavailable, "OperationCanceled", "Canceled.");
  }
};

Exchange::Exchange(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Exchange::Exchange(Exchange&& other) noexcept = default;
Exchange::~Exchange() = default;

int Exchange::repeated_changes() const {
  return impl_->repeated_changes;
}

Response Exchange::send(const ClientRequest& request, bool repeatable) {
  repeatable = repeatable || request.method != "POST";
  const std::string host = host_of_url(request.url);
  const auto first_began = steady_clock::now();
  for (int attempt = 1;; ++attempt) {
    const auto began = steady_clock::now();
    const auto trace = [&](const std::string& outcome, const std::string& ids) {
      const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began).count();
      if (listener.trace)
        listener.trace(
            fmt::format("{} {} {} ({} ms){}", request.method, without_keys(request.url), outcome, took, ids));
    };
    milliseconds wait = 300ms * (1 << std::min(attempt, 8));
    try {
      Response response = impl_->client.send(request);
      trace(std::to_string(response.status), ids_of(response));
      impl_->look_at_clock(response, host, listener);
      const int tries = response.status == 429 ? 2 * impl_->options.tries : impl_->options.tries;
      if (!impl_->passes(response.status, repeatable) || attempt >= tries) return response;
      if (response.status == 410)
        wait *= 4;  // the machine's identity service is being replaced: over a minute
      wait = retry_after(response).value_or(wait);
      if (wait > longest_wait) return response;
      if (wait >= worth_telling && listener.warn)
        listener.warn(fmt::format("{} is busy (HTTP {}); asking again in {}.", host, response.status,
                                  seconds_text(wait)));
    } catch (const Error& error) {
      if (error.code != "OperationCanceled") trace(error.code, "");
      if (!impl_->options.far || !repeatable || !may_pass(error) || attempt >= impl_->options.tries) throw;
      if (error.code == "TimedOut" && steady_clock::now() - first_began > longest_wait) throw;
      if (attempt == 1 && listener.warn) listener.warn(fmt::format("{} Trying again.", error.what()));
    }
    impl_->wait(wait);
    if (request.method != "GET") ++impl_->repeated_changes;
  }
}

}  // namespace berth
