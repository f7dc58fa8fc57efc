#include "images/gallery.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "base/error.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"
#include "images/disk.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const std::string docker_image = "berth__Debian-12-amd64-docker-20.10-en-us-30GB";

std::string qemu_img(std::vector<std::string> argv) {
  argv.insert(argv.begin(), "qemu-img");
  const RunResult result = run(argv);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

Error thrown_by(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::internal, "", "");
}

/// Waits for what another thread or process brings about.
bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 600 && !holds(); ++i) std::this_thread::sleep_for(50ms);
  return holds();
}

/// A host on which mmdebstrap and its neighbours are scripts of ours: a build takes a moment, needs no
/// privileges and no network, and counts itself in `builds`.
class GalleryTest : public testing::Test {
 protected:
  GalleryTest() {
    make_folder(folder_ / "bin", 0755);
    make_folder(folder_ / "etc/apt", 0755);
    write_file(folder_ / "etc/apt/sources.list", "deb http://mirror.example/debian bookworm main\n");
    write_file(folder_ / "etc/subuid", std::to_string(::geteuid()) + ":100000:65536\n");
    write_file(folder_ / "etc/subgid", std::to_string(::geteuid()) + ":100000:65536\n");
    // Without their privileges: the commands they would run, and a yes to the question whether they may.
    program("unshare", "while [ \"${1#--}\" != \"$1\" ]; do shift; done; exec \"$@\"");
    program("setpriv",
            "while [ \"$1\" != unshare ]; do shift; done; shift\n"
            "while [ \"${1#--}\" != \"$1\" ]; do shift; done\n"
            "[ \"$1\" != sh ] || exit 0\n"
            "exec \"$@\"");
    program("newuidmap", "exit 0");
    mmdebstrap("mkdir -p \"$WORK/root\"; echo kernel > \"$WORK/kernel\"; echo initrd > \"$WORK/initrd\"");
    program("mke2fs", "truncate -s 4M \"$WORK/disk.raw\"");
    const char* path = std::getenv("PATH");
    path_ = path ? path : "";
    ::setenv("PATH", ((folder_ / "bin").string() + ":" + path_).c_str(), 1);
  }
  ~GalleryTest() override { ::setenv("PATH", path_.c_str(), 1); }

  void program(const std::string& name, const std::string& script) {
    write_file(folder_ / "bin" / name, "#!/bin/sh\n" + script + "\n", 0755);
  }
  void mmdebstrap(const std::string& script) {
    program("mmdebstrap", "echo built >> '" + (folder_ / "builds").string() + "'\n" + script);
  }
  std::ptrdiff_t builds() const {
    const std::string text = read_file_if_there(folder_ / "builds").value_or("");
    return std::ranges::count(text, '\n');
  }
  std::vector<std::string> cached() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(cache_))
      names.push_back(entry.path().filename().string());
    return names;
  }
  ImageFiles ensure(Gallery& gallery, std::stop_token stop = {}) {
    return gallery.ensure(docker_image, {}, stop);
  }

  TemporaryFolder folder_;
  fs::path cache_ = folder_ / "cache", own_ = folder_ / "own", etc_ = folder_ / "etc";
  Gallery gallery_{cache_, own_, etc_};
  std::string path_;
};

TEST_F(GalleryTest, ListsThePublicImagesBeforeAnyIsBuilt) {
  std::vector<std::string> names;
  for (const GalleryImage& image : gallery_.list()) {
    names.push_back(image.name);
    EXPECT_EQ(image.category, "Public");
    EXPECT_FALSE(image.built);
  }
  EXPECT_THAT(names, Contains(docker_image));
  EXPECT_THAT(names, testing::Each(HasSubstr("Debian")));
}

