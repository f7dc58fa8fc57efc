#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/sign_in/principal.h"

namespace berth {

/// A subscription that the user imported or signed in to. The profile names them and holds no secret.
struct Subscription {
  std::string name, id, url;
  std::optional<Principal> account = {};  ///< of those that were signed in to
  std::string tenant = {};                ///< id of the one that it belongs to; "" where nobody said
  std::string state = {};                 ///< "Enabled", "Disabled", "Warned", …; "" where nobody said
};

/// In the order in which they came. Of a profile that is damaged Error(invalid) names the file, here and below.
std::vector<Subscription> profile_subscriptions();
/// Adds them, or replaces those of the same id.
void keep_subscriptions(const std::vector<Subscription>& found);
/// Of those that were signed in to, the ones of this environment and of the principal of that name ("": of all). Returns what was
/// forgotten.
std::vector<Subscription> forget_subscriptions(const std::string& environment, const std::string& principal);

/// The id that was chosen; "" if none was.
std::string chosen_subscription();
void choose_subscription(const std::string& id);
void forget_profile();

/// The chosen one, if it was signed in to: commands go there, and not to the local region.
std::optional<Subscription> signed_in_subscription();

}  // namespace berth
