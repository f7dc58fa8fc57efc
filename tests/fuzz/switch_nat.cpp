// Frames of a guest on their way into libslirp: through the rules, made whole, past the guard, and into the
// NAT, whose answers come back. An input is a row of frames, each with how to put it right, its length and
// its bytes, so that the fuzzer can hold conversations. Nothing leaves this host: the outside is an address
// of its own.
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>

#include "host/temporary_folder.h"
#include "network/gateway.h"
#include "network/nat.h"
#include "network/reassembly.h"
#include "network/unix_socket.h"

using namespace berth;
using namespace berth::network;

namespace {

const Subnet subnet{{ipv4(10, 0, 0, 0), 16}};
const Member member{{{0, 0x0d, 0x3a, 0, 0, 1}, ipv4(10, 0, 0, 4), "web1", subnet}, {true, true, true}};

Ipv4 own_address() {
  Ipv4 found = ipv4(198, 51, 100, 1);
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET) continue;
    const Ipv4 address{ntohl(reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr.s_addr)};
    if (address.bits >> 24 != 127) found = address;
  }
  ::freeifaddrs(list);
  return found;
}

/// Lets the fuzzer get past addresses, lengths and checksums, each when it wants to.
void put_right(Bytes& frame, std::uint8_t how, Ipv4 outside, std::uint32_t sequence) {
  if (frame.size() < ethernet_header + 20 || frame.size() > 60'000) return;
  std::uint8_t* ip = frame.data() + ethernet_header;
  std::ranges::copy(subnet.gateway_mac(), frame.begin());
  std::ranges::copy(member.lease.mac, frame.begin() + 6);
  store16(frame.data() + 12, ethertype_ipv4);
  store32(ip + 12, member.lease.address.bits);
  if (how & 1) {
    ip[0] = 0x45;
    store16(ip + 2, static_cast<unsigned>(frame.size() - ethernet_header));
    if (how & 16) store16(ip + 6, 0);
  }
  constexpr Ipv4 metadata = metadata_address, wire = wire_server_address;
  const Ipv4 targets[] = {outside, wire, subnet.gateway(), metadata};
  store32(ip + 16, targets[how >> 1 & 3].bits);
  store16(ip + 10, 0);
  store16(ip + 10, checksum_end(checksum_add(0, {ip, 20})));
  auto packet = parse_ipv4_packet(frame);
  if (!packet || !(how & 8)) return;
  if (packet->is(IpProtocol::icmp) && packet->payload.size() >= 8) {
    store16(packet->payload.data() + 2, 0);
    store16(packet->payload.data() + 2, checksum_end(checksum_add(0, packet->payload)));
  } else if (packet->is(IpProtocol::udp) && packet->payload.size() >= 8) {
    store16(packet->payload.data() + 6, 0);
  } else if (const auto segment = parse_tcp(*packet)) {
    TcpHeader header = segment->header;
    if (how & 32) header.acknowledged = sequence;
    const std::uint16_t urgent = load16(packet->payload.data() + 18);
    rewrite_tcp(*packet, header, segment->data.size());
    if (how & 64) {  // with the urgent pointer as it was, and its checksum
      std::uint8_t* at = packet->payload.data();
      store16(at + 18, urgent);
      std::uint32_t sum = static_cast<std::uint16_t>(~load16(at + 16));
      store16(at + 16, checksum_end(sum + urgent));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  [[maybe_unused]] static const auto as_the_switch_does = ::signal(SIGPIPE, SIG_IGN);
  static const Ipv4 outside = own_address();
  static const TemporaryFolder folder;
  static const Fd door = listen_unix(folder / "endpoint", 128);  // more than an input has frames
  Gateway gateway(subnet, {Egress::Policy::hosts, {to_string(outside)}});
  Reassembler pieces;
  auto now = std::chrono::steady_clock::now();
  std::uint32_t sequence = 0;
  Nat nat(member.lease, [&](std::span<std::uint8_t> frame) {
    if (const auto packet = parse_ipv4_packet(frame))
      if (const auto segment = parse_tcp(*packet))
        sequence = segment->header.sequence + ((segment->header.flags & tcp_syn) ? 1 : 0);
    gateway.from_nat(member, frame, now);
  });
  for (const Endpoint endpoint : endpoints) nat.serve(endpoint, folder / "endpoint");
  PollSet set;
  const auto work = [&] {
    set.clear(0);
    nat.fill(set, true, now);
    set.wait();
    nat.poll(set, now);
  };
  std::vector<Fd> clients;
  std::span rest(data, size);
  for (int frames = 0; rest.size() > 3 && frames < 64; ++frames) {
    const std::uint8_t how = rest[0];
    const std::size_t length = std::min<std::size_t>(load16(rest.data() + 1), rest.size() - 3);
    Bytes frame(rest.begin() + 3, rest.begin() + 3 + static_cast<std::ptrdiff_t>(length));
    rest = rest.subspan(3 + length);
    put_right(frame, how, outside, sequence);
    std::span<std::uint8_t> whole(frame);
    std::optional<Bytes> made;
    if (const auto piece = gateway.piece_for_gateway(member, frame)) {
      made = pieces.add(frame, *piece, now);
      if (!made) continue;
      whole = *made;
    }
    if (gateway.from_machine(member, whole, now).path == Gateway::Path::nat) nat.input(whole, now);
    while (Fd client{::accept4(door.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)})
      clients.push_back(std::move(client));
    if (how & 128) {
      if (clients.size() > 1) clients.clear();  // those who serve endpoints may leave, too
      now += std::chrono::milliseconds(500);
      work();
    }
    if (nat.guard().connections() > 64 || pieces.bytes() > Reassembler::most_bytes) std::abort();
  }
  work();
  return 0;
}
