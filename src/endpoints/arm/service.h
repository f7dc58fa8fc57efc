#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "api/arm/ids.h"
#include "http/message.h"
#include "model/resources.h"
#include "region/access.h"
#include "region/region.h"

/// What the files of endpoints/arm share. Nobody else includes this.
namespace berth::arm {

namespace asio = boost::asio;
class JsonText;
struct DeploymentRun;
struct Place;

/// Someone who signs in on another device.
struct DeviceSignIn {
  std::string device_code, user_code, client_id;
  std::int64_t account = -1;  ///< whose process began it
  std::int64_t expires = 0;
  bool confirmed = false;
};

struct Arm {
  Region& region;
  const RegionAccess& access;
  std::function<std::int64_t()> clock;                            ///< seconds since 1970
  std::vector<std::string> origins;                               ///< "https://127.0.0.1:8443": ours
  std::vector<DeviceSignIn> devices;                              ///< that are under way, the oldest first
  std::map<std::string, std::shared_ptr<DeploymentRun>> running;  ///< by document key

  const std::string& subscription() const { return access.subscription; }
};

/// Images whose capture an earlier process did not finish.
void remove_unfinished_images(Arm& arm);

/// What a client wants to see of a resource.
struct View {
  bool instance_view = false;
  std::string origin;  ///< for addresses inside documents; "" leaves those out
  const std::map<std::string, std::string>* address_users = nullptr;  ///< made once for a list
};

/// The outcome of a PUT: the document as it stands now, and the operation that goes on.
struct Applied {
  std::string document;
  bool created = false;
  std::string operation;  ///< "" when it is done
};

/// One resource type: the PUT route and the deployment are the same code, this.
struct Kind {
  std::string type;        ///< in Azure's spelling
  bool has_effect = true;  ///< false: kept and given back
  /// nullopt when there is none.
  std::function<std::optional<std::string>(Arm&, const ResourceId&, const View&)> show;
  std::function<Applied(Arm&, const ResourceId&, const nlohmann::json& body)> put;
  /// The same for a PATCH, with the document that came of it; empty where `put` will do.
  std::function<Applied(Arm&, const ResourceId&, const nlohmann::json& whole)> patch;
  /// The operation that goes on, "" when it is gone already; nullopt when there was none.
  std::function<std::optional<std::string>(Arm&, const ResourceId&, const Request*)> remove;
  /// What takes a while and comes before `put`; may be empty.
  std::function<asio::awaitable<void>(Arm&, const ResourceId&)> prepare = {};
  /// Finds what is wrong with a document before anything is made; may be empty.
  std::function<void(Arm&, const ResourceId&, const nlohmann::json& body)> check;

