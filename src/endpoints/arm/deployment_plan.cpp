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

TemplateRuntime no_runtime(Arm& arm) {
  return {.reference = [](const std::string&, bool) -> json { throw NotYet{}; },
          .list = [](const std::string&, const std::string&, const std::string&) -> json { throw NotYet{}; },
          .linked = [&arm](const std::string& uri) { return linked_template(arm, uri); }};
}

/// Tells of storage accounts that the plan makes what they will say, which is theirs by name: machines name them for
/// their boot diagnostics, and all else of such a machine can be looked at before anything is made.
TemplateRuntime foreseeing_runtime(Arm& arm, const Template& plan) {
  std::set<std::string> made;
  for (const PlannedResource& resource : plan.resources())
    if (!resource.existing) made.insert(lower(resource.id));
  TemplateRuntime runtime = no_runtime(arm);
  runtime.reference = [made = std::move(made)](const std::string& id, bool full) -> json {
    const auto parsed = ResourceId::parse(id);
    auto known = parsed && !full && made.contains(lower(id)) ? foreseen_reference(*parsed) : std::nullopt;
    if (!known) throw NotYet{};
    return std::move(*known);
  };
  return runtime;
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

/// What a plan and those nested in it make, as far as that is known.
struct Planned {
  std::set<std::string> ids;  ///< lower case
  bool all_known = true;      ///< false: a nested template depends on what is not there yet
};

void collect_planned(const Prepared& prepared, Planned& planned) {
  for (std::size_t i = 0; i < prepared.resources.size(); ++i) {
    const PlannedResource& resource = prepared.plan.resources()[i];
    planned.ids.insert(lower(resource.id));
    if (!resource.is_deployment() || resource.existing) continue;
    if (prepared.resources[i].nested)
      collect_planned(*prepared.resources[i].nested, planned);
    else
      planned.all_known = false;
  }
}

void collect_references_in(const json& value, std::vector<std::string>& ids) {
  if (value.is_array())
    for (const json& item : value) collect_references_in(item, ids);
  if (!value.is_object()) return;
  for (const auto& [key, item] : value.items()) {
    if (same_name(key, "settings") || same_name(key, "protectedSettings")) continue;
    if (same_name(key, "id") && item.is_string())
      ids.push_back(item.get<std::string>());
    else
      collect_references_in(item, ids);
  }
}

}  // namespace

std::vector<std::string> referenced_ids(const json& body) {
  std::vector<std::string> ids;
  if (const json* properties = find_member(body, "properties")) collect_references_in(*properties, ids);
  return ids;
}

