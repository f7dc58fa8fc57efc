#include "images/disk.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/error.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::uint64_t mib = 1 << 20;

void run_qemu_img(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv{"qemu-img"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const RunResult result = run(argv);
  ASSERT_EQ(result.exit_code, 0) << result.err;
}

/// A raw disk that begins with a partition table's signature.
fs::path raw_disk(const TemporaryFolder& folder) {
  std::string bytes(2 * mib, '\0');
  bytes[510] = '\x55';
  bytes[511] = '\xAA';
  write_file(folder / "disk.raw", bytes);
  return folder / "disk.raw";
}

ErrorKind kind_of_trouble(const fs::path& file) {
  try {
    inspect_disk(file);
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(file.string()));
    return error.kind;
  }
  ADD_FAILURE() << file << " was taken";
  return ErrorKind::internal;
}

TEST(InspectDisk, KnowsQcow2RawAndFixedVhd) {
  const TemporaryFolder folder;
  const fs::path raw = raw_disk(folder);
  run_qemu_img({"convert", "-O", "qcow2", raw.string(), (folder / "a.qcow2").string()});
  run_qemu_img({"convert", "-O", "vpc", "-o", "subformat=fixed,force_size=on", raw.string(),
                (folder / "a.vhd").string()});

  EXPECT_EQ(inspect_disk(raw).format, "raw");
  EXPECT_EQ(inspect_disk(folder / "a.qcow2").format, "qcow2");
  EXPECT_EQ(inspect_disk(folder / "a.vhd").format, "vpc");
  EXPECT_EQ(inspect_disk(folder / "a.vhd").virtual_size, 2 * mib);
  EXPECT_EQ(inspect_disk(folder / "a.qcow2").virtual_size, 2 * mib);
}

TEST(InspectDisk, NamesTheFileBehindAnOverlay) {
  const TemporaryFolder folder;
  create_disk(folder / "base.qcow2", mib);
  create_disk(folder / "top.qcow2", mib, folder / "base.qcow2", "qcow2");
  EXPECT_EQ(inspect_disk(folder / "top.qcow2").backing, folder / "base.qcow2");
}

TEST(ReadDisk, SaysOfAnOverlayAndItsBaseWhatQemuImgSays) {
  const TemporaryFolder folder;
  const fs::path raw = raw_disk(folder);
  create_disk(folder / "base.qcow2", mib);
  create_disk(folder / "top.qcow2", 3 * mib, folder / "base.qcow2", "qcow2");
  for (const char* name : {"disk.raw", "base.qcow2", "top.qcow2"}) {
    const DiskFile asked = inspect_disk(folder / name), read = read_disk(folder / name, asked.format);
    EXPECT_EQ(read.virtual_size, asked.virtual_size) << name;
    EXPECT_EQ(read.backing, asked.backing) << name;
  }
}

TEST(ReadDisk, RefusesWhatIsNoQcow2OrIsCutOff) {
  const TemporaryFolder folder;
  create_disk(folder / "base.qcow2", mib);
  create_disk(folder / "top.qcow2", mib, folder / "base.qcow2", "qcow2");
  const std::string whole = read_file(folder / "top.qcow2");
  write_file(folder / "letter", std::string(4096, 'a'));
  write_file(folder / "short", whole.substr(0, 31));
  write_file(folder / "cut", whole.substr(0, 104));
  for (const char* name : {"letter", "short", "cut"}) EXPECT_THROW(read_disk(folder / name), Error) << name;
  EXPECT_THROW(read_disk(folder / "absent"), Error);
}

TEST(InspectDisk, RefusesWhatIsNoDisk) {
  const TemporaryFolder folder;
  write_file(folder / "letter.txt", std::string(4096, 'a'));
  write_file(folder / "empty", "");
  run_qemu_img({"create", "-q", "-f", "vmdk", (folder / "a.vmdk").string(), "1M"});

  EXPECT_EQ(kind_of_trouble(folder / "letter.txt"), ErrorKind::invalid);
  EXPECT_EQ(kind_of_trouble(folder / "empty"), ErrorKind::invalid);
  EXPECT_EQ(kind_of_trouble(folder / "a.vmdk"), ErrorKind::invalid);
  EXPECT_EQ(kind_of_trouble(folder.path()), ErrorKind::invalid);
  EXPECT_EQ(kind_of_trouble(folder / "absent"), ErrorKind::not_found);
}

TEST(InspectDisk, RefusesAnImageThatReadsAnotherFileOfTheHost) {
  const TemporaryFolder folder;
  run_qemu_img({"create", "-q", "-f", "qcow2", "-o", "data_file=" + (folder / "data").string(),
                (folder / "split.qcow2").string(), "1M"});
  EXPECT_EQ(kind_of_trouble(folder / "split.qcow2"), ErrorKind::invalid);
}

