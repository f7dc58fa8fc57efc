#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"
#include "host/files.h"
#include "host/temporary_folder.h"
#include "region/extension_gallery.h"

/// Our own routes by which extension handlers come into the region. Source: docs/wire/arm.md.
namespace berth::arm {
namespace {

std::string extension_id(const Arm& arm, const Ref& vm, const std::string& name) {
  return make_id(arm.subscription(), vm.group, "Microsoft.Compute/virtualMachines/extensions",
                 vm.name + "/" + name);
}

/// The package, and the VMs' extensions that have it. The caller closes the object.
void write_package(JsonText& out, const Arm& arm, const ExtensionPackage& package) {
  out.open()
      .put("id", fmt::format("/subscriptions/{}/providers/Berth.Local/extensions/{}/{}/{}",
                             arm.subscription(), package.publisher, package.type, package.published))
      .put("name", package.published)
      .put("type", "Berth.Local/extensions")
      .open("properties")
      .put("publisher", package.publisher)
      .put("type", package.type)
      .put("version", package.published)
      .put("installedVersion", package.version)
      .put("sha256", package.sha256)
      .put("bundled", package.bundled)
      .open_list("usedBy");
  for (const Vm* vm : arm.region.machines().list())
    for (const Extension& extension : vm->extensions)
      if (same_name(extension.handler(), package.handler()) && extension.version == package.version)
        out.item(extension_id(arm, vm->ref(), extension.name));
  out.close_list();
}

}  // namespace

asio::awaitable<Response> list_packages(Arm& arm, Request) {
  JsonText out;
  out.open().open_list("value");
  for (const ExtensionPackage& package : arm.region.extensions().gallery().list()) {
    write_package(out, arm, package);
    out.close().close();
  }
  out.close_list().close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> put_package(Arm& arm, Request request) {
  if (request.body.empty())
    throw Error(ErrorKind::invalid, "InvalidRequestContent", "The request has no body.",
                "Send the zip of the extension handler.");
  const std::string& publisher = request.params["publisher"];
  const std::string& type = request.params["type"];
  const std::string& version = request.params["version"];
  const TemporaryFolder folder;
  const auto zip = folder.path() / "extension.zip";
  write_file(zip, request.body, 0600);
  const bool replace = same_name(request.parameter("replace"), "true");
  const bool is_new = !arm.region.extensions().gallery().find(publisher, type, version);
  const auto moves =
      co_await arm.region.extensions().publish(client_of(request), zip, publisher, type, version, replace);
  JsonText out;
  write_package(out, arm, arm.region.extensions().gallery().find(publisher, type, version).value());
  out.open_list("updating");
  for (const ExtensionMove& move : moves) {
    out.open().put("id", extension_id(arm, move.vm, move.extension));
    if (!move.operation.empty()) out.put("operation", operation_url(arm, request, move.operation));
    out.close();
  }
  out.close_list().close().close();
  co_return json_response(is_new ? 201 : 200, out.take());
}

asio::awaitable<Response> delete_package(Arm& arm, Request request) {
  arm.region.extensions().unpublish(request.params["publisher"], request.params["type"],
                                    request.params["version"]);
  co_return Response{.status = 200, .headers = {}, .body = {}};
}

}  // namespace berth::arm
