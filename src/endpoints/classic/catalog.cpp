#include <fmt/format.h>

#include "api/classic/documents.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/mapping.h"
#include "endpoints/classic/storage.h"
#include "model/names.h"
#include "region/extension_gallery.h"

/// What there is: subscription, locations, sizes, extensions, operations.
namespace berth::classic {

asio::awaitable<Response> get_subscription(Classic& classic, const Request&) {
  const RegionSettings& settings = classic.region.settings();
  co_return xml_response(
      200, subscription_xml(settings.subscription, settings.subscription_name,
                            cloud_services(classic.region).size(), count_storage_accounts(classic)));
}

asio::awaitable<Response> list_locations(Classic&, const Request&) {
  co_return xml_response(200, locations_xml());
}

asio::awaitable<Response> list_role_sizes(Classic&, const Request&) {
  co_return xml_response(200, role_sizes_xml());
}

asio::awaitable<Response> list_operating_systems(Classic&, const Request&) {
  co_return xml_response(200, empty_list_xml("OperatingSystems"));
}

asio::awaitable<Response> list_affinity_groups(Classic&, const Request&) {
  co_return xml_response(200, affinity_groups_xml());
}

asio::awaitable<Response> get_affinity_group(Classic&, const Request& request) {
  throw not_found(fmt::format("The affinity group '{}' does not exist.", param(request, "name")),
                  "This region has none.");
  co_return Response();
}

asio::awaitable<Response> refuse_affinity_groups(Classic&, const Request&) {
  throw bad_request("This region has no affinity groups: it is one machine.", "Give a location.");
  co_return Response();
}

asio::awaitable<Response> get_operation(Classic& classic, const Request& request) {
  const Operation* operation = classic.region.operations().find(lower(param(request, "operation")));
  if (!operation)
    throw not_found(fmt::format("There is no operation '{}'.", param(request, "operation").substr(0, 64)));
  co_return xml_response(200, operation_xml(*operation));
}

namespace {

ExtensionImageView extension_image(const ExtensionPackage& package) {
  return {.publisher = package.publisher,
          .name = package.type,
          .version = package.version,
          .label = package.type,
          .description =
              package.bundled ? package.type + " of this region" : package.type + " published to this region",
          .published = {}};
}

}  // namespace

asio::awaitable<Response> list_extensions(Classic& classic, const Request&) {
  // The newest of each handler, as the service lists them; list() is in the order of versions.
  std::vector<ExtensionImageView> newest;
  for (const ExtensionPackage& package : classic.region.extensions().gallery().list()) {
    ExtensionImageView view = extension_image(package);
    if (!newest.empty() && same_name(newest.back().publisher, view.publisher) &&
        same_name(newest.back().name, view.name))
      newest.back() = std::move(view);
    else
      newest.push_back(std::move(view));
  }
  co_return xml_response(200, resource_extensions_xml(newest));
}

asio::awaitable<Response> list_extension_versions(Classic& classic, const Request& request) {
  std::vector<ExtensionImageView> all;
  for (const ExtensionPackage& package :
       classic.region.extensions().gallery().versions(param(request, "publisher"), param(request, "name")))
    all.push_back(extension_image(package));
  co_return xml_response(200, resource_extensions_xml(all));
}

}  // namespace berth::classic
