#include "endpoints/classic/answers.h"

#include <algorithm>

#include "base/utc.h"
#include "model/names.h"

namespace berth::classic {

Response xml_response(int status, std::string body) {
  Response response;
  response.status = status;
  response.headers["Content-Type"] = "application/xml; charset=utf-8";
  response.body = std::move(body);
  return response;
}

Response no_body(int status) {
  Response response;
  response.status = status;
  return response;
}

Response accepted(const std::string& operation) {
  Response response = no_body(202);
  response.headers["x-ms-request-id"] = operation;
  return response;
}

Response done_at_once(Region& region, OperationKind kind, const std::string& target) {
  return accepted(
      region.operations().begin(kind, target, [](std::string) -> asio::awaitable<void> { co_return; }));
}

std::string param(const Request& request, const char* name) {
  const auto found = request.params.find(name);
  return found == request.params.end() ? std::string() : found->second;
}

bool with_media(const Request& request) {
  return same_name(request.parameter("comp"), "media");
}

Error conflict(const std::string& what, const std::string& advice) {
  return Error(ErrorKind::conflict, "ConflictError", what, advice);
}
Error not_found(const std::string& what, const std::string& advice) {
  return Error(ErrorKind::not_found, "ResourceNotFound", what, advice);
}

std::string utc_seconds(const std::string& time) {
  const auto dot = time.find('.');
  return dot == std::string::npos ? time : time.substr(0, dot) + "Z";
}

std::string utc_digits() {
  std::string stamp = utc_seconds(utc_now());
  std::erase_if(stamp, [](char c) { return c < '0' || c > '9'; });
  return stamp;
}

std::string url_of(const Classic& classic, const Request& request, const std::string& path) {
  return request.origin + "/" + classic.region.settings().subscription + "/" + path;
}

}  // namespace berth::classic
