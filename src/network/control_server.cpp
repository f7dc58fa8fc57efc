#include "network/control_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "network/unix_socket.h"

namespace berth::network {
namespace {

constexpr std::size_t longest_line = 4 << 20;
constexpr std::size_t most_clients = 32;
constexpr int control_backlog = 32;

}  // namespace

ControlServer::ControlServer(const std::filesystem::path& socket,
                             std::function<std::string(std::string_view)> answer)
    : door_(listen_unix(socket, control_backlog)), answer_(std::move(answer)) {}

void ControlServer::fill(PollSet& set) {
  door_.fill(set, std::chrono::steady_clock::now(), clients_.size() < most_clients);
  for (Client& client : clients_)
    client.index = set.add(client.socket.get(), client.out.empty() ? POLLIN : POLLOUT);
}

void ControlServer::poll(const PollSet& set) {
  for (auto at = clients_.begin(); at != clients_.end();)
    at = serve(*at, set.events(at->index)) ? std::next(at) : clients_.erase(at);
  if (!door_.ready(set)) return;
  if (Fd client = door_.accept(std::chrono::steady_clock::now()))
    clients_.emplace_back().socket = std::move(client);
}

/// False when the client is done.
bool ControlServer::serve(Client& client, short events) {
  if (events == 0) return true;
  if (client.out.empty()) {
    char bytes[16 * 1024];
    const ssize_t count = ::read(client.socket.get(), bytes, sizeof bytes);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) return false;
    client.in.append(bytes, static_cast<std::size_t>(count));
    if (client.in.size() > longest_line) return false;
    for (auto end = client.in.find('\n'); end != std::string::npos; end = client.in.find('\n')) {
      client.out += answer_(std::string_view(client.in).substr(0, end)) + '\n';
      client.in.erase(0, end + 1);
    }
  }
  while (!client.out.empty()) {
    const ssize_t count = ::send(client.socket.get(), client.out.data(), client.out.size(), MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    client.out.erase(0, static_cast<std::size_t>(count));
  }
  return true;
}

}  // namespace berth::network
