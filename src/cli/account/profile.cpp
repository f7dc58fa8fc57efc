#include "cli/account/profile.h"

#include <nlohmann/json.hpp>

#include "cli/arm/json_view.h"
#include "cli/json_file.h"
#include "cli/settings.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;

std::filesystem::path profile_file() {
  return config_folder() / "profile.json";
}

json read_profile() {
  return read_json_file(profile_file());
}

Subscription parse_subscription(const json& item) {
  Subscription one{text(item, {"name"}), text(item, {"id"}), text(item, {"url"})};
  one.tenant = text(item, {"tenant"});
  one.state = text(item, {"state"});
  if (const json& account = at(item, {"account"}); account.is_object()) {
    Principal principal;
    principal.way = parse_way(text(account, {"way"}));
    principal.environment = text(account, {"environment"});
    principal.tenant = text(account, {"tenant"});
    principal.client_id = text(account, {"clientId"});
    principal.file = text(account, {"secretFile"});
    principal.user = text(account, {"user"});
    principal.with_chain = at(account, {"withChain"}) == true;
    one.account = std::move(principal);
  }
  return one;
}

json to_document(const Subscription& one) {
  json item = {{"name", one.name}, {"id", one.id}, {"url", one.url}};
  if (!one.tenant.empty()) item["tenant"] = one.tenant;
  if (!one.state.empty()) item["state"] = one.state;
  if (!one.account) return item;
  json& account = item["account"] = {{"way", to_text(one.account->way)},
                                     {"environment", one.account->environment},
                                     {"tenant", one.account->tenant},
                                     {"clientId", one.account->client_id}};
  if (!one.account->file.empty()) account["secretFile"] = one.account->file;
  if (!one.account->user.empty()) account["user"] = one.account->user;
  if (one.account->with_chain) account["withChain"] = true;
  return item;
}

std::vector<Subscription> subscriptions_in(const json& profile) {
  std::vector<Subscription> all;
  const json& list = at(profile, {"subscriptions"});
  if (list.is_array())
    for (const json& item : list)
      if (item.is_object()) all.push_back(parse_subscription(item));
  return all;
}

void set_subscriptions(json& profile, const std::vector<Subscription>& all) {
  json list = json::array();
  for (const Subscription& one : all) list.push_back(to_document(one));
  profile["subscriptions"] = std::move(list);
}

}  // namespace

std::vector<Subscription> profile_subscriptions() {
  return subscriptions_in(read_profile());
}

void keep_subscriptions(const std::vector<Subscription>& found) {
  change_json_file(profile_file(), [&](json& profile) {
    std::vector<Subscription> all = subscriptions_in(profile);
    for (const Subscription& one : found) {
      std::erase_if(all, [&](const Subscription& other) { return same_name(other.id, one.id); });
      all.push_back(one);
    }
    set_subscriptions(profile, all);
  });
}

std::vector<Subscription> forget_subscriptions(const std::string& environment, const std::string& principal) {
  std::vector<Subscription> forgotten;
  change_json_file(profile_file(), [&](json& profile) {
    std::vector<Subscription> all = subscriptions_in(profile), kept;
    for (Subscription& one : all) {
      const bool goes = one.account &&
                        (environment.empty() || same_name(one.account->environment, environment)) &&
                        (principal.empty() || same_name(one.account->name(), principal));
      (goes ? forgotten : kept).push_back(std::move(one));
    }
    set_subscriptions(profile, kept);
  });
  return forgotten;
}

std::string chosen_subscription() {
  return text(read_profile(), {"current"});
}

void choose_subscription(const std::string& id) {
  change_json_file(profile_file(), [&](json& profile) { profile["current"] = id; });
}

void forget_profile() {
  std::error_code none;
  std::filesystem::remove(profile_file(), none);
}

std::optional<Subscription> signed_in_subscription() {
  const json profile = read_profile();
  const std::string chosen = text(profile, {"current"});
  if (chosen.empty()) return std::nullopt;
  for (Subscription& one : subscriptions_in(profile))
    if (same_name(one.id, chosen) && one.account) return std::move(one);
  return std::nullopt;
}

}  // namespace berth
