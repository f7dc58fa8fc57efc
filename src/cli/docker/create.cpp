#include "cli/docker/create.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/arm/json_view.h"
#include "cli/docker/azure_host.h"
#include "cli/docker/certificates.h"
#include "cli/docker/check.h"
#include "cli/docker/client.h"
#include "cli/docker/cloud_init.h"
#include "cli/docker/context.h"
#include "cli/docker/identities.h"
#include "cli/terminal/phases.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/host_removal.h"
#include "cli/vm/hosts.h"
#include "cli/vm/image_list.h"
#include "cli/vm/ssh.h"
#include "cli/vm/ssh_keys.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "host/files.h"
#include "host/process.h"
#include "model/catalog.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr const char* creation_tag = "berth:creation";
constexpr std::uintmax_t least_space = std::uintmax_t{1} << 30;
constexpr auto docker_answer_limit = 90s,
               first_boot_limit = 900s;  ///< on Azure the first boot makes the host
constexpr auto try_limit = 2s;
constexpr auto removal_limit = 300s, azure_removal_limit = 1800s;

Error invalid_choice(const std::string& what, const std::string& advice = {}) {
  return Error(ErrorKind::invalid, "InvalidParameter", what, advice);
}

std::string folder_of_group(const std::string& group) {
  return "resourcegroups/" + group;
}

/// One run of the command: what it found, what it made, and the way back.
class Creation {
 public:
  Creation(Session& session, const DockerCreateOptions& options)
      : session_(session), out_(session.out), options_(options), phases_(session.out) {}

  void run() {
    plan_ = check_docker_create(options_);
    if (!options_.template_file.empty()) return write_template();
    look_around();
    const Secret password = docker_host_password(options_);
    try {
      make(password);
    } catch (const Error& error) {
      fail(error);
    }
  }

 private:
  // --- before anything is made
  void look_around();
  void check_space() const;
  void check_subscription() const;
  void settle_location();
  void settle_size();
  void settle_network();
  void settle_named_network();
  void settle_image();
  void check_name_is_free();
  void check_group_has_room();
  void write_template() const;

  // --- making it
  void make(const Secret& password);
  void load_certificates();
  void add_generated_key();
  void put_group();
  void put_address();
  void deploy(const Secret& password);
  void wait_for_deployment(const ArmAccepted& accepted, const std::string& path);
  void check_ports();
  bool docker_answers();
  void call_docker();
  void meet_docker();
  void write_context();
  void report() const;

  // --- when it did not work
  [[noreturn]] void fail(const Error& error);
  bool remove_what_was_made();
  std::string leftovers() const;
  void note_leftovers() const;

  std::string group_path() const { return folder_of_group(plan_.group); }
  std::string in_group(const std::string& type_and_name) const {
    return group_path() + "/providers/" + type_and_name;
  }
  std::string address_path() const {
    return in_group("Microsoft.Network/publicIPAddresses/" + names_of(plan_.host).address);
  }
  /// Of what is made: not of a network that the host joins.
  ResourceNames own_names() const {
    ResourceNames names = names_of(plan_.host);
    if (!plan_.host.virtual_network.empty()) names.network.clear();
    return names;
  }
  std::string reachable_name() const { return name_resolves_ ? address_.fqdn : address_.address; }

  Session& session_;
  Output& out_;
  const DockerCreateOptions& options_;
  DockerCreatePlan plan_;
  PhaseDisplay phases_;
  const std::string creation_ = new_uuid();  ///< tells our group from one made by someone else just now

  std::chrono::steady_clock::time_point next_try_;
  std::optional<DockerCertificates> certificates_;
  std::string ssh_key_file_;
  bool reported_ = false;  ///< the deployment is done: agent and extension have reported
  bool made_group_ = false, made_address_ = false;
  bool asked_deployment_ = false;  ///< it may go on
  PublicAddressView address_;
  bool name_resolves_ = false;
  DockerAnswer docker_;
  DockerMisfit misfit_;
  DockerContexts::Written context_;
};

// --- before anything is made ----------------------------------------------------------------------------

