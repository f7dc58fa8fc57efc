#include "region/operations.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/utc.h"
#include "crypto/random.h"
#include "region/records.h"
#include "region/row_reader.h"
#include "region/signal.h"

namespace berth {

namespace asio = boost::asio;

/// An operation while this process knows it.
struct Operations::Entry {
  Operation operation;
  std::shared_ptr<Signal> changed;
};

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

std::string take_unfinished(Operations::Unfinished& unfinished, OperationKind kind,
                            const std::string& target) {
  const auto found = unfinished.find(std::string(to_string(kind)) + " " + target);
  return found == unfinished.end() ? std::string() : unfinished.extract(found).mapped();
}

Problem interrupted(const std::string& what) {
  return {.code = "OperationPreempted",
          .message = "The region was stopped while " + what + ".",
          .advice = "Send the same request again.",
          .details = {}};
}

Operations::Operations(Records& records, asio::any_io_executor executor)
    : records_(records), executor_(std::move(executor)) {}

const Operation* Operations::find(const std::string& id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second->operation;
}

std::vector<const Operation*> Operations::of(const std::string& target) const {
  std::vector<const Operation*> found;
  for (const auto& [id, entry] : entries_)
    if (same_name(entry->operation.target, target)) found.push_back(&entry->operation);
  std::ranges::sort(found, began_before);
  return found;
}

std::string Operations::begin(OperationKind kind, const std::string& target, Work work, std::string id) {
  auto entry = std::make_shared<Entry>();
  entry->operation.id = id.empty() ? random_hex(32) : std::move(id);
  entry->operation.kind = to_string(kind);
  entry->operation.target = target;
  entry->operation.began = utc_now();
  entry->changed = std::make_shared<Signal>(executor_);
  records_.change([&] {
    records_.write("operation", entry->operation.id, to_document(entry->operation));
    records_.after([this, entry, work = std::move(work)] {
      entries_[entry->operation.id] = entry;
      spdlog::info("began op={} kind=\"{}\" target={}", entry->operation.id, entry->operation.kind,
                   entry->operation.target);
      asio::co_spawn(executor_, run(entry, work), asio::detached);
      forget_old();
    });
  });
  return entry->operation.id;
}

asio::awaitable<void> Operations::run(std::shared_ptr<Entry> entry, Work work) {
  std::optional<Problem> problem;
  const std::string id = entry->operation.id;
  try {
    co_await work(id);
  } catch (const Error& error) {
    problem = to_problem(error);
  } catch (const std::exception& error) {
    problem = Problem{.code = "InternalError", .message = error.what(), .advice = {}, .details = {}};
  }
  if (stopping_) co_return;  // the store keeps it as running: the next process takes it up
  Operation operation = entry->operation;
  operation.ended = utc_now();
  if (!operation.phases.empty() && operation.phases.back().ended.empty())
    operation.phases.back().ended = operation.ended;
  // A deployment may have put details of its own into the problem already.
  if (problem && !operation.problem) operation.problem = problem;
  operation.status = operation.problem ? OperationStatus::failed : OperationStatus::succeeded;
  if (operation.problem)  // its first line: what follows may be the output of a user's command
    spdlog::warn("failed op={} kind=\"{}\" target={} code={} message=\"{}\"", id, operation.kind,
                 operation.target, operation.problem->code,
                 operation.problem->message.substr(0, operation.problem->message.find('\n')));
  else
    spdlog::info("finished op={} kind=\"{}\" target={}", id, operation.kind, operation.target);
  // Nobody is told of an end that a restart would take back.
  try {
    co_await insist([&] { records_.write("operation", id, to_document(operation)); });
  } catch (const Error& error) {
    spdlog::error("could not keep op={}: {}", id, error.what());
  }
  if (stopping_) co_return;
  entry->operation = std::move(operation);
  entry->changed->notify();
}

void Operations::change(const std::function<void()>& work) {
  records_.change(work);
}

asio::awaitable<void> Operations::insist(std::function<void()> work) {
  for (bool told = false; !stopping_; told = true) {
    try {
      records_.change(work);
      co_return;
    } catch (const Error& error) {
      if (error.code != "StoreUnavailable") throw;
      if (!told) spdlog::error("waiting for the store: {}", error.what());
    }
    asio::steady_timer pause(executor_, store_pause);
    co_await pause.async_wait(asio::use_awaitable);
  }
}

void Operations::insist_soon(std::function<void()> work) {
  try {
    records_.change(work);
  } catch (const Error& error) {
    if (error.code != "StoreUnavailable") throw;
    asio::co_spawn(executor_, insist(std::move(work)), asio::detached);
  }
}

void Operations::phase(const std::string& operation, const std::string& name) {
  const auto found = entries_.find(operation);
  if (found == entries_.end()) return;
  auto& phases = found->second->operation.phases;
  if (!phases.empty() && phases.back().name == name && phases.back().ended.empty()) return;
  const std::string now = utc_now();
  if (!phases.empty() && phases.back().ended.empty()) phases.back().ended = now;
  phases.push_back({.name = name, .detail = {}, .began = now, .ended = {}});
  found->second->changed->notify();
}

void Operations::detail(const std::string& operation, const std::string& text) {
  const auto found = entries_.find(operation);
  if (found == entries_.end() || found->second->operation.phases.empty()) return;
  found->second->operation.phases.back().detail = text;
}

void Operations::output(const std::string& operation, std::string text) {
  const auto found = entries_.find(operation);
  if (found != entries_.end()) found->second->operation.output = std::move(text);
}

asio::awaitable<Operation> Operations::wait(std::string id, std::chrono::milliseconds limit) {
  const auto found = entries_.find(id);
  if (found == entries_.end())
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

asio::awaitable<void> Operations::finish(std::string id) {
  const Operation ended = co_await wait(std::move(id), std::chrono::hours(24));
  if (ended.problem)
    throw Error(ErrorKind::conflict, ended.problem->code, ended.problem->message, ended.problem->advice);
  if (ended.status != OperationStatus::succeeded)
    throw Error(ErrorKind::unavailable, "OperationTimedOut",
                "The operation '" + ended.kind + "' did not end in a day.");
}

void Operations::forget_old() {
  if (entries_.size() < most_ended_operations + most_ended_operations / 4) return;
  std::vector<const Operation*> ended;
  for (const auto& [id, entry] : entries_)
    if (entry->operation.status != OperationStatus::running) ended.push_back(&entry->operation);
  if (ended.size() <= most_ended_operations) return;
  std::ranges::sort(ended, began_before);
  ended.resize(ended.size() - most_ended_operations);
  records_.change([&] {
    for (const Operation* operation : ended) {
      records_.write("operation", operation->id, std::nullopt);
      records_.after([this, id = operation->id] { entries_.erase(id); });
    }
  });
}

Operations::Unfinished Operations::load(RowReader& rows) {
  Unfinished unfinished;
  rows.read<Operation>("operation", [&](const std::string& id, Operation operation) {
    if (operation.status == OperationStatus::running)
      unfinished.emplace(operation.kind + " " + operation.target, id);
    auto entry = std::make_shared<Entry>();
    entry->operation = std::move(operation);
    entry->changed = std::make_shared<Signal>(executor_);
    entries_.emplace(id, std::move(entry));
  });
  return unfinished;
}

void Operations::end(const Unfinished& unfinished,
                     const std::function<bool(const Operation&)>& has_happened) {
  for (const auto& [what, id] : unfinished) {
    Operation& operation = entries_.at(id)->operation;
    operation.ended = utc_now();
    operation.status = has_happened(operation) ? OperationStatus::succeeded : OperationStatus::failed;
    if (operation.status == OperationStatus::failed)
      operation.problem = interrupted("'" + operation.kind + "' was under way");
    records_.write("operation", id, to_document(operation));
  }
}

}  // namespace berth
