#include "region/extension_gallery.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <system_error>

#include "base/error.h"
#include "crypto/encoding.h"
#include "host/files.h"
#include "model/names.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_zip = 256ULL * 1024 * 1024;
constexpr std::uint64_t largest_unpacked = 1024ULL * 1024 * 1024;
constexpr std::size_t most_entries = 10'000;
constexpr std::size_t largest_manifest = std::size_t{1024} * 1024;
constexpr std::string_view manifest_name = "HandlerManifest.json";

/// The numbers of "1.10.0"; empty when it is no version.
std::vector<std::uint64_t> parse_version(std::string_view text) {
  std::vector<std::uint64_t> parts;
  while (true) {
    const auto end = std::min(text.find('.'), text.size());
    const std::string_view digits = text.substr(0, end);
    if (digits.empty() || digits.size() > 10 || digits.find_first_not_of("0123456789") != digits.npos)
      return {};
    parts.push_back(std::stoull(std::string(digits)));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

bool begins_with(const std::vector<std::uint64_t>& version, const std::vector<std::uint64_t>& prefix) {
  return prefix.size() <= version.size() && std::equal(prefix.begin(), prefix.end(), version.begin());
}

bool is_name(std::string_view text, bool with_dots) {
  const auto allowed = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (with_dots && c == '.');
  };
  return !text.empty() && text.size() <= 80 && std::all_of(text.begin(), text.end(), allowed) &&
         text.front() != '.' && text.back() != '.' && text.find("..") == text.npos;
}

/// What "PUBLISHER.TYPE_VERSION.zip" says; nullopt for any other name.
std::optional<ExtensionPackage> parse_file_name(const fs::path& file) {
  if (file.extension() != ".zip") return std::nullopt;
  const std::string stem = file.stem().string();
  const auto underscore = stem.rfind('_');
  if (underscore == stem.npos) return std::nullopt;
  const auto dot = stem.rfind('.', underscore);
  if (dot == stem.npos) return std::nullopt;
  ExtensionPackage package;
  package.publisher = stem.substr(0, dot);
  package.type = stem.substr(dot + 1, underscore - dot - 1);
  package.version = stem.substr(underscore + 1);
  package.zip = file;
  if (!is_name(package.publisher, true) || !is_name(package.type, false) ||
      parse_version(package.version).empty())
    return std::nullopt;
  return package;
}

std::string file_name(const ExtensionPackage& package) {
  return fmt::format("{}.{}_{}.zip", package.publisher, package.type, package.version);
}

bool same_version(const ExtensionPackage& a, const ExtensionPackage& b) {
  return same_name(a.handler(), b.handler()) && compare_versions(a.version, b.version) == 0;
}

[[noreturn]] void refuse(const fs::path& zip, const std::string& why, const std::string& advice = {}) {
  throw Error(ErrorKind::invalid, "InvalidExtensionPackage",
              fmt::format("{} is not a usable extension package: {}.", zip.filename().string(), why), advice);
}

/// True for a relative path that stays in its folder.
bool stays_inside(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\\') != path.npos || path.find('\0') != path.npos)
    return false;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    if (path.substr(0, end) == "..") return false;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

struct ZipContents {
  std::set<std::string> files;
  std::map<std::string, std::string> manifests;  ///< path -> text of every HandlerManifest.json
};

/// Reads every byte of the zip, so that what cannot be unpacked is found now and not in the guest.
ZipContents read_zip(const fs::path& zip, const std::string& bytes) {
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), &archive_read_free);
  archive_read_support_format_zip(reader.get());
  const auto check = [&](la_ssize_t result) {
    if (result < ARCHIVE_WARN) {
      const char* why = archive_error_string(reader.get());
      refuse(zip, why ? why : "it is not a zip file");
    }
  };
  check(archive_read_open_memory(reader.get(), bytes.data(), bytes.size()));
  ZipContents contents;
  std::uint64_t unpacked = 0;
  std::size_t entries = 0;
  std::vector<char> chunk(std::size_t{64} * 1024);
  while (true) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(reader.get(), &entry);
    if (result == ARCHIVE_EOF) return contents;
    check(result);
    const char* raw_name = archive_entry_pathname(entry);
    const std::string name = raw_name ? raw_name : "";
    if (++entries > most_entries) refuse(zip, fmt::format("it has more than {} entries", most_entries));
    if (!stays_inside(name)) refuse(zip, fmt::format("its entry \"{}\" leads outside the package", name));
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;
    if (archive_entry_filetype(entry) != AE_IFREG)
      refuse(zip, fmt::format("its entry {} is neither a file nor a folder", name),
             "The guest agent unpacks files and folders only: put a copy in place of a link.");
    if (archive_entry_is_encrypted(entry)) refuse(zip, fmt::format("its entry {} is encrypted", name));
    contents.files.insert(name);
    const bool is_manifest = fs::path(name).filename() == manifest_name;
    std::string text;
    while (true) {
      const la_ssize_t count = archive_read_data(reader.get(), chunk.data(), chunk.size());
      check(count);
      if (count <= 0) break;
      unpacked += static_cast<std::uint64_t>(count);
      if (unpacked > largest_unpacked)
        refuse(zip, fmt::format("it unpacks to more than {} MiB", largest_unpacked >> 20));
      if (is_manifest) text.append(chunk.data(), static_cast<std::size_t>(count));
      if (text.size() > largest_manifest) refuse(zip, fmt::format("its {} is larger than 1 MiB", name));
    }
    if (is_manifest) contents.manifests.emplace(name, std::move(text));
  }
}