void Creation::look_around() {
  if (options_.vm_size.empty())
    out_.warn(fmt::format("--vm-size has not been specified. Defaulting to \"{}\".", plan_.host.size));
  if (options_.location.empty()) out_.info("--location has not been specified. Defaulting to \"West US\".");
  if (!find_program("docker"))
    out_.warn("The docker client is not installed on this machine. Install it: apt-get install docker.io");
  if (session_.is_local()) check_space();
  session_.persist([this, as_typed = plan_.host] {
    plan_.host = as_typed;  // names become ids below
    session_.arm();
    check_subscription();
    settle_location();
    out_.info(fmt::format("Looking up image {}", plan_.host.image));
    if (session_.is_azure())
      prepare_azure_host(session_, options_, plan_.host);
    else
      settle_image();
    settle_size();
    settle_network();
    check_name_is_free();
  });
  interrupt::check();
}

void Creation::check_space() const {
  std::filesystem::path folder = session_.local.home();
  std::error_code none;
  while (!std::filesystem::exists(folder, none) && folder.has_relative_path()) folder = folder.parent_path();
  const std::uintmax_t free = free_space(folder);
  if (free < least_space)
    throw Error(ErrorKind::unavailable, "NoSpace",
                fmt::format("{} has {} MiB free, and a virtual machine needs at least {} MiB.",
                            folder.string(), free >> 20, least_space >> 20),
                "Make room there, or put the region elsewhere (BERTH_HOME).");
}

void Creation::check_subscription() const {
  const std::string& wanted = options_.subscription;
  const std::string here = session_.subscription();
  if (!wanted.empty() && !same_name(wanted, here) && !(session_.is_local() && same_name(wanted, "Local")))
    throw Error(ErrorKind::not_found, "SubscriptionNotFound",
                fmt::format("The subscription '{}' was not found. Please check your spelling.", wanted),
                fmt::format("Leave -s away to use the current one ({}), or choose: azure account set", here));
}

void Creation::settle_location() {
  const auto plain = [](const std::string& name) {
    std::string text = lower(name);
    std::erase(text, ' ');
    return text;
  };
  std::string known;
  for (const json& location : session_.arm().list("locations")) {
    const std::string name = location.value("name", ""), display = location.value("displayName", "");
    if (plain(name) == plain(plan_.host.location) || plain(display) == plain(plan_.host.location)) {
      plan_.host.location = name;
      return;
    }
    known += (known.empty() ? "" : ", ") + display;
  }
  throw invalid_choice("No location found which has DisplayName or Name same as value of --location",
                       "Locations: " + known + ".");
}

void Creation::settle_image() {
  const auto images = list_images(session_.arm());
  if (const auto name = find_image(images, plan_.host.image)) {
    plan_.host.image = *name;
    return;
  }
  throw Error(ErrorKind::not_found, "ImageNotFound", fmt::format("Image \"{}\" not found", plan_.host.image),
              "'azure vm image list' shows the images that there are.");
}

/// A network that was named for the host may be in its group already; then the host joins it.
void Creation::settle_named_network() {
  DockerHost& host = plan_.host;
  if (!host.names.interface.empty() &&
      session_.arm().find(in_group("Microsoft.Network/networkInterfaces/" + host.names.interface)))
    throw Error(ErrorKind::conflict, "InterfaceExists",
                fmt::format("There is an interface {} in {} already.", host.names.interface, plan_.group),
                "A host has one of its own: choose another --nic-name.");
  if (!host.names.address.empty() && session_.arm().find(address_path()))
    throw Error(ErrorKind::conflict, "AddressExists",
                fmt::format("There is a public address {} in {} already.", host.names.address, plan_.group),
                "A host has one of its own: choose another --public-ip-name.");
  if (host.names.network.empty()) return;
  const auto network =
      session_.arm().find(in_group("Microsoft.Network/virtualNetworks/" + host.names.network));
  if (!network) return;
  const std::string id = network->value("id", "");
  if (!session_.arm().find(in_group(
          fmt::format("Microsoft.Network/virtualNetworks/{}/subnets/{}", host.names.network, host.subnet))))
    throw Error(ErrorKind::not_found, "SubnetNotFound",
                fmt::format("Virtual network {} has no subnet {}", host.names.network, host.subnet),
                "Name one that it has: --vnet-subnet-name.");
  host.virtual_network = id;
}

