#include "hypervisor/driver.h"

namespace berth {

std::string_view to_string(Accelerator accelerator) {
  switch (accelerator) {
    case Accelerator::kvm:
      return "kvm";
    case Accelerator::tcg:
      return "tcg";
    case Accelerator::none:
      break;
  }
  return "none";
}

}  // namespace berth