/// The rules of the guest agent (docs/wire/wireserver.md, "Packages"): one handler, all five commands, and
/// each begins with the path of a file in the package.
void check_manifest(const fs::path& zip, const ZipContents& contents) {
  if (contents.manifests.size() != 1)
    refuse(zip, contents.manifests.empty() ? fmt::format("it has no {}", manifest_name)
                                           : fmt::format("it has more than one {}", manifest_name));
  const auto& [path, text] = *contents.manifests.begin();
  const nlohmann::json manifest = nlohmann::json::parse(text, nullptr, false);
  if (!manifest.is_array() || manifest.size() != 1 || !manifest[0].is_object() ||
      !manifest[0].contains("handlerManifest") || !manifest[0]["handlerManifest"].is_object())
    refuse(zip, fmt::format("its {} is not a list of one object with \"handlerManifest\"", path));
  const nlohmann::json& handler = manifest[0]["handlerManifest"];
  for (const char* key :
       {"installCommand", "enableCommand", "updateCommand", "disableCommand", "uninstallCommand"}) {
    const auto command = handler.find(key);
    if (command == handler.end() || !command->is_string() || command->get_ref<const std::string&>().empty())
      refuse(zip, fmt::format("its {} has no {}", path, key));
    std::string_view program = command->get_ref<const std::string&>();
    while (program.starts_with('/')) program.remove_prefix(1);  // as the agent does
    program = program.substr(0, program.find_first_of(" \t"));
    if (!contents.files.contains(std::string(program)))
      refuse(zip, fmt::format("its {} names \"{}\", and there is no such file in it", key, program),
             "The guest agent runs commands from the package's own folder.");
  }
}

}  // namespace

/// Hashes of the zips, so that asking again does not read them again.
struct ExtensionGallery::Hashes {
  struct Known {
    fs::file_time_type changed;
    std::uintmax_t size = 0;
    std::string sha256;
  };
  std::mutex mutex;
  std::map<fs::path, Known> known;

  std::string of(const fs::path& file) {
    std::error_code ec;
    const auto changed = fs::last_write_time(file, ec);
    const auto size = fs::file_size(file, ec);
    if (ec) return "";
    const std::lock_guard lock(mutex);
    Known& entry = known[file];
    if (entry.sha256.empty() || entry.changed != changed || entry.size != size)
      entry = {changed, size, sha256_hex(read_file(file, largest_zip))};
    return entry.sha256;
  }
};

ExtensionGallery::ExtensionGallery(fs::path bundled, fs::path own)
    : bundled_(std::move(bundled)), own_(std::move(own)), hashes_(std::make_shared<Hashes>()) {}

std::vector<ExtensionPackage> ExtensionGallery::list() const {
  std::vector<ExtensionPackage> packages;
  for (const fs::path& folder : {bundled_, own_}) {
    std::error_code ec;
    for (fs::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec)) {
      std::optional<ExtensionPackage> package = parse_file_name(entry->path());
      if (!package || !entry->is_regular_file(ec)) continue;
      const auto is_same = [&](const ExtensionPackage& other) { return same_version(other, *package); };
      if (std::any_of(packages.begin(), packages.end(), is_same)) continue;  // what is bundled comes first
      package->bundled = folder == bundled_;
      package->sha256 = hashes_->of(package->zip);
      if (!package->sha256.empty()) packages.push_back(std::move(*package));
    }
  }
  std::sort(packages.begin(), packages.end(), [](const ExtensionPackage& a, const ExtensionPackage& b) {
    if (!same_name(a.publisher, b.publisher)) return NameLess()(a.publisher, b.publisher);
    if (!same_name(a.type, b.type)) return NameLess()(a.type, b.type);
    return compare_versions(a.version, b.version) < 0;
  });
  return packages;
}

