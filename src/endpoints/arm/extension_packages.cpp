#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"
#include "host/files.h"
#include "host/temporary_folder.h"
#include "region/extension_gallery.h"

/// Our own routes by which extension handlers come into the region. Source: docs/wire/arm.md.
namespace berth::arm {
namespace {

void write_package(JsonText& out, const Arm& arm, const ExtensionPackage& package) {
  out.open()
      .put("id", fmt::format("/subscriptions/{}/providers/Berth.Local/extensions/{}/{}/{}",
                             arm.subscription(), package.publisher, package.type, package.version))
      .put("name", package.version)
      .put("type", "Berth.Local/extensions")
      .open("properties")
      .put("publisher", package.publisher)
      .put("type", package.type)
      .put("version", package.version)
      .put("sha256", package.sha256)
      .put("bundled", package.bundled)
      .close()
      .close();
}

}  // namespace

asio::awaitable<Response> list_packages(Arm& arm, Request) {
  JsonText out;
  out.open().open_list("value");
  for (const ExtensionPackage& package : arm.region.extension_gallery().list())
    write_package(out, arm, package);
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> put_package(Arm& arm, Request request) {
  if (request.body.empty())
    throw Error(ErrorKind::invalid, "InvalidRequestContent", "The request has no body.",
                "Send the zip of the extension handler.");
  const TemporaryFolder folder;
  const auto zip = folder.path() / "extension.zip";
  write_file(zip, request.body, 0600);
  const bool replace = same_name(request.parameter("replace"), "true");
  const ExtensionPackage package = arm.region.extension_gallery().publish(
      zip, request.params["publisher"], request.params["type"], request.params["version"], replace);
  JsonText out;
  write_package(out, arm, package);
  co_return json_response(201, out.take());
}

asio::awaitable<Response> delete_package(Arm& arm, Request request) {
  arm.region.extension_gallery().remove(request.params["publisher"], request.params["type"],
                                        request.params["version"]);
  co_return Response{.status = 200, .headers = {}, .body = {}};
}

}  // namespace berth::arm
