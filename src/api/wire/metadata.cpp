#include "api/wire/metadata.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "model/names.h"

namespace berth::wire {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view versions[] = {
    "2017-03-01", "2017-04-02", "2017-08-01", "2017-10-01", "2017-12-01", "2018-02-01",
    "2018-04-02", "2018-10-01", "2019-02-01", "2019-03-11", "2019-04-30", "2019-06-01",
    "2019-06-04", "2019-08-01", "2019-08-15", "2019-11-01", "2020-06-01", "2020-07-15",
    "2020-09-01", "2020-10-01", "2020-12-01", "2021-01-01", "2021-02-01", "2021-03-01",
    "2021-05-01", "2021-10-01", "2021-11-01", "2021-11-15", "2021-12-13", "2023-07-01",
};

Response answer(int status, const ordered_json& body) {
  Response response;
  response.status = status;
  response.headers["Content-Type"] = "application/json; charset=utf-8";
  response.body = body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  return response;
}

Response error(int status, const char* what) {
  return answer(status, {{"error", what}});
}

Response no_version() {
  ordered_json body{{"error", "Bad request. api-version is invalid or was not specified in the request."}};
  for (auto version = std::rbegin(versions); version != std::rbegin(versions) + 3; ++version)
    body["newest-versions"].push_back(*version);
  return answer(400, body);
}

ordered_json tags_list(const std::string& tags) {
  ordered_json list = ordered_json::array();
  std::string_view rest = tags;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(';'), rest.size());
    const std::string_view tag = rest.substr(0, end);
    const auto colon = std::min(tag.find(':'), tag.size());
    list.push_back({{"name", tag.substr(0, colon)}, {"value", tag.substr(std::min(colon + 1, tag.size()))}});
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return list;
}

/// The members that this api-version knows; they came in one by one.
ordered_json compute(const GuestView& view, std::string_view version) {
  ordered_json all = ordered_json::object();
  const auto add = [&](std::string_view since, const char* name, ordered_json value) {
    if (version >= since) all[name] = std::move(value);
  };
  constexpr std::string_view always = "";
  add("2018-10-01", "azEnvironment", "AzurePublicCloud");
  add("2020-09-01", "licenseType", "");
  add(always, "location", view.agent_location);
  add(always, "name", view.role);
  add(always, "offer", view.offer);
  if (version >= "2020-07-15") {
    all["osProfile"] = {{"adminUsername", view.admin_user}, {"computerName", view.role}};
  }
  add(always, "osType", "Linux");
  add("2017-08-01", "placementGroupId", "");
  add("2018-04-02", "plan", {{"name", ""}, {"product", ""}, {"publisher", ""}});
  add(always, "platformFaultDomain", "0");
  add(always, "platformUpdateDomain", "0");
  add("2020-12-01", "priority", "Regular");
  add("2018-10-01", "provider", "Microsoft.Compute");
  add("2018-04-02", "publicKeys", ordered_json::array());
  add(always, "publisher", view.publisher);
  add("2017-08-01", "resourceGroupName", view.group);
  add("2019-03-11", "resourceId",
      "/subscriptions/" + view.subscription + "/resourceGroups/" + view.group +
          "/providers/Microsoft.Compute/virtualMachines/" + view.role);
  add(always, "sku", view.sku);
  add("2019-06-01", "storageProfile",
      {{"imageReference",
        {{"id", ""},
         {"offer", view.offer},
         {"publisher", view.publisher},
         {"sku", view.sku},
         {"version", view.version}}}});
  add("2017-08-01", "subscriptionId", view.subscription);
  add("2017-08-01", "tags", view.tags);
  add("2019-06-04", "tagsList", tags_list(view.tags));
  add(always, "version", view.version);
  add(always, "vmId", view.uuid);
  add("2017-12-01", "vmScaleSetName", "");
  add(always, "vmSize", view.size);
  add("2017-12-01", "zone", "");
  return all;
}

