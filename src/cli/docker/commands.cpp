#include <memory>

#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/create.h"
#include "cli/docker/resource_manager_form.h"
#include "cli/docker/show.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/terminal/terminal.h"

/// `azure vm docker …`: the options of each command.
namespace berth {
namespace {

// --- vm docker create

/// Options of the classic client that speak of things this region does not have.
struct ClassicOption {
  const char* names;
  const char* value;  ///< "" for a flag
  const char* description;
  const char* reason;
};
constexpr ClassicOption classic_only[] = {
    {"-c,--connect", "", "(not here) connect to an existing cloud service",
     "every host of the local region has an address of its own."},
    {"-a,--affinity-group", "<name>", "(not here) affinity group",
     "the local region has no affinity groups."},
    {"-u,--blob-url", "<url>", "(not here) where the disk is kept",
     "the local region keeps disks in its own folder (BERTH_HOME)."},
    {"-R,--reserved-ip", "<name>", "(not here) reserved public address",
     "a host keeps its public address for as long as it exists."},
    {"-A,--availability-set", "<name>", "(not here) availability set",
     "there is one machine, which is this one."},
    {"-o,--community", "", "(not here) image from the community gallery", "that gallery is closed."},
};

void add_classic_only(CommandLine& app, const std::shared_ptr<DockerCreateOptions>& options) {
  for (const ClassicOption& option : classic_only) {
    const std::string name = std::string(option.names).substr(std::string(option.names).find("--"));
    const auto refuse = [options, name, reason = option.reason] {
      options->unsupported.emplace_back(name, reason);
    };
    if (*option.value == '\0')
      app.add_flag(option.names, refuse, option.description);
    else
      app.add_option(
             option.names, [refuse](const std::string&) { refuse(); }, option.description)
          ->type_name(option.value);
  }
}

void vm_docker_create(CommandLine& app, Session& session) {
  if (is_resource_manager_form(session)) return declare_resource_manager_form(app, session);
  auto options = std::make_shared<DockerCreateOptions>();
  auto password = std::make_shared<std::string>();
  app.add_option("dns-name", options->dns_name, "Name of the host, and of its DNS entry")->required();
  app.add_option("image", options->image, "An image of 'azure vm image list'")->required();
  app.add_option("user-name", options->user, "The administrator's name")->required();
  app.add_option("password", *password, "Asked for when it is not given");
  const auto text = [&app](const char* names, std::string& value, const char* type, const char* description) {
    return app.add_option(names, value, description)->type_name(type);
  };
  text("-e,--ssh", options->ssh, "[port]", "Open the SSH port [22]")->or_alone("22");
  text("-l,--location", options->location, "<location>", "Location [West US]");
  text("-dp,-p,--docker-port", options->docker_port, "<port>", "Port to use for docker [4243]");
  text("-dc,-C,--docker-cert-dir", options->cert_dir, "<dir>",
       "Directory containing docker certs [~/.docker]");
  text("-N,--docker-cert-cn", options->cert_cn, "<name>",
       "Common name of the host's certificate [its DNS name]");
  text("-z,--vm-size", options->vm_size, "<size>", "Size of the virtual machine [Standard_B2s]");
  text("-n,--vm-name", options->vm_name, "<name>", "Name of the virtual machine [dns-name]");
  text("-t,--ssh-cert", options->ssh_cert, "<file>",
       "Public key (OpenSSH) or certificate (PEM) to sign in with");
  app.add_flag("-P,--no-ssh-password", options->no_ssh_password, "No password: sign in with the key only");
  app.add_flag("-E,--no-ssh-endpoint", options->no_ssh_endpoint, "Do not open the SSH port");
  app.add_flag("-G,--generate-ssh-keys", options->generate_ssh_keys, "Make a key pair to sign in with");
  text("-d,--custom-data", options->custom_data, "<file>", "File given to the virtual machine, below 64 KB");
  text("-s,--subscription", options->subscription, "<id>", "Subscription to use");
  text("-g,--resource-group", options->group, "<group>", "Resource group [one of its own]");
  text("-w,--virtual-network-name", options->virtual_network, "<name>",
       "Join this virtual network (its name, or that of a host in it) [one of its own]");
  text("-b,--subnet-names", options->subnet, "<name>", "Subnet of that network [its first]");
  text("-S,--static-ip", options->static_ip, "<address>",
       "Private address in that subnet [the next free one]");
  text("--password-file", options->password_file, "<file>", "File with the password; - for standard input");
  text("--context", options->context, "<name>", "Name of the docker context [dns-name]");
  app.add_flag("--no-context", options->no_context, "Write no docker context");
  app.add_flag("--use", options->use, "Make the docker context the current one");
  app.add_flag("--strict-ports", options->strict_ports, "Fail when a port cannot be had as it was asked for");
  app.add_flag("--keep-failed", options->keep_failed, "Do not remove what was made when it fails");
  app.add_flag("--wait", options->wait, "Wait for the guest agent's own report, too");
  app.add_flag("--cold", options->cold, "Boot it, rather than restore it from the image's template");
  app.add_option("--count", options->count, "Make NAME-1 to NAME-N at once")->type_name("<n>");
  text("--allow-from", options->allow_from, "<addresses>",
       "On Azure: who reaches its ports, addresses and blocks with commas between, or * [you alone]");
  app.add_flag("--yes", options->yes, "On Azure: do not ask about what costs money");
  text("--template", options->template_file, "<file>", "Write the deployment there and make nothing");
  text("--timeout", options->timeout, "<seconds>", "How long it may take [3600]");
  add_classic_only(app, options);
  app.callback([options, password, &session] {
    if (options->location.empty()) options->location = setting("location");
    if (options->vm_size.empty()) options->vm_size = setting("vm-size");
    wipe_argument(session.argc, session.argv, *password);
    options->password = Secret(std::move(*password));
    options->count == 1 ? create_docker_host(session, *options) : create_docker_hosts(session, *options);
  });
}

// --- vm docker show

void vm_docker_show(CommandLine& app, Session& session) {
  auto options = std::make_shared<DockerHostOptions>();
  add_docker_host_options(app, *options);
  app.callback([options, &session] { show_docker_host(session, *options); });
}

constexpr Command docker_table[] = {
    {"vm docker create", "Create a virtual machine that runs a Docker host", &vm_docker_create},
    {"vm docker show", "Show a Docker host: its engine, TLS, containers and security report",
     &vm_docker_show},
};

}  // namespace

std::span<const Command> docker_commands() {
  return docker_table;
}

}  // namespace berth
