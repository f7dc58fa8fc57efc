#pragma once

#include <cstdint>

namespace berth {

/// The account (uid) of the process at the other end of a connection: of a unix socket, or of TCP on this
/// machine, where the kernel is asked about the client's own socket. -1 when it cannot be told: it is not
/// on this machine, has closed, or the kernel does not answer.
std::int64_t peer_account(int fd);

/// True for root and for the account that this process runs as: they can do with it what they want anyway.
bool is_own_account(std::int64_t account);

}  // namespace berth
