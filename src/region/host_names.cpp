#include "region/host_names.h"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <map>

#include "crypto/encoding.h"
#include "host/hosts_file.h"
#include "region/operations.h"
#include "region/region_records.h"

namespace berth {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds hosts_pause{20};  ///< a region holds the lock for a few

}  // namespace

HostNames::HostNames(RegionRecords& records, Operations& operations, asio::any_io_executor executor,
                     std::filesystem::path file, const std::filesystem::path& home)
    : records_(records),
      operations_(operations),
      executor_(std::move(executor)),
      file_(std::move(file)),
      owner_("region-" + sha256_hex(home.string()).substr(0, 12)) {}

/// False while another region writes its own block.
bool HostNames::try_write() {
  std::map<std::string, std::string> names;
  for (const auto& [key, address] : records_.addresses.rows())
    if (!address.fqdn.empty()) names[address.fqdn] = address.address;
  return write_hosts_block(file_, owner_, names);
}

/// Names resolve on this host while their address exists; the whole block is written anew each time.
void HostNames::write() {
  if (file_.empty() || waits_) return;
  if (!try_write()) asio::co_spawn(executor_, write_in_turn(), asio::detached);
}

asio::awaitable<void> HostNames::write_in_turn() {
  waits_ = true;
  asio::steady_timer timer(executor_);
  for (bool done = false; !done && !operations_.stopping();) {
    timer.expires_after(hosts_pause);
    co_await timer.async_wait(asio::use_awaitable);
    try {
      done = operations_.stopping() || try_write();
    } catch (const std::exception& error) {
      spdlog::warn("could not write the hosts file: {}", error.what());
      done = true;
    }
  }
  waits_ = false;
}

void HostNames::rewrite() {
  try {
    write();
  } catch (const std::exception& error) {
    spdlog::warn("could not write the hosts file: {}", error.what());
  }
}

}  // namespace berth
