#include <fmt/format.h>

#include "api/arm/json_text.h"
#include "api/arm/network.h"
#include "base/error.h"
#include "endpoints/arm/service.h"

namespace berth::arm {
namespace {

/// Resources stand on such as come earlier here, never on later ones: complete mode deletes from the end.
std::vector<Kind> all_kinds() {
  std::vector<Kind> all;
  for (auto part : {inert_kinds, network_kinds, compute_kinds})
    for (Kind& kind : part()) all.push_back(std::move(kind));
  for (Kind& kind : all) {
    if (kind.show || !kind.find) continue;
    kind.show = [find = kind.find, write = kind.write](Arm& arm, const ResourceId& id,
                                                       const View& view) -> std::optional<std::string> {
      const Resource* resource = find(arm.region, id.ref());
      if (!resource) return std::nullopt;
      JsonText out;
      write(arm, out, *resource, view);
      return out.take();
    };
  }
  return all;
}

}  // namespace

Place place_of(const Arm& arm, const ResourceId& id) {
  return {arm.subscription(), id.group, id.segments[0].second};
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = all_kinds();
  return all;
}

const Kind* find_kind(std::string_view type) {
  for (const Kind& kind : kinds())
    if (same_name(kind.type, type)) return &kind;
  return nullptr;
}

const Kind& get_kind(std::string_view type) {
  if (const Kind* kind = find_kind(type)) return *kind;
  throw Error(ErrorKind::not_found, "InvalidResourceType",
              fmt::format("The resource type '{}' could not be found in this region.", type.substr(0, 200)),
              "GET …/providers lists the types there are.");
}

}  // namespace berth::arm
