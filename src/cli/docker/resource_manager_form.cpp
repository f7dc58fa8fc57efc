#include "cli/docker/resource_manager_form.h"

#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/settings.h"
#include "cli/terminal/terminal.h"
#include "model/names.h"

namespace berth {
namespace {

struct FormOptions {
  std::string name, os_type = "Linux", dns_label, allocation;
  DockerCreateOptions create;
};

/// Options of the classic client that ask for what a Docker host of ours has not, or has of its own.
struct ForeignOption {
  const char* names;
  const char* value;
  const char* reason;
};
constexpr ForeignOption foreign_options[] = {
    {"-D,--nic-id", "<id>", "a host has an interface of its own; name it with --nic-name."},
    {"-I,--nic-ids", "<ids>", "a host has one interface, of its own."},
    {"-N,--nic-names", "<names>", "a host has one interface, of its own."},
    {"-U,--public-ip-id", "<id>", "the server's certificate is for an address of the host's own."},
    {"-t,--public-ip-idletimeout", "<minutes>", "connections of Docker may be silent for long."},
    {"-r,--availset-name", "<name>", "a host is one machine."},
    {"-o,--storage-account-name", "<name>", "disks are managed ones, which are in no account."},
    {"-R,--storage-account-container-name", "<name>", "disks are managed ones, which are in no account."},
    {"-d,--os-disk-vhd", "<url>", "the disk is made of the image."},
    {"-a,--data-disk-caching", "<kind>", "a host is made without data disks."},
    {"-x,--data-disk-vhd", "<url>", "a host is made without data disks."},
    {"-e,--data-disk-size", "<gb>", "a host is made without data disks."},
    {"-E,--docker-extension-version", "<version>", "the extension of the region is taken."},
};

/// What the form says in words of its own.
void translate(FormOptions& form) {
  DockerCreateOptions& create = form.create;
  const auto refuse = [](const std::string& what, const std::string& advice) {
    throw Error(ErrorKind::invalid, "InvalidParameter", what, advice);
  };
  if (!same_name(form.os_type, "Linux"))
    refuse("--os-type can be Linux alone: Docker's engine runs there", "-y Linux");
  if (!form.allocation.empty() && !same_name(form.allocation, "Static") &&
      !same_name(form.allocation, "Dynamic"))
    refuse("--public-ip-allocationmethod is Static or Dynamic", "A host keeps its address either way.");
  const std::pair<const char*, const std::string*> needed[] = {
      {"--name", &form.name}, {"--resource-group", &create.group}, {"--admin-username", &create.user}};
  for (const auto& [name, value] : needed)
    if (value->empty())
      refuse(std::string("missing required option `") + name + "'",
             "azure vm docker create -g GROUP -n NAME -l LOCATION -y Linux -Q URN -u USER -p PASSWORD");
  create.vm_name = form.name;
  create.dns_name = form.dns_label.empty() ? form.name : form.dns_label;
  create.ssh = "22";  // nothing closes it in that form
  if (create.password.empty() && create.password_file.empty() &&
      (!create.ssh_cert.empty() || create.generate_ssh_keys))
    create.no_ssh_password = true;
}

}  // namespace

bool is_resource_manager_form(const Session& session) {
  for (int i = 1; i < session.argc; ++i) {
    const std::string_view word = session.argv[i];
    if (word == "--") return false;
    if (word == "-Q" || word == "--image-urn" || word.starts_with("--image-urn=")) return true;
  }
  return false;
}

void declare_resource_manager_form(CommandLine& app, Session& session) {
  auto form = std::make_shared<FormOptions>();
  DockerCreateOptions& create = form->create;
  const auto text = [&app](const char* names, std::string& value, const char* type, const char* description) {
    app.add_option(names, value, description)->type_name(type);
  };
  text("-g,--resource-group", create.group, "<group>", "Resource group; made if it is not there");
  text("-n,--name", form->name, "<name>", "Name of the virtual machine");
  text("-l,--location", create.location, "<location>", "Location [West US]");
  text("-y,--os-type", form->os_type, "<type>", "Linux");
  text("-Q,--image-urn", create.image, "<urn>",
       "PUBLISHER:OFFER:SKU:VERSION, or an image of 'azure vm image list'");
  text("-u,--admin-username", create.user, "<name>", "The administrator's name");
  app.add_option(
         "-p,--admin-password",
         [form, &session](const std::string& password) {
           form->create.password = Secret(password);
           wipe_argument(session.argc, session.argv, password);
         },
         "The administrator's password; asked for when it is not given")
      ->type_name("<password>");
  text("--password-file", create.password_file, "<file>", "File with the password; - for standard input");
  text("-M,--ssh-publickey-file", create.ssh_cert, "<file>",
       "Public key (OpenSSH) or certificate (PEM) to sign in with");
  app.add_flag("-G,--generate-ssh-keys", create.generate_ssh_keys, "Make a key pair to sign in with");
  text("-z,--vm-size", create.vm_size, "<size>", "Size of the virtual machine [Standard_B2s]");
  text("-w,--public-ip-domain-name", form->dns_label, "<name>", "DNS name of the host [its name]");
  text("-i,--public-ip-name", create.names.address, "<name>", "Name of its public address [NAME-ip]");
  text("-m,--public-ip-allocationmethod", form->allocation, "<kind>",
       "Static or Dynamic; it keeps its address either way");
  text("-f,--nic-name", create.names.interface, "<name>", "Name of its interface [NAME-nic]");
  text("-F,--vnet-name", create.names.network, "<name>",
       "Virtual network, made if it is not in the group [NAME-vnet]");
  text("-P,--vnet-address-prefix", create.network_prefix, "<cidr>", "Of a new network [172.16.0.0/16]");
  text("-j,--vnet-subnet-name", create.subnet, "<name>", "Subnet of that network [default]");
  text("-k,--vnet-subnet-address-prefix", create.subnet_prefix, "<cidr>", "Of a new subnet [172.16.0.0/24]");
  text("-T,--docker-port", create.docker_port, "<port>", "Port to use for docker [4243]");
  text("-O,--docker-cert-dir", create.cert_dir, "<dir>", "Directory containing docker certs [~/.docker]");
  text("-c,--docker-cert-cn", create.cert_cn, "<name>",
       "Common name of the host's certificate [its DNS name]");
  text("-C,--custom-data", create.custom_data, "<file>", "File given to the virtual machine, below 64 KB");
  text("-s,--subscription", create.subscription, "<id>", "Subscription to use");
  text("--allow-from", create.allow_from, "<addresses>",
       "On Azure: who reaches its ports, addresses and blocks with commas between, or * [you alone]");
  app.add_flag("--yes", create.yes, "On Azure: do not ask about what costs money");
  text("--context", create.context, "<name>", "Name of the docker context [its DNS name]");
  app.add_flag("--no-context", create.no_context, "Write no docker context");
  app.add_flag("--use", create.use, "Make the docker context the current one");
  text("--template", create.template_file, "<file>", "Write the deployment there and make nothing");
  text("--timeout", create.timeout, "<seconds>", "How long it may take [3600]");
  for (const ForeignOption& option : foreign_options) {
    const std::string_view names = option.names;
    const std::string name(names.substr(names.find("--")));
    app.add_option(
           option.names,
           [form, name, reason = option.reason](const std::string&) {
             form->create.unsupported.emplace_back(name, reason);
           },
           "(not here)")
        ->type_name(option.value);
  }
  app.add_flag(
      "-Y,--data-disk-existing",
      [form] {
        form->create.unsupported.emplace_back("--data-disk-existing", "a host is made without data disks.");
      },
      "(not here)");
  app.callback([form, &session] {
    if (form->create.location.empty()) form->create.location = setting("location");
    if (form->create.vm_size.empty()) form->create.vm_size = setting("vm-size");
    translate(*form);
    create_docker_host(session, form->create);
  });
}

}  // namespace berth
