#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::network {

/// An IPv4 address; `bits` in host order.
struct Ipv4 {
  std::uint32_t bits = 0;
  auto operator<=>(const Ipv4&) const = default;
};

using Mac = std::array<std::uint8_t, 6>;

/// A block of addresses: "10.0.0.0/16". A bare address is a block of one.
struct Cidr {
  Ipv4 first;
  int prefix = 32;

  std::uint32_t mask() const { return prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix); }
  bool contains(Ipv4 address) const { return (address.bits & mask()) == first.bits; }
  bool operator==(const Cidr&) const = default;
};

std::optional<Ipv4> parse_ipv4(std::string_view text);
std::optional<Mac> parse_mac(std::string_view text);    ///< six pairs of hexadecimal digits with ':'
std::optional<Cidr> parse_cidr(std::string_view text);  ///< bits below the prefix are cleared

std::string to_string(Ipv4 address);
std::string to_string(const Mac& mac);

constexpr Ipv4 ipv4(unsigned a, unsigned b, unsigned c, unsigned d) {
  return {a << 24 | b << 16 | c << 8 | d};
}

constexpr Ipv4 wire_server_address = ipv4(168, 63, 129, 16);
constexpr Ipv4 metadata_address = ipv4(169, 254, 169, 254);
constexpr Ipv4 everybody = ipv4(255, 255, 255, 255);
constexpr Mac broadcast_mac = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

inline bool is_link_local(Ipv4 address) {
  return address.bits >> 16 == 0xa9fe;
}
inline bool is_group(const Mac& mac) {
  return mac[0] & 1;
}

/// The addresses of a virtual network that are ours, after Azure's rules: the first four and the last of a
/// subnet are never a VM's.
struct Subnet {
  Cidr block;

  Ipv4 gateway() const { return {block.first.bits + 1}; }
  Ipv4 hidden() const { return {block.first.bits + 2}; }  ///< what the gateway uses inside; no VM sees it
  Ipv4 name_server() const { return {block.first.bits + 3}; }
  Ipv4 broadcast() const { return {block.first.bits | ~block.mask()}; }
  Mac gateway_mac() const;  ///< the one libslirp puts into its frames
};

}  // namespace berth::network
