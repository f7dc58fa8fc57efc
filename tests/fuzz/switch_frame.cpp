// Frames from a guest, and from the NAT, through all rules of the virtual network: ARP, DHCP, DNS, rewriting.
// The first byte says what is put right before, so that the fuzzer gets past the first checks.
#include <cstdlib>

#include "network/gateway.h"

using namespace berth;
using namespace berth::network;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

const Subnet subnet{{ipv4(10, 0, 0, 0), 16}};
const Member member{{{0, 0x0d, 0x3a, 0, 0, 1}, ipv4(10, 0, 0, 4), "web1", subnet}, {true, true, false}};
const Gateway::Time now{std::chrono::hours(1000)};

/// Whatever a machine sends, its NAT gets nothing from another source, nor for the host or the machine's
/// neighbours.
void check_nat(std::span<std::uint8_t> frame) {
  const auto packet = parse_ipv4_packet(frame);
  require(packet.has_value());
  require(packet->source == member.lease.address || packet->source == subnet.hidden());
  const Ipv4 to = packet->destination;
  require(to.bits >> 24 != 127 && to.bits >> 24 != 0 && !is_link_local(to) && to != wire_server_address);
  require(!subnet.block.contains(to) || to == subnet.gateway() || to == subnet.hidden() ||
          to == subnet.name_server());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::uint8_t how = data[0];
  Bytes frame(data + 1, data + size);
  if ((how & 1) && frame.size() >= ethernet_header + 20) {  // addresses of the machine
    std::ranges::copy((how & 4) ? broadcast_mac : subnet.gateway_mac(), frame.begin());
    std::ranges::copy(member.lease.mac, frame.begin() + 6);
    store32(frame.data() + ethernet_header + 12, member.lease.address.bits);
  }
  if ((how & 2) && frame.size() >= ethernet_header + 20 && frame.size() < 65'000) {  // a sane IPv4 header
    store16(frame.data() + 12, ethertype_ipv4);
    frame[ethernet_header] = 0x45;
    store16(frame.data() + ethernet_header + 2, static_cast<unsigned>(frame.size() - ethernet_header));
  }
  const Egress egress{(how & 8)    ? Egress::Policy::hosts
                      : (how & 16) ? Egress::Policy::none
                                   : Egress::Policy::full,
                      {"pkg.mirror.lan", "198.51.100.0/24"}};
  Gateway gateway(subnet, egress);
  gateway.names().add("web1", member.lease.address);
  gateway.names().add("db", ipv4(10, 0, 0, 5));

  if (how & 32) {
    if (gateway.from_nat(member, frame, now)) {
      const auto packet = parse_ipv4_packet(frame);
      require(packet && packet->destination == member.lease.address && packet->source != subnet.hidden());
    }
    return 0;
  }
  const auto decision = gateway.from_machine(member, frame, now);
  if (decision.path == Gateway::Path::nat) check_nat(frame);
  if (!decision.answer.empty()) {
    Bytes answer = decision.answer;
    require(ethertype(answer) == ethertype_arp || parse_ipv4_packet(answer).has_value());
    gateway.from_machine(member, answer, now);
  }
  return 0;
}
