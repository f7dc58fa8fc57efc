#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/functions.h"
#include "api/arm/json_text.h"
#include "api/arm/template.h"
#include "base/error.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "endpoints/arm/service.h"

namespace berth::arm {

/// A deployment while it runs. Its document holds no secrets; the template, which may, stays in memory.
struct DeploymentRun {
  Template plan;
  nlohmann::json document;
  std::string key;
  std::string operation;
  std::vector<std::string> below;  ///< operations of the region that it began
  bool canceled = false;
};

namespace {

using nlohmann::json;

constexpr const char* table = "arm-deployment";
constexpr const char* deployments_type = "Microsoft.Resources/deployments";
constexpr int deepest_nesting = 5;

std::string key_of(const std::string& group, const std::string& name) {
  return lower(group) + "/" + lower(name);
}

std::string now_text(const Arm& arm) {
  return format_time(arm.clock(), "o");
}

std::string deployment_id(const Arm& arm, const json& document) {
  return make_id(arm.subscription(), document.value("group", ""), deployments_type,
                 document.value("name", ""));
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

// --- what is kept, and what is shown of it

/// The kept document; of one that was running when the region stopped, as failed.
std::optional<json> find_document(const Arm& arm, const std::string& key) {
  if (const auto running = arm.running.find(key); running != arm.running.end())
    return running->second->document;
  const auto text = arm.region.document(table, key);
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

void keep(Arm& arm, const std::string& key, const json& document) {
  arm.region.keep_document(table, key, dump(document));
}

json shown(const Arm& arm, const json& document) {
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
  return {{"id", deployment_id(arm, document)},
          {"name", document.value("name", "")},
          {"type", deployments_type},
          {"properties", std::move(properties)}};
}

json shown_operation(const Arm& arm, const json& document, const json& entry) {
  json properties = {{"provisioningOperation", "Create"},
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

json get_document(Arm& arm, Request& request) {
  const std::string group = arm.region.get_group(request.params["group"]).name,
                    name = request.params["deployment"];
  auto document = find_document(arm, key_of(group, name));
  if (!document)
    throw Error(ErrorKind::not_found, "DeploymentNotFound",
                fmt::format("Deployment '{}' could not be found.", name));
  return *document;
}

// --- reading and checking what is asked for

struct Wanted {
  DeploymentPlace place;
  Template plan;
  std::string mode;
  std::string hash;
};

DeploymentPlace place_in(const Arm& arm, const std::string& group_name, const std::string& name,
                         const std::string& origin) {
  const ResourceGroup& group = arm.region.get_group(group_name);
  return {.subscription = arm.subscription(),
          .subscription_name = arm.region.settings().subscription_name,
          .tenant = arm.access.tenant,
          .group = group.name,
          .group_location = group.location,
          .group_tags = group.tags,
          .name = name,
          .origin = origin};
}

std::string mode_of(const Field& properties) {
  const std::string mode = properties["mode"].text("Incremental");
  if (same_name(mode, "Incremental")) return "Incremental";
  if (same_name(mode, "Complete")) return "Complete";
  properties["mode"].refuse("'Incremental' or 'Complete'");
}

Wanted parse_wanted(Arm& arm, Request& request) {
  const std::string name = request.params["deployment"];
  if (name.empty() || name.size() > 64 || !std::ranges::all_of(name, [](unsigned char c) {
        return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '(' || c == ')';
      }))
    throw Error(
        ErrorKind::invalid, "InvalidDeploymentName",
        fmt::format("The deployment name '{}' is invalid: it has 1 to 64 letters, digits, '-', '_', '.' and "
                    "parentheses.",
                    name.substr(0, 80)));
  const json body = parse_lenient_document(request.body);
  const Field properties = Field(body)["properties"];
  if (properties.missing())
    throw Error(ErrorKind::invalid, "InvalidDeploymentContent", "The deployment has no 'properties'.");
  for (const char* link : {"templateLink", "parametersLink"})
    if (!properties[link].missing())
      throw Error(ErrorKind::invalid, "InvalidDeploymentContent",
                  fmt::format("'{}' is not followed: the local region opens no connections of its own.",
                              properties[link].path()),
                  "Send the content itself.");
  if (properties["template"].missing())
    throw Error(ErrorKind::invalid, "InvalidDeploymentContent",
                "The deployment has no 'properties.template'.");
  properties["template"].require_object();
  DeploymentPlace place = place_in(arm, request.params["group"], name, request.origin);
  const std::string mode = mode_of(properties);
  // A whole parameter file is taken as well.
  json parameters = properties["parameters"].missing() ? json::object() : properties["parameters"].value();
  if (const json* inner = find_member(parameters, "parameters"); inner && find_member(parameters, "$schema"))
    parameters = *inner;
  Template plan = Template::plan(properties["template"].value(), parameters, place);
  return {.place = place,
          .plan = std::move(plan),
          .mode = mode,
          .hash = std::to_string(std::hash<std::string>{}(dump(properties["template"].value())))};
}

/// Thrown through an evaluation that asks the region for something that is not there yet.
struct NotYet {};

TemplateRuntime no_runtime() {
  return {.reference = [](const std::string&, bool) -> json { throw NotYet{}; },
          .list = [](const std::string&, const std::string&) -> json { throw NotYet{}; }};
}

/// Finds what can be known to fail before anything is made. Throws "InvalidTemplateDeployment" with all of
/// it.
void check_plan(Arm& arm, const Template& plan, const DeploymentPlace& place, int depth) {
  std::vector<Problem> problems;
  if (depth > deepest_nesting)
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("Deployments are nested deeper than {} levels.", deepest_nesting));
  for (std::size_t i = 0; i < plan.resources().size(); ++i) {
    const PlannedResource& resource = plan.resources()[i];
    if (resource.existing) continue;
    try {
      if (resource.is_deployment()) {
        check_plan(arm, plan.nested(i, place, no_runtime()), place, depth + 1);
        continue;
      }
      const Kind& kind = get_kind(resource.type);
      const json body = plan.body(i, no_runtime());
      if (kind.check) kind.check(arm, *ResourceId::parse(resource.id), body);
    } catch (const NotYet&) {
      // Known when its turn comes.
    } catch (const Error& error) {
      if (error.code == "InvalidTemplate") throw;
      problems.push_back({.code = error.code,
                          .message = plan.redact(error.what()),
                          .advice = plan.redact(error.advice),
                          .details = {}});
    }
  }
  if (problems.empty()) return;
  std::string message;
  for (const Problem& problem : problems) message += (message.empty() ? "" : " ") + problem.message;
  throw Error(
      ErrorKind::invalid, "InvalidTemplateDeployment",
      fmt::format("The template deployment '{}' is not valid according to the validation procedure: {}",
                  place.name, message),
      problems.front().advice);
}

// --- running

/// Lets the deployment wait until one of its resources is done.
class Bell {
 public:
  explicit Bell(const asio::any_io_executor& executor) : timer_(executor) {}
  asio::awaitable<void> wait() {
    if (rung_) {
      rung_ = false;
      co_return;
    }
    timer_.expires_at(asio::steady_timer::time_point::max());
    boost::system::error_code ignored;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    rung_ = false;
  }
  void ring() {
    rung_ = true;
    timer_.cancel();
  }

 private:
  asio::steady_timer timer_;
  bool rung_ = false;
};

TemplateRuntime runtime_of(Arm& arm, std::string origin) {
  return {
      .reference =
          [&arm, origin](const std::string& id, bool full) {
            const auto parsed = ResourceId::parse(id);
            const auto text = parsed ? show_resource(arm, *parsed, {.origin = origin}) : std::nullopt;
            if (!text)
              throw Error(ErrorKind::not_found, "ResourceNotFound",
                          fmt::format("The Resource '{}' was not found.", id));
            json document = json::parse(*text);
            if (!full) return document.value("properties", json::object());
            document["resourceId"] = id;
            return document;
          },
      .list = [](const std::string& function, const std::string& id) -> json {
        const auto parsed = ResourceId::parse(id);
        if (parsed && parsed->is("Microsoft.Storage/storageAccounts") && same_name(function, "listKeys")) {
          // Storage accounts are names only; a key that opens nothing, the same each time.
          const std::string key =
              base64_encode(sha256("storage key of " + lower(id)) + sha256("second half " + lower(id)));
          return {{"keys", {{{"keyName", "key1"}, {"value", key}, {"permissions", "FULL"}}}}};
        }
        throw Error(ErrorKind::invalid, "InvalidTemplate",
                    fmt::format("The template function '{}' cannot be used with '{}' in the local region.",
                                function, id));
      }};
}

enum class State { waiting, running, succeeded, failed, skipped };

std::string duration_text(std::int64_t seconds) {
  return fmt::format("PT{}S", seconds);
}

asio::awaitable<json> execute(Arm& arm, std::shared_ptr<DeploymentRun> run, DeploymentPlace place, int depth);

asio::awaitable<void> deploy_nested(Arm& arm, std::shared_ptr<DeploymentRun> outer, std::size_t index,
                                    DeploymentPlace place, TemplateRuntime runtime, int depth) {
  const PlannedResource& resource = outer->plan.resources()[index];
  if (depth >= deepest_nesting)
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("Deployments are nested deeper than {} levels.", deepest_nesting));
  const auto id = ResourceId::parse(resource.id);
  place.name = resource.name;
  if (id && !id->group.empty() && !same_name(id->group, place.group))
    place = place_in(arm, id->group, resource.name, place.origin);
  const json body = outer->plan.body(index, runtime);
  auto run = std::make_shared<DeploymentRun>(DeploymentRun{.plan = outer->plan.nested(index, place, runtime),
                                                           .document = json::object(),
                                                           .key = key_of(place.group, resource.name),
                                                           .operation = outer->operation,
                                                           .below = {}});
  if (arm.running.contains(run->key))
    throw Error(ErrorKind::conflict, "DeploymentActive",
                fmt::format("The deployment '{}' is running already.", resource.name));
  const Field properties = Field(body)["properties"];
  run->document = {{"name", resource.name},
                   {"group", place.group},
                   {"mode", mode_of(properties)},
                   {"state", "Running"},
                   {"parameters", run->plan.shown_parameters()},
                   {"correlationId", outer->document.value("correlationId", "")},
                   {"timestamp", now_text(arm)},
                   {"operations", json::array()}};
  arm.running[run->key] = run;
  std::exception_ptr trouble;
  json error;
  try {
    error = co_await execute(arm, run, place, depth + 1);
  } catch (...) {
    trouble = std::current_exception();
  }
  outer->below.insert(outer->below.end(), run->below.begin(), run->below.end());
  run->document["below"] = run->below;
  keep(arm, run->key, run->document);
  arm.running.erase(run->key);
  if (trouble) std::rethrow_exception(trouble);
  if (!error.is_null()) {
    // The innermost reasons are what is worth telling.
    const Problem problem = problem_from(error);
    const Problem& reason = problem.details.empty() ? problem : problem.details.front();
    throw Error(ErrorKind::conflict, reason.code, reason.message, reason.advice);
  }
}

/// Makes one resource and waits until it is there.
asio::awaitable<void> deploy_one(Arm& arm, std::shared_ptr<DeploymentRun> run, std::size_t index,
                                 DeploymentPlace place, TemplateRuntime runtime, int depth) {
  const PlannedResource& resource = run->plan.resources()[index];
  if (resource.existing) co_return;
  if (resource.is_deployment()) {
    co_await deploy_nested(arm, run, index, place, runtime, depth);
    co_return;
  }
  const Kind& kind = get_kind(resource.type);
  if (!kind.put)
    throw Error(ErrorKind::invalid, "InvalidResourceType",
                fmt::format("'{}' cannot be deployed.", kind.type));
  ResourceId id = *ResourceId::parse(resource.id);
  id.group = arm.region.get_group(id.group).name;
  Applied applied = kind.put(arm, id, run->plan.body(index, runtime));
  if (applied.operation.empty()) co_return;
  run->below.push_back(applied.operation);
  co_await arm.region.finish(applied.operation);
}

json& entry_of(DeploymentRun& run, std::size_t index) {
  return run.document["operations"][index];
}

/// Runs one resource to its end and writes down what came of it.
asio::awaitable<void> track_one(Arm& arm, std::shared_ptr<DeploymentRun> run, std::size_t index,
                                DeploymentPlace place, TemplateRuntime runtime, int depth,
                                std::shared_ptr<std::vector<State>> states, std::shared_ptr<Bell> bell) {
  const std::int64_t began = arm.clock();
  entry_of(*run, index)["began"] = now_text(arm);
  std::optional<Problem> problem;
  try {
    co_await deploy_one(arm, run, index, place, runtime, depth);
  } catch (const Error& error) {
    problem = problem_of(error);
  } catch (const std::exception& error) {
    problem = Problem{.code = "InternalError", .message = error.what(), .advice = {}, .details = {}};
  }
  json& entry = entry_of(*run, index);
  entry["ended"] = now_text(arm);
  entry["duration"] = duration_text(arm.clock() - began);
  entry["state"] = problem ? "Failed" : "Succeeded";
  entry["statusCode"] = problem ? "Conflict" : "OK";
  if (problem) {
    problem->message = run->plan.redact(problem->message);
    problem->advice = run->plan.redact(problem->advice);
    entry["error"] = problem_json(*problem);
  }
  (*states)[index] = problem ? State::failed : State::succeeded;
  bell->ring();
}

/// In complete mode what the template does not name goes: VMs first, then what they used.
asio::awaitable<void> remove_others(Arm& arm, const std::shared_ptr<DeploymentRun>& run,
                                    const std::string& group) {
  static constexpr std::string_view order[] = {"Microsoft.Compute/virtualMachines",
                                               "Microsoft.Network/networkInterfaces"};
  std::vector<const Kind*> sorted;
  for (const std::string_view type : order) sorted.push_back(find_kind(type));
  for (const Kind& kind : kinds())
    if (kind.all && std::ranges::find(sorted, &kind) == sorted.end()) sorted.push_back(&kind);
  for (const Kind* kind : sorted) {
    std::vector<ResourceId> going;
    for (const Resource* resource : kind->all(arm.region, group)) {
      const std::string id = make_id(arm.subscription(), resource->group, kind->type, resource->name);
      const bool named = std::ranges::any_of(
          run->plan.resources(), [&](const PlannedResource& planned) { return same_name(planned.id, id); });
      const bool used =
          kind->type == "Microsoft.Compute/disks" && !static_cast<const Disk*>(resource)->vm.empty();
      if (!named && !used) going.push_back(*ResourceId::parse(id));
    }
    for (const ResourceId& id : going) {
      const auto operation = kind->remove(arm, id, nullptr);
      if (!operation || operation->empty()) continue;
      run->below.push_back(*operation);
      co_await arm.region.finish(*operation);
    }
  }
}

json failure_of(const DeploymentRun& run) {
  Problem problem{
      .code = run.canceled ? "DeploymentCanceled" : "DeploymentFailed",
      .message = run.canceled ? "The deployment was canceled."
                              : "At least one resource deployment operation failed. Please list deployment "
                                "operations for details. Please see https://aka.ms/arm-deployment-operations "
                                "for usage details.",
      .advice = {},
      .details = {}};
  for (const json& entry : run.document["operations"])
    if (entry.contains("error")) problem.details.push_back(problem_from(entry["error"]));
  return problem_json(problem);
}

/// Makes everything, in order, as much as possible at the same time. Returns the error, null if there is
/// none; the run's document tells all.
asio::awaitable<json> execute(Arm& arm, std::shared_ptr<DeploymentRun> run, DeploymentPlace place,
                              int depth) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const std::int64_t began = arm.clock();
  const auto& resources = run->plan.resources();
  const TemplateRuntime runtime = runtime_of(arm, place.origin);
  json providers = json::array();
  for (const PlannedResource& resource : resources) {
    run->document["operations"].push_back({{"operationId", random_hex(16)},
                                           {"state", "Running"},
                                           {"id", resource.id},
                                           {"type", resource.type},
                                           {"name", resource.name}});
  }
  auto states = std::make_shared<std::vector<State>>(resources.size(), State::waiting);
  auto bell = std::make_shared<Bell>(executor);
  for (;;) {
    std::size_t open = 0, under_way = 0;
    for (std::size_t i = 0; i < resources.size(); ++i) {
      State& state = (*states)[i];
      if (state == State::waiting) {
        const auto is = [&](State wanted) {
          return [&, wanted](std::size_t other) { return (*states)[other] == wanted; };
        };
        const bool hopeless = run->canceled || std::ranges::any_of(resources[i].after, is(State::failed)) ||
                              std::ranges::any_of(resources[i].after, is(State::skipped));
        if (hopeless) {
          state = State::skipped;
          entry_of(*run, i)["state"] = "Canceled";
          entry_of(*run, i)["statusCode"] = "Conflict";
        } else if (std::ranges::all_of(resources[i].after, is(State::succeeded))) {
          state = State::running;
          asio::co_spawn(executor, track_one(arm, run, i, place, runtime, depth, states, bell),
                         asio::detached);
        }
      }
      open += (*states)[i] == State::waiting;
      under_way += (*states)[i] == State::running;
    }
    if (open == 0 && under_way == 0) break;
    const bool more_is_ready =
        std::ranges::any_of(*states, [](State s) { return s == State::waiting; }) && under_way == 0;
    if (!more_is_ready) co_await bell->wait();
  }
  json error;
  bool failed = run->canceled || std::ranges::any_of(*states, [](State s) { return s == State::failed; });
  if (failed) error = failure_of(*run);
  if (!failed) {
    try {
      if (run->document.value("mode", "") == "Complete") co_await remove_others(arm, run, place.group);
      run->document["outputs"] = run->plan.outputs(runtime);
    } catch (const Error& trouble) {
      failed = true;
      Problem problem{.code = trouble.code,
                      .message = run->plan.redact(trouble.what()),
                      .advice = trouble.advice,
                      .details = {}};
      error = problem_json({.code = "DeploymentFailed",
                            .message = "The deployment's outputs could not be made.",
                            .advice = {},
                            .details = {problem}});
    }
  }
  json made = json::array();
  for (std::size_t i = 0; i < resources.size(); ++i)
    if ((*states)[i] == State::succeeded && !resources[i].existing) made.push_back({{"id", resources[i].id}});
  run->document["outputResources"] = std::move(made);
  run->document["state"] = failed ? (run->canceled ? "Canceled" : "Failed") : "Succeeded";
  run->document["timestamp"] = now_text(arm);
  run->document["duration"] = duration_text(arm.clock() - began);
  if (failed) run->document["error"] = error;
  co_return error;
}

json dependencies_of(const Template& plan) {
  json list = json::array();
  const auto short_form = [](const PlannedResource& resource) {
    return json{{"id", resource.id}, {"resourceType", resource.type}, {"resourceName", resource.name}};
  };
  for (const PlannedResource& resource : plan.resources()) {
    if (resource.after.empty()) continue;
    json entry = short_form(resource);
    for (const std::size_t other : resource.after)
      entry["dependsOn"].push_back(short_form(plan.resources()[other]));
    list.push_back(std::move(entry));
  }
  return list;
}

json providers_of(const Template& plan) {
  std::map<std::string, json, NameLess> types;
  for (const PlannedResource& resource : plan.resources()) {
    const std::size_t slash = resource.type.find('/');
    json& list = types[resource.type.substr(0, slash)];
    const json entry = {{"resourceType", resource.type.substr(slash + 1)}, {"locations", {nullptr}}};
    if (std::ranges::find(list, entry) == list.end()) list.push_back(entry);
  }
  json providers = json::array();
  for (const auto& [name, list] : types) providers.push_back({{"namespace", name}, {"resourceTypes", list}});
  return providers;
}

json new_document(Arm& arm, const Wanted& wanted, const char* state) {
  return {{"name", wanted.place.name},
          {"group", wanted.place.group},
          {"mode", wanted.mode},
          {"state", state},
          {"parameters", wanted.plan.shown_parameters()},
          {"correlationId", new_uuid()},
          {"templateHash", wanted.hash},
          {"timestamp", now_text(arm)},
          {"providers", providers_of(wanted.plan)},
          {"dependencies", dependencies_of(wanted.plan)},
          {"operations", json::array()}};
}

asio::awaitable<void> run_to_end(Arm& arm, std::shared_ptr<DeploymentRun> run, DeploymentPlace place) {
  json error;
  std::exception_ptr trouble;
  try {
    error = co_await execute(arm, run, place, 0);
  } catch (const std::exception& unexpected) {
    run->document["state"] = "Failed";
    run->document["error"] = error =
        problem_json({.code = "InternalError", .message = unexpected.what(), .advice = {}, .details = {}});
  }
  run->document["below"] = run->below;
  if (arm.region.find_group(place.group)) keep(arm, run->key, run->document);
  arm.running.erase(run->key);
  if (error.is_null()) co_return;
  const Problem problem = problem_from(error);
  std::string advice = problem.advice;
  if (advice.empty() && !problem.details.empty()) advice = problem.details.front().advice;
  throw Error(ErrorKind::conflict, problem.code, problem.message, advice);
}

}  // namespace

std::vector<std::string> operations_below(const Arm& arm, const std::string& operation) {
  std::vector<std::string> ids;
  for (const auto& [key, run] : arm.running)
    if (run->operation == operation) ids.insert(ids.end(), run->below.begin(), run->below.end());
  if (!ids.empty()) return ids;
  const auto known = arm.deployments_of_operations.find(operation);
  if (known == arm.deployments_of_operations.end()) return ids;
  if (const auto document = find_document(arm, known->second))
    for (const json& id : document->value("below", json::array())) ids.push_back(id.get<std::string>());
  return ids;
}

std::vector<Problem> problems_of(const Arm& arm, const std::string& operation) {
  const auto known = arm.deployments_of_operations.find(operation);
  if (known == arm.deployments_of_operations.end()) return {};
  const auto document = find_document(arm, known->second);
  if (!document || !document->contains("error")) return {};
  return problem_from((*document)["error"]).details;
}

void forget_deployments(Arm& arm, const std::string& group) {
  for (const auto& [key, text] : arm.region.documents(table, lower(group) + "/"))
    if (!arm.running.contains(key)) arm.region.drop_document(table, key);
}

std::optional<std::string> show_deployment(Arm& arm, const ResourceId& id) {
  const auto document = find_document(arm, key_of(id.group, id.name()));
  return document ? std::optional(dump(shown(arm, *document))) : std::nullopt;
}

asio::awaitable<Response> list_deployments(Arm& arm, Request request) {
  const std::string group = arm.region.get_group(request.params["group"]).name;
  json list = json::array();
  for (const auto& [key, text] : arm.region.documents(table, lower(group) + "/"))
    if (const auto document = find_document(arm, key)) list.push_back(shown(arm, *document));
  co_return json_response(200, dump({{"value", std::move(list)}}));
}

asio::awaitable<Response> get_deployment(Arm& arm, Request request) {
  co_return json_response(200, dump(shown(arm, get_document(arm, request))));
}

asio::awaitable<Response> head_deployment(Arm& arm, Request request) {
  const bool exists =
      find_document(arm, key_of(request.params["group"], request.params["deployment"])).has_value();
  co_return Response{.status = exists ? 204 : 404, .headers = {}, .body = {}};
}

asio::awaitable<Response> put_deployment(Arm& arm, Request request) {
  Wanted wanted = parse_wanted(arm, request);
  const std::string key = key_of(wanted.place.group, wanted.place.name);
  if (arm.running.contains(key))
    throw Error(
        ErrorKind::conflict, "DeploymentActive",
        fmt::format("Unable to edit or replace deployment '{}': it is still running.", wanted.place.name),
        "Wait until it has ended, or give this one another name.");
  check_plan(arm, wanted.plan, wanted.place, 0);
  const bool existed = find_document(arm, key).has_value();
  auto run = std::make_shared<DeploymentRun>(DeploymentRun{.plan = wanted.plan,
                                                           .document = new_document(arm, wanted, "Running"),
                                                           .key = key,
                                                           .operation = {},
                                                           .below = {}});
  keep(arm, key, run->document);
  arm.running[key] = run;
  const DeploymentPlace place = wanted.place;
  try {
    run->operation =
        arm.region.begin("deployment", fmt::format("deployments/{}/{}", place.group, place.name),
                         [&arm, run, place](std::string) { return run_to_end(arm, run, place); });
  } catch (...) {
    arm.running.erase(key);
    throw;
  }
  arm.deployments_of_operations[run->operation] = key;
  const int status = existed ? 200 : 201;
  if (is_classic_client(request)) {
    co_await arm.region.wait(run->operation, std::chrono::minutes(30));
    co_return json_response(status, dump(shown(arm, find_document(arm, key).value_or(run->document))));
  }
  Response response = json_response(status, dump(shown(arm, run->document)));
  response.headers["Azure-AsyncOperation"] = fmt::format(
      "{}/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Resources/deployments/{}/operationStatuses/"
      "{}"
      "?api-version={}",
      request.origin, arm.subscription(), percent_encode(place.group), percent_encode(place.name),
      run->operation, percent_encode(request.parameter("api-version")));
  response.headers["x-ms-retry-after-ms"] = "200";
  co_return response;
}

asio::awaitable<Response> delete_deployment(Arm& arm, Request request) {
  const std::string key =
      key_of(arm.region.get_group(request.params["group"]).name, request.params["deployment"]);
  if (arm.running.contains(key))
    throw Error(ErrorKind::conflict, "DeploymentActive",
                fmt::format("The deployment '{}' is running.", request.params["deployment"]),
                "Cancel it, or wait until it has ended.");
  const bool existed = find_document(arm, key).has_value();
  if (existed) arm.region.drop_document(table, key);
  co_return Response{.status = 204, .headers = {}, .body = {}};
}

asio::awaitable<Response> cancel_deployment(Arm& arm, Request request) {
  const json document = get_document(arm, request);
  const auto running = arm.running.find(key_of(document.value("group", ""), document.value("name", "")));
  if (running == arm.running.end())
    throw Error(ErrorKind::conflict, "DeploymentCannotBeCanceled",
                fmt::format("The deployment '{}' cannot be canceled: it is {}.", document.value("name", ""),
                            document.value("state", "")));
  running->second->canceled = true;  // what runs goes on to its end, nothing new begins
  co_return Response{.status = 204, .headers = {}, .body = {}};
}

asio::awaitable<Response> validate_deployment(Arm& arm, Request request) {
  Wanted wanted = parse_wanted(arm, request);
  check_plan(arm, wanted.plan, wanted.place, 0);
  json document = new_document(arm, wanted, "Succeeded");
  json answer = shown(arm, document);
  json& validated = answer["properties"]["validatedResources"] = json::array();
  for (const PlannedResource& resource : wanted.plan.resources()) validated.push_back({{"id", resource.id}});
  co_return json_response(200, dump(answer));
}

asio::awaitable<Response> what_if_deployment(Arm& arm, Request request) {
  Wanted wanted = parse_wanted(arm, request);
  check_plan(arm, wanted.plan, wanted.place, 0);
  json changes = json::array();
  for (std::size_t i = 0; i < wanted.plan.resources().size(); ++i) {
    const PlannedResource& resource = wanted.plan.resources()[i];
    if (resource.existing) continue;
    const auto before = show_resource(arm, *ResourceId::parse(resource.id), {});
    json change = {{"resourceId", resource.id}, {"changeType", before ? "Deploy" : "Create"}};
    if (before) change["before"] = json::parse(*before);
    changes.push_back(std::move(change));
  }
  if (wanted.mode == "Complete")
    for (const Kind& kind : kinds())
      for (const Resource* resource :
           kind.all ? kind.all(arm.region, wanted.place.group) : std::vector<const Resource*>{}) {
        const std::string id = make_id(arm.subscription(), resource->group, kind.type, resource->name);
        if (std::ranges::none_of(wanted.plan.resources(),
                                 [&](const PlannedResource& planned) { return same_name(planned.id, id); }))
          changes.push_back({{"resourceId", id}, {"changeType", "Delete"}});
      }
  co_return json_response(200,
                          dump({{"status", "Succeeded"}, {"properties", {{"changes", std::move(changes)}}}}));
}

asio::awaitable<Response> list_deployment_operations(Arm& arm, Request request) {
  const json document = get_document(arm, request);
  json list = json::array();
  for (const json& entry : document.value("operations", json::array()))
    list.push_back(shown_operation(arm, document, entry));
  co_return json_response(200, dump({{"value", std::move(list)}}));
}

asio::awaitable<Response> get_deployment_operation(Arm& arm, Request request) {
  const json document = get_document(arm, request);
  for (const json& entry : document.value("operations", json::array()))
    if (same_name(entry.value("operationId", ""), request.params["operation"]))
      co_return json_response(200, dump(shown_operation(arm, document, entry)));
  throw Error(ErrorKind::not_found, "DeploymentOperationNotFound",
              fmt::format("Deployment operation '{}' could not be found.",
                          request.params["operation"].substr(0, 64)));
}

asio::awaitable<Response> export_deployment_template(Arm& arm, Request request) {
  get_document(arm, request);
  throw Error(ErrorKind::conflict, "TemplateNotKept",
              "The local region does not keep templates: they may hold secrets.",
              "Use the file that you deployed.");
}

}  // namespace berth::arm
