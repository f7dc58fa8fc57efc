#pragma once

#include <string>
#include <vector>

#include "cli/vm/hosts.h"

namespace berth {

/// The public ports for people, neighbours that are alike in one line: "8000-8255/tcp open", "22/tcp open as 10022 (permission denied)".
std::vector<std::string> port_lines(std::vector<PublicPort> ports);

}  // namespace berth