void Creation::settle_network() {
  DockerHost& host = plan_.host;
  if (host.virtual_network.empty()) return settle_named_network();
  std::string known;
  for (const json& network : session_.arm().list("providers/Microsoft.Network/virtualNetworks")) {
    const std::string name = network.value("name", "");
    known += (known.empty() ? "" : ", ") + name;
    if (!same_name(name, host.virtual_network) && !same_name(name, host.virtual_network + "-vnet")) continue;
    std::string subnets;
    for (const json& subnet : network.at("properties").at("subnets")) {
      const std::string subnet_name = subnet.value("name", "");
      if (host.subnet.empty() || same_name(host.subnet, subnet_name)) {
        host.subnet = subnet_name;
        host.virtual_network = network.value("id", "");
        return;
      }
      subnets += (subnets.empty() ? "" : ", ") + subnet_name;
    }
    throw Error(ErrorKind::not_found, "SubnetNotFound",
                fmt::format("Virtual network {} has no subnet {}", name, host.subnet),
                "Subnets: " + subnets + ".");
  }
  throw Error(ErrorKind::not_found, "VirtualNetworkNotFound",
              fmt::format("Virtual network with name {} not found", host.virtual_network),
              known.empty() ? "There is none yet: leave -w away." : "Virtual networks: " + known + ".");
}

void Creation::settle_size() {
  std::string known;
  const auto sizes = session_.arm().list(
      fmt::format("providers/Microsoft.Compute/locations/{}/vmSizes", plan_.host.location));
  for (const json& size : sizes) {
    const std::string name = size.value("name", "");
    if (same_name(name, plan_.host.size)) {
      plan_.host.size = name;
      return;
    }
    known += (known.empty() ? "" : ", ") + name;
  }
  throw invalid_choice(
      fmt::format("VM size \"{}\" is not available in {}", plan_.host.size, plan_.host.location),
      "Sizes: " + known + ".");
}

void Creation::check_name_is_free() {
  const std::string& name = plan_.host.name;
  const Error taken(ErrorKind::conflict, "DnsNameTaken",
                    fmt::format("A VM with dns prefix \"{}\" already exists", name),
                    fmt::format("Choose another name, or delete it: azure vm delete {}", name));
  for (const json& item : session_.arm().list("providers/Microsoft.Network/publicIPAddresses"))
    if (same_name(parse_public_address(item).label, name)) throw taken;
  if (plan_.own_group) {
    if (session_.arm().find(group_path()))
      throw Error(
          ErrorKind::conflict, "ResourceGroupExists",
          fmt::format("The resource group {} exists already.", plan_.group),
          fmt::format("Choose another name for the host, or make it in that group: --resource-group {}",
                      plan_.group));
  } else if (session_.arm().find(in_group("Microsoft.Compute/virtualMachines/" + plan_.host.vm_name))) {
    throw taken;
  } else if (session_.arm().find(group_path())) {
    check_group_has_room();
  }
}

/// A deployment would write over what is there under its names, and the way back would remove it.
void Creation::check_group_has_room() {
  for (const std::string& path : host_resources(plan_.group, own_names(), plan_.host.vm_name)) {
    const auto document = session_.arm().find(path);
    if (!document || same_name(text(*document, {"tags", host_tag}), plan_.host.name)) continue;
    throw Error(ErrorKind::conflict, "ResourceExists",
                fmt::format("There is {} in {} already, and it was not made for a host named {}.",
                            path.substr(in_group("").size()), plan_.group, plan_.host.name),
                "Choose another name for the host, or another resource group: -g GROUP.");
  }
}

void Creation::write_template() const {
  const ordered_json document = docker_host_template(plan_.host);
  create_file(options_.template_file, document.dump(2) + "\n", 0644);
  out_.info(fmt::format("The deployment is in {}; nothing was made.", options_.template_file));
  out_.help(fmt::format("az deployment group create --resource-group {} --template-file {} --parameters …",
                        plan_.group, shell_quoted(options_.template_file)));
}

// --- making it ------------------------------------------------------------------------------------------

void Creation::make(const Secret& password) {
  if (plan_.host.on_azure) confirm_azure_host(session_, options_, plan_);
  load_certificates();
  forget_host_key(plan_.host.name);  // of an earlier host of this name
  Identities(session_.subscription(), plan_.host.name).forget_all();
  add_generated_key();
  phases_.begin("Preparing the network");
  session_.persist([this] { put_group(); });
  session_.persist([this] { put_address(); });
  phases_.end();
  deploy(password);
  check_ports();
  meet_docker();
  write_context();
  report();
}

void Creation::load_certificates() {
  certificates_ = DockerCertificates::load_or_make(plan_.certificates);
  const std::string folder = plan_.certificates.string();
  if (certificates_->made_authority())
    out_.info(fmt::format("Generating docker certificates. ({})", folder));
  else if (certificates_->made_client())
    out_.info(fmt::format("Generating a docker client certificate of the authority in {}", folder));
  else
    out_.info(fmt::format("Found docker client certificates. ({})", folder));
  for (const std::string& warning : certificates_->warnings()) out_.warn(warning);
}

