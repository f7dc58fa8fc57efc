#include "images/kernel.h"

#include <archive.h>
#include <archive_entry.h>
#include <elf.h>
#include <gmock/gmock.h>

#include <cstring>

namespace berth {
namespace {

template <typename T>
void put(std::string& bytes, std::size_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// An ELF file with one note.
std::string elf_with_note(const char* owner, std::uint32_t type) {
  std::string file(sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) + sizeof(Elf64_Nhdr) + 8, '\0');
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_phoff = sizeof header;
  header.e_phnum = 1;
  put(file, 0, header);
  Elf64_Phdr segment{};
  segment.p_type = PT_NOTE;
  segment.p_offset = sizeof header + sizeof segment;
  segment.p_filesz = sizeof(Elf64_Nhdr) + 8;
  put(file, sizeof header, segment);
  put(file, segment.p_offset, Elf64_Nhdr{4, 4, type});
  std::memcpy(file.data() + segment.p_offset + sizeof(Elf64_Nhdr), owner, 4);
  return file;
}

std::string gzip(const std::string& bytes) {
  std::string result(bytes.size() + 1024, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_add_filter_gzip(writer);
  archive_write_set_format_raw(writer);
  archive_write_set_bytes_per_block(writer, 0);
  archive_write_open_memory(writer, result.data(), result.size(), &used);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_write_header(writer, entry);
  archive_entry_free(entry);
  archive_write_data(writer, bytes.data(), bytes.size());
  archive_write_free(writer);
  result.resize(used);
  return result;
}

std::string bzimage_of(const std::string& kernel) {
  std::string payload = gzip(kernel) + std::string(4, '\0');
  put(payload, payload.size() - 4, static_cast<std::uint32_t>(kernel.size()));
  std::string image(1024 + 64, '\0');
  put<std::uint8_t>(image, 0x1f1, 1);
  put<std::uint32_t>(image, 0x202, 0x53726448);
  put<std::uint32_t>(image, 0x248, 64);
  put<std::uint32_t>(image, 0x24c, static_cast<std::uint32_t>(payload.size()));
  return image + payload + "trailer";
}

TEST(Kernel, IsTakenOutOfItsBzimage) {
  const std::string kernel = elf_with_note("Xen", 18);
  EXPECT_EQ(uncompressed_kernel(bzimage_of(kernel)), kernel);
}

TEST(Kernel, WithoutAnEntryForQemuStaysInItsBzimage) {
  for (const std::string& kernel : {elf_with_note("GNU", 18), elf_with_note("Xen", 1), std::string(300, 'k')})
    EXPECT_EQ(uncompressed_kernel(bzimage_of(kernel)), bzimage_of(kernel));
}

TEST(Kernel, ThatIsNoBzimageStaysAsItIs) {
  const std::string whole = bzimage_of(elf_with_note("Xen", 18));
  for (const std::string& image : {std::string(), std::string("hello"), std::string(4096, '\0'),
                                   whole.substr(0, 600), whole.substr(0, whole.size() - 20)})
    EXPECT_EQ(uncompressed_kernel(image), image);
}

}  // namespace
}  // namespace berth
