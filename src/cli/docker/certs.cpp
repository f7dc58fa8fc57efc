#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/certificates.h"
#include "cli/docker/context.h"
#include "cli/docker/engine.h"
#include "cli/docker/host_template.h"
#include "cli/docker/identities.h"
#include "cli/extension/view.h"
#include "cli/session.h"
#include "cli/terminal/phases.h"
#include "crypto/tls_probe.h"
#include "host/files.h"

/// `azure vm docker certs show|rotate|issue|revoke`.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

constexpr auto apply_limit = 900s;
constexpr auto answer_limit = 90s;
constexpr std::chrono::days identity_lifetime{90};

struct CertsOptions {
  DockerHostOptions host;
  std::string person, output;
  unsigned days = identity_lifetime.count();
  bool client = false;
};

std::string day(CertificateTime time) {
  return fmt::format("{:%Y-%m-%d}", time);
}

// --- show

struct Shown {
  std::string what, subject, until, note;
};

Shown shown_file(const std::string& what, const fs::path& file) {
  const auto pem = read_file_if_there(file);
  if (!pem) return {what, "", "", file.string() + " is not there"};
  const Certificate certificate = Certificate::parse_pem(*pem, file.string());
  return {what, certificate.subject(), day(certificate.not_after()), file.string()};
}

void show_certs(Session& session, const CertsOptions& options) {
  const HostView host = get_docker_host(session, options.host);
  const fs::path folder = certificate_folder(options.host.cert_dir);
  std::vector<Shown> all{shown_file("authority", folder / "ca.pem"),
                         shown_file("client", folder / "cert.pem")};
  try {
    const EngineAddress where = engine_address(host, options.host.cert_dir);
    const TlsProbe probe = probe_tls(where.address, where.port, std::nullopt, 2s);
    if (probe.leaf)
      all.push_back({"server", probe.leaf->subject(), day(probe.leaf->not_after()), docker_url(host)});
    else
      all.push_back({"server", "", server_certificate_end(host), "does not answer: " + probe.trouble});
  } catch (const Error& error) {
    all.push_back({"server", "", server_certificate_end(host), error.what()});
  }
  const auto people = Identities(session.subscription(), host.tag()).list();
  if (session.out.json_mode()) {
    ordered_json document = {{"name", host.name}};
    for (const Shown& one : all)
      document[one.what] = {{"subject", one.subject}, {"until", one.until}, {"note", one.note}};
    document["identities"] = ordered_json::array();
    for (const auto& person : people)
      document["identities"].push_back({{"name", person.name}, {"until", day(person.not_after)}});
    return session.out.json(document);
  }
  std::vector<std::vector<std::string>> rows;
  for (const Shown& one : all) rows.push_back({one.what, one.subject, one.until, one.note});
  for (const auto& person : people)
    rows.push_back({"identity", person.name, day(person.not_after),
                    fmt::format("azure vm docker certs revoke {} {}", host.name, person.name)});
  session.out.table({"Certificate", "Of", "Until", ""}, rows);
}

// --- what is applied

/// Gives the host a new server certificate, and tells it whom to accept: the owner's authority and those of the people. The extension puts
/// them in place; containers go on.
void apply(Session& session, const HostView& host, const DockerCertificates& owner, const Identities& people,
           const std::string& doing) {
  const ServerCertificate server = owner.issue_for_host({.host = host.tag(),
                                                         .vm_name = host.name,
                                                         .fqdn = host.public_address.fqdn,
                                                         .address = host.public_address.address,
                                                         .common_name = {}});
  std::string authorities = owner.authority_pem();
  if (!authorities.ends_with('\n')) authorities += '\n';
  const HostView::Extension* extension = host.docker_extension();
  const std::string path = extension_path(host, extension->name);
  const json before = session.arm().get(path);
  const json body = {{"location", host.location},
                     {"properties",
                      {{"publisher", text(before, {"properties", "publisher"})},
                       {"type", text(before, {"properties", "type"})},
                       {"typeHandlerVersion", text(before, {"properties", "typeHandlerVersion"})},
                       {"settings", at(before, {"properties", "settings"})},
                       {"protectedSettings", docker_certificates_value(authorities + people.bundle(),
                                                                       server.certificate, server.key)}}}};
  session.await(session.arm().patch(path, body), path, doing, apply_limit);
}

/// The engine answers the owner as before.
void meet_owner(Session& session, const HostView& host, const fs::path& certificates) {
  PhaseDisplay phases(session.out);
  phases.begin("Calling Docker over TLS");
  const EngineAddress where =
      engine_address(get_host(session.arm(), host.name, host.group), certificates.string());
  ask_docker(where.name, where.address, where.port, certificates, answer_limit, [&phases] { phases.tick(); });
  phases.end();
}

HostView running_host(Session& session, const CertsOptions& options) {
  HostView host = get_docker_host(session, options.host);
  if (!host.docker_extension())
    throw Error(
        ErrorKind::conflict, "NotSupported",
        fmt::format(
            "The certificates of {} are changed by the Docker extension, which it has not: cloud-init "
            "made it.",
            host.name),
        "Put new files into /etc/docker of the machine and restart its engine, or make the host anew.");
  engine_address(host, options.host.cert_dir);  // refuses one that does not run
  return host;
}

// --- rotate

