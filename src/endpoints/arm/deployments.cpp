#include <fmt/format.h>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/deployment.h"
#include "endpoints/arm/turns.h"

/// The routes of deployments.
namespace berth::arm {
namespace {

using nlohmann::json;

std::string key_in(const Arm& arm, Request& request) {
  return deployment_key(arm.region.groups().get(request.params["group"]).name, request.params["deployment"]);
}

/// The document of the one that the request names. Throws Error(not_found).
json get_document(const Arm& arm, Request& request) {
  auto document = find_deployment(arm, key_in(arm, request));
  if (!document)
    throw Error(ErrorKind::not_found, "DeploymentNotFound",
                fmt::format("Deployment '{}' could not be found.", request.params["deployment"]));
  return *document;
}

std::string status_url(const Arm& arm, const Request& request, const DeploymentPlace& place,
                       const std::string& operation) {
  return fmt::format(
      "{}/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Resources/deployments/{}/operationStatuses/"
      "{}?api-version={}",
      request.origin, arm.subscription(), percent_encode(place.group), percent_encode(place.name), operation,
      percent_encode(request.parameter("api-version")));
}

}  // namespace

asio::awaitable<Response> list_deployments(Arm& arm, Request request) {
  const std::string group = arm.region.groups().get(request.params["group"]).name;
  co_return json_response(200, co_await shown_deployments(arm, group));
}

asio::awaitable<Response> get_deployment(Arm& arm, Request request) {
  co_return json_response(200, dump(shown_deployment(arm, get_document(arm, request))));
}

asio::awaitable<Response> head_deployment(Arm& arm, Request request) {
  const std::string key = deployment_key(request.params["group"], request.params["deployment"]);
  co_return Response{.status = find_deployment(arm, key) ? 204 : 404, .headers = {}, .body = {}};
}

asio::awaitable<Response> put_deployment(Arm& arm, Request request) {
  const WantedDeployment wanted = co_await parse_deployment(arm, request);
  co_await check_deployment(arm, wanted);
  const std::string key = deployment_key(wanted.place().group, wanted.place().name);
  const int status = find_deployment(arm, key) ? 200 : 201;
  const std::string operation = begin_deployment(arm, wanted);
  const bool waits = is_classic_client(request);
  if (waits) co_await arm.region.operations().wait(operation, std::chrono::minutes(30));
  Response response = json_response(status, dump(shown_deployment(arm, get_document(arm, request))));
  if (waits) co_return response;
  response.headers["Azure-AsyncOperation"] = status_url(arm, request, wanted.place(), operation);
  response.headers["x-ms-retry-after-ms"] = "200";
  co_return response;
}

asio::awaitable<Response> delete_deployment(Arm& arm, Request request) {
  const std::string key = key_in(arm, request);
  if (arm.running.contains(key))
    throw Error(ErrorKind::conflict, "DeploymentActive",
                fmt::format("The deployment '{}' is running.", request.params["deployment"]),
                "Cancel it, or wait until it has ended.");
  if (find_deployment(arm, key)) drop_deployment(arm, key);
  co_return Response{.status = 204, .headers = {}, .body = {}};
}

asio::awaitable<Response> cancel_deployment(Arm& arm, Request request) {
  const json document = get_document(arm, request);
  const auto running = arm.running.find(key_in(arm, request));
  if (running == arm.running.end())
    throw Error(ErrorKind::conflict, "DeploymentCannotBeCanceled",
                fmt::format("The deployment '{}' cannot be canceled: it is {}.", document.value("name", ""),
                            document.value("state", "")));
  running->second->canceled = true;  // what runs goes on to its end, nothing new begins
  co_return Response{.status = 204, .headers = {}, .body = {}};
}

asio::awaitable<Response> validate_deployment(Arm& arm, Request request) {
  const WantedDeployment wanted = co_await parse_deployment(arm, request);
  co_await check_deployment(arm, wanted);
  json answer = shown_deployment(arm, new_deployment_document(arm, wanted, "Succeeded"));
  json& validated = answer["properties"]["validatedResources"] = json::array();
  for (const PlannedResource& resource : wanted.prepared->plan.resources())
    validated.push_back({{"id", resource.id}});
  co_return json_response(200, dump(answer));
}

asio::awaitable<Response> what_if_deployment(Arm& arm, Request request) {
  const json body = parse_lenient_document(request.body);
  const bool ids_only =
      same_name(Field(body)["properties"]["whatIfSettings"]["resultFormat"].text(), "ResourceIdOnly");
  const WantedDeployment wanted = co_await parse_deployment(arm, request);
  co_await check_deployment(arm, wanted);
  json changes = co_await foreseen_changes(arm, wanted);
  if (ids_only)
    for (json& change : changes)
      for (const char* member : {"before", "after", "delta"}) change.erase(member);
  co_return json_response(200, dump({{"status", "Succeeded"}, {"properties", {{"changes", changes}}}}));
}

asio::awaitable<Response> list_deployment_operations(Arm& arm, Request request) {
  const json document = get_document(arm, request);
  json list = json::array();
  for (const json& entry : document.value("operations", json::array()))
    list.push_back(shown_deployment_operation(arm, document, entry));
  co_return json_response(200, dump({{"value", std::move(list)}}));
}

asio::awaitable<Response> get_deployment_operation(Arm& arm, Request request) {
  const json document = get_document(arm, request);
  for (const json& entry : document.value("operations", json::array()))
    if (same_name(entry.value("operationId", ""), request.params["operation"]))
      co_return json_response(200, dump(shown_deployment_operation(arm, document, entry)));
  throw Error(ErrorKind::not_found, "DeploymentOperationNotFound",
              fmt::format("Deployment operation '{}' could not be found.",
                          request.params["operation"].substr(0, 64)));
}

asio::awaitable<Response> list_subscription_deployments(Arm&, Request) {
  co_return json_response(200, dump({{"value", json::array()}}));  // there are none
}

asio::awaitable<Response> refuse_subscription_deployment(Arm&, Request) {
  throw Error(ErrorKind::invalid, "OperationNotAllowed",
              "Deployments of a whole subscription are not supported by the local region: it deploys to "
              "resource groups.",
              "Make the resource group, and deploy to it ('az deployment group create').");
}

/// A template that makes what is in the group now. Secrets are not in it: nobody can read them.
asio::awaitable<Response> export_group_template(Arm& arm, Request request) {
  const std::string group = arm.region.groups().get(request.params["group"]).name;
  std::vector<std::pair<const Kind*, ResourceId>> all;  // what they are may change before their turn comes
  for (const Kind& kind : kinds()) {
    if (!kind.all || !kind.put) continue;
    for (const Resource* resource : kind.all(arm.region, group))
      all.emplace_back(
          &kind, *ResourceId::parse(make_id(arm.subscription(), resource->group, kind.type, resource->name)));
  }
  JsonText out;
  Turns turns;
  out.open()
      .open("template")
      .put("$schema", "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#")
      .put("contentVersion", "1.0.0.0")
      .raw("parameters", "{}")
      .raw("variables", "{}")
      .open_list("resources");
  for (const auto& [kind, id] : all) {
    co_await turns.next();
    const auto shown = kind->show(arm, id, {});
    if (!shown) continue;
    json document = json::parse(*shown);
    for (const char* told : {"id", "etag", "managedBy", "resources"}) document.erase(told);
    if (const auto properties = document.find("properties"); properties != document.end())
      for (const char* told : {"provisioningState", "resourceGuid", "vmId", "timeCreated", "instanceView"})
        properties->erase(told);
    document["apiVersion"] = request.parameter("api-version");
    out.raw_item(dump(document));
  }
  out.close_list().close().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> export_deployment_template(Arm& arm, Request request) {
  get_document(arm, request);
  throw Error(ErrorKind::conflict, "TemplateNotKept",
              "The local region does not keep templates: they may hold secrets.",
              "Use the file that you deployed.");
}

}  // namespace berth::arm
