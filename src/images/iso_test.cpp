#include "images/iso.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>

#include <map>

namespace berth {
namespace {

using testing::ElementsAre;
using testing::Pair;

/// Path -> bytes, as an independent reader sees the medium.
std::map<std::string, std::string> read_iso(const std::string& image) {
  std::map<std::string, std::string> files;
  archive* reader = archive_read_new();
  archive_read_support_format_iso9660(reader);
  EXPECT_EQ(archive_read_open_memory(reader, image.data(), image.size()), ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    std::string bytes(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    EXPECT_EQ(archive_read_data(reader, bytes.data(), bytes.size()), static_cast<la_ssize_t>(bytes.size()));
    files[archive_entry_pathname(entry)] = bytes;
  }
  archive_read_free(reader);
  return files;
}

TEST(Iso, GivesBackItsFiles) {
  const std::string document(5000, 'x');
  const std::string image = make_iso("rd_rdfe_stable", {{"ovf-env.xml", document}, {"short", "abc"}});
  EXPECT_THAT(read_iso(image), ElementsAre(Pair("ovf-env.xml", document), Pair("short", "abc")));
}

TEST(Iso, KeepsLongLowerCaseNames) {
  const std::string name = "a-file-with-a-very-long-lower-case-name.of-more-than-31.characters";
  const auto files = read_iso(make_iso("label", {{name, std::string(100, 'y')}}));
  EXPECT_THAT(files, ElementsAre(Pair(name, testing::_)));
}

TEST(Iso, HasItsVolumeLabelAndTheStandardsMark) {
  const std::string image = make_iso("rd_rdfe_stable.200101-0000", {{"ovf-env.xml", "<x/>"}});
  ASSERT_GT(image.size(), 16U * 2048 + 72);
  EXPECT_EQ(image.substr(16 * 2048 + 1, 5), "CD001");
  EXPECT_TRUE(image.substr(16 * 2048 + 40, 32).starts_with("rd_rdfe_stable.200101-0000") ||
              image.substr(16 * 2048 + 40, 32).starts_with("RD_RDFE_STABLE.200101-0000") ||
              image.substr(16 * 2048 + 40, 32).starts_with("RD_RDFE_STABLE_200101_0000"))
      << image.substr(16 * 2048 + 40, 32);
  EXPECT_EQ(image.size() % 2048, 0U);
}

TEST(Iso, HoldsFilesOfAnySize) {
  for (const std::size_t size : {0U, 1U, 31U, 32U, 33U, 2047U, 2048U, 2049U, 70'000U}) {
    const std::string bytes(size, 'z');
    EXPECT_THAT(read_iso(make_iso("label", {{"file", bytes}})), ElementsAre(Pair("file", bytes))) << size;
  }
}

TEST(Iso, WithTwoEqualFilesKeepsThemApart) {
  const std::string a(64, 'a'), b(64, 'b');
  EXPECT_THAT(read_iso(make_iso("label", {{"1", a}, {"2", b}, {"3", a}})),
              ElementsAre(Pair("1", a), Pair("2", b), Pair("3", a)));
}

}  // namespace
}  // namespace berth