void Creation::add_generated_key() {
  if (!options_.generate_ssh_keys) return;
  const GeneratedSshKey key = load_or_make_ssh_key(plan_.host.name);
  plan_.host.ssh_keys.push_back(key.line);
  ssh_key_file_ = key.private_key.string();
  out_.info(fmt::format("You can use {} private key for SSH authentication.", ssh_key_file_));
}

void Creation::put_group() {
  ArmClient& arm = session_.arm();
  if (!plan_.own_group && arm.find(group_path())) return;
  interrupt::check();
  const json body = {{"location", plan_.host.location},
                     {"tags", {{host_tag, plan_.host.name}, {creation_tag, creation_}}}};
  if (arm.put(group_path(), body).created) {
    made_group_ = true;
  } else if (!made_group_) {
    // Either someone else made it since we looked, or the region went away after it had made ours.
    const json group = arm.get(group_path());
    made_group_ = session_.losses() > 0 && group["tags"].value(creation_tag, "") == creation_;
    if (!made_group_)
      throw Error(ErrorKind::conflict, "ResourceGroupExists",
                  fmt::format("The host {} is being made by someone else just now.", plan_.host.name),
                  "Choose another name.");
  }
  note_leftovers();
}

void Creation::put_address() {
  ArmClient& arm = session_.arm();
  interrupt::check();
  const ordered_json resource = public_address_resource(plan_.host);
  json body = {
      {"location", resource["location"]}, {"tags", resource["tags"]}, {"properties", resource["properties"]}};
  if (resource.contains("sku")) body["sku"] = resource["sku"];
  const ArmAccepted accepted = arm.put(address_path(), body);
  if (accepted.created || made_group_) made_address_ = true;
  if (!made_address_ && session_.losses() == 0)
    throw Error(ErrorKind::conflict, "DnsNameTaken",
                fmt::format("The host {} is being made by someone else just now.", plan_.host.name),
                "Choose another name.");
  made_address_ = true;
  note_leftovers();
  arm.wait(accepted, address_path(), 60s);
  address_ = parse_public_address(arm.get(address_path()));
}

void Creation::deploy(const Secret& password) {
  const DockerHost& host = plan_.host;
  const ServerCertificate server = certificates_->issue_for_host({.host = host.name,
                                                                  .vm_name = host.vm_name,
                                                                  .fqdn = address_.fqdn,
                                                                  .address = address_.address,
                                                                  .common_name = plan_.certificate_name});
  ordered_json docker =
      docker_certificates_value(certificates_->authority_pem(), server.certificate, server.key);
  if (host.on_azure) {
    const SshHostKey ssh = make_ssh_host_key();
    keep_host_key(host.name, {address_.address, address_.fqdn}, ssh.line);
    docker = base64_encode(docker_cloud_init({.authority_pem = certificates_->authority_pem(),
                                              .certificate_pem = server.certificate,
                                              .key_pem = server.key,
                                              .docker_port = host.docker_port,
                                              .user = host.user,
                                              .host_key_pem = ssh.private_key,
                                              .host_key_line = ssh.line})
                               .reveal());
  }
  const json body = deployment_body(host, password, docker);

  const std::string path = deployment_path(plan_.group, host.name);
  const int losses_before = session_.losses();
  std::optional<ArmAccepted> accepted;
  session_.persist([&] {
    ArmClient& arm = session_.arm();
    interrupt::check();
    // A region that was started anew has ended what it had accepted; Azure goes on with it.
    if (!accepted || !plan_.host.on_azure) {
      phases_.restart();
      asked_deployment_ = true;
      accepted = arm.put(path, body, session_.losses() > losses_before);
    }
    try {
      wait_for_deployment(*accepted, path);
    } catch (const Error& error) {
      if (error.code == "OperationPreempted") accepted.reset();
      throw;
    }
  });
}

void Creation::wait_for_deployment(const ArmAccepted& accepted, const std::string& path) {
  phases_.begin("Creating VM");
  const auto tell = [this](const std::vector<Phase>& phases) {
    if (phases.empty()) return phases_.tick();
    phases_.update(phases);
  };
  std::function<bool()> enough;
  // On Azure, an engine that answers may be in the middle of being set up.
  if (session_.is_local() && !options_.wait) enough = [this] { return docker_answers(); };
  reported_ = session_.arm().wait(accepted, path, plan_.limit, tell, enough);
  phases_.end();
}

