#include "network/dhcp.h"

#include <algorithm>

namespace berth::network {
namespace {

enum Message : std::uint8_t { discover = 1, offer = 2, request_lease = 3, ack = 5, nak = 6, inform = 8 };
enum Option : std::uint8_t {
  subnet_mask = 1,
  router = 3,
  name_servers = 6,
  host_name = 12,
  domain_name = 15,
  requested_address = 50,
  lease_time = 51,
  message_type = 53,
  server_identifier = 54,
  classless_routes = 121,
  wire_server = 245,
  microsoft_classless_routes = 249,
  end = 255
};
constexpr std::uint8_t magic_cookie[] = {99, 130, 83, 99};
constexpr std::size_t fixed_part = 236;
constexpr std::size_t smallest_reply = 300;  // BOOTP's size; some clients drop less
constexpr std::uint16_t server_port = 67, client_port = 68;

struct Request {
  std::uint8_t type = 0;
  Ipv4 client_address;  // ciaddr: the address that the client already uses
  std::optional<Ipv4> requested, server;
};

/// Walks the options; a length that leads past the end ends the walk.
std::optional<Request> parse(std::span<const std::uint8_t> data, const Mac& mac) {
  if (data.size() < fixed_part + sizeof magic_cookie) return std::nullopt;
  const bool ethernet_request = data[0] == 1 && data[1] == 1 && data[2] == 6;
  if (!ethernet_request || !std::equal(mac.begin(), mac.end(), data.begin() + 28)) return std::nullopt;
  if (!std::ranges::equal(magic_cookie, data.subspan(fixed_part, sizeof magic_cookie))) return std::nullopt;
  Request request;
  request.client_address.bits = load32(data.data() + 12);
  auto options = data.subspan(fixed_part + sizeof magic_cookie);
  while (!options.empty() && options[0] != end) {
    if (options[0] == 0) {
      options = options.subspan(1);
      continue;
    }
    if (options.size() < 2 || options.size() - 2 < options[1]) break;
    const auto value = options.subspan(2, options[1]);
    if (options[0] == message_type && value.size() == 1) request.type = value[0];
    if (options[0] == requested_address && value.size() == 4) request.requested = Ipv4{load32(value.data())};
    if (options[0] == server_identifier && value.size() == 4) request.server = Ipv4{load32(value.data())};
    options = options.subspan(2 + value.size());
  }
  return request;
}

/// The reply's type; nullopt for silence.
std::optional<std::uint8_t> decide(const DhcpLease& lease, const Request& request) {
  switch (request.type) {
    case discover:
      return offer;
    case inform:
      return ack;
    case request_lease: {
      if (request.server && *request.server != lease.subnet.gateway()) return std::nullopt;
      const Ipv4 wanted = request.requested.value_or(request.client_address);
      return wanted == lease.address ? ack : nak;
    }
    default:
      return std::nullopt;
  }
}

class Options {
 public:
  explicit Options(Bytes& bytes) : bytes_(bytes) {}
  void put(Option code, std::span<const std::uint8_t> value) {
    bytes_.push_back(code);
    bytes_.push_back(static_cast<std::uint8_t>(value.size()));
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }
  void put(Option code, std::uint32_t value) {
    std::uint8_t bytes[4];
    store32(bytes, value);
    put(code, bytes);
  }
  void put(Option code, Ipv4 address) { put(code, address.bits); }

 private:
  Bytes& bytes_;
};

/// RFC 3442: each route is its prefix length, the bytes of the destination that matter, and the gateway.
Bytes routes(Ipv4 gateway) {
  Bytes bytes;
  const auto put = [&bytes](Ipv4 address) {
    bytes.resize(bytes.size() + 4);
    store32(bytes.data() + bytes.size() - 4, address.bits);
  };
  bytes.push_back(0);
  put(gateway);
  for (const Ipv4 endpoint : {wire_server_address, metadata_address}) {
    bytes.push_back(32);
    put(endpoint);
    put(gateway);
  }
  return bytes;
}

void put_configuration(Options& options, const DhcpLease& lease) {
  const Ipv4 gateway = lease.subnet.gateway();
  options.put(subnet_mask, lease.subnet.block.mask());
  options.put(router, gateway);
  options.put(name_servers, wire_server_address);  // as on Azure; no network of a container can hide it
  if (!lease.host_name.empty())
    options.put(host_name, {reinterpret_cast<const std::uint8_t*>(lease.host_name.data()),
                            std::min<std::size_t>(lease.host_name.size(), 255)});
  constexpr std::uint8_t neighbours[] = {'i', 'n', 't', 'e', 'r', 'n', 'a', 'l'};  // of dns.cpp
  options.put(domain_name, neighbours);
  const Bytes all_routes = routes(gateway);
  options.put(classless_routes, all_routes);
  options.put(microsoft_classless_routes, all_routes);
  options.put(wire_server, wire_server_address);
}

}  // namespace

std::optional<Bytes> answer_dhcp(const DhcpLease& lease, std::span<const std::uint8_t> data) {
  const auto request = parse(data, lease.mac);
  if (!request) return std::nullopt;
  const auto type = decide(lease, *request);
  if (!type) return std::nullopt;
  const bool gives_address = *type != nak && request->type != inform;
  const bool to_address = *type != nak && request->client_address == lease.address;

  Bytes reply(fixed_part);
  reply[0] = 2;
  reply[1] = 1;
  reply[2] = 6;
  std::copy_n(data.begin() + 4, 4, reply.begin() + 4);    // the transaction
  std::copy_n(data.begin() + 10, 2, reply.begin() + 10);  // flags
  if (to_address) store32(reply.data() + 12, request->client_address.bits);
  if (gives_address) store32(reply.data() + 16, lease.address.bits);
  if (*type != nak) store32(reply.data() + 20, lease.subnet.gateway().bits);
  std::copy_n(data.begin() + 28, 16, reply.begin() + 28);
  reply.insert(reply.end(), std::begin(magic_cookie), std::end(magic_cookie));
  Options options(reply);
  options.put(message_type, std::span(&*type, 1));
  options.put(server_identifier, lease.subnet.gateway());
  if (gives_address) options.put(lease_time, std::uint32_t{0xffffffff});
  if (*type != nak) put_configuration(options, lease);
  reply.push_back(end);
  reply.resize(std::max(reply.size(), smallest_reply));

  const End from{lease.subnet.gateway_mac(), lease.subnet.gateway(), server_port};
  const End to{lease.mac, to_address ? lease.address : everybody, client_port};
  return udp_frames(from, to, reply).front();
}

}  // namespace berth::network