TEST_F(GalleryTest, FindsAnImageByItsNamesAndAddressesInAnyCase) {
  for (const char* name : {"berth__debian-12-AMD64-docker-20.10-en-us-30gb", "Debian-12-docker",
                           "debian:debian-12:12-docker:latest", "Debian:debian-12:12-docker:12.0.1"}) {
    const auto found = gallery_.find(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(found->name, docker_image);
    EXPECT_TRUE(found->docker);
  }
  EXPECT_EQ(gallery_.find("Debian:debian-12:12:latest")->docker, false);
}

TEST_F(GalleryTest, FindsNoImageByAWrongAddress) {
  for (const char* name : {"", "Debian", "Debian:debian-12:12-docker:0.0.1", ":::", ":::latest", "../etc"})
    EXPECT_FALSE(gallery_.find(name)) << name;
  EXPECT_EQ(thrown_by([&] { gallery_.ensure("nonsense", {}, {}); }).kind, ErrorKind::not_found);
}

TEST_F(GalleryTest, BuildsAnImageOnceAndThenReusesIt) {
  const ImageFiles first = ensure(gallery_);
  Gallery later(cache_, own_, etc_);
  const ImageFiles second = ensure(later);

  EXPECT_EQ(builds(), 1);
  EXPECT_EQ(first.disk, second.disk);
  EXPECT_EQ(read_file(second.kernel), "kernel\n");
  EXPECT_EQ(read_file(second.initrd), "initrd\n");
  EXPECT_THAT(second.command_line, HasSubstr("root=LABEL=berth-root"));
  EXPECT_EQ(inspect_disk(second.disk).format, "qcow2");
  EXPECT_TRUE(later.find(docker_image)->built);
}

TEST_F(GalleryTest, ShowsHowFarABuildIs) {
  mmdebstrap(
      "echo 'I: running apt-get update...' >&2\n"
      "echo '0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.'\n"
      "echo 'I: installing remaining packages inside the chroot...' >&2\n"
      "echo '0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.'\n"
      "for p in a b c d; do echo \"Unpacking $p (1) ...\"; echo \"Setting up $p (1) ...\"; done\n"
      "mkdir -p \"$WORK/root\"; touch \"$WORK/kernel\" \"$WORK/initrd\"");
  std::vector<std::string> said;
  double last = -1;
  gallery_.ensure(docker_image,
                  [&](const std::string& what, double fraction) {
                    said.push_back(what);
                    EXPECT_GE(fraction, last) << what;
                    EXPECT_LE(fraction, 1);
                    last = fraction;
                  },
                  {});
  EXPECT_THAT(said, Contains("Reading the mirror's package lists"));
  EXPECT_THAT(said, Contains("Installing packages, 3 of 4"));
  EXPECT_THAT(said, Contains("Making the disk image"));
}

TEST_F(GalleryTest, GivesTheBuildItsMirrorAndItsPackages) {
  mmdebstrap("cp \"$WORK/sources.list\" '" + (folder_ / "seen").string() + "'; echo \"$PACKAGES\" >> '" +
             (folder_ / "seen").string() +
             "'; mkdir -p \"$WORK/root\"; touch \"$WORK/kernel\" \"$WORK/initrd\"");
  ensure(gallery_);
  EXPECT_THAT(read_file(folder_ / "seen"),
              HasSubstr("deb [arch=amd64] http://mirror.example/debian bookworm main\n"));
  EXPECT_THAT(read_file(folder_ / "seen"), HasSubstr("docker.io"));
}

TEST_F(GalleryTest, FailedBuildShowsTheEndOfItsLogAndLeavesNothing) {
  mmdebstrap(
      "echo 'Get:1 http://mirror.example/debian noise'; echo 'E: mirror refused: 403 Forbidden' >&2; exit "
      "25");

  const Error error = thrown_by([&] { ensure(gallery_); });

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_EQ(error.code, "ImageBuildFailed");
  EXPECT_THAT(error.what(), HasSubstr("E: mirror refused: 403 Forbidden"));
  EXPECT_THAT(error.what(), Not(HasSubstr("noise")));
  EXPECT_THAT(error.advice, HasSubstr((cache_ / "log").string()));
  EXPECT_THAT(read_file(cache_ / "log/Debian-12-docker.log"), HasSubstr("noise"));
  EXPECT_THAT(cached(), testing::Each(Not(HasSubstr(".building"))));
  EXPECT_FALSE(gallery_.find(docker_image)->built);
}

TEST_F(GalleryTest, CanBeBuiltAfterABuildThatFailed) {
  mmdebstrap("exit 25");
  EXPECT_THROW(ensure(gallery_), Error);
  mmdebstrap("mkdir -p \"$WORK/root\"; touch \"$WORK/kernel\" \"$WORK/initrd\"");
  EXPECT_TRUE(fs::exists(ensure(gallery_).disk));
}

TEST_F(GalleryTest, WithoutAMirrorStartsNoBuild) {
  write_file(etc_ / "apt/sources.list", "");
  EXPECT_EQ(thrown_by([&] { ensure(gallery_); }).code, "MirrorNotFound");
  EXPECT_EQ(builds(), 0);
}

TEST_F(GalleryTest, CancelledBuildEndsAtOnceWithAllItsProcesses) {
  mmdebstrap("sleep 300 & echo $! > '" + (folder_ / "pid").string() + "'; wait");
  std::stop_source stop;
  std::jthread canceller([&] {
    eventually([&] { return !read_file_if_there(folder_ / "pid").value_or("").empty(); });
    stop.request_stop();
  });

  const Error error = thrown_by([&] { ensure(gallery_, stop.get_token()); });

  EXPECT_EQ(error.code, "OperationCanceled");
  const pid_t sleeper = std::stoi(read_file(folder_ / "pid"));
  EXPECT_TRUE(eventually([&] { return ::kill(sleeper, 0) != 0; }));
  EXPECT_THAT(cached(), testing::Each(Not(HasSubstr(".building"))));
}

TEST_F(GalleryTest, TwoWhoNeedTheSameImageBuildItOnce) {
  mmdebstrap("sleep 0.5; mkdir -p \"$WORK/root\"; touch \"$WORK/kernel\" \"$WORK/initrd\"");
  Gallery other(cache_, own_, etc_);
  ImageFiles theirs;
  std::jthread second([&] { theirs = ensure(other); });
  const ImageFiles ours = ensure(gallery_);
  second.join();
  EXPECT_EQ(builds(), 1);
  EXPECT_EQ(ours.disk, theirs.disk);
}

TEST_F(GalleryTest, WaitingForAnothersBuildCanBeCancelled) {
  mmdebstrap("while [ ! -e '" + (folder_ / "go").string() +
             "' ]; do sleep 0.1; done; mkdir -p \"$WORK/root\"; touch \"$WORK/kernel\" \"$WORK/initrd\"");
  std::jthread builder([&] { ensure(gallery_); });
  ASSERT_TRUE(eventually([&] { return builds() == 1; }));
  Gallery other(cache_, own_, etc_);
  std::stop_source stop;

  const Error error = thrown_by([&] {
    other.ensure(
        docker_image, [&](const std::string&, double) { stop.request_stop(); }, stop.get_token());
  });

  EXPECT_EQ(error.code, "OperationCanceled");
  write_file(folder_ / "go", "");
}

TEST_F(GalleryTest, RemovesWhatAKilledBuildLeftBehind) {
  make_folder(cache_ / "Debian-12-0000000000000000.building/root/etc");
  write_file(cache_ / "Debian-12-0000000000000000.building/root/etc/passwd", "");
  ensure(gallery_);
  EXPECT_THAT(cached(), testing::Each(Not(HasSubstr(".building"))));
}

TEST_F(GalleryTest, LeavesABuildAloneThatStillRuns) {
  make_folder(cache_ / "Debian-13-0000000000000000.building");
  const FileLock theirs = FileLock::take(cache_ / "Debian-13-0000000000000000.lock");
  ensure(gallery_);
  EXPECT_THAT(cached(), Contains("Debian-13-0000000000000000.building"));
}

TEST_F(GalleryTest, MakesADiskOverTheImageNeverSmallerThanIt) {
  const ImageFiles files = ensure(gallery_);
  gallery_.make_disk(files, folder_ / "small.qcow2", 0);
  gallery_.make_disk(files, folder_ / "large.qcow2", 50);

  EXPECT_EQ(inspect_disk(folder_ / "small.qcow2").virtual_size, 4U << 20);
  EXPECT_EQ(inspect_disk(folder_ / "large.qcow2").virtual_size, std::uint64_t{50} << 30);
  EXPECT_EQ(inspect_disk(folder_ / "large.qcow2").backing, files.disk);
  EXPECT_EQ(thrown_by([&] { gallery_.make_disk(files, folder_ / "small.qcow2", 1); }).kind,
            ErrorKind::conflict);
}

TEST_F(GalleryTest, MakesATemporaryDiskAnewOnlyWhenItsSizeIsAnother) {
  const fs::path file = folder_ / "temporary.qcow2";
  gallery_.make_temporary_disk(file, 20);
  EXPECT_EQ(inspect_disk(file).virtual_size, 20U << 20);
  fs::last_write_time(file, fs::file_time_type{});
  gallery_.make_temporary_disk(file, 20);
  EXPECT_EQ(fs::last_write_time(file), fs::file_time_type{});
  gallery_.make_temporary_disk(file, 10);
  EXPECT_EQ(inspect_disk(file).virtual_size, 10U << 20);
}

TEST_F(GalleryTest, TellsTheImageFromADiskThatStandsOnIt) {
  const ImageFiles files = ensure(gallery_);
  gallery_.make_disk(files, folder_ / "vm.qcow2", 30);

  const ImageFiles found = gallery_.files_of(folder_ / "vm.qcow2");

  EXPECT_EQ(found.kernel, files.kernel);
  EXPECT_EQ(found.command_line, files.command_line);
  EXPECT_TRUE(found.azure_disks);
  gallery_.make_empty_disk(folder_ / "data.qcow2", 1);
  EXPECT_EQ(thrown_by([&] { gallery_.files_of(folder_ / "data.qcow2"); }).kind, ErrorKind::not_found);
}

TEST_F(GalleryTest, ImportsAUsersImage) {
  gallery_.make_empty_disk(folder_ / "mine.qcow2", 3);

  const GalleryImage image = gallery_.import(folder_ / "mine.qcow2", "my-image", "Mine", {});

  EXPECT_EQ(image.category, "User");
  EXPECT_EQ(image.size_gib, 3U);
  Gallery later(cache_, own_, etc_);
  ASSERT_TRUE(later.find("MY-image"));
  EXPECT_EQ(later.find("my-image")->label, "Mine");
  const ImageFiles files = later.ensure("my-image", {}, {});
  EXPECT_TRUE(files.kernel.empty());
  EXPECT_FALSE(files.azure_disks) << "who knows what it has drivers for at boot";
  EXPECT_EQ(inspect_disk(files.disk).format, files.format);
  EXPECT_EQ(later.list().back().name, "my-image");
}

TEST_F(GalleryTest, ImportsAVhdAsADiskThatIsNoLargerThanItsContents) {
  gallery_.make_empty_disk(folder_ / "disk.qcow2", 1);
  qemu_img({"convert", "-O", "vpc", "-o", "subformat=fixed,force_size=on", (folder_ / "disk.qcow2").string(),
            (folder_ / "disk.vhd").string()});
  EXPECT_EQ(gallery_.import(folder_ / "disk.vhd", "vhd", "", {}).size_gib, 1U);
  EXPECT_EQ(gallery_.ensure("vhd", {}, {}).format, "raw");
}

TEST_F(GalleryTest, ChecksWhatItCopiedHoweverTheFileIsSwapped) {
  gallery_.make_empty_disk(folder_ / "good.qcow2", 1);
  write_file(folder_ / "shadow", std::string(4096, 's'));
  qemu_img({"create", "-q", "-f", "qcow2", "-F", "raw", "-b", (folder_ / "shadow").string(),
            (folder_ / "evil.qcow2").string(), "1M"});
  fs::copy_file(folder_ / "good.qcow2", folder_ / "mine.qcow2");
  // At each of the steps that can be seen from outside, another file takes its place.
  const Error error = thrown_by([&] {
    gallery_.import(folder_ / "mine.qcow2", "mine", "", [&](const std::string&, double) {
      fs::rename(folder_ / "evil.qcow2", folder_ / "mine.qcow2");
    });
  });
  EXPECT_EQ(error.kind, ErrorKind::invalid);
  EXPECT_FALSE(gallery_.find("mine"));
}

TEST_F(GalleryTest, TakesNoImageFromUnderASwappingHand) {
  gallery_.make_empty_disk(folder_ / "good", 1);
  write_file(folder_ / "shadow", std::string(4096, 's'));
  qemu_img({"create", "-q", "-f", "qcow2", "-F", "raw", "-b", (folder_ / "shadow").string(),
            (folder_ / "evil").string(), "1M"});
  std::jthread swapper([&](const std::stop_token& stop) {
    for (bool good = true; !stop.stop_requested(); good = !good) {
      fs::create_symlink(good ? "good" : "evil", folder_ / "next");
      fs::rename(folder_ / "next", folder_ / "mine");
    }
  });
  ASSERT_TRUE(eventually([&] { return fs::exists(folder_ / "mine"); }));
  for (int i = 0; i < 20; ++i) try {
      gallery_.import(folder_ / "mine", "mine-" + std::to_string(i), "", {});
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::invalid) << error.what();
    }
  for (int i = 0; i < 20; ++i)
    if (gallery_.find("mine-" + std::to_string(i)))
      EXPECT_TRUE(read_disk(gallery_.ensure("mine-" + std::to_string(i), {}, {}).disk).backing.empty());
}