  // Of top-level types:
  std::function<const Resource*(const Region&, const Ref&)> find;
  std::function<std::vector<const Resource*>(const Region&, const std::string& group)> all;
  std::function<void(Arm&, JsonText&, const Resource&, const View&)> write;
  // Of child types: the children of the parent that `id` (without its last name) names.
  std::function<std::vector<std::string>(Arm&, const ResourceId& parent)> children;
};

/// The document as it would be after the PUT, of which nothing stays; nullopt when that cannot be told.
std::optional<std::string> foreseen_document(Arm& arm, const Kind& kind, const ResourceId& id,
                                             const nlohmann::json& body);

/// All types, in one table (kinds.cpp). Resources stand on such as come earlier in it, never on later ones.
const std::vector<Kind>& kinds();
const Kind* find_kind(std::string_view type);
/// Throws not_supported() (absent_types.h).
const Kind& get_kind(std::string_view type);

/// Where the document of a request stands: that of the first resource which its URL names.
Place place_of(const Arm& arm, const ResourceId& id);

std::vector<Kind> network_kinds();  ///< with those of load balancers
std::vector<Kind> load_balancer_kinds();
std::vector<Kind> compute_kinds();
std::vector<Kind> inert_kinds();
std::vector<Kind> extension_resource_kinds();

/// A kind of top-level resource, of the region's part that holds such.
template <class T, class Part>
Kind top_level(std::string_view type, Part& (Region::*part)() const,
               void (*write)(Arm&, JsonText&, const T&, const View&));

// --- answers
Response json_response(int status, std::string body);
std::string next_page_url(const Request& request, std::size_t skip);
/// Who asks, for the turns that clients take: whoever has the same token is the same.
std::string client_of(const Request& request);
/// npm's client: it waits 30 s before it looks again, so it gets its answer when the work is done.
bool is_classic_client(const Request& request);
/// 201/200 with the document; with Azure-AsyncOperation while the work goes on.
asio::awaitable<Response> answer_put(Arm& arm, const Request& request, const Kind& kind, const ResourceId& id,
                                     Applied applied);
/// 200 with what the operation ended with; no body for most of them.
Response result_of(const Operation& ended);
/// 202 with where to look; or 200/204 when it is done.
asio::awaitable<Response> answer_accepted(Arm& arm, const Request& request,
                                          std::optional<std::string> operation);
std::string operation_url(const Arm& arm, const Request& request, const std::string& operation);
/// The phases of an operation and, for a deployment, of those below it.
std::vector<Phase> phases_of(const Arm& arm, const Operation& operation);

// --- load_balancers.cpp
/// Throws not_found naming the first inbound NAT rule of an interface that is not there.
void check_rules_are_there(const Arm& arm, const NetworkInterface& nic);
/// Load balancers that an earlier version kept as resources without effect. Once, at start.
void take_over_load_balancers(Arm& arm);
/// Who uses each public address: the id of an IP configuration or of a frontend, by Ref::key().
std::map<std::string, std::string> address_users(const Arm& arm);
/// The same for one of them; "" when nobody does.
std::string address_user(const Arm& arm, const Ref& address);

/// Throws Error(not_found, "InvalidResourceReference") when kept members name a resource that is not there.
void check_kept_references(Arm& arm, std::string_view kept, const ResourceId& by);
/// The document of any resource, for reference() and GET. nullopt when there is none.
std::optional<std::string> show_resource(Arm& arm, const ResourceId& id, const View& view);
/// If-Match and If-None-Match. Throws Error(conflict, "PreconditionFailed").
void check_preconditions(Arm& arm, const Request& request, const Kind& kind, const ResourceId& id);
/// "/subscriptions/…" of a request as an id; the subscription is already checked.
ResourceId id_of(const Request& request);

using Action = asio::awaitable<Response> (*)(Arm&, Request);

// --- sign_in.cpp
Action authority_discovery();
asio::awaitable<Response> get_metadata(Arm&, Request);
asio::awaitable<Response> get_discovery(Arm&, Request);
asio::awaitable<Response> get_instance_discovery(Arm&, Request);
asio::awaitable<Response> post_token(Arm&, Request);
asio::awaitable<Response> get_identity_token(Arm&, Request);
asio::awaitable<Response> post_device_code(Arm&, Request);
asio::awaitable<Response> get_device_page(Arm&, Request);
asio::awaitable<Response> post_device_page(Arm&, Request);
/// The name of the user that has signed in; "" for a client that has by itself.
std::string user_of(const Arm& arm, const Request& request);
/// Throws Error(unauthorized) unless the request bears a token of ours that is valid now.
void authenticate(const Arm& arm, const Request& request);

// --- catalog.cpp
asio::awaitable<Response> list_subscriptions(Arm&, Request);
asio::awaitable<Response> get_subscription(Arm&, Request);
asio::awaitable<Response> list_tenants(Arm&, Request);
asio::awaitable<Response> list_locations(Arm&, Request);
asio::awaitable<Response> list_providers(Arm&, Request);
asio::awaitable<Response> get_provider(Arm&, Request);
asio::awaitable<Response> list_sizes(Arm&, Request);
asio::awaitable<Response> list_skus(Arm&, Request);
asio::awaitable<Response> list_usages(Arm&, Request);
asio::awaitable<Response> list_publishers(Arm&, Request);
asio::awaitable<Response> list_offers(Arm&, Request);
asio::awaitable<Response> list_image_skus(Arm&, Request);
asio::awaitable<Response> list_image_versions(Arm&, Request);
asio::awaitable<Response> get_image_version(Arm&, Request);
asio::awaitable<Response> list_extension_types(Arm&, Request);
asio::awaitable<Response> list_extension_versions(Arm&, Request);
asio::awaitable<Response> get_extension_version(Arm&, Request);
asio::awaitable<Response> get_aliases(Arm&, Request);

// --- groups.cpp
asio::awaitable<Response> list_groups(Arm&, Request);
asio::awaitable<Response> get_group(Arm&, Request);
asio::awaitable<Response> head_group(Arm&, Request);
asio::awaitable<Response> put_group(Arm&, Request);
asio::awaitable<Response> patch_group(Arm&, Request);
asio::awaitable<Response> delete_group(Arm&, Request);
asio::awaitable<Response> list_resources(Arm&, Request);
asio::awaitable<Response> list_tag_names(Arm&, Request);

// --- resources.cpp: any type
asio::awaitable<Response> get_resource(Arm&, Request);
asio::awaitable<Response> head_resource(Arm&, Request);
asio::awaitable<Response> put_resource(Arm&, Request);
asio::awaitable<Response> patch_resource(Arm&, Request);
asio::awaitable<Response> delete_resource(Arm&, Request);
asio::awaitable<Response> list_in_subscription(Arm&, Request);
asio::awaitable<Response> get_operation(Arm&, Request);
asio::awaitable<Response> get_operation_result(Arm&, Request);

// --- inert_resources.cpp
asio::awaitable<Response> check_storage_name(Arm&, Request);
asio::awaitable<Response> list_storage_keys(Arm&, Request);
/// What listKeys() and its like tell of a resource that is kept without effect: keys that open nothing, the same each
/// time, in the form of that API version. nullopt when the type has none.
std::optional<nlohmann::json> inert_keys(std::string_view function, const std::string& id,
                                         std::string_view version);
/// What reference() will tell of one that is still to be made, where its name says all; nullopt for other types.
std::optional<nlohmann::json> foreseen_reference(const ResourceId& id);
asio::awaitable<Response> generate_key_pair(Arm&, Request);

// --- network_resources.cpp
asio::awaitable<Response> check_dns_name(Arm&, Request);

// --- virtual_machines.cpp
asio::awaitable<Response> get_instance_view(Arm&, Request);
asio::awaitable<Response> list_vm_sizes(Arm&, Request);
asio::awaitable<Response> start_vm(Arm&, Request);
asio::awaitable<Response> restart_vm(Arm&, Request);
asio::awaitable<Response> power_off_vm(Arm&, Request);
asio::awaitable<Response> deallocate_vm(Arm&, Request);
asio::awaitable<Response> redeploy_vm(Arm&, Request);
asio::awaitable<Response> generalize_vm(Arm&, Request);
asio::awaitable<Response> capture_vm(Arm&, Request);
asio::awaitable<Response> run_command(Arm&, Request);
asio::awaitable<Response> list_run_commands(Arm&, Request);
asio::awaitable<Response> get_run_command(Arm&, Request);
/// Throws Error(conflict, "OperationNotAllowed"): only of a generalized VM can an image be made.
void require_generalized(const Vm& vm);
asio::awaitable<Response> retrieve_boot_diagnostics(Arm&, Request);
asio::awaitable<Response> get_serial_log(Arm&, Request);
asio::awaitable<Response> get_screenshot(Arm&, Request);
/// Sets what the gallery knows of the image that was named. Throws Error(not_found, "PlatformImageNotFound").
void resolve_image(Arm& arm, Vm& vm, std::string_view path = "imageReference");

/// "The images of this region are Debian:debian-13:13-docker:latest, …."
std::string images_there_are(const Arm& arm);

// --- deployments.cpp, and the other files about deployments
asio::awaitable<Response> list_deployments(Arm&, Request);
asio::awaitable<Response> get_deployment(Arm&, Request);
asio::awaitable<Response> head_deployment(Arm&, Request);
asio::awaitable<Response> put_deployment(Arm&, Request);
asio::awaitable<Response> delete_deployment(Arm&, Request);
asio::awaitable<Response> cancel_deployment(Arm&, Request);
asio::awaitable<Response> validate_deployment(Arm&, Request);
asio::awaitable<Response> what_if_deployment(Arm&, Request);
asio::awaitable<Response> list_deployment_operations(Arm&, Request);
asio::awaitable<Response> get_deployment_operation(Arm&, Request);
asio::awaitable<Response> export_deployment_template(Arm&, Request);
asio::awaitable<Response> export_group_template(Arm&, Request);
asio::awaitable<Response> list_subscription_deployments(Arm&, Request);
asio::awaitable<Response> refuse_subscription_deployment(Arm&, Request);
/// Forgets the deployments of a group that is gone.
void forget_deployments(Arm& arm, const std::string& group);
/// What is below an operation of a deployment; empty for others. And the problems in it.
std::vector<std::string> operations_below(const Arm& arm, const std::string& operation);
std::vector<Problem> problems_of(const Arm& arm, const std::string& operation);
/// As GET answers it; nullopt when there is none.
std::optional<std::string> show_deployment(Arm& arm, const ResourceId& id);

// --- extension_resources.cpp: what is about another resource
bool is_extension_resource(std::string_view type);
/// nullopt for those whose PATCH is like that of other resources.
std::optional<Applied> patch_extension_resource(Arm& arm, const ResourceId& id, const nlohmann::json& change);
/// Whether a role was assigned to that principal anywhere: without one, an identity may do nothing.
bool has_role(const Arm& arm, std::string_view principal);
void drop_roles_of(Arm& arm, std::string_view principal);
/// {"value":[…]} of a type, of all that is about `about` or about something in it.
std::string list_extension_resources(Arm& arm, std::string_view type, const std::string& about);
/// With what they are about.
void drop_extension_resources(Arm& arm, const std::string& subject);
/// Throws Error(conflict, "ScopeLocked") when a lock on it, on what it is in, or, for a deletion, on something in it
/// forbids the change.
void check_locks(Arm& arm, const std::string& id, bool deletes);
asio::awaitable<Response> get_in_subscription(Arm&, Request);
asio::awaitable<Response> put_in_subscription(Arm&, Request);
asio::awaitable<Response> delete_in_subscription(Arm&, Request);

// --- template_folders.cpp
asio::awaitable<Response> list_template_folders(Arm&, Request);
asio::awaitable<Response> put_template_folder(Arm&, Request);
asio::awaitable<Response> delete_template_folder(Arm&, Request);
asio::awaitable<Response> get_served_template(Arm&, Request);

// --- image_aliases.cpp
asio::awaitable<Response> list_image_aliases(Arm&, Request);
asio::awaitable<Response> put_image_alias(Arm&, Request);
asio::awaitable<Response> delete_image_alias(Arm&, Request);
/// What is not as the client asked for it: an image by an alias, less than the size has. Each with its code.
std::vector<std::pair<std::string, std::string>> warnings_of(const Arm& arm, const Vm& vm);
/// The same in the header of an answer about the machine.
void warn_of_machine(const Arm& arm, const ResourceId& id, Response& response);

// --- os_images.cpp
asio::awaitable<Response> list_os_images(Arm&, Request);
asio::awaitable<Response> warm_os_image(Arm&, Request);
asio::awaitable<Response> put_os_image(Arm&, Request);
asio::awaitable<Response> delete_os_image(Arm&, Request);

// --- extension_packages.cpp
asio::awaitable<Response> list_packages(Arm&, Request);
asio::awaitable<Response> put_package(Arm&, Request);
asio::awaitable<Response> delete_package(Arm&, Request);

}  // namespace berth::arm

template <class T, class Part>
berth::arm::Kind berth::arm::top_level(std::string_view type, Part& (Region::*part)() const,
                                       void (*write)(Arm&, JsonText&, const T&, const View&)) {
  Kind kind;
  kind.type = type;
  kind.find = [part](const Region& region, const Ref& ref) -> const Resource* {
    if constexpr (std::is_same_v<Part, Networks>)
      return (region.*part)().template find<T>(ref);
    else
      return (region.*part)().find(ref);
  };
  kind.all = [part](const Region& region, const std::string& group) {
    const auto found = [&] {
      if constexpr (std::is_same_v<Part, Networks>)
        return (region.*part)().template list<T>(group);
      else
        return (region.*part)().list(group);
    }();
    return std::vector<const Resource*>(found.begin(), found.end());
  };
  kind.write = [write](Arm& arm, JsonText& out, const Resource& resource, const View& view) {
    write(arm, out, static_cast<const T&>(resource), view);
  };
  return kind;
}
