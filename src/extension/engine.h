#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "crypto/tls_probe.h"
#include "extension/engine_config.h"
#include "extension/system.h"
#include "handler/runner.h"

namespace berth::extension {

/// The engine's sockets, as a client sees them.
class EngineProbe {
 public:
  virtual ~EngineProbe() = default;
  /// The body of GET `path` on the unix socket; nullopt unless it answers 200 within `limit`.
  virtual std::optional<std::string> get(const std::string& path, std::chrono::milliseconds limit) = 0;
  /// A TLS handshake that presents no certificate.
  virtual TlsProbe handshake(const std::string& address, std::uint16_t port,
                             std::chrono::milliseconds limit) = 0;
};

class SocketProbe final : public EngineProbe {
 public:
  explicit SocketProbe(std::filesystem::path socket = "/run/docker.sock") : socket_(std::move(socket)) {}
  std::optional<std::string> get(const std::string& path, std::chrono::milliseconds limit) override;
  TlsProbe handshake(const std::string& address, std::uint16_t port,
                     std::chrono::milliseconds limit) override;

 private:
  std::filesystem::path socket_;
};

/// Starts, reloads and restarts the engine through the machine's service manager, and watches it come up.
class Engine {
 public:
  Engine(Init init, Runner& runner, EngineProbe& probe, Log& log)
      : init_(init), runner_(runner), probe_(probe), log_(log) {}

  bool is_active();
  /// True when it keeps containers over a restart right now.
  bool keeps_containers();
  /// Does it, and waits until the unix socket answers. Throws Error(unavailable) with what the engine said.
  void act(EngineAction action, bool unit_changed);
  /// Tells the service manager that unit files changed, without touching the engine.
  void reread_units();
  void enable_at_boot();
  void stop();

  std::chrono::milliseconds up_limit{60'000};
  std::chrono::milliseconds command_limit{180'000};

 private:
  void control(const std::string& verb);
  void wait_until_up();
  std::string first_error();

  Init init_;
  Runner& runner_;
  EngineProbe& probe_;
  Log& log_;
};

/// Checks from outside that the port demands a client certificate and serves `certificate` (PEM). Waits for
/// TLS until `limit`; with `taking_up`, also for another certificate to give way to it. Throws
/// Error(unavailable) saying what it found instead.
void verify_tls(EngineProbe& probe, const Settings& settings, const std::string& certificate,
                std::chrono::milliseconds limit, bool taking_up = false);

/// Throws Error(unavailable) for an engine that starts no container on this machine: one before 20.10 where
/// there is cgroup v2 only.
void check_engine_fits(const Root& root, Runner& runner, const std::string& dockerd);

/// Whether this machine takes part in a swarm, which forbids live-restore: as the engine says in `info` (the
/// answer to GET /info), or by its files when it does not run.
bool in_swarm(std::string_view info, const System& system);

/// Where to connect to reach what listens on `address`.
std::string reachable_address(const std::string& address);

}  // namespace berth::extension
