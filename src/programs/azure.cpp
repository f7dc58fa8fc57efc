#include "cli/app.h"
#include "host/harden.h"

int main(int argc, char** argv) {
  berth::harden_process();
  return berth::run_azure(argc, argv, BERTH_VERSION);
}
