#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <iterator>
#include <map>
#include <set>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/extensions.h"
#include "api/arm/ids.h"
#include "base/error.h"
#include "crypto/random.h"
#include "endpoints/arm/deployment.h"
#include "host/workers.h"

/// Doing what a deployment says: its resources in the order of their dependencies, as many as possible at the
/// same time.
namespace berth::arm {
namespace {

using nlohmann::json;

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

enum class State { waiting, running, succeeded, failed, skipped };

/// For each resource, those that it waits for.
using Order = std::vector<std::vector<std::size_t>>;

/// Which of all wait for one of them, directly or not; itself among them.
std::vector<bool> waiting_for(const Order& order, std::size_t one) {
  Order followers(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    for (const std::size_t other : order[i]) followers[other].push_back(i);
  std::vector<bool> seen(order.size());
  std::vector<std::size_t> open{one};
  while (!open.empty()) {
    const std::size_t next = open.back();
    open.pop_back();
    if (seen[next]) continue;
    seen[next] = true;
    for (const std::size_t follower : followers[next])
      if (!seen[follower]) open.push_back(follower);
  }
  return seen;
}

/// What the template says, and that a machine waits for the disks, interfaces and all else that it names, whether the
/// template says so or not.
Order order_of(const Prepared& prepared) {
  const auto& resources = prepared.plan.resources();
  Order order;
  std::map<std::string, std::size_t> made;  // by lower case id
  for (std::size_t i = 0; i < resources.size(); ++i) {
    order.push_back(resources[i].after);
    made.emplace(lower(resources[i].id), i);
  }
  for (std::size_t i = 0; i < resources.size(); ++i) {
    if (!same_name(resources[i].type, vm_type) || !prepared.resources[i].body) continue;
    std::set<std::size_t> named;
    for (const std::string& id : referenced_ids(*prepared.resources[i].body))
      if (const auto other = made.find(lower(id)); other != made.end()) named.insert(other->second);
    for (const std::size_t other : order[i]) named.erase(other);
    if (named.empty()) continue;
    const std::vector<bool> later = waiting_for(order, i);
    std::ranges::copy_if(named, std::back_inserter(order[i]),
                         [&](std::size_t other) { return !later[other]; });
  }
  return order;
}

struct Progress {
  Progress(const Prepared& prepared, const asio::any_io_executor& executor)
      : after(order_of(prepared)),
        states(after.size(), State::waiting),
        open(states.size()),
        followers(states.size()),
        bell(executor) {
    for (std::size_t i = 0; i < states.size(); ++i) {
      open[i] = after[i].size();
      for (const std::size_t other : after[i]) followers[other].push_back(i);
      if (open[i] == 0) ready.push_back(i);
    }
  }
  bool any(State state) const { return std::ranges::find(states, state) != states.end(); }

  Order after;
  std::vector<State> states;
  std::vector<std::size_t> open;                    ///< how many each still waits for
  std::vector<std::vector<std::size_t>> followers;  ///< who waits for each
  std::vector<std::size_t> ready;                   ///< wait for nothing any more
  Bell bell;
};

/// One deployment under way: what its coroutines share.
struct Course {
  Arm& arm;
  std::shared_ptr<DeploymentRun> run;
  DeploymentPlace place;
  TemplateRuntime runtime;
  std::shared_ptr<NestedOutputs> nested;
  int depth = 0;
};

Error no_list(const std::string& function, const std::string& id) {
  return Error(
      ErrorKind::invalid, "InvalidTemplate",
      fmt::format("The template function '{}' cannot be used with '{}' in the local region.", function, id));
}

/// The document of a deployment with its outputs as templates may read them: whole from those that are nested in the
/// same one; of others without the values that held a secret, which are kept nowhere.
void complete_outputs(Arm& arm, const ResourceId& id, const NestedOutputs& nested, json& document) {
  json& outputs = document["properties"]["outputs"];
  if (const auto known = nested.find(lower(id.text())); known != nested.end())
    outputs = known->second.whole;
  else
    for (const std::string& hidden : hidden_outputs(arm, id)) outputs[hidden].erase("value");
}

json listed(const std::string& function, const std::string& id, const std::string& version,
            const NestedOutputs& nested) {
  const auto parsed = ResourceId::parse(id);
  if (auto keys = inert_keys(function, id, version)) return std::move(*keys);
  if (!parsed || !same_name(function, "listOutputsWithSecureValues") ||
      !parsed->is("Microsoft.Resources/deployments"))
    throw no_list(function, id);
  const auto known = nested.find(lower(parsed->text()));
  if (known == nested.end())
    throw Error(
        ErrorKind::invalid, "InvalidTemplate",
        fmt::format("The secure outputs of '{}' are known to the deployment around it only, while that runs: "
                    "they are kept nowhere.",
                    id),
        "Deploy it as a nested deployment of the template that needs them.");
  return known->second.secure;
}

/// For a worker: what templates ask of the region, the region's thread answers.
TemplateRuntime runtime_of(Arm& arm, std::string origin, std::shared_ptr<NestedOutputs> nested) {
  const auto show = [&arm, origin, nested](const std::string& id, bool full) {
    const auto parsed = ResourceId::parse(id);
    // Of an extension, as Azure has it: outputs show what it said.
    const bool with_view = parsed && parsed->is(extension_type);
    const auto text =
        parsed ? show_resource(arm, *parsed, {.instance_view = with_view, .origin = origin}) : std::nullopt;
    if (!text)
      throw Error(ErrorKind::not_found, "ResourceNotFound",
                  fmt::format("The Resource '{}' was not found.", id));
    json document = json::parse(*text);
    if (parsed->is("Microsoft.Resources/deployments")) complete_outputs(arm, *parsed, *nested, document);
    if (!full) return document.value("properties", json::object());
    document["resourceId"] = id;
    return document;
  };
  return {.reference =
              [&arm, show](const std::string& id, bool full) {
                return arm.region.workers().ask([show, id, full] { return show(id, full); });
              },
          .list =
              [&arm, nested](const std::string& function, const std::string& id, const std::string& version) {
                return arm.region.workers().ask(
                    [function, id, version, nested] { return listed(function, id, version, *nested); });
              },
          .linked = [&arm](const std::string& uri) { return linked_template(arm, uri); }};
}

std::string duration_text(std::int64_t seconds) {
  return fmt::format("PT{}S", seconds);
}

/// What an exception says, without the secrets of the template.
Problem problem_without_secrets(const Template& plan, const std::exception_ptr& thrown) {
  Problem problem{.code = "InternalError", .message = {}, .advice = {}, .details = {}};
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    problem = problem_of(error);
  } catch (const std::exception& error) {
    problem.message = error.what();
  }
  problem.message = plan.redact(problem.message);
  problem.advice = plan.redact(problem.advice);
  return problem;
}

// --- entries: what the document says of each resource

json new_entry(const char* operation, const std::string& id, const std::string& type,
               const std::string& name) {
  return {{"operationId", random_hex(16)},
          {"operation", operation},
          {"state", "Running"},
          {"id", id},
          {"type", type},
          {"name", name}};
}

json& entry_of(const Course& course, std::size_t index) {
  return course.run->document["operations"][index];
}

/// Does the work of one entry and writes down what came of it; false when it failed.
asio::awaitable<bool> track(Course course, std::size_t index, asio::awaitable<void> work) {
  const std::int64_t began = course.arm.clock();
  entry_of(course, index)["began"] = time_text(course.arm);
  std::exception_ptr thrown;
  try {
    co_await std::move(work);
  } catch (...) {
    thrown = std::current_exception();
  }
  json& entry = entry_of(course, index);
  entry["ended"] = time_text(course.arm);
  entry["duration"] = duration_text(course.arm.clock() - began);
  entry["state"] = thrown ? "Failed" : "Succeeded";
  entry["statusCode"] = thrown ? "Conflict" : "OK";
  if (thrown) entry["error"] = problem_json(problem_without_secrets(course.run->plan(), thrown));
  co_return !thrown;
}

// --- making

asio::awaitable<json> execute(Course course);

/// After a wait: it may have been canceled meanwhile.
void check_goes_on(const Course& course) {
  if (course.run->canceled)
    throw Error(ErrorKind::conflict, "DeploymentCanceled", "The deployment was canceled.");
}

asio::awaitable<void> deploy_nested(Course outer, std::size_t index) {
  Arm& arm = outer.arm;
  const PlannedResource& resource = outer.run->plan().resources()[index];
  std::shared_ptr<const Prepared> prepared = outer.run->prepared->resources[index].nested;
  if (!prepared)
    prepared = co_await arm.region.workers().run(
        outer.run->client,
        [&arm, all = outer.run->prepared, index, runtime = outer.runtime, depth = outer.depth + 1] {
          return prepare_nested(arm, *all, index, runtime, depth);
        });
  check_goes_on(outer);
  const DeploymentPlace& place = prepared->place;
  auto run = std::make_shared<DeploymentRun>(DeploymentRun{.prepared = prepared,
                                                           .client = outer.run->client,
                                                           .document = json::object(),
                                                           .key = deployment_key(place.group, resource.name),
                                                           .operation = outer.run->operation,
                                                           .below = {},
                                                           .named = {}});
  run->document = {{"name", resource.name},
                   {"group", place.group},
                   {"mode", "Incremental"},
                   {"state", "Running"},
                   {"parameters", prepared->parameters},
                   {"correlationId", outer.run->document.value("correlationId", "")},
                   {"timestamp", time_text(arm)},
                   {"operations", json::array()}};
  if (!arm.running.emplace(run->key, run).second)
    throw Error(ErrorKind::conflict, "DeploymentActive",
                fmt::format("The deployment '{}' is running already.", resource.name));
  const Course inner{.arm = arm,
                     .run = run,
                     .place = place,
                     .runtime = outer.runtime,
                     .nested = outer.nested,
                     .depth = outer.depth + 1};
  const json error = co_await execute(inner);
  outer.run->below.insert(outer.run->below.end(), run->below.begin(), run->below.end());
  outer.run->named.insert(run->named.begin(), run->named.end());
  outer.run->plan().keep_secrets_of(run->plan());
  for (const json& note : run->document.value("diagnostics", json::array()))
    outer.run->document["diagnostics"].push_back(note);
  co_await keep_ended_deployment(arm, *run);
  arm.running.erase(run->key);
  if (error.is_null()) co_return;
  // The innermost reasons are what is worth telling.
  const Problem problem = problem_from(error);
  const Problem& reason = problem.details.empty() ? problem : problem.details.front();
  throw Error(ErrorKind::conflict, reason.code, reason.message, reason.advice);
}

/// What of a machine is not as it was asked for is told in the deployment.
void note_warnings(const Course& course, const ResourceId& id) {
  const Vm* vm = id.is(vm_type) ? course.arm.region.machines().find(id.ref()) : nullptr;
  if (!vm) return;
  for (const auto& [code, warning] : warnings_of(course.arm, *vm))
    course.run->document["diagnostics"].push_back(
        {{"level", "Warning"}, {"code", code}, {"message", warning}, {"target", id.text()}});
}

/// Makes one resource and waits until it is there.
asio::awaitable<void> deploy_one(Course course, std::size_t index) {
  const PlannedResource& resource = course.run->plan().resources()[index];
  if (resource.existing) co_return;
  if (resource.is_deployment()) {
    co_await deploy_nested(course, index);
    co_return;
  }
  ResourceId id = *ResourceId::parse(resource.id);
  const Kind& kind = get_kind(id.type());
  if (resource.only_if_missing && show_resource(course.arm, id, {})) co_return;
  if (!kind.put)
    throw Error(ErrorKind::invalid, "InvalidResourceType",
                fmt::format("'{}' cannot be deployed.", kind.type));
  const std::optional<json>& known = course.run->prepared->resources[index].body;
  const json body =
      known ? *known
            : co_await course.arm.region.workers().run(
                  course.run->client, [all = course.run->prepared, index, runtime = course.runtime] {
                    return all->plan.body(index, runtime);
                  });
  if (kind.prepare) co_await kind.prepare(course.arm, id);
  check_goes_on(course);
  if (!id.group.empty()) id.group = course.arm.region.groups().get(id.group).name;
  if (!is_extension_resource(kind.type)) check_locks(course.arm, resource.id, false);
  const Applied applied = kind.put(course.arm, id, body);
  note_warnings(course, id);
  if (applied.operation.empty()) co_return;
  course.run->below.push_back(applied.operation);
  co_await course.arm.region.operations().finish(applied.operation);
}

asio::awaitable<void> make_one(Course course, std::size_t index, std::shared_ptr<Progress> progress) {
  const bool made = co_await track(course, index, deploy_one(course, index));
  progress->states[index] = made ? State::succeeded : State::failed;
  for (const std::size_t follower : progress->followers[index])
    if (--progress->open[follower] == 0) progress->ready.push_back(follower);
  progress->bell.ring();
}

/// Begins what can begin now, and gives up what cannot begin any more. Each resource's turn comes once, when
/// all that it waits for is decided.
void begin_ready(const Course& course, const asio::any_io_executor& executor,
                 const std::shared_ptr<Progress>& progress) {
  while (!progress->ready.empty()) {
    std::vector<std::size_t> ready = std::exchange(progress->ready, {});
    std::ranges::sort(ready);  // in the template's order
    for (const std::size_t i : ready) {
      const bool lost = std::ranges::any_of(
          progress->after[i], [&](std::size_t other) { return progress->states[other] != State::succeeded; });
      if (!course.run->canceled && !lost) {
        progress->states[i] = State::running;
        asio::co_spawn(executor, make_one(course, i, progress), asio::detached);
        continue;
      }
      progress->states[i] = State::skipped;
      entry_of(course, i)["state"] = "Canceled";
      entry_of(course, i)["statusCode"] = "Conflict";
      for (const std::size_t follower : progress->followers[i])
        if (--progress->open[follower] == 0) progress->ready.push_back(follower);
    }
  }
}

/// Makes everything; false when something was not made.
asio::awaitable<bool> make_all(Course course) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto& resources = course.run->plan().resources();
  auto progress = std::make_shared<Progress>(*course.run->prepared, executor);
  for (const PlannedResource& resource : resources) {
    course.run->named.insert(lower(resource.id));
    course.run->document["operations"].push_back(
        new_entry("Create", resource.id, resource.type, resource.name));
  }
  for (begin_ready(course, executor, progress); progress->any(State::running);
       begin_ready(course, executor, progress))
    co_await progress->bell.wait();
  json made = json::array();
  for (std::size_t i = 0; i < resources.size(); ++i)
    if (progress->states[i] == State::succeeded && !resources[i].existing)
      made.push_back({{"id", resources[i].id}});
  course.run->document["outputResources"] = std::move(made);
  co_return !progress->any(State::failed) && !progress->any(State::skipped);
}

// --- complete mode

asio::awaitable<void> remove_one(Course course, ResourceId id) {
  check_locks(course.arm, id.text(), true);
  const auto operation = get_kind(id.type()).remove(course.arm, id, nullptr);
  drop_extension_resources(course.arm, id.text());
  if (!operation || operation->empty()) co_return;
  course.run->below.push_back(*operation);
  co_await course.arm.region.operations().finish(*operation);
}

/// Deletes what the template does not name, all that can be deleted; false when something stayed.
asio::awaitable<bool> remove_others(Course course) {
  bool all = true;
  for (const ResourceId& id : others_in_group(course.arm, course.place.group, course.run->named)) {
    if (course.run->canceled) co_return false;
    json& entries = course.run->document["operations"];
    entries.push_back(new_entry("Delete", id.text(), id.type(), id.full_name()));
    const bool gone = co_await track(course, entries.size() - 1, remove_one(course, id));
    all = all && gone;
  }
  co_return all;
}

// --- the whole

/// "DeploymentFailed" with the errors of all entries.
json failure_of(const DeploymentRun& run, std::string_view what) {
  Problem problem{.code = run.canceled ? "DeploymentCanceled" : "DeploymentFailed",
                  .message = run.canceled ? "The deployment was canceled." : std::string(what),
                  .advice = {},
                  .details = {}};
  for (const json& entry : run.document["operations"])
    if (entry.contains("error")) problem.details.push_back(problem_from(entry["error"]));
  return problem_json(problem);
}

/// Runs it to its end. Returns the error, null if there is none.
asio::awaitable<json> outcome_of(Course course) {
  DeploymentRun& run = *course.run;
  if (!co_await make_all(course) || run.canceled)
    co_return failure_of(run,
                         "At least one resource deployment operation failed. Please list deployment "
                         "operations for details. Please see https://aka.ms/arm-deployment-operations "
                         "for usage details.");
  if (run.document.value("mode", "") == "Complete" && !co_await remove_others(course))
    co_return failure_of(run,
                         "Everything in the template was made, but not everything that it does not name "
                         "could be deleted.");
  try {
    Outputs outputs = co_await course.arm.region.workers().run(
        run.client,
        [all = run.prepared, runtime = course.runtime] { return all->plan.all_outputs(runtime); });
    run.document["outputs"] = outputs.shown;
    if (!outputs.hidden.empty()) run.document["hidden"] = outputs.hidden;
    if (course.depth > 0)
      course.nested->insert_or_assign(
          lower(make_id(course.arm.subscription(), course.place.group, "Microsoft.Resources/deployments",
                        course.run->document["name"].get<std::string>())),
          std::move(outputs));
  } catch (...) {
    co_return problem_json({.code = "DeploymentFailed",
                            .message = "The deployment's outputs could not be made.",
                            .advice = {},
                            .details = {problem_without_secrets(run.plan(), std::current_exception())}});
  }
  co_return json();
}

/// The same; the run's document tells all when it returns. Throws nothing.
asio::awaitable<json> execute(Course course) {
  DeploymentRun& run = *course.run;
  const std::int64_t began = course.arm.clock();
  json error;
  try {
    error = co_await outcome_of(course);
  } catch (...) {
    error = problem_json(problem_without_secrets(run.plan(), std::current_exception()));
  }
  run.document["state"] = error.is_null() ? "Succeeded" : run.canceled ? "Canceled" : "Failed";
  if (!error.is_null()) run.document["error"] = error;
  run.document["timestamp"] = time_text(course.arm);
  run.document["duration"] = duration_text(course.arm.clock() - began);
  run.document["below"] = run.below;
  co_return error;
}

asio::awaitable<void> run_to_end(Course course) {
  // Who asked has the answer first, and others their turn.
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
  const json error = co_await execute(course);
  co_await keep_ended_deployment(course.arm, *course.run);
  course.arm.running.erase(course.run->key);
  if (error.is_null()) co_return;
  const Problem problem = problem_from(error);
  std::string advice = problem.advice;
  if (advice.empty() && !problem.details.empty()) advice = problem.details.front().advice;
  throw Error(ErrorKind::conflict, problem.code, problem.message, advice);
}

}  // namespace

