#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// The zip of a VM extension handler, seen with the eyes of the guest agent that will unpack and run it.
/// Source: docs/wire/wireserver.md, "Packages".
namespace berth::wire {

/// What an extension is called. Parts that are not known are "".
struct PackageName {
  std::string publisher;  ///< "Contoso.Test"
  std::string type;       ///< "Echo"
  std::string version;    ///< "1.0.0"
};

struct PackageFault {
  std::string what;    ///< a clause: "its HandlerManifest.json has no enableCommand"
  std::string advice;  ///< a sentence; "" when `what` says it all
};

struct HandlerPackage {
  PackageName name;                             ///< as far as its manifests say it
  std::map<std::string, std::string> commands;  ///< "enable" -> "bin/handler.sh enable"
  std::vector<PackageFault> faults;  ///< the agent could not use it: every one of them, not the first
  std::vector<PackageFault> notes;   ///< it works, though maybe not as it was meant
};

/// Reads every byte of the zip, so that what cannot be unpacked is found here and not in the guest. A zip
/// that cannot be read, or whose entries would lead outside, has that one fault.
HandlerPackage read_handler_package(const std::string& zip);

/// What a file's name says: "Contoso.Test.Echo_1.0.0.zip", or "-" or "__" before the version; any part of it
/// may be missing.
PackageName parse_package_name(std::string_view file_name);

/// Names that the agent can work with, and two to four numbers. Throw Error(invalid).
void check_package_name(const PackageName& name);

/// The numbers of "1.10.0"; empty when it is no version.
std::vector<std::uint64_t> version_numbers(std::string_view text);

}  // namespace berth::wire
