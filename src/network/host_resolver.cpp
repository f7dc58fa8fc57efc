#include "network/host_resolver.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "host/fd.h"

namespace berth::network {
namespace {

constexpr std::chrono::seconds pause{60}, pause_after_trouble{10};

std::vector<Ipv4> resolve(const std::string& name) {
  std::vector<Ipv4> addresses;
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &list); code != 0) {
    spdlog::warn("could not resolve name={} why=\"{}\"", name, ::gai_strerror(code));
    return addresses;
  }
  for (const addrinfo* entry = list; entry; entry = entry->ai_next)
    addresses.push_back({ntohl(reinterpret_cast<const sockaddr_in*>(entry->ai_addr)->sin_addr.s_addr)});
  ::freeaddrinfo(list);
  return addresses;
}

}  // namespace

struct HostResolver::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::set<std::string, std::less<>> names;
  unsigned version = 0;
  bool stop = false;
  std::vector<Found> found;
  Fd ready{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
};

HostResolver::HostResolver() : shared_(std::make_shared<Shared>()) {}

HostResolver::~HostResolver() {
  const std::lock_guard lock(shared_->mutex);
  shared_->stop = true;
  shared_->changed.notify_all();
}

void HostResolver::set_names(const std::set<std::string, std::less<>>& names) {
  const std::lock_guard lock(shared_->mutex);
  if (names == shared_->names) return;
  shared_->names = names;
  ++shared_->version;
  shared_->changed.notify_all();
  if (!started_) std::thread([shared = shared_] { work(shared); }).detach();
  started_ = true;
}

void HostResolver::fill(PollSet& set) {
  if (started_) set.add(shared_->ready.get(), POLLIN);
}

std::vector<HostResolver::Found> HostResolver::take() {
  if (!started_) return {};
  std::uint64_t count = 0;
  if (::read(shared_->ready.get(), &count, sizeof count) != sizeof count) return {};
  const std::lock_guard lock(shared_->mutex);
  return std::exchange(shared_->found, {});
}

void HostResolver::work(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  while (!shared->stop) {
    const unsigned version = shared->version;
    const auto names = shared->names;
    bool trouble = false;
    for (const std::string& name : names) {
      lock.unlock();
      std::vector<Ipv4> addresses = resolve(name);
      lock.lock();
      if (shared->stop || shared->version != version) break;
      trouble = trouble || addresses.empty();
      if (addresses.empty()) continue;
      shared->found.push_back({name, std::move(addresses)});
      const std::uint64_t one = 1;
      [[maybe_unused]] const ssize_t written = ::write(shared->ready.get(), &one, sizeof one);
    }
    shared->changed.wait_for(lock, trouble ? pause_after_trouble : pause,
                             [&] { return shared->stop || shared->version != version; });
  }
}

}  // namespace berth::network
