#pragma once

#include <filesystem>
#include <string_view>

namespace berth::extension {

/// The file tree of the machine: "/" in the VM, a folder in tests. Every file that the handler reads or
/// writes is named through it.
class Root {
 public:
  Root() : top_("/") {}
  explicit Root(std::filesystem::path top) : top_(std::move(top)) {}

  /// Where `absolute` ("/etc/docker/daemon.json") lies.
  std::filesystem::path operator()(std::string_view absolute) const {
    return top_ / std::filesystem::path(absolute).relative_path();
  }
  bool is_machine() const { return top_ == "/"; }

 private:
  std::filesystem::path top_;
};

}  // namespace berth::extension
