#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "scripts/handler.h"

/// bin/script-extension OPERATION: CustomScript and RunCommand inside the VM; the name of its package says which.
int main(int argc, char** argv) {
  using namespace berth;
  using namespace berth::extension;
  return handler_main(
      argc, argv, BERTH_EXTENSION_VERSION, [](Invocation invocation, const std::string& operation) {
        const std::string folder = invocation.environment.handler_folder.filename().string();
        const std::string& told = invocation.environment.name;
        const auto kind =
            std::find_if(std::begin(script_kinds), std::end(script_kinds), [&](const ScriptKind& candidate) {
              return told == candidate.handler || folder.starts_with(fmt::format("{}-", candidate.handler));
            });
        if (kind == std::end(script_kinds))
          throw Error(
              ErrorKind::invalid, "UnknownHandler",
              fmt::format("{} is none of the handlers that this program is.", told.empty() ? folder : told));
        Log log(invocation.environment.log_folder / (kind->classic ? "extension.log" : "handler.log"));
        ProcessRunner runner(log);
        ScriptHandler handler(std::move(invocation), *kind, Root(), runner, log);
        if (operation != "work") return handler.run(operation);
        const EndSignal end;
        handler.stop = end.token();
        return handler.run(operation);
      });
}
