#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "region/region.h"

/// Small documents of this dialect in the region's store: words of the client that no other dialect has a use
/// for.
namespace berth::classic {

/// Tables. Their keys are "group/name" where not said otherwise, so that they go with their group.
inline constexpr const char* service_table = "classic-service";        ///< of the public address
inline constexpr const char* deployment_table = "classic-deployment";  ///< of the public address
inline constexpr const char* role_table = "classic-role";              ///< of the VM
inline constexpr const char* disk_table = "classic-disk";              ///< of the disk
inline constexpr const char* image_table = "classic-image";            ///< by the image's name
inline constexpr const char* certificate_table =
    "classic-certificate";                                       ///< "group/address/THUMBPRINT": base64 DER
inline constexpr const char* pending_table = "classic-pending";  ///< rollback.h
inline constexpr const char* storage_key_table = "classic-storage-key";    ///< of the storage account
inline constexpr const char* management_table = "management-certificate";  ///< by thumbprint

/// An empty object when there is none.
nlohmann::json read_document(const Region& region, const char* table, const std::string& key);

}  // namespace berth::classic