namespace {

bool is_there(Arm& arm, const ResourceId& id) {
  const Kind* kind = find_kind(id.type());
  if (kind && kind->find && id.scope.empty()) return kind->find(arm.region, id.ref()) != nullptr;
  return show_resource(arm, id, {}).has_value();
}

/// Throws Error(not_found, "InvalidResourceReference") when the document names a resource that neither is there nor is
/// made.
void check_references(Arm& arm, const ResourceId& by, const json& body, const Planned& planned) {
  std::set<std::string> seen;
  for (const std::string& text : referenced_ids(body)) {
    if (!seen.insert(lower(text)).second) continue;
    const auto id = ResourceId::parse(text);
    if (!id || id->group.empty() || !same_name(id->subscription, arm.subscription())) continue;
    ResourceId whole = *id;
    whole.segments.resize(1);
    if (!find_kind(whole.type()) || planned.ids.contains(lower(id->text())) ||
        planned.ids.contains(lower(whole.text())) || same_name(whole.text(), by.text()))
      continue;
    const bool is_child = id->segments.size() > 1 && find_kind(id->type());
    const bool there = is_there(arm, whole) && (!is_child || show_resource(arm, *id, {}));
    if (!there)
      throw Error(
          ErrorKind::not_found, "InvalidResourceReference",
          fmt::format("Resource {} referenced by resource {} was not found. Please make sure that the "
                      "referenced resource exists, and that both resources are in the same region.",
                      text.substr(0, 400), by.text()),
          "Create it first, or in the same template.");
  }
}

void check_resource(Arm& arm, const PlannedResource& resource, const PreparedResource& known,
                    const Planned& planned) {
  const ResourceId id = *ResourceId::parse(resource.id);
  const Kind& kind = get_kind(id.type());
  check_resource_name(id.name(), kind.type);
  if (!id.group.empty()) arm.region.groups().get(id.group);
  if (!known.body) return;
  check_values(*known.body, id.full_name());
  if (kind.check) kind.check(arm, id, *known.body);
  if (planned.all_known) check_references(arm, id, *known.body, planned);
}

/// Adds what is wrong with the resources of a plan.
asio::awaitable<void> check_plan(Arm& arm, std::shared_ptr<const Prepared> prepared, const Planned& planned,
                                 std::vector<Problem>& problems) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const Template& plan = prepared->plan;
  for (std::size_t i = 0; i < plan.resources().size(); ++i) {
    if (i % 16 == 15) co_await asio::post(executor, asio::use_awaitable);  // others have their turn
    const PlannedResource& resource = plan.resources()[i];
    const PreparedResource& known = prepared->resources[i];
    if (resource.existing) continue;
    if (known.nested) {
      co_await check_plan(arm, known.nested, planned, problems);
      continue;
    }
    if (known.problem) {
      problems.push_back(*known.problem);
      continue;
    }
    if (resource.is_deployment()) continue;  // known when its turn comes
    try {
      check_resource(arm, resource, known, planned);
    } catch (const Error& error) {
      problems.push_back({.code = error.code,
                          .message = plan.redact(error.what()),
                          .advice = plan.redact(error.advice),
                          .details = {}});
    }
  }
}

// --- what-if

/// What a plan and those nested in it would do.
struct Foreseen {
  json changes = json::array();
  std::set<std::string> named;  ///< lower case ids
  bool all_known = true;        ///< false: a nested template depends on what is not there yet
};

/// Changes with every PUT, or tells how far one is.
bool is_told(std::string_view member) {
  return member == "etag" || member == "provisioningState" || member == "instanceView" ||
         member == "timeCreated";
}

/// The difference of two documents, as what-if tells it: [{"path","propertyChangeType",…}].
void add_delta(const std::string& path, const json& before, const json& after, json& delta) {
  if (before == after) return;
  const auto below = [&](const std::string& key) { return path.empty() ? key : path + "." + key; };
  if (before.is_object() && after.is_object()) {
    for (const auto& [key, value] : before.items())
      if (!is_told(key)) add_delta(below(key), value, after.value(key, json()), delta);
    for (const auto& [key, value] : after.items())
      if (!is_told(key) && !before.contains(key)) add_delta(below(key), json(), value, delta);
    return;
  }
  if (before.is_array() && after.is_array()) {
    json children = json::array();
    for (std::size_t i = 0; i < std::max(before.size(), after.size()); ++i)
      add_delta(std::to_string(i), i < before.size() ? before[i] : json(),
                i < after.size() ? after[i] : json(), children);
    if (!children.empty())
      delta.push_back({{"path", path}, {"propertyChangeType", "Array"}, {"children", std::move(children)}});
    return;
  }
  json change = {{"path", path},
                 {"propertyChangeType", before.is_null()  ? "Create"
                                        : after.is_null() ? "Delete"
                                                          : "Modify"}};
  if (!before.is_null()) change["before"] = before;
  if (!after.is_null()) change["after"] = after;
  delta.push_back(std::move(change));
}

json unchanged(const ResourceId& id, const char* type, const json& document) {
  return {{"resourceId", id.text()}, {"changeType", type}, {"before", document}, {"after", document}};
}

