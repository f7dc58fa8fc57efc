#include "images/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "host/fd.h"
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

[[noreturn]] void throw_no_file(const fs::path& file) {
  throw Error(ErrorKind::not_found, "FileNotFound", fmt::format("There is no file {}.", file.string()));
}

[[noreturn]] void throw_no_image(const fs::path& file, const std::string& why) {
  throw Error(ErrorKind::invalid, "InvalidImage", fmt::format("{} {}.", file.string(), why),
              "Give a disk image in the format qcow2, raw or VHD (fixed size).");
}

/// Up to `count` bytes at `offset`; less when the file ends before.
std::string bytes_at(const fs::path& file, off_t offset, std::size_t count) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} cannot be read: {}.", file.string(), std::strerror(errno)));
  std::string bytes(count, '\0');
  const ssize_t got = ::pread(fd.get(), bytes.data(), count, offset);
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

/// A partition table (MBR or GPT's protective one), or an ext2/3/4 file system on the whole disk.
bool begins_like_a_disk(const fs::path& file) {
  const std::string start = bytes_at(file, 0, 2048);
  return start.size() == 2048 && (start.substr(510, 2) == "\x55\xAA" || start.substr(1080, 2) == "\x53\xEF");
}

bool is_fixed_vhd(const fs::path& file, std::uintmax_t size) {
  // Footer in the last sector, "conectix" at 0, disk type 2 at 60. Source: Virtual Hard Disk Image Format
  // Specification 1.0, "Hard Disk Footer Format".
  if (size < 1024) return false;
  const std::string footer = bytes_at(file, static_cast<off_t>(size - 512), 64);
  return footer.starts_with("conectix") && footer.substr(60) == std::string("\0\0\0\2", 4);
}

nlohmann::json describe(const fs::path& file, const std::string& format) {
  std::vector<std::string> argv{qemu_img(), "info", "--output=json", "--force-share"};
  if (!format.empty()) argv.insert(argv.end(), {"-f", format});
  argv.push_back(file.string());
  const RunResult result = run(argv);
  if (result.exit_code != 0) throw_no_image(file, "is no disk image: " + reason(result));
  return nlohmann::json::parse(result.out);
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

}  // namespace

DiskFile inspect_disk(const fs::path& given) {
  std::error_code failed;
  const fs::path file = fs::absolute(given, failed);
  if (!fs::exists(file, failed)) throw_no_file(given);
  if (!fs::is_regular_file(file, failed)) throw_no_image(file, "is no disk image: it is no ordinary file");

  const std::uintmax_t size = fs::file_size(file, failed);
  DiskFile disk;
  disk.format = is_fixed_vhd(file, size) ? "vpc" : "";
  const nlohmann::json info = describe(file, disk.format);
  disk.format = info.value("format", "");
  disk.virtual_size = info.value("virtual-size", std::uint64_t{0});
  disk.backing = info.value("full-backing-filename", info.value("backing-filename", ""));

  if (disk.format != "qcow2" && disk.format != "raw" && disk.format != "vpc")
    throw_no_image(file, fmt::format("has the format {}, which is not taken", disk.format));
  if (disk.format == "raw" && !begins_like_a_disk(file))
    throw_no_image(file, "is no disk image: it begins with neither a partition table nor a file system");
  if (info.value("encrypted", false)) throw_no_image(file, "is encrypted");
  const auto own = info.value("/format-specific/data"_json_pointer, nlohmann::json::object());
  if (own.contains("data-file")) throw_no_image(file, "keeps its data in another file");
  if (own.value("corrupt", false)) throw_no_image(file, "is damaged");
  return disk;
}

DiskFile read_disk(const fs::path& given, const std::string& format) {
  const fs::path file = fs::absolute(given);
  std::error_code failed;
  if (!fs::is_regular_file(file, failed)) throw_no_file(given);
  if (format != "qcow2") return {format, fs::file_size(file), {}};
  const std::string header = bytes_at(file, 0, 32);
  if (header.size() < 32 || !header.starts_with("QFI\xfb")) throw_no_image(file, "is no qcow2 disk");
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint64_t value = 0;
    for (const char byte : header.substr(at, bytes)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  };
  const std::uint64_t backing_at = number(8, 8), backing_size = number(16, 4);
  DiskFile disk{format, number(24, 8), {}};
  if (backing_at == 0) return disk;
  const std::string name =
      backing_size <= 1023 ? bytes_at(file, static_cast<off_t>(backing_at), backing_size) : "";
  if (name.empty() || name.size() != backing_size) throw_no_image(file, "is damaged");
  disk.backing = file.parent_path() / name;
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

void copy_disk(const fs::path& file, const fs::path& target) {
  Draft draft(target);
  run_for(target, {"cp", "--reflink=auto", "--sparse=always", "--", file.string(), draft.path().string()});
  draft.publish();
}

}  // namespace berth
