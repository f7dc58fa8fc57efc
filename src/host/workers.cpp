#include "host/workers.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"

namespace berth {

struct Workers::State {
  struct Client {
    std::deque<std::function<void()>> jobs;
    unsigned running = 0;
  };

  explicit State(const WorkerLimits& wanted) : limits(wanted) {}

  /// The client whose turn it is; end() when nobody's is. Holds the lock.
  std::list<std::string>::iterator next() {
    const unsigned most = std::max(1u, limits.threads - 1);
    return std::ranges::find_if(turns, [&](const std::string& name) {
      const Client& client = clients[name];
      return !client.jobs.empty() && client.running < most;
    });
  }

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      auto turn = turns.end();
      changed.wait(lock, [&] { return stopping || (turn = next()) != turns.end(); });
      if (stopping) return;
      const std::string name = *turn;
      turns.splice(turns.end(), turns, turn);  // the others first, next time
      Client& client = clients[name];
      std::function<void()> job = std::move(client.jobs.front());
      client.jobs.pop_front();
      --waiting;
      ++client.running;
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
      if (--client.running == 0 && client.jobs.empty()) {
        clients.erase(name);
        turns.remove(name);
      }
      changed.notify_all();
      if (!clients.empty()) continue;
      lock.unlock();
      ::malloc_trim(0);  // what large work has left in the allocator's pools
      lock.lock();
    }
  }

  const WorkerLimits limits;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, Client> clients;
  std::list<std::string> turns;  ///< of the clients, the next first
  std::size_t waiting = 0;
  bool stopping = false;
  std::vector<std::thread> threads;
};

Workers::Workers(boost::asio::any_io_executor loop, const WorkerLimits& limits)
    : loop_(std::move(loop)), state_(std::make_unique<State>(limits)) {
  for (unsigned i = 0; i < limits.threads; ++i)
    state_->threads.emplace_back([state = state_.get()] { state->work(); });
}

Workers::~Workers() {
  stop();
}

void Workers::stop() {
  std::map<std::string, State::Client> dropped;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
  }
  for (std::thread& thread : state_->threads) thread.join();
  state_->threads.clear();
  dropped.swap(state_->clients);
  state_->turns.clear();
}

void Workers::add(const std::string& client, std::function<void()> job) {
  const std::lock_guard lock(state_->mutex);
  if (state_->stopping) throw_stopped();
  const auto known = state_->clients.find(client);
  const std::size_t own = known == state_->clients.end() ? 0 : known->second.jobs.size();
  if (state_->waiting >= state_->limits.waiting || own >= state_->limits.waiting_of_one)
    throw Error(ErrorKind::unavailable, "TooManyRequests",
                fmt::format("{} requests wait to be worked on already.", std::max(own, state_->waiting)),
                "Wait until some of them are answered, then try again.");
  if (known == state_->clients.end()) state_->turns.push_back(client);
  state_->clients[client].jobs.push_back(std::move(job));
  ++state_->waiting;
  state_->changed.notify_one();
}

bool Workers::stopped() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stopping;
}

void Workers::throw_stopped() {
  throw Error(ErrorKind::unavailable, "RegionStops", "The region is being stopped.");
}

}  // namespace berth
