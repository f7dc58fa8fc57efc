#include "handler/allowance.h"

#include "base/error.h"

namespace berth::extension {

using std::chrono::milliseconds;

void Allowance::last_stretch(milliseconds time) {
  stopped_ = nullptr;
  if (end_) limit(time);
}

void Allowance::check() const {
  if (stopped_ && stopped_())
    throw Error(ErrorKind::conflict, "Stopped",
                "The work was stopped because the extension is being disabled or removed.");
  if (end_ && clock_() >= *end_)
    throw Error(ErrorKind::unavailable, "OutOfTime",
                "The work took longer than the guest agent waits for it.");
}

milliseconds Allowance::bound(milliseconds wanted) const {
  check();
  return end_ ? std::min(wanted, std::chrono::ceil<milliseconds>(*end_ - clock_())) : wanted;
}

RunResult BoundedRunner::run(const std::vector<std::string>& argv, const RunOptions& options) {
  RunOptions bounded = options;
  bounded.limit = allowance_.bound(options.limit);
  try {
    return inner_.run(argv, bounded);
  } catch (const Error&) {
    allowance_.check();  // it is our limit that it ran into
    throw;
  }
}

}  // namespace berth::extension
