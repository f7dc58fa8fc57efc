#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace berth {

/// What a container uses. Source: Docker Engine API 1.41, GET /containers/ID/stats.
struct ContainerStats {
  std::string name;
  double cpu_percent = 0;  ///< of one processor
  std::uint64_t memory = 0, memory_limit = 0, received = 0, sent = 0;
};
ContainerStats parse_stats(const nlohmann::json& said);

std::string bytes_text(std::uint64_t bytes);  ///< "1.5 MiB"
/// 0 for anything that is no such number.
std::uint64_t number_at(const nlohmann::json& object, const char* key);

}  // namespace berth
