#pragma once

#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cli/app.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"
#include "http/server.h"
#include "model/names.h"

/// For the tests of this folder: a small region of the test's own, that answers what `azure` asks.
namespace berth {

/// What one run of the program came to.
struct Ran {
  int exit_code = 0;
  std::string out, err;
};

/// Runs the program in this process, with these arguments.
inline Ran run_program(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "azure");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::ostringstream out, err;
  auto* const out_before = std::cout.rdbuf(out.rdbuf());
  auto* const err_before = std::cerr.rdbuf(err.rdbuf());
  const int exit_code = run_azure(static_cast<int>(arguments.size()), argv.data(), "1.2.3");
  std::cout.rdbuf(out_before);
  std::cerr.rdbuf(err_before);
  return {exit_code, out.str(), err.str()};
}

/// A Resource Manager with a Docker host behind it. Everything is in memory; BERTH_HOME, HOME and
/// DOCKER_CONFIG point below `folder` while it lives.
class FakeRegion {
 public:
  using json = nlohmann::json;

  FakeRegion() : work_(context_.get_executor()), thread_([this] { context_.run(); }) {
    const PrivateKey ca_key = PrivateKey::generate_ec(), key = PrivateKey::generate_ec();
    const Certificate ca =
        issue_certificate({.use = CertificateUse::authority, .common_name = "Fake CA"}, ca_key);
    const Certificate leaf = issue_certificate(
        {.common_name = "127.0.0.1", .dns_names = {"localhost"}, .ip_addresses = {"127.0.0.1"}}, key, &ca,
        &ca_key);
    chain_ = leaf.to_pem();
    key_ = key.to_pem();
    make_folder(home() / "tls");
    make_folder(home() / "access");
    write_file(home() / "tls/ca.pem", ca.to_pem());
    write_file(home() / "access/client-secret", "s3cret\n");
    write_file(home() / "lock", "");
    ::setenv("BERTH_HOME", home().c_str(), 1);
    ::setenv("HOME", folder.path().c_str(), 1);
    ::unsetenv("DOCKER_CONFIG");
    ::unsetenv("XDG_CONFIG_HOME");
    ::unsetenv("XDG_STATE_HOME");
    start();
  }
  ~FakeRegion() {
    stop();
    context_.stop();
    thread_.join();
  }
  FakeRegion(const FakeRegion&) = delete;
  FakeRegion& operator=(const FakeRegion&) = delete;

  std::filesystem::path home() const { return folder.path() / "home"; }
  std::filesystem::path docker() const { return folder.path() / ".docker"; }

  /// Listens on a new port and says so in region.json.
  void start() {
    do_there([this] {
      arm_ = Server::on_tcp(context_.get_executor(), "127.0.0.1", 0, {chain_, key_},
                            open_gate([this](Request request) -> boost::asio::awaitable<Response> {
                              co_return answer(request);
                            }));
    });
    write_region();
  }
  void stop() {
    do_there([this] {
      arm_.reset();
      docker_servers_.clear();
    });
  }
  void write_region() {
    const json region = {{"managementEndpoint", "https://127.0.0.1:" + std::to_string(arm_->port())},
                         {"caCertificate", (home() / "tls/ca.pem").string()},
                         {"tenantId", "tenant"},
                         {"clientId", "client"},
                         {"clientSecretFile", (home() / "access/client-secret").string()},
                         {"subscriptionId", "sub-1"},
                         {"dataDirectory", home().string()},
                         {"pid", to_string(own_id())},
                         {"version", "1.2.3"},
                         {"dnsSuffix", "cloudapp.net"}};
    write_file(home() / "region.json", region.dump());
  }

  /// Every request so far, "METHOD path", the subscription left away.
  std::vector<std::string> requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  bool has_group(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return groups_.contains(lower(name));
  }
  void add_group(const std::string& name, const json& tags = json::object()) {
    const std::lock_guard lock(mutex_);
    groups_[lower(name)] = tags;
  }

