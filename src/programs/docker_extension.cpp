#include <chrono>

#include "extension/handler.h"

/// bin/docker-extension OPERATION: what the guest agent runs inside the VM.
int main(int argc, char** argv) {
  using namespace berth::extension;
  return handler_main(
      argc, argv, BERTH_EXTENSION_VERSION, [](Invocation invocation, const std::string& operation) {
        const bool classic = profile_of(invocation.environment) == Profile::classic;
        Log log(invocation.environment.log_folder /
                (classic ? "docker-handler.log" : "docker-extension.log"));
        ProcessRunner runner(log);
        SocketProbe probe;
        Handler handler(std::move(invocation),
                        {Root(), runner, probe, log, [] {
                           return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
                         }});
        return handler.run(operation);
      });
}
