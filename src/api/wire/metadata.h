#pragma once

#include <string>
#include <string_view>

#include "http/message.h"
#include "model/guest.h"

/// The instance metadata service of 169.254.169.254. Pure.
/// Source: docs/wire/metadata.md.
namespace berth::wire {

/// The answer to any request to the service, errors included: GET /metadata/versions, /metadata/instance and
/// what is below it, /metadata/scheduledevents. Never throws.
Response metadata_response(const GuestView& view, const Request& request);
/// 400 "invalid_request", as programs that ask for an identity's token expect it.
Response identity_refusal(const std::string& why);

}  // namespace berth::wire
