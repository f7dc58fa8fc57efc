#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/certificates.h"
#include "cli/docker/check.h"
#include "cli/docker/context.h"
#include "cli/docker/engine.h"
#include "cli/session.h"
#include "cli/settings.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/ssh.h"
#include "crypto/certificate.h"
#include "crypto/sealed.h"
#include "host/files.h"
#include "model/names.h"

/// `azure vm docker export|import`: a host in one encrypted file, for another account or tool.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr std::size_t largest_file = 1 << 20, shortest_passphrase = 8;
constexpr const char* passphrase_advice = "Give it with --passphrase-file FILE (or - for standard input).";

struct HandOverOptions {
  DockerHostOptions host;
  std::string file, passphrase_file, identity_folder, context;
};

Secret passphrase_for(const HandOverOptions& options, bool is_new) {
  if (!options.passphrase_file.empty()) return read_password(options.passphrase_file);
  Secret passphrase = prompt_secret(
      is_new ? fmt::format("Passphrase for {} ({} characters or more): ", options.file, shortest_passphrase)
             : fmt::format("Passphrase of {}: ", options.file),
      passphrase_advice);
  if (is_new && !(prompt_secret("Again: ", passphrase_advice) == passphrase))
    throw Error(ErrorKind::invalid, "InvalidParameter", "The passphrases do not match.");
  return passphrase;
}

std::string read_certificate_file(const fs::path& folder, const char* name) {
  return read_file(folder / name, 1 << 20);
}

void export_host(Session& session, const HandOverOptions& options) {
  const HostView host = get_docker_host(session, options.host);
  const EngineAddress where = engine_address(host, options.host.cert_dir);
  std::error_code none;
  if (fs::exists(options.file, none))
    throw Error(ErrorKind::conflict, "FileExists", fmt::format("{} exists already.", options.file),
                "Name another file.");
  const fs::path certificates =
      options.identity_folder.empty() ? where.certificates : fs::absolute(options.identity_folder);
  ordered_json document = {{"berthHost", 1},
                           {"name", host.tag()},
                           {"region", session.subscription()},
                           {"dockerHost", docker_url(host)},
                           {"serverName", where.name},
                           {"address", where.address},
                           {"port", where.port},
                           {"ca", read_certificate_file(certificates, "ca.pem")},
                           {"cert", read_certificate_file(certificates, "cert.pem")},
                           {"key", read_certificate_file(certificates, "key.pem")}};
  const Secret passphrase = passphrase_for(options, true);
  if (passphrase.reveal().size() < shortest_passphrase)
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("The passphrase has less than {} characters.", shortest_passphrase));
  create_file(options.file, seal(Secret(document.dump()), passphrase));
  if (session.out.json_mode()) return session.out.json({{"name", host.name}, {"file", options.file}});
  session.out.info(fmt::format("{} is in {}, readable with the passphrase alone", host.name, options.file));
  if (options.identity_folder.empty())
    session.out.warn(
        "It holds your own client certificate, which every host of yours accepts. To hand over this host "
        "alone: "
        "azure vm docker certs issue, then export with --identity FOLDER.");
  session.out.help(fmt::format("azure vm docker import {}", shell_quoted(options.file)));
}

/// Everything in the file was written by someone else.
json checked(const Secret& opened, const std::string& file) {
  json document = json::parse(opened.reveal(), nullptr, false);
  const auto refuse = [&](const char* why) {
    throw Error(ErrorKind::invalid, "ExportInvalid", fmt::format("{} {}", file, why),
                "Ask for a new one: azure vm docker export");
  };
  if (!document.is_object() || text(document, {"name"}).empty()) refuse("holds no host.");
  if (document.value("berthHost", json()) != 1) refuse("was made by a newer version.");
  if (!is_dns_label("a" + text(document, {"name"}))) refuse("names a host that cannot be.");
  if (!text(document, {"dockerHost"}).starts_with("tcp://")) refuse("names no engine.");
  Certificate::parse_bundle(text(document, {"ca"}), "The authority in " + file);
  const Certificate client = Certificate::parse_pem(text(document, {"cert"}), "The certificate in " + file);
  if (!client.matches(PrivateKey::parse_pem(Secret(text(document, {"key"})), "The key in " + file)))
    refuse("has a key that does not belong to its certificate.");
  return document;
}

void import_host(Session& session, const HandOverOptions& options) {
  const std::string sealed = read_file(options.file, largest_file);
  const json document = checked(unseal(sealed, passphrase_for(options, false), options.file), options.file);
  const std::string name = text(document, {"name"}), endpoint = text(document, {"dockerHost"});
  const std::string wanted = options.context.empty() ? name : options.context;
  if (const auto problem = context_name_problem(wanted))
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("'{}' cannot name a docker context: {}", wanted, *problem),
                "Choose one with --context.");
  const fs::path folder = config_folder() / "hosts" / name;
  make_folder(folder);
  for (const char* key : {"ca", "cert", "key"})
    write_file(folder / (std::string(key) + ".pem"), text(document, {key}),
               std::string_view(key) == "key" ? 0600 : 0644);
  const DockerContexts::Written written = DockerContexts(docker_config_folder())
                                              .write({.name = wanted,
                                                      .host = name,
                                                      .region = text(document, {"region"}),
                                                      .region_home = {},
                                                      .endpoint = endpoint,
                                                      .certificates = folder});
  if (session.out.json_mode())
    return session.out.json({{"name", name},
                             {"dockerHost", endpoint},
                             {"context", written.name},
                             {"dockerCertPath", folder.string()}});
  session.out.info(fmt::format("Docker context '{}' {}; certificates are in {}", written.name,
                               written.replaced ? "renewed" : "written", folder.string()));
  session.out.help(fmt::format("docker --context {} info", written.name));
}

void vm_docker_export(CommandLine& app, Session& session) {
  auto options = std::make_shared<HandOverOptions>();
  add_docker_host_options(app, options->host);
  app.add_option("file", options->file, "New file")->required();
  app.add_option("--identity", options->identity_folder,
                 "Folder of 'certs issue', to hand over in place of your own certificate")
      ->type_name("<dir>");
  app.add_option("--passphrase-file", options->passphrase_file,
                 "File with the passphrase; - for standard input")
      ->type_name("<file>");
  app.callback([options, &session] { export_host(session, *options); });
}

void vm_docker_import(CommandLine& app, Session& session) {
  auto options = std::make_shared<HandOverOptions>();
  app.add_option("file", options->file, "File of 'azure vm docker export'")->required();
  app.add_option("--context", options->context, "Name of the docker context [that of the host]")
      ->type_name("<name>");
  app.add_option("--passphrase-file", options->passphrase_file,
                 "File with the passphrase; - for standard input")
      ->type_name("<file>");
  app.callback([options, &session] { import_host(session, *options); });
}

constexpr Command hand_over_table[] = {
    {"vm docker export", "Put the access to a host into one encrypted file", &vm_docker_export},
    {"vm docker import", "Take a host out of such a file: certificates and a docker context",
     &vm_docker_import},
};

}  // namespace

std::span<const Command> hand_over_commands() {
  return hand_over_table;
}

}  // namespace berth
