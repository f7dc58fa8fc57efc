#include "cli/docker/context.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/terminal/output.h"
#include "crypto/encoding.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

/// Our mark inside a context's metadata. The docker client keeps fields that it does not know.
constexpr const char* mark_field = "Berth";

ordered_json parse_ordered(const std::string& text) {
  return ordered_json::parse(text, nullptr, false);
}

std::string text_at(const ordered_json& document, std::initializer_list<const char*> path) {
  const ordered_json* at = &document;
  for (const char* key : path) {
    if (!at->is_object()) return {};
    const auto found = at->find(key);
    if (found == at->end()) return {};
    at = &*found;
  }
  return at->is_string() ? at->get<std::string>() : std::string();
}

struct Mark {
  std::string host, region, region_home, endpoint;
};

/// nullopt when the context is not ours, or leads elsewhere now.
std::optional<Mark> mark_of(const ordered_json& meta) {
  Mark mark{
      text_at(meta, {"Metadata", mark_field, "host"}), text_at(meta, {"Metadata", mark_field, "region"}),
      text_at(meta, {"Metadata", mark_field, "home"}), text_at(meta, {"Metadata", mark_field, "endpoint"})};
  if (mark.host.empty() || text_at(meta, {"Endpoints", "docker", "Host"}) != mark.endpoint)
    return std::nullopt;
  return mark;
}

fs::path meta_folder(const fs::path& config, const std::string& name) {
  return config / "contexts" / "meta" / sha256_hex(name);
}
fs::path tls_folder(const fs::path& config, const std::string& name) {
  return config / "contexts" / "tls" / sha256_hex(name);
}

std::optional<ordered_json> find_meta(const fs::path& config, const std::string& name) {
  const auto text = read_file_if_there(meta_folder(config, name) / "meta.json");
  return text ? std::optional(parse_ordered(*text)) : std::nullopt;
}

/// True when `meta` is one of ours that nobody can be using: the host's name was free in this region, or the
/// region that it was for is gone.
bool may_replace(const ordered_json& meta, const DockerContext& wanted) {
  const auto mark = mark_of(meta);
  if (!mark) return false;
  if (mark->region == wanted.region) return mark->host == wanted.host;
  std::error_code none;
  return !mark->region_home.empty() && !fs::exists(fs::path(mark->region_home) / "lock", none);
}

std::string current_context(const fs::path& config) {
  const auto text = read_file_if_there(config / "config.json");
  return text ? text_at(parse_ordered(*text), {"currentContext"}) : std::string();
}

/// "" stands for the default context.
void set_current_context(const fs::path& config, const std::string& name) {
  const fs::path file = config / "config.json";
  const auto text = read_file_if_there(file);
  ordered_json document = text ? parse_ordered(*text) : ordered_json::object();
  if (!document.is_object())
    throw Error(ErrorKind::invalid, "DockerConfigInvalid", fmt::format("{} is not JSON.", file.string()),
                "Correct it, then 'docker context use' does the rest.");
  if (name.empty())
    document.erase("currentContext");
  else
    document["currentContext"] = name;
  write_file(file, document.dump(1, '\t') + "\n", 0600);
}

/// The folder and the file are the docker client's, with the modes that it gives them.
void write_meta(const fs::path& config, const std::string& name, const ordered_json& meta) {
  make_folder(meta_folder(config, name), 0755);
  write_file(meta_folder(config, name) / "meta.json", meta.dump(), 0644);
}

void copy_certificates(const fs::path& config, const std::string& name, const fs::path& certificates) {
  const fs::path tls = tls_folder(config, name) / "docker";
  make_folder(tls);
  for (const char* file : {"ca.pem", "cert.pem", "key.pem"})
    write_file(tls / file, read_file(certificates / file), 0600);
}

void write_context(const fs::path& config, const std::string& name, const DockerContext& context) {
  copy_certificates(config, name, context.certificates);
  ordered_json meta;
  meta["Name"] = name;
  meta["Metadata"]["Description"] = fmt::format("Docker host {} (Berth)", context.host);
  meta["Metadata"][mark_field] = {{"host", context.host},
                                  {"region", context.region},
                                  {"home", context.region_home.string()},
                                  {"endpoint", context.endpoint}};
  meta["Endpoints"]["docker"] = {{"Host", context.endpoint}, {"SkipTLSVerify", false}};
  write_meta(config, name, meta);
}

