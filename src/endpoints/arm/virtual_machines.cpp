#include <fmt/format.h>

#include <boost/asio/this_coro.hpp>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>

#include "api/arm/compute.h"
#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/json_text.h"
#include "api/arm/run_commands.h"
#include "base/error.h"
#include "crypto/encoding.h"
#include "endpoints/arm/diagnostics.h"
#include "endpoints/arm/service.h"
#include "images/gallery.h"
#include "model/catalog.h"
#include "region/image_aliases.h"

/// What can be done with a VM besides putting and deleting it.
namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::int64_t diagnostics_seconds = 3600;
constexpr std::streamoff longest_log = 4 * 1024 * 1024;

Ref vm_of(Arm& arm, Request& request) {
  arm.region.groups().get(request.params["group"]);
  return arm.region.machines().get({request.params["group"], request.params["vm"]}).ref();
}

std::string diagnostics_signature(const Arm& arm, const Ref& vm, std::int64_t until) {
  return hex_encode(
             hmac_sha256(arm.access.token_key.reveal(), fmt::format("diagnostics {} {}", vm.key(), until)))
      .substr(0, 40);
}

/// Throws Error(unauthorized) unless the address was made by us and is still good.
Ref diagnosed_vm(Arm& arm, Request& request) {
  const Ref vm{request.params["group"], request.params["vm"]};
  const std::string& signature = request.params["signature"];
  const std::size_t dash = signature.find('-');
  std::int64_t until = 0;
  if (dash != signature.npos) std::from_chars(signature.data(), signature.data() + dash, until);
  const bool right = dash != signature.npos && equal_in_constant_time(signature.substr(dash + 1),
                                                                      diagnostics_signature(arm, vm, until));
  if (!right || until <= arm.clock())
    throw Error(ErrorKind::unauthorized, "AuthenticationFailed",
                "The address of these diagnostics is not valid, or no longer.",
                "Ask for it again: 'az vm boot-diagnostics get-boot-log'.");
  arm.region.machines().get(vm);
  return vm;
}

}  // namespace

std::string images_there_are(const Arm& arm) {
  std::set<std::string> urns;
  for (const GalleryImage& image : arm.region.images().gallery().list())
    if (!image.publisher.empty())
      urns.insert(fmt::format("{}:{}:{}:latest", image.publisher, image.offer, image.sku));
  return fmt::format("The images of this region are {}.", fmt::join(urns, ", "));
}

std::string diagnostics_url(const Arm& arm, const Ref& vm, const std::string& origin) {
  // The same address for some minutes: documents do not change at every look.
  const std::int64_t until = (arm.clock() / 600 + 1) * 600 + diagnostics_seconds;
  return fmt::format("{}/diagnostics/{}-{}/{}/{}/", origin, until, diagnostics_signature(arm, vm, until),
                     vm.group, vm.name);
}

namespace {

bool is_windows(const Vm& vm) {
  const auto names_it = [](const std::string& text) {
    return lower(text).find("windows") != std::string::npos;
  };
  return names_it(vm.image_publisher) || names_it(vm.image_offer) ||
         same_name(vm.image_publisher, "MicrosoftSQLServer") ||
         same_name(vm.image_publisher, "MicrosoftVisualStudio") ||
         same_name(vm.image_publisher, "MicrosoftSharePoint");
}

/// How the user has it otherwise, for whoever writes templates that are not his.
std::string alias_advice(const Vm& vm) {
  if (is_windows(vm)) return " It runs Linux, no Windows: leave this machine out.";
  return fmt::format(" To have one of them stand for it: azure vm image alias add '{}:*:*' NAME.",
                     vm.image_publisher);
}

}  // namespace

void resolve_image(Arm& arm, Vm& vm, std::string_view path) {
  Gallery& gallery = arm.region.images().gallery();
  std::string wanted = vm.image;
  if (!vm.image_id.empty()) {
    const auto id = ResourceId::parse(vm.image_id);
    wanted = id ? id->name() : vm.image_id;
    if (!id || !arm.region.inert().find("Microsoft.Compute/images", id->ref()))
      throw Error(ErrorKind::not_found, "ImageNotFound",
                  fmt::format("The image '{}' was not found.", vm.image_id));
  } else if (!vm.image_publisher.empty()) {
    wanted = fmt::format("{}:{}:{}:{}", vm.image_publisher, vm.image_offer, vm.image_sku, vm.image_version);
  }
  auto image = gallery.find(wanted);
  if (!image && !vm.image_publisher.empty())
    if (const auto alias = find_image_alias(arm.region, wanted)) image = gallery.find(alias->image);
  if (!image)
    throw Error(
        ErrorKind::not_found, vm.image_publisher.empty() ? "ImageNotFound" : "PlatformImageNotFound",
        vm.image_publisher.empty()
            ? fmt::format("Image \"{}\" not found", wanted)
            : fmt::format(
                  "The platform image '{}' is not available. Verify that all fields in the storage profile "
                  "are correct ({}).",
                  wanted, path),
        vm.image_publisher.empty() ? "'azure vm image list' shows the images that there are."
                                   : images_there_are(arm) + alias_advice(vm));
  vm.image = image->name;
}

asio::awaitable<Response> get_instance_view(Arm& arm, Request request) {
  const Vm& vm = arm.region.machines().get(vm_of(arm, request));
  JsonText out;
  write_instance_view(out, {}, vm, vm.boot_diagnostics ? diagnostics_url(arm, vm.ref(), request.origin) : "");
  co_return json_response(200, out.take());
}

