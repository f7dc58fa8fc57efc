#pragma once

#include <cstddef>
#include <string>

#include "endpoints/classic/handlers.h"

namespace berth::classic {

/// The account that the disks of a location are said to be in; made when there is none.
void ensure_disk_account(Classic& classic, const std::string& location);
std::size_t count_storage_accounts(const Classic& classic);

}  // namespace berth::classic
