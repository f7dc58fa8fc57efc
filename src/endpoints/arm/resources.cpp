#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"
#include "api/arm/network.h"
#include "api/arm/operations.h"
#include "base/error.h"
#include "endpoints/arm/absent_types.h"
#include "endpoints/arm/service.h"

namespace berth::arm {
namespace {

using nlohmann::json;

/// What a list answers at once; then nextLink. The region's one thread makes it, so that others wait no
/// longer than for this.
constexpr std::size_t page = 100, page_bytes = 1024 * 1024;

std::size_t number_in(const Request& request, std::string_view name, std::size_t otherwise) {
  const std::string text = request.parameter(name);
  if (text.empty()) return otherwise;
  std::size_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size())
    throw Error(ErrorKind::invalid, "InvalidQueryParameter", fmt::format("'{}' must be a number.", name));
  return value;
}

Response list_of(Arm& arm, const Request& request, const Kind& kind, const std::string& group) {
  const auto all = kind.all(arm.region, group);
  const std::size_t first = std::min(number_in(request, "$skiptoken", 0), all.size());
  const bool whole = is_classic_client(request);  // it follows no nextLink
  const std::size_t most = whole ? all.size() : number_in(request, "$top", page);
  const std::size_t last = first + std::min(std::max<std::size_t>(most, 1), all.size() - first);
  View view{.origin = request.origin};
  view.instance_view =
      same_name(request.parameter("$expand"), "instanceView") || request.parameter("statusOnly") == "true";
  std::map<std::string, std::string> users;
  if (kind.type == public_address_type) {
    users = address_users(arm);
    view.address_users = &users;
  }
  JsonText out;
  out.open().open_list("value");
  std::size_t next = first;
  while (next < last && (whole || next == first || out.size() < page_bytes))
    kind.write(arm, out, *all[next++], view);
  out.close_list();
  if (next < all.size()) out.put("nextLink", next_page_url(request, next));
  out.close();
  return json_response(200, out.take());
}

Error no_such(const ResourceId& id) {
  return resource_not_found(id.type(), id.full_name(), id.group);
}

/// The id with the group's name as it was first written. Throws ResourceGroupNotFound.
ResourceId in_existing_group(Arm& arm, ResourceId id) {
  id.group = arm.region.groups().get(id.group).name;
  return id;
}

/// True for "TYPE" and "TYPE/NAME/CHILD", false for "TYPE/NAME".
bool is_collection(const std::string& rest) {
  return std::ranges::count(rest, '/') % 2 == 0;
}

}  // namespace

std::string next_page_url(const Request& request, std::size_t skip) {
  std::string url = request.origin + request.raw_target.substr(0, request.raw_target.find('?')) + "?";
  for (const auto& [key, value] : request.query)
    if (!same_name(key, "$skiptoken")) url += percent_encode(key) + "=" + percent_encode(value) + "&";
  return url + "%24skiptoken=" + std::to_string(skip);
}

ResourceId id_of(const Request& request) {
  auto id = ResourceId::parse(request.path);
  if (!id || id->group.empty())
    throw Error(ErrorKind::invalid, "InvalidResourceNamespace", "The address names no resource.");
  return *id;
}

void check_preconditions(Arm& arm, const Request& request, const Kind& kind, const ResourceId& id) {
  const std::string match = request.header("If-Match"), none_match = request.header("If-None-Match");
  if (match.empty() && none_match.empty()) return;
  const bool exists = kind.show(arm, id, {}).has_value();
  // A part (a subnet, a rule) has the ETag of what it is part of.
  const Kind& top = get_kind(id.provider + "/" + id.segments.front().first);
  const Resource* whole = top.find ? top.find(arm.region, id.ref()) : nullptr;
  const auto names_it = [&](const std::string& header) {
    return exists && (header == "*" || (whole && header.find(whole->etag) != std::string::npos));
  };
  if ((!match.empty() && !names_it(match)) || (!none_match.empty() && names_it(none_match)))
    throw Error(ErrorKind::conflict, "PreconditionFailed",
                match.empty()
                    ? fmt::format("'{}' exists already.", id.full_name())
                    : fmt::format("The ETag given is not that of '{}' as it is now.", id.full_name()),
                "Read it again and repeat the change on what you find.");
}

