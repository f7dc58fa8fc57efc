#pragma once

#include <filesystem>

namespace berth::network {

/// What stands where in the folder of one switch; the same for the switch and for who controls it.
class SwitchFiles {
 public:
  explicit SwitchFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path configuration() const { return folder_ / "switch.json"; }
  std::filesystem::path control() const { return folder_ / "control.sock"; }
  std::filesystem::path process() const { return folder_ / "switch.pid"; }         ///< "PID START"
  std::filesystem::path lock() const { return folder_ / "switch.lock"; }           ///< held by the switch
  std::filesystem::path keeper() const { return folder_ / "keeper.pid"; }          ///< of who starts it again
  std::filesystem::path keeper_lock() const { return folder_ / "keeper.lock"; }    ///< held by the keeper
  std::filesystem::path deaths() const { return folder_ / "switch.deaths.json"; }  ///< there once it died
  std::filesystem::path log() const { return folder_ / "switch.log"; }
  std::filesystem::path inner() const {
    return folder_ / "nat";
  }  ///< sockets between the switch and libslirp

 private:
  std::filesystem::path folder_;
};

}  // namespace berth::network
