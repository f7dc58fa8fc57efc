#include "cli/vm/port_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace berth {
namespace {

/// True when `next` goes on with what `last` ends: the next number in each of its places, for the same reason.
bool goes_on(const PublicPort& last, const PublicPort& next) {
  return last.protocol == next.protocol && last.moved_because == next.moved_because &&
         next.port == last.port + 1 &&
         (last.host_port == 0 ? next.host_port == 0 : next.host_port == last.host_port + 1) &&
         next.guest_port == last.guest_port + 1;
}

std::string range(std::uint16_t from, std::uint16_t to) {
  return from == to ? std::to_string(from) : fmt::format("{}-{}", from, to);
}

std::string line(const PublicPort& first, const PublicPort& last) {
  std::string text = fmt::format("{}/{} open", range(first.port, last.port), first.protocol);
  if (first.host_port != 0 && first.host_port != first.port)
    text += " as " + range(first.host_port, last.host_port);
  if (first.guest_port != 0 && first.guest_port != first.port)
    text += ", leads to " + range(first.guest_port, last.guest_port);
  return first.moved_because.empty() ? text : fmt::format("{} ({})", text, first.moved_because);
}

}  // namespace

std::vector<std::string> port_lines(std::vector<PublicPort> ports) {
  std::ranges::sort(ports, {}, [](const PublicPort& port) { return std::tuple(port.protocol, port.port); });
  std::vector<std::string> lines;
  for (std::size_t first = 0, last = 0; first < ports.size(); first = ++last) {
    while (last + 1 < ports.size() && goes_on(ports[last], ports[last + 1])) ++last;
    lines.push_back(line(ports[first], ports[last]));
  }
  return lines;
}

}  // namespace berth
