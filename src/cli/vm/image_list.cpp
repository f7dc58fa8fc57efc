#include "cli/vm/image_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "http/message.h"
#include "model/names.h"

namespace berth {

using nlohmann::json;

namespace {

/// Images of the marketplace by the names that people type. Those of the article's time are gone; who looks for one finds its counterpart.
struct MarketplaceImage {
  const char *name, *category, *publisher, *offer, *sku, *family;
};
constexpr MarketplaceImage marketplace_images[] = {
    {"Ubuntu-24_04-LTS", "Public, today's Ubuntu-14_04", "Canonical", "ubuntu-24_04-lts", "server", "Ubuntu"},
    {"Ubuntu-22_04-LTS", "Public", "Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "Ubuntu"},
    {"Debian-13", "Public", "Debian", "debian-13", "13-gen2", "Debian"},
    {"Debian-12", "Public", "Debian", "debian-12", "12-gen2", "Debian"},
};

constexpr const char* region_images = "providers/Berth.Local/osImages";

std::vector<ImageView> list_marketplace_images() {
  std::vector<ImageView> images;
  for (const MarketplaceImage& one : marketplace_images)
    images.push_back({.name = one.name,
                      .label = one.name,
                      .category = one.category,
                      .os = "Linux",
                      .publisher = one.publisher,
                      .offer = one.offer,
                      .sku = one.sku,
                      .version = "latest",
                      .family = one.family});
  return images;
}

std::vector<std::string> parts_of_urn(const std::string& urn) {
  std::vector<std::string> parts(1);
  for (const char c : urn) {
    if (c == ':')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  return parts;
}

}  // namespace

bool has_marketplace(ArmClient& arm) {
  if (arm.endpoint().is_public_cloud) return true;
  return arm.endpoint().far && !arm.find(region_images);
}

std::string find_marketplace_image(ArmClient& arm, const std::string& location, const std::string& wanted) {
  if (wanted.starts_with("/subscriptions/")) return wanted;
  std::string urn = wanted;
  for (const MarketplaceImage& one : marketplace_images)
    if (same_name(one.name, wanted)) urn = fmt::format("{}:{}:{}:latest", one.publisher, one.offer, one.sku);
  const std::vector<std::string> parts = parts_of_urn(urn);
  const Error missing(
      ErrorKind::not_found, "ImageNotFound", fmt::format("Image \"{}\" not found at {}", wanted, location),
      lower(wanted).find("ubuntu") != std::string::npos
          ? "Of Ubuntu the marketplace has Ubuntu-24_04-LTS today; 'azure vm image list' shows short names, "
            "and PUBLISHER:OFFER:SKU:VERSION names any other."
          : "'azure vm image list' shows short names; PUBLISHER:OFFER:SKU:VERSION names any other.");
  if (parts.size() != 4) throw missing;
  const std::string sku = fmt::format(
      "providers/Microsoft.Compute/locations/{}/publishers/{}/artifacttypes/vmimage/offers/{}/skus/{}/"
      "versions",
      location, percent_encode(parts[0]), percent_encode(parts[1]), percent_encode(parts[2]));
  const auto found = arm.find(same_name(parts[3], "latest") ? sku + "?$top=1&$orderby=name%20desc"
                                                            : sku + "/" + percent_encode(parts[3]));
  if (!found || found->empty()) throw missing;
  return urn;
}

std::vector<ImageView> list_images(ArmClient& arm) {
  if (has_marketplace(arm)) return list_marketplace_images();
  std::vector<ImageView> images;
  for (const json& item : arm.list(region_images)) {
    const json& properties = item.at("properties");
    images.push_back({.name = item.value("name", ""),
                      .label = properties.value("label", ""),
                      .category = properties.value("category", ""),
                      .os = properties.value("osType", ""),
                      .publisher = properties.value("publisher", ""),
                      .offer = properties.value("offer", ""),
                      .sku = properties.value("sku", ""),
                      .version = properties.value("version", ""),
                      .family = properties.value("family", ""),
                      .docker = properties.value("docker", false),
                      .built = properties.value("built", false),
                      .template_state = properties.value("template", "none"),
                      .size_gib = properties.value("sizeGiB", std::uint64_t{0})});
  }
  return images;
}

std::optional<std::string> find_image(const std::vector<ImageView>& images, const std::string& wanted) {
  for (const ImageView& image : images) {
    if (same_name(image.name, wanted)) return image.name;
    if (image.publisher.empty()) continue;
    const std::string stem = fmt::format("{}:{}:{}:", image.publisher, image.offer, image.sku);
    if (same_name(wanted, stem + image.version) || same_name(wanted, stem + "latest")) return wanted;
  }
  return std::nullopt;
}

std::string image_alias_path(const std::string& pattern) {
  return "providers/Berth.Local/imageAliases/" + percent_encode(pattern);
}

std::string add_image_alias(ArmClient& arm, const std::string& pattern, const std::string& image) {
  arm.put(image_alias_path(pattern), {{"properties", {{"image", image}}}});
  return fmt::format(
      "Whoever asks for {} gets {}, which is another system: every answer about such a machine says so",
      pattern, image);
}

}  // namespace berth
