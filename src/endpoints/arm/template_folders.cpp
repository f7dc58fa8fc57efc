#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "crypto/random.h"
#include "endpoints/arm/deployment.h"
#include "host/files.h"
#include "host/workers.h"

/// Folders of templates that the user opened: our own routes, and what links in templates read. The region opens no
/// connection for a link: it reads the file itself. Source: docs/wire/arm.md.
namespace berth::arm {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* folder_table = "arm-template-folder";
constexpr const char* folder_type = "Berth.Local/templateFolders";
constexpr std::string_view served_below = "/templates/";
constexpr std::size_t largest_template = std::size_t{4} * 1024 * 1024;
constexpr const char* serve_advice =
    "Serve the folder that it is in with 'azure region serve-templates FOLDER', and use the address that it shows "
    "(many templates take it as a parameter such as '_artifactsLocation').";

void write_folder(JsonText& out, const Arm& arm, const json& folder, const std::string& origin) {
  const std::string name = folder.value("name", "");
  out.open()
      .put("id", fmt::format("/subscriptions/{}/providers/{}/{}", arm.subscription(), folder_type, name))
      .put("name", name)
      .put("type", folder_type)
      .open("properties")
      .put("folder", folder.value("folder", ""))
      .put("uri", origin + std::string(served_below) + folder.value("key", "") + "/")
      .close()
      .close();
}

/// The folder that is served by that key; "" when there is none.
fs::path folder_of(const Arm& arm, const std::string& key) {
  for (const auto& [name, text] : arm.region.documents().list(folder_table)) {
    const json folder = json::parse(text, nullptr, false);
    if (folder.is_object() && folder.value("key", "") == key) return folder.value("folder", "");
  }
  return {};
}

/// A file of a served folder. Throws Error(not_found) for what is not served_below it, wherever links lead.
std::string read_served(const fs::path& folder, const std::string& relative) {
  const auto no_such = [&](const std::string& why) {
    return Error(ErrorKind::not_found, "TemplateNotFound",
                 fmt::format("There is no '{}' in the served folder {}{}.", relative.substr(0, 300),
                             folder.string(), why));
  };
  std::error_code problem;
  const fs::path root = fs::canonical(folder, problem);
  if (problem) throw no_such(": " + problem.message());
  const fs::path file = fs::canonical(root / fs::path(relative).relative_path(), problem);
  if (problem) throw no_such("");
  if (std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first != root.end()) throw no_such(": it leads out of it");
  return read_file(file, largest_template);
}

}  // namespace

asio::awaitable<Response> list_template_folders(Arm& arm, Request request) {
  JsonText out;
  out.open().open_list("value");
  for (const auto& [name, text] : arm.region.documents().list(folder_table))
    write_folder(out, arm, json::parse(text), request.origin);
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> put_template_folder(Arm& arm, Request request) {
  const std::string name = request.params["folder"];
  check_resource_name(name, folder_type);
  const json body = parse_document(request.body);
  const std::string wanted = Field(body)["properties"]["folder"].required_text();
  std::error_code problem;
  if (!fs::path(wanted).is_absolute() || !fs::is_directory(wanted, problem))
    throw Error(ErrorKind::invalid, "NotAFolder",
                fmt::format("'{}' is no folder of this machine, or its path is not absolute.", wanted.substr(0, 500)));
  const auto before = arm.region.documents().find(folder_table, lower(name));
  const json folder = {{"name", name}, {"folder", wanted}, {"key", random_hex(20)}};
  arm.region.documents().keep(folder_table, lower(name), dump(folder));
  JsonText out;
  write_folder(out, arm, folder, request.origin);
  co_return json_response(before ? 200 : 201, out.take());
}

asio::awaitable<Response> delete_template_folder(Arm& arm, Request request) {
  const std::string key = lower(request.params["folder"]);
  const bool known = arm.region.documents().find(folder_table, key).has_value();
  if (known) arm.region.documents().drop(folder_table, key);
  co_return Response{.status = known ? 200 : 204, .headers = {}, .body = {}};
}

/// For clients that look at a template before they deploy it by its address. The key in the address is its secret.
asio::awaitable<Response> get_served_template(Arm& arm, Request request) {
  const fs::path folder = folder_of(arm, request.params["key"]);
  if (folder.empty())
    throw Error(ErrorKind::not_found, "NotFound", "No folder of templates is served at this address.");
  Response response = json_response(200, read_served(folder, request.params["file"]));
  response.headers["Content-Security-Policy"] = "default-src 'none'";
  co_return response;
}

json linked_template(Arm& arm, const std::string& uri) {
  const std::size_t host = uri.find("://"), path = host == uri.npos ? uri.npos : uri.find('/', host + 3);
  const std::string target = path == uri.npos ? "" : uri.substr(path, uri.find_first_of("?#", path) - path);
  const std::string key = target.starts_with(served_below)
                              ? target.substr(served_below.size(), target.find('/', served_below.size()) - served_below.size())
                              : "";
  fs::path folder;
  if (!key.empty()) folder = arm.region.workers().ask([&arm, key] { return folder_of(arm, key); });
  if (folder.empty())
    throw Error(ErrorKind::invalid, "InvalidTemplateLink",
                fmt::format("The link '{}' is not followed: the local region opens no connections of its own.",
                            uri.substr(0, 500)),
                serve_advice);
  const std::string relative = percent_decode(target.substr(std::min(target.size(), served_below.size() + key.size() + 1)));
  try {
    return parse_lenient_document(read_served(folder, relative));
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid, "InvalidTemplateLink",
                fmt::format("The link '{}' leads to no template: {}", uri.substr(0, 500), error.what()), error.advice);
  }
}

}  // namespace berth::arm
