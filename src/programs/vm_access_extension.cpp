#include "vm_access/handler.h"

/// bin/vm-access-extension OPERATION: VMAccessForLinux inside the VM.
int main(int argc, char** argv) {
  using namespace berth::extension;
  return handler_main(argc, argv, BERTH_EXTENSION_VERSION,
                      [](Invocation invocation, const std::string& operation) {
                        Log log(invocation.environment.log_folder / "extension.log");
                        ProcessRunner runner(log);
                        return AccessHandler(std::move(invocation), Root(), runner, log).run(operation);
                      });
}
