#include "scripts/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "crypto/encoding.h"
#include "handler/settings_reader.h"

namespace berth::extension {
namespace {

using nlohmann::json;

constexpr std::size_t largest_script = 256u << 10, most_files = 100;
constexpr std::size_t largest_parameter =
    (128u << 10) - 2;  ///< Linux: "NAME=VALUE" with its end is at most 128 KiB

/// A setting that may stand in either part, never in both. `is_secret` tells where it was found.
template <class Value>
struct Found {
  std::optional<Value> value;
  bool is_secret = false;
};

template <class Value, class Read>
Found<Value> either_part(Section& open, Section& closed, const char* key, Read read) {
  std::optional<Value> shown = read(open, key), hidden = read(closed, key);
  const auto empty = [](const std::optional<Value>& value) { return !value || value->empty(); };
  if (!empty(shown) && !empty(hidden))
    throw_bad(fmt::format(
        "'{}' was specified both in public and protected settings; it must be specified only once.", key));
  if (!empty(hidden)) return {std::move(hidden), true};
  if (empty(shown)) return {};
  return {std::move(shown), false};
}

std::optional<std::string> text_of(Section& section, const char* key) {
  return section.text(key);
}

std::optional<std::vector<std::string>> texts_of(Section& section, const char* key) {
  return section.lines(key);
}

std::string authority_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == url.npos) return {};
  const std::size_t start = scheme + 3;
  return url.substr(start, url.find_first_of("/?#", start) - start);
}

int hexadecimal(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hexadecimal(text[i + 1]) : -1;
    const int low = high >= 0 ? hexadecimal(text[i + 2]) : -1;
    if (low < 0) {
      result += text[i];
      continue;
    }
    result += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return result;
}

void refuse_what_is_not_here(Section& open, Section& closed) {
  for (const char* key : {"storageAccountName", "storageAccountKey"}) {
    const std::string shown = open.text(key).value_or(""), hidden = closed.text(key).value_or("");
    if (!shown.empty() || !hidden.empty())
      throw_bad(
          fmt::format("'{}' is for files in Azure's storage accounts, and this region's hold none.", key),
          "Leave it out, and give fileUris that can be read without it.");
  }
}

/// On Azure it opens blobs that cannot be read without it; here there are none, and the rest needs it as little.
bool read_identity(Section& section) {
  if (!section.object("managedIdentity")) return false;
  Section identity = section.section("managedIdentity");
  const bool by_client = !identity.text("clientId").value_or("").empty();
  if (by_client && !identity.text("objectId").value_or("").empty())
    throw_bad("only one of 'clientId' or 'objectId' must be specified with 'managedIdentity'.");
  return true;
}

std::vector<std::pair<std::string, Secret>> read_parameters(Section& section) {
  std::vector<std::pair<std::string, Secret>> result;
  const json* list = section.find("parameters");
  if (!list) return result;
  if (!list->is_array()) throw_bad("parameters is not an array.");
  for (const json& item : *list) {
    if (!item.is_object()) throw_bad("parameters holds something that is not an object.");
    Section parameter(&item, "parameters[]");
    const std::string name = parameter.line("name").value_or("");
    Secret value(parameter.text("value").value_or(""));
    if (name.size() + value.reveal().size() > largest_parameter)
      throw_bad(fmt::format("The parameter '{}' has {} bytes; a program takes at most {}.",
                            name.substr(0, 100), name.size() + value.reveal().size(), largest_parameter),
                "Have the script fetch it.");
    result.emplace_back(name, std::move(value));
  }
  return result;
}

/// What stands before the host's '@': whole, and what is behind its colon alone, as programs quote it.
std::vector<Secret> credentials_of(const std::string& url) {
  const std::string authority = authority_of(url);
  const std::size_t at = authority.rfind('@');
  if (at == authority.npos) return {};
  const std::string user = authority.substr(0, at);
  return {Secret(user), Secret(user.substr(std::min(user.find(':'), user.size() - 1) + 1))};
}

}  // namespace

std::string host_of(const std::string& url) {
  const std::string authority = authority_of(url);
  std::string host = authority.substr(authority.rfind('@') + 1);  // npos + 1: all of it
  const std::size_t colon = host.rfind(':');
  if (colon == host.npos || host.ends_with(']')) return host;
  // What is no port may be half a password, cut by a slash.
  const bool port = host.find_first_not_of("0123456789", colon + 1) == host.npos;
  return port ? host : host.substr(0, host.find(':'));
}

