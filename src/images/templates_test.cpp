#include "images/templates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "host/files.h"
#include "host/temporary_folder.h"
#include "images/disk.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::uint64_t block = 1 << 20;
const std::string layout = "one\nkind\nof machine\n";

class TemplatesTest : public testing::Test {
 protected:
  TemplatesTest() {
    make_folder(home / "image");
    create_disk(image.disk, 4 * block);
  }

  /// Everything that a machine leaves; 3 MiB of memory, of which the second is a hole.
  void fill(const MachineTemplate& files) {
    create_disk(files.disk, 4 * block, image.disk, "qcow2");
    if (!files.temporary_disk.empty()) create_disk(files.temporary_disk, block);
    std::ofstream memory(files.memory);
    memory << std::string(block, 'a');
    memory.seekp(2 * block);
    memory << std::string(block, 'c');
    write_file(files.devices, "devices");
  }
  MachineTemplate make(const std::string& of = layout, bool temporary = false) {
    const auto draft = templates.begin(image, of, temporary, 3);
    fill(draft->files());
    draft->keep();
    return *templates.find(image, of);
  }
  /// As another process, which has looked at nothing yet.
  std::optional<MachineTemplate> find_anew() { return Templates().find(image, layout); }

  TemporaryFolder home;
  ImageFiles image{.disk = home / "image/disk.qcow2",
                   .format = "qcow2",
                   .kernel = {},
                   .initrd = {},
                   .command_line = {},
                   .azure_disks = true,
                   .takes_identity = true};
  Templates templates;
};

}  // namespace

TEST_F(TemplatesTest, AnImageHasNoneUntilOneIsKept) {
  EXPECT_EQ(templates.find(image, layout), std::nullopt);
  const auto draft = templates.begin(image, layout, false, 3);
  fill(draft->files());
  EXPECT_EQ(templates.find(image, layout), std::nullopt);
  EXPECT_FALSE(templates.has_any(image));

  draft->keep();

  ASSERT_NE(templates.find(image, layout), std::nullopt);
  EXPECT_TRUE(templates.has_any(image));
  EXPECT_EQ(read_file(templates.find(image, layout)->devices), "devices");
}

TEST_F(TemplatesTest, OneIsForItsLayoutAlone) {
  make();

  EXPECT_EQ(templates.find(image, layout + "more"), std::nullopt);
}

TEST_F(TemplatesTest, HasATemporaryDiskWhereOneWasMade) {
  EXPECT_EQ(make().temporary_disk, fs::path());
  EXPECT_EQ(make("with", true).temporary_disk.filename(), "temporary.qcow2");
}

TEST_F(TemplatesTest, OnlyOneProcessMakesTheSame) {
  const auto draft = templates.begin(image, layout, false, 3);

  EXPECT_EQ(Templates().begin(image, layout, false, 3), nullptr);
  EXPECT_NE(Templates().begin(image, "another", false, 3), nullptr);
}

TEST_F(TemplatesTest, WhatIsNotKeptIsRemovedAndMadeAnew) {
  fs::path folder;
  {
    const auto draft = templates.begin(image, layout, false, 3);
    fill(draft->files());
    folder = draft->files().disk.parent_path();
  }
  EXPECT_FALSE(fs::exists(folder));
  make_folder(folder);  // of a process that was killed
  write_file(folder / "memory", "half");

  EXPECT_EQ(read_file(make().devices), "devices");
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(TemplatesTest, AChangedByteAnywhereIsFoundAndTheDiskStays) {
  for (const char* name : {"memory", "devices", "disk.qcow2"}) {
    const MachineTemplate files = make();
    const fs::path file = files.disk.parent_path() / name;
    fs::permissions(file, fs::perms(0600));
    std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).seekp(-1, std::ios::end).put('!');

    EXPECT_EQ(templates.find(image, layout), std::nullopt) << name;
    EXPECT_EQ(find_anew(), std::nullopt) << name;
    EXPECT_TRUE(fs::exists(files.disk)) << "machines' disks stand on it";
    EXPECT_FALSE(fs::exists(files.memory)) << name;
  }
}

TEST_F(TemplatesTest, ATruncatedFileIsFound) {
  const MachineTemplate files = make();
  fs::resize_file(files.memory, 2 * block);

  EXPECT_EQ(find_anew(), std::nullopt);
}

TEST_F(TemplatesTest, ABlockInAnotherPlaceIsFound) {
  const MachineTemplate files = make();
  {
    std::ofstream memory(files.memory);
    memory << std::string(block, 'a') << std::string(block, 'c');
  }
  fs::resize_file(files.memory, 3 * block);

  EXPECT_EQ(find_anew(), std::nullopt);
}

TEST_F(TemplatesTest, AHoleAndZerosAreTheSame) {
  const MachineTemplate files = make();
  {
    std::ofstream memory(files.memory);
    memory << std::string(block, 'a') << std::string(block, '\0') << std::string(block, 'c');
  }

  EXPECT_NE(find_anew(), std::nullopt);
}

TEST_F(TemplatesTest, AFileThatIsMissingIsNoTemplate) {
  fs::remove(make().devices);

  EXPECT_EQ(templates.find(image, layout), std::nullopt);
}

TEST_F(TemplatesTest, AManifestThatNobodyWroteIsNoTemplate) {
  const MachineTemplate files = make();
  for (const char* text : {"", "{", "[]", "{\"layout\": 7, \"files\": {}}", "{\"layout\": \"x\"}"}) {
    write_file(files.disk.parent_path() / "template.json", text);
    EXPECT_EQ(find_anew(), std::nullopt) << text;
  }
}

TEST_F(TemplatesTest, SaysWhatSpaceItWants) {
  try {
    templates.begin(image, layout, false, 1U << 31);
    FAIL() << "a template of 2 PiB was begun";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("MiB are free"));
  }
  EXPECT_EQ(Templates().find(image, layout), std::nullopt);
  EXPECT_NE(Templates().begin(image, layout, false, 3), nullptr) << "the lock was kept";
}

TEST_F(TemplatesTest, TheImageOfADiskIsFoundThroughItsTemplate) {
  EXPECT_EQ(Templates::image_folder(make().disk), home / "image");
  EXPECT_EQ(Templates::image_folder(image.disk), home / "image");
}

}  // namespace berth
