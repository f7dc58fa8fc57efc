#include <fmt/format.h>

#include "api/classic/documents.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/mapping.h"

namespace berth::classic {
namespace {

std::vector<VirtualNetworkView> views(const Region& region) {
  std::vector<VirtualNetworkView> all;
  for (const VirtualNetwork* network : region.networks().list<VirtualNetwork>()) {
    VirtualNetworkView view{.name = network->name,
                            .id = network->guid,
                            .location = display_location(network->location),
                            .prefixes = network->prefixes,
                            .subnets = {}};
    for (const Subnet& subnet : network->subnets) view.subnets.emplace_back(subnet.name, subnet.prefix);
    all.push_back(std::move(view));
  }
  return all;
}

}  // namespace

asio::awaitable<Response> list_virtual_networks(Classic& classic, const Request&) {
  co_return xml_response(200, virtual_networks_xml(views(classic.region)));
}

asio::awaitable<Response> get_network_configuration(Classic& classic, const Request&) {
  co_return xml_response(200, network_configuration_xml(views(classic.region)));
}

asio::awaitable<Response> refuse_network_configuration(Classic&, const Request&) {
  throw bad_request("Virtual networks are made by Resource Manager in this region.",
                    "Every cloud service gets one of its own; 'az network vnet create' makes others.");
  co_return Response();
}

asio::awaitable<Response> list_reserved_addresses(Classic&, const Request&) {
  co_return xml_response(200, empty_list_xml("ReservedIPs"));
}

asio::awaitable<Response> get_reserved_address(Classic&, const Request& request) {
  throw not_found(fmt::format("The reserved address '{}' does not exist.", param(request, "name")),
                  "This region has none: every cloud service keeps its address.");
  co_return Response();
}

asio::awaitable<Response> refuse_reserved_addresses(Classic&, const Request&) {
  throw bad_request("This region has no reserved addresses: every cloud service keeps its address.");
  co_return Response();
}

}  // namespace berth::classic
