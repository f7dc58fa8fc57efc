#pragma once

#include "cli/session.h"
#include "cli/vm/hosts.h"

namespace berth {

/// After a host was started: warns of ports that are open elsewhere than where they were asked for, and leads
/// its docker contexts to where its Docker port is now.
void follow_ports(Session& session, const HostView& host);

/// The same for all hosts that run, after the region was started. Says nothing when the region does not
/// answer.
void follow_all_ports(Session& session);

}  // namespace berth
