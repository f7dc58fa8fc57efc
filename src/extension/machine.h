#pragma once

#include <chrono>
#include <functional>
#include <thread>

#include "extension/engine.h"
#include "handler/log.h"
#include "handler/root.h"
#include "handler/runner.h"

namespace berth::extension {

/// The machine that the handler looks after, and how long it may be waited for.
struct Machine {
  Root root;
  Runner& runner;
  EngineProbe& probe;
  Log& log;
  std::function<std::chrono::sys_seconds()> now;
  /// Waits before something is tried again; tests need not.
  std::function<void(std::chrono::milliseconds)> pause = [](std::chrono::milliseconds time) {
    std::this_thread::sleep_for(time);
  };
  std::function<std::chrono::steady_clock::time_point()> clock = std::chrono::steady_clock::now;
  /// Called before something is put back: what was out of time, or called off, then goes on for a minute.
  std::function<void()> before_undo = [] {};

  std::chrono::milliseconds engine_up_limit{60'000};  ///< from start to the first answer
  std::chrono::milliseconds handshake_limit{15'000};  ///< from there to TLS on the port
  std::chrono::milliseconds reload_limit{10'000};     ///< until a reload shows
};

}  // namespace berth::extension
