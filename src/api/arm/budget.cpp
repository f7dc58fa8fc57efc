#include "api/arm/budget.h"

#include <fmt/format.h>
#include <time.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr int deepest_value = 128;
constexpr std::size_t steps_between_looks = 256 * 1024;
constexpr std::size_t steps_of_a_call = 64;

/// An estimate of the memory that a value takes.
std::size_t weight(const json& value, int depth = 0) {
  if (depth > deepest_value)
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("A value is nested deeper than {} levels.", deepest_value));
  constexpr std::size_t item = sizeof(json), text = item + sizeof(std::string) + 16, list = item + 40,
                        member = 96;
  switch (value.type()) {
    case json::value_t::string:
      return text + value.get_ref<const std::string&>().size();
    case json::value_t::array: {
      std::size_t sum = list;
      for (const json& inner : value) sum += weight(inner, depth + 1);
      return sum;
    }
    case json::value_t::object: {
      std::size_t sum = list;
      const auto& members = value.get_ref<const json::object_t&>();
      for (const auto& [key, inner] : members) sum += member + key.size() + weight(inner, depth + 1);
      return sum;
    }
    default:
      return item;
  }
}

std::chrono::nanoseconds thread_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::invalid, "InvalidTemplate", why,
              "Make the template smaller, or divide it into several deployments. Limits: "
              "https://aka.ms/arm-template-limits.");
}

}  // namespace

void Budget::look_at_clock() {
  next_look_ = steps_ + steps_between_looks;
  if (turns_ > 0 && used_ + (thread_time() - began_) > limits_.processor)
    refuse(fmt::format("The template takes more than {} ms to evaluate.", limits_.processor.count()));
}

void Budget::spend(std::size_t steps) {
  steps_ += steps;
  if (steps_ > limits_.steps)
    refuse(fmt::format("The template's expressions take more than {} steps to evaluate.", limits_.steps));
  if (steps_ >= next_look_) look_at_clock();
}

void Budget::make(std::size_t bytes) {
  made_ += bytes;
  if (made_ > limits_.made)
    refuse(fmt::format("The template's expressions make too much data: more than {} MiB.",
                       limits_.made / (1024 * 1024)));
  spend(bytes / 4);
}

void Budget::make(const json& value) {
  make(weight(value));
}

void Budget::call() {
  if (++calls_ > limits_.calls)
    refuse(fmt::format("The template calls more than {} functions.", limits_.calls));
  spend(steps_of_a_call);
}

void Budget::resource() {
  if (++resources_ > limits_.resources)
    refuse(
        fmt::format("Deployment template validation failed: 'The number of template resources limit "
                    "exceeded. Limit: '{}' and actual: '{}'. Copies and nested deployments count.'.",
                    limits_.resources, resources_));
  spend(4096);
}

Budget::Level::Level(Budget& budget) : budget_(budget) {
  if (++budget_.depth_ <= budget_.limits_.depth) return;
  --budget_.depth_;
  refuse(fmt::format("The template's expressions call each other deeper than {} levels.",
                     budget_.limits_.depth));
}

Budget::Turn::Turn(Budget& budget) : budget_(budget), lock_(budget.mutex_) {
  if (budget_.turns_++ == 0) budget_.began_ = thread_time();
}

Budget::Turn::~Turn() {
  if (--budget_.turns_ == 0) budget_.used_ += thread_time() - budget_.began_;
}

}  // namespace berth::arm
