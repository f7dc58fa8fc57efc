#pragma once

#include <chrono>
#include <optional>
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

/// Removes them in this order, and goes on after each that is refused. An interface of a machine that could not be made is refused for three
/// minutes; that is waited for. At the end throws the Error of the first that stays, naming all of them; a lost connection and Ctrl-C at once.
void remove_resources(ArmClient& arm, const std::vector<std::string>& paths, std::chrono::seconds limit);

/// Cancels the deployment that makes `host`, and waits until nothing new comes of it, so that what is removed stays away. One that has ended, is
/// not there, or does not end is passed over. Throws when the connection is lost, and on Ctrl-C.
void end_deployment(ArmClient& arm, const std::string& group, const std::string& host);

/// Path of that deployment.
std::string deployment_path(const std::string& group, const std::string& host);

/// What is there of a host that has no machine: it could not be made, or its removal did not come to its end.
struct HostRemains {
  std::string group;
  bool whole_group = false;        ///< it was made for the host
  std::vector<std::string> paths;  ///< of its resources in a group with others
};

/// By their tags, in `group` ("": in all). Throws Error(conflict) when they are in several.
std::optional<HostRemains> find_remains(ArmClient& arm, const std::string& host, const std::string& group);
void remove_remains(ArmClient& arm, const HostRemains& remains, std::chrono::seconds limit);

}  // namespace berth
