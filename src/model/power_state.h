#pragma once

#include <string_view>

namespace berth {

/// What a VM's power is doing. Moves:
///   starting → running → stopping → stopped → starting …;  running/stopped → deallocating → deallocated →
///   starting running → stopped when the guest powers itself off.
/// Locally `stopped` keeps its address and ports; `deallocated` keeps its disks and names only.
enum class PowerState { starting, running, stopping, stopped, deallocating, deallocated };
std::string_view to_string(PowerState state);

/// What the last change of a resource came to.
enum class Provisioning { creating, updating, succeeded, failed, deleting };
std::string_view to_string(Provisioning state);  ///< "Creating" … as Azure writes it

}  // namespace berth
