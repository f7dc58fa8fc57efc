#include "api/arm/errors.h"

#include <fmt/format.h>

#include "api/arm/json_text.h"
#include "http/message.h"

namespace berth::arm {

void write_error(JsonText& out, std::string_view key, const Problem& problem) {
  out.open(key).put("code", problem.code);
  out.put("message", problem.advice.empty() ? problem.message : problem.message + " " + problem.advice);
  if (!problem.details.empty()) {
    out.open_list("details");
    for (const Problem& detail : problem.details) write_error(out, {}, detail);
    out.close_list();
  }
  if (!problem.advice.empty())
    out.open_list("additionalInfo")
        .open()
        .put("type", "Advice")
        .open("info")
        .put("advice", problem.advice)
        .close()
        .close()
        .close_list();
  out.close();
}

std::string error_body(const Problem& problem) {
  JsonText out;
  out.open();
  write_error(out, "error", problem);
  out.close();
  return out.take();
}

Problem problem_of(const Error& error) {
  return {.code = error.code, .message = error.what(), .advice = error.advice, .details = {}};
}

std::string error_body(const Error& error) {
  return error_body(problem_of(error));
}

int status_of(const Error& error) {
  if (error.code == "PreconditionFailed") return 412;
  if (error.code == "AuthorizationFailed") return 403;
  if (error.code == "MethodNotAllowed") return 405;
  if (error.code == "RequestContentTooLarge") return 413;
  if (error.code == "TooManyRequests") return 429;
  return http_status(error.kind);
}

Error resource_not_found(std::string_view type, std::string_view name, std::string_view group) {
  return Error(
      ErrorKind::not_found, "ResourceNotFound",
      fmt::format("The Resource '{}/{}' under resource group '{}' was not found.", type, name, group));
}

Error parent_not_found(std::string_view type, std::string_view name, std::string_view parent) {
  return Error(
      ErrorKind::not_found, "ParentResourceNotFound",
      fmt::format("Can not perform requested operation on nested resource '{}/{}'. Parent resource '{}' not "
                  "found.",
                  type, name, parent));
}

}  // namespace berth::arm