std::optional<std::string> show_resource(Arm& arm, const ResourceId& id, const View& view) {
  if (id.is("Microsoft.Resources/deployments")) return show_deployment(arm, id);
  const Kind* kind = find_kind(id.type());
  return kind ? kind->show(arm, id, view) : std::nullopt;
}

void check_kept_references(Arm& arm, std::string_view kept, const ResourceId& by) {
  for (const std::string& text : kept_references(kept)) {
    const ResourceId id = *ResourceId::parse(text);
    if (show_resource(arm, id, {})) continue;
    if (!find_kind(id.type())) throw not_supported(id.type());
    throw Error(
        ErrorKind::not_found, "InvalidResourceReference",
        fmt::format("Resource {} referenced by resource {} was not found.", text.substr(0, 400), by.text()),
        "Create it first.");
  }
}

namespace {

/// The list that a path ends with when it is one of extension resources: those of the group, or of a resource in it.
std::optional<std::string> listed_extension_resources(Arm& arm, const std::string& path) {
  const std::size_t at = lower(path).rfind("/providers/");
  const std::string type = path.substr(at + std::string_view("/providers/").size());
  if (!is_extension_resource(type)) return std::nullopt;
  return list_extension_resources(arm, type, path.substr(0, at));
}

}  // namespace

asio::awaitable<Response> get_resource(Arm& arm, Request request) {
  const std::string rest = request.params["resource"];
  if (is_collection(rest)) {
    arm.region.groups().get(request.params["group"]);
    if (auto list = listed_extension_resources(arm, request.path))
      co_return json_response(200, std::move(*list));
    const std::size_t last = rest.rfind('/');
    if (last == rest.npos) {
      const Kind& kind = get_kind(request.params["provider"] + "/" + rest);
      if (!kind.all)
        throw Error(ErrorKind::not_found, "InvalidResourceType",
                    fmt::format("'{}' cannot be listed here.", kind.type));
      co_return list_of(arm, request, kind, request.params["group"]);
    }
    Request parent = request;
    parent.path.resize(parent.path.rfind('/'));
    const ResourceId id = id_of(parent);
    const Kind& kind = get_kind(id.type() + rest.substr(last));
    if (!kind.children)
      throw Error(ErrorKind::not_found, "InvalidResourceType",
                  fmt::format("'{}' cannot be listed here.", kind.type));
    if (!show_resource(arm, id, {})) throw parent_not_found(kind.type, id.full_name(), id.full_name());
    JsonText out;
    out.open().open_list("value");
    for (const std::string& child : kind.children(arm, id)) out.raw_item(child);
    out.close_list().close();
    co_return json_response(200, out.take());
  }
  const ResourceId id = id_of(request);
  const Kind& kind = get_kind(id.type());
  View view{.origin = request.origin};
  view.instance_view = lower(request.parameter("$expand")).find("instanceview") != std::string::npos;
  auto document = kind.show(arm, id, view);
  if (!document) throw no_such(in_existing_group(arm, id));
  Response response = json_response(200, std::move(*document));
  warn_of_machine(arm, id, response);
  co_return response;
}

asio::awaitable<Response> head_resource(Arm& arm, Request request) {
  const ResourceId id = id_of(request);
  const bool exists = get_kind(id.type()).show(arm, id, {}).has_value();
  co_return Response{.status = exists ? 204 : 404, .headers = {}, .body = {}};
}

asio::awaitable<Response> put_resource(Arm& arm, Request request) {
  const ResourceId id = in_existing_group(arm, id_of(request));
  const Kind& kind = get_kind(id.type());
  if (!kind.put)
    throw Error(ErrorKind::invalid, "MethodNotAllowed", fmt::format("'{}' cannot be put.", kind.type));
  check_preconditions(arm, request, kind, id);
  const json body = parse_document(request.body);
  if (kind.prepare) {
    co_await kind.prepare(arm, id);
    in_existing_group(arm, id);  // it may have gone meanwhile
  }
  co_return co_await answer_put(arm, request, kind, id, kind.put(arm, id, body));
}

