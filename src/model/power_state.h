#pragma once

#include <string_view>

namespace berth {

/// What a VM's power is doing; next() has the moves. Locally `stopped` keeps its address and ports;
/// `deallocated` keeps its disks and names only.
enum class PowerState { starting, running, stopping, stopped, deallocating, deallocated };
std::string_view to_string(PowerState state);

/// What happens to a VM's power.
enum class PowerEvent {
  switch_on,      ///< an operation begins to start it
  started,        ///< the hypervisor runs it
  not_started,    ///< it does not
  switch_off,     ///< an operation begins to stop it
  deallocate,     ///< the same, and nothing of the host is kept for it
  switched_off,   ///< what one of these two began is done
  died,           ///< it switched itself off, or crashed
  released,       ///< nothing of it is on the host, whatever was begun
  found_running,  ///< a new process of the region finds it so
  found_off,
};
/// The state that comes of it: the one and only way from state to state. What cannot be of importance in a
/// state (a death that an operation waits for) leaves it.
PowerState next(PowerState state, PowerEvent event);

/// What the last change of a resource came to.
enum class Provisioning { creating, updating, succeeded, failed, deleting };
std::string_view to_string(Provisioning state);  ///< "Creating" … as Azure writes it

}  // namespace berth
