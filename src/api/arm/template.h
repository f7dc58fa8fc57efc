#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/names.h"

/// Azure's deployment templates: what they say becomes resources, in an order. Pure: the region answers
/// through TemplateRuntime. Functions and grammar: docs/wire/arm.md.
namespace berth::arm {

/// Where a deployment happens: what subscription(), resourceGroup(), deployment() and environment() tell.
struct DeploymentPlace {
  std::string subscription, subscription_name, tenant;
  std::string group, group_location;
  Tags group_tags;
  std::string name;                        ///< of the deployment
  std::string origin;                      ///< "https://127.0.0.1:8443"
  std::string deployer_id, deployer_name;  ///< who deploys: a UUID; of users, their name too
  std::string template_uri;                ///< where the template came from; "" when it was sent itself
};

/// What a template can ask while it is being deployed.
struct TemplateRuntime {
  /// reference(): the `properties` of a resource, or with `full` the whole of it.
  std::function<nlohmann::json(const std::string& id, bool full)> reference;
  /// listKeys() and alike; the API version is "" when the call gives none.
  std::function<nlohmann::json(const std::string& function, const std::string& id,
                               const std::string& version)>
      list;
  /// The template or parameters at an address, for links. Throws Error(invalid, "InvalidTemplateLink"), also when
  /// empty.
  std::function<nlohmann::json(const std::string& uri)> linked = {};
};

/// One resource that a template makes.
struct PlannedResource {
  std::string id, type, name, api_version;  ///< `name` with one part for each level: "web1/DockerExtension"
  std::vector<std::size_t> after;           ///< indexes of those that must be there first
  bool existing = false;                    ///< only spoken of (languageVersion 2.0), not made
  bool only_if_missing = false;             ///< one that is there already stays as it is
  bool is_deployment() const { return same_name(type, "Microsoft.Resources/deployments"); }
};

/// What a template gives back.
struct Outputs {
  nlohmann::json
      shown;  ///< {"name":{"type","value"}}; secure ones without a value, and none that holds a secret
  nlohmann::json
      whole;  ///< the same with what is secret in it: for the deployment around this one, never kept
  nlohmann::json secure;            ///< {"name": value} of the secure ones: as `whole`
  std::vector<std::string> hidden;  ///< whose shown value is not the whole one
};

class Template {
 public:
  /// Checks the whole and decides everything that does not depend on the region: parameters, variables,
  /// conditions, copies, names, the order. Throws Error(invalid, "InvalidTemplate" or
  /// "InvalidDeploymentParameterValue" …) naming the resource or parameter. A value of a secure parameter is
  /// in no message. `parameters`: {"name":{"value":…}}.
  static Template plan(const nlohmann::json& document, const nlohmann::json& parameters,
                       const DeploymentPlace& place);

  /// In the template's order.
  const std::vector<PlannedResource>& resources() const;
  /// The document to PUT for it, evaluated. For a nested deployment, without its template.
  nlohmann::json body(std::size_t resource, const TemplateRuntime& runtime) const;
  /// The template inside a nested deployment, planned for `place`.
  Template nested(std::size_t resource, const DeploymentPlace& place, const TemplateRuntime& runtime) const;
  /// {"name":{"type","value"}}; secure ones without a value, and none that holds a secret.
  nlohmann::json outputs(const TemplateRuntime& runtime) const;
  Outputs all_outputs(const TemplateRuntime& runtime) const;
  /// {"name":{"type","value"}} as a deployment shows them; secure ones without a value.
  nlohmann::json shown_parameters() const;
  /// `text` with every value of a secure parameter replaced: for what is kept, logged or answered.
  std::string redact(std::string_view text) const;
  nlohmann::json redact_value(const nlohmann::json& value) const;
  /// Redacts from now on what `other`, a template nested in this one, redacts.
  void keep_secrets_of(const Template& other) const;

  struct Impl;

 private:
  explicit Template(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace berth::arm
