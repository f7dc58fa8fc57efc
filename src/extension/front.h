#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "extension/engine_config.h"
#include "extension/settings.h"
#include "handler/root.h"
#include "handler/runner.h"

namespace berth::extension {

/// What an image that has a front brings: the front's configuration but for one word, its listener.
inline constexpr std::string_view front_template = "/usr/local/lib/docker-tls/front.conf";
/// The whole of it, as the front reads it beside the engine's TLS files. There exactly when the front is to
/// run.
inline constexpr std::string_view front_file = "/etc/docker/tls-front.conf";

/// The text of front_file for the port in `settings`; nullopt where there is no front or no port. The
/// listener is "ADDRESS:PORT", an IPv6 address without brackets, as stunnel has it.
std::optional<std::string> front_text(const Root& root, const Settings& settings);

/// Why the front might not let in everybody whom an engine with this `ca` (PEM) lets in: OpenSSL, which
/// judges there, takes no authority for an anchor whose own issuer is missing, and tries one of those that
/// have one name. "" when it does. Throws Error(invalid) for what is no PEM.
std::string front_refusal(const std::string& ca);

/// True when an authority of `before` is not in `after` (both PEM): whoever it let in has to go, and a reload
/// leaves them their connections.
bool loses_authority(const std::string& before, const std::string& after);

/// The program that opens the engine's TCP port with mutual TLS and passes all bytes on to the engine's unix
/// socket, as a service of systemd. It comes and goes with docker.service and takes new certificates without
/// a restart. Why: docs/decisions/0018-a-tls-front.md.
class Front {
 public:
  Front(Runner& runner, Log& log) : runner_(runner), log_(log) {}

  bool is_active();
  /// Start: does nothing when it runs. Reload: connections that live go on with the certificates they began
  /// with. Throws Error(unavailable) with what the front said.
  void act(EngineAction action);
  /// Also when it is about to be tried again.
  void stop();

 private:
  void control(const std::string& verb);
  std::string first_error();

  Runner& runner_;
  Log& log_;
};

}  // namespace berth::extension
