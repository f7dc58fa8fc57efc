#include "images/kernel.h"

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>

namespace berth {
namespace {

constexpr std::uint32_t xen_elfnote_phys32_entry = 18;

/// A value at `offset` of untrusted bytes, little endian as this processor; nullopt behind their end.
template <typename T>
std::optional<T> value_at(std::string_view bytes, std::size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string_view payload_of(std::string_view image) {
  const auto magic = value_at<std::uint32_t>(image, 0x202);
  const auto setup_sectors = value_at<std::uint8_t>(image, 0x1f1);
  const auto offset = value_at<std::uint32_t>(image, 0x248);
  const auto length = value_at<std::uint32_t>(image, 0x24c);
  if (!magic || !setup_sectors || !offset || !length || *magic != 0x53726448 /* "HdrS" */) return {};
  const std::size_t start = (std::size_t{*setup_sectors} + 1) * 512 + *offset;
  if (start > image.size() || image.size() - start < *length) return {};
  return image.substr(start, *length);
}

/// With whatever the kernel was compressed. The payload's last four bytes are the size of the result.
std::string decompress(std::string_view payload) {
  const auto size = payload.size() < 4 ? std::nullopt : value_at<std::uint32_t>(payload, payload.size() - 4);
  if (!size || *size > (512U << 20)) return {};
  payload.remove_suffix(4);
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), archive_read_free);
  archive_read_support_filter_all(reader.get());
  archive_read_support_format_raw(reader.get());
  archive_entry* entry = nullptr;
  if (archive_read_open_memory(reader.get(), payload.data(), payload.size()) != ARCHIVE_OK ||
      archive_read_next_header(reader.get(), &entry) != ARCHIVE_OK)
    return {};
  std::string kernel(*size, '\0');
  std::size_t have = 0;
  while (have < kernel.size()) {
    const auto got = archive_read_data(reader.get(), kernel.data() + have, kernel.size() - have);
    if (got <= 0) return {};
    have += static_cast<std::size_t>(got);
  }
  return kernel;
}

bool has_note(std::string_view notes, std::string_view owner, std::uint32_t type) {
  const auto padded = [](std::size_t size) { return (size + 3) & ~std::size_t{3}; };
  while (const auto note = value_at<Elf64_Nhdr>(notes, 0)) {
    const std::size_t size = sizeof *note + padded(note->n_namesz) + padded(note->n_descsz);
    if (size > notes.size()) return false;
    const std::string_view name = notes.substr(sizeof *note, note->n_namesz);
    if (note->n_type == type && name.substr(0, owner.size()) == owner) return true;
    notes.remove_prefix(size);
  }
  return false;
}

bool has_pvh_entry(std::string_view kernel) {
  const auto header = value_at<Elf64_Ehdr>(kernel, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return false;
  for (std::size_t i = 0; i < header->e_phnum; ++i) {
    const auto segment = value_at<Elf64_Phdr>(kernel, header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) return false;
    if (segment->p_type != PT_NOTE || segment->p_offset > kernel.size()) continue;
    if (has_note(kernel.substr(segment->p_offset, segment->p_filesz), "Xen", xen_elfnote_phys32_entry))
      return true;
  }
  return false;
}

}  // namespace

std::string uncompressed_kernel(std::string_view image) {
  std::string kernel = decompress(payload_of(image));
  return has_pvh_entry(kernel) ? kernel : std::string(image);
}

}  // namespace berth
