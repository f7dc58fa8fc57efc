#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/arm/template.h"
#include "endpoints/arm/service.h"

/// What the files about deployments share: deployment_plan.cpp (what one would do), deployment_run.cpp (doing
/// it), deployment_record.cpp (what is kept and shown of it), deployments.cpp (the routes). Nobody else
/// includes this.
namespace berth::arm {

struct Prepared;

/// What is known of a resource before anything is made: one of these, or nothing.
struct PreparedResource {
  std::optional<nlohmann::json> body;      ///< evaluated: it depends on nothing else
  std::shared_ptr<const Prepared> nested;  ///< of a nested deployment
  std::optional<Problem> problem;          ///< why it cannot be made
};

/// A plan, and all of it that can be evaluated before anything is made. Made by the workers, then only read.
struct Prepared {
  Template plan;
  DeploymentPlace place;
  nlohmann::json parameters;    ///< as shown
  nlohmann::json dependencies;  ///< as shown
  std::vector<PreparedResource> resources;
};

/// The ids of other resources in a document: what stands below a member "id".
std::vector<std::string> referenced_ids(const nlohmann::json& body);

/// A deployment that somebody asks for.
struct WantedDeployment {
  std::shared_ptr<const Prepared> prepared;
  std::string mode;    ///< "Incremental" or "Complete"
  std::string hash;    ///< of the template
  std::string client;  ///< who asks
  nlohmann::json tags = nlohmann::json::object();

  const DeploymentPlace& place() const { return prepared->place; }
};

/// What nested deployments gave back, whole, by lower case id: for those around them, while they run.
using NestedOutputs = std::map<std::string, Outputs>;

/// A deployment while it runs. Its document holds no secrets; the template, which may, stays in memory.
struct DeploymentRun {
  std::shared_ptr<const Prepared> prepared;
  std::string client;
  nlohmann::json document;
  std::string key;
  std::string operation;           ///< of the outermost deployment
  std::vector<std::string> below;  ///< operations of the region that it began
  std::set<std::string> named;     ///< lower case ids of all that it makes, by nested deployments too
  bool canceled = false;

  const Template& plan() const { return prepared->plan; }
};

// --- deployment_plan.cpp
/// Throws Error(not_found, "ResourceGroupNotFound").
DeploymentPlace place_in(const Arm& arm, const std::string& group, const std::string& name,
                         const std::string& origin);
/// Reads the body of a request, by the workers; its name is in the path. Throws Error(invalid).
asio::awaitable<WantedDeployment> parse_deployment(Arm& arm, Request& request);
/// For a worker: the deployment that resource `index` is, prepared. Throws Error(invalid) when it is nested
/// too deep; `depth` of the outermost deployment is 0.
std::shared_ptr<const Prepared> prepare_nested(Arm& arm, const Prepared& outer, std::size_t index,
                                               const TemplateRuntime& runtime, int depth);
/// Finds what can be known to fail before anything is made. Throws "InvalidTemplateDeployment" with all of
/// it.
asio::awaitable<void> check_deployment(Arm& arm, const WantedDeployment& wanted);
/// What complete mode deletes: the resources of the group whose lower case ids are not among `named`, in an
/// order in which nothing goes before what stands on it.
std::vector<ResourceId> others_in_group(Arm& arm, const std::string& group,
                                        const std::set<std::string>& named);
/// The changes that it would make, as what-if answers them.
asio::awaitable<nlohmann::json> foreseen_changes(Arm& arm, const WantedDeployment& wanted);

// --- template_folders.cpp
/// For a worker: the template or parameters that a link leads to. Throws Error(invalid, "InvalidTemplateLink").
nlohmann::json linked_template(Arm& arm, const std::string& uri);

// --- deployment_run.cpp
/// Begins it and returns its operation; its document is kept from now on. Throws Error(conflict,
/// "DeploymentActive") while one of that name runs.
std::string begin_deployment(Arm& arm, const WantedDeployment& wanted);

// --- deployment_record.cpp
std::string deployment_key(const std::string& group, const std::string& name);
nlohmann::json new_deployment_document(const Arm& arm, const WantedDeployment& wanted, const char* state);
/// The kept document; of one that was running when the region stopped, as failed.
std::optional<nlohmann::json> find_deployment(const Arm& arm, const std::string& key);
void keep_deployment(Arm& arm, const DeploymentRun& run);
/// Waits until the store takes it; nothing is kept of a group that is gone.
asio::awaitable<void> keep_ended_deployment(Arm& arm, const DeploymentRun& run);
void drop_deployment(Arm& arm, const std::string& key);
/// As GET answers it, and one of its operations.
nlohmann::json shown_deployment(const Arm& arm, const nlohmann::json& document);
nlohmann::json shown_deployment_operation(const Arm& arm, const nlohmann::json& document,
                                          const nlohmann::json& entry);
/// The outputs of a kept deployment whose shown values are not the whole ones: they held a secret.
std::vector<std::string> hidden_outputs(const Arm& arm, const ResourceId& id);
/// {"value":[...]}: all of a group.
asio::awaitable<std::string> shown_deployments(const Arm& arm, std::string group);
nlohmann::json problem_json(const Problem& problem);
Problem problem_from(const nlohmann::json& error);
/// Now, as deployments tell the time.
std::string time_text(const Arm& arm);
/// What of a plan waits for what, as a deployment shows it.
nlohmann::json shown_dependencies(const Template& plan);

}  // namespace berth::arm
