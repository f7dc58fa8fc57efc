#pragma once

#include <string>

#include "endpoints/classic/mapping.h"

namespace berth::classic {

/// Clients with this certificate (DER) may do everything from now on.
void register_management_certificate(Classic& classic, const std::string& der);
bool is_management_certificate(const Classic& classic, const std::string& der);

/// The key of a certificate of the service, as one OpenSSH line. Throws invalid when it has none of that
/// thumbprint.
std::string service_ssh_key(const Region& region, const CloudService& service,
                            const std::string& fingerprint);

}  // namespace berth::classic
