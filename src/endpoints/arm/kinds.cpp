#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/groups.h"
#include "api/arm/json_text.h"
#include "api/arm/network.h"
#include "base/error.h"
#include "endpoints/arm/absent_types.h"
#include "endpoints/arm/service.h"

namespace berth::arm {
namespace {

using nlohmann::json;

/// A resource that is there is not put into another location.
void stay_in_place(Kind& kind) {
  if (!kind.find || !kind.put) return;
  const auto check = [type = kind.type, find = kind.find](Arm& arm, const ResourceId& id, const json& body) {
    const Resource* there = find(arm.region, id.ref());
    if (!there || there->location.empty()) return;
    if (const std::string wanted = location_of(body, type, there->location); wanted != there->location)
      throw Error(ErrorKind::conflict, "InvalidResourceLocation",
                  fmt::format("The resource '{}' already exists in location '{}' in resource group '{}'. A "
                              "resource with the same name cannot be created in location '{}'.",
                              there->name, there->location, there->group, wanted),
                  "Choose another name, or its location.");
  };
  kind.put = [check, put = kind.put](Arm& arm, const ResourceId& id, const json& body) {
    check(arm, id, body);
    return put(arm, id, body);
  };
  kind.check = [check, before = kind.check](Arm& arm, const ResourceId& id, const json& body) {
    check(arm, id, body);
    if (before) before(arm, id, body);
  };
}

/// Resources stand on such as come earlier here, never on later ones: complete mode deletes from the end.
std::vector<Kind> all_kinds() {
  std::vector<Kind> all;
  for (auto part : {inert_kinds, network_kinds, compute_kinds, extension_resource_kinds})
    for (Kind& kind : part()) all.push_back(std::move(kind));
  for (Kind& kind : all) {
    stay_in_place(kind);
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

std::optional<std::string> foreseen_document(Arm& arm, const Kind& kind, const ResourceId& id,
                                             const json& body) {
  struct Foreseen {
    std::string document;
  };
  try {
    arm.region.operations().change([&] { throw Foreseen{kind.put(arm, id, body).document}; });
  } catch (const Foreseen& foreseen) {
    return foreseen.document;
  } catch (const Error&) {
    // It depends on what is made before it.
  }
  return std::nullopt;
}

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
  throw not_supported(type);
}

}  // namespace berth::arm
