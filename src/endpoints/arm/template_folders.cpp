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
    "Serve the folder that it is in with 'azure region serve-templates FOLDER', and use the address that it "
    "shows "
    "(many templates take it as a parameter such as '_artifactsLocation'); or let the folder stand for the "
    "address: "
    "'azure region serve-templates FOLDER --as ADDRESS'.";

void write_folder(JsonText& out, const Arm& arm, const json& folder, const std::string& origin) {
  const std::string name = folder.value("name", "");
  out.open()
      .put("id", fmt::format("/subscriptions/{}/providers/{}/{}", arm.subscription(), folder_type, name))
      .put("name", name)
      .put("type", folder_type)
      .open("properties")
      .put("folder", folder.value("folder", ""))
      .put_if("standsFor", folder.value("standsFor", ""))
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

/// A file that a link means: of the folder with the key in it, or of one that stands for its address.
struct Served {
  fs::path folder;  ///< empty: none
  std::string file;
};

Served served_at(const Arm& arm, const std::string& uri) {
  const std::string address = uri.substr(0, uri.find_first_of("?#"));
  const std::size_t host = address.find("://"),
                    path = host == address.npos ? address.npos : address.find('/', host + 3);
  const std::string target = path == address.npos ? "" : address.substr(path);
  if (target.starts_with(served_below)) {
    const std::string below = target.substr(served_below.size());
    const std::size_t slash = std::min(below.find('/'), below.size());
    if (fs::path folder = folder_of(arm, below.substr(0, slash)); !folder.empty())
      return {std::move(folder), percent_decode(below.substr(std::min(slash + 1, below.size())))};
  }
  Served best;
  std::size_t longest = 0;
  for (const auto& [name, text] : arm.region.documents().list(folder_table)) {
    const json folder = json::parse(text, nullptr, false);
    const std::string stands_for = folder.is_object() ? folder.value("standsFor", "") : "";
    if (stands_for.size() <= longest || !same_name(address.substr(0, stands_for.size()), stands_for))
      continue;
    longest = stands_for.size();
    best = {folder.value("folder", ""), percent_decode(address.substr(longest))};
  }
  return best;
}

/// Throws Error(invalid) for what is no address of a folder; "" stays.
std::string checked_address(const Field& field) {
  std::string address = field.text();
  if (address.empty()) return address;
  const bool is_web =
      same_name(address.substr(0, 8), "https://") || same_name(address.substr(0, 7), "http://");
  if (!is_web || address.find_first_of("?# ") != address.npos || address.find('/', 8) == address.npos)
    field.refuse("the address of a folder, like https://host/templates/");
  if (!address.ends_with('/')) address += '/';
  return address;
}

/// Throws Error(invalid) for a folder that holds more than anybody means to show: all of this machine, the kernel's
/// own, and those with a region in or above them.
void check_servable(const fs::path& folder) {
  const auto refuse = [&](const char* why) {
    throw Error(ErrorKind::invalid, "FolderNotServed",
                fmt::format("The folder '{}' is not served: {}.", folder.string(), why),
                "Serve the folder that the templates are in.");
  };
  if (folder == "/") refuse("it is all of this machine");
  for (const char* kernels : {"/proc", "/sys", "/dev"})
    if (*std::next(folder.begin()) == fs::path(kernels).filename()) refuse("what is in it is the kernel's");
  std::error_code ignored;
  for (fs::path above = folder; above != above.root_path(); above = above.parent_path())
    if (fs::exists(above / "region.db", ignored)) refuse("a region keeps its secrets there");
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
  if (std::mismatch(root.begin(), root.end(), file.begin(), file.end()).first != root.end())
    throw no_such(": it leads out of it");
  return read_file(file, largest_template);
}

}  // namespace

asio::awaitable<Response> list_template_folders(Arm& arm, Request request) {
  JsonText out;
  out.open().open_list("value");
  for (const auto& [name, text] : arm.region.documents().list(folder_table))
    if (const json folder = json::parse(text, nullptr, false); folder.is_object())
      write_folder(out, arm, folder, request.origin);
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
                fmt::format("'{}' is no folder of this machine, or its path is not absolute.",
                            wanted.substr(0, 500)));
  check_servable(fs::canonical(wanted));
  const auto before = arm.region.documents().find(folder_table, lower(name));
  json folder = {{"name", name}, {"folder", wanted}, {"key", random_hex(20)}};
  if (const std::string address = checked_address(Field(body)["properties"]["standsFor"]); !address.empty())
    folder["standsFor"] = address;
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
  std::string text = read_served(folder, request.params["file"]);
  parse_lenient_document(text);  // templates and parameters, and nothing else
  Response response = json_response(200, std::move(text));
  response.headers["Content-Security-Policy"] = "default-src 'none'";
  co_return response;
}

json linked_template(Arm& arm, const std::string& uri) {
  const Served served = arm.region.workers().ask([&arm, uri] { return served_at(arm, uri); });
  if (served.folder.empty())
    throw Error(
        ErrorKind::invalid, "InvalidTemplateLink",
        fmt::format("The link '{}' is not followed: the local region opens no connections of its own.",
                    uri.substr(0, 500)),
        serve_advice);
  try {
    return parse_lenient_document(read_served(served.folder, served.file));
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid, "InvalidTemplateLink",
                fmt::format("The link '{}' leads to no template: {}", uri.substr(0, 500), error.what()),
                error.advice);
  }
}

}  // namespace berth::arm