std::string begin_deployment(Arm& arm, const WantedDeployment& wanted) {
  const DeploymentPlace& place = wanted.place();
  auto run = std::make_shared<DeploymentRun>(
      DeploymentRun{.prepared = wanted.prepared,
                    .client = wanted.client,
                    .document = new_deployment_document(arm, wanted, "Running"),
                    .key = deployment_key(place.group, place.name),
                    .operation = {},
                    .below = {},
                    .named = {}});
  if (!arm.running.emplace(run->key, run).second)
    throw Error(ErrorKind::conflict, "DeploymentActive",
                fmt::format("Unable to edit or replace deployment '{}': it is still running.", place.name),
                "Wait until it has ended, or give this one another name.");
  auto nested = std::make_shared<NestedOutputs>();
  const Course course{.arm = arm,
                      .run = run,
                      .place = place,
                      .runtime = runtime_of(arm, place.origin, nested),
                      .nested = nested};
  try {
    arm.region.operations().change([&] {
      run->operation = arm.region.operations().begin(
          OperationKind::deployment, fmt::format("deployments/{}/{}", place.group, place.name),
          [course](const std::string&) { return run_to_end(course); });
      run->document["operation"] = run->operation;
      keep_deployment(arm, *run);  // as running, for the case that the region stops
    });
    return run->operation;
  } catch (...) {
    arm.running.erase(run->key);
    throw;
  }
}

}  // namespace berth::arm
