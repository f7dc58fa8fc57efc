#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "images/recipe.h"

namespace berth {

/// Follows a build by what mmdebstrap, apt and dpkg print, and says what has changed.
class BuildProgress {
 public:
  explicit BuildProgress(ImageProgress report) : report_(std::move(report)) {}
  void line(std::string_view text);

 private:
  void say(const std::string& what, double fraction);

  ImageProgress report_;
  int packages_ = 0;   ///< as many as apt has announced
  int installed_ = 0;  ///< configured
  int unpacked_ = 0;
  bool last_stage_ = false;  ///< apt has announced the packages beyond the essential ones
  std::string said_;
};

/// Builds the image in `work`, an empty folder of ours: afterwards it holds disk.qcow2, kernel and initrd and
/// nothing else. `etc` is the host's /etc: its apt sources, and subuid and subgid. Everything that the
/// programs print goes to `log`. As root in namespaces of its own; as an ordinary user in a user namespace on
/// top (newuidmap, /etc/subuid). Throws Error(unavailable): a program missing, no mirror, the build failed
/// (with the log's last lines), "OperationCanceled".
void build_image(const Recipe& recipe, const std::filesystem::path& etc, const std::filesystem::path& work,
                 const std::filesystem::path& log, const ImageProgress& progress, std::stop_token stop);

/// Deletes a folder in which build_image() may have been killed: its files may belong to other user ids.
void remove_build(const std::filesystem::path& work);

}  // namespace berth