/// A restored host answers long before its agent reports: whoever has the key of the certificate that we issued has our
/// settings.
bool Creation::docker_answers() {
  if (plan_.host.on_azure) return false;  // nothing is restored there
  const auto now = std::chrono::steady_clock::now();
  if (now < next_try_) return false;
  if (const auto address = session_.arm().find(address_path())) address_ = parse_public_address(*address);
  const bool open = std::ranges::any_of(address_.ports, [this](const PublicPort& port) {
    return port.port == plan_.host.docker_port && port.host_port != 0;
  });
  const auto answer =
      open ? try_docker(address_.fqdn.empty() ? address_.address : address_.fqdn, address_.address,
                        address_.host_port(plan_.host.docker_port), plan_.certificates, try_limit)
           : std::nullopt;
  if (answer) docker_ = *answer;
  // A host that boots is not asked all the time.
  next_try_ = std::chrono::steady_clock::now() + 2 * (std::chrono::steady_clock::now() - now);
  return answer.has_value();
}

void Creation::check_ports() {
  session_.persist([this] { address_ = parse_public_address(session_.arm().get(address_path())); });
  name_resolves_ =
      (plan_.host.on_azure && !address_.fqdn.empty()) || hosts_file_knows(address_.fqdn, address_.address);
  const std::string moved = address_.moved_ports();
  if (moved.empty()) return;
  if (options_.strict_ports)
    throw Error(ErrorKind::unavailable, "PortNotAvailable", moved,
                "Free the port, choose another one, or leave --strict-ports away.");
  out_.warn(moved);
}

void Creation::call_docker() {
  phases_.begin("Calling Docker over TLS");
  const std::string name = address_.fqdn.empty() ? address_.address : address_.fqdn;
  const auto limit = std::min<std::chrono::seconds>(
      plan_.host.on_azure ? first_boot_limit : docker_answer_limit, plan_.limit);
  try {
    docker_ = ask_docker(name, address_.address, address_.host_port(plan_.host.docker_port),
                         plan_.certificates, limit, [this] { phases_.tick(); });
  } catch (const Error& error) {
    if (!plan_.host.on_azure || error.code == "OperationCanceled") throw;
    // A proxy, a VPN or another way out, and nothing arrives.
    throw Error(
        error.kind, error.code, error.what(),
        fmt::format("{}{}Its ports were open to {}. If this machine reaches it from elsewhere, say so: "
                    "--allow-from ADDRESS[/BITS],…",
                    error.advice, error.advice.empty() ? "" : "\n", text_of_sources(plan_.host)));
  }
  phases_.end();
}

void Creation::meet_docker() {
  if (docker_.version.empty()) call_docker();
  const auto client = installed_docker_client();
  if (client) misfit_ = docker_misfit(*client, docker_, plan_.host.name);
  if (!misfit_.problem.empty()) out_.warn(fmt::format("{}. {}", misfit_.problem, misfit_.advice));
}

void Creation::write_context() {
  if (plan_.context.empty()) return;
  const DockerContexts contexts(docker_config_folder());
  context_ = contexts.write(
      {.name = plan_.context,
       .host = plan_.host.name,
       .region = session_.subscription(),
       .region_home = session_.is_local() ? session_.local.home() : std::filesystem::path(),
       .endpoint = fmt::format("tcp://{}:{}", reachable_name(), address_.host_port(plan_.host.docker_port)),
       .certificates = plan_.certificates});
  if (context_.name != plan_.context)
    out_.warn(fmt::format("A docker context '{}' exists and is not ours; this host's is '{}'.", plan_.context,
                          context_.name));
  if (options_.use) contexts.use(context_.name);
  out_.info(fmt::format("Docker context '{}' {}{}", context_.name, context_.replaced ? "renewed" : "written",
                        options_.use ? ", and made the current one" : ""));
  if (options_.use) warn_of_overridden_context(out_, context_.name);
}

