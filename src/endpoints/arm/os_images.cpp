#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"
#include "images/gallery.h"
#include "model/catalog.h"

/// Our own routes to the gallery, under the names that the classic dialect gives to images. Source:
/// docs/wire/arm.md.
namespace berth::arm {
namespace {

constexpr const char* os_image_type = "Berth.Local/osImages";

void write_image(JsonText& out, const Arm& arm, const GalleryImage& image) {
  out.open()
      .put("id",
           fmt::format("/subscriptions/{}/providers/{}/{}", arm.subscription(), os_image_type, image.name))
      .put("name", image.name)
      .put("type", os_image_type)
      .open("properties")
      .put("label", image.label)
      .put("category", image.category)
      .put("osType", image.os)
      .put("publisher", image.publisher)
      .put("offer", image.offer)
      .put("sku", image.sku)
      .put("version", image.version)
      .put("family", image.family)
      .put("sizeGiB", image.size_gib)
      .put("docker", image.docker)
      .put("built", image.built)
      .put("template", arm.region.machines().template_of(image))
      .put_if("added", image.added)
      .close()
      .close();
}

}  // namespace

asio::awaitable<Response> list_os_images(Arm& arm, Request) {
  JsonText out;
  out.open().open_list("value");
  for (const GalleryImage& image : arm.region.images().gallery().list()) write_image(out, arm, image);
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> put_os_image(Arm& arm, Request request) {
  const nlohmann::json body = parse_document(request.body);
  const Field properties = Field(body)["properties"];
  const std::string name = request.params["image"];
  check_resource_name(name, os_image_type);
  const std::string label = properties["label"].text(name);
  if (const Field machine = properties["sourceVirtualMachine"]["id"]; !machine.missing()) {
    const Ref vm = parse_reference(machine.required_text(), "Microsoft.Compute/virtualMachines",
                                   arm.subscription(), machine.path())
                       .ref();
    co_return co_await answer_accepted(arm, request, arm.region.images().capture(vm, name, label).operation);
  }
  const std::filesystem::path file = properties["file"].required_text();
  if (!file.is_absolute()) properties["file"].refuse("the absolute path of a file on the region's machine");
  co_return co_await answer_accepted(arm, request, arm.region.images().import(file, name, label).operation);
}

asio::awaitable<Response> warm_os_image(Arm& arm, Request request) {
  const nlohmann::json body = request.body.empty() ? nlohmann::json::object() : parse_document(request.body);
  const std::string size = Field(body)["vmSize"].text(std::string(default_vm_size));
  co_return co_await answer_accepted(arm, request,
                                     arm.region.machines().warm(request.params["image"], size).operation);
}

asio::awaitable<Response> delete_os_image(Arm& arm, Request request) {
  arm.region.images().remove(request.params["image"]);
  co_return Response{.status = 200, .headers = {}, .body = {}};
}

}  // namespace berth::arm
