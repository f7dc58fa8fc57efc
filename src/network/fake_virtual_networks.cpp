#include <algorithm>

#include "network/virtual_network.h"

namespace berth {

namespace asio = boost::asio;

asio::awaitable<SwitchReport> FakeVirtualNetworks::apply(std::string id, SwitchConfig config) {
  SwitchReport report;
  for (const SwitchPort& port : config.ports) {
    report.connected[port.id] = true;
    for (const Forward& forward : port.forwards)
      if (std::ranges::find(taken, forward.host_port) != taken.end())
        report.refused.push_back({port.id, forward, "address in use"});
  }
  networks[std::move(id)] = std::move(config);
  co_return report;
}

asio::awaitable<void> FakeVirtualNetworks::remove(std::string id) {
  networks.erase(id);
  co_return;
}

asio::awaitable<void> FakeVirtualNetworks::keep(std::set<std::string> ids) {
  std::erase_if(networks, [&](const auto& network) { return !ids.contains(network.first); });
  co_return;
}

asio::awaitable<void> FakeVirtualNetworks::heal() {
  co_return;
}

std::optional<SwitchDeaths> FakeVirtualNetworks::deaths(const std::string& id) const {
  const auto found = dead.find(id);
  return found == dead.end() ? std::nullopt : std::optional(found->second);
}

std::filesystem::path FakeVirtualNetworks::folder(const std::string& id) const {
  return home / "net" / id;
}

}  // namespace berth
