#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/arm/arm_client.h"

namespace berth {

/// An image that VMs can be made from, as the region lists it.
struct ImageView {
  std::string name, label, category, os, publisher, offer, sku, version, family;
  bool docker = false, built = false;
  std::string template_state;  ///< "none", "making" or "ready": docs/instant.md
  std::uint64_t size_gib = 0;
};

/// The region's; on Azure those of the marketplace that have short names here.
std::vector<ImageView> list_images(ArmClient& arm);

/// True when images are the marketplace's: this Resource Manager is no region of Berth's.
bool has_marketplace(ArmClient& arm);
/// "publisher:offer:sku:version" for a short name, or for that form itself; a resource id stays. Throws Error(not_found) when the
/// marketplace has no such image at that location.
std::string find_marketplace_image(ArmClient& arm, const std::string& location, const std::string& wanted);

/// What a deployment shall name: the image's own spelling, or "publisher:offer:sku:version" as it was given.
/// nullopt when there is no such image.
std::optional<std::string> find_image(const std::vector<ImageView>& images, const std::string& wanted);

std::string image_alias_path(const std::string& pattern);
/// Lets an image stand for those that clients ask for by other names. Returns what the user should know of it.
std::string add_image_alias(ArmClient& arm, const std::string& pattern, const std::string& image);

}  // namespace berth
