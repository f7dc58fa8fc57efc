#pragma once

#include <string>

#include "cli/docker/create.h"

namespace berth {

/// What a Docker host on Azure itself needs beyond one in a region. `host` has its location settled; image, rules and the rest are settled
/// here. Throws Error: invalid for what cannot be had there, not_found for an image, conflict for a name that is taken.
void prepare_azure_host(Session& session, const DockerCreateOptions& options, DockerHost& host);

/// Lists what will be made and costs money, and asks (but for --yes). Throws Error(invalid) without a yes.
void confirm_azure_host(Session& session, const DockerCreateOptions& options, const DockerCreatePlan& plan);

/// Whom the ports of the host are open to, in words: "192.0.2.1, 10.0.0.0/8 alone", "everybody".
std::string text_of_sources(const DockerHost& host);

/// Addresses and blocks of IPv4, separated by commas, or "*" for everybody (an empty list). Throws Error(invalid) naming the option.
std::vector<std::string> parse_sources(const std::string& text);

}  // namespace berth
