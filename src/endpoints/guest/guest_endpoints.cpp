#include "endpoints/guest/guest_endpoints.h"

#include "endpoints/guest/routes.h"
#include "host/files.h"
#include "http/server.h"
#include "model/names.h"
#include "region/guest_sockets.h"

namespace berth {
namespace {

/// A guest has no use for more, and shall not take more of our memory. Only its logs are large: the agent
/// packs them into one zip.
constexpr std::size_t largest_report = std::size_t{1024} * 1024, largest_log = 16 * largest_report;
constexpr ServerLimits limits{.bodies = 2 * largest_log, .idle = std::chrono::seconds(60), .connections = 16};

/// Only the VM's switch knows of the socket.
boost::asio::awaitable<Response> answer_switch(std::function<void(const std::string&)> wanted,
                                               std::string vm_id, Request) {
  wanted(vm_id);
  co_return Response{.status = 202, .headers = {}, .body = {}};
}

boost::asio::awaitable<Response> answer(std::shared_ptr<Guest> guest, GuestService service, Request request) {
  co_return answer_guest(*guest, service, request);
}

}  // namespace

struct GuestEndpoints::Machine {
  std::filesystem::path folder;
  std::shared_ptr<Guest> guest;
  std::unique_ptr<Server> wire, plugin, metadata, wake;
};

GuestEndpoints::GuestEndpoints(boost::asio::any_io_executor executor, GuestHost& host,
                               std::function<void(const std::string& vm_id)> wanted)
    : executor_(std::move(executor)),
      host_(host),
      wanted_(std::move(wanted)),
      packages_(std::make_shared<PackageCache>()) {}

GuestEndpoints::~GuestEndpoints() = default;

void GuestEndpoints::set(const std::string& vm_id, const std::filesystem::path& folder) {
  if (folder.empty()) {
    machines_.erase(vm_id);
    return;
  }
  const GuestSockets sockets = guest_sockets(folder, vm_id);
  const bool in_place = std::filesystem::exists(sockets.wire) && std::filesystem::exists(sockets.plugin) &&
                        std::filesystem::exists(sockets.metadata) && std::filesystem::exists(sockets.wake);
  if (const auto open = machines_.find(vm_id);
      in_place && open != machines_.end() && open->second->folder == folder)
    return;
  make_folder(folder, 0710);  // the account of its switch may enter
  auto machine = std::make_unique<Machine>();
  machine->folder = folder;
  machine->guest = std::make_shared<Guest>(Guest{vm_id, host_, packages_});
  const auto listen = [&](const std::filesystem::path& socket, GuestService service) {
    const Handler handler = [guest = machine->guest, service](Request request) {
      return answer(guest, service, std::move(request));
    };
    // Only the machine's own network can reach the socket.
    const auto admit = [handler](Request& head) {
      return Admission{.handler = handler,
                       .refusal = {},
                       .largest_body = same_name(head.path, "/vmAgentLog") ? largest_log : largest_report,
                       .known = true};
    };
    return Server::on_unix(executor_, socket, admit, limits);
  };
  machine->wire = listen(sockets.wire, GuestService::wire_server);
  machine->plugin = listen(sockets.plugin, GuestService::host_plugin);
  machine->metadata = listen(sockets.metadata, GuestService::metadata);
  machine->wake = Server::on_unix(
      executor_, sockets.wake,
      [wanted = wanted_, vm_id](Request&) {
        return Admission{
            .handler = [wanted,
                        vm_id](Request request) { return answer_switch(wanted, vm_id, std::move(request)); },
            .refusal = {},
            .largest_body = 0,
            .known = true};
      },
      limits);
  machines_[vm_id] = std::move(machine);
}

}  // namespace berth
