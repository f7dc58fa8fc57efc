#include "api/arm/groups.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"

namespace berth::arm {
namespace {

using nlohmann::json;

std::string document_of(const Arm& arm, const ResourceGroup& group) {
  bool deleting = false;
  for (const Operation* operation : arm.region.operations().of("resourceGroups/" + group.name))
    deleting |= operation->status == OperationStatus::running;
  JsonText out;
  write_group(out, group, arm.subscription(), deleting);
  return out.take();
}

}  // namespace

asio::awaitable<Response> list_groups(Arm& arm, Request request) {
  // Never in pages: the classic client prints the first one only.
  const std::string filter = request.parameter("$filter");
  std::optional<ResourceFilter> wanted;
  if (!filter.empty()) wanted.emplace(filter);
  JsonText out;
  out.open().open_list("value");
  for (const ResourceGroup* group : arm.region.groups().list())
    if (!wanted || wanted->matches(*group, "Microsoft.Resources/resourceGroups"))
      write_group(out, *group, arm.subscription(), false);
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_group(Arm& arm, Request request) {
  co_return json_response(200, document_of(arm, arm.region.groups().get(request.params["group"])));
}

asio::awaitable<Response> head_group(Arm& arm, Request request) {
  co_return Response{
      .status = arm.region.groups().find(request.params["group"]) ? 204 : 404, .headers = {}, .body = {}};
}

asio::awaitable<Response> put_group(Arm& arm, Request request) {
  const std::string name = request.params["group"];
  check_group_name(name);
  const GroupRequest wanted = parse_group(parse_document(request.body));
  const auto put = arm.region.groups().put(name, wanted.location, wanted.tags);
  if (put.created) forget_deployments(arm, name);
  co_return json_response(put.created ? 201 : 200, document_of(arm, put.resource));
}

asio::awaitable<Response> patch_group(Arm& arm, Request request) {
  const ResourceGroup before = arm.region.groups().get(request.params["group"]);
  const json change = parse_document(request.body);
  const Field tags = Field(change)["tags"];
  const auto put =
      arm.region.groups().put(before.name, before.location, tags.missing() ? before.tags : tags.tags());
  co_return json_response(200, document_of(arm, put.resource));
}

asio::awaitable<Response> delete_group(Arm& arm, Request request) {
  const std::string name = arm.region.groups().get(request.params["group"]).name;
  co_return co_await answer_accepted(arm, request, arm.region.groups().remove(name).operation);
}

asio::awaitable<Response> list_resources(Arm& arm, Request request) {
  const std::string group = request.params["group"];
  if (!group.empty()) arm.region.groups().get(group);
  const std::string text = request.parameter("$filter");
  std::optional<ResourceFilter> filter;
  if (!text.empty()) filter.emplace(text);
  JsonText out;
  out.open().open_list("value");
  for (const Kind& kind : kinds()) {
    if (!kind.all) continue;
    for (const Resource* resource : kind.all(arm.region, group))
      if (!filter || filter->matches(*resource, kind.type))
        write_resource_summary(out, *resource, kind.type, arm.subscription());
  }
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_tag_names(Arm& arm, Request) {
  std::map<std::string, std::map<std::string, std::size_t>> names;
  const auto count = [&](const Tags& tags) {
    for (const auto& [name, value] : tags) ++names[name][value];
  };
  for (const ResourceGroup* group : arm.region.groups().list()) count(group->tags);
  for (const Kind& kind : kinds())
    if (kind.all)
      for (const Resource* resource : kind.all(arm.region, {})) count(resource->tags);
  const auto write_count = [](JsonText& out, std::size_t number) {
    out.open("count").put("type", "Total").put("value", number).close();
  };
  JsonText out;
  out.open().open_list("value");
  for (const auto& [name, values] : names) {
    std::size_t total = 0;
    const std::string id = fmt::format("/subscriptions/{}/tagNames/{}", arm.subscription(), name);
    out.open().put("id", id).put("tagName", name).open_list("values");
    for (const auto& [value, number] : values) {
      out.open().put("id", id + "/tagValues/" + value).put("tagValue", value);
      write_count(out, number);
      out.close();
      total += number;
    }
    out.close_list();
    write_count(out, total);
    out.close();
  }
  out.close_list().close();
  co_return json_response(200, out.take());
}

}  // namespace berth::arm
