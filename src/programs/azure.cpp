#include "cli/app.h"

int main(int argc, char** argv) {
  return berth::run_azure(argc, argv, BERTH_VERSION);
}