TEST_F(GalleryTest, WhatItKeepsIsItsUsersAlone) {
  mmdebstrap("mkdir -p \"$WORK/root\"; umask 022; touch \"$WORK/kernel\" \"$WORK/initrd\"");
  const ImageFiles base = ensure(gallery_);
  gallery_.make_disk(base, folder_ / "vm.qcow2", 2);
  gallery_.capture(folder_ / "vm.qcow2", base, "golden", "", {});
  gallery_.make_empty_disk(folder_ / "a.qcow2", 1);
  ::chmod((folder_ / "a.qcow2").c_str(), 0666);
  gallery_.import(folder_ / "a.qcow2", "mine", "", {});
  for (const fs::path& top : {cache_, own_}) {
    EXPECT_EQ(fs::status(top).permissions() & fs::perms(077), fs::perms::none) << top;
    for (const auto& entry : fs::recursive_directory_iterator(top))
      // The log of a build is written as the program's umask has it: the programs' own test looks at that.
      if (entry.path().extension() != ".log")
        EXPECT_EQ(entry.status().permissions() & fs::perms(077), fs::perms::none) << entry.path();
  }
}

TEST_F(GalleryTest, DeletingAnImageDoesNotWaitForOneThatIsAdded) {
  gallery_.make_empty_disk(folder_ / "a.qcow2", 1);
  gallery_.import(folder_ / "a.qcow2", "mine", "", {});
  gallery_.import(folder_ / "a.qcow2", "slow", "", [&](const std::string&, double) {
    gallery_.remove("mine");
    gallery_.sweep({});
  });
  EXPECT_FALSE(gallery_.find("mine"));
  gallery_.sweep({});
  EXPECT_FALSE(fs::exists(own_ / "mine"));
}