void Creation::report() const {
  const std::uint16_t port = address_.host_port(plan_.host.docker_port);
  const bool default_folder = plan_.certificates == docker_config_folder();
  const std::string command = fmt::format(
      "{}docker --tls -H tcp://{}:{} info",
      default_folder ? "" : fmt::format("DOCKER_CERT_PATH={} ", shell_quoted(plan_.certificates.string())),
      reachable_name(), port);
  std::string ssh;
  if (plan_.host.ssh_port) {
    ssh = ssh_command({.user = plan_.host.user,
                       .address = reachable_name(),
                       .port = address_.host_port(*plan_.host.ssh_port),
                       .identity = ssh_key_file_,
                       .known_hosts = known_hosts_file(plan_.host.name)});
  }
  if (out_.json_mode()) {
    out_.json({{"name", plan_.host.name},
               {"vmName", plan_.host.vm_name},
               {"resourceGroup", plan_.group},
               {"location", plan_.host.location},
               {"fqdn", address_.fqdn},
               {"ipAddress", address_.address},
               {"dockerHost", fmt::format("tcp://{}:{}", reachable_name(), port)},
               {"dockerCertPath", plan_.certificates.string()},
               {"dockerVersion", docker_.version},
               {"agentReported", reported_},
               {"dockerClientProblem", misfit_.problem},
               {"dockerContext", context_.name},
               {"dockerCommand", command},
               {"sshCommand", ssh}});
    return;
  }
  out_.info(fmt::format("Docker {} answers at tcp://{}:{} over mutual TLS ({}, kernel {})", docker_.version,
                        reachable_name(), port, docker_.os, docker_.kernel));
  if (!reported_)
    out_.info(fmt::format("The guest agent's own report follows: azure vm docker show {}", plan_.host.name));
  out_.help("Use it:");
  out_.help("  " + command);
  if (!context_.name.empty()) out_.help(fmt::format("  docker --context {} info", context_.name));
  if (!ssh.empty()) out_.help("  " + ssh);
}

// --- when it did not work -------------------------------------------------------------------------------

std::string Creation::leftovers() const {
  if (made_group_) return fmt::format("the resource group {} and what is in it", plan_.group);
  if (made_address_)
    return fmt::format("resources named {}-… in the resource group {}", plan_.host.name, plan_.group);
  return {};
}

void Creation::note_leftovers() const {
  interrupt::set_farewell(
      fmt::format("Stopped at once. Left behind: {}. Remove it with: azure vm delete {} --quiet", leftovers(),
                  plan_.host.name));
}

void Creation::fail(const Error& error) {
  out_.end_live();
  const bool canceled = error.code == "OperationCanceled";
  const std::string phase = phases_.current().empty() || canceled ? "" : phases_.current() + ": ";
  std::string advice = error.advice;
  const std::string left = leftovers();
  if (left.empty()) throw Error(error.kind, error.code, phase + error.what(), advice);
  if (options_.keep_failed && !canceled) {
    out_.warn(fmt::format("Kept, as --keep-failed says: {}.", left));
    advice +=
        fmt::format("{}Look at it with 'azure vm show {}'; remove it with 'azure vm delete {} --quiet'.",
                    advice.empty() ? "" : "\n", plan_.host.name, plan_.host.name);
  } else {
    if (canceled) out_.warn("Canceled. (Ctrl-C again to leave at once.)");
    remove_what_was_made();
  }
  throw Error(error.kind, error.code, phase + error.what(), advice);
}

bool Creation::remove_what_was_made() {
  interrupt::begin_cleanup();
  out_.info(fmt::format("Removing {}", leftovers()));
  const std::chrono::seconds limit = plan_.host.on_azure ? azure_removal_limit : removal_limit;
  try {
    session_.persist([this, limit] {
      ArmClient& arm = session_.arm();
      // A region of ours makes what it has begun to its end; there the removal waits for it.
      if (plan_.host.on_azure && asked_deployment_ && !reported_)
        end_deployment(arm, plan_.group, plan_.host.name);
      if (made_group_) {
        arm.wait(arm.remove(group_path()), group_path(), limit);
      } else {
        remove_resources(
            arm, resources_of_host(arm, plan_.group, own_names(), plan_.host.vm_name, plan_.host.name),
            limit);
      }
    });
    interrupt::set_farewell("");
    return true;
  } catch (const Error& error) {
    out_.warn(fmt::format("Could not remove {}: {}", leftovers(), error.what()));
    out_.help(fmt::format("Remove it later: azure vm delete {} --quiet", plan_.host.name));
    return false;
  }
}

}  // namespace

void create_docker_host(Session& session, const DockerCreateOptions& options) {
  Creation(session, options).run();
}

}  // namespace berth
