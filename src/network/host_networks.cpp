#include "network/host_networks.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace berth::network {
namespace {

constexpr int most_attempts = 5;       // of an answer that changes while it is read
constexpr int shortest_network = 8;    // a wider one would be the whole internet
constexpr timeval answer_limit{1, 0};  // the kernel answers at once

Error unknown(const char* why) {
  return {ErrorKind::unavailable, "AddressesUnknown",
          fmt::format("The addresses of this host cannot be known: {}.", why)};
}

void add_address(const nlmsghdr& header, HostNetworks& found) {
  const auto& message = *static_cast<const ifaddrmsg*>(NLMSG_DATA(&header));
  if (message.ifa_family != AF_INET) return;
  auto length = static_cast<unsigned>(IFA_PAYLOAD(&header));
  for (const rtattr* part = IFA_RTA(&message); RTA_OK(part, length); part = RTA_NEXT(part, length)) {
    if ((part->rta_type != IFA_LOCAL && part->rta_type != IFA_ADDRESS) || RTA_PAYLOAD(part) != 4) continue;
    std::uint32_t bits;
    std::memcpy(&bits, RTA_DATA(part), sizeof bits);
    const Ipv4 address{ntohl(bits)};
    // Of a point-to-point link IFA_ADDRESS is the other end, with the prefix of the network behind it.
    if (part->rta_type == IFA_LOCAL) found.addresses.push_back(address);
    Cidr network{address, message.ifa_prefixlen};
    network.first.bits &= network.mask();
    if (network.prefix >= shortest_network && part->rta_type == IFA_ADDRESS)
      found.networks.push_back(network);
  }
}

}  // namespace

HostNetworksWatch::HostNetworksWatch()
    : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {
  sockaddr_nl here{};
  here.nl_family = AF_NETLINK;
  here.nl_groups = RTMGRP_IPV4_IFADDR;
  if (!socket_ || ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0)
    throw unknown(std::strerror(errno));
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &answer_limit, sizeof answer_limit);
  now_ = ask();
}

HostNetworks HostNetworksWatch::ask() {
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    struct {
      nlmsghdr header;
      ifaddrmsg message;
    } request{};
    request.header.nlmsg_len = sizeof request;
    request.header.nlmsg_type = RTM_GETADDR;
    request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.header.nlmsg_seq = ++asked_;
    request.message.ifa_family = AF_INET;
    HostNetworks found;
    if (::send(socket_.get(), &request, sizeof request, 0) == sizeof request && drain(&found)) {
      std::ranges::sort(found.addresses);
      return found;
    }
  }
  throw unknown("the kernel does not list them");
}

bool HostNetworksWatch::drain(HostNetworks* answer) {
  alignas(nlmsghdr) char bytes[32 * 1024];
  for (bool consistent = true;;) {
    const ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, answer ? 0 : MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS && !answer) continue;  // more changed than it kept for us
    if (got < 0) return !answer;
    auto left = static_cast<unsigned>(got);
    for (auto* header = reinterpret_cast<nlmsghdr*>(bytes); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (!answer || header->nlmsg_seq != asked_) continue;  // news: what we asked for has it, too
      if (header->nlmsg_flags & NLM_F_DUMP_INTR) consistent = false;
      if (header->nlmsg_type == NLMSG_DONE) return consistent;
      if (header->nlmsg_type == NLMSG_ERROR) return false;
      if (header->nlmsg_type == RTM_NEWADDR) add_address(*header, *answer);
    }
  }
}

void HostNetworksWatch::fill(PollSet& set) {
  index_ = set.add(socket_.get(), POLLIN);
}

bool HostNetworksWatch::poll(const PollSet& set) {
  if (set.events(index_) == 0) return false;
  drain(nullptr);
  try {
    HostNetworks found = ask();
    if (found == now_) return false;
    now_ = std::move(found);
  } catch (const Error& error) {  // what was closed stays closed
    spdlog::error("could not follow the addresses of this host why=\"{}\"", error.what());
    return false;
  }
  return true;
}

}  // namespace berth::network
