#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace berth::extension {

/// What the agent says of the handler's place, from HandlerEnvironment.json beside or above bin/.
struct HandlerEnvironment {
  std::string name;                      ///< "" in files of old agents
  std::filesystem::path handler_folder;  ///< /var/lib/waagent/NAME-VERSION
  std::string version;                   ///< of that folder's name; "" when it has none
  std::filesystem::path log_folder, config_folder, status_folder;

  std::filesystem::path library_folder() const;  ///< /var/lib/waagent: certificates, ovf-env.xml
};

/// Reads one. Keys it does not know are skipped: agents grow new ones. Throws Error(invalid) naming what is
/// missing. Source: docs/wire/docker-extension.md.
HandlerEnvironment parse_handler_environment(std::string_view text);

/// Looks in the folder of the executable and in its parent. Throws Error(not_found) naming both.
HandlerEnvironment find_handler_environment(const std::filesystem::path& executable_folder);

/// Which settings to apply. The agent says it in ConfigSequenceNumber (`told`); without it the newest file by
/// its time counts, because the numbers do not always rise.
struct Sequence {
  std::uint64_t number = 0;
  std::filesystem::path file;  ///< empty when there are no settings at all
};
Sequence choose_sequence(const std::filesystem::path& config_folder, const std::optional<std::string>& told);

/// The sequence number that was processed last. The agent copies this file to the next version's folder.
std::optional<std::uint64_t> read_mrseq(const std::filesystem::path& handler_folder);
void write_mrseq(const std::filesystem::path& handler_folder, std::uint64_t number);

}  // namespace berth::extension
