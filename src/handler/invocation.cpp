#include "handler/invocation.h"

#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "host/harden.h"

namespace berth::extension {

int handler_main(int argc, char** argv, const char* version,
                 const std::function<int(Invocation, const std::string&)>& run) {
  namespace fs = std::filesystem;
  harden_process();
  ::signal(SIGPIPE, SIG_IGN);  // an agent that no longer reads must not end the work in the middle
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::puts(version);
    return 0;
  }
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s install|enable|disable|update|uninstall\n",
                 fs::path(argc > 0 ? argv[0] : "handler").filename().c_str());
    return 2;
  }
  ::setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
  ::setenv("HOME", "/root", 0);
  try {
    Invocation invocation;
    invocation.executable = fs::read_symlink("/proc/self/exe");
    invocation.environment = find_handler_environment(invocation.executable.parent_path());
    if (invocation.environment.version.empty()) invocation.environment.version = version;
    if (const char* told = std::getenv("ConfigSequenceNumber")) invocation.told_sequence = told;
    return run(std::move(invocation), argv[1]);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s %s\n", error.what(), error.advice.c_str());
    return 1;
  }
}

}  // namespace berth::extension
