#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/functions.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "crypto/random.h"
#include "endpoints/arm/deployment.h"
#include "endpoints/arm/turns.h"

/// The document of a deployment, as it is kept, and what is shown of it.
namespace berth::arm {
namespace {

using nlohmann::json;

constexpr const char* table = "arm-deployment";
constexpr const char* deployments_type = "Microsoft.Resources/deployments";
constexpr std::string_view target_prefix = "deployments/";

std::string deployment_id(const Arm& arm, const json& document) {
  return make_id(arm.subscription(), document.value("group", ""), deployments_type,
                 document.value("name", ""));
}

json providers_of(const Template& plan) {
  std::map<std::string, json, NameLess> types;
  std::set<std::string> known;
  for (const PlannedResource& resource : plan.resources()) {
    const std::size_t slash = resource.type.find('/');
    json& list = types[resource.type.substr(0, slash)];
    if (known.insert(resource.type).second)
      list.push_back({{"resourceType", resource.type.substr(slash + 1)}, {"locations", {nullptr}}});
  }
  json providers = json::array();
  for (const auto& [name, list] : types) providers.push_back({{"namespace", name}, {"resourceTypes", list}});
  return providers;
}

/// The document of the deployment whose operation this is; nullopt for other operations, and when its name
/// was used again since.
std::optional<json> document_of_operation(const Arm& arm, const std::string& id) {
  const Operation* operation = arm.region.operations().find(id);
  if (!operation || !operation->target.starts_with(target_prefix)) return std::nullopt;
  const auto document = find_deployment(arm, lower(operation->target.substr(target_prefix.size())));
  return document && document->value("operation", "") == id ? document : std::nullopt;
}

}  // namespace

/// Of a template in which all waits for all, only the first thousand pairs: it is what people look at.
json shown_dependencies(const Template& plan) {
  constexpr std::size_t most_pairs = 1000;
  json list = json::array();
  const auto short_form = [](const PlannedResource& resource) {
    return json{{"id", resource.id}, {"resourceType", resource.type}, {"resourceName", resource.name}};
  };
  std::size_t pairs = 0;
  for (const PlannedResource& resource : plan.resources()) {
    if (resource.after.empty()) continue;
    json entry = short_form(resource);
    for (const std::size_t other : resource.after) {
      if (++pairs > most_pairs) return list;
      entry["dependsOn"].push_back(short_form(plan.resources()[other]));
    }
    list.push_back(std::move(entry));
  }
  return list;
}

std::string deployment_key(const std::string& group, const std::string& name) {
  return lower(group) + "/" + lower(name);
}

std::string time_text(const Arm& arm) {
  return format_time(arm.clock(), "o");
}

json problem_json(const Problem& problem) {
  JsonText out;
  out.open();
  write_error(out, "error", problem);
  out.close();
  return json::parse(out.take())["error"];
}

Problem problem_from(const json& error) {
  Problem problem{
      .code = error.value("code", ""), .message = error.value("message", ""), .advice = {}, .details = {}};
  if (const auto infos = error.find("additionalInfo"); infos != error.end() && !infos->empty())
    problem.advice = (*infos)[0]["info"].value("advice", "");
  if (const std::string tail = " " + problem.advice;
      !problem.advice.empty() && problem.message.ends_with(tail))
    problem.message.resize(problem.message.size() - tail.size());
  if (const auto details = error.find("details"); details != error.end())
    for (const json& detail : *details) problem.details.push_back(problem_from(detail));
  return problem;
}

json new_deployment_document(const Arm& arm, const WantedDeployment& wanted, const char* state) {
  return {{"name", wanted.place().name},
          {"group", wanted.place().group},
          {"mode", wanted.mode},
          {"state", state},
          {"parameters", wanted.prepared->parameters},
          {"correlationId", new_uuid()},
          {"templateHash", wanted.hash},
          {"tags", wanted.tags},
          {"timestamp", time_text(arm)},
          {"providers", providers_of(wanted.prepared->plan)},
          {"dependencies", wanted.prepared->dependencies},
          {"operations", json::array()}};
}

std::optional<json> find_deployment(const Arm& arm, const std::string& key) {
  if (const auto running = arm.running.find(key); running != arm.running.end())
    return running->second->document;
  const auto text = arm.region.documents().find(table, key);
  if (!text) return std::nullopt;
  json document = json::parse(*text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  if (document.value("state", "") == "Running") {
    document["state"] = "Failed";
    document["error"] = problem_json(
        {.code = "OperationPreempted",
         .message = fmt::format("The region was restarted while the deployment '{}' ran.",
                                document.value("name", "")),
         .advice = "Send the same deployment again: what is there already stays, the rest is made.",
         .details = {}});
  }
  return document;
}

void keep_deployment(Arm& arm, const DeploymentRun& run) {
  arm.region.documents().keep(table, run.key, dump(run.document));
}

asio::awaitable<void> keep_ended_deployment(Arm& arm, const DeploymentRun& run) {
  co_await arm.region.operations().insist([&arm, &run] {
    if (arm.region.groups().find(run.document.value("group", ""))) keep_deployment(arm, run);
  });
}

void drop_deployment(Arm& arm, const std::string& key) {
  arm.region.documents().drop(table, key);
}

json shown_deployment(const Arm& arm, const json& document) {
  json properties = {{"provisioningState", document.value("state", "Running")},
                     {"mode", document.value("mode", "Incremental")},
                     {"parameters", document.value("parameters", json::object())},
                     {"timestamp", document.value("timestamp", "")},
                     {"duration", document.value("duration", "PT0S")},
                     {"correlationId", document.value("correlationId", "")},
                     {"templateHash", document.value("templateHash", "")},
                     {"providers", document.value("providers", json::array())},
                     {"dependencies", document.value("dependencies", json::array())},
                     {"outputs", document.value("outputs", json::object())},
                     {"outputResources", document.value("outputResources", json::array())}};
  if (document.contains("error")) properties["error"] = document["error"];
  if (document.contains("diagnostics")) properties["diagnostics"] = document["diagnostics"];
  return {{"id", deployment_id(arm, document)},
          {"name", document.value("name", "")},
          {"type", deployments_type},
          {"tags", document.value("tags", json::object())},
          {"properties", std::move(properties)}};
}

json shown_deployment_operation(const Arm& arm, const json& document, const json& entry) {
  json properties = {{"provisioningOperation", entry.value("operation", "Create")},
                     {"provisioningState", entry.value("state", "Running")},
                     {"statusCode", entry.value("statusCode", "Accepted")},
                     {"timestamp", entry.value("ended", entry.value("began", ""))},
                     {"duration", entry.value("duration", "PT0S")},
                     {"targetResource",
                      {{"id", entry.value("id", "")},
                       {"resourceType", entry.value("type", "")},
                       {"resourceName", entry.value("name", "")}}}};
  if (entry.contains("error"))
    properties["statusMessage"] = {{"status", "Failed"}, {"error", entry["error"]}};
  return {{"id", deployment_id(arm, document) + "/operations/" + entry.value("operationId", "")},
          {"operationId", entry.value("operationId", "")},
          {"properties", std::move(properties)}};
}

asio::awaitable<std::string> shown_deployments(const Arm& arm, std::string group) {
  JsonText out;
  Turns turns;
  out.open().open_list("value");
  for (const auto& [key, text] : arm.region.documents().list(table, lower(group) + "/")) {
    if (const auto document = find_deployment(arm, key)) out.raw_item(dump(shown_deployment(arm, *document)));
    co_await turns.next();
  }
  out.close_list().close();
  co_return out.take();
}

std::optional<std::string> show_deployment(Arm& arm, const ResourceId& id) {
  const auto document = find_deployment(arm, deployment_key(id.group, id.name()));
  return document ? std::optional(dump(shown_deployment(arm, *document))) : std::nullopt;
}

std::vector<std::string> hidden_outputs(const Arm& arm, const ResourceId& id) {
  std::vector<std::string> hidden;
  const auto document = find_deployment(arm, deployment_key(id.group, id.name()));
  if (!document) return hidden;
  for (const json& name : document->value("hidden", json::array())) hidden.push_back(name.get<std::string>());
  return hidden;
}

void forget_deployments(Arm& arm, const std::string& group) {
  for (const auto& [key, text] : arm.region.documents().list(table, lower(group) + "/"))
    if (!arm.running.contains(key)) drop_deployment(arm, key);
}

std::vector<std::string> operations_below(const Arm& arm, const std::string& operation) {
  std::vector<std::string> ids;
  for (const auto& [key, run] : arm.running)
    if (run->operation == operation) ids.insert(ids.end(), run->below.begin(), run->below.end());
  if (!ids.empty()) return ids;
  if (const auto document = document_of_operation(arm, operation))
    for (const json& id : document->value("below", json::array())) ids.push_back(id.get<std::string>());
  return ids;
}

std::vector<Problem> problems_of(const Arm& arm, const std::string& operation) {
  const auto document = document_of_operation(arm, operation);
  if (!document || !document->contains("error")) return {};
  return problem_from((*document)["error"]).details;
}

}  // namespace berth::arm
