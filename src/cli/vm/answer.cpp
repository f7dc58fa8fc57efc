#include "cli/vm/answer.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "cli/docker/certificates.h"
#include "cli/docker/check.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/ssh.h"
#include "host/fd.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

bool ready(const Fd& socket, short events, std::chrono::steady_clock::time_point end) {
  while (!interrupt::requested()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left <= 0ms) return false;
    pollfd poll{socket.get(), events, 0};
    if (::poll(&poll, 1, static_cast<int>(std::min<std::chrono::milliseconds>(left, 100ms).count())) > 0)
      return true;
  }
  return false;
}

}  // namespace

bool ssh_greets(const std::string& address, std::uint16_t port, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(port);
  if (::inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1) return false;
  const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return false;
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) != 0 &&
      errno != EINPROGRESS)
    return false;
  if (!ready(socket, POLLOUT, end)) return false;
  std::array<char, 4> greeting{};
  std::size_t got = 0;
  while (got < greeting.size() && ready(socket, POLLIN, end)) {
    const ssize_t more = ::recv(socket.get(), greeting.data() + got, greeting.size() - got, 0);
    if (more < 0 && errno == EAGAIN) continue;
    if (more <= 0) return false;
    got += static_cast<std::size_t>(more);
  }
  return std::string_view(greeting.data(), got) == "SSH-";
}

void wait_for_answer(Session& session, const HostView& host, const std::string& cert_dir,
                     std::chrono::seconds limit, PhaseDisplay& phases) {
  const PublicAddressView& where = host.public_address;
  if (const auto port = host.docker_port(); port && !where.address.empty()) {
    phases.begin(fmt::format("Waiting for Docker on {}", host.name));
    const DockerAnswer said =
        ask_docker(where.fqdn.empty() ? where.address : where.fqdn, where.address, where.host_port(*port),
                   certificate_folder(cert_dir), limit, [&phases] { phases.tick(); });
    phases.end();
    return session.out.info(fmt::format("Docker {} answers at {}", said.version,
                                        host.docker_endpoint(hosts_file_knows(where.fqdn, where.address))));
  }
  const auto ssh = find_ssh_access(host);
  if (!ssh)
    return session.out.warn(
        fmt::format("{} has no Docker and no open SSH port: nothing to wait for", host.name));
  phases.begin(fmt::format("Waiting for SSH on {}", host.name));
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!ssh_greets(ssh->address, ssh->port, 2s)) {
    interrupt::check();
    if (std::chrono::steady_clock::now() >= end)
      throw Error(ErrorKind::unavailable, "SshNotReachable",
                  fmt::format("SSH of {} did not answer at {}:{} within {} s.", host.name, ssh->address,
                              ssh->port, limit.count()),
                  fmt::format("See its console: azure vm docker logs {} --serial", host.name));
    phases.tick();
    interrupt::sleep(300ms);
  }
  phases.end();
  session.out.info(fmt::format("SSH answers: {}", ssh_command(*ssh)));
}

}  // namespace berth
