#include "host/harden.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

namespace berth {

void harden_process() {
  ::umask(0077);
  ::prctl(PR_SET_DUMPABLE, 0);
  constexpr rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
}

}  // namespace berth