  /// What is there already: "rg/Microsoft.Network/virtualNetworks/old" with its tags, and a subnet "default" where it has some.
  void add_resource(const std::string& group_and_path, const json& tags = json::object()) {
    const std::lock_guard lock(mutex_);
    const std::string key = key_of(group_and_path);
    json document = {{"id", "/subscriptions/sub-1" + key},
                     {"name", group_and_path.substr(group_and_path.rfind('/') + 1)},
                     {"tags", tags},
                     {"properties", {{"subnets", json::array({{{"name", "default"}}})}}}};
    documents_of(key)[key] = std::move(document);
  }
  bool has_resource(const std::string& group_and_path) {
    const std::lock_guard lock(mutex_);
    const std::string key = key_of(group_and_path);
    return documents_of(key).contains(key);
  }

  /// Asked before each request is answered; a Response of its own goes out in place of ours.
  std::function<std::optional<Response>(const Request&)> on_request;
  /// Beside "Bearer t0ken".
  std::function<bool(const std::string&)> takes_token;
  /// May change an answer of ours.
  std::function<void(const Request&, Response&)> after_answer;
  /// Polls that the deployment takes; the body of each but the last says "Running".
  int polls = 2;
  /// When not null, the deployment fails with it.
  json deployment_error;
  json phases = json::array();
  /// Added to the ports of each public address.
  json more_ports = json::array();
  /// Where the public SSH port came to be; 0: where it was asked for.
  int ssh_host_port = 0;
  bool docker_answers = true;
  /// Plays Azure's public addresses: this is one, nothing tells which ports are open, and none moves.
  std::string azure_address;
  /// What the extension's handler says, as the instance view shows it; null: nothing yet.
  json extension_view;
  /// Beside its power state in the instance view of a VM that is made from now on; null: nothing.
  json further_status;
  json extension_change;  ///< the last PATCH of the extension
  std::function<void(const json&)> on_extension_change;
  /// Asked before the engine answers: the body for a path, or nothing.
  std::function<std::optional<json>(const std::string&)> on_docker;
  std::string docker_seen_client;  ///< thumbprint of what the Docker client presented
  json deployment;                 ///< the last deployment that was put

  TemporaryFolder folder;

 private:
  static ProcessId own_id() {
    const std::string stat = read_file("/proc/self/stat");
    std::istringstream words(stat.substr(stat.rfind(')') + 2));
    std::string word;
    for (int i = 3; i <= 22; ++i) words >> word;
    return {::getpid(), std::stoull(word)};
  }

  template <class Work>
  void do_there(Work work) {
    std::promise<void> done;
    boost::asio::post(context_, [&] {
      work();
      done.set_value();
    });
    done.get_future().get();
  }

  static Response reply(int status, const json& body) {
    Response response{.status = status};
    response.headers["Content-Type"] = "application/json";
    if (!body.is_null()) response.body = body.dump();
    return response;
  }
  static Response refuse(int status, const std::string& code, const std::string& message) {
    return reply(status, {{"error", {{"code", code}, {"message", message}}}});
  }

