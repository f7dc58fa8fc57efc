#pragma once

#include <string>

namespace berth {

std::string utc_now();  ///< "2026-11-23T21:16:02.123Z"

}  // namespace berth
