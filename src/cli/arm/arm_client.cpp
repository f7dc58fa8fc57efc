#include "cli/arm/arm_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "cli/arm/token_cache.h"
#include "cli/terminal/terminal.h"
#include "crypto/random.h"
#include "http/client.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds default_poll = 1s;
constexpr milliseconds longest_poll = 10s;
constexpr int tries = 4;

/// The version that a path's provider is asked with.
std::string_view api_version(std::string_view path) {
  const std::string text = lower(path);
  if (text.find("microsoft.compute") != std::string::npos) return "2021-07-01";
  if (text.find("microsoft.network") != std::string::npos) return "2022-07-01";
  if (text.find("berth.local") != std::string::npos) return "2024-01-01";
  if (text == "locations" || text.empty()) return "2016-06-01";
  return "2019-10-01";
}

json parse(const std::string& text) {
  return json::parse(text, nullptr, false);
}

std::string text_of(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const json& member(const json& object, const char* key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

ErrorKind kind_of(int status, std::string_view code) {
  if (code == "AllocationFailed" || code == "TimedOut" || code == "ServiceUnavailable")
    return ErrorKind::unavailable;
  switch (status) {
    case 401:
    case 403:
      return ErrorKind::unauthorized;
    case 404:
      return ErrorKind::not_found;
    case 409:
    case 412:
      return ErrorKind::conflict;
    default:
      return status >= 500 || status == 408 || status == 429 ? ErrorKind::unavailable : ErrorKind::invalid;
  }
}

std::string own_advice(const json& error) {
  const json& infos = member(error, "additionalInfo");
  if (infos.is_array())
    for (const json& info : infos)
      if (const std::string advice = text_of(member(info, "info"), "advice"); !advice.empty()) return advice;
  return {};
}

/// The innermost reasons, each once: Azure wraps "Conflict" in "DeploymentFailed" in details.
void collect_reasons(const json& error, std::vector<std::pair<std::string, std::string>>& reasons) {
  const json& details = member(error, "details");
  bool deeper = false;
  if (details.is_array())
    for (const json& detail : details)
      if (!text_of(detail, "message").empty() || member(detail, "details").is_array()) {
        collect_reasons(detail, reasons);
        deeper = true;
      }
  std::pair<std::string, std::string> reason(text_of(error, "code"), text_of(error, "message"));
  // Our region ends a message with the advice, which we show by itself.
  const std::string advice = own_advice(error), tail = " " + advice;
  if (!advice.empty() && reason.second.ends_with(tail))
    reason.second.resize(reason.second.size() - tail.size());
  if (!deeper && std::find(reasons.begin(), reasons.end(), reason) == reasons.end())
    reasons.push_back(std::move(reason));
}

std::string advice_in(const json& error) {
  if (const std::string advice = own_advice(error); !advice.empty()) return advice;
  const json& details = member(error, "details");
  if (details.is_array())
    for (const json& detail : details)
      if (const std::string advice = advice_in(detail); !advice.empty()) return advice;
  return text_of(error, "advice");
}

/// `document` in any of the forms {"error":{…}}, {"status":"Failed","error":{…}}, {"code","message"}.
Error error_from(const json& document, int status, const std::string& otherwise) {
  const json& error = member(document, "error").is_object() ? member(document, "error") : document;
  std::vector<std::pair<std::string, std::string>> reasons;
  collect_reasons(error, reasons);
  std::string message;
  for (const auto& [code, text] : reasons) {
    if (text.empty()) continue;
    message += (message.empty() ? "" : "\n") + text;
  }
  std::string code = reasons.empty() ? "" : reasons.front().first;
  if (code.empty()) code = text_of(error, "code");
  if (message.empty()) message = code.empty() ? otherwise : code + ".";
  return Error(kind_of(status, code), code.empty() ? "RequestFailed" : code, message, advice_in(error));
}

std::vector<Phase> phases_in(const json& operation) {
  std::vector<Phase> phases;
  const json& list = member(member(operation, "properties"), "phases");
  if (list.is_array())
    for (const json& item : list)
      phases.push_back(Phase{text_of(item, "name"), text_of(item, "detail"), text_of(item, "began"),
                             text_of(item, "ended")});
  return phases;
}

/// Retry-After in seconds, or the finer x-ms-retry-after-ms and retry-after-ms.
milliseconds poll_interval(const Response& response) {
  const auto number = [&](const char* header) -> std::optional<long> {
    const auto found = response.headers.find(header);
    if (found == response.headers.end()) return std::nullopt;
    long value = 0;
    const char* end = found->second.data() + found->second.size();
    if (std::from_chars(found->second.data(), end, value).ec != std::errc() || value < 0) return std::nullopt;
    return value;
  };
  for (const char* header : {"x-ms-retry-after-ms", "retry-after-ms"})
    if (const auto value = number(header)) return std::min(milliseconds(*value), longest_poll);
  if (const auto value = number("Retry-After"))
    return std::min(milliseconds(std::min(*value, 3600L) * 1000), longest_poll);
  return default_poll;
}

std::string header(const Response& response, std::string_view name) {
  const auto found = response.headers.find(name);
  return found == response.headers.end() ? std::string() : found->second;
}

enum class Progress { running, succeeded, failed };

Progress progress_of(const std::string& status) {
  if (same_name(status, "Succeeded")) return Progress::succeeded;
  if (same_name(status, "Failed") || same_name(status, "Canceled")) return Progress::failed;
  return Progress::running;
}

}  // namespace

bool is_connection_loss(const Error& error) {
  return error.code == "ConnectionRefused" || error.code == "ConnectionFailed" ||
         error.code == "TransferFailed" || error.code == "TlsFailed" || error.code == "OperationPreempted";
}

struct ArmClient::Impl {
  Impl(ArmEndpoint where, std::function<bool()> cancelled_)
      : endpoint(std::move(where)),
        client(
            ClientOptions{.ca_file = endpoint.ca_file, .limit = 300s, .cancelled = std::move(cancelled_)}) {}

  ArmEndpoint endpoint;
  Client client;
  Secret token;
  steady_clock::time_point token_good_until{};

  std::string url(const std::string& path) const {
    return fmt::format("{}/subscriptions/{}{}{}{}api-version={}", endpoint.url, endpoint.subscription,
                       path.empty() ? "" : "/", path, path.find('?') == std::string::npos ? "?" : "&",
                       api_version(path));
  }

  /// Azure names poll URLs in full; ours may have moved to another port since.
  std::string url_to_poll(const std::string& url) const {
    const std::size_t scheme = url.find("://");
    if (scheme == std::string::npos) return endpoint.url + (url.starts_with('/') ? "" : "/") + url;
    const bool local =
        url.compare(scheme, 13, "://127.0.0.1:") == 0 || url.compare(scheme, 13, "://localhost:") == 0;
    const std::size_t path = url.find('/', scheme + 3);
    return local && path != std::string::npos ? endpoint.url + url.substr(path) : url;
  }

  /// A token that is kept from an earlier command, or a new one.
  void sign_in(bool anew) {
    if (!endpoint.token_cache.empty() && !anew && !endpoint.ignore_cached_token)
      if (auto cached = find_token(endpoint.token_cache, endpoint.token_key)) {
        token = std::move(cached->token);
        token_good_until = steady_clock::now() + (cached->good_until - std::chrono::system_clock::now());
        return;
      }
    const Secret secret =
        endpoint.secret_file.empty() ? endpoint.client_secret : read_password(endpoint.secret_file.string());
    ClientRequest request{.method = "POST", .url = endpoint.token_url};
    request.headers["Content-Type"] = "application/x-www-form-urlencoded";
    request.headers["Accept"] = "application/json";
    request.body = fmt::format("grant_type=client_credentials&client_id={}&client_secret={}&scope={}",
                               percent_encode(endpoint.client_id), percent_encode(secret.reveal()),
                               percent_encode(endpoint.scope));
    const Response response = client.send(request);
    const json answer = parse(response.body);
    token = Secret(text_of(answer, "access_token"));
    if (response.status != 200 || token.empty()) {
      const std::string reason = text_of(answer, "error_description");
      throw Error(ErrorKind::unauthorized, "AuthenticationFailed",
                  fmt::format("{} did not let us in ({}).",
                              endpoint.secret_file.empty() ? "The region" : endpoint.url,
                              reason.empty() ? fmt::format("HTTP {}", response.status) : reason),
                  endpoint.secret_file.empty()
                      ? "Its credentials may have changed: 'azure region stop', then try again."
                      : fmt::format("Is the secret in {} still right, and the tenant?",
                                    endpoint.secret_file.string()));
    }
    long lifetime = 3600;
    const json& expires = member(answer, "expires_in");
    if (expires.is_number_integer()) lifetime = expires.get<long>();
    if (expires.is_string()) lifetime = std::strtol(expires.get<std::string>().c_str(), nullptr, 10);
    const std::chrono::seconds good_for(std::max(lifetime - 300, lifetime / 2));
    token_good_until = steady_clock::now() + good_for;
    endpoint.ignore_cached_token = false;
    if (!endpoint.token_cache.empty())
      keep_token(
          endpoint.token_cache, endpoint.token_key,
          {token, std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + good_for});
  }

  Response send(ArmClient& outer, const std::string& method, const std::string& url, const std::string& body,
                const char* type = "application/json") {
    bool renewed = false;
    for (int attempt = 1;; ++attempt) {
      if (token.empty() || steady_clock::now() >= token_good_until) sign_in(renewed);
      ClientRequest request{.method = method, .url = url, .body = body, .bearer = token};
      request.headers["Accept"] = "application/json";
      if (!body.empty()) request.headers["Content-Type"] = type;
      request.headers["x-ms-client-request-id"] = new_uuid();
      const auto began = steady_clock::now();
      Response response = client.send(request);
      if (outer.trace)
        outer.trace(
            fmt::format("{} {} {} ({} ms)", method, url, response.status,
                        std::chrono::duration_cast<milliseconds>(steady_clock::now() - began).count()));
      if (response.status == 401 && !renewed) {  // it may have expired earlier than we think
        renewed = true;
        token = Secret();
        continue;
      }
      const bool passing = response.status == 408 || response.status == 429 || response.status >= 500;
      if (!passing || attempt == tries) return response;
      if (interrupt::sleep(300ms * (1 << attempt))) interrupt::check();
    }
  }

  [[noreturn]] void refuse(const Response& response, const std::string& method, const std::string& url) {
    const std::string path = url.substr(endpoint.url.size() < url.size() ? endpoint.url.size() : 0);
    throw error_from(parse(response.body), response.status,
                     fmt::format("{} {} was answered with HTTP {}.", method, path.substr(0, path.find('?')),
                                 response.status));
  }

  ArmAccepted change(ArmClient& outer, const std::string& method, const std::string& path,
                     const std::string& body, const char* type = "application/json") {
    const std::string where = url(path);
    const Response response = send(outer, method, where, body, type);
    if (response.status == 404 && method == "DELETE") return {};
    if (response.status < 200 || response.status > 299) refuse(response, method, where);
    return ArmAccepted{.created = response.status == 201,
                       .document = response.body,
                       .operation = header(response, "Azure-AsyncOperation"),
                       .location = header(response, "Location"),
                       .poll = poll_interval(response)};
  }

  /// One look at an operation, by the first way there is to look.
  Progress poll(ArmClient& outer, const ArmAccepted& accepted, const std::string& path,
                milliseconds& interval, const std::function<void(const std::vector<Phase>&)>& on_phases) {
    const bool by_operation = !accepted.operation.empty();
    const bool by_location = !by_operation && !accepted.location.empty();
    const std::string where = by_operation  ? url_to_poll(accepted.operation)
                              : by_location ? url_to_poll(accepted.location)
                                            : url(path);
    const Response response = send(outer, "GET", where, {});
    interval = poll_interval(response);
    if (response.status < 200 || response.status > 299) refuse(response, "GET", where);
    const json document = parse(response.body);
    if (on_phases) on_phases(phases_in(document));
    if (by_location && response.status == 202) return Progress::running;
    if (by_location) return Progress::succeeded;
    const std::string state = by_operation ? text_of(document, "status")
                                           : text_of(member(document, "properties"), "provisioningState");
    if (!by_operation && state.empty()) return Progress::succeeded;
    const Progress progress = progress_of(state);
    if (progress == Progress::failed) {
      const json& inner = member(member(document, "properties"), "error");
      throw error_from(inner.is_object() && !member(document, "error").is_object() ? inner : document, 409,
                       fmt::format("The operation ended as {}.", state));
    }
    return progress;
  }
};

ArmClient::ArmClient(ArmEndpoint endpoint, std::function<bool()> cancelled)
    : impl_(std::make_unique<Impl>(std::move(endpoint), std::move(cancelled))) {}
ArmClient::~ArmClient() = default;

const ArmEndpoint& ArmClient::endpoint() const {
  return impl_->endpoint;
}

std::optional<json> ArmClient::find(const std::string& path) {
  const std::string url = impl_->url(path);
  const Response response = impl_->send(*this, "GET", url, {});
  if (response.status == 404) return std::nullopt;
  if (response.status != 200) impl_->refuse(response, "GET", url);
  json document = parse(response.body);
  if (document.is_discarded())
    throw Error(ErrorKind::internal, "InvalidResponse",
                fmt::format("The answer to GET {} is not JSON.", path));
  return document;
}

json ArmClient::get(const std::string& path) {
  if (auto document = find(path)) return *std::move(document);
  throw Error(ErrorKind::not_found, "ResourceNotFound", fmt::format("There is no {}.", path));
}

std::vector<json> ArmClient::list(const std::string& path) {
  std::vector<json> all;
  json page = get(path);
  while (true) {
    const json& items = page.is_array() ? page : member(page, "value");
    if (items.is_array()) all.insert(all.end(), items.begin(), items.end());
    const std::string next = text_of(page, "nextLink");
    if (next.empty()) return all;
    const Response response = impl_->send(*this, "GET", impl_->url_to_poll(next), {});
    if (response.status != 200) impl_->refuse(response, "GET", next);
    page = parse(response.body);
  }
}

std::vector<json> ArmClient::list_subscriptions() {
  const std::string url = impl_->endpoint.url + "/subscriptions?api-version=2016-06-01";
  const Response response = impl_->send(*this, "GET", url, {});
  if (response.status != 200) impl_->refuse(response, "GET", url);
  const json page = parse(response.body);
  const json& items = member(page, "value");
  return items.is_array() ? items.get<std::vector<json>>() : std::vector<json>();
}

ArmAccepted ArmClient::put(const std::string& path, const json& body) {
  return impl_->change(*this, "PUT", path, body.dump());
}
ArmAccepted ArmClient::patch(const std::string& path, const json& body) {
  return impl_->change(*this, "PATCH", path, body.dump());
}
ArmAccepted ArmClient::put_file(const std::string& path, const std::string& bytes) {
  return impl_->change(*this, "PUT", path, bytes, "application/octet-stream");
}
ArmAccepted ArmClient::post(const std::string& path, const json& body) {
  return impl_->change(*this, "POST", path, body.is_null() ? "" : body.dump());
}
ArmAccepted ArmClient::remove(const std::string& path) {
  return impl_->change(*this, "DELETE", path, {});
}

bool ArmClient::wait(const ArmAccepted& accepted, const std::string& path, milliseconds limit,
                     const std::function<void(const std::vector<Phase>&)>& on_phases,
                     const std::function<bool()>& enough) {
  const bool nothing_to_poll = accepted.operation.empty() && accepted.location.empty();
  if (nothing_to_poll) {
    const json document = parse(accepted.document);
    const std::string state = text_of(member(document, "properties"), "provisioningState");
    if (state.empty() || progress_of(state) == Progress::succeeded) return true;
  }
  const auto end = steady_clock::now() + limit;
  while (true) {
    milliseconds interval = default_poll;
    if (impl_->poll(*this, accepted, path, interval, on_phases) == Progress::succeeded) return true;
    if (enough && enough()) return false;
    if (steady_clock::now() >= end)
      throw Error(ErrorKind::unavailable, "TimedOut",
                  fmt::format("It did not end within {} seconds.",
                              std::chrono::duration_cast<std::chrono::seconds>(limit).count()));
    if (interrupt::sleep(std::max(interval, milliseconds(20)))) interrupt::check();
  }
}

}  // namespace berth
