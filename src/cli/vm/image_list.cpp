#include "cli/vm/image_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "http/message.h"
#include "model/names.h"

namespace berth {

using nlohmann::json;

std::vector<ImageView> list_images(ArmClient& arm) {
  std::vector<ImageView> images;
  for (const json& item : arm.list("providers/Berth.Local/osImages")) {
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
