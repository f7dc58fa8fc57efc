#include "model/resources.h"

#include <algorithm>
#include <utility>

namespace berth {
namespace {

/// `depth` bounds a circle that older regions may have let in.
std::optional<int> level_within(const Vm& vm, const Extension& extension, std::size_t depth) {
  int level = 0;
  for (const std::string& name : extension.after) {
    const Extension* before = find_extension(vm, name);
    if (!before || depth == 0) return std::nullopt;
    const auto below = level_within(vm, *before, depth - 1);
    if (!below) return std::nullopt;
    level = std::max(level, *below + 1);
  }
  return level;
}

}  // namespace

const Extension* find_extension(const Vm& vm, std::string_view name) {
  const auto found =
      std::ranges::find_if(vm.extensions, [&](const Extension& e) { return same_name(e.name, name); });
  return found == vm.extensions.end() ? nullptr : &*found;
}

Extension* find_extension(Vm& vm, std::string_view name) {
  return const_cast<Extension*>(find_extension(std::as_const(vm), name));
}

std::optional<int> dependency_level(const Vm& vm, const Extension& extension) {
  return level_within(vm, extension, vm.extensions.size());
}

}  // namespace berth
