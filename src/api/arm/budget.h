#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>

/// What the evaluation of a template may cost. See docs/decisions/0012-what-a-request-may-cost.md.
namespace berth::arm {

/// The limits of one deployment with all that is nested in it.
struct BudgetLimits {
  std::size_t steps = std::size_t{128} * 1024 * 1024;  ///< bytes compared, items visited
  std::size_t made = std::size_t{64} * 1024 * 1024;    ///< bytes of values, an estimate of their memory
  std::size_t calls = 500'000;                         ///< of functions
  std::size_t resources = 800;                         ///< over all copies and nested deployments
  std::size_t depth = 400;  ///< calls inside each other, through variables and parameters too
  std::chrono::milliseconds processor{1500};  ///< time of the evaluating thread: the second line
};

/// Counts what one deployment costs, where the cost arises. Whoever is one too many gets Error(invalid,
/// "InvalidTemplate"). Used by one thread at a time: hold a Turn.
class Budget {
 public:
  explicit Budget(const BudgetLimits& limits = {}) : limits_(limits) {}

  void spend(std::size_t steps);
  /// Charges the memory of a value. Refuses one that is nested too deep to be written out safely.
  void make(const nlohmann::json& value);
  void make(std::size_t bytes);
  void call();
  void resource();
  std::size_t resources() const { return resources_; }
  /// A nested deployment that is planned again makes no more resources than before.
  void set_resources(std::size_t count) { resources_ = count; }
  std::size_t steps() const { return steps_; }

  /// One level of calls, while it lives.
  class Level {
   public:
    explicit Level(Budget& budget);
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

  /// The right to evaluate, while it lives: one thread has it, again and again if need be; its time counts.
  class Turn {
   public:
    explicit Turn(Budget& budget);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Budget& budget_;
    const std::unique_lock<std::recursive_mutex> lock_;
  };

 private:
  void look_at_clock();

  const BudgetLimits limits_;
  std::recursive_mutex mutex_;
  std::size_t steps_ = 0, made_ = 0, calls_ = 0, resources_ = 0, depth_ = 0;
  std::size_t next_look_ = 0;  ///< at the clock, in steps
  int turns_ = 0;
  std::chrono::nanoseconds used_{0}, began_{0};
};

}  // namespace berth::arm
