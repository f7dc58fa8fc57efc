#pragma once

#include <string>
#include <vector>

#include "cli/arm/arm_client.h"
#include "cli/docker/host_template.h"

namespace berth {

/// Of what docker create would make of these names in a group that is not the host's own, what is there and was made for `host`: it carries
/// the tag, or is the disk of the host's machine. All else is somebody's own, whatever it is called. Paths, in the order in which they can
/// be deleted.
std::vector<std::string> resources_of_host(ArmClient& arm, const std::string& group,
                                           const ResourceNames& names, const std::string& vm_name,
                                           const std::string& host);

}  // namespace berth
