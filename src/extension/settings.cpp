#include "extension/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "extension/compose_file.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using nlohmann::json;

constexpr std::size_t largest_text = 4 * 1024 * 1024;

[[noreturn]] void throw_bad(const std::string& happened, const std::string& advice = {}) {
  throw Error(ErrorKind::invalid, "BadSettings", happened, advice);
}

/// JSON depth is checked before parsing: a document of ten million brackets must cost nothing.
void check_depth(std::string_view text, std::string_view what) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > 100) throw_bad(fmt::format("The {} are nested deeper than 100 levels.", what));
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

json parse_object(std::string_view text, std::string_view what) {
  if (text.size() > largest_text)
    throw_bad(fmt::format("The {} are {} bytes; at most {} are read.", what, text.size(), largest_text));
  if (text.find_first_not_of(std::string_view(" \t\r\n\0", 5)) == std::string_view::npos)
    return json::object();
  check_depth(text, what);
  // The parser's own message is not shown: it quotes the text, which may be secret.
  json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) throw_bad(fmt::format("The {} are not valid JSON in UTF-8.", what));
  if (document.is_null()) return json::object();
  if (!document.is_object()) throw_bad(fmt::format("The {} are not a JSON object.", what));
  return document;
}

void wipe(json& value) {
  if (value.is_string()) {
    volatile char* byte = value.get_ref<std::string&>().data();
    for (std::size_t i = 0; i < value.get_ref<std::string&>().size(); ++i) byte[i] = 0;
  } else if (value.is_structured()) {
    for (json& inner : value) wipe(inner);
  }
}

/// A parsed document that may hold secrets; wiped when it goes.
struct SecretDocument {
  json value;
  ~SecretDocument() { wipe(value); }
};

/// One object of the settings; remembers which of its keys were asked for.
class Section {
 public:
  Section(const json* object, std::string name) : object_(object), name_(std::move(name)) {}

  std::string path(const std::string& key) const { return name_.empty() ? key : name_ + "." + key; }

  const json* find(const std::string& key) {
    known_.insert(key);
    if (!object_) return nullptr;
    const auto found = object_->find(key);
    return found == object_->end() || found->is_null() ? nullptr : &*found;
  }

  std::optional<std::string> text(const std::string& key) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (!value->is_string()) throw_type(key, "a string");
    std::string result = value->get<std::string>();
    if (result.find('\0') != std::string::npos)
      throw_bad(fmt::format("{} holds a NUL character.", path(key)));
    return result;
  }

  /// One line without control characters: what goes into unit files and argument vectors.
  std::optional<std::string> line(const std::string& key) {
    auto result = text(key);
    if (result) check_line(*result, path(key));
    return result;
  }

  std::optional<bool> flag(const std::string& key) {
    const json* value = find(key);
    if (!value) return std::nullopt;
    if (value->is_boolean()) return value->get<bool>();
    if (value->is_string() && (*value == "true" || *value == "True")) return true;
    if (value->is_string() && (*value == "false" || *value == "False" || *value == "")) return false;
    throw_type(key, "true or false");
  }

  std::vector<std::string> lines(const std::string& key) {
    const json* value = find(key);
    if (!value) return {};
    if (!value->is_array()) throw_type(key, "an array of strings");
    std::vector<std::string> result;
    for (const json& item : *value) {
      if (!item.is_string()) throw_type(key, "an array of strings");
      result.push_back(item.get<std::string>());
      check_line(result.back(), path(key));
    }
    return result;
  }

  std::map<std::string, std::string> texts(const std::string& key) {
    std::map<std::string, std::string> result;
    const json* value = object(key);
    if (!value) return result;
    for (const auto& [name, inner] : value->items()) {
      if (!inner.is_string())
        throw_bad(fmt::format("{} is not a string.", path(key) + "." + printable_key(name)));
      if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos ||
          inner.get_ref<const std::string&>().find('\0') != std::string::npos)
        throw_bad(fmt::format("{} holds a name or value that no environment can carry.", path(key)));
      result[name] = inner.get<std::string>();
    }
    return result;
  }

  const json* object(const std::string& key) {
    const json* value = find(key);
    if (value && !value->is_object()) throw_type(key, "an object");
    return value;
  }

  Section section(const std::string& key) { return Section(object(key), path(key)); }

  std::vector<std::string> unknown() const {
    std::vector<std::string> result;
    if (object_)
      for (const auto& [key, value] : object_->items())
        if (!known_.contains(key)) result.push_back(path(printable_key(key)));
    return result;
  }

 private:
  [[noreturn]] void throw_type(const std::string& key, std::string_view wanted) const {
    throw_bad(fmt::format("{} is not {}.", path(key), wanted));
  }

  static void check_line(const std::string& text, const std::string& where) {
    if (std::any_of(text.begin(), text.end(),
                    [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }))
      throw_bad(fmt::format("{} holds a control character.", where));
  }

  static std::string printable_key(const std::string& key) { return key.substr(0, 60); }

  const json* object_;
  std::string name_;
  std::set<std::string> known_;
};

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

Envelope parse_envelope(std::string_view text) {
  const json document = parse_object(text, "handler settings");
  Envelope envelope;
  if (document.empty()) return envelope;
  const auto list = document.find("runtimeSettings");
  if (list == document.end() || !list->is_array() || list->size() != 1 || !(*list)[0].is_object())
    throw_bad("The handler settings do not hold exactly one runtimeSettings object.");
  Section outer(&(*list)[0], "");
  Section inner = outer.section("handlerSettings");
  if (const json* settings = inner.object("publicSettings")) envelope.public_settings = settings->dump();
  envelope.protected_settings = inner.text("protectedSettings").value_or("");
  envelope.thumbprint = inner.text("protectedSettingsCertThumbprint").value_or("");
  std::transform(envelope.thumbprint.begin(), envelope.thumbprint.end(), envelope.thumbprint.begin(),
                 [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
  const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  if (!envelope.protected_settings.empty() &&
      (envelope.thumbprint.size() != 40 ||
       !std::all_of(envelope.thumbprint.begin(), envelope.thumbprint.end(), is_hex)))
    throw_bad(
        "The protected settings come without the thumbprint (40 hexadecimal digits) of their certificate.");
  return envelope;
}

Secret open_protected(const Envelope& envelope, const std::filesystem::path& library) {
  if (envelope.protected_settings.empty()) return Secret("{}");
  const auto der = base64_decode(envelope.protected_settings);
  if (!der) throw_bad("The protected settings are not base64.");
  const auto certificate_file = library / (envelope.thumbprint + ".crt");
  const auto key_file = library / (envelope.thumbprint + ".prv");
  const auto certificate = read_file_if_there(certificate_file);
  const auto key = read_file_if_there(key_file);
  if (!certificate || !key)
    throw_bad(fmt::format("The protected settings are for certificate {}, and {} is not there.",
                          envelope.thumbprint, (certificate ? key_file : certificate_file).string()),
              "Send the settings again: the platform then encrypts them for this machine.");
  return cms_decrypt(*der, Certificate::parse_pem(*certificate, certificate_file.string()),
                     PrivateKey::parse_pem(Secret(*key), key_file.string()));
}

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
