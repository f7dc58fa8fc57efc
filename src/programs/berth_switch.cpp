#include <fmt/format.h>

#include <string_view>

#include "host/harden.h"
#include "network/virtual_network.h"

int main(int argc, char** argv) {
  berth::harden_process();
  const std::string_view argument = argc == 2 ? argv[1] : "";
  if (argument == "--version") {
    fmt::print("berth-switch {}\n", BERTH_VERSION);
    return 0;
  }
  if (argument.empty() || argument.starts_with('-')) {
    fmt::print(stderr,
               "usage: berth-switch FOLDER\nServes the virtual network described by FOLDER/switch.json until "
               "SIGTERM.\n");
    return 2;
  }
  return berth::run_switch(argument);
}
