#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "network/addresses.h"
#include "network/packet.h"

/// As much of DNS (RFC 1035) as the switch speaks: answers for the names of its own machines, and a reading
/// of other servers' answers.
namespace berth::network {

/// The machines of one network by name. Names compare without regard to case.
class HostNames {
 public:
  HostNames() = default;
  explicit HostNames(Cidr block) : block_(block) {}

  /// The first machine of a name keeps it.
  void add(std::string_view host_name, Ipv4 address);

  /// Answers questions for HOST and HOST.internal, and reverse questions for addresses of the block. nullopt:
  /// not ours, ask the name server. Malformed messages are not ours either.
  std::optional<Bytes> answer(std::span<const std::uint8_t> question) const;

 private:
  std::map<std::string, Ipv4, std::less<>> addresses_;
  std::map<Ipv4, std::string> names_;
  Cidr block_;
};

/// "I may not say" (REFUSED) to any well-formed question; nullopt otherwise.
std::optional<Bytes> refuse_dns(std::span<const std::uint8_t> question);

/// What a name server told: the name asked for, in lower case and without the last dot, and all IPv4
/// addresses of the answer, whatever aliases lead to them.
struct DnsAnswer {
  std::string name;
  std::vector<Ipv4> addresses;
};
/// nullopt for anything but a whole answer without error.
std::optional<DnsAnswer> read_dns_answer(std::span<const std::uint8_t> message);

}  // namespace berth::network
