#include "images/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "host/fd.h"
#include "host/files.h"
#include "host/process.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using std::chrono::minutes;

std::string qemu_img() {
  if (const auto found = find_program("qemu-img")) return *found;
  throw Error(ErrorKind::unavailable, "ProgramNotFound", "The program qemu-img is not installed.",
              "Install the package 'qemu-utils'.");
}

/// What a program said last, without its own name in front.
std::string reason(const RunResult& result) {
  std::string text = result.err.empty() ? result.out : result.err;
  text.erase(text.find_last_not_of("\n .") + 1);
  if (const auto start = text.rfind('\n'); start != text.npos) text.erase(0, start + 1);
  if (text.starts_with("qemu-img: ")) text.erase(0, 10);
  return text.empty() ? fmt::format("exit code {}", result.exit_code) : text;
}

[[noreturn]] void throw_no_image(const fs::path& file, const std::string& why) {
  throw Error(ErrorKind::invalid, "InvalidImage", fmt::format("{} {}.", file.string(), why),
              "Give a disk image in the format qcow2, raw or VHD (fixed size).");
}

/// Up to `count` bytes at `offset`; less when the file ends before.
std::string bytes_at(const Fd& fd, std::uint64_t offset, std::size_t count) {
  std::string bytes(count, '\0');
  const ssize_t got = ::pread(fd.get(), bytes.data(), count, static_cast<off_t>(offset));
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

std::uint64_t size_of(const Fd& fd) {
  struct stat status {};
  return ::fstat(fd.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

/// A partition table (MBR or GPT's protective one), or an ext2/3/4 file system on the whole disk.
bool begins_like_a_disk(const Fd& fd) {
  const std::string start = bytes_at(fd, 0, 2048);
  return start.size() == 2048 && (start.substr(510, 2) == "\x55\xAA" || start.substr(1080, 2) == "\x53\xEF");
}

constexpr std::uint64_t vhd_footer = 512;  // bytes

bool is_fixed_vhd(const Fd& fd, std::uint64_t size) {
  // Footer in the last sector, "conectix" at 0, disk type 2 at 60. Source: Virtual Hard Disk Image Format
  // Specification 1.0, "Hard Disk Footer Format".
  if (size < 2 * vhd_footer) return false;
  const std::string footer = bytes_at(fd, size - vhd_footer, 64);
  return footer.starts_with("conectix") && footer.substr(60) == std::string("\0\0\0\2", 4);
}

/// By how it begins, what qemu-img would find out: but it opens the files that some of them name.
std::string format_of(const Fd& fd) {
  struct Magic {
    std::size_t at;
    std::string_view bytes;
    const char* format;
  };
  static constexpr Magic others[] = {{0, "KDMV", "vmdk"},
                                     {0, "COWD", "vmdk"},
                                     {0, "# Disk DescriptorFile", "vmdk"},
                                     {0, "vhdxfile", "vhdx"},
                                     {0, "conectix", "VHD of dynamic size"},
                                     {0x40, "\x7f\x10\xda\xbe", "vdi"},
                                     {0, std::string_view("QED\0", 4), "qed"},
                                     {0, "LUKS\xba\xbe", "luks"},
                                     {0, "WithoutFreeSpace", "parallels"},
                                     {0, "WithouFreSpacExt", "parallels"},
                                     {0, "Bochs Virtual HD Image", "bochs"}};
  const std::string start = bytes_at(fd, 0, 128);
  if (start.starts_with("QFI\xfb"))
    return start.size() > 7 && (start[7] == 2 || start[7] == 3) ? "qcow2" : "qcow";
  for (const Magic& other : others)
    if (start.size() > other.at && start.substr(other.at).starts_with(other.bytes)) return other.format;
  return is_fixed_vhd(fd, size_of(fd)) ? "vpc" : "raw";
}

/// Big-endian fields of a qcow2 header. Source: QEMU's docs/interop/qcow2.txt.
class Qcow2Header {
 public:
  Qcow2Header(const Fd& fd, const fs::path& file) : bytes_(bytes_at(fd, 0, 104)) {
    if (bytes_.size() < 72 || !bytes_.starts_with("QFI\xfb")) throw_no_image(file, "is no qcow2 disk");
    bytes_.resize(104);
  }
  std::uint64_t backing_at() const { return number(8, 8); }
  std::uint64_t backing_size() const { return number(16, 4); }
  std::uint64_t virtual_size() const { return number(24, 8); }
  bool encrypted() const { return number(32, 4) != 0; }
  bool corrupt() const { return (features() & 2) != 0; }
  bool data_elsewhere() const { return (features() & 4) != 0; }

 private:
  std::uint64_t features() const { return number(4, 4) < 3 ? 0 : number(72, 8); }
  std::uint64_t number(std::size_t at, std::size_t bytes) const {
    std::uint64_t value = 0;
    for (const char byte : bytes_.substr(at, bytes)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  std::string bytes_;
};

/// The name of the file that it stands on, as it is written there; "" when it stands alone.
std::string backing_of(const Qcow2Header& header, const Fd& fd, const fs::path& file) {
  constexpr std::uint64_t longest_name = 1023;
  if (header.backing_at() == 0) return {};
  const std::uint64_t size = header.backing_size();
  const std::string name = size <= longest_name ? bytes_at(fd, header.backing_at(), size) : "";
  if (name.empty() || name.size() != size) throw_no_image(file, "is damaged");
  return name;
}

/// What qemu-img says of a qcow2 whose tables may be anything: it may take a GiB of memory and a minute.
void check_qcow2(const fs::path& file) {
  constexpr std::chrono::seconds longest{60};
  std::vector<std::string> argv{qemu_img(), "info",  "--output=json", "--force-share",
                                "-f",       "qcow2", file.string()};
  if (const auto prlimit = find_program("prlimit"))
    argv.insert(argv.begin(), {*prlimit, fmt::format("--as={}", 1 << 30), "--cpu=60", "--"});
  const RunResult result = run(argv, {.limit = longest});
  if (result.exit_code != 0) throw_no_image(file, "is no disk image: " + reason(result));
}

/// What the open file is; `file` is its name for messages, and for qemu-img.
DiskFile inspect(const Fd& fd, const fs::path& file) {
  DiskFile disk{format_of(fd), size_of(fd), {}};
  if (disk.format == "qcow2") {
    const Qcow2Header header(fd, file);
    if (header.encrypted()) throw_no_image(file, "is encrypted");
    if (header.data_elsewhere()) throw_no_image(file, "keeps its data in another file");
    if (header.corrupt()) throw_no_image(file, "is damaged");
    disk.virtual_size = header.virtual_size();
    if (const std::string name = backing_of(header, fd, file); !name.empty())
      disk.backing = file.parent_path() / name;
    else
      check_qcow2(file);
  } else if (disk.format == "vpc") {
    disk.virtual_size -= vhd_footer;
  } else if (disk.format == "luks") {
    throw_no_image(file, "is encrypted");
  } else if (disk.format != "raw") {
    throw_no_image(file, fmt::format("has the format {}, which is not taken", disk.format));
  } else if (!begins_like_a_disk(fd)) {
    throw_no_image(file, "is no disk image: it begins with neither a partition table nor a file system");
  }
  if (disk.virtual_size > largest_disk)
    throw_no_image(file, fmt::format("is a disk of {} GiB, and the limit is {}", disk.virtual_size >> 30,
                                     largest_disk >> 30));
  return disk;
}

/// A file name that becomes `target` when it is complete, or disappears.
class Draft {
 public:
  explicit Draft(const fs::path& target) : target_(target), path_(target) {
    path_ += fmt::format(".{}.new", ::getpid());
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() {
    std::error_code ignored;
    fs::remove(path_, ignored);
  }

  const fs::path& path() const { return path_; }
  void publish() {
    ::chmod(path_.c_str(), 0600);  // whoever made it
    if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target_.c_str(), RENAME_NOREPLACE) == 0) return;
    if (errno == EEXIST)
      throw Error(ErrorKind::conflict, "DiskExists",
                  fmt::format("There is a file {} already.", target_.string()));
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("The disk {} cannot be made: {}.", target_.string(), std::strerror(errno)));
  }

 private:
  fs::path target_, path_;
};

void run_for(const fs::path& target, const std::vector<std::string>& argv, std::stop_token stop = {}) {
  RunOptions options;
  options.limit = minutes(60);
  options.stop = std::move(stop);
  const RunResult result = run(argv, options);
  if (result.exit_code == 0) return;
  if (result.err.find("lock") != result.err.npos)
    throw Error(ErrorKind::conflict, "DiskInUse", fmt::format("The disk is in use: {}.", reason(result)),
                "Stop the virtual machine that uses it.");
  throw Error(ErrorKind::unavailable, "DiskFailed",
              fmt::format("The disk {} cannot be written: {}.", target.string(), reason(result)));
}

[[noreturn]] void throw_not_copied(const fs::path& file, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(ErrorKind::unavailable, full ? "NotEnoughSpace" : "FileUnavailable",
              fmt::format("{} cannot be copied: {}.", file.string(), std::strerror(error)),
              full ? "Free some space, or move the region to a larger disk with BERTH_HOME." : "");
}

/// Bytes [begin, end), blocks of zeros left out.
void copy_range(const Fd& from, const Fd& to, off_t begin, off_t end, const fs::path& file) {
  constexpr std::size_t block = 64u << 10;
  static const std::string zeros(block, '\0');
  std::string bytes(block, '\0');
  while (begin < end) {
    const auto wanted = static_cast<std::size_t>(std::min<off_t>(block, end - begin));
    const ssize_t got = ::pread(from.get(), bytes.data(), wanted, begin);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_not_copied(file, errno);
    if (got == 0)
      throw Error(ErrorKind::conflict, "FileChanged",
                  fmt::format("{} became shorter while it was copied.", file.string()),
                  "Try again when nobody writes to it.");
    const auto count = static_cast<std::size_t>(got);
    const bool hole = std::memcmp(bytes.data(), zeros.data(), count) == 0;
    for (std::size_t done = hole ? count : 0; done < count;) {
      const ssize_t put =
          ::pwrite(to.get(), bytes.data() + done, count - done, begin + static_cast<off_t>(done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) throw_not_copied(file, errno);
      done += static_cast<std::size_t>(put);
    }
    begin += got;
  }
}

/// The first `size` bytes, which is what it had when it was opened: one that grows for ever ends, too.
void copy_bytes(const Fd& from, const Fd& to, off_t size, const fs::path& file) {
  if (::ioctl(to.get(), FICLONE, from.get()) != 0) {
    for (off_t at = 0; at < size;) {
      off_t begin = ::lseek(from.get(), at, SEEK_DATA);
      if (begin < 0 && errno == ENXIO) break;  // nothing but a hole follows
      if (begin < 0) begin = at;               // a file system without holes
      off_t end = ::lseek(from.get(), begin, SEEK_HOLE);
      if (end <= begin) end = size;
      at = std::min(end, size);
      copy_range(from, to, begin, at, file);
    }
  }
  if (::ftruncate(to.get(), size) != 0) throw_not_copied(file, errno);
}

}  // namespace

DiskFile inspect_disk(const fs::path& file) {
  return inspect(open_file(file), fs::absolute(file));
}

DiskFile read_disk(const fs::path& given, const std::string& format) {
  const fs::path file = fs::absolute(given);
  const Fd fd = open_file(file);
  if (format != "qcow2") return {format, size_of(fd), {}};
  const Qcow2Header header(fd, file);
  const std::string name = backing_of(header, fd, file);
  return {format, header.virtual_size(), name.empty() ? fs::path() : file.parent_path() / name};
}

DiskFile import_disk(const fs::path& file, const fs::path& target) {
  const Fd from = open_file(file);
  struct stat status {};
  if (::fstat(from.get(), &status) != 0) throw_not_copied(file, errno);
  const auto held = static_cast<std::uint64_t>(status.st_blocks) * 512;
  if (const auto free = free_space(target.parent_path()); held > free)
    throw Error(ErrorKind::unavailable, "NotEnoughSpace",
                fmt::format("{} takes {} MiB, and {} MiB are free in {}.", file.string(), held >> 20,
                            free >> 20, target.parent_path().string()),
                "Free some space, or move the region to a larger disk with BERTH_HOME.");
  Draft draft(target);
  const Fd to(::open(draft.path().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!to) throw_not_copied(file, errno);
  copy_bytes(from, to, status.st_size, file);
  DiskFile disk;
  try {
    disk = inspect(to, draft.path());
  } catch (const Error& error) {  // speaks of our copy
    std::string what = error.what();
    if (const auto at = what.find(draft.path().string()); at != what.npos)
      what.replace(at, draft.path().native().size(), file.string());
    throw Error(error.kind, error.code, what, error.advice);
  }
  if (!disk.backing.empty())
    throw Error(ErrorKind::invalid, "InvalidImage",
                fmt::format("{} is not complete: it stands on another file.", file.string()),
                "Flatten it first: qemu-img convert -O qcow2 FILE NEW.");
  if (disk.format == "vpc") {
    if (::ftruncate(to.get(), static_cast<off_t>(disk.virtual_size)) != 0) throw_not_copied(file, errno);
    disk.format = "raw";
  }
  draft.publish();
  return disk;
}

void create_disk(const fs::path& target, std::uint64_t bytes, const fs::path& backing,
                 const std::string& backing_format) {
  Draft draft(target);
  std::vector<std::string> argv{qemu_img(), "create", "-q", "-f", "qcow2"};
  if (!backing.empty()) argv.insert(argv.end(), {"-F", backing_format, "-b", fs::absolute(backing).string()});
  argv.insert(argv.end(), {draft.path().string(), std::to_string(bytes)});
  run_for(target, argv);
  draft.publish();
}

void grow_disk(const fs::path& file, std::uint64_t bytes) {
  run_for(file, {qemu_img(), "resize", "-q", "-f", "qcow2", file.string(), std::to_string(bytes)});
}

void flatten_disk(const fs::path& file, const std::string& format, const fs::path& target,
                  std::stop_token stop) {
  Draft draft(target);
  run_for(target,
          {qemu_img(), "convert", "-q", "-f", format, "-O", "qcow2", fs::absolute(file).string(),
           draft.path().string()},
          std::move(stop));
  draft.publish();
}

}  // namespace berth