  Response answer(const Request& request) {
    const std::string base = "/subscriptions/sub-1";
    const std::string path = request.path.starts_with(base) ? request.path.substr(base.size()) : request.path;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request.method + " " + path);
    }
    if (on_request)
      if (auto own = on_request(request)) return *own;
    if (path == "/adfs/oauth2/token") {
      if (request.body.find("client_secret=s3cret") == std::string::npos)
        return reply(401, {{"error", "invalid_client"}, {"error_description", "bad secret"}});
      return reply(200, {{"access_token", "t0ken"}, {"expires_in", 3600}});
    }
    const std::string bearer = request.header("Authorization");
    if (bearer != "Bearer t0ken" && !(takes_token && takes_token(bearer)))
      return refuse(401, "AuthenticationFailed", "Who?");
    const std::lock_guard lock(mutex_);
    Response response = resource(request, lower(path));
    if (after_answer) after_answer(request, response);
    return response;
  }

  static std::string key_of(const std::string& group_and_path) {
    const std::size_t slash = group_and_path.find('/');
    return "/resourcegroups/" + lower(group_and_path.substr(0, slash)) + "/providers/" +
           lower(group_and_path.substr(slash + 1));
  }
  std::map<std::string, json>& documents_of(const std::string& path) {
    const auto has = [&](const char* part) { return path.find(part) != std::string::npos; };
    return has("/virtualmachines/")         ? vms_
           : has("/networkinterfaces/")     ? interfaces_
           : has("/loadbalancers/")         ? balancers_
           : has("/publicipaddresses/")     ? addresses_
           : has("/networksecuritygroups/") ? security_groups_
           : has("/virtualnetworks/")       ? networks_
                                            : disks_;
  }

  Response resource(const Request& request, const std::string& path) {
    const auto has = [&](const char* part) { return path.find(part) != std::string::npos; };
    if (path == "/locations")
      return reply(200, {{"value", {{{"name", "westus"}, {"displayName", "West US"}}}}});
    if (has("/osimages"))
      return reply(200, {{"value",
                          {{{"name", "Debian-12"},
                            {"properties",
                             {{"publisher", "Debian"},
                              {"offer", "debian-12"},
                              {"sku", "12"},
                              {"version", "1.0.0"},
                              {"osType", "Linux"},
                              {"category", "Public"}}}}}}});
    if (has("/vmsizes"))
      return reply(200, {{"value", {{{"name", "Standard_B2s"}}, {{"name", "Standard_A1"}}}}});
    if (has("/deployments/")) return deployment_request(request, path);
    if (has("/publicipaddresses")) return address_request(request, path);
    if (has("/extensions/")) return extension_request(request);
    if (has("/providers/microsoft.compute/virtualmachines")) return vm_request(request, path);
    if (has("/virtualnetworks")) return network_request(request, path);
    if (has("/disks")) return document_request(request, path, disks_);
    if (has("/networkinterfaces")) return document_request(request, path, interfaces_);
    if (has("/loadbalancers")) return document_request(request, path, balancers_);
    if (has("/networksecuritygroups")) return security_request(request, path);
    if (path.starts_with("/resourcegroups")) return group_request(request, path);
    return refuse(404, "ResourceNotFound", "There is no " + path);
  }

  static Response list_of(const std::map<std::string, json>& documents) {
    json all = json::array();
    for (const auto& [key, document] : documents) all.push_back(document);
    return reply(200, {{"value", all}});
  }

  Response document_request(const Request& request, const std::string& path,
                            std::map<std::string, json>& documents) {
    if (std::string_view(path).substr(path.rfind("/providers/") + 11).find('/') ==
        path.substr(path.rfind("/providers/") + 11).rfind('/'))
      return list_of(documents);
    if (request.method == "PUT") documents[path] = json::parse(request.body);
    if (request.method == "DELETE") return Response{.status = documents.erase(path) > 0 ? 200 : 204};
    const auto found = documents.find(path);
    return found == documents.end() ? refuse(404, "ResourceNotFound", "No such resource.")
                                    : reply(200, found->second);
  }

  Response network_request(const Request& request, const std::string& path) {
    const std::size_t subnet = path.find("/subnets/");
    if (subnet == std::string::npos) return document_request(request, path, networks_);
    const auto found = networks_.find(path.substr(0, subnet));
    if (found != networks_.end())
      for (const json& one : found->second["properties"]["subnets"])
        if (lower(one["name"].get<std::string>()) == path.substr(subnet + 9)) return reply(200, one);
    return refuse(404, "ResourceNotFound", "No such subnet.");
  }

  Response security_request(const Request& request, const std::string& path) {
    if (path.ends_with("/networksecuritygroups")) return list_of(security_groups_);
    const std::size_t rule = path.find("/securityrules/");
    const auto found = security_groups_.find(path.substr(0, rule));
    if (found == security_groups_.end()) return refuse(404, "ResourceNotFound", "No such security group.");
    if (rule == std::string::npos) return document_request(request, path, security_groups_);
    json& rules = found->second["properties"]["securityRules"];
    const std::string name = path.substr(rule + 15);
    json others = json::array();
    for (const json& one : rules)
      if (lower(one["name"].get<std::string>()) != name) others.push_back(one);
    if (request.method == "PUT") {
      json body = json::parse(request.body);
      body["name"] = name;
      others.push_back(body);
    }
    rules = others;
    return reply(200, json::object());
  }

  /// The extension's resource, as it was deployed or changed since.
  Response extension_request(const Request& request) {
    if (request.method == "PATCH") {
      extension_change = json::parse(request.body);
      if (on_extension_change) on_extension_change(extension_change);
    }
    for (const auto& [key, vm] : vms_)
      for (const json& one : vm["resources"]) return reply(200, one);
    return refuse(404, "ResourceNotFound", "No such extension.");
  }

  Response group_request(const Request& request, const std::string& path) {
    if (path == "/resourcegroups") {
      json all = json::array();
      for (const auto& [name, tags] : groups_) all.push_back({{"name", name}, {"tags", tags}});
      return reply(200, {{"value", all}});
    }
    const std::string name = path.substr(std::string("/resourcegroups/").size());
    if (request.method == "PUT") {
      const json tags = json::parse(request.body).value("tags", json::object());
      const bool is_new = groups_.emplace(name, tags).second;
      groups_[name] = tags;
      return reply(is_new ? 201 : 200, {{"name", name}, {"tags", tags}});
    }
    const auto found = groups_.find(name);
    if (found == groups_.end()) return refuse(404, "ResourceGroupNotFound", "No such group.");
    if (request.method == "GET") return reply(200, {{"name", name}, {"tags", found->second}});
    groups_.erase(found);
    for (auto* documents :
         {&interfaces_, &balancers_, &addresses_, &vms_, &networks_, &disks_, &security_groups_})
      std::erase_if(*documents, [&](const auto& item) { return item.first.starts_with(path + "/"); });
    return Response{.status = 200};
  }

  Response address_request(const Request& request, const std::string& path) {
    if (request.method == "PUT") {
      const json body = json::parse(request.body);
      const std::string label = body["properties"]["dnsSettings"]["domainNameLabel"];
      json document = {{"id", "/subscriptions/sub-1" + path},
                       {"tags", body.value("tags", json::object())},
                       {"properties",
                        {{"provisioningState", "Succeeded"},
                         {"ipAddress", azure_address.empty() ? "127.0.0.1" : azure_address},
                         {"dnsSettings", {{"domainNameLabel", label}, {"fqdn", label + ".cloudapp.net"}}}}}};
      const bool is_new = addresses_.emplace(path, document).second;
      return reply(is_new ? 201 : 200, document);
    }
    if (path.ends_with("/publicipaddresses")) {
      auto all = addresses_;
      for (auto& [key, document] : all)
        if (azure_address.empty()) document["properties"]["localPorts"] = local_ports(key);
      return list_of(all);
    }
    const auto found = addresses_.find(path);
    if (request.method == "DELETE") return Response{.status = addresses_.erase(path) > 0 ? 200 : 204};
    if (found == addresses_.end()) return refuse(404, "ResourceNotFound", "No such address.");
    json document = found->second;
    if (azure_address.empty()) document["properties"]["localPorts"] = local_ports(path);
    return reply(200, document);
  }

  /// "web1" of ".../deployments/docker-web1".
  static std::string part_after(const std::string& path, const std::string& key) {
    return path.substr(path.find(key) + key.size());
  }

  json local_ports(const std::string& address) const {
    json ports = json::array();
    const std::string name = part_after(address, "/publicipaddresses/");
    const auto docker = docker_servers_.find(name);
    if (docker != docker_servers_.end())
      ports.push_back({{"port", 4243}, {"hostPort", docker->second->port()}});
    if (ssh_host_port != 0)
      ports.push_back({{"port", 22}, {"hostPort", ssh_host_port}, {"movedBecause", "permission denied"}});
    for (const json& port : more_ports) ports.push_back(port);
    return ports;
  }

  Response vm_request(const Request& request, const std::string& path) {
    if (path.ends_with("/virtualmachines")) return list_of(vms_);
    const auto found = vms_.find(path);
    if (request.method == "DELETE") return Response{.status = vms_.erase(path) > 0 ? 200 : 204};
    return found == vms_.end() ? refuse(404, "ResourceNotFound", "No such VM.") : reply(200, found->second);
  }

  Response deployment_request(const Request& request, const std::string& path) {
    if (request.method == "PUT") {
      deployment = deployments_[path] = json::parse(request.body);
      polled_[path] = 0;
      canceled_.erase(path);
      Response response = reply(201, {{"properties", {{"provisioningState", "Accepted"}}}});
      response.headers["Azure-AsyncOperation"] =
          request.origin + "/subscriptions/sub-1" + path + "/operationStatuses/1";
      return response;
    }
    const std::string of = path.substr(0, path.find("/operationstatuses/"));
    if (request.method == "POST") return cancel_request(path.substr(0, path.rfind("/cancel")));
    const bool canceled = canceled_.contains(of);
    const bool ended = ++polled_[of] >= (canceled ? 2 : polls);
    if (ended && canceled) return reply(200, {{"properties", {{"provisioningState", "Canceled"}}}});
    json body = {{"status", ended ? deployment_error.is_null() ? "Succeeded" : "Failed" : "Running"},
                 {"properties", {{"phases", phases}}}};
    if (path == of) body["properties"]["provisioningState"] = body["status"];  // the deployment itself
    if (ended && !deployment_error.is_null()) body["error"] = deployment_error;
    if (ended && deployment_error.is_null()) run_host(of);
    Response response = reply(200, body);
    response.headers["x-ms-retry-after-ms"] = "10";
    return response;
  }

  /// It takes a look or two until nothing new is made.
  Response cancel_request(const std::string& path) {
    if (!deployments_.contains(path)) return refuse(404, "DeploymentNotFound", "No such deployment.");
    if (polled_[path] >= polls) return refuse(409, "DeploymentCannotBeCancelled", "It has ended.");
    canceled_.insert(path);
    polled_[path] = 0;
    return Response{.status = 204};
  }

  /// The engine's files, of the extension's settings or of cloud-init's user data: {"ca", "cert", "key"}, base64.
  static json certificates_of(const json& parameters) {
    if (!parameters.contains("cloudInit")) return parameters.at("dockerCertificates").at("value").at("certs");
    const std::string data = base64_decode(parameters["cloudInit"]["value"].get<std::string>()).value();
    const json config = json::parse(data.substr(data.find('\n')));
    json certs;
    for (const json& file : config["write_files"])
      for (const char* name : {"ca", "cert", "key"})
        if (file["path"] == std::string("/etc/docker/") + name + ".pem")
          certs[name] = base64_encode(file["content"].get<std::string>());
    return certs;
  }

  /// Starts a Docker Engine with the certificates that came with the deployment.
  void run_host(const std::string& path) {
    const json& wanted = deployments_[path];
    const json certs = certificates_of(wanted["properties"]["parameters"]);
    const auto text = [&](const char* key) {
      return base64_decode(certs.at(key).get<std::string>()).value();
    };
    const std::uint16_t engine_port = azure_address.empty() ? 0 : 4243;
    std::string address_name;
    for (const json& resource : wanted["properties"]["template"]["resources"])
      if (resource["type"] == "Microsoft.Network/publicIPAddresses")
        address_name = lower(resource["name"].get<std::string>());
    if (docker_answers)
      docker_servers_[address_name] = Server::on_tcp(
          context_.get_executor(), azure_address.empty() ? "127.0.0.1" : azure_address, engine_port,
          {text("cert"), Secret(text("key")), true},
          open_gate([this](Request request) -> boost::asio::awaitable<Response> {
            if (request.client_certificate.empty()) co_return Response{.status = 401};
            docker_seen_client = Certificate::parse_der(request.client_certificate, "client").thumbprint();
            if (on_docker)
              if (const auto own = on_docker(request.path)) co_return reply(200, *own);
            if (request.path == "/info")
              co_return reply(200, {{"OperatingSystem", "Debian"},
                                    {"Driver", "overlay2"},
                                    {"ServerVersion", "20.10.24"},
                                    {"Containers", 3},
                                    {"ContainersRunning", 2}});
            co_return reply(200, {{"Version", "20.10.24"}, {"ApiVersion", "1.41"}, {"KernelVersion", "6.1"}});
          }));
    const std::string providers = path.substr(0, path.find("/providers/")) + "/providers/";
    json vm, extension, balancer, security, nic, network;
    for (const json& resource : wanted["properties"]["template"]["resources"]) {
      if (resource["type"] == "Microsoft.Compute/virtualMachines") vm = resource;
      if (resource["type"] == "Microsoft.Compute/virtualMachines/extensions") extension = resource;
      if (resource["type"] == "Microsoft.Network/loadBalancers") balancer = resource;
      if (resource["type"] == "Microsoft.Network/networkSecurityGroups") security = resource;
      if (resource["type"] == "Microsoft.Network/networkInterfaces") nic = resource;
      if (resource["type"] == "Microsoft.Network/virtualNetworks") network = resource;
    }
    const std::string name = vm["name"], host = vm["tags"]["berth:host"];
    const std::string vm_key = providers + "microsoft.compute/virtualmachines/" + lower(name);
    const std::string nic_key =
        providers + "microsoft.network/networkinterfaces/" + lower(nic["name"].get<std::string>());
    const std::string base = "/subscriptions/sub-1";
    // Azure gives names back as they were written, in ids too.
    const std::string nic_id =
        base + "/resourceGroups/" + nic_key.substr(std::string("/resourcegroups/").size());
    vm["id"] = base + vm_key;
    vm["properties"]["provisioningState"] = "Succeeded";
    vm["properties"]["networkProfile"]["networkInterfaces"] = {{{"id", nic_id}}};
    vm["properties"]["instanceView"] = {{"statuses", {{{"code", "PowerState/running"}}}}};
    if (!further_status.is_null()) vm["properties"]["instanceView"]["statuses"].push_back(further_status);
    if (!extension_view.is_null())
      vm["properties"]["instanceView"]["extensions"] = json::array({extension_view});
    if (!extension.is_null()) vm["resources"] = json::array({extension});
    vms_[vm_key] = vm;
    json configuration = {{"properties", {{"privateIPAddress", "10.0.0.4"}}}};
    const json address = {{"id", base + providers + "Microsoft.Network/publicIPAddresses/" + address_name}};
    if (balancer.is_null()) {
      configuration["properties"]["publicIPAddress"] = address;
    } else {
      const std::string key = providers + "microsoft.network/loadbalancers/" + host + "-lb";
      balancer["id"] = base + key;
      balancer["properties"]["frontendIPConfigurations"][0]["properties"]["publicIPAddress"] = address;
      balancers_[key] = balancer;
      configuration["properties"]["loadBalancerInboundNatRules"] = {
          {{"id", base + key + "/inboundNatRules/ssh"}}};
    }
    const std::string security_key = providers + "microsoft.network/networksecuritygroups/" + host + "-nsg";
    security["id"] = base + security_key;
    security_groups_[security_key] = security;
    if (!network.is_null()) {
      const std::string key =
          providers + "microsoft.network/virtualnetworks/" + lower(network["name"].get<std::string>());
      network["id"] = base + key;
      configuration["properties"]["subnet"] = {{"id", base + key + "/subnets/default"}};
      networks_[key] = network;
    }
    interfaces_[nic_key] = {{"id", base + nic_key},
                            {"tags", nic["tags"]},
                            {"properties",
                             {{"ipConfigurations", json::array({configuration})},
                              {"networkSecurityGroup", {{"id", base + security_key}}}}}};
  }

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
  std::unique_ptr<Server> arm_;
  std::map<std::string, std::unique_ptr<Server>> docker_servers_;  ///< by the name of its address
  std::string chain_;
  Secret key_;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::map<std::string, json> groups_, addresses_, vms_, interfaces_, balancers_, security_groups_, networks_,
      disks_;
  std::map<std::string, json> deployments_;  ///< by path
  std::map<std::string, int> polled_;
  std::set<std::string> canceled_;
};

}  // namespace berth
