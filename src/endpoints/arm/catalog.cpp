#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/arm/compute.h"
#include "api/arm/errors.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"
#include "images/gallery.h"
#include "model/catalog.h"
#include "region/extension_gallery.h"
#include "region/image_aliases.h"

/// What there is to choose from: subscriptions, locations, providers, sizes, images, extension handlers.
namespace berth::arm {
namespace {

constexpr std::string_view api_versions[] = {"2022-07-01", "2021-04-01", "2020-06-01",
                                             "2019-10-01", "2018-02-01", "2017-03-30"};

struct Provider {
  std::string name;
  std::vector<std::string> types;
};

/// The types of all kinds, and what has an address of its own besides.
std::vector<Provider> all_providers() {
  std::vector<Provider> all = {
      {"Microsoft.Compute",
       {"locations/operations", "locations/vmSizes", "locations/publishers", "locations/usages"}},
      {"Microsoft.Resources", {"resourceGroups", "deployments", "subscriptions"}},
      {"Berth.Local", {"osImages", "extensions", "imageAliases", "templateFolders"}},
  };
  for (const Kind& kind : kinds()) {
    const std::size_t slash = kind.type.find('/');
    const std::string name = kind.type.substr(0, slash);
    auto known = std::ranges::find(all, name, &Provider::name);
    if (known == all.end()) known = all.insert(all.end(), Provider{name, {}});
    known->types.push_back(kind.type.substr(slash + 1));
  }
  return all;
}

const std::vector<Provider>& providers() {
  static const std::vector<Provider> all = all_providers();
  return all;
}

void write_provider(JsonText& out, const Provider& provider, const std::string& subscription) {
  out.open()
      .put("id", fmt::format("/subscriptions/{}/providers/{}", subscription, provider.name))
      .put("namespace", provider.name)
      .put("registrationState", "Registered")
      .put("registrationPolicy", "RegistrationFree")
      .open_list("resourceTypes");
  for (const std::string_view type : provider.types) {
    out.open().put("resourceType", type).open_list("locations");
    for (const Location& location : locations()) out.item(location.display_name);
    out.close_list().open_list("apiVersions");
    for (const std::string_view version : api_versions) out.item(version);
    out.close_list().close();
  }
  out.close_list().close();
}

void write_subscription(JsonText& out, const Arm& arm) {
  out.open()
      .put("id", "/subscriptions/" + arm.subscription())
      .put("subscriptionId", arm.subscription())
      .put("tenantId", arm.access.tenant)
      .put("displayName", arm.region.settings().subscription_name)
      .put("state", "Enabled")
      .put("authorizationSource", "RoleBased")
      .open_list("managedByTenants")
      .close_list()
      .open("subscriptionPolicies")
      .put("locationPlacementId", "Public_2014-09-01")
      .put("quotaId", "PayAsYouGo_2014-09-01")
      .put("spendingLimit", "Off")
      .close()
      .close();
}

const Location& location_in(const Request& request) {
  const auto found = request.params.find("location");
  const Location* location = find_location(found == request.params.end() ? "" : found->second);
  if (!location)
    throw Error(ErrorKind::invalid, "NoRegisteredProviderFound",
                fmt::format("No registered resource provider found for location '{}'.",
                            found == request.params.end() ? "" : found->second));
  return *location;
}

// --- the walk from publishers to versions

std::string publisher_id(const Arm& arm, std::string_view location, std::string_view publisher) {
  return fmt::format("/Subscriptions/{}/Providers/Microsoft.Compute/Locations/{}/Publishers/{}",
                     arm.subscription(), location, publisher);
}

void write_entry(JsonText& out, std::string_view location, std::string_view name, const std::string& id) {
  out.open().put("location", location).put("name", name).put("id", id).close();
}

using Names = std::set<std::string, NameLess>;

Response names_response(const Arm&, const Request& request, const Names& names, const std::string& parent) {
  const Location& location = location_in(request);
  JsonText out;
  out.open_list();
  for (const std::string& name : names) write_entry(out, location.name, name, parent + "/" + name);
  out.close_list();
  return json_response(200, out.take());
}

Error no_image(const Arm& arm) {
  return Error(ErrorKind::not_found, "NotFound", "Artifact: VMImage was not found.", images_there_are(arm));
}

/// The image that an alias gives for the path's publisher, offer and sku, under the names that were asked for.
void add_aliased(const Arm& arm, Request& request, std::vector<GalleryImage>& found) {
  const std::string publisher = request.params["publisher"], offer = request.params["offer"],
                    sku = request.params["sku"];
  const auto alias = find_image_alias(arm.region, fmt::format("{}:{}:{}:latest", publisher, offer, sku));
  auto image = alias ? arm.region.images().gallery().find(alias->image) : std::nullopt;
  if (!image || offer.empty() || sku.empty()) return;
  image->publisher = publisher;
  image->offer = offer;
  image->sku = sku;
  if (image->version.empty()) image->version = "1.0.0";
  found.push_back(*std::move(image));
}

/// The images whose marketplace address begins with the path's publisher, offer and sku, as far as it goes.
std::vector<GalleryImage> images_below(const Arm& arm, Request& request) {
  std::vector<GalleryImage> found;
  const auto fits = [&](const char* key, const std::string& value) {
    const auto wanted = request.params.find(key);
    return wanted == request.params.end() || same_name(wanted->second, value);
  };
  for (GalleryImage& image : arm.region.images().gallery().list())
    if (!image.publisher.empty() && fits("publisher", image.publisher) && fits("offer", image.offer) &&
        fits("sku", image.sku))
      found.push_back(std::move(image));
  if (found.empty()) add_aliased(arm, request, found);
  if (found.empty()) throw no_image(arm);
  return found;
}

std::string image_id(const Arm& arm, const Location& location, const GalleryImage& image) {
  return fmt::format("{}/ArtifactTypes/VMImage/Offers/{}/Skus/{}/Versions/{}",
                     publisher_id(arm, location.name, image.publisher), image.offer, image.sku,
                     image.version);
}

void write_image(JsonText& out, const Arm& arm, const GalleryImage& image, const Location& location,
                 bool properties) {
  out.open()
      .put("location", location.name)
      .put("name", image.version)
      .put("id", image_id(arm, location, image));
  if (properties)
    out.open("properties")
        .open("osDiskImage")
        .put("operatingSystem", image.os)
        .put("sizeInGb", image.size_gib)
        .close()
        .open_list("dataDiskImages")
        .close_list()
        .put("hyperVGeneration", "V1")
        .put("architecture", "x64")
        .open("automaticOSUpgradeProperties")
        .put("automaticOSUpgradeSupported", false)
        .close()
        .close();
  out.close();
}

std::vector<ExtensionPackage> packages_below(const Arm& arm, Request& request) {
  std::vector<ExtensionPackage> found;
  for (ExtensionPackage& package : arm.region.extensions().gallery().list())
    if (same_name(package.publisher, request.params["publisher"]) &&
        (!request.params.contains("type") || same_name(package.type, request.params["type"])))
      found.push_back(std::move(package));
  return found;
}

Error no_extension_image() {
  return Error(ErrorKind::not_found, "NotFound", "Artifact: VMExtension was not found.");
}

}  // namespace

asio::awaitable<Response> list_tenants(Arm& arm, Request) {
  JsonText out;
  out.open()
      .open_list("value")
      .open()
      .put("id", "/tenants/" + arm.access.tenant)
      .put("tenantId", arm.access.tenant);
  out.put("displayName", "Local").close().close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_subscriptions(Arm& arm, Request) {
  JsonText out;
  out.open().open_list("value");
  write_subscription(out, arm);
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_subscription(Arm& arm, Request) {
  JsonText out;
  write_subscription(out, arm);
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_locations(Arm& arm, Request) {
  JsonText out;
  out.open().open_list("value");
  for (const Location& location : locations())
    out.open()
        .put("id", fmt::format("/subscriptions/{}/locations/{}", arm.subscription(), location.name))
        .put("name", location.name)
        .put("displayName", location.display_name)
        .put("latitude", location.latitude)
        .put("longitude", location.longitude)
        .close();
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_providers(Arm& arm, Request) {
  JsonText out;
  out.open().open_list("value");
  for (const Provider& provider : providers()) write_provider(out, provider, arm.subscription());
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_provider(Arm& arm, Request request) {
  const std::string name = request.params["namespace"];
  for (const Provider& provider : providers())
    if (same_name(provider.name, name)) {
      JsonText out;
      write_provider(out, provider, arm.subscription());
      co_return json_response(200, out.take());
    }
  throw Error(ErrorKind::not_found, "InvalidResourceNamespace",
              fmt::format("The resource namespace '{}' is invalid.", name.substr(0, 100)));
}

asio::awaitable<Response> list_sizes(Arm&, Request request) {
  location_in(request);
  JsonText out;
  out.open();
  write_vm_sizes(out, "value");
  out.close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_skus(Arm&, Request request) {
  const std::string filter = request.parameter("$filter");  // "location eq 'westus'"
  const std::size_t quote = filter.find('\'');
  std::string location;
  if (quote != filter.npos) location = filter.substr(quote + 1, filter.rfind('\'') - quote - 1);
  JsonText out;
  out.open();
  write_skus(out, "value", location);
  out.close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_usages(Arm& arm, Request request) {
  const Location& location = location_in(request);
  std::size_t vms = 0, cores = 0;
  for (const Vm* vm : arm.region.machines().list()) {
    if (vm->location != location.name) continue;
    const VmSize* size = find_vm_size(vm->size);
    ++vms;
    cores += size ? size->cpus : 1;
  }
  JsonText out;
  out.open();
  write_usages(out, "value", vms, cores);
  out.close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_publishers(Arm& arm, Request request) {
  const Location& location = location_in(request);
  Names names;
  for (const GalleryImage& image : arm.region.images().gallery().list())
    if (!image.publisher.empty()) names.insert(image.publisher);
  for (const ExtensionPackage& package : arm.region.extensions().gallery().list())
    names.insert(package.publisher);
  JsonText out;
  out.open_list();
  for (const std::string& name : names)
    write_entry(out, location.name, name, publisher_id(arm, location.name, name));
  out.close_list();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_offers(Arm& arm, Request request) {
  Names names;
  for (const GalleryImage& image : images_below(arm, request)) names.insert(image.offer);
  co_return names_response(arm, request, names,
                           publisher_id(arm, location_in(request).name, request.params["publisher"]) +
                               "/ArtifactTypes/VMImage/Offers");
}

asio::awaitable<Response> list_image_skus(Arm& arm, Request request) {
  Names names;
  for (const GalleryImage& image : images_below(arm, request)) names.insert(image.sku);
  co_return names_response(
      arm, request, names,
      fmt::format("{}/ArtifactTypes/VMImage/Offers/{}/Skus",
                  publisher_id(arm, location_in(request).name, request.params["publisher"]),
                  request.params["offer"]));
}

asio::awaitable<Response> list_image_versions(Arm& arm, Request request) {
  const Location& location = location_in(request);
  std::vector<GalleryImage> images = images_below(arm, request);
  const bool falling = lower(request.parameter("$orderby")).ends_with(" desc");
  std::ranges::sort(images, [&](const GalleryImage& a, const GalleryImage& b) {
    const int order = compare_versions(a.version, b.version);
    return falling ? order > 0 : order < 0;
  });
  if (const std::string top = request.parameter("$top"); !top.empty() && std::atoi(top.c_str()) > 0)
    images.resize(std::min(images.size(), static_cast<std::size_t>(std::atoi(top.c_str()))));
  const bool properties = same_name(request.parameter("$expand"), "properties");
  JsonText out;
  out.open_list();
  for (const GalleryImage& image : images) write_image(out, arm, image, location, properties);
  out.close_list();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_image_version(Arm& arm, Request request) {
  const Location& location = location_in(request);
  std::vector<GalleryImage> images = images_below(arm, request);
  std::ranges::sort(images, [](const GalleryImage& a, const GalleryImage& b) {
    return compare_versions(a.version, b.version) > 0;
  });
  for (const GalleryImage& image : images)
    if (same_name(image.version, request.params["version"]) ||
        same_name(request.params["version"], "latest")) {
      JsonText out;
      write_image(out, arm, image, location, true);
      co_return json_response(200, out.take());
    }
  throw no_image(arm);
}

asio::awaitable<Response> list_extension_types(Arm& arm, Request request) {
  Names names;
  for (const ExtensionPackage& package : packages_below(arm, request)) names.insert(package.type);
  co_return names_response(arm, request, names,
                           publisher_id(arm, location_in(request).name, request.params["publisher"]) +
                               "/ArtifactTypes/VMExtension/Types");
}

asio::awaitable<Response> list_extension_versions(Arm& arm, Request request) {
  const Location& location = location_in(request);
  JsonText out;
  out.open_list();
  for (const ExtensionPackage& package : packages_below(arm, request))
    write_entry(
        out, location.name, package.version,
        fmt::format("{}/ArtifactTypes/VMExtension/Types/{}/Versions/{}",
                    publisher_id(arm, location.name, package.publisher), package.type, package.version));
  out.close_list();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_extension_version(Arm& arm, Request request) {
  const Location& location = location_in(request);
  for (const ExtensionPackage& package : packages_below(arm, request)) {
    if (!same_name(package.version, request.params["version"])) continue;
    JsonText out;
    out.open().put("location", location.name).put("name", package.version);
    out.put("id",
            fmt::format("{}/ArtifactTypes/VMExtension/Types/{}/Versions/{}",
                        publisher_id(arm, location.name, package.publisher), package.type, package.version));
    out.open("properties")
        .put("operatingSystem", "Linux")
        .put("computeRole", "IaaS")
        .put("vmScaleSetEnabled", false);
    out.put("supportsMultipleExtensions", false).close().close();
    co_return json_response(200, out.take());
  }
  throw no_extension_image();
}

asio::awaitable<Response> get_aliases(Arm& arm, Request) {
  // One short name for each offer and sku of the gallery, "Debian-12", and "Debian" for the newest plain one.
  std::map<std::string, GalleryImage, NameLess> aliases;
  for (const GalleryImage& image : arm.region.images().gallery().list()) {
    if (image.publisher.empty()) continue;
    for (const std::string& alias : {image.publisher, image.publisher + "-" + image.sku}) {
      if (alias == image.publisher && image.docker) continue;
      const auto known = aliases.find(alias);
      if (known == aliases.end() || compare_versions(known->second.version, image.version) < 0)
        aliases[alias] = image;
    }
  }
  JsonText out;
  out.open().open("outputs").open("aliases").put("type", "object").open("value").open("Linux");
  for (const auto& [alias, image] : aliases)
    out.open(alias)
        .put("publisher", image.publisher)
        .put("offer", image.offer)
        .put("sku", image.sku)
        .put("version", "latest")
        .put("architecture", "x64")
        .close();
  out.close().close().close().close().close();
  co_return json_response(200, out.take());
}

}  // namespace berth::arm