/// The old pair stays beside it until the new one is there.
void renew_client(Session& session, const fs::path& folder, const HostView& host) {
  const std::string stamp = fmt::format(
      "{:%Y%m%d%H%M%S}", std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()));
  for (const char* name : {"key.pem", "cert.pem"})
    fs::rename(folder / name, folder / fmt::format("{}.{}.old", name, stamp));
  DockerCertificates::load_or_make(folder);
  session.out.info(
      fmt::format("New client certificate in {}; the old one is beside it, and is accepted until it expires",
                  folder.string()));
  for (const std::string& context :
       DockerContexts(docker_config_folder()).renew(host.tag(), session.subscription(), folder))
    session.out.info(fmt::format("Docker context '{}' has it, too", context));
}

void rotate_certs(Session& session, const CertsOptions& options) {
  const fs::path folder = certificate_folder(options.host.cert_dir);
  const HostView host = running_host(session, options);
  const DockerCertificates owner = DockerCertificates::load_or_make(folder);
  if (options.client) renew_client(session, folder, host);
  apply(session, host, owner, Identities(session.subscription(), host.tag()),
        fmt::format("Renewing the certificate of {}", host.name));
  meet_owner(session, host, folder);
  if (session.out.json_mode())
    return session.out.json({{"name", host.name}, {"rotated", true}, {"client", options.client}});
  session.out.info(fmt::format("{} has a new certificate; its containers went on", host.name));
}

// --- issue, revoke

void issue_identity(Session& session, const CertsOptions& options) {
  if (options.days < 1 || options.days > 825)
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("--days must be between 1 and 825, not {}", options.days));
  const fs::path folder = certificate_folder(options.host.cert_dir);
  const HostView host = running_host(session, options);
  const DockerCertificates owner = DockerCertificates::load_or_make(folder);
  const Identities people(session.subscription(), host.tag());
  const fs::path target =
      fs::absolute(options.output.empty() ? options.person + "-" + host.tag() : options.output);
  std::error_code none;
  if (fs::exists(target, none))
    throw Error(ErrorKind::conflict, "FileExists", fmt::format("{} exists already.", target.string()),
                "Name another folder with --output.");
  const Identities::Issued issued = people.issue(options.person, std::chrono::days(options.days));
  try {
    make_folder(target);
    create_file(target / "ca.pem", owner.authority_pem(), 0644);
    create_file(target / "cert.pem", issued.certificate, 0644);
    create_file(target / "key.pem", issued.key.reveal(), 0600);
    apply(session, host, owner, people, fmt::format("Telling {} of {}", host.name, options.person));
    meet_owner(session, host, target);
  } catch (const Error&) {
    people.remove(options.person);
    fs::remove_all(target, none);
    throw;
  }
  if (session.out.json_mode())
    return session.out.json({{"name", host.name}, {"identity", options.person}, {"folder", target.string()}});
  session.out.info(fmt::format("{} may use {} with the certificate in {} for {} days", options.person,
                               host.name, target.string(), options.days));
  session.out.help(
      fmt::format("DOCKER_CERT_PATH={} docker --tlsverify -H {} info", target.string(), docker_url(host)));
}

void revoke_identity(Session& session, const CertsOptions& options) {
  const fs::path folder = certificate_folder(options.host.cert_dir);
  const HostView host = running_host(session, options);
  const DockerCertificates owner = DockerCertificates::load_or_make(folder);
  const Identities people(session.subscription(), host.tag());
  people.remove(options.person);
  apply(session, host, owner, people, fmt::format("Telling {} to forget {}", host.name, options.person));
  meet_owner(session, host, folder);
  if (session.out.json_mode()) return session.out.json({{"name", host.name}, {"revoked", options.person}});
  session.out.info(fmt::format("{} no longer accepts {}", host.name, options.person));
}

// --- the options

void vm_docker_certs_show(CommandLine& app, Session& session) {
  auto options = std::make_shared<CertsOptions>();
  add_docker_host_options(app, options->host);
  app.callback([options, &session] { show_certs(session, *options); });
}

void vm_docker_certs_rotate(CommandLine& app, Session& session) {
  auto options = std::make_shared<CertsOptions>();
  add_docker_host_options(app, options->host);
  app.add_flag("--client", options->client, "A new client pair for this user, too");
  app.callback([options, &session] { rotate_certs(session, *options); });
}

void vm_docker_certs_issue(CommandLine& app, Session& session) {
  auto options = std::make_shared<CertsOptions>();
  add_docker_host_options(app, options->host);
  app.add_option("person", options->person, "For whom: a name of your choice")->required();
  app.add_option("-o,--output", options->output, "New folder for the three files [./PERSON-NAME]")
      ->type_name("<dir>");
  app.add_option("--days", options->days, "How long it is good [90]")->type_name("<days>");
  app.callback([options, &session] { issue_identity(session, *options); });
}

void vm_docker_certs_revoke(CommandLine& app, Session& session) {
  auto options = std::make_shared<CertsOptions>();
  add_docker_host_options(app, options->host);
  app.add_option("person", options->person, "Whose: the name it was issued for")->required();
  app.callback([options, &session] { revoke_identity(session, *options); });
}

constexpr Command docker_certs_table[] = {
    {"vm docker certs show", "Show the certificates of a host, and who may use it", &vm_docker_certs_show},
    {"vm docker certs rotate", "Give a host a new certificate; its containers go on",
     &vm_docker_certs_rotate},
    {"vm docker certs issue", "Let another person use a host, with a certificate of his own",
     &vm_docker_certs_issue},
    {"vm docker certs revoke", "Take a person's certificate back; the others do not notice",
     &vm_docker_certs_revoke},
};

}  // namespace

std::span<const Command> docker_certs_commands() {
  return docker_certs_table;
}

}  // namespace berth