void remove_context(const fs::path& config, const std::string& name) {
  std::error_code none;
  fs::remove_all(meta_folder(config, name), none);
  fs::remove_all(tls_folder(config, name), none);
}

}  // namespace

std::optional<std::string> context_name_problem(const std::string& name) {
  const auto is_word = [](unsigned char c) { return std::isalnum(c) != 0 && c < 128; };
  const bool well_formed = name.size() >= 2 && is_word(static_cast<unsigned char>(name.front())) &&
                           std::all_of(name.begin(), name.end(), [&](char c) {
                             return is_word(static_cast<unsigned char>(c)) ||
                                    std::string_view("_.+-").find(c) != std::string_view::npos;
                           });
  if (!well_formed)
    return "it needs two characters or more: letters, digits, and _ . + - after the first one";
  if (name == "default") return "the docker client keeps that name for itself";
  return std::nullopt;
}

void warn_of_overridden_context(Output& out, const std::string& context) {
  for (const char* name : {"DOCKER_HOST", "DOCKER_CONTEXT"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0' || value == context) continue;
    return out.warn(
        fmt::format("{0} is set ({1}), and goes before the current context in this shell: 'unset {0}' first.",
                    name, value));
  }
}

DockerContexts::Written DockerContexts::write(const DockerContext& context) const {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const std::string suffix = attempt == 0   ? ""
                               : attempt == 1 ? "-berth"
                                              : fmt::format("-berth-{}", attempt);
    const std::string name = context.name + suffix;
    if (context_name_problem(name)) continue;
    const auto there = find_meta(config_, name);
    if (there && !may_replace(*there, context)) continue;
    write_context(config_, name, context);
    // compose 1 and the SDK for Python find no context at all while this file is missing.
    if (!read_file_if_there(config_ / "config.json")) write_file(config_ / "config.json", "{}\n", 0600);
    return {name, there.has_value()};
  }
  throw Error(ErrorKind::conflict, "DockerContextExists",
              fmt::format("Docker contexts {0}, {0}-berth … exist already and are not ours.", context.name),
              "Name another one with --context, or use --no-context.");
}

void DockerContexts::use(const std::string& name) const {
  set_current_context(config_, name);
}

std::vector<std::string> DockerContexts::lead(const std::string& host, const std::string& region,
                                              const std::string& endpoint) const {
  std::vector<std::string> led;
  for (const std::string& name : find_where(region, &host)) {
    ordered_json meta = find_meta(config_, name).value_or(nullptr);
    if (text_at(meta, {"Endpoints", "docker", "Host"}) == endpoint) continue;
    meta["Endpoints"]["docker"]["Host"] = endpoint;
    meta["Metadata"][mark_field]["endpoint"] = endpoint;
    write_meta(config_, name, meta);
    led.push_back(name);
  }
  return led;
}

std::vector<std::string> DockerContexts::renew(const std::string& host, const std::string& region,
                                               const fs::path& certificates) const {
  std::vector<std::string> names = find_where(region, &host);
  for (const std::string& name : names) copy_certificates(config_, name, certificates);
  return names;
}

std::vector<std::string> DockerContexts::remove(const std::string& host, const std::string& region) const {
  return remove_all_of(find_where(region, &host));
}
std::vector<std::string> DockerContexts::remove_all(const std::string& region) const {
  return remove_all_of(find_where(region, nullptr));
}

std::vector<std::string> DockerContexts::find_where(const std::string& region,
                                                    const std::string* host) const {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(config_ / "contexts" / "meta", none)) {
    const auto text = read_file_if_there(entry.path() / "meta.json");
    if (!text) continue;
    const ordered_json meta = parse_ordered(*text);
    const auto mark = mark_of(meta);
    const std::string name = text_at(meta, {"Name"});
    if (!mark || mark->region != region || (host != nullptr && mark->host != *host) || name.empty()) continue;
    found.push_back(name);
  }
  return found;
}

std::vector<std::string> DockerContexts::remove_all_of(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (current_context(config_) == name) set_current_context(config_, "");
    remove_context(config_, name);
  }
  return names;
}

}  // namespace berth
