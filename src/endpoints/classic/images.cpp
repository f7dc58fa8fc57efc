#include "images/gallery.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/classic/documents.h"
#include "base/utc.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/mapping.h"
#include "model/catalog.h"
#include "model/names.h"

/// OS images and VM images: both are images of the gallery; those captured as VM images have a document that
/// says so.
namespace berth::classic {
namespace {

using nlohmann::json;

bool is_vm_image(const Region& region, const GalleryImage& image) {
  return read_document(region, image_table, lower(image.name)).value("kind", "") == "vm";
}

std::string all_locations() {
  std::string text;
  for (const Location& location : locations())
    text.append(text.empty() ? "" : ";").append(location.display_name);
  return text;
}

std::string media_link(const std::string& image) {
  return fmt::format("https://portalvhds.blob.region.invalid/images/{}.vhd", lower(image));
}

ImageView view_of(const GalleryImage& image) {
  const bool own = image.category == "User";
  return {.name = image.name,
          .label = image.label.empty() ? image.name : image.label,
          .category = image.category.empty() ? "Public" : image.category,
          .os = image.os,
          .publisher = image.publisher,
          .family = image.family,
          .description = image.label,
          .locations = all_locations(),
          .published = image.added.empty() ? "" : utc_seconds(image.added),
          .media_link = own ? media_link(image.name) : "",
          .size_gib = image.size_gib};
}

VmImageView vm_view(const Region& region, const GalleryImage& image) {
  const json words = read_document(region, image_table, lower(image.name));
  return {.name = image.name,
          .label = words.value("label", image.label),
          .os_state = words.value("state", "Generalized"),
          .os = image.os,
          .service = words.value("service", ""),
          .deployment = words.value("deployment", ""),
          .role = words.value("role", ""),
          .location = display_location(words.value("location", "westus")),
          .created = words.value("created", utc_seconds(utc_now())),
          .media_link = media_link(image.name),
          .size_gib = image.size_gib};
}

GalleryImage get(const Region& region, const std::string& name, bool vm_image) {
  for (const GalleryImage& image : region.images().gallery().list())
    if (same_name(image.name, name) && is_vm_image(region, image) == vm_image) return image;
  throw not_found(fmt::format("The image '{}' does not exist.", name.substr(0, 200)),
                  "'azure vm image list' shows those there are.");
}

void remove(Classic& classic, const GalleryImage& image) {
  classic.region.images().remove(image.name);
  classic.region.documents().drop(image_table, lower(image.name));
}

}  // namespace

asio::awaitable<Response> list_images(Classic& classic, const Request&) {
  std::vector<ImageView> views;
  for (const GalleryImage& image : classic.region.images().gallery().list())
    if (!is_vm_image(classic.region, image)) views.push_back(view_of(image));
  co_return xml_response(200, images_xml(views));
}

asio::awaitable<Response> get_image(Classic& classic, const Request& request) {
  co_return xml_response(200, image_xml(view_of(get(classic.region, param(request, "image"), false))));
}

asio::awaitable<Response> post_image(Classic&, const Request&) {
  throw bad_request("An image cannot be made from a blob: this region has no blob service.",
                    "Add a disk file by Berth's own azure, 'azure vm image create NAME FILE', or capture a "
                    "virtual machine.");
  co_return Response();
}

asio::awaitable<Response> delete_image(Classic& classic, const Request& request) {
  remove(classic, get(classic.region, param(request, "image"), false));
  co_return no_body(200);
}

asio::awaitable<Response> list_vm_images(Classic& classic, const Request&) {
  std::vector<VmImageView> views;
  for (const GalleryImage& image : classic.region.images().gallery().list())
    if (is_vm_image(classic.region, image)) views.push_back(vm_view(classic.region, image));
  co_return xml_response(200, vm_images_xml(views));
}

asio::awaitable<Response> delete_vm_image(Classic& classic, const Request& request) {
  remove(classic, get(classic.region, param(request, "image"), true));
  co_return done_at_once(classic.region, OperationKind::image_delete, "vmImages/" + param(request, "image"));
}

}  // namespace berth::classic
