#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace berth {

/// One published version of an extension handler.
struct ExtensionPackage {
  std::string publisher;  ///< "Microsoft.Azure.Extensions"
  std::string type;       ///< "DockerExtension"
  std::string version;    ///< what VMs are told: "1.3.0", and "1.3.0.2" once it was replaced twice
  std::string published;  ///< as it was published: "1.3.0"
  unsigned revision = 0;  ///< how often it was replaced
  std::filesystem::path zip;
  std::string sha256;
  bool bundled = false;  ///< came with Berth; a user's own may not take its place
  std::string handler() const { return publisher + "." + type; }
  /// Whether it took the place of the one that VMs know by this version.
  bool replaces(const std::string& version) const;
};

/// The extension handlers that VMs of this region can be given: those that came with Berth (`bundled`, files
/// named PUBLISHER.TYPE_VERSION.zip) and the user's own (`own`, the same names).
class ExtensionGallery {
 public:
  ExtensionGallery(std::filesystem::path bundled, std::filesystem::path own);

  std::vector<ExtensionPackage> list() const;  ///< by publisher, type, then version, rising
  /// All versions of one handler, rising; names compare without case.
  std::vector<ExtensionPackage> versions(const std::string& publisher, const std::string& type) const;
  /// The highest version that `wanted` allows: "1.3.0" itself; "1.3", "1", "1.*", "1.3.*" and "" or "latest"
  /// by prefix; three numbers that are there are never more than themselves. With `upgrade_minor`, "1.2" also
  /// allows a higher minor version of the same major one, as Azure's autoUpgradeMinorVersion does.
  std::optional<ExtensionPackage> resolve(const std::string& publisher, const std::string& type,
                                          const std::string& wanted, bool upgrade_minor) const;

  /// The package that was published as `version`, or that VMs know by it.
  std::optional<ExtensionPackage> find(const std::string& publisher, const std::string& type,
                                       const std::string& version) const;

  /// Checks a zip (api/wire/handler_package.h) and keeps it. With `replace`, in the place of the same version
  /// of the user's own: as its next revision, for a guest agent never fetches a version again that it has.
  /// The same bytes again change nothing. Throws Error: invalid saying what the agent would refuse; conflict
  /// when that version is there, or is bundled.
  ExtensionPackage publish(const std::filesystem::path& zip, const std::string& publisher,
                           const std::string& type, const std::string& version, bool replace);
  /// Throws Error: not_found; conflict for a bundled one.
  void remove(const std::string& publisher, const std::string& type, const std::string& version);

 private:
  struct Hashes;
  std::filesystem::path bundled_, own_;
  std::shared_ptr<Hashes> hashes_;
};

/// Compares "1.10.0" and "1.9": by numbers, missing parts are 0.
int compare_versions(const std::string& a, const std::string& b);

}  // namespace berth
