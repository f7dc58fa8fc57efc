#include "network/unix_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace berth::network {
namespace {

bool fill(sockaddr_un& address, const std::filesystem::path& path) {
  address.sun_family = AF_UNIX;
  if (path.empty() || path.native().size() > longest_socket_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  return true;
}

Fd stream_socket() {
  return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

Fd connect_unix(const std::filesystem::path& path) {
  sockaddr_un address{};
  if (!fill(address, path)) {
    errno = ENAMETOOLONG;
    return {};
  }
  Fd socket = stream_socket();
  if (socket && ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int why = errno;
    socket.reset();
    errno = why;
  }
  return socket;
}

Fd listen_unix(const std::filesystem::path& path, int backlog) {
  sockaddr_un address{};
  int why = ENAMETOOLONG;
  if (fill(address, path)) {
    ::unlink(path.c_str());
    Fd socket = stream_socket();
    const mode_t mask = ::umask(0177);
    const bool bound =
        socket && ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    why = errno;
    ::umask(mask);
    if (bound && ::listen(socket.get(), backlog) == 0) return socket;
    if (bound) why = errno;
  }
  throw Error(ErrorKind::unavailable, "SocketUnavailable",
              fmt::format("The socket {} cannot be opened: {}.", path.string(), std::strerror(why)),
              "Choose a shorter or another folder with BERTH_HOME.");
}

}  // namespace berth::network
