#include "store/mending.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/error.h"
#include "store/database.h"
#include "store/documents.h"

namespace berth {
namespace {

constexpr std::string_view everything = "*";

bool mend(std::vector<std::string>& list) {
  if (list.size() < 2 || list.front() != everything) return false;
  const auto own = std::ranges::find_if(list, [](const std::string& item) { return item != everything; });
  list.erase(list.begin(), own == list.end() ? std::prev(own) : own);
  return true;
}

bool mend(SecurityRule& rule) {
  bool mended = false;
  for (auto* list :
       {&rule.source_prefixes, &rule.source_ports, &rule.destination_prefixes, &rule.destination_ports})
    mended |= mend(*list);
  return mended;
}

}  // namespace

void mend_rules_that_grew(Database& database) {
  for (const auto& [key, document] : database.all("security-group")) {
    SecurityGroup group;
    try {
      group = from_document<SecurityGroup>(document);
    } catch (const Error&) {
      continue;  // the region sets it aside
    }
    bool mended = false;
    for (SecurityRule& rule : group.rules)
      if (mend(rule)) {
        mended = true;
        spdlog::warn("mended rule={} group={}: a restart had opened it to everybody", rule.name, key);
      }
    if (mended) database.put("security-group", key, to_document(group));
  }
}

}  // namespace berth