ordered_json network(const GuestView& view) {
  ordered_json interfaces = ordered_json::array();
  for (const GuestView::Nic& nic : view.nics) {
    ordered_json address{{"privateIpAddress", nic.address}, {"publicIpAddress", nic.public_address}};
    ordered_json subnet{{"address", nic.subnet}, {"prefix", std::to_string(nic.prefix)}};
    interfaces.push_back({{"ipv4",
                           {{"ipAddress", ordered_json::array({std::move(address)})},
                            {"subnet", ordered_json::array({std::move(subnet)})}}},
                          {"ipv6", {{"ipAddress", ordered_json::array()}}},
                          {"macAddress", nic.mac}});
  }
  return {{"interface", std::move(interfaces)}};
}

/// The part of the document that the rest of the path names; nullptr when there is none.
const ordered_json* find(const ordered_json& document, std::string_view path) {
  const ordered_json* part = &document;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, end);
    path.remove_prefix(std::min(end + 1, path.size()));
    if (name.empty()) continue;
    if (part->is_object()) {
      const auto found = std::find_if(part->items().begin(), part->items().end(),
                                      [&](const auto& item) { return same_name(item.key(), name); });
      if (found == part->items().end()) return nullptr;
      part = &found.value();
    } else if (part->is_array()) {
      std::size_t index = 0;
      const auto [last, wrong] = std::from_chars(name.data(), name.data() + name.size(), index);
      if (wrong != std::errc() || last != name.data() + name.size() || index >= part->size()) return nullptr;
      part = &(*part)[index];
    } else {
      return nullptr;
    }
  }
  return part;
}

/// format=text: a leaf's value, or the names below, one a line, with a slash behind those that lead on.
Response as_text(const ordered_json& part) {
  Response response;
  response.headers["Content-Type"] = "text/plain; charset=utf-8";
  if (!part.is_structured()) {
    response.body = part.is_string() ? part.get<std::string>() : part.dump();
    return response;
  }
  std::size_t index = 0;
  for (const auto& item : part.items()) {
    if (!response.body.empty()) response.body += '\n';
    response.body += part.is_array() ? std::to_string(index++) : item.key();
    if (item.value().is_structured()) response.body += '/';
  }
  return response;
}

Response instance(const GuestView& view, std::string_view rest, const Request& request) {
  const std::string version = request.parameter("api-version"), format = request.parameter("format");
  ordered_json document{{"compute", compute(view, version)}, {"network", network(view)}};
  const ordered_json* part = find(document, rest);
  if (!part) return error(404, "Not found");
  if (same_name(format, "text")) return as_text(*part);
  if (!format.empty() && !same_name(format, "json")) return error(400, "Bad request. Invalid format");
  if (!part->is_structured())
    return error(400, "Bad request. A single value is given as text only: add format=text");
  return answer(200, *part);
}

/// The rest of the path when it is `folder` or below it.
std::optional<std::string_view> below(std::string_view path, std::string_view folder) {
  if (path.size() < folder.size() || !same_name(path.substr(0, folder.size()), folder)) return std::nullopt;
  path.remove_prefix(folder.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

}  // namespace

Response identity_refusal(const std::string& why) {
  return answer(400, {{"error", "invalid_request"}, {"error_description", why}});
}

Response metadata_response(const GuestView& view, const Request& request) {
  const std::string_view path = request.path;
  if (!below(path, "/metadata")) return error(404, "Not found");
  if (!same_name(request.header("Metadata"), "true"))
    return error(400, "Bad request. Required metadata header not specified");
  if (!request.header("X-Forwarded-For").empty())
    return error(400, "Bad request. Forwarded requests are not supported");
  if (below(path, "/metadata/identity")) return identity_refusal("Identity not found");
  if (request.method != "GET") return error(405, "Method not allowed");
  if (const auto rest = below(path, "/metadata/versions"); rest && (rest->empty() || *rest == "/"))
    return answer(200, {{"apiVersions", versions}});
  const auto instance_rest = below(path, "/metadata/instance");
  const auto events_rest = below(path, "/metadata/scheduledevents");
  if (!instance_rest && !events_rest) return error(404, "Not found");
  const std::string version = request.parameter("api-version");
  if (events_rest)
    return version.empty() ? no_version()
                           : answer(200, {{"DocumentIncarnation", 1}, {"Events", ordered_json::array()}});
  if (std::find(std::begin(versions), std::end(versions), version) == std::end(versions)) return no_version();
  return instance(view, *instance_rest, request);
}

}  // namespace berth::wire
