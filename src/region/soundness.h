#pragma once

#include <string>

#include "model/resources.h"

/// Whether what the store gives can be what the region once wrote. The region relies on this of all that it
/// holds: that an interface has a configuration, a network a block, an id its digits.
namespace berth {

/// The key that something is kept by.
std::string key_of(const Resource& resource);
std::string key_of(const InertResource& resource);
std::string key_of(const Operation& operation);

/// What cannot be, in words; "" for what is sound.
std::string fault_in(const ResourceGroup& group);
std::string fault_in(const VirtualNetwork& network);
std::string fault_in(const PublicAddress& address);
std::string fault_in(const SecurityGroup& group);
std::string fault_in(const NetworkInterface& nic);
std::string fault_in(const LoadBalancer& balancer);
std::string fault_in(const Disk& disk);
std::string fault_in(const Vm& vm);
std::string fault_in(const InertResource& resource);
std::string fault_in(const Operation& operation);

}  // namespace berth