TEST_F(GalleryTest, WhatIsLeftOfADeletedImageIsNoImageAndGoesWithTheNextSweep) {
  gallery_.make_empty_disk(folder_ / "a.qcow2", 1);
  gallery_.import(folder_ / "a.qcow2", "mine", "", {});
  fs::rename(own_ / "mine", own_ / ".going-mine");  // its removal was cut short after the mark
  EXPECT_FALSE(gallery_.find("mine"));
  EXPECT_TRUE(gallery_.has_deleted());
  gallery_.sweep({});
  EXPECT_FALSE(fs::exists(own_ / ".going-mine"));
  EXPECT_FALSE(gallery_.has_deleted());
}

TEST_F(GalleryTest, BuildsInNoFolderThatHoldsOtherThings) {
  make_folder(cache_);
  write_file(cache_ / "thesis.txt", "x");
  EXPECT_EQ(thrown_by([&] { ensure(gallery_); }).code, "FolderNotOurs");
  EXPECT_EQ(builds(), 0);
}

TEST_F(GalleryTest, RefusesToImportBadNamesTakenNamesAndIncompleteDisks) {
  gallery_.make_empty_disk(folder_ / "a.qcow2", 1);
  create_disk(folder_ / "top.qcow2", 1 << 30, folder_ / "a.qcow2", "qcow2");
  gallery_.import(folder_ / "a.qcow2", "taken", "", {});
  const auto kind = [&](const char* file, const std::string& name) {
    return thrown_by([&] { gallery_.import(folder_ / file, name, "", {}); }).kind;
  };

  for (const std::string& name : {std::string(), std::string("../x"), std::string(".hidden"),
                                  std::string("a b"), std::string("-x"), std::string(129, 'a')})
    EXPECT_EQ(kind("a.qcow2", name), ErrorKind::invalid) << name;
  EXPECT_EQ(kind("a.qcow2", "TAKEN"), ErrorKind::conflict);
  EXPECT_EQ(kind("a.qcow2", "debian-12-docker"), ErrorKind::conflict);
  EXPECT_EQ(kind("top.qcow2", "top"), ErrorKind::invalid);
  EXPECT_EQ(kind("absent", "absent"), ErrorKind::not_found);
  EXPECT_FALSE(gallery_.find("top"));
}

