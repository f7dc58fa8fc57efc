#pragma once

#include <string_view>

namespace berth {

/// What a VM's power is doing; next() has the moves. Locally `stopped` keeps its address and ports;
/// `deallocated` keeps its disks and names only; `hibernated` its memory and its ports as well, but no process.
enum class PowerState {
  starting,
  running,
  stopping,
  stopped,
  deallocating,
  deallocated,
  hibernating,
  hibernated,
  waking
};
std::string_view to_string(PowerState state);
/// The guest neither runs nor is it off: it stands still.
inline bool is_asleep(PowerState state) {
  return state == PowerState::hibernating || state == PowerState::hibernated || state == PowerState::waking;
}

/// What happens to a VM's power.
enum class PowerEvent {
  switch_on,      ///< an operation begins to start it
  started,        ///< the hypervisor runs it
  not_started,    ///< it does not
  switch_off,     ///< an operation begins to stop it
  deallocate,     ///< the same, and nothing of the host is kept for it
  switched_off,   ///< what one of these two began is done
  hibernate,      ///< an operation begins to write its memory to disk
  wake,           ///< an operation begins to have it go on from there
  died,           ///< it switched itself off, or crashed
  released,       ///< nothing of it is on the host, whatever was begun
  found_running,  ///< so it is after what was tried, or after a new process of the region looked
  found_off,
  found_hibernated,
};
/// The state that comes of it: the one and only way from state to state. What cannot be of importance in a
/// state (a death that an operation waits for) leaves it.
PowerState next(PowerState state, PowerEvent event);

/// What the last change of a resource came to.
enum class Provisioning { creating, updating, succeeded, failed, deleting };
std::string_view to_string(Provisioning state);  ///< "Creating" … as Azure writes it

}  // namespace berth
