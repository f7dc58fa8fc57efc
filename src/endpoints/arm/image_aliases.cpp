#include "region/image_aliases.h"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"
#include "images/gallery.h"
#include "model/catalog.h"
#include "region/host_share.h"

/// Images by the names that templates use: our own routes, and what is said of a machine that got one so.
namespace berth::arm {
namespace {

constexpr const char* alias_type = "Berth.Local/imageAliases";

void write_alias(JsonText& out, const Arm& arm, const ImageAlias& alias) {
  out.open()
      .put("id",
           fmt::format("/subscriptions/{}/providers/{}/{}", arm.subscription(), alias_type, alias.pattern))
      .put("name", alias.pattern)
      .put("type", alias_type)
      .open("properties")
      .put("pattern", alias.pattern)
      .put("image", alias.image)
      .close()
      .close();
}

}  // namespace

asio::awaitable<Response> list_image_aliases(Arm& arm, Request) {
  JsonText out;
  out.open().open_list("value");
  for (const ImageAlias& alias : image_aliases(arm.region)) write_alias(out, arm, alias);
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> put_image_alias(Arm& arm, Request request) {
  const nlohmann::json body = parse_document(request.body);
  const ImageAlias alias{.pattern = request.params["pattern"],
                         .image = Field(body)["properties"]["image"].required_text()};
  const bool created = put_image_alias(arm.region, alias);
  JsonText out;
  write_alias(out, arm, alias);
  co_return json_response(created ? 201 : 200, out.take());
}

asio::awaitable<Response> delete_image_alias(Arm& arm, Request request) {
  const bool known = remove_image_alias(arm.region, request.params["pattern"]);
  co_return Response{.status = known ? 200 : 204, .headers = {}, .body = {}};
}

namespace {

/// That the machine got its image by an alias; "" when it did not.
std::string alias_warning(const Arm& arm, const Vm& vm) {
  if (vm.image_publisher.empty() || vm.image.empty()) return {};
  const auto image = arm.region.images().gallery().find(vm.image);
  if (image && same_name(image->publisher, vm.image_publisher) && same_name(image->offer, vm.image_offer) &&
      same_name(image->sku, vm.image_sku))
    return {};
  return fmt::format(
      "The virtual machine '{}' asks for the image {}:{}:{}, which this region has not: by an image alias it "
      "runs {}.",
      vm.name, vm.image_publisher, vm.image_offer, vm.image_sku, vm.image);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> warnings_of(const Arm& arm, const Vm& vm) {
  std::vector<std::pair<std::string, std::string>> warnings;
  if (std::string warning = alias_warning(arm, vm); !warning.empty())
    warnings.emplace_back("ImageAlias", std::move(warning));
  const VmSize* size = find_vm_size(vm.size);
  if (const std::string less = size ? host_share(*size).less : ""; !less.empty())
    warnings.emplace_back("LessThanItsSize", fmt::format("The virtual machine '{}': {}", vm.name, less));
  return warnings;
}

namespace {

/// For a quoted text in a header: short, and without what would end it.
std::string quotable(std::string text) {
  constexpr std::size_t longest = 1000;
  if (text.size() > longest) text = text.substr(0, longest) + "...";
  std::erase_if(text, [](unsigned char c) { return c < 0x20 || c > 0x7E; });
  std::ranges::replace(text, '"', '\'');
  std::ranges::replace(text, '\\', '/');
  return text;
}

}  // namespace

void warn_of_machine(const Arm& arm, const ResourceId& id, Response& response) {
  if (!id.is("Microsoft.Compute/virtualMachines")) return;
  const Vm* vm = arm.region.machines().find(id.ref());
  if (!vm) return;
  std::string text;
  for (const auto& [code, warning] : warnings_of(arm, *vm))
    text += fmt::format("{}299 berth \"{}\"", text.empty() ? "" : ", ", quotable(warning));
  if (!text.empty()) response.headers["Warning"] = text;
}

}  // namespace berth::arm
