#pragma once

#include <chrono>
#include <string>

#include "cli/session.h"
#include "cli/terminal/phases.h"
#include "cli/vm/hosts.h"

namespace berth {

/// Waits until what the host is there for answers: Docker over mutual TLS with the certificates of `cert_dir` ("": the docker client's own),
/// or SSH where there is no Docker. Throws Error(unavailable) saying what stood in the way last.
void wait_for_answer(Session& session, const HostView& host, const std::string& cert_dir,
                     std::chrono::seconds limit, PhaseDisplay& phases);

/// True when an SSH server greets there within `limit`.
bool ssh_greets(const std::string& address, std::uint16_t port, std::chrono::milliseconds limit);

}  // namespace berth
