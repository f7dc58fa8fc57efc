#include "cli/arm/arm_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/arm/exchange.h"
#include "cli/terminal/output.h"
#include "cli/terminal/terminal.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds default_poll = 1s;
constexpr milliseconds longest_poll = 120s;
constexpr milliseconds poll_limit = 60s;  ///< of one request
constexpr milliseconds outage_poll = 5s;  ///< while nobody answers
constexpr std::size_t most_pages = 1000;

/// "providers/Microsoft.Compute" and "providers/Microsoft.Compute/register" are about the provider, and asked of Resource Manager itself.
bool is_about_provider(std::string_view path) {
  if (!path.starts_with("providers/")) return false;
  path.remove_prefix(std::string_view("providers/").size());
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos || path.substr(slash) == "/register";
}

/// The version that a path's provider is asked with.
std::string_view api_version(std::string_view path) {
  const std::string text = lower(path);
  if (is_about_provider(text)) return "2019-10-01";
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

milliseconds poll_interval(const Response& response) {
  return std::min(retry_after(response).value_or(default_poll), longest_poll);
}

std::string header(const Response& response, std::string_view name) {
  const auto found = response.headers.find(name);
  return found == response.headers.end() ? std::string() : found->second;
}

/// The JSON of a challenge that wants more to be proved: Bearer …, error="insufficient_claims", claims="BASE64".
std::string claims_in(const std::string& challenge) {
  constexpr std::string_view key = "claims=\"";
  const std::size_t at = challenge.find(key);
  if (at == std::string::npos || challenge.size() > 16384) return {};
  const std::size_t begin = at + key.size();
  const std::string text = challenge.substr(begin, challenge.find('"', begin) - begin);
  const auto claims = base64_decode(text + std::string((4 - text.size() % 4) % 4, '='));
  return claims && parse(*claims).is_object() ? *claims : std::string();
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
         error.code == "TransferFailed" || error.code == "HostNotFound" || error.code == "TimedOut" ||
         error.code == "TlsFailed" || error.code == "OperationPreempted";
}

struct ArmClient::Impl {
  Impl(ArmEndpoint where, std::function<bool()> cancelled)
      : endpoint(std::move(where)),
        exchange({.client = {.ca_file = endpoint.ca_file, .limit = 300s, .cancelled = std::move(cancelled)},
                  .far = endpoint.far}) {}

  ArmEndpoint endpoint;
  Exchange exchange;
  AccessToken token;

  std::string url(const std::string& path) const {
    return fmt::format("{}/subscriptions/{}{}{}{}api-version={}", endpoint.url, endpoint.subscription,
                       path.empty() ? "" : "/", path, path.find('?') == std::string::npos ? "?" : "&",
                       api_version(path));
  }

  /// Azure names addresses in full, some at hosts of its regions; ours may have moved to another port since.
  std::string url_to_follow(const std::string& url) const {
    if (url.find("://") == std::string::npos) return endpoint.url + (url.starts_with('/') ? "" : "/") + url;
    const std::string host = host_of_url(url), ours = host_of_url(endpoint.url);
    const std::size_t path = url.find('/', url.find("://") + 3);
    const bool local = host == "127.0.0.1" || host == "localhost";
    if (local && ours == "127.0.0.1" && path != std::string::npos) return endpoint.url + url.substr(path);
    if (url.starts_with("https://") && (host == ours || host.ends_with("." + ours))) return url;
    throw Error(ErrorKind::internal, "ForeignAddress",
                fmt::format("{} leads to {}, where our token does not go.", ours, without_keys(url)));
  }

  Response send(const std::string& method, const std::string& url, const std::string& body,
                const char* type = "application/json", milliseconds limit = {}) {
    bool renewed = false;
    while (true) {
      if (token.text.empty() || steady_clock::now() >= token.good_until)
        token = endpoint.tokens->get(false, {}, exchange.listener);
      ClientRequest request{
          .method = method, .url = url, .headers = {}, .body = body, .bearer = token.text, .limit = limit};
      request.headers["Accept"] = "application/json";
      if (!body.empty()) request.headers["Content-Type"] = type;
      request.headers["x-ms-client-request-id"] = new_uuid();
      Response response = exchange.send(request);
      if (response.status != 401 || renewed) return response;
      renewed = true;  // it ended earlier than we think, or more has to be proved
      token = endpoint.tokens->get(true, claims_in(header(response, "WWW-Authenticate")), exchange.listener);
    }
  }

  [[noreturn]] void refuse(const Response& response, const std::string& method,
                           const std::string& url) const {
    throw refusal(response, method, url);
  }
  Error refusal(const Response& response, const std::string& method, const std::string& url) const {
    const std::string path = url.substr(endpoint.url.size() < url.size() ? endpoint.url.size() : 0);
    Error error = error_from(parse(response.body), response.status,
                             fmt::format("{} {} was answered with HTTP {}.", method,
                                         path.substr(0, path.find('?')), response.status));
    if (const auto wait = retry_after(response);
        wait && error.kind == ErrorKind::unavailable && error.advice.empty())
      error.advice = fmt::format("Try again in {}.", seconds_text(*wait));
    return error;
  }

  std::vector<json> all_pages(json page) {
    std::vector<json> all;
    for (std::size_t pages = 1; pages <= most_pages; ++pages) {
      const json& items = page.is_array() ? page : member(page, "value");
      if (items.is_array()) all.insert(all.end(), items.begin(), items.end());
      const std::string next = text_of(page, "nextLink");
      if (next.empty()) return all;
      const std::string where = url_to_follow(next);
      const Response response = send("GET", where, {});
      if (response.status != 200) refuse(response, "GET", where);
      page = parse(response.body);
    }
    throw Error(ErrorKind::unavailable, "InvalidResponse",
                fmt::format("{} lists more than {} pages.", host_of_url(endpoint.url), most_pages));
  }

  ArmAccepted change(const std::string& method, const std::string& path, const std::string& body,
                     const char* type = "application/json", bool again = false) {
    const std::string where = url(path);
    const int repeats_before = exchange.repeated_changes();
    const Response response = send(method, where, body, type);
    if (response.status == 404 && method == "DELETE") return {};
    again = again || exchange.repeated_changes() > repeats_before;
    // A deployment whose acceptance got lost on the way goes on under its name.
    if (response.status == 409 && again &&
        text_of(member(parse(response.body), "error"), "code") == "DeploymentActive")
      return ArmAccepted{.document = R"({"properties":{"provisioningState":"Accepted"}})"};
    if (response.status < 200 || response.status > 299) refuse(response, method, where);
    return ArmAccepted{.created = response.status == 201,
                       .document = response.body,
                       .operation = header(response, "Azure-AsyncOperation"),
                       .location = header(response, "Location"),
                       .poll = poll_interval(response)};
  }

  /// What nobody answered while an operation went on: it says nothing of the operation. What the local region says is true at once,
  /// and one that went away has to be found, or started, first.
  bool says_nothing(const Error& error) const {
    return endpoint.far && error.kind == ErrorKind::unavailable && error.code != "OperationCanceled" &&
           error.code != "TlsFailed";
  }

  /// The answer to one look; nullopt when there is none just now, and `outage` has the reason then.
  std::optional<Response> look(const std::string& url, milliseconds& interval, std::string& outage) {
    interval = outage_poll;
    std::optional<Error> reason;
    try {
      Response response = send("GET", url, {}, "", poll_limit);
      const int status = response.status;
      const bool passes = status == 408 || status == 429 || status >= 500;
      if (!endpoint.far || !passes) {
        interval = poll_interval(response);
        outage.clear();
        return response;
      }
      reason = refusal(response, "GET", url);
      interval = retry_after(response).value_or(outage_poll);
    } catch (const Error& error) {
      if (!says_nothing(error)) throw;
      reason = error;
    }
    if (outage.empty() && exchange.listener.warn)
      exchange.listener.warn(fmt::format("{} What was asked for may go on; looking again.", reason->what()));
    outage = reason->what();
    return std::nullopt;
  }

  /// One look at an operation, by the first way there is to look.
  Progress poll(const ArmAccepted& accepted, const std::string& path, milliseconds& interval,
                std::string& outage, const std::function<void(const std::vector<Phase>&)>& on_phases) {
    const bool by_operation = !accepted.operation.empty();
    const bool by_location = !by_operation && !accepted.location.empty();
    const std::string where = by_operation  ? url_to_follow(accepted.operation)
                              : by_location ? url_to_follow(accepted.location)
                                            : url(path);
    const auto answer = look(where, interval, outage);
    if (!answer) {
      if (on_phases) on_phases({});
      return Progress::running;
    }
    const Response& response = *answer;
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
ArmClient::ArmClient(ArmClient&& other) noexcept = default;
ArmClient::~ArmClient() = default;

Listener& ArmClient::listener() {
  return impl_->exchange.listener;
}

int ArmClient::repeated_changes() const {
  return impl_->exchange.repeated_changes();
}

const ArmEndpoint& ArmClient::endpoint() const {
  return impl_->endpoint;
}

std::optional<json> ArmClient::find(const std::string& path) {
  const std::string url = impl_->url(path);
  const Response response = impl_->send("GET", url, {});
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
  return impl_->all_pages(get(path));
}

std::vector<json> ArmClient::list_above(const std::string& collection) {
  const std::string url = impl_->endpoint.url + "/" + collection + "?api-version=2020-01-01";
  const Response response = impl_->send("GET", url, {});
  if (response.status != 200) impl_->refuse(response, "GET", url);
  return impl_->all_pages(parse(response.body));
}

ArmAccepted ArmClient::put(const std::string& path, const json& body, bool again) {
  return impl_->change("PUT", path, body.dump(), "application/json", again);
}
ArmAccepted ArmClient::patch(const std::string& path, const json& body) {
  return impl_->change("PATCH", path, body.dump());
}
ArmAccepted ArmClient::put_file(const std::string& path, const std::string& bytes) {
  return impl_->change("PUT", path, bytes, "application/octet-stream");
}
ArmAccepted ArmClient::post(const std::string& path, const json& body) {
  return impl_->change("POST", path, body.is_null() ? "" : body.dump());
}
ArmAccepted ArmClient::remove(const std::string& path) {
  return impl_->change("DELETE", path, {});
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
  std::string outage;
  while (true) {
    milliseconds interval = default_poll;
    if (impl_->poll(accepted, path, interval, outage, on_phases) == Progress::succeeded) return true;
    if (enough && enough()) return false;
    const auto left = std::chrono::ceil<milliseconds>(end - steady_clock::now());
    if (left <= 0ms)
      throw Error(ErrorKind::unavailable, "OperationNotEnded",
                  fmt::format("It did not end within {} seconds{}",
                              std::chrono::duration_cast<std::chrono::seconds>(limit).count(),
                              outage.empty() ? "." : ", as far as is known: " + outage));
    if (!outage.empty()) interval = std::min(interval, left);  // once more at the end
    if (interrupt::sleep(std::max(interval, milliseconds(20)))) interrupt::check();
  }
}

}  // namespace berth