TEST(InspectDisk, OpensNoFileThatAnImageNames) {
  const TemporaryFolder folder;
  const fs::path fifo = folder / "fifo";  // who opens it waits for ever
  run_qemu_img({"create", "-q", "-f", "qcow2", "-o", "data_file=" + fifo.string(),
                (folder / "data.qcow2").string(), "1M"});
  fs::remove(fifo);
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  write_file(folder / "extent.vmdk",
             "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
             "createType=\"monolithicFlat\"\nRW 2048 FLAT \"" +
                 fifo.string() + "\" 0\n");
  run_qemu_img({"create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", fifo.string(),
                (folder / "backing.qcow2").string(), "1M"});
  EXPECT_EQ(kind_of_trouble(folder / "data.qcow2"), ErrorKind::invalid);
  EXPECT_EQ(kind_of_trouble(folder / "extent.vmdk"), ErrorKind::invalid);
  EXPECT_EQ(kind_of_trouble(fifo), ErrorKind::invalid);
  EXPECT_EQ(inspect_disk(folder / "backing.qcow2").backing, fifo);
  EXPECT_THROW(import_disk(folder / "backing.qcow2", folder / "copy"), Error);
}

TEST(InspectDisk, RefusesADiskLargerThanAnyOfAzure) {
  const TemporaryFolder folder;
  create_disk(folder / "large.qcow2", largest_disk + mib);
  create_disk(folder / "largest.qcow2", largest_disk);
  EXPECT_EQ(kind_of_trouble(folder / "large.qcow2"), ErrorKind::invalid);
  EXPECT_EQ(inspect_disk(folder / "largest.qcow2").virtual_size, largest_disk);
}

TEST(InspectDisk, RefusesAnEncryptedOne) {
  const TemporaryFolder folder;
  write_file(folder / "luks", "LUKS\xba\xbe" + std::string(4096, 'x'));
  EXPECT_EQ(kind_of_trouble(folder / "luks"), ErrorKind::invalid);
}

TEST(ImportDisk, CopiesEveryByteAndLeavesHoles) {
  const TemporaryFolder folder;
  const fs::path raw = raw_disk(folder);
  std::string bytes = read_file(raw);
  bytes.replace(mib + 100, 5, "hello");
  bytes += std::string(700, 'e');  // neither blocks nor sectors
  write_file(raw, bytes);
  EXPECT_EQ(import_disk(raw, folder / "copy").format, "raw");
  EXPECT_EQ(read_file(folder / "copy"), bytes);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "copy").c_str(), &status), 0);
  EXPECT_LT(status.st_blocks * 512, 512 * 1024) << "zeros were written";
  EXPECT_EQ(status.st_mode & 0777, 0600u);

  fs::resize_file(raw, std::uintmax_t{20} << 30);
  import_disk(raw, folder / "sparse");
  ASSERT_EQ(::stat((folder / "sparse").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, std::int64_t{20} << 30);
  EXPECT_LT(status.st_blocks * 512, 512 * 1024);
}

TEST(ImportDisk, TakesAFixedVhdWithoutItsFooter) {
  const TemporaryFolder folder;
  const fs::path raw = raw_disk(folder);
  run_qemu_img({"convert", "-O", "vpc", "-o", "subformat=fixed,force_size=on", raw.string(),
                (folder / "a.vhd").string()});
  const DiskFile disk = import_disk(folder / "a.vhd", folder / "copy");
  EXPECT_EQ(disk.format, "raw");
  EXPECT_EQ(disk.virtual_size, 2 * mib);
  EXPECT_EQ(read_file(folder / "copy"), read_file(raw));
}

TEST(ImportDisk, WithoutSpaceLeavesNothing) {
  const TemporaryFolder folder;
  std::string bytes(2 * mib, 'x');
  bytes.replace(510, 2, "\x55\xAA");
  write_file(folder / "full.raw", bytes);
  make_folder(folder / "target");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit usual{};
  ::getrlimit(RLIMIT_FSIZE, &usual);
  const rlimit small{mib, usual.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  EXPECT_THROW(import_disk(folder / "full.raw", folder / "target/copy"), Error);
  ::setrlimit(RLIMIT_FSIZE, &usual);
  EXPECT_TRUE(fs::is_empty(folder / "target"));
}

TEST(CreateDisk, IsItsUsersAlone) {
  const TemporaryFolder folder;
  create_disk(folder / "disk.qcow2", mib);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "disk.qcow2").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(CreateDisk, NeverOverwrites) {
  const TemporaryFolder folder;
  write_file(folder / "disk.qcow2", "precious");
  try {
    create_disk(folder / "disk.qcow2", mib);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::conflict);
  }
  EXPECT_EQ(read_file(folder / "disk.qcow2"), "precious");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(CreateDisk, WhoseBackingIsGoneLeavesNothing) {
  const TemporaryFolder folder;
  EXPECT_THROW(create_disk(folder / "disk.qcow2", mib, folder / "absent", "qcow2"), Error);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(FlattenDisk, HoldsWhatTheOverlayAndItsBaseHold) {
  const TemporaryFolder folder;
  const fs::path raw = raw_disk(folder);
  create_disk(folder / "top.qcow2", 4 * mib, raw, "raw");

  flatten_disk(folder / "top.qcow2", "qcow2", folder / "flat.qcow2");

  const DiskFile flat = inspect_disk(folder / "flat.qcow2");
  EXPECT_TRUE(flat.backing.empty());
  EXPECT_EQ(flat.virtual_size, 4 * mib);
  run_qemu_img({"compare", "-q", (folder / "top.qcow2").string(), (folder / "flat.qcow2").string()});
}

}  // namespace
}  // namespace berth
