#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>

#include "crypto/random.h"
#include "region/impl.h"

namespace berth {
namespace {

constexpr std::size_t most_ended_operations = 20'000;
constexpr auto store_pause = std::chrono::seconds(1);  ///< between attempts to write what must be written

/// Old ones first, by the time they began.
bool began_before(const Operation* a, const Operation* b) {
  return a->began < b->began;
}

}  // namespace

asio::awaitable<void> Signal::wait(std::chrono::milliseconds limit) {
  auto timer = std::make_shared<asio::steady_timer>(executor_, limit);
  waiting_.push_back(timer);
  boost::system::error_code ended;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ended));
  if (!ended) std::erase(waiting_, timer);  // the limit; notify() has emptied the list otherwise
}

void Signal::notify() {
  for (const auto& timer : std::exchange(waiting_, {})) timer->cancel();
}

Problem to_problem(const Error& error) {
  return {.code = error.code, .message = error.what(), .advice = error.advice, .details = {}};
}

std::string Region::Impl::begin(const std::string& kind, const std::string& target,
                                std::function<asio::awaitable<void>(std::string)> work, std::string id) {
  auto entry = std::make_shared<OperationEntry>();
  entry->operation.id = id.empty() ? random_hex(32) : std::move(id);
  entry->operation.kind = kind;
  entry->operation.target = target;
  entry->operation.began = utc_now();
  entry->changed = std::make_shared<Signal>(host.executor);
  records.change([&] {
    records.write("operation", entry->operation.id, to_document(entry->operation));
    records.after([this, entry, work = std::move(work)] {
      operations[entry->operation.id] = entry;
      spdlog::info("began op={} kind=\"{}\" target={}", entry->operation.id, entry->operation.kind,
                   entry->operation.target);
      asio::co_spawn(host.executor, run(entry, work), asio::detached);
      forget_old_operations();
    });
  });
  return entry->operation.id;
}

asio::awaitable<void> Region::Impl::run(std::shared_ptr<OperationEntry> entry,
                                        std::function<asio::awaitable<void>(std::string)> work) {
  std::optional<Problem> problem;
  const std::string id = entry->operation.id;
  try {
    co_await work(id);
  } catch (const Error& error) {
    problem = to_problem(error);
  } catch (const std::exception& error) {
    problem = Problem{.code = "InternalError", .message = error.what(), .advice = {}, .details = {}};
  }
  if (stopping) co_return;  // the store keeps it as running: the next process takes it up
  Operation operation = entry->operation;
  operation.ended = utc_now();
  if (!operation.phases.empty() && operation.phases.back().ended.empty())
    operation.phases.back().ended = operation.ended;
  // A deployment may have put details of its own into the problem already.
  if (problem && !operation.problem) operation.problem = problem;
  operation.status = operation.problem ? OperationStatus::failed : OperationStatus::succeeded;
  if (operation.problem)
    spdlog::warn("failed op={} kind=\"{}\" target={} code={} message=\"{}\"", id, operation.kind,
                 operation.target, operation.problem->code, operation.problem->message);
  else
    spdlog::info("finished op={} kind=\"{}\" target={}", id, operation.kind, operation.target);
  // Nobody is told of an end that a restart would take back.
  try {
    co_await insist([&] { records.write("operation", id, to_document(operation)); });
  } catch (const Error& error) {
    spdlog::error("could not keep op={}: {}", id, error.what());
  }
  if (stopping) co_return;
  entry->operation = std::move(operation);
  entry->changed->notify();
}

asio::awaitable<void> Region::Impl::insist(std::function<void()> change) {
  for (bool told = false; !stopping; told = true) {
    try {
      records.change(change);
      co_return;
    } catch (const Error& error) {
      if (error.code != "StoreUnavailable") throw;
      if (!told) spdlog::error("waiting for the store: {}", error.what());
    }
    asio::steady_timer pause(host.executor, store_pause);
    co_await pause.async_wait(asio::use_awaitable);
  }
}

void Region::Impl::insist_soon(std::function<void()> change) {
  try {
    records.change(change);
  } catch (const Error& error) {
    if (error.code != "StoreUnavailable") throw;
    asio::co_spawn(host.executor, insist(std::move(change)), asio::detached);
  }
}

void Region::Impl::phase(const std::string& operation, const std::string& name) {
  const auto found = operations.find(operation);
  if (found == operations.end()) return;
  auto& phases = found->second->operation.phases;
  if (!phases.empty() && phases.back().name == name && phases.back().ended.empty()) return;
  const std::string now = utc_now();
  if (!phases.empty() && phases.back().ended.empty()) phases.back().ended = now;
  phases.push_back({.name = name, .detail = {}, .began = now, .ended = {}});
  found->second->changed->notify();
}

void Region::Impl::detail(const std::string& operation, const std::string& text) {
  const auto found = operations.find(operation);
  if (found == operations.end() || found->second->operation.phases.empty()) return;
  found->second->operation.phases.back().detail = text;
}

asio::awaitable<Operation> Region::Impl::wait(std::string id, std::chrono::milliseconds limit) {
  const auto found = operations.find(id);
  if (found == operations.end())
    throw Error(ErrorKind::not_found, "NotFound", "There is no operation " + id + ".");
  const auto entry = found->second;  // it may be forgotten while we wait
  const auto until = std::chrono::steady_clock::now() + limit;
  while (entry->operation.status == OperationStatus::running) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds(0)) break;
    co_await entry->changed->wait(left);
  }
  co_return entry->operation;
}

asio::awaitable<void> Region::Impl::finish(std::string id) {
  const Operation ended = co_await wait(std::move(id), std::chrono::hours(24));
  if (ended.problem)
    throw Error(ErrorKind::conflict, ended.problem->code, ended.problem->message, ended.problem->advice);
  if (ended.status != OperationStatus::succeeded)
    throw Error(ErrorKind::unavailable, "OperationTimedOut",
                "The operation '" + ended.kind + "' did not end in a day.");
}

void Region::Impl::forget_old_operations() {
  if (operations.size() < most_ended_operations + most_ended_operations / 4) return;
  std::vector<const Operation*> ended;
  for (const auto& [id, entry] : operations)
    if (entry->operation.status != OperationStatus::running) ended.push_back(&entry->operation);
  if (ended.size() <= most_ended_operations) return;
  std::ranges::sort(ended, began_before);
  ended.resize(ended.size() - most_ended_operations);
  records.change([&] {
    for (const Operation* operation : ended) {
      records.write("operation", operation->id, std::nullopt);
      records.after([this, id = operation->id] { operations.erase(id); });
    }
  });
}

}  // namespace berth
