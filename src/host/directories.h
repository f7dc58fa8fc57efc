#pragma once

#include <filesystem>
#include <string>

namespace berth {

/// Where Berth keeps things on this machine, after the XDG base directory specification.
/// BERTH_HOME, else $XDG_DATA_HOME/berth, else ~/.local/share/berth: the state of one local region.
/// Throws Error(invalid) when it is longer than 60 bytes: unix sockets below it must fit in 107.
std::filesystem::path region_home();

/// BERTH_IMAGES, else $XDG_CACHE_HOME/berth/images, else ~/.cache/berth/images: built OS images, shared
/// by all regions of this user.
std::filesystem::path image_cache();

/// For what all regions of this user share while they run, whatever their homes: /run/berth as root, else
/// $XDG_RUNTIME_DIR/berth, else ~/.cache/berth.
std::filesystem::path runtime_folder();

/// $HOME, else the password database's entry. Throws Error(unavailable) when there is neither.
std::filesystem::path home_directory();

/// The folder of this executable, for finding its neighbours (berthd beside azure).
std::filesystem::path executable_folder();

}  // namespace berth
