#include "region/operation_kind.h"

#include <algorithm>
#include <iterator>

namespace berth {
namespace {

/// In the order of the enumeration.
constexpr std::string_view kind_names[] = {"vm create",
                                           "vm update",
                                           "vm start",
                                           "vm restart",
                                           "vm stop",
                                           "vm deallocate",
                                           "vm hibernate",
                                           "vm redeploy",
                                           "vm capture",
                                           "vm recovery",
                                           "vm delete",
                                           "extension set",
                                           "extension delete",
                                           "run command",
                                           "disk create",
                                           "disk resize",
                                           "disk delete",
                                           "image import",
                                           "image create",
                                           "image capture",
                                           "image delete",
                                           "image warm",
                                           "group delete",
                                           "deployment",
                                           "deployment create",
                                           "deployment delete",
                                           "deployment roll back",
                                           "cloud service delete",
                                           "role add",
                                           "role update",
                                           "role delete",
                                           "endpoint update",
                                           "certificate add",
                                           "certificate delete",
                                           "storage account create"};
static_assert(std::size(kind_names) == static_cast<std::size_t>(OperationKind::storage_account_create) + 1);

}  // namespace

std::string_view to_string(OperationKind kind) {
  return kind_names[static_cast<std::size_t>(kind)];
}

std::optional<OperationKind> parse_operation_kind(std::string_view text) {
  const auto found = std::ranges::find(kind_names, text);
  if (found == std::end(kind_names)) return std::nullopt;
  return static_cast<OperationKind>(found - std::begin(kind_names));
}

}  // namespace berth
