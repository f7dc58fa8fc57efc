#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cctype>
#include <ranges>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "base/error.h"
#include "endpoints/arm/deployment.h"
#include "host/workers.h"

/// Reading a deployment, and what can be said of it before anything is made.
namespace berth::arm {
namespace {

using nlohmann::json;

constexpr int deepest_nesting = 5;

/// Thrown through an evaluation that asks the region for something that is not there yet.
struct NotYet {};

TemplateRuntime no_runtime() {
  return {.reference = [](const std::string&, bool) -> json { throw NotYet{}; },
          .list = [](const std::string&, const std::string&) -> json { throw NotYet{}; }};
}

void check_deployment_name(const std::string& name) {
  if (!name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) {
        return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '(' || c == ')';
      }))
    return;
  throw Error(
      ErrorKind::invalid, "InvalidDeploymentName",
      fmt::format("The deployment name '{}' is invalid: it has 1 to 64 letters, digits, '-', '_', '.' and "
                  "parentheses.",
                  name.substr(0, 80)));
}

std::string mode_of(const Field& properties) {
  const std::string mode = properties["mode"].text("Incremental");
  if (same_name(mode, "Incremental")) return "Incremental";
  if (same_name(mode, "Complete")) return "Complete";
  properties["mode"].refuse("'Incremental' or 'Complete'");
}

/// Adds what is wrong with the resources of a plan.
asio::awaitable<void> check_plan(Arm& arm, std::shared_ptr<const Prepared> prepared,
                                 std::vector<Problem>& problems) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const Template& plan = prepared->plan;
  for (std::size_t i = 0; i < plan.resources().size(); ++i) {
    if (i % 16 == 15) co_await asio::post(executor, asio::use_awaitable);  // others have their turn
    const PlannedResource& resource = plan.resources()[i];
    const PreparedResource& known = prepared->resources[i];
    if (resource.existing) continue;
    if (known.nested) {
      co_await check_plan(arm, known.nested, problems);
      continue;
    }
    if (known.problem) {
      problems.push_back(*known.problem);
      continue;
    }
    if (resource.is_deployment()) continue;  // known when its turn comes
    try {
      const Kind& kind = get_kind(resource.type);
      if (known.body && kind.check) kind.check(arm, *ResourceId::parse(resource.id), *known.body);
    } catch (const Error& error) {
      problems.push_back({.code = error.code,
                          .message = plan.redact(error.what()),
                          .advice = plan.redact(error.advice),
                          .details = {}});
    }
  }
}

/// What a plan and those nested in it would do.
struct Foreseen {
  json changes = json::array();
  std::set<std::string> named;  ///< lower case ids
  bool all_known = true;        ///< false: a nested template depends on what is not there yet
};

asio::awaitable<void> foresee(Arm& arm, std::shared_ptr<const Prepared> prepared, Foreseen& seen) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  for (std::size_t i = 0; i < prepared->resources.size(); ++i) {
    if (i % 16 == 15) co_await asio::post(executor, asio::use_awaitable);  // others have their turn
    const PlannedResource& resource = prepared->plan.resources()[i];
    seen.named.insert(lower(resource.id));
    if (resource.existing) continue;
    if (resource.is_deployment()) {
      if (prepared->resources[i].nested) {
        co_await foresee(arm, prepared->resources[i].nested, seen);
      } else {
        seen.all_known = false;
        seen.changes.push_back(
            {{"resourceId", resource.id},
             {"changeType", "Unsupported"},
             {"unsupportedReason", "What it makes depends on resources that are made before it."}});
      }
      continue;
    }
    const auto before = show_resource(arm, *ResourceId::parse(resource.id), {});
    json change = {{"resourceId", resource.id}, {"changeType", before ? "Deploy" : "Create"}};
    if (before) change["before"] = json::parse(*before);
    seen.changes.push_back(std::move(change));
  }
}

}  // namespace

DeploymentPlace place_in(const Arm& arm, const std::string& group_name, const std::string& name,
                         const std::string& origin) {
  const ResourceGroup& group = arm.region.groups().get(group_name);
  return {.subscription = arm.subscription(),
          .subscription_name = arm.region.settings().subscription_name,
          .tenant = arm.access.tenant,
          .group = group.name,
          .group_location = group.location,
          .group_tags = group.tags,
          .name = name,
          .origin = origin};
}

