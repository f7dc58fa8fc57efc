#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

/// A kind of folder that Berth keeps for itself: a region's home, or a cache of images. Those that Berth made
/// hold a mark, the file ".berth".
struct OwnFolder {
  std::string_view name;      ///< for people: "a region"
  std::string_view mark;      ///< what the mark says
  std::string_view variable;  ///< by which the user chooses another one
  /// All that Berth makes there, as patterns of fnmatch(3): "lock", "disks/*.qcow2"; with "/" at the end a
  /// folder that is ours with all that is in it. Files on their way to such a name (".NAME.XXXXXX") count
  /// too.
  std::span<const std::string_view> contents;
  /// Patterns of glob(3): one of them is in each that was made before there was a mark.
  std::span<const std::string_view> signs;
};
extern const OwnFolder region_home_folder, image_cache_folder;

/// Makes sure that `folder` is ours alone. One that is not there, or empty, is made (0700) and marked; so is
/// one from before the mark that holds nothing but what Berth makes. When others had access to it, it is
/// taken away, from everything in it, and the returned line says so to the user (else it is empty). Throws
/// Error(conflict, "FolderNotOurs") when it belongs to another user or holds other things: nothing was
/// changed then. Error(unavailable) when it cannot be made.
std::string claim_folder(const OwnFolder& kind, const std::filesystem::path& folder);

/// The check of claim_folder() alone that it belongs to this user, if it is there: whoever reads what a
/// region says of itself must know that it is a region of his.
void refuse_foreign_folder(const OwnFolder& kind, const std::filesystem::path& folder);

/// Deletes what Berth made in it, and it when nothing else is there. Links are neither followed nor deleted,
/// for we make none. Returns what stays, sorted. Throws Error(unavailable) naming what cannot be deleted.
std::vector<std::filesystem::path> remove_own_folder(const OwnFolder& kind,
                                                     const std::filesystem::path& folder);

}  // namespace berth