asio::awaitable<Response> list_vm_sizes(Arm& arm, Request request) {
  vm_of(arm, request);
  JsonText out;
  out.open();
  write_vm_sizes(out, "value");
  out.close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> start_vm(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  if (arm.region.machines().get(vm).power == PowerState::running)
    co_return Response{.status = 200, .headers = {}, .body = {}};
  co_return co_await answer_accepted(arm, request, arm.region.machines().start(vm).operation);
}

asio::awaitable<Response> restart_vm(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  co_return co_await answer_accepted(arm, request, arm.region.machines().restart(vm).operation);
}

asio::awaitable<Response> power_off_vm(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  const PowerState power = arm.region.machines().get(vm).power;
  if (power == PowerState::stopped || power == PowerState::deallocated)
    co_return Response{.status = 200, .headers = {}, .body = {}};
  const bool skip_shutdown = same_name(request.parameter("skipShutdown"), "true");
  co_return co_await answer_accepted(arm, request, arm.region.machines().stop(vm, skip_shutdown).operation);
}

asio::awaitable<Response> deallocate_vm(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  const PowerState power = arm.region.machines().get(vm).power;
  if (same_name(request.parameter("hibernate"), "true")) {
    if (power == PowerState::hibernated) co_return Response{.status = 200, .headers = {}, .body = {}};
    co_return co_await answer_accepted(arm, request, arm.region.machines().hibernate(vm).operation);
  }
  if (power == PowerState::deallocated) co_return Response{.status = 200, .headers = {}, .body = {}};
  co_return co_await answer_accepted(arm, request, arm.region.machines().deallocate(vm).operation);
}

asio::awaitable<Response> redeploy_vm(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  co_return co_await answer_accepted(arm, request, arm.region.machines().redeploy(vm).operation);
}

asio::awaitable<Response> generalize_vm(Arm& arm, Request request) {
  arm.region.machines().generalize(vm_of(arm, request));
  co_return Response{.status = 200, .headers = {}, .body = {}};
}

void require_generalized(const Vm& vm) {
  if (vm.generalized) return;
  throw Error(ErrorKind::conflict, "OperationNotAllowed",
              fmt::format("No image can be made of VM '{}': it is not generalized.", vm.name),
              "Stop it ('az vm deallocate'), then mark it ('az vm generalize'); it cannot be started again "
              "after that.");
}

asio::awaitable<Response> capture_vm(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  require_generalized(arm.region.machines().get(vm));
  const json body = parse_document(request.body);
  const std::string name = Field(body)["vhdPrefix"].required_text();
  check_resource_name(name, "Microsoft.Compute/images");
  co_return co_await answer_accepted(arm, request, arm.region.images().capture(vm, name, name).operation);
}

asio::awaitable<Response> run_command(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  const RunCommandOrder order = parse_run_command(parse_document(request.body));
  Extensions& extensions = arm.region.extensions();
  if (!order.removes_handler) {
    co_await extensions.prepare(vm);
    co_return co_await answer_accepted(arm, request, extensions.run_command(vm, order.settings).operation);
  }
  if (!find_extension(arm.region.machines().get(vm), run_command_extension))
    co_return Response{.status = 200, .headers = {}, .body = {}};
  co_return co_await answer_accepted(arm, request,
                                     extensions.remove(vm, std::string(run_command_extension)).operation);
}

asio::awaitable<Response> list_run_commands(Arm&, Request) {
  JsonText out;
  write_run_command_list(out);
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_run_command(Arm&, Request request) {
  auto document = run_command_document(request.params["command"]);
  if (!document)
    throw Error(ErrorKind::not_found, "NotFound",
                fmt::format("Run command '{}' was not found.", request.params["command"].substr(0, 80)),
                "Those for Linux are listed by 'az vm run-command list'.");
  co_return json_response(200, std::move(*document));
}

asio::awaitable<Response> retrieve_boot_diagnostics(Arm& arm, Request request) {
  const Ref vm = vm_of(arm, request);
  const std::string base = diagnostics_url(arm, vm, request.origin);
  JsonText out;
  out.open()
      .put("consoleScreenshotBlobUri", base + "screen.png")
      .put("serialConsoleLogBlobUri", base + "serial.log")
      .close();
  co_return json_response(200, out.take());
}

asio::awaitable<Response> get_serial_log(Arm& arm, Request request) {
  const Ref vm = diagnosed_vm(arm, request);
  std::ifstream file(arm.region.machines().serial_log(vm), std::ios::binary | std::ios::ate);
  std::string text;
  if (file) {
    const std::streamoff size = file.tellg(), wanted = std::min(size, longest_log);
    file.seekg(size - wanted);
    text.resize(static_cast<std::size_t>(wanted));
    file.read(text.data(), wanted);
    text.resize(static_cast<std::size_t>(file.gcount()));
  }
  Response response{.status = 200, .headers = {}, .body = std::move(text)};
  response.headers["Content-Type"] = "text/plain; charset=utf-8";
  response.headers["Content-Security-Policy"] = "default-src 'none'";
  co_return response;
}

asio::awaitable<Response> get_screenshot(Arm& arm, Request request) {
  const Ref vm = diagnosed_vm(arm, request);
  Response response{.status = 200, .headers = {}, .body = co_await arm.region.machines().screenshot(vm)};
  response.headers["Content-Type"] = "image/png";
  co_return response;
}

}  // namespace berth::arm
