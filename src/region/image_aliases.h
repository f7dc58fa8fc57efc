#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

class Region;

/// "Whoever asks for Canonical:*:* gets the image Debian-12": images by the names that templates use. There are none
/// unless the user says so; they stand in the region's store.
struct ImageAlias {
  std::string
      pattern;  ///< "PUBLISHER:OFFER:SKU:VERSION", each with '*' and '?'; parts that are missing fit all
  std::string image;  ///< name of a gallery image
};

/// Throws Error: invalid for no pattern; not_found when there is no such image. True when it is a new one.
bool put_image_alias(Region& region, const ImageAlias& alias);
/// False when there was none.
bool remove_image_alias(Region& region, const std::string& pattern);
/// Those with more letters of their own first: the first that fits counts.
std::vector<ImageAlias> image_aliases(const Region& region);
/// The one that fits a marketplace address "publisher:offer:sku:version".
std::optional<ImageAlias> find_image_alias(const Region& region, std::string_view address);

}  // namespace berth
