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
  }
  return "unknown";
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