json change_of(Arm& arm, const PlannedResource& resource, const PreparedResource& known,
               const Template& plan) {
  const ResourceId id = *ResourceId::parse(resource.id);
  const auto there = show_resource(arm, id, {});
  json change = {{"resourceId", resource.id}, {"changeType", there ? "Deploy" : "Create"}};
  if (!there) {
    change["after"] = {{"id", resource.id},
                       {"name", resource.name},
                       {"type", resource.type},
                       {"apiVersion", resource.api_version}};
    if (known.body)
      for (const auto& [key, value] : known.body->items()) change["after"][key] = plan.redact_value(value);
    return change;
  }
  const json before = json::parse(*there);
  if (resource.only_if_missing) return unchanged(id, "NoChange", before);
  change["before"] = before;
  if (!known.body) return change;
  const auto foreseen = foreseen_document(arm, get_kind(id.type()), id, *known.body);
  if (!foreseen) return change;
  const json after = json::parse(*foreseen);
  json delta = json::array();
  add_delta({}, before, after, delta);
  if (delta.empty()) return unchanged(id, "NoChange", before);
  change["changeType"] = "Modify";
  change["after"] = after;
  change["delta"] = std::move(delta);
  return change;
}

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
    seen.changes.push_back(change_of(arm, resource, prepared->resources[i], prepared->plan));
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

/// nullopt: known when its turn comes.
std::optional<json> foreseen_body(Arm& arm, const Template& plan, std::size_t index) {
  try {
    return plan.body(index, foreseeing_runtime(arm, plan));
  } catch (const NotYet&) {
  } catch (const Error&) {  // it reads what is not told here
  }
  return std::nullopt;
}

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
        known.nested = prepare_nested(arm, *prepared, i, no_runtime(arm), depth + 1);
      else
        known.body = plan.body(i, no_runtime(arm));
    } catch (const NotYet&) {
      if (!resource.is_deployment()) known.body = foreseen_body(arm, plan, i);
    } catch (const Error& error) {
      if (error.code == "InvalidTemplate" || error.code == "InvalidDeployment") throw;
      known.problem = {.code = error.code,
                       .message = plan.redact(error.what()),
                       .advice = plan.redact(error.advice),
                       .details = {}};
    }
  }
  try {
    plan.outputs(no_runtime(arm));  // what of them can be known now must be right
  } catch (const NotYet&) {
  }
  return prepared;
}

/// What a link of the deployment itself leads to.
json follow_link(Arm& arm, const Field& link, std::string& uri) {
  uri = link["uri"].text();
  if (uri.empty())
    throw Error(
        ErrorKind::invalid, "InvalidTemplateLink",
        fmt::format("'{}' has no 'uri'. Template specs are not there in the local region.", link.path()),
        "Send the template itself, or serve its folder with 'azure region serve-templates FOLDER'.");
  return linked_template(arm, uri);
}

/// What a worker makes of a request's body.
WantedDeployment read_deployment(Arm& arm, const std::string& text, DeploymentPlace place) {
  const json body = parse_lenient_document(text);
  const Field properties = Field(body)["properties"];
  if (properties.missing())
    throw Error(ErrorKind::invalid, "InvalidDeploymentContent", "The deployment has no 'properties'.");
  Field(body)["tags"].tags();  // refuses what is none
  if (!properties["onErrorDeployment"].missing())
    throw Error(
        ErrorKind::invalid, "OperationNotAllowed",
        fmt::format("'{}' is not supported by the local region: it keeps no templates, since they may hold "
                    "secrets.",
                    properties["onErrorDeployment"].path()),
        "Leave it out, and send the earlier deployment again when this one fails.");
  json linked;
  const json* document = &properties["template"].value();
  if (properties["template"].missing()) {
    if (properties["templateLink"].missing())
      throw Error(ErrorKind::invalid, "InvalidDeploymentContent",
                  "The deployment has no 'properties.template'.");
    linked = follow_link(arm, properties["templateLink"], place.template_uri);
    document = &linked;
  }
  Field(*document, properties["template"].path()).require_object();
  const std::string mode = mode_of(properties);
  // A whole parameter file is taken as well.
  json parameters = properties["parameters"].missing() ? json::object() : properties["parameters"].value();
  if (const Field link = properties["parametersLink"]; !link.missing()) {
    std::string uri;
    parameters = follow_link(arm, link, uri);
  }
  if (const json* inner = find_member(parameters, "parameters"); inner && find_member(parameters, "$schema"))
    parameters = json(*inner);
  return {.prepared = prepare(arm, Template::plan(*document, parameters, place), place, 0),
          .mode = mode,
          .hash = std::to_string(std::hash<std::string>{}(dump(*document))),
          .client = {},
          .tags = Field(body)["tags"].missing() ? json::object() : Field(body)["tags"].value()};
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
  if (elsewhere) {
    const DeploymentPlace there = arm.region.workers().ask(
        [&arm, group = id->group, name = deployment.name, origin = outer.place.origin] {
          return place_in(arm, group, name, origin);
        });
    place.group = there.group;
    place.group_location = there.group_location;
    place.group_tags = there.group_tags;
  }
  return prepare(arm, outer.plan.nested(index, place, runtime), place, depth);
}

