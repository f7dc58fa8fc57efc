#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "scripts/kind.h"

namespace berth::extension {

/// A file to fetch before the command runs.
struct WantedFile {
  Secret url;        ///< its query may be a signature
  std::string name;  ///< what stands behind the last slash of its path, decoded
};

/// What the user asked for: a command or a script.
struct ScriptOrder {
  Secret command;                ///< for /bin/sh -c
  std::optional<Secret> script;  ///< decoded, perhaps still gzip; instead of a command
  std::vector<WantedFile> files;
  bool managed_identity = false;  ///< files of Azure's storage were to be opened with one
  bool dos2unix = true;           ///< line ends and byte order marks of texts are put right
  std::vector<std::pair<std::string, Secret>> parameters;  ///< name ("" for none) and value
  std::vector<Secret> secrets;                             ///< all that must not be shown
};

/// Public and protected settings to one order. What is set in both, twice or not at all, what is not known, and what needs
/// a service that this region does not have is refused by name: Error(invalid). Source: docs/wire/script-handlers.md.
ScriptOrder parse_script_settings(const ScriptKind& kind, std::string_view public_settings,
                                  const Secret& protected_settings);

/// The host of an http or https address with its port, which is all that is ever shown of one.
std::string host_of(const std::string& url);

/// Throws Error(invalid) when it is no http or https address of a file.
WantedFile parse_file_uri(const std::string& uri);

}  // namespace berth::extension
