#pragma once

#include <exception>

#include "base/error.h"

namespace berth {

/// What was caught, as an Error: one as it is; of the host's file system, unavailable; all else is our bug. For work
/// whose failure is kept or told: `catch (const std::exception& caught) { trouble = as_error(caught); }`.
Error as_error(const std::exception& caught);

}  // namespace berth
