#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "api/arm/template_functions.h"

/// Of networks in CIDR notation, IPv4 and IPv6.
namespace berth::arm {
namespace {

using namespace template_functions;
using nlohmann::json;

__extension__ typedef unsigned __int128 AddressNumber;

struct CidrRange {
  AddressNumber first;  ///< its address, without what lies behind the prefix
  int length;           ///< of the prefix, in bits
  int bits;             ///< of an address: 32 or 128

  AddressNumber last() const { return first | host_mask(length); }
  AddressNumber host_mask(int prefix) const {
    const int host = bits - prefix;
    return host >= 128 ? ~AddressNumber{0} : (AddressNumber{1} << host) - 1;
  }
};

std::string address_text(AddressNumber number, int bits) {
  unsigned char bytes[16];
  const int size = bits / 8;
  for (int i = size - 1; i >= 0; --i, number >>= 8) bytes[i] = static_cast<unsigned char>(number & 0xff);
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(bits == 32 ? AF_INET : AF_INET6, bytes, text, sizeof text);
}
std::string range_text(const CidrRange& network) {
  return fmt::format("{}/{}", address_text(network.first, network.bits), network.length);
}

std::optional<CidrRange> parse_range(const std::string& text) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos || text.size() - slash < 2 || text.size() - slash > 4) return std::nullopt;
  int length = 0;
  for (const char digit : text.substr(slash + 1)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    length = length * 10 + (digit - '0');
  }
  const std::string address = text.substr(0, slash);
  const int bits = address.find(':') == address.npos ? 32 : 128;
  unsigned char bytes[16];
  if (length > bits || ::inet_pton(bits == 32 ? AF_INET : AF_INET6, address.c_str(), bytes) != 1)
    return std::nullopt;
  CidrRange network{.first = 0, .length = length, .bits = bits};
  for (int i = 0; i < bits / 8; ++i) network.first = (network.first << 8) | bytes[i];
  network.first &= ~network.host_mask(length);
  return network;
}

CidrRange range_argument(const Arguments& arguments) {
  const std::string& written = text(arguments, 0);
  const auto network = parse_range(written);
  if (!network)
    refuse(fmt::format("argument 1 must be a network in CIDR notation such as '10.0.0.0/16', not '{}'",
                       written.substr(0, 100)));
  return *network;
}

json parse_cidr(Arguments& arguments) {
  const CidrRange network = range_argument(arguments);
  const auto text = [&](AddressNumber number) { return address_text(number, network.bits); };
  const AddressNumber all = CidrRange{.first = 0, .length = 0, .bits = network.bits}.last();
  json made = {{"network", text(network.first)},
               {"netmask", text(all & ~network.host_mask(network.length))},
               {"firstUsable", text(network.first)},
               {"lastUsable", text(network.last())},
               {"cidr", network.length}};
  if (network.bits != 32) return made;
  made["broadcast"] = text(network.last());
  if (network.length <= 30) {  // the first and the last address are the network's own
    made["firstUsable"] = text(network.first + 1);
    made["lastUsable"] = text(network.last() - 1);
  }
  return made;
}

json cidr_subnet(Arguments& arguments) {
  const CidrRange network = range_argument(arguments);
  const std::int64_t length = whole(arguments, 1), index = whole(arguments, 2);
  if (length < network.length || length > network.bits)
    refuse(fmt::format("argument 2 must be a prefix length from {} to {}, not {}", network.length,
                       network.bits, length));
  CidrRange subnet{.first = network.first, .length = static_cast<int>(length), .bits = network.bits};
  const int index_bits = subnet.length - network.length;
  if (index < 0 || (index_bits < 63 && index >= std::int64_t{1} << index_bits))
    refuse(fmt::format("the network {} has no subnet {} of prefix length {}", range_text(network), index,
                       length));
  if (index > 0) subnet.first += static_cast<AddressNumber>(index) << (network.bits - subnet.length);
  return range_text(subnet);
}

json cidr_host(Arguments& arguments) {
  const CidrRange network = range_argument(arguments);
  const std::int64_t index = whole(arguments, 1);
  // The first address is the network's, and in IPv4 the last is for all.
  const AddressNumber behind = network.last() - network.first;
  const AddressNumber hosts = network.bits == 32 ? std::max<AddressNumber>(behind, 1) - 1 : behind;
  if (index < 0 || static_cast<AddressNumber>(index) >= hosts)
    refuse(fmt::format("the network {} has no host {}", range_text(network), index));
  return address_text(network.first + 1 + static_cast<AddressNumber>(index), network.bits);
}

constexpr TemplateFunction cidr_table[] = {
    {"cidrHost", 2, 2, cidr_host},
    {"cidrSubnet", 3, 3, cidr_subnet},
    {"parseCidr", 1, 1, parse_cidr},
};

}  // namespace

std::span<const TemplateFunction> template_functions::cidr() {
  return cidr_table;
}

}  // namespace berth::arm
