#include "cli/extension/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/error.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_zip = std::size_t{64} * 1024 * 1024;  ///< the region takes no more
constexpr std::size_t largest_folder = std::size_t{512} * 1024 * 1024;

Error too_large(const fs::path& path, std::size_t limit) {
  return Error(
      ErrorKind::invalid, "InvalidExtensionPackage",
      fmt::format("{} is larger than the {} MiB that an extension may have.", path.string(), limit >> 20),
      "Let the handler fetch what is large when it is installed.");
}

/// Files below `folder`, by name: the same folder makes the same zip.
std::vector<fs::path> files_below(const fs::path& folder) {
  std::vector<fs::path> files;
  std::size_t size = 0;
  for (auto entry = fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink);
       entry != fs::recursive_directory_iterator(); ++entry) {
    if (entry->path().filename().native().front() == '.') {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file()) continue;
    size += entry->file_size();
    if (size > largest_folder) throw too_large(folder, largest_folder);
    files.push_back(entry->path());
  }
  std::ranges::sort(files);
  return files;
}

la_ssize_t append(archive*, void* bytes, const void* data, std::size_t size) {
  static_cast<std::string*>(bytes)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

std::string pack(const fs::path& folder) {
  std::string bytes;
  const std::unique_ptr<archive, decltype(&archive_write_free)> writer(archive_write_new(),
                                                                       &archive_write_free);
  archive_write_set_format_zip(writer.get());
  archive_write_set_bytes_in_last_block(writer.get(), 1);  // no padding
  const auto check = [&](la_ssize_t result) {
    if (result >= ARCHIVE_OK) return;
    const char* why = archive_error_string(writer.get());
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("Cannot pack {}: {}.", folder.string(), why ? why : "no reason given"));
  };
  check(archive_write_open(writer.get(), &bytes, nullptr, &append, nullptr));
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                            &archive_entry_free);
  for (const fs::path& file : files_below(folder)) {
    const std::string text = read_file(file, largest_folder);
    const auto mode = static_cast<unsigned>(fs::status(file).permissions()) & 0777U;
    archive_entry_clear(entry.get());
    archive_entry_set_pathname(entry.get(), file.lexically_relative(folder).c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), mode);
    archive_entry_set_mtime(entry.get(), 315532800, 0);  // 1980, as far back as a zip's clock goes
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(text.size()));
    check(archive_write_header(writer.get(), entry.get()));
    check(archive_write_data(writer.get(), text.data(), text.size()));
  }
  check(archive_write_close(writer.get()));
  return bytes;
}

void fill(wire::PackageName& name, const wire::PackageName& from) {
  if (name.publisher.empty()) name.publisher = from.publisher;
  if (name.type.empty()) name.type = from.type;
  if (name.version.empty()) name.version = from.version;
}

void require(const std::string& part, const fs::path& path, const char* what, const char* option) {
  if (!part.empty()) return;
  throw Error(
      ErrorKind::invalid, "InvalidExtensionName",
      fmt::format("Nothing says which {} {} has.", what, path.string()),
      fmt::format("Give it with {}, name the zip PUBLISHER.NAME_VERSION.zip, or put a manifest.xml with "
                  "ProviderNameSpace, Type and Version into it.",
                  option));
}

}  // namespace

ExtensionSource load_extension(const fs::path& path, const wire::PackageName& given) {
  const bool is_folder = fs::is_directory(path);
  ExtensionSource source;
  source.zip = is_folder ? pack(path) : read_file(path, largest_folder);
  if (source.zip.size() > largest_zip) throw too_large(path, largest_zip);
  source.contents = wire::read_handler_package(source.zip);
  source.name = given;
  fill(source.name, source.contents.name);
  const fs::path whole = fs::absolute(path).lexically_normal();
  fill(source.name,
       wire::parse_package_name((whole.has_filename() ? whole : whole.parent_path()).filename().string()));
  require(source.name.publisher, path, "publisher", "--publisher");
  require(source.name.type, path, "name", "--name");
  require(source.name.version, path, "version", "--version");
  wire::check_package_name(source.name);
  return source;
}

}  // namespace berth