TEST_F(GalleryTest, CapturesADiskWithItsBootFiles) {
  const ImageFiles base = ensure(gallery_);
  gallery_.make_disk(base, folder_ / "vm.qcow2", 2);

  const GalleryImage image = gallery_.capture(folder_ / "vm.qcow2", base, "golden", "Golden", {});

  EXPECT_EQ(image.size_gib, 2U);
  EXPECT_TRUE(image.docker);
  const ImageFiles files = gallery_.ensure("golden", {}, {});
  EXPECT_TRUE(inspect_disk(files.disk).backing.empty());
  EXPECT_EQ(read_file(files.kernel), "kernel\n");
  EXPECT_EQ(files.command_line, base.command_line);
  EXPECT_TRUE(files.azure_disks);
}

TEST_F(GalleryTest, DeletesOnlyAUsersOwnImages) {
  gallery_.make_empty_disk(folder_ / "a.qcow2", 1);
  gallery_.import(folder_ / "a.qcow2", "mine", "", {});

  gallery_.remove("Mine");

  EXPECT_FALSE(gallery_.find("mine"));
  EXPECT_EQ(thrown_by([&] { gallery_.remove("mine"); }).kind, ErrorKind::not_found);
  EXPECT_EQ(thrown_by([&] { gallery_.remove(docker_image); }).kind, ErrorKind::conflict);
  gallery_.import(folder_ / "a.qcow2", "mine", "", {});
}

}  // namespace
}  // namespace berth
