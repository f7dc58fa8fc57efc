#include "network/port_probes.h"

#include <algorithm>

namespace berth::network {
namespace {

using std::chrono::milliseconds;

// A closed port is asked often, since somebody may wait for it, and less so after half a minute; an open one
// seldom: whoever connects to one that has closed meanwhile is reset, and that is noticed.
constexpr milliseconds closed_pause{250}, open_pause{1000};
constexpr int patience = 32;               // the pause is at most that part of the time it has been closed
constexpr milliseconds pause_per_port{5};  // at most 200 questions a second
constexpr milliseconds doubt_pause{50};    // at the least between two questions
constexpr std::chrono::seconds probe_silence{10};  // a machine that answers nothing: it boots, or is gone

}  // namespace

void PortProbes::watch(const std::set<std::uint16_t>& wanted) {
  std::erase_if(probes_, [&](const auto& probe) { return !wanted.contains(probe.first); });
  for (const std::uint16_t port : wanted) probes_.try_emplace(port);
}

bool PortProbes::open(std::uint16_t port) const {
  const auto probe = probes_.find(port);
  return probe != probes_.end() && probe->second.open;
}

void PortProbes::machine_left() {
  for (auto& [port, probe] : probes_) probe = {};
}

void PortProbes::machine_pauses() {
  for (auto& [port, probe] : probes_)
    if (probe.answered == Time{}) probe.open = true;
}

void PortProbes::machine_goes_on(Time now) {
  for (auto& [port, probe] : probes_) {
    probe.next = now;
    if (probe.open) probe.answered = now;
  }
}

void PortProbes::doubt(std::uint16_t port, Time now) {
  if (const auto probe = probes_.find(port); probe != probes_.end())
    probe->second.next = std::min(probe->second.next, now + doubt_pause);
}

std::optional<PortProbes::Time> PortProbes::next() const {
  std::optional<Time> earliest;
  for (const auto& [port, probe] : probes_)
    if (!earliest || probe.next < *earliest) earliest = probe.next;
  return earliest;
}

std::vector<Bytes> PortProbes::due(Time now) {
  std::vector<Bytes> frames;
  for (auto& [port, probe] : probes_) {
    if (now < probe.next) continue;
    if (probe.changed == Time{}) probe.changed = now;
    if (probe.open && now - probe.answered > probe_silence) set_open(probe, false, now);
    const auto from = static_cast<std::uint16_t>(first_port + questions_++ % ports);
    const End gateway{lease_.subnet.gateway_mac(), lease_.subnet.gateway(), from};
    frames.push_back(tcp_frame(gateway, {lease_.mac, lease_.address, port}, {0, 0, tcp_syn, 0}));
    const auto usual =
        probe.open ? open_pause
                   : std::clamp(std::chrono::duration_cast<milliseconds>((now - probe.changed) / patience),
                                closed_pause, open_pause);
    probe.next = now + std::max(usual, static_cast<int>(probes_.size()) * pause_per_port);
  }
  return frames;
}

void PortProbes::set_open(Probe& probe, bool open, Time now) {
  if (probe.open != open) probe.changed = now;
  probe.open = open;
}

std::optional<Bytes> PortProbes::take(const Ipv4Packet& packet, Time now) {
  if (!packet.is(IpProtocol::tcp) || packet.destination != lease_.subnet.gateway() ||
      !is_probe_port(packet.destination_port))
    return std::nullopt;
  const auto segment = parse_tcp(packet);
  if (!segment) return Bytes{};
  const std::uint8_t flags = segment->header.flags;
  const bool opens = (flags & (tcp_syn | tcp_ack | tcp_rst)) == (tcp_syn | tcp_ack);
  if (const auto found = probes_.find(packet.source_port); found != probes_.end()) {
    Probe& probe = found->second;
    probe.answered = now;
    if (opens || (flags & tcp_rst)) set_open(probe, opens, now);
  }
  if (!opens) return Bytes{};
  const End gateway{lease_.subnet.gateway_mac(), lease_.subnet.gateway(), packet.destination_port};
  return tcp_frame(gateway, {lease_.mac, lease_.address, packet.source_port},
                   {segment->header.acknowledged, 0, tcp_rst, 0});
}

}  // namespace berth::network
