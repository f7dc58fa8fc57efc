#include "region/inert_resources.h"

#include "region/images.h"
#include "region/region_records.h"

namespace berth {
namespace {

std::string inert_key(const std::string& type, const Ref& ref) {
  InertResource resource;
  resource.type = type;
  resource.group = ref.group;
  resource.name = ref.name;
  return key_of(resource);
}

}  // namespace

Put<InertResource> InertResources::put(InertResource wanted) {
  records_.check_group(wanted.group);
  const InertResource* before = find(wanted.type, wanted.ref());
  stamp(wanted, before);
  const bool created = !before;
  return records_.change([&]() -> Put<InertResource> {
    return {records_.inert.put(std::move(wanted)), created};
  });
}

void InertResources::remove(const std::string& type, const Ref& ref) {
  records_.change([&] { erase(inert_key(type, ref)); });
  images_.sweep();
}

void InertResources::erase(const std::string& key) {
  const InertResource* row = records_.inert.find(key);
  if (!row) return;
  // A managed image is a name in a group for an image of the user in the gallery.
  if (same_name(row->type, "Microsoft.Compute/images")) images_.remove_after(row->name);
  records_.inert.erase(key);
}

std::vector<const InertResource*> InertResources::list(const std::string& type,
                                                       const std::string& group) const {
  std::vector<const InertResource*> found;
  const std::string prefix = type.empty() ? "" : inert_key(type, {}).substr(0, type.size() + 1);
  const auto& rows = records_.inert.rows();
  for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix); ++row)
    if (group.empty() || same_name(row->second.group, group)) found.push_back(&row->second);
  return found;
}

const InertResource* InertResources::find(const std::string& type, const Ref& ref) const {
  return records_.inert.find(inert_key(type, ref));
}

void InertResources::erase_group(const std::string& group) {
  std::vector<std::string> keys;
  for (const auto& [key, row] : records_.inert.rows())
    if (same_name(row.group, group)) keys.push_back(key);
  for (const std::string& key : keys) erase(key);
}

}  // namespace berth
