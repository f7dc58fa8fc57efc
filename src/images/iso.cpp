#include "images/iso.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "crypto/random.h"

namespace berth {
namespace {

constexpr std::size_t sector = 2048;
constexpr std::size_t shortest_filler = 32;  ///< random bytes that occur nowhere else

using Writer = std::unique_ptr<archive, decltype(&archive_write_free)>;

void check(const Writer& writer, int result) {
  if (result == ARCHIVE_OK) return;
  const char* why = archive_error_string(writer.get());
  throw Error(ErrorKind::internal, "InternalError",
              fmt::format("The provisioning medium cannot be made: {}.", why ? why : "no reason given"));
}

la_ssize_t append(archive*, void* image, const void* bytes, std::size_t size) {
  static_cast<std::string*>(image)->append(static_cast<const char*>(bytes), size);
  return static_cast<la_ssize_t>(size);
}

void add_file(const Writer& writer, const std::string& name, const std::string& bytes) {
  const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(),
                                                                            archive_entry_free);
  archive_entry_set_pathname(entry.get(), name.c_str());
  archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes.size()));
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_entry_set_perm(entry.get(), 0444);
  check(writer, archive_write_header(writer.get(), entry.get()));
  if (!bytes.empty() &&
      archive_write_data(writer.get(), bytes.data(), bytes.size()) != static_cast<la_ssize_t>(bytes.size()))
    check(writer, ARCHIVE_FATAL);
}

}  // namespace

std::string make_iso(const std::string& volume_label,
                     const std::vector<std::pair<std::string, std::string>>& files) {
  const Writer writer(archive_write_new(), archive_write_free);
  check(writer, archive_write_set_format_iso9660(writer.get()));
  check(writer, archive_write_set_option(writer.get(), "iso9660", "rockridge", "strict"));
  check(writer, archive_write_set_option(writer.get(), "iso9660", "volume-id", volume_label.c_str()));
  check(writer, archive_write_set_bytes_per_block(writer.get(), 0));
  std::string image;
  check(writer, archive_write_open(writer.get(), &image, nullptr, append, nullptr));

  // libarchive collects the files' bytes in a temporary file, and these hold passwords. So it gets random
  // bytes, as many, and the real ones take their place in memory.
  std::vector<std::string> fillers;
  for (const auto& [name, bytes] : files) {
    fillers.push_back(bytes.size() < shortest_filler ? bytes : random_bytes(bytes.size()));
    add_file(writer, name, fillers.back());
  }
  check(writer, archive_write_close(writer.get()));
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::string& bytes = files[i].second;
    if (bytes.size() < shortest_filler) continue;
    std::size_t place = 0;
    while (place < image.size() && image.compare(place, bytes.size(), fillers[i]) != 0) place += sector;
    if (place >= image.size()) throw Error(ErrorKind::internal, "InternalError", "The medium lost a file.");
    image.replace(place, bytes.size(), bytes);
  }
  return image;
}

}  // namespace berth
