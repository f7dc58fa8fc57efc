#pragma once

#include "base/error.h"
#include "http/message.h"

namespace berth {

/// The answer of an API's handler. What it throws becomes what `refuse` makes of it; what is our own fault
/// goes to the log. One line of it, at level debug, for every answer. `request` outlives it.
boost::asio::awaitable<Response> answered(const Request& request, boost::asio::awaitable<Response> handler,
                                          Response (*refuse)(const Error&));

}  // namespace berth
