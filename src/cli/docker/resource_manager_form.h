#pragma once

#include <memory>

#include "cli/command_line.h"
#include "cli/docker/create.h"
#include "cli/session.h"

namespace berth {

/// `azure vm docker create` as the classic client's Resource Manager mode has it: "-g GROUP -n NAME -l LOCATION -y Linux -Q URN -u USER -p
/// PASSWORD …", whose letters mean other things than those of the article's form. It is that form when an image is named by -Q.
bool is_resource_manager_form(const Session& session);

/// Declares its options; the callback makes the host. What cannot be had is refused by name.
void declare_resource_manager_form(CommandLine& app, Session& session);

}  // namespace berth
