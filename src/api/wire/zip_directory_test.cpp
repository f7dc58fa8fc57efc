#include "api/wire/zip_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "api/wire/handler_package.h"

namespace berth::wire {
namespace {

using testing::HasSubstr;

void put(std::string& out, std::uint64_t value, int size) {
  for (int i = 0; i < size; ++i) out += i < 8 ? static_cast<char>(value >> 8 * i & 0xff) : '\0';
}

/// One file that is stored as it is; what its header says may be told otherwise in the directory.
struct Entry {
  std::string name, text;
  bool descriptor = false;
  std::string name_in_header = name, extra_in_directory = {};
  std::uint64_t checksum = 0x11223344, size_in_header = text.size();
  std::string before = {};  ///< bytes between this file and the one before
};

struct Archive {
  std::vector<Entry> entries;
  std::string comment = {}, before_directory = {};
  std::uint64_t count = entries.size();

  std::string bytes() const {
    std::string zip, directory;
    for (const Entry& entry : entries) {
      zip += entry.before;
      const std::size_t offset = zip.size();
      const unsigned flags = entry.descriptor ? 8 : 0;
      zip += "PK\x03\x04";
      for (const std::uint64_t value : {20U, flags, 0U, 0U, 0U}) put(zip, value, 2);
      put(zip, entry.descriptor ? 0 : entry.checksum, 4);
      put(zip, entry.descriptor ? 0 : entry.size_in_header, 4);
      put(zip, entry.descriptor ? 0 : entry.size_in_header, 4);
      put(zip, entry.name_in_header.size(), 2);
      put(zip, 0, 2);
      zip += entry.name_in_header + entry.text;
      if (entry.descriptor) {
        zip += "PK\x07\x08";
        put(zip, entry.checksum, 4);
        put(zip, entry.size_in_header, 4);
        put(zip, entry.size_in_header, 4);
      }
      directory += "PK\x01\x02";
      for (const std::uint64_t value : {20U, 20U, flags, 0U, 0U, 0U}) put(directory, value, 2);
      put(directory, entry.checksum, 4);
      put(directory, entry.text.size(), 4);
      put(directory, entry.text.size(), 4);
      put(directory, entry.name.size(), 2);
      put(directory, entry.extra_in_directory.size(), 2);
      put(directory, 0, 10);
      put(directory, offset, 4);
      directory += entry.name + entry.extra_in_directory;
    }
    zip += before_directory;
    const std::size_t begin = zip.size();
    zip += directory + "PK\x05\x06";
    put(zip, 0, 4);
    put(zip, count, 2);
    put(zip, count, 2);
    put(zip, directory.size(), 4);
    put(zip, begin, 4);
    put(zip, comment.size(), 2);
    return zip + comment;
  }
};

std::string fault(const Archive& archive) {
  return zip_directory_fault(archive.bytes());
}

}  // namespace

TEST(ZipDirectory, ThatSaysWhatTheFilesSayIsTheTruth) {
  EXPECT_EQ(fault({{}}), "");
  EXPECT_EQ(fault({{{"a", "text"}, {"b/", ""}, {"b/c", "more"}}}), "");
  EXPECT_EQ(fault({{{"a", "text", true}, {"b", "", true}}, "a comment"}), "");
}

TEST(ZipDirectory, MustBeThere) {
  const std::string zip = Archive{{{"a", "text"}}}.bytes();
  const std::string without = zip.substr(0, zip.find("PK\x01\x02"));
  EXPECT_THAT(zip_directory_fault(without), HasSubstr("no directory"));
  EXPECT_THAT(zip_directory_fault(""), HasSubstr("no directory"));
  EXPECT_THAT(zip_directory_fault(zip + "x"), HasSubstr("behind its directory"));
  EXPECT_THAT(zip_directory_fault("x" + zip), HasSubstr("not where its end says"));
  for (std::size_t size = 0; size < zip.size(); ++size)
    EXPECT_NE(zip_directory_fault(zip.substr(0, size)), "") << size;
}

TEST(ZipDirectory, ACommentThatIsAnEndOfItsOwnIsNotTaken) {
  const Archive inner{{}};
  EXPECT_NE(fault({{{"a", "text"}}, inner.bytes()}), "");
}

TEST(ZipDirectory, NamesAreTheSameInBothPlaces) {
  Entry entry{"a", "text"};
  entry.name_in_header = "b";
  EXPECT_THAT(fault({{entry}}), HasSubstr("what the file itself does not"));
  Entry renamed{"a", "text"};
  put(renamed.extra_in_directory, 0x7075, 2);
  put(renamed.extra_in_directory, 6, 2);
  renamed.extra_in_directory += std::string("\x01") + "\x01\x02\x03\x04" + "b";
  EXPECT_THAT(fault({{renamed}}), HasSubstr("what the file itself does not"));
}

TEST(ZipDirectory, SizesAndChecksumsAreTheSameInBothPlaces) {
  for (const bool descriptor : {false, true}) {
    Entry entry{"a", "text", descriptor};
    entry.size_in_header = 3;
    EXPECT_THAT(fault({{entry}}), HasSubstr("\"a\"")) << descriptor;
  }
  std::string zip = Archive{{{"a", "text"}}}.bytes();
  zip[zip.find("PK\x01\x02") + 16] ^= 1;  // the checksum
  EXPECT_THAT(zip_directory_fault(zip), HasSubstr("\"a\""));
}

TEST(ZipDirectory, ANameIsThereOnce) {
  for (const char* second : {"a/b", "a//b", "./a/b", "a/./b", "a/b/"})
    EXPECT_THAT(fault({{{"a/b", "text"}, {second, ""}}}), HasSubstr("more than once")) << second;
}

TEST(ZipDirectory, HasEveryFile) {
  Entry second{"b", "text"};
  second.before = Archive{{{"hidden", "text"}}}.bytes().substr(0, 30 + 6 + 4);
  EXPECT_THAT(fault({{{"a", "text"}, second}}), HasSubstr("does not have"));
  EXPECT_THAT(fault({{second}}), HasSubstr("does not have"));
  Archive archive{{{"a", "text"}}};
  archive.before_directory = second.before;
  EXPECT_THAT(fault(archive), HasSubstr("does not have"));
  archive = {{{"a", "text"}, {"b", "text"}}};
  archive.count = 1;
  EXPECT_THAT(fault(archive), HasSubstr("more entries"));
  archive.count = 3;
  EXPECT_THAT(fault(archive), HasSubstr("cut off"));
}

TEST(ZipDirectory, FilesDoNotLieOverEachOther) {
  std::string zip = Archive{{{"a", "text"}, {"a", "text"}}}.bytes();
  // The same file, said twice, under two names that a reader of headers alone would not see.
  const std::size_t second = zip.rfind("PK\x01\x02");
  for (std::size_t i = 0; i < 4; ++i) zip[second + 42 + i] = '\0';
  EXPECT_NE(zip_directory_fault(zip), "");
}

TEST(ZipDirectory, OfAnotherFormIsNotTaken) {
  Archive archive{{{"a", "text"}}};
  archive.count = 0xffff;
  EXPECT_THAT(fault(archive), HasSubstr("zip64"));
}

/// What libarchive reads from the front when there is no directory: the guest's agent would not.
TEST(HandlerPackage, WithoutADirectoryIsRefused) {
  const std::string zip = Archive{{{"HandlerManifest.json", "[]"}}}.bytes();
  const auto faults = read_handler_package(zip.substr(0, zip.find("PK\x01\x02"))).faults;
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_THAT(faults[0].what, HasSubstr("no directory"));
}

}  // namespace berth::wire