namespace {

/// For a worker: evaluates what can be evaluated. Throws Error(invalid) when the template itself is wrong.
std::shared_ptr<const Prepared> prepare(Arm& arm, Template plan, const DeploymentPlace& place, int depth) {
  auto prepared = std::make_shared<Prepared>(Prepared{.plan = plan,
                                                      .place = place,
                                                      .parameters = plan.shown_parameters(),
                                                      .dependencies = shown_dependencies(plan),
                                                      .resources = {}});
  prepared->resources.resize(plan.resources().size());
  for (std::size_t i = 0; i < plan.resources().size(); ++i) {
    const PlannedResource& resource = plan.resources()[i];
    if (resource.existing) continue;
    PreparedResource& known = prepared->resources[i];
    try {
      if (resource.is_deployment())
        known.nested = prepare_nested(arm, *prepared, i, no_runtime(), depth + 1);
      else
        known.body = plan.body(i, no_runtime());
    } catch (const NotYet&) {
      // Known when its turn comes.
    } catch (const Error& error) {
      if (error.code == "InvalidTemplate" || error.code == "InvalidDeployment") throw;
      known.problem = {.code = error.code,
                       .message = plan.redact(error.what()),
                       .advice = plan.redact(error.advice),
                       .details = {}};
    }
  }
  return prepared;
}

/// What a worker makes of a request's body.
WantedDeployment read_deployment(Arm& arm, const std::string& text, const DeploymentPlace& place) {
  const json body = parse_lenient_document(text);
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
  const std::string mode = mode_of(properties);
  // A whole parameter file is taken as well.
  json parameters = properties["parameters"].missing() ? json::object() : properties["parameters"].value();
  if (const json* inner = find_member(parameters, "parameters"); inner && find_member(parameters, "$schema"))
    parameters = json(*inner);
  const json& document = properties["template"].value();
  return {.prepared = prepare(arm, Template::plan(document, parameters, place), place, 0),
          .mode = mode,
          .hash = std::to_string(std::hash<std::string>{}(dump(document))),
          .client = {}};
}

}  // namespace

std::shared_ptr<const Prepared> prepare_nested(Arm& arm, const Prepared& outer, std::size_t index,
                                               const TemplateRuntime& runtime, int depth) {
  if (depth > deepest_nesting)
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("Deployments are nested deeper than {} levels.", deepest_nesting));
  const PlannedResource& deployment = outer.plan.resources()[index];
  const auto id = ResourceId::parse(deployment.id);
  const bool elsewhere = id && !id->group.empty() && !same_name(id->group, outer.place.group);
  DeploymentPlace place = outer.place;
  place.name = deployment.name;
  if (elsewhere)
    place = arm.region.workers().ask(
        [&arm, group = id->group, name = deployment.name, origin = outer.place.origin] {
          return place_in(arm, group, name, origin);
        });
  return prepare(arm, outer.plan.nested(index, place, runtime), place, depth);
}

asio::awaitable<WantedDeployment> parse_deployment(Arm& arm, Request& request) {
  const std::string name = request.params["deployment"];
  check_deployment_name(name);
  const DeploymentPlace place = place_in(arm, request.params["group"], name, request.origin);
  const std::string client = client_of(request);
  WantedDeployment wanted = co_await arm.region.workers().run(
      client, [&arm, place, text = std::move(request.body)] { return read_deployment(arm, text, place); });
  wanted.client = client;
  arm.region.groups().get(place.group);  // it may have gone meanwhile
  co_return wanted;
}

asio::awaitable<void> check_deployment(Arm& arm, const WantedDeployment& wanted) {
  std::vector<Problem> problems;
  co_await check_plan(arm, wanted.prepared, problems);
  if (problems.empty()) co_return;
  std::string message;
  for (const Problem& problem : problems) message += (message.empty() ? "" : " ") + problem.message;
  throw Error(
      ErrorKind::invalid, "InvalidTemplateDeployment",
      fmt::format("The template deployment '{}' is not valid according to the validation procedure: {}",
                  wanted.place().name, message),
      problems.front().advice);
}

std::vector<ResourceId> others_in_group(Arm& arm, const std::string& group,
                                        const std::set<std::string>& named) {
  const auto goes = [&](const std::string& type, const Ref& ref) {
    return same_name(ref.group, group) &&
           !named.contains(lower(make_id(arm.subscription(), ref.group, type, ref.name)));
  };
  std::vector<ResourceId> others;
  for (const Kind& kind : std::views::reverse(kinds())) {
    if (!kind.all) continue;
    for (const Resource* resource : kind.all(arm.region, group)) {
      if (!goes(kind.type, resource->ref())) continue;
      if (kind.type == disk_type)  // a VM that stays keeps its disks
        if (const Ref& vm = static_cast<const Disk*>(resource)->vm;
            !vm.empty() && !goes(std::string(vm_type), vm))
          continue;
      others.push_back(
          *ResourceId::parse(make_id(arm.subscription(), resource->group, kind.type, resource->name)));
    }
  }
  return others;
}

asio::awaitable<json> foreseen_changes(Arm& arm, const WantedDeployment& wanted) {
  Foreseen seen;
  co_await foresee(arm, wanted.prepared, seen);
  if (wanted.mode != "Complete") co_return seen.changes;
  for (const ResourceId& id : others_in_group(arm, wanted.place().group, seen.named)) {
    json change = {{"resourceId", id.text()}, {"changeType", "Delete"}};
    if (!seen.all_known) {
      change["changeType"] = "Unsupported";
      change["unsupportedReason"] = "It is deleted unless a nested deployment names it.";
    }
    seen.changes.push_back(std::move(change));
  }
  co_return seen.changes;
}

}  // namespace berth::arm
