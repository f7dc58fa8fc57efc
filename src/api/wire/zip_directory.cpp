#include "api/wire/zip_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace berth::wire {
namespace {

constexpr std::string_view end_mark("PK\x05\x06", 4), entry_mark("PK\x01\x02", 4), file_mark("PK\x03\x04", 4),
    descriptor_mark("PK\x07\x08", 4);
constexpr std::size_t end_size = 22, entry_size = 46, file_size = 30;
constexpr std::size_t longest_comment = 0xffff;
constexpr std::uint64_t in_zip64 = 0xffffffff;  ///< the value is in the zip64 field of the extra data
constexpr std::uint64_t size_follows = 1U << 3, telling_flags = 1U | size_follows | 1U << 11;
constexpr std::uint64_t zip64_field = 0x0001, unicode_path_field = 0x7075;

/// A number of `size` bytes, the lowest first. The caller has seen that they are there.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::optional<std::string_view> part(std::string_view bytes, std::uint64_t at, std::uint64_t size) {
  if (at > bytes.size() || size > bytes.size() - at) return std::nullopt;
  return bytes.substr(at, size);
}

/// What the directory or the header before a file says of it.
struct Header {
  std::uint64_t flags = 0, method = 0, checksum = 0, packed = 0, size = 0;
  std::string_view name, extra;

  bool operator==(const Header& other) const {
    return (flags & telling_flags) == (other.flags & telling_flags) && method == other.method &&
           checksum == other.checksum && packed == other.packed && size == other.size && name == other.name;
  }
};

/// Both kinds have the same numbers in the same order, from `at`.
Header header_at(std::string_view bytes, std::size_t at) {
  return {.flags = number(bytes, at, 2),
          .method = number(bytes, at + 2, 2),
          .checksum = number(bytes, at + 8, 4),
          .packed = number(bytes, at + 12, 4),
          .size = number(bytes, at + 16, 4),
          .name = {},
          .extra = {}};
}

std::optional<std::string_view> extra_field(std::string_view extra, std::uint64_t kind) {
  while (extra.size() >= 4) {
    const auto value = part(extra, 4, number(extra, 2, 2));
    if (!value) break;
    if (number(extra, 0, 2) == kind) return value;
    extra.remove_prefix(4 + value->size());
  }
  return std::nullopt;
}

/// Another name, which some readers prefer.
bool has_other_name(const Header& header) {
  const auto field = extra_field(header.extra, unicode_path_field);
  return field && (field->size() < 5 || field->substr(5) != header.name);
}

/// Where the data of a file ends with the numbers behind it, when those are the same; else nullopt.
std::optional<std::uint64_t> end_with_descriptor(std::string_view zip, std::uint64_t end,
                                                 const Header& header) {
  if (part(zip, end, 4) == descriptor_mark) end += 4;
  for (const std::size_t width : {4U, 8U})
    if (const auto text = part(zip, end, 4 + 2 * width); text && number(*text, 0, 4) == header.checksum &&
                                                         number(*text, 4, width) == header.packed &&
                                                         number(*text, 4 + width, width) == header.size)
      return end + text->size();
  return std::nullopt;
}

