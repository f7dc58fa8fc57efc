#include "region/extension_gallery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string_view>
#include <system_error>

#include "api/wire/handler_package.h"
#include "base/error.h"
#include "crypto/encoding.h"
#include "host/files.h"
#include "model/names.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

using wire::version_numbers;

constexpr std::size_t largest_zip = 256ULL * 1024 * 1024;

bool begins_with(const std::vector<std::uint64_t>& version, const std::vector<std::uint64_t>& prefix) {
  return prefix.size() <= version.size() && std::equal(prefix.begin(), prefix.end(), version.begin());
}

/// "1.0.0" and 2: "1.0.0.2", which is what the guest agent is told.
std::string revised(const std::string& published, unsigned revision) {
  if (revision == 0) return published;
  const std::size_t parts = version_numbers(published).size();
  return fmt::format("{}{}.{}", published, parts < 3 ? ".0" : "", revision);
}

/// What "PUBLISHER.TYPE_VERSION.zip", or with a revision "PUBLISHER.TYPE_VERSION+2.zip", says; nullopt for
/// any other name.
std::optional<ExtensionPackage> parse_file_name(const fs::path& file) {
  if (file.extension() != ".zip") return std::nullopt;
  std::string stem = file.stem().string();
  unsigned revision = 0;
  if (const auto plus = stem.rfind('+'); plus != stem.npos) {
    const auto numbers = version_numbers(std::string_view(stem).substr(plus + 1));
    if (numbers.size() != 1 || numbers[0] > 1'000'000) return std::nullopt;
    revision = static_cast<unsigned>(numbers[0]);
    stem.resize(plus);
  }
  const wire::PackageName name = wire::parse_package_name(stem);
  if (name.publisher.empty() || name.type.empty() || name.version.empty() ||
      stem != fmt::format("{}.{}_{}", name.publisher, name.type, name.version))
    return std::nullopt;
  ExtensionPackage package;
  package.publisher = name.publisher;
  package.type = name.type;
  package.published = name.version;
  package.revision = revision;
  package.version = revised(name.version, revision);
  package.zip = file;
  return package;
}

std::string file_name(const ExtensionPackage& package) {
  return fmt::format("{}.{}_{}{}.zip", package.publisher, package.type, package.published,
                     package.revision == 0 ? "" : fmt::format("+{}", package.revision));
}

bool is_published_as(const ExtensionPackage& package, const std::string& version) {
  return compare_versions(package.published, version) == 0;
}

void check_zip(const fs::path& zip, const std::string& bytes) {
  const wire::HandlerPackage package = wire::read_handler_package(bytes);
  if (package.faults.empty()) return;
  std::string what, advice;
  for (const wire::PackageFault& fault : package.faults) {
    what += (what.empty() ? "" : "; ") + fault.what;
    if (advice.empty()) advice = fault.advice;
  }
  throw Error(ErrorKind::invalid, "InvalidExtensionPackage",
              fmt::format("{} is not a usable extension package: {}.", zip.filename().string(), what),
              advice);
}

}  // namespace

bool ExtensionPackage::replaces(const std::string& other) const {
  for (unsigned earlier = 0; earlier < revision; ++earlier)
    if (compare_versions(revised(published, earlier), other) == 0) return true;
  return false;
}

/// Hashes of the zips, so that asking again does not read them again.
struct ExtensionGallery::Hashes {
  struct Known {
    fs::file_time_type changed;
    std::uintmax_t size = 0;
    std::string sha256;
  };
  std::mutex mutex;
  std::map<fs::path, Known> known;
  std::mutex publishing;  ///< one at a time: two of one name would not see each other

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
      package->bundled = folder == bundled_;
      package->sha256 = hashes_->of(package->zip);
      if (package->sha256.empty()) continue;
      const auto other = std::ranges::find_if(packages, [&](const ExtensionPackage& candidate) {
        return same_name(candidate.handler(), package->handler()) &&
               is_published_as(candidate, package->published);
      });
      // What is bundled comes first; two revisions are there when a replacement was cut short.
      if (other == packages.end())
        packages.push_back(std::move(*package));
      else if (!other->bundled && other->revision < package->revision)
        *other = std::move(*package);
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
  const std::vector<std::uint64_t> prefix = version_numbers(text);
  if (prefix.empty() && !text.empty()) return std::nullopt;

  std::optional<ExtensionPackage> best;
  for (ExtensionPackage& package : versions(publisher, type)) {
    const std::vector<std::uint64_t> version = version_numbers(package.version);
    const bool is_exact =
        prefix.size() >= 3 && (version == prefix || version_numbers(package.published) == prefix);
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
  wire::check_package_name({publisher, type, version});
  const std::string bytes = read_file(zip, largest_zip);
  check_zip(zip, bytes);
  const std::lock_guard one_at_a_time(hashes_->publishing);

  ExtensionPackage package{.publisher = publisher, .type = type, .version = version, .published = version};
  std::optional<ExtensionPackage> before = find(publisher, type, version);
  if (before && !is_published_as(*before, version)) before.reset();  // a revision of another one
  if (before && before->bundled)
    throw Error(ErrorKind::conflict, "ExtensionIsBundled",
                fmt::format("{} {} came with Berth.", before->handler(), before->published),
                "Publish yours with another version.");
  if (before && !replace)
    throw Error(ErrorKind::conflict, "ExtensionVersionExists",
                fmt::format("{} {} is published already.", before->handler(), before->published),
                "Choose another version, or replace that one (--replace).");
  if (before && before->sha256 == sha256_hex(bytes)) return *before;
  if (before) {
    package = *before;
    package.revision = before->revision + 1;
    package.version = revised(package.published, package.revision);
  }
  for (const ExtensionPackage& other : versions(publisher, type))
    if (!(before && other.zip == before->zip) && compare_versions(other.version, package.version) == 0)
      throw Error(ErrorKind::conflict, "ExtensionVersionExists",
                  fmt::format("{} {} is published already.", other.handler(), other.version),
                  "Publish this one with a higher version.");
  package.zip = own_ / file_name(package);
  make_folder(own_);
  write_file(package.zip, bytes);
  if (before) remove_file(before->zip);
  package.sha256 = hashes_->of(package.zip);
  return package;
}

std::optional<ExtensionPackage> ExtensionGallery::find(const std::string& publisher, const std::string& type,
                                                       const std::string& version) const {
  for (ExtensionPackage& package : versions(publisher, type))
    if (is_published_as(package, version) || compare_versions(package.version, version) == 0)
      return std::move(package);
  return std::nullopt;
}

void ExtensionGallery::remove(const std::string& publisher, const std::string& type,
                              const std::string& version) {
  const auto package = find(publisher, type, version);
  if (!package)
    throw Error(ErrorKind::not_found, "ExtensionNotFound",
                fmt::format("There is no extension {}.{} {}.", publisher, type, version),
                "'azure vm extension list' shows those that there are.");
  if (package->bundled)
    throw Error(ErrorKind::conflict, "ExtensionIsBundled",
                fmt::format("{} {} came with Berth and stays.", package->handler(), package->published));
  remove_file(package->zip);
}

int compare_versions(const std::string& a, const std::string& b) {
  std::vector<std::uint64_t> x = version_numbers(a), y = version_numbers(b);
  const std::size_t parts = std::max(x.size(), y.size());
  x.resize(parts);
  y.resize(parts);
  return x < y ? -1 : x == y ? 0 : 1;
}

}  // namespace berth
