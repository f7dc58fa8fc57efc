#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>

#include "handler/log.h"
#include "handler/runner.h"
#include "scripts/settings.h"

namespace berth::extension {

/// Fetches files of http and https addresses with what the machine has: curl, else the Python that the guest agent runs on.
/// They know its certificates and proxies, and a static program would bring its own of both. An address reaches them
/// on standard input only.
class Downloads {
 public:
  Downloads(Runner& runner, Log& log) : runner_(runner), log_(log) {}

  /// To `folder`/NAME, 0500. An answer that may be another one soon (408, 429, 5xx, none) is asked for again up to seven
  /// times over three minutes. Throws Error(unavailable) without the address's query.
  void fetch(const WantedFile& file, const std::filesystem::path& folder);

  std::function<void(std::chrono::milliseconds)> pause;  ///< between attempts; tests need not wait
  std::stop_token stop;  ///< when requested: Error(unavailable, "OperationCanceled")

 private:
  Runner& runner_;
  Log& log_;
};

/// Takes byte order marks and carriage returns before line ends out of a script: a file that ends in .sh, .py, .pl or .txt or begins
/// with "#!", as Azure tells them.
void make_unix_text(const std::filesystem::path& file);

}  // namespace berth::extension