WantedFile parse_file_uri(const std::string& uri) {
  const std::size_t scheme_end = uri.find("://");
  std::string scheme = scheme_end == uri.npos ? "" : uri.substr(0, scheme_end);
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
  if (scheme != "http" && scheme != "https")
    throw_bad("One of the fileUris begins with neither http:// nor https://.");
  std::string_view path = std::string_view(uri).substr(scheme.size() + 3);
  if (std::any_of(path.begin(), path.end(), [](char c) { return static_cast<unsigned char>(c) <= ' '; }))
    throw_bad("One of the fileUris holds a blank or a control character.", "Encode it: %20.");
  path = path.substr(0, std::min(path.find_first_of("?#"), path.size()));
  const std::size_t slash = path.find('/');
  const std::string name = slash == path.npos ? "" : percent_decoded(path.substr(path.rfind('/') + 1));
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos || name.size() > 255)
    throw_bad(fmt::format("cannot extract file name from URL on {}.", host_of(uri)),
              "What stands behind the last slash of its path is the file's name.");
  if (std::any_of(name.begin(), name.end(),
                  [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7F; }))
    throw_bad(fmt::format("The name of a file on {} holds a control character.", host_of(uri)),
              "Give the file a name without it; what stands behind the last slash is decoded.");
  return {Secret(uri), name};
}

ScriptOrder parse_script_settings(const ScriptKind& kind, std::string_view public_text,
                                  const Secret& protected_text) {
  const json public_document = parse_object(public_text, "public settings");
  const SecretDocument protected_document{parse_object(protected_text.reveal(), "protected settings")};
  Section open(&public_document, ""), closed(&protected_document.value, "");
  ScriptOrder order;

  refuse_what_is_not_here(open, closed);
  auto command = either_part<std::string>(open, closed, "commandToExecute", text_of);
  auto script = either_part<std::string>(open, closed, "script", text_of);
  auto files = either_part<std::vector<std::string>>(open, closed, "fileUris", texts_of);
  if (command.value && script.value)
    throw_bad("'commandToExecute' and 'script' were both specified, but only one is validate at a time.",
              "Keep one of them.");
  if (!command.value && !script.value)
    throw_bad("'commandToExecute' is not specified.",
              "Give it, or a 'script', in the settings of the extension.");
  if (command.value) {
    order.command = Secret(*command.value);
    if (command.is_secret) order.secrets.push_back(order.command);
  }
  if (script.value) {
    if (script.value->size() > largest_script)
      throw_bad(fmt::format("The script's length ({}) exceeded the maximum allowed length of {}.",
                            script.value->size(), largest_script));
    auto decoded = base64_decode(*script.value);
    if (!decoded) throw_bad("failed to decode script: it is not base64.");
    order.script = Secret(std::move(*decoded));
  }
  if (files.value && files.value->size() > most_files)
    throw_bad(
        fmt::format("fileUris has {} entries; at most {} are fetched.", files.value->size(), most_files));
  for (const std::string& uri : files.value.value_or(std::vector<std::string>())) {
    order.files.push_back(parse_file_uri(uri));
    order.secrets.push_back(order.files.back().url);
    for (Secret& secret : credentials_of(uri)) order.secrets.push_back(std::move(secret));
    const std::string& name = order.files.back().name;
    if (name == "stdout" || name == "stderr" || (order.script && name == "script.sh"))
      throw_bad(fmt::format("A file of fileUris is named {}, as {} in the same folder.", name,
                            name == "script.sh" ? "the script" : "the command's output"),
                "Give it another name.");
  }
  order.managed_identity = read_identity(closed);
  order.dos2unix = !open.flag("skipDos2Unix").value_or(false);
  if (const json* timestamp = open.find("timestamp");
      timestamp && !timestamp->is_number_integer() && !kind.classic)
    throw_bad("timestamp is not an integer.");
  if (kind.parameters) {
    order.parameters = read_parameters(closed);
    for (const auto& [name, value] : order.parameters) order.secrets.push_back(value);
  }
  if (kind.classic) return order;
  for (const Section* section : {&open, &closed})
    for (const std::string& key : section->unknown())
      throw_bad(fmt::format("invalid {} settings JSON: (root): Additional property {} is not allowed.",
                            section == &open ? "public" : "protected", key),
                "Known are commandToExecute, script, fileUris, skipDos2Unix and timestamp.");
  return order;
}

}  // namespace berth::extension