asio::awaitable<Response> patch_resource(Arm& arm, Request request) {
  const ResourceId id = in_existing_group(arm, id_of(request));
  const Kind& kind = get_kind(id.type());
  check_preconditions(arm, request, kind, id);
  const json change = parse_document(request.body);
  Field(change).require_object();
  if (auto applied = patch_extension_resource(arm, id, change))
    co_return co_await answer_put(arm, request, kind, id, std::move(*applied));
  auto document = kind.show(arm, id, {});
  if (!document || !kind.put) throw no_such(id);
  json whole = json::parse(*document);
  // Tags are replaced as a whole, as Azure does, and so are an extension's settings; all else is merged.
  if (const json* tags = find_member(change, "tags")) whole["tags"] = *tags;
  json others = change;
  others.erase("tags");
  whole.merge_patch(others);
  if (const json* properties = find_member(change, "properties"))
    if (const json* settings = find_member(*properties, "settings"))
      whole["properties"]["settings"] = *settings;
  co_return co_await answer_put(arm, request, kind, id, (kind.patch ? kind.patch : kind.put)(arm, id, whole));
}

asio::awaitable<Response> delete_resource(Arm& arm, Request request) {
  const ResourceId id = in_existing_group(arm, id_of(request));
  const Kind& kind = get_kind(id.type());
  if (!request.header("If-Match").empty()) check_preconditions(arm, request, kind, id);
  auto operation = kind.remove(arm, id, &request);
  drop_extension_resources(arm, id.text());
  co_return co_await answer_accepted(arm, request, std::move(operation));
}

asio::awaitable<Response> list_in_subscription(Arm& arm, Request request) {
  if (auto list = listed_extension_resources(arm, request.path))
    co_return json_response(200, std::move(*list));
  const Kind& kind = get_kind(request.params["provider"] + "/" + request.params["type"]);
  if (!kind.all)
    throw Error(ErrorKind::not_found, "InvalidResourceType",
                fmt::format("'{}' cannot be listed here.", kind.type));
  co_return list_of(arm, request, kind, {});
}

std::vector<Phase> phases_of(const Arm& arm, const Operation& operation) {
  std::vector<Phase> phases = operation.phases;
  for (const std::string& id : operations_below(arm, operation.id))
    if (const Operation* below = arm.region.operations().find(id))
      phases.insert(phases.end(), below->phases.begin(), below->phases.end());
  std::ranges::stable_sort(phases, {}, &Phase::began);
  return phases;
}

asio::awaitable<Response> get_operation(Arm& arm, Request request) {
  const Operation* operation = arm.region.operations().find(request.params["operation"]);
  if (!operation)
    throw Error(ErrorKind::not_found, "NotFound",
                fmt::format("There is no operation '{}'.", request.params["operation"].substr(0, 64)));
  Response response = json_response(200, operation_body(*operation, request.path, phases_of(arm, *operation),
                                                        problems_of(arm, operation->id)));
  if (operation->status == OperationStatus::running) response.headers["x-ms-retry-after-ms"] = "200";
  co_return response;
}

asio::awaitable<Response> get_operation_result(Arm& arm, Request request) {
  const Operation* operation = arm.region.operations().find(request.params["operation"]);
  if (!operation)
    throw Error(ErrorKind::not_found, "NotFound",
                fmt::format("There is no operation '{}'.", request.params["operation"].substr(0, 64)));
  if (operation->status == OperationStatus::running) {
    Response response{.status = 202, .headers = {}, .body = {}};
    response.headers["Location"] = request.origin + request.raw_target;
    response.headers["x-ms-retry-after-ms"] = "200";
    co_return response;
  }
  if (operation->problem)
    throw Error(ErrorKind::conflict, operation->problem->code, operation->problem->message,
                operation->problem->advice);
  co_return result_of(*operation);
}

}  // namespace berth::arm