/// Where the file that the directory has at `offset` ends; nullopt when what stands there is another file.
std::optional<std::uint64_t> end_of_file(std::string_view zip, std::uint64_t offset, const Header& said) {
  const auto fixed = part(zip, offset, file_size);
  if (!fixed || !fixed->starts_with(file_mark)) return std::nullopt;
  Header header = header_at(*fixed, 6);
  const std::uint64_t name_size = number(*fixed, 26, 2), extra_size = number(*fixed, 28, 2);
  const auto name = part(zip, offset + file_size, name_size);
  const auto extra = part(zip, offset + file_size + name_size, extra_size);
  const auto data = part(zip, offset + file_size + name_size + extra_size, said.packed);
  if (!name || !extra || !data) return std::nullopt;
  header.name = *name;
  header.extra = *extra;
  if (has_other_name(header)) return std::nullopt;
  const bool follows = header.flags & size_follows;
  if (header.size == in_zip64 || header.packed == in_zip64) {
    const auto sizes = extra_field(header.extra, zip64_field);
    if (!sizes || sizes->size() != 16) return std::nullopt;
    header.size = number(*sizes, 0, 8);
    header.packed = number(*sizes, 8, 8);
  }
  if (follows) {  // what is not known yet is 0
    if (header.checksum == 0) header.checksum = said.checksum;
    if (header.packed == 0) header.packed = said.packed;
    if (header.size == 0) header.size = said.size;
  }
  if (!(header == said)) return std::nullopt;
  const std::uint64_t end = offset + file_size + name_size + extra_size + said.packed;
  return follows ? end_with_descriptor(zip, end, said) : end;
}

/// The path that a reader makes of a name: "a//./b/" is a/b.
std::string plain_path(std::string_view name) {
  std::string path;
  while (!name.empty()) {
    const std::string_view word = name.substr(0, name.find('/'));
    name.remove_prefix(std::min(word.size() + 1, name.size()));
    if (!word.empty() && word != ".") path.append("/").append(word);
  }
  return path;
}

}  // namespace

std::string zip_directory_fault(std::string_view zip) {
  const std::size_t last = zip.rfind(end_mark);
  const std::size_t begin_of_search = zip.size() - std::min(zip.size(), end_size + longest_comment);
  if (last == zip.npos || last < begin_of_search || zip.size() - last < end_size)
    return "it has no directory at its end";
  const std::string_view end = zip.substr(last);
  if (end.size() != end_size + number(end, 20, 2)) return "something stands behind its directory";
  const std::uint64_t count = number(end, 10, 2), size = number(end, 12, 4), begin = number(end, 16, 4);
  if (count == 0xffff || begin == in_zip64) return "it is of the form for large files (zip64)";
  if (number(end, 4, 4) != 0 || number(end, 8, 2) != count) return "it is one part of several";
  if (begin > last || size != last - begin) return "its directory is not where its end says";

  struct Extent {
    std::uint64_t begin, end;
  };
  std::vector<Extent> files;
  std::set<std::string> paths;
  std::string_view rest = zip.substr(begin, size);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (rest.size() < entry_size || !rest.starts_with(entry_mark)) return "its directory is cut off";
    Header said = header_at(rest, 8);
    const std::uint64_t name_size = number(rest, 28, 2), extra_size = number(rest, 30, 2);
    const std::uint64_t offset = number(rest, 42, 4);
    const auto whole = part(rest, 0, entry_size + name_size + extra_size + number(rest, 32, 2));
    if (!whole) return "its directory is cut off";
    said.name = whole->substr(entry_size, name_size);
    said.extra = whole->substr(entry_size + name_size, extra_size);
    rest.remove_prefix(whole->size());
    if (said.packed == in_zip64 || said.size == in_zip64 || offset == in_zip64)
      return "it is of the form for large files (zip64)";
    if (!paths.insert(plain_path(said.name)).second)
      return fmt::format("its directory has \"{}\" more than once", said.name);
    const auto file_end = has_other_name(said) ? std::nullopt : end_of_file(zip, offset, said);
    if (!file_end)
      return fmt::format("its directory says of \"{}\" what the file itself does not", said.name);
    files.push_back({offset, *file_end});
  }
  if (!rest.empty()) return "its directory has more entries than its end says";
  std::ranges::sort(files, {}, &Extent::begin);
  std::uint64_t next = 0;
  for (const Extent& file : files) {
    if (file.begin < next) return "files in it lie over each other";
    if (file.begin > next) return "there is something in it that its directory does not have";
    next = file.end;
  }
  return next == begin ? "" : "there is something in it that its directory does not have";
}

}  // namespace berth::wire
