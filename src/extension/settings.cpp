#include "extension/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "extension/compose_file.h"
#include "handler/settings_reader.h"

namespace berth::extension {
namespace {

using nlohmann::json;

/// One setting that has a name in each schema. Both may be there if they say the same.
template <class Value>
std::optional<Value> either(std::optional<Value> first, const std::string& first_name,
                            std::optional<Value> second, const std::string& second_name) {
  if (first && second && !(*first == *second))
    throw_bad(fmt::format("{} and {} are both set and differ.", first_name, second_name),
              "Keep one of them; they are two names of the same setting.");
  return first ? std::move(first) : std::move(second);
}

std::optional<std::uint16_t> port(Section& section, const std::string& key) {
  const json* value = section.find(key);
  if (!value) return std::nullopt;
  std::string text;
  if (value->is_string())
    text = value->get<std::string>();
  else if (value->is_number_integer())
    text = value->dump();
  else
    throw_bad(fmt::format("{} is neither a number nor a string.", section.path(key)));
  if (text.empty()) return std::nullopt;
  std::uint16_t number = 0;
  const auto [end, trouble] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (trouble != std::errc() || end != text.data() + text.size() || number == 0)
    throw_bad(fmt::format("{} is '{}', which is not a port from 1 to 65535.", section.path(key),
                          text.substr(0, 40)));
  return number;
}

/// PEM itself, or base64 of it.
std::optional<Secret> pem(Section& section, const std::string& key) {
  auto text = section.text(key);
  if (!text || text->empty()) return std::nullopt;
  constexpr std::string_view mark = "-----BEGIN ";
  if (text->find(mark) == std::string::npos) {
    auto decoded = base64_decode(*text);
    if (!decoded || decoded->find(mark) == std::string::npos)
      throw_bad(fmt::format("{} is neither PEM nor base64 of PEM.", section.path(key)));
    text = std::move(decoded);
  }
  if (!text->ends_with('\n')) *text += '\n';
  return Secret(std::move(*text));
}

/// Secrets, and what belongs beside them, must come encrypted: public settings are stored and shown in clear.
void refuse_secrets_in_public(const json& settings) {
  for (const char* key : {"certs", "ca", "server-cert", "server-key", "login", "environment"})
    if (settings.contains(key) && !settings[key].is_null())
      throw_bad(fmt::format("'{}' stands in the public settings, which are stored and shown in clear.", key),
                "Move it to the protected settings; replace the key or password, it is no longer secret.");
  for (const auto& [key, value] : settings.items())
    if (key != "compose" && key != "compose-file" && key != "composeup" &&
        value.dump(-1, ' ', false, json::error_handler_t::replace).find("PRIVATE KEY-----") !=
            std::string::npos)
      throw_bad(fmt::format("'{}' in the public settings holds a private key.", key.substr(0, 60)),
                "Move it to the protected settings; replace the key, it is no longer secret.");
}

template <class Choice>
Choice choose(Section& section, const std::string& key, Choice otherwise,
              std::initializer_list<std::pair<std::string_view, Choice>> choices) {
  const auto text = section.text(key);
  if (!text || text->empty()) return otherwise;
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (*text == name) return choice;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw_bad(fmt::format("{} is '{}'; it can be {}.", section.path(key), text->substr(0, 60), names));
}

void read_docker(Section& section, Settings& settings) {
  settings.options = section.lines("options");
  settings.address = section.line("address").value_or(settings.address);
  settings.allow_plain_tcp = section.flag("allowPlainTcp").value_or(false);
  settings.channel = choose(section, "channel", Channel::distro,
                            {{"distro", Channel::distro},
                             {"docker-ce", Channel::docker_ce},
                             {"static", Channel::archive},
                             {"none", Channel::none}});
  settings.version = section.line("version").value_or("");
  settings.repository = section.line("repository").value_or("");
  settings.repository_key = section.text("repositoryKey").value_or("");
  settings.archive_url = section.line("archiveUrl").value_or("");
  settings.archive_sha256 = section.line("archiveSha256").value_or("");
  settings.live_restore = section.flag("liveRestore");
  settings.hardening = choose(section, "hardening", Hardening::standard,
                              {{"default", Hardening::standard}, {"cis", Hardening::cis}});
}

RegistryLogin read_login(Section section) {
  RegistryLogin login;
  login.server = section.line("server").value_or("");
  login.user = section.line("username").value_or("");
  login.password = Secret(section.text("password").value_or(""));
  section.find("email");  // docker login no longer takes one
  if (login.user.empty() || login.password.empty())
    throw_bad("login has no username or no password.", "Give both, or leave login out.");
  if (login.server.starts_with("-") || login.user.starts_with("-"))
    throw_bad("login.server or login.username starts with '-'.");
  return login;
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1" || address == "[::1]" || address == "localhost";
}

void check_whole(Settings& settings) {
  const auto is_address_character = [](char c) {
    return std::isxdigit(static_cast<unsigned char>(c)) || c == '.' || c == ':' || c == '[' || c == ']';
  };
  if (settings.address.empty() ||
      (settings.address != "localhost" &&
       !std::all_of(settings.address.begin(), settings.address.end(), is_address_character)))
    throw_bad(fmt::format("docker.address is '{}', which is not an IP address.", settings.address));
  const int parts = !settings.ca.empty() + !settings.certificate.empty() + !settings.key.empty();
  if (parts != 0 && parts != 3)
    throw_bad(fmt::format("Of the CA, the server certificate and the server key, {} given.",
                          settings.ca.empty()            ? "the CA is not"
                          : settings.certificate.empty() ? "the certificate is not"
                                                         : "the key is not"),
              "Give all three in the protected settings: certs.ca, certs.cert and certs.key.");
  if (settings.port && parts == 0) {
    if (!settings.allow_plain_tcp)
      throw_bad(
          fmt::format(
              "Port {} is asked for without certificates; whoever reached it would be root on this machine.",
              *settings.port),
          "Give certs.ca, certs.cert and certs.key in the protected settings, or leave docker.port out.");
    if (!is_loopback(settings.address))
      throw_bad(fmt::format("Plain TCP is allowed on a loopback address only, not on {}.", settings.address),
                "Set docker.address to 127.0.0.1, or give certificates.");
  }
  if (!settings.port && parts == 3)
    settings.warnings.push_back("Certificates are given, but no port: the engine stays on its unix socket.");
  if (settings.channel == Channel::docker_ce &&
      settings.repository.empty() != settings.repository_key.empty())
    throw_bad("docker.repository and docker.repositoryKey go together; one of them is missing.");
  if (settings.channel == Channel::archive &&
      (settings.archive_url.empty() || settings.archive_sha256.size() != 64))
    throw_bad("Channel static needs docker.archiveUrl and docker.archiveSha256 (64 hexadecimal digits).");
}

}  // namespace

Settings parse_settings(std::string_view public_text, const Secret& protected_text) {
  const json public_document = parse_object(public_text, "public settings");
  const SecretDocument protected_document{parse_object(protected_text.reveal(), "protected settings")};
  refuse_secrets_in_public(public_document);

  Section open(&public_document, "");
  Section closed(&protected_document.value, "");
  Section docker = open.section("docker");
  Section certs = closed.section("certs");
  Settings settings;

  read_docker(docker, settings);
  settings.port = either(port(docker, "port"), "docker.port", port(open, "dockerport"), "dockerport");
  const auto text_of = [](const std::optional<Secret>& pem) { return pem ? pem->reveal() : std::string(); };
  settings.ca = text_of(either(pem(certs, "ca"), "certs.ca", pem(closed, "ca"), "ca"));
  settings.certificate =
      text_of(either(pem(certs, "cert"), "certs.cert", pem(closed, "server-cert"), "server-cert"));
  settings.key =
      either(pem(certs, "key"), "certs.key", pem(closed, "server-key"), "server-key").value_or(Secret());

  const json* compose = open.object("compose");
  const json* classic_compose = open.object("composeup");
  const auto compose_text = open.text("compose-file");
  if (compose && classic_compose && *compose != *classic_compose)
    throw_bad("compose and composeup are both set and differ.",
              "Keep one of them; they are two names of the same setting.");
  if (!compose) compose = classic_compose;
  if (compose && compose_text && !compose_text->empty())
    throw_bad("compose and compose-file are both set.", "Keep one of them.");
  if (compose && !compose->empty()) settings.compose = compose_yaml(*compose);
  if (compose_text) settings.compose = *compose_text;
  settings.compose_environment = open.texts("compose-environment");
  for (auto& [name, value] : closed.texts("environment"))
    settings.secret_environment.emplace(name, Secret(std::move(value)));
  if (closed.object("login")) {
    Section login = closed.section("login");
    settings.login = read_login(login);
  }

  settings.install_only = open.flag("installonly").value_or(false);
  settings.add_user_to_docker_group = open.flag("addUserToDockerGroup").value_or(true);
  settings.disable_stops_engine = open.flag("disableStopsEngine").value_or(false);
  settings.remove_engine_on_uninstall = open.flag("removeEngineOnUninstall").value_or(false);
  const std::string cloud = open.text("azure-environment").value_or("");
  if (!cloud.empty() && cloud != "AzureCloud" && cloud != "AzureChinaCloud")
    throw_bad(fmt::format("invalid environment name: {}", cloud.substr(0, 60)),
              "azure-environment can be AzureCloud or AzureChinaCloud.");

  for (const char* key : {"certs", "ca", "server-cert", "server-key", "login", "environment"}) open.find(key);
  for (const Section* section : {&open, &docker})
    for (const std::string& key : section->unknown())
      settings.warnings.push_back(fmt::format("The setting {} is not known and has no effect.", key));
  for (const Section* section : {&closed, &certs})
    for (const std::string& key : section->unknown())
      settings.warnings.push_back(
          fmt::format("The protected setting {} is not known and has no effect.", key));
  check_whole(settings);
  return settings;
}

}  // namespace berth::extension
