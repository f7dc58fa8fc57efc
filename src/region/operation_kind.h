#pragma once

#include <optional>
#include <string_view>

namespace berth {

/// What long operations there are, of the region and of the dialects. to_string() is what they are kept and
/// shown by.
enum class OperationKind {
  vm_create,
  vm_update,
  vm_start,
  vm_restart,
  vm_stop,
  vm_deallocate,
  vm_hibernate,
  vm_redeploy,
  vm_capture,
  vm_recovery,
  vm_delete,
  extension_set,
  extension_delete,
  run_command,
  disk_create,
  disk_resize,
  disk_delete,
  image_import,
  image_create,
  image_capture,
  image_delete,
  image_warm,
  group_delete,
  deployment,
  deployment_create,
  deployment_delete,
  deployment_roll_back,
  cloud_service_delete,
  role_add,
  role_update,
  role_delete,
  endpoint_update,
  certificate_add,
  certificate_delete,
  storage_account_create,
};
std::string_view to_string(OperationKind kind);                            ///< "vm create"
std::optional<OperationKind> parse_operation_kind(std::string_view text);  ///< nullopt: of another version

}  // namespace berth
