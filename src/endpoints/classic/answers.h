#pragma once

#include <string>

#include "api/classic/xml_reader.h"
#include "base/error.h"
#include "endpoints/classic/handlers.h"
#include "region/operation_kind.h"

/// What every handler uses to read a request's address and to answer.
namespace berth::classic {

Response xml_response(int status, std::string body);
Response no_body(int status);
/// 202; the client polls this operation.
Response accepted(const std::string& operation);
/// For what is done already where the client expects an operation.
Response done_at_once(Region& region, OperationKind kind, const std::string& target);
std::string param(const Request& request, const char* name);  ///< "" when the route has none of that name
/// comp=media: the disks go, too.
bool with_media(const Request& request);
Error conflict(const std::string& what, const std::string& advice = {});
Error not_found(const std::string& what, const std::string& advice = {});
std::string utc_seconds(const std::string& time);  ///< "2026-11-23T21:16:02Z" of one with fractions
std::string utc_digits();                          ///< now: "20261123211602"
/// "https://HOST/SUBSCRIPTION/services/…".
std::string url_of(const Classic& classic, const Request& request, const std::string& path);

}  // namespace berth::classic