asio::awaitable<WantedDeployment> parse_deployment(Arm& arm, Request& request) {
  const std::string name = request.params["deployment"];
  check_deployment_name(name);
  DeploymentPlace place = place_in(arm, request.params["group"], name, request.origin);
  place.deployer_id = arm.access.client_id;
  place.deployer_name = user_of(arm, request);
  const std::string client = client_of(request);
  WantedDeployment wanted = co_await arm.region.workers().run(
      client, [&arm, place, text = std::move(request.body)] { return read_deployment(arm, text, place); });
  wanted.client = client;
  arm.region.groups().get(place.group);  // it may have gone meanwhile
  co_return wanted;
}

namespace {

/// All messages and all advice. Many resources may be wrong in the same way: that is said once, of all of them.
std::pair<std::string, std::string> told_once(const std::vector<Problem>& problems) {
  constexpr std::string_view verb = " is not supported by the local region: ";
  struct Said {
    std::vector<std::string> of;  ///< "'Microsoft.Sql/servers'"; empty: the text stands for itself
    std::string text;
  };
  std::vector<Said> all;
  std::string advice;
  std::set<std::string> advised;
  for (const Problem& problem : problems) {
    const std::size_t at = problem.message.find(verb);
    const bool names_it = at != problem.message.npos;
    const std::string of = names_it ? problem.message.substr(0, at) : "";
    const std::string text = names_it ? problem.message.substr(at + verb.size()) : problem.message;
    auto known = std::ranges::find_if(
        all, [&](const Said& said) { return said.of.empty() != names_it && said.text == text; });
    if (known == all.end()) known = all.insert(all.end(), Said{.of = {}, .text = text});
    if (names_it && std::ranges::find(known->of, of) == known->of.end()) known->of.push_back(of);
    if (!problem.advice.empty() && advised.insert(problem.advice).second)
      advice += (advice.empty() ? "" : " ") + problem.advice;
  }
  std::string message;
  for (const Said& said : all) {
    message += message.empty() ? "" : " ";
    if (!said.of.empty())
      message += fmt::format("{} {} not supported by the local region: ", fmt::join(said.of, ", "),
                             said.of.size() == 1 ? "is" : "are");
    message += said.text;
  }
  return {message, advice};
}

}  // namespace

asio::awaitable<void> check_deployment(Arm& arm, const WantedDeployment& wanted) {
  std::vector<Problem> problems;
  Planned planned;
  collect_planned(*wanted.prepared, planned);
  co_await check_plan(arm, wanted.prepared, planned, problems);
  if (problems.empty()) co_return;
  const auto [message, advice] = told_once(problems);
  throw Error(
      ErrorKind::invalid, "InvalidTemplateDeployment",
      fmt::format("The template deployment '{}' is not valid according to the validation procedure: {}",
                  wanted.place().name, message),
      advice);
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
  for (const ResourceId& id : others_in_group(arm, wanted.place().group, seen.named)) {
    const auto there = show_resource(arm, id, {});
    if (!there) continue;
    json change = unchanged(id, "Ignore", json::parse(*there));
    if (wanted.mode == "Complete") {
      change["changeType"] = "Delete";
      change.erase("after");
    }
    if (wanted.mode == "Complete" && !seen.all_known) {
      change["changeType"] = "Unsupported";
      change["unsupportedReason"] = "It is deleted unless a nested deployment names it.";
    }
    seen.changes.push_back(std::move(change));
  }
  co_return seen.changes;
}

}  // namespace berth::arm
