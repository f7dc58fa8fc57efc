#include "network/addresses.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace berth::network {

std::optional<Ipv4> parse_ipv4(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return Ipv4{ntohl(address.s_addr)};
}

std::optional<Mac> parse_mac(std::string_view text) {
  Mac mac{};
  if (text.size() != 17) return std::nullopt;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    const char* pair = text.data() + 3 * i;
    if (i > 0 && pair[-1] != ':') return std::nullopt;
    const auto [end, ec] = std::from_chars(pair, pair + 2, mac[i], 16);
    if (ec != std::errc{} || end != pair + 2) return std::nullopt;
  }
  return mac;
}

std::optional<Cidr> parse_cidr(std::string_view text) {
  Cidr cidr;
  const auto slash = text.find('/');
  const auto address = parse_ipv4(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), cidr.prefix);
    if (ec != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    if (cidr.prefix < 0 || cidr.prefix > 32) return std::nullopt;
  }
  cidr.first.bits = address->bits & cidr.mask();
  return cidr;
}

std::string to_string(Ipv4 address) {
  return fmt::format("{}.{}.{}.{}", address.bits >> 24, address.bits >> 16 & 255, address.bits >> 8 & 255,
                     address.bits & 255);
}

std::string to_string(const Mac& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                     mac[5]);
}

Mac Subnet::gateway_mac() const {
  const std::uint32_t bits = gateway().bits;
  return {0x52,
          0x55,
          static_cast<std::uint8_t>(bits >> 24),
          static_cast<std::uint8_t>(bits >> 16),
          static_cast<std::uint8_t>(bits >> 8),
          static_cast<std::uint8_t>(bits)};
}

}  // namespace berth::network
