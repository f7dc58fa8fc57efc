#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <ranges>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "base/error.h"
#include "endpoints/arm/deployment.h"

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
void check_plan(Arm& arm, const Template& plan, const DeploymentPlace& place, int depth,
                std::vector<Problem>& problems) {
  for (std::size_t i = 0; i < plan.resources().size(); ++i) {
    const PlannedResource& resource = plan.resources()[i];
    if (resource.existing) continue;
    try {
      if (resource.is_deployment()) {
        const DeploymentPlace inner = nested_place(arm, resource, place, depth + 1);
        check_plan(arm, plan.nested(i, inner, no_runtime()), inner, depth + 1, problems);
        continue;
      }
      const Kind& kind = get_kind(resource.type);
      const json body = plan.body(i, no_runtime());
      if (kind.check) kind.check(arm, *ResourceId::parse(resource.id), body);
    } catch (const NotYet&) {
      // Known when its turn comes.
    } catch (const Error& error) {
      if (error.code == "InvalidTemplate" || error.code == "InvalidDeployment") throw;
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

void foresee(Arm& arm, const Template& plan, const DeploymentPlace& place, int depth, Foreseen& seen) {
  for (std::size_t i = 0; i < plan.resources().size(); ++i) {
    const PlannedResource& resource = plan.resources()[i];
    seen.named.insert(lower(resource.id));
    if (resource.existing) continue;
    if (resource.is_deployment()) {
      try {
        const DeploymentPlace inner = nested_place(arm, resource, place, depth + 1);
        foresee(arm, plan.nested(i, inner, no_runtime()), inner, depth + 1, seen);
      } catch (const NotYet&) {
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

DeploymentPlace nested_place(const Arm& arm, const PlannedResource& deployment, const DeploymentPlace& outer,
                             int depth) {
  if (depth > deepest_nesting)
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("Deployments are nested deeper than {} levels.", deepest_nesting));
  const auto id = ResourceId::parse(deployment.id);
  const bool elsewhere = id && !id->group.empty();
  return place_in(arm, elsewhere ? id->group : outer.group, deployment.name, outer.origin);
}

WantedDeployment parse_deployment(Arm& arm, Request& request) {
  const std::string name = request.params["deployment"];
  check_deployment_name(name);
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

void check_deployment(Arm& arm, const WantedDeployment& wanted) {
  std::vector<Problem> problems;
  check_plan(arm, wanted.plan, wanted.place, 0, problems);
  if (problems.empty()) return;
  std::string message;
  for (const Problem& problem : problems) message += (message.empty() ? "" : " ") + problem.message;
  throw Error(
      ErrorKind::invalid, "InvalidTemplateDeployment",
      fmt::format("The template deployment '{}' is not valid according to the validation procedure: {}",
                  wanted.place.name, message),
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

json foreseen_changes(Arm& arm, const WantedDeployment& wanted) {
  Foreseen seen;
  foresee(arm, wanted.plan, wanted.place, 0, seen);
  if (wanted.mode != "Complete") return seen.changes;
  for (const ResourceId& id : others_in_group(arm, wanted.place.group, seen.named)) {
    json change = {{"resourceId", id.text()}, {"changeType", "Delete"}};
    if (!seen.all_known) {
      change["changeType"] = "Unsupported";
      change["unsupportedReason"] = "It is deleted unless a nested deployment names it.";
    }
    seen.changes.push_back(std::move(change));
  }
  return seen.changes;
}

}  // namespace berth::arm
