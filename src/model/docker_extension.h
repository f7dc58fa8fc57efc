#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What others than the Docker VM extension itself must know of it.
/// Source of its settings: docs/wire/docker-extension.md.
namespace berth {

/// "PUBLISHER.TYPE", in any case: one of the two names that it is published under.
bool is_docker_extension(std::string_view handler);

/// The Engine's port as public settings (JSON text) name it: docker.port, or dockerport, its older name. As
/// it is written there, which may be no port; nullopt when they name none, and the Engine listens on no port
/// then.
std::optional<std::string> docker_port_text(std::string_view settings);
/// The same as a number; nullopt also for what is no port.
std::optional<std::uint16_t> docker_port(std::string_view settings);

}  // namespace berth
