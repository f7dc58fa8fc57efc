#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/resources.h"
#include "region/operation_kind.h"

namespace berth {

class Records;
class RowReader;

/// The long operations of a region: what goes on after "accepted", and how it ended. They are kept, so that
/// the next process knows which were under way.
class Operations {
 public:
  using Work = std::function<boost::asio::awaitable<void>(std::string operation)>;

  Operations(Records& records, boost::asio::any_io_executor executor);

  const Operation* find(const std::string& id) const;
  std::vector<const Operation*> of(const std::string& target) const;  ///< old ones first
  /// Returns when it has ended, or after `limit` as it stands then.
  boost::asio::awaitable<Operation> wait(std::string id, std::chrono::milliseconds limit);
  /// Throws the operation's problem as an Error when it failed.
  boost::asio::awaitable<void> finish(std::string id);

  /// Begins one, once the change that it is part of is committed: `work` runs on the region's thread, and what
  /// it throws becomes the operation's problem. `id`: of one that is taken up from an earlier process.
  std::string begin(OperationKind kind, const std::string& target, Work work, std::string id = {});
  void phase(const std::string& operation, const std::string& name);
  void detail(const std::string& operation, const std::string& text);
  /// What it ends with; kept when it does.
  void output(const std::string& operation, std::string text);

  /// What `work` changes of the region is changed at once or not at all; operations that it begins run then.
  /// It throws what `work` throws, or that the store refuses.
  void change(const std::function<void()>& work);
  /// A change that must be made because what it says has happened already: tried again until the store takes
  /// it. Does nothing once the region stops.
  boost::asio::awaitable<void> insist(std::function<void()> work);
  /// The same for those who cannot wait: at once if the store takes it.
  void insist_soon(std::function<void()> work);

  /// Unfinished ones of an earlier process, by kind and target.
  using Unfinished = std::multimap<std::string, std::string>;
  Unfinished load(RowReader& rows);
  /// Within a change: ends those that nobody has taken up.
  void end(const Unfinished& unfinished, const std::function<bool(const Operation&)>& has_happened);

  void stop() { stopping_ = true; }
  bool stopping() const { return stopping_; }

 private:
  struct Entry;
  boost::asio::awaitable<void> run(std::shared_ptr<Entry> entry, Work work);
  void forget_old();

  Records& records_;
  boost::asio::any_io_executor executor_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  bool stopping_ = false;
};

/// The number of an unfinished operation that somebody goes on with; "" when there is none.
std::string take_unfinished(Operations::Unfinished& unfinished, OperationKind kind,
                            const std::string& target);
Problem to_problem(const Error& error);
/// Why something ended with the process that did it.
Problem interrupted(const std::string& what);

}  // namespace berth
