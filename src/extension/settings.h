#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "handler/settings_document.h"

namespace berth::extension {

/// Where a missing engine comes from: the distribution's package; Docker's own package repository; an
/// archive of programs with its checksum; nowhere.
enum class Channel { distro, docker_ce, archive, none };

/// What of the security report's advice is put into effect: `standard` what costs the user nothing, `cis`
/// more.
enum class Hardening { standard, cis };

struct RegistryLogin {
  std::string server;  ///< "" is the engine's default registry
  std::string user;
  Secret password;
};

/// What the user asked for, whichever of the two schemas it was written in.
struct Settings {
  std::optional<std::uint16_t> port;  ///< no port: the engine listens on its unix socket only
  std::string address = "0.0.0.0";    ///< what the port is opened on
  bool allow_plain_tcp = false;       ///< without certificates, and only on loopback
  std::vector<std::string> options;   ///< flags of dockerd, one word each
  std::string ca, certificate;        ///< PEM
  Secret key;                         ///< PEM
  std::string compose;                ///< text of the compose file; "" when there is none
  std::map<std::string, std::string> compose_environment;
  std::map<std::string, Secret> secret_environment;  ///< wins over compose_environment
  std::optional<RegistryLogin> login;
  bool install_only = false;

  Channel channel = Channel::distro;
  std::string version;         ///< of the engine's package; "" takes what the channel offers
  std::string repository;      ///< Channel::docker_ce: an apt "URL SUITE COMPONENT…" or the URL of a .repo
  std::string repository_key;  ///< its armoured public key
  std::string archive_url, archive_sha256;  ///< Channel::archive
  std::optional<bool> live_restore;         ///< unset: on, unless the user's daemon.json says otherwise
  Hardening hardening = Hardening::standard;
  bool add_user_to_docker_group = true;
  bool disable_stops_engine = false;
  bool remove_engine_on_uninstall = false;

  std::vector<std::string> warnings;  ///< sentences; the settings are applied all the same

  bool has_certificates() const { return !ca.empty(); }
};

/// Both schemas to one structure. Every value's type and range is checked, secrets in public settings are
/// refused, two forms of one setting must agree; keys it does not know become warnings. Throws Error(invalid)
/// naming the key. Source: docs/wire/docker-extension.md.
Settings parse_settings(std::string_view public_settings, const Secret& protected_settings);

}  // namespace berth::extension
