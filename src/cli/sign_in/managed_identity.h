#pragma once

#include <filesystem>
#include <string>

#include "cli/sign_in/authority.h"

namespace berth {

/// Asks the identity service of the machine that this is for a token for `resource` (an audience). `which` is "" for the machine's only
/// identity, else "client_id=…", "object_id=…" or "mi_res_id=…" (a resource id). Where it is: IDENTITY_ENDPOINT with IDENTITY_HEADER, or
/// MSI_ENDPOINT with MSI_SECRET (Azure's app services, and the local region); else instance metadata at 169.254.169.254, or at
/// AZURE_POD_IDENTITY_AUTHORITY_HOST. `ca_file` is for https ones. Sources: "How to use managed identities on a VM to acquire an access
/// token", with its retry guidance; "App Service managed identity REST protocol".
/// Throws Error(unavailable, "NoIdentityService") where there is none.
TokenAnswer ask_managed_identity(const std::string& resource, const std::string& which,
                                 const std::filesystem::path& ca_file, const Listener& listener,
                                 const Authority::Sleep& sleep = {});

/// "client_id=…" and so on of what a user gave: a UUID, or a resource id. Throws Error(invalid).
std::string managed_identity_selector(const std::string& client_id, const std::string& object_id,
                                      const std::string& resource_id);

}  // namespace berth
