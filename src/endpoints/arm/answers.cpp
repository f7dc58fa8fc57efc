#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "api/arm/errors.h"
#include "api/arm/json_text.h"
#include "api/arm/run_commands.h"
#include "base/error.h"
#include "endpoints/arm/service.h"

namespace berth::arm {
namespace {

using namespace std::chrono_literals;

constexpr auto longest_hold = 30min;  ///< for a client that cannot poll sensibly
constexpr const char* poll_interval = "200";

Error error_of(const Problem& problem) {
  return Error(ErrorKind::conflict, problem.code, problem.message, problem.advice);
}

}  // namespace

Response json_response(int status, std::string body) {
  Response response;
  response.status = status;
  if (!body.empty()) response.headers["Content-Type"] = "application/json; charset=utf-8";
  response.body = std::move(body);
  return response;
}

std::string client_of(const Request& request) {
  return std::to_string(std::hash<std::string>{}(request.header("Authorization")));
}

bool is_classic_client(const Request& request) {
  return request.parameter("api-version") == "2017-03-30" ||
         request.header("User-Agent").starts_with("AzureXplatCLI");
}

std::string operation_url(const Arm& arm, const Request& request, const std::string& operation) {
  const std::string version = request.parameter("api-version");
  return fmt::format(
      "{}/subscriptions/{}/providers/Microsoft.Compute/locations/westus/operations/{}?api-version={}",
      request.origin, arm.subscription(), operation, percent_encode(version));
}

namespace {

asio::awaitable<Response> put_answer(Arm& arm, const Request& request, const Kind& kind, const ResourceId& id,
                                     Applied applied) {
  const int status = applied.created ? 201 : 200;
  if (applied.operation.empty()) co_return json_response(status, std::move(applied.document));
  if (is_classic_client(request)) {
    const Operation ended = co_await arm.region.operations().wait(applied.operation, longest_hold);
    if (ended.problem) throw error_of(*ended.problem);
    co_return json_response(status,
                            kind.show(arm, id, {.origin = request.origin}).value_or(applied.document));
  }
  Response response = json_response(status, std::move(applied.document));
  response.headers["Azure-AsyncOperation"] = operation_url(arm, request, applied.operation);
  response.headers["x-ms-retry-after-ms"] = poll_interval;
  co_return response;
}

}  // namespace

asio::awaitable<Response> answer_put(Arm& arm, const Request& request, const Kind& kind, const ResourceId& id,
                                     Applied applied) {
  Response response = co_await put_answer(arm, request, kind, id, std::move(applied));
  warn_of_machine(arm, id, response);
  co_return response;
}

Response result_of(const Operation& ended) {
  if (ended.output.empty()) return Response{.status = 200, .headers = {}, .body = {}};
  JsonText out;
  write_run_command_result(out, {}, ended.output);
  return json_response(200, out.take());
}

asio::awaitable<Response> answer_accepted(Arm& arm, const Request& request,
                                          std::optional<std::string> operation) {
  if (!operation) co_return Response{.status = 204, .headers = {}, .body = {}};
  if (operation->empty()) co_return Response{.status = 200, .headers = {}, .body = {}};
  if (is_classic_client(request)) {
    const Operation ended = co_await arm.region.operations().wait(*operation, longest_hold);
    if (ended.problem) throw error_of(*ended.problem);
    co_return result_of(ended);
  }
  Response response{.status = 202, .headers = {}, .body = {}};
  response.headers["Azure-AsyncOperation"] = operation_url(arm, request, *operation);
  response.headers["Location"] =
      fmt::format("{}/subscriptions/{}/operationresults/{}?api-version={}", request.origin,
                  arm.subscription(), *operation, percent_encode(request.parameter("api-version")));
  response.headers["x-ms-retry-after-ms"] = poll_interval;
  co_return response;
}

}  // namespace berth::arm
