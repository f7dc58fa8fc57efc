#pragma once

#include <string>

#include "handler/environment.h"
#include "handler/status.h"

namespace berth::extension {

/// The two published generations of the Docker handler. The name decides, never the version number.
///   classic  MSOpenTech.Extensions.DockerExtension 0.x (2014)
///   modern   Microsoft.Azure.Extensions.DockerExtension 1.x (2015 and later)
enum class Profile { classic, modern };
Profile profile_of(const HandlerEnvironment& environment);

enum class Operation { install, enable, disable, update, uninstall };
enum class Phase { running, succeeded, failed };

/// The operation's name and message as that generation of the handler words them. `detail` belongs to
/// Phase::failed.
Report make_report(Profile profile, Operation operation, Phase phase, const std::string& detail = {});

}  // namespace berth::extension
