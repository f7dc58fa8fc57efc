#include "model/power_state.h"

#include "model/resources.h"

namespace berth {

std::string_view to_string(PowerState state) {
  switch (state) {
    case PowerState::starting:
      return "starting";
    case PowerState::running:
      return "running";
    case PowerState::stopping:
      return "stopping";
    case PowerState::stopped:
      return "stopped";
    case PowerState::deallocating:
      return "deallocating";
    case PowerState::deallocated:
      return "deallocated";
    case PowerState::hibernating:
      return "hibernating";
    case PowerState::hibernated:
      return "hibernated";
    case PowerState::waking:
      return "waking";
  }
  return "unknown";
}

PowerState next(PowerState state, PowerEvent event) {
  const bool was_on = state == PowerState::starting || state == PowerState::running;
  const bool lets_go = state == PowerState::deallocating || state == PowerState::deallocated;
  switch (event) {
    case PowerEvent::switch_on:
      return PowerState::starting;
    case PowerEvent::started:
    case PowerEvent::found_running:
      return PowerState::running;
    case PowerEvent::not_started:
      return PowerState::stopped;
    case PowerEvent::switch_off:
      return PowerState::stopping;
    case PowerEvent::deallocate:
      return PowerState::deallocating;
    case PowerEvent::switched_off:
    case PowerEvent::found_off:
      return lets_go ? PowerState::deallocated : PowerState::stopped;
    case PowerEvent::hibernate:
      return PowerState::hibernating;
    case PowerEvent::wake:
      return PowerState::waking;
    case PowerEvent::found_hibernated:
      return PowerState::hibernated;
    case PowerEvent::died:
      return was_on ? PowerState::stopped : state;
    case PowerEvent::released:
      return PowerState::deallocated;
  }
  return state;
}

std::string_view to_string(Provisioning state) {
  switch (state) {
    case Provisioning::creating:
      return "Creating";
    case Provisioning::updating:
      return "Updating";
    case Provisioning::succeeded:
      return "Succeeded";
    case Provisioning::failed:
      return "Failed";
    case Provisioning::deleting:
      return "Deleting";
  }
  return "Unknown";
}

std::string_view to_string(OperationStatus status) {
  switch (status) {
    case OperationStatus::running:
      return "InProgress";
    case OperationStatus::succeeded:
      return "Succeeded";
    case OperationStatus::failed:
      return "Failed";
    case OperationStatus::canceled:
      return "Canceled";
  }
  return "Unknown";
}

}  // namespace berth
