#include "cli/sign_in/principal.h"

#include <utility>

namespace berth {
namespace {

constexpr std::pair<Principal::Way, const char*> ways[] = {{Principal::Way::secret, "secret"},
                                                           {Principal::Way::certificate, "certificate"},
                                                           {Principal::Way::assertion, "assertion"},
                                                           {Principal::Way::user, "user"},
                                                           {Principal::Way::managed, "managed"}};

}  // namespace

std::string Principal::name() const {
  if (way == Way::user) return user;
  if (way == Way::managed)
    return client_id.empty() ? "the managed identity" : "the managed identity " + client_id;
  return client_id;
}

const char* type_of(const Principal& principal) {
  switch (principal.way) {
    case Principal::Way::user:
      return "user";
    case Principal::Way::managed:
      return "managedIdentity";
    default:
      return "servicePrincipal";
  }
}

const char* to_text(Principal::Way way) {
  for (const auto& [one, name] : ways)
    if (one == way) return name;
  return "";
}

Principal::Way parse_way(const std::string& text) {
  for (const auto& [one, name] : ways)
    if (text == name) return one;
  return Principal::Way::secret;
}

}  // namespace berth
