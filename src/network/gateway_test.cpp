#include "network/gateway.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "network/test_machine.h"

namespace berth::network {
namespace {

using testing::IsEmpty;
using testing::Not;
using Path = Gateway::Path;

const Gateway::Time now{std::chrono::hours(1000)};
const Subnet subnet{*parse_cidr("10.0.0.0/16")};
const Mac own_mac = {0, 0x0d, 0x3a, 0, 0, 1}, other_mac = {0, 0x0d, 0x3a, 0, 0, 2};
const Ipv4 own = ipv4(10, 0, 0, 4), other = ipv4(10, 0, 0, 5), world = ipv4(93, 184, 216, 34);
const Member member{{own_mac, own, "web1", subnet}, {true, true, true}};

Bytes udp(Ipv4 from, Ipv4 to, std::uint16_t port, const Mac& to_mac = subnet.gateway_mac(),
          const Mac& from_mac = own_mac, std::uint16_t from_port = 40'000, const Bytes& data = {1, 2, 3}) {
  return udp_frames({from_mac, from, from_port}, {to_mac, to, port}, data).front();
}

Bytes tcp(Ipv4 from, Ipv4 to, std::uint16_t port, std::uint8_t flags = tcp_syn,
          const Mac& to_mac = subnet.gateway_mac()) {
  return tcp_frame({own_mac, from, 40'000}, {to_mac, to, port}, {1, 1, flags});
}

Gateway::Decision decide(const Gateway& gateway, Bytes& frame) {
  return gateway.from_machine(member, frame, now);
}
Gateway::Decision decide(const Gateway& gateway, Bytes&& frame) {
  return gateway.from_machine(member, frame, now);
}

bool dropped(const Gateway::Decision& decision) {
  return decision.path == Path::nowhere && decision.answer.empty();
}

TEST(Gateway, CarriesFramesBetweenMachines) {
  const Gateway gateway(subnet);
  EXPECT_EQ(decide(gateway, udp(own, other, 9, other_mac)).path, Path::machine);
  EXPECT_EQ(decide(gateway, tcp(own, other, 22, 0x02, other_mac)).path, Path::machine);
  EXPECT_EQ(decide(gateway, udp(own, everybody, 9, broadcast_mac)).path, Path::machines);
  EXPECT_EQ(decide(gateway, udp(own, ipv4(10, 0, 255, 255), 9, broadcast_mac)).path, Path::machines);
  EXPECT_EQ(decide(gateway, udp(own, ipv4(224, 0, 0, 251), 5353, {1, 0, 0x5e, 0, 0, 0xfb})).path,
            Path::machines);
}

TEST(Gateway, DropsFramesWithASpoofedSource) {
  const Gateway gateway(subnet);
  EXPECT_TRUE(dropped(decide(gateway, udp(own, other, 9, other_mac, other_mac)))) << "MAC";
  EXPECT_TRUE(dropped(decide(gateway, udp(other, own, 9, other_mac)))) << "address";
  EXPECT_TRUE(dropped(decide(gateway, tcp(other, wire_server_address, 80)))) << "address towards an endpoint";
  EXPECT_TRUE(dropped(decide(gateway, udp({}, everybody, 9, broadcast_mac)))) << "0.0.0.0 without DHCP";
}

TEST(Gateway, DropsSpoofedArp) {
  const Gateway gateway(subnet);
  EXPECT_EQ(decide(gateway, arp_announcement(own_mac, own)).path, Path::machines);
  EXPECT_TRUE(dropped(decide(gateway, arp_announcement(own_mac, other))));
  EXPECT_TRUE(dropped(decide(gateway, arp_announcement(own_mac, subnet.gateway()))));
  Bytes inner = arp_announcement(own_mac, own);
  inner[22 + 5] = 9;
  EXPECT_TRUE(dropped(decide(gateway, inner))) << "right outside, wrong inside";
  Bytes reply = arp_reply(arp_announcement(other_mac, other), own_mac, subnet.gateway());
  EXPECT_TRUE(dropped(decide(gateway, reply))) << "an unasked reply in the gateway's name";
}

TEST(Gateway, AnswersArpForItselfTheNameServerAndTheEndpoints) {
  const Gateway gateway(subnet);
  for (const Ipv4 target : {subnet.gateway(), subnet.name_server(), wire_server_address, metadata_address}) {
    Bytes request = arp_announcement(own_mac, own);
    store32(request.data() + ethernet_header + 24, target.bits);
    const auto decision = decide(gateway, request);
    EXPECT_EQ(decision.path, Path::nowhere);
    EXPECT_EQ(decision.answer, arp_reply(request, subnet.gateway_mac(), target));
  }
  Bytes link_local = arp_announcement(own_mac, own);
  store32(link_local.data() + ethernet_header + 24, ipv4(169, 254, 9, 9).bits);
  EXPECT_TRUE(dropped(decide(gateway, link_local)));
}

TEST(Gateway, LetsNothingButArpAndIpv4Pass) {
  const Gateway gateway(subnet);
  for (const unsigned type : {0x86ddu, 0x8100u, 0x88ccu, 0x0806u, 0u}) {
    Bytes frame = udp(own, other, 9, other_mac);
    store16(frame.data() + 12, type);
    EXPECT_TRUE(dropped(decide(gateway, frame))) << type;
  }
  for (std::size_t size = 0; size < 34; ++size) EXPECT_TRUE(dropped(decide(gateway, Bytes(size)))) << size;
}

TEST(Gateway, LetsNoMachineSpeakDhcpToAnother) {
  const Gateway gateway(subnet);
  for (const auto& [to, mac] : {std::pair{other, other_mac}, {everybody, broadcast_mac}}) {
    EXPECT_TRUE(dropped(decide(gateway, udp(own, to, 68, mac, own_mac, 67))));
    EXPECT_TRUE(dropped(decide(gateway, udp(own, to, 68, mac))))
        << "some clients look at their own port only";
    EXPECT_TRUE(dropped(decide(gateway, udp(own, to, 9, mac, own_mac, 67))));
    Bytes first = udp(own, to, 68, mac, own_mac, 67, Bytes(64));
    store16(first.data() + ethernet_header + 6, 0x2000);
    EXPECT_TRUE(dropped(decide(gateway, first))) << "in pieces";
    Bytes tiny = udp(own, to, 9, mac);
    tiny.resize(ethernet_header + 24);
    store16(tiny.data() + ethernet_header + 2, 24);
    store16(tiny.data() + ethernet_header + 6, 0x2000);
    EXPECT_TRUE(dropped(decide(gateway, tiny))) << "the ports in two pieces";
  }
}

TEST(Gateway, AnswersPingsToItselfWhateverThePolicy) {
  for (const auto policy : {Egress::Policy::full, Egress::Policy::none}) {
    const Gateway gateway(subnet, {policy, {}});
    for (const Ipv4 to : {subnet.gateway(), subnet.name_server()}) {
      Bytes ping = udp(own, to, 9, subnet.gateway_mac(), own_mac, 9, Bytes(33, 'p'));
      std::uint8_t* ip = ping.data() + ethernet_header;
      ip[9] = 1;
      store16(ip + 10, 0);
      store16(ip + 10, checksum_end(checksum_add(0, {ip, 20})));
      store32(ip + 20, 0x08000000);
      store16(ip + 22, checksum_end(checksum_add(0, std::span(ping).subspan(ethernet_header + 20))));
      ASSERT_TRUE(checksums_hold(ping));
      auto decision = decide(gateway, ping);
      EXPECT_EQ(decision.path, Path::nowhere);
      ASSERT_THAT(decision.answer, Not(IsEmpty()));
      EXPECT_TRUE(checksums_hold(decision.answer));
      const auto pong = parse_ipv4_packet(decision.answer);
      EXPECT_EQ(pong->source, to);
      EXPECT_EQ(pong->destination, own);
      EXPECT_EQ(pong->payload[0], 0);
      EXPECT_TRUE(
          std::ranges::equal(pong->payload.subspan(4), std::span(ping).subspan(ethernet_header + 24)));
      ping.back() ^= 1;
      EXPECT_TRUE(dropped(decide(gateway, ping))) << "a wrong checksum";
    }
  }
}

TEST(Gateway, LetsNoFragmentToTheOutside) {
  const Gateway gateway(subnet);
  for (const Ipv4 to : {world, subnet.gateway(), subnet.name_server(), wire_server_address}) {
    for (const unsigned field : {0x2000u, 0x2001u, 0x0001u, 0x1fffu}) {
      Bytes fragment = udp(own, to, 53, subnet.gateway_mac(), own_mac, 40'000, Bytes(64));
      store16(fragment.data() + ethernet_header + 6, field);
      EXPECT_TRUE(gateway.piece_for_gateway(member, fragment)) << "it is made whole before";
      EXPECT_TRUE(dropped(decide(gateway, fragment)));
    }
  }
  Bytes spoofed = udp(other, world, 53);
  store16(spoofed.data() + ethernet_header + 6, 0x2000);
  EXPECT_FALSE(gateway.piece_for_gateway(member, spoofed));
}

TEST(Gateway, AnswersDhcpBeforeTheMachineHasAnAddress) {
  const Gateway gateway(subnet);
  const Bytes data = dhcp_message(own_mac, 1);
  const auto decision = decide(gateway, udp({}, everybody, 67, broadcast_mac, own_mac, 68, data));
  EXPECT_EQ(decision.path, Path::nowhere);
  EXPECT_THAT(decision.answer, Not(IsEmpty()));
  EXPECT_TRUE(dropped(decide(gateway, udp(other, everybody, 67, broadcast_mac, own_mac, 68, data))));
}

TEST(Gateway, LeadsEachEndpointToItsHiddenPortAndBack) {
  Gateway gateway(subnet);
  for (const Endpoint endpoint : endpoints) {
    const auto [address, port] = public_address(endpoint);
    Bytes frame = tcp(own, address, port);
    EXPECT_EQ(decide(gateway, frame).path, Path::nat);
    const auto inside = *parse_ipv4_packet(frame);
    EXPECT_EQ(inside.destination, subnet.hidden());
    EXPECT_EQ(inside.destination_port, hidden_port(endpoint));
    EXPECT_EQ(inside.source, own);

    EXPECT_TRUE(checksums_hold(frame));

    Bytes reply = tcp_frame({subnet.gateway_mac(), subnet.hidden(), hidden_port(endpoint)},
                            {own_mac, own, 40'000}, {1, 1, tcp_ack}, "data");
    ASSERT_TRUE(gateway.from_nat(member, reply, now));
    const auto back = *parse_ipv4_packet(reply);
    EXPECT_EQ(back.source, address);
    EXPECT_EQ(back.source_port, port);
    EXPECT_TRUE(checksums_hold(reply));
  }
}

/// Answered with a TCP reset.
bool reset(const Gateway::Decision& decision) {
  Bytes answer = decision.answer;
  const auto packet = parse_ipv4_packet(answer);
  return decision.path == Path::nowhere && packet && packet->is(IpProtocol::tcp) &&
         (packet->payload[13] & 0x04);
}

TEST(Gateway, RefusesEndpointsThatAreNotServedAndOtherPortsOfThem) {
  const Gateway gateway(subnet);
  EXPECT_TRUE(reset(decide(gateway, tcp(own, wire_server_address, 81))));
  EXPECT_TRUE(reset(decide(gateway, tcp(own, wire_server_address, 443))));
  EXPECT_TRUE(reset(decide(gateway, tcp(own, metadata_address, 32'526))));
  Member without = member;
  without.serves[static_cast<int>(Endpoint::metadata)] = false;
  Bytes frame = tcp(own, metadata_address, 80);
  EXPECT_TRUE(reset(gateway.from_machine(without, frame, now)));
  const auto decision = decide(gateway, udp(own, wire_server_address, 80));
  EXPECT_EQ(decision.path, Path::nowhere) << "UDP is not served";
}

TEST(Gateway, DropsLinkLocalTrafficInSilence) {
  const Gateway gateway(subnet);
  EXPECT_TRUE(dropped(decide(gateway, tcp(own, ipv4(169, 254, 1, 1), 80))));
  EXPECT_TRUE(dropped(decide(gateway, udp(own, ipv4(169, 254, 169, 253), 53))));
  EXPECT_TRUE(dropped(decide(gateway, udp(own, ipv4(169, 254, 1, 1), 9, other_mac))));
  EXPECT_TRUE(dropped(decide(gateway, udp(own, ipv4(169, 254, 255, 255), 9, broadcast_mac))));
}

TEST(Gateway, NeverLeadsToTheHostsLoopbackOrBackIntoTheNetwork) {
  const Gateway gateway(subnet);
  for (const Ipv4 to : {ipv4(127, 0, 0, 1), ipv4(127, 1, 2, 3), ipv4(0, 0, 0, 0), subnet.hidden(), other,
                        subnet.broadcast(), everybody, ipv4(224, 0, 0, 1)}) {
    EXPECT_NE(decide(gateway, tcp(own, to, 22)).path, Path::nat) << to_string(to);
    EXPECT_NE(decide(gateway, udp(own, to, 9)).path, Path::nat) << to_string(to);
  }
  EXPECT_TRUE(reset(decide(gateway, tcp(own, subnet.gateway(), 22))));
}

TEST(Gateway, LetsAnswersThroughForwardedPortsOut) {
  const Gateway gateway(subnet);
  EXPECT_EQ(decide(gateway, tcp(own, subnet.gateway(), 50'000, 0x12)).path, Path::nat);
  EXPECT_EQ(decide(gateway, udp(own, subnet.gateway(), 50'000)).path, Path::forwarded_udp);
}

TEST(Gateway, DropsIpOptionsAndFragmentsToTheEndpoints) {
  const Gateway gateway(subnet);
  Bytes options = udp(own, world, 9);
  options[ethernet_header] = 0x46;
  EXPECT_TRUE(dropped(decide(gateway, options)));
  Bytes fragment = tcp(own, wire_server_address, 80);
  store16(fragment.data() + ethernet_header + 6, 0x2000);
  EXPECT_TRUE(dropped(decide(gateway, fragment)));
}

TEST(Gateway, RulesTheWayOutByThePolicy) {
  const Gateway full(subnet, {Egress::Policy::full, {}});
  EXPECT_EQ(decide(full, tcp(own, world, 443)).path, Path::nat);
  EXPECT_EQ(decide(full, udp(own, world, 443)).path, Path::nat);

  const Gateway none(subnet, {Egress::Policy::none, {}});
  EXPECT_TRUE(reset(decide(none, tcp(own, world, 443)))) << "told at once, not after minutes";
  EXPECT_EQ(decide(none, udp(own, world, 443)).path, Path::nowhere);
  EXPECT_EQ(decide(none, tcp(own, wire_server_address, 80)).path, Path::nat)
      << "endpoints are not the outside";
  EXPECT_EQ(decide(none, udp(own, other, 9, other_mac)).path, Path::machine)
      << "neighbours are not the outside";
}

const Bytes dns_question = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'd', 'e', 'b', 0, 0, 1, 0, 1};
const Bytes answer = {0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 3, 'd', 'e', 'b', 0,   0, 1,
                      0, 1, 0xc0, 12,   0, 1, 0, 1, 0, 0, 0, 9, 0, 4,   93,  184, 216, 34};

Bytes dns(Ipv4 server) {
  return udp(own, server, 53, subnet.gateway_mac(), own_mac, 40'000, dns_question);
}

TEST(Gateway, PassesQuestionsOnToTheNameServerFromBothItsAddresses) {
  Gateway gateway(subnet);
  Bytes plain = dns(subnet.name_server());
  EXPECT_EQ(decide(gateway, plain).path, Path::nat);
  EXPECT_EQ(parse_ipv4_packet(plain)->destination, subnet.name_server());

  Bytes azure = dns(wire_server_address);
  EXPECT_EQ(decide(gateway, azure).path, Path::nat);
  const auto inside = *parse_ipv4_packet(azure);
  EXPECT_EQ(inside.destination, subnet.name_server());
  Bytes reply =
      udp_frames({subnet.gateway_mac(), inside.destination, 53}, {own_mac, inside.source, 40'000}, answer)
          .front();
  ASSERT_TRUE(gateway.from_nat(member, reply, now));
  const auto back = *parse_ipv4_packet(reply);
  EXPECT_EQ(back.source, wire_server_address) << "the answer comes from where the question went";
  EXPECT_EQ(back.destination, own);
  EXPECT_TRUE(checksums_hold(reply));
}

TEST(Gateway, AnswersQuestionsForItsOwnMachinesAtBothAddresses) {
  Gateway gateway(subnet, {Egress::Policy::none, {}});
  gateway.names().add("deb", other);
  for (const Ipv4 server : {subnet.name_server(), wire_server_address}) {
    auto decision = decide(gateway, dns(server));
    const auto packet = parse_ipv4_packet(decision.answer);
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->source, server);
    EXPECT_EQ(packet->destination_port, 40'000);
    EXPECT_THAT(read_dns_answer(packet->udp_data())->addresses, testing::ElementsAre(other));
  }
}

TEST(Gateway, RefusesOtherQuestionsWhenNothingMayLeave) {
  const Gateway gateway(subnet, {Egress::Policy::none, {}});
  auto decision = decide(gateway, dns(subnet.name_server()));
  const auto packet = parse_ipv4_packet(decision.answer);
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->udp_data()[3] & 15, 5);
  EXPECT_TRUE(reset(decide(gateway, tcp(own, subnet.name_server(), 53))));
}

TEST(Gateway, LearnsFromTheNameServersAnswersWhereAllowedNamesLead) {
  Gateway gateway(subnet, {Egress::Policy::hosts, {"deb"}});
  EXPECT_NE(decide(gateway, tcp(own, world, 80)).path, Path::nat);
  Bytes forged =
      udp_frames({subnet.gateway_mac(), ipv4(6, 6, 6, 6), 53}, {own_mac, own, 40'000}, answer).front();
  EXPECT_FALSE(gateway.from_nat(member, forged, now));
  EXPECT_NE(decide(gateway, tcp(own, world, 80)).path, Path::nat);
  Bytes reply =
      udp_frames({subnet.gateway_mac(), subnet.name_server(), 53}, {own_mac, own, 40'000}, answer).front();
  EXPECT_TRUE(gateway.from_nat(member, reply, now));
  EXPECT_EQ(decide(gateway, tcp(own, world, 80)).path, Path::nat);
}

TEST(Gateway, LetsNothingInFromWhereNothingMayGo) {
  Gateway gateway(subnet, {Egress::Policy::none, {}});
  Bytes stray = udp_frames({subnet.gateway_mac(), world, 9}, {own_mac, own, 40'000}, {}).front();
  EXPECT_FALSE(gateway.from_nat(member, stray, now));
  Bytes foreign = udp_frames({subnet.gateway_mac(), subnet.gateway(), 9}, {own_mac, other, 9}, {}).front();
  EXPECT_FALSE(gateway.from_nat(member, foreign, now));
}

}  // namespace
}  // namespace berth::network
