#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

/// What the guest tells its host. The guest is not trusted: whatever it sends, these return values of bounded
/// size in valid UTF-8, or throw Error(invalid).
/// Source: docs/wire/wireserver.md, "Reports"; tests/fixtures/wire/.
namespace berth::wire {

/// POST /machine?comp=health. Skips elements it does not know. Throws Error(invalid) naming the first
/// required element that is missing.
HealthReport parse_health(std::string_view xml);

/// PUT /status of the host plugin: describes an upload to blob storage. The JSON to upload, blanks and NULs
/// after its end removed; nullopt for the request that only makes an empty page blob.
std::optional<std::string> parse_status_upload(std::string_view json);

/// The status document itself. `received` stays empty. Throws Error(invalid) without an aggregateStatus.
AgentStatus parse_status(std::string_view json);

/// One event of POST /machine?comp=telemetrydata, for the log.
struct TelemetryEvent {
  std::string name, version, operation, message;
  bool succeeded = true;
};
std::vector<TelemetryEvent> parse_telemetry(std::string_view xml);

/// POST /HealthService: the names of the observations that are not healthy.
std::vector<std::string> unhealthy_observations(std::string_view json);

}  // namespace berth::wire
