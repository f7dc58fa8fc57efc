#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/docker/engine.h"
#include "cli/session.h"

namespace berth {

/// `azure vm docker show`: the host, what its engine says over TLS now, and what the extension in the virtual
/// machine said last, with its security report. An engine that does not answer is shown as such; that is no
/// error. Throws Error(not_found) when there is no such machine, or it has no Docker extension.
void show_docker_host(Session& session, const DockerHostOptions& options);

/// The security report of the extension. Source: its substatus "security", one line "ID: pass|fail|n/a
/// REASON" an item.
struct SecurityReport {
  struct Item {
    std::string id, verdict, reason;  ///< verdict: "pass", "fail" or "not applicable"
  };
  std::vector<Item> items;
  std::size_t count(std::string_view verdict) const;
};
SecurityReport parse_security_report(std::string_view text);

}  // namespace berth
