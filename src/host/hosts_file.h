#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace berth {

/// Makes the block marked "# berth OWNER begin" … "# berth OWNER end" of a hosts file say exactly `names`
/// (name -> address); an empty map removes the block. All other lines stay byte for byte. The file is
/// rewritten in place (it may be a bind mount), by one region at a time: they share a lock in
/// runtime_folder(), not on the hosts file, which everybody can open and lock. False, at once, while another
/// region holds it: try again. Throws Error(unavailable) when it cannot be written, Error(conflict) when a
/// name stands outside our block with another address.
[[nodiscard]] bool write_hosts_block(const std::filesystem::path& file, const std::string& owner,
                                     const std::map<std::string, std::string>& names);

}  // namespace berth
