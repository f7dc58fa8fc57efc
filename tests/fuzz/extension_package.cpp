#include <cstdint>
#include <cstdlib>
#include <string>

#include "api/wire/handler_package.h"
#include "cost.h"

/// Whatever is published: it has faults, or the five commands that the guest agent will run.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const CostLimit limit(4);
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const berth::wire::HandlerPackage package = berth::wire::read_handler_package(bytes);
  if (package.faults.empty() && package.commands.size() != 5) std::abort();
  berth::wire::parse_package_name(bytes);
  return 0;
}