std::vector<ExtensionPackage> ExtensionGallery::versions(const std::string& publisher,
                                                         const std::string& type) const {
  std::vector<ExtensionPackage> packages = list();
  std::erase_if(packages, [&](const ExtensionPackage& package) {
    return !same_name(package.publisher, publisher) || !same_name(package.type, type);
  });
  return packages;
}

std::optional<ExtensionPackage> ExtensionGallery::resolve(const std::string& publisher,
                                                          const std::string& type, const std::string& wanted,
                                                          bool upgrade_minor) const {
  std::string_view text = wanted;
  if (same_name(text, "latest") || text == "*") text = {};
  while (text.ends_with(".*")) text.remove_suffix(2);
  const std::vector<std::uint64_t> prefix = parse_version(text);
  if (prefix.empty() && !text.empty()) return std::nullopt;

  std::optional<ExtensionPackage> best;
  for (ExtensionPackage& package : versions(publisher, type)) {
    const std::vector<std::uint64_t> version = parse_version(package.version);
    const bool is_exact = prefix.size() >= 3 && version == prefix;
    const bool is_upgrade = upgrade_minor && prefix.size() == 2 && version.front() == prefix.front() &&
                            compare_versions(package.version, std::string(text)) > 0;
    if (is_exact) return package;
    if (begins_with(version, prefix) || is_upgrade) best = std::move(package);
  }
  return best;
}

ExtensionPackage ExtensionGallery::publish(const fs::path& zip, const std::string& publisher,
                                           const std::string& type, const std::string& version,
                                           bool replace) {
  if (!is_name(publisher, true) || !is_name(type, false))
    throw Error(ErrorKind::invalid, "InvalidExtensionName",
                fmt::format("\"{}.{}\" cannot name an extension.", publisher, type),
                "Publishers are letters, digits and dots, types letters and digits; the guest agent cannot "
                "work with a hyphen.");
  const std::size_t parts = parse_version(version).size();
  if (parts < 2 || parts > 4)
    throw Error(ErrorKind::invalid, "InvalidExtensionVersion",
                fmt::format("\"{}\" is not the version of an extension.", version),
                "Versions are two to four numbers with dots between: 1.0.0.");
  ExtensionPackage package{publisher, type, version, {}, {}, false};
  const std::string bytes = read_file(zip, largest_zip);
  check_manifest(zip, read_zip(zip, bytes));

  package.zip = own_ / file_name(package);
  for (const ExtensionPackage& other : versions(publisher, type)) {
    if (!same_version(other, package)) continue;
    if (other.bundled)
      throw Error(ErrorKind::conflict, "ExtensionIsBundled",
                  fmt::format("{} {} came with Berth.", other.handler(), other.version),
                  "Publish yours with another version.");
    if (!replace)
      throw Error(ErrorKind::conflict, "ExtensionVersionExists",
                  fmt::format("{} {} is published already.", other.handler(), other.version),
                  "Choose another version, or replace that one (--replace).");
    package.zip = other.zip;
  }
  make_folder(own_);
  write_file(package.zip, bytes);
  package.sha256 = hashes_->of(package.zip);
  return package;
}

void ExtensionGallery::remove(const std::string& publisher, const std::string& type,
                              const std::string& version) {
  const ExtensionPackage wanted{publisher, type, version, {}, {}, false};
  for (const ExtensionPackage& package : versions(publisher, type)) {
    if (!same_version(package, wanted)) continue;
    if (package.bundled)
      throw Error(ErrorKind::conflict, "ExtensionIsBundled",
                  fmt::format("{} {} came with Berth and stays.", package.handler(), package.version));
    std::error_code ec;
    fs::remove(package.zip, ec);
    if (ec)
      throw Error(ErrorKind::unavailable, "FileUnavailable",
                  fmt::format("Cannot remove {}: {}.", package.zip.string(), ec.message()));
    return;
  }
  throw Error(ErrorKind::not_found, "ExtensionNotFound",
              fmt::format("There is no extension {}.{} {}.", publisher, type, version));
}

int compare_versions(const std::string& a, const std::string& b) {
  std::vector<std::uint64_t> x = parse_version(a), y = parse_version(b);
  const std::size_t parts = std::max(x.size(), y.size());
  x.resize(parts);
  y.resize(parts);
  return x < y ? -1 : x == y ? 0 : 1;
}

}  // namespace berth
