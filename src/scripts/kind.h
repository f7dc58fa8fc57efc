#pragma once

#include <string_view>

namespace berth::extension {

/// A published handler that runs what its settings hold, and how it differs from the others.
struct ScriptKind {
  std::string_view handler;  ///< PUBLISHER.TYPE
  std::string_view type;     ///< as the status names it
  std::string_view folder;  ///< below /var/lib/waagent: downloads and output; "" for the handler's own folder
  bool classic;     ///< words its status like the handler of 2014, and skips settings it does not know
  bool parameters;  ///< a script gets `parameters`, as its arguments and as variables
  bool any_exit;    ///< a command that ran is a success, however it ended
};

inline constexpr ScriptKind script_kinds[] = {
    {"Microsoft.Azure.Extensions.CustomScript", "CustomScript", "custom-script", false, false, false},
    {"Microsoft.OSTCExtensions.CustomScriptForLinux", "CustomScriptForLinux", "", true, false, false},
    {"Microsoft.CPlat.Core.RunCommandLinux", "RunCommandLinux", "run-command", false, true, true},
};

}  // namespace berth::extension
