#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "extension/handler.h"
#include "host/harden.h"

/// bin/docker-extension OPERATION: what the guest agent runs inside the VM.
int main(int argc, char** argv) {
  using namespace berth;
  using namespace berth::extension;
  namespace fs = std::filesystem;

  harden_process();
  ::signal(SIGPIPE, SIG_IGN);  // an agent that no longer reads must not end the work in the middle
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::puts(BERTH_EXTENSION_VERSION);
    return 0;
  }
  if (argc != 2) {
    std::fputs("usage: docker-extension install|enable|disable|update|uninstall\n", stderr);
    return 2;
  }
  ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  ::setenv("HOME", "/root", 0);
  try {
    Invocation invocation;
    invocation.executable = fs::read_symlink("/proc/self/exe");
    invocation.environment = find_handler_environment(invocation.executable.parent_path());
    if (invocation.environment.version.empty()) invocation.environment.version = BERTH_EXTENSION_VERSION;
    if (const char* told = std::getenv("ConfigSequenceNumber")) invocation.told_sequence = told;
    const bool classic = invocation.environment.profile() == Profile::classic;
    Log log(invocation.environment.log_folder / (classic ? "docker-handler.log" : "docker-extension.log"));
    ProcessRunner runner(log);
    SocketProbe probe;
    Handler handler(std::move(invocation),
                    {Root(), runner, probe, log, [] {
                       return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
                     }});
    return handler.run(argv[1]);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s %s\n", error.what(), error.advice.c_str());
    return 1;
  }
}
