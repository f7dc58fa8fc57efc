#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "api/classic/publish_settings.h"
#include "cli/account/environments.h"
#include "cli/account/profile.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "crypto/envelope.h"
#include "host/files.h"
#include "model/names.h"

/// Subscriptions: the local region's, and those of publish-settings files that were imported. The profile
/// names them and holds no key: this program signs in to the region by itself.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

/// The host of "https://HOST:PORT/…", lower case.
std::string host_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::size_t from = scheme == std::string::npos ? 0 : scheme + 3;
  return lower(url.substr(from, url.find_first_of(":/", from) - from));
}

/// The management hosts of the public classic service and its national clouds, which were all turned off.
bool is_retired(const std::string& url) {
  const std::string host = host_of(url);
  for (const char* suffix :
       {"core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net", "core.cloudapi.de"})
    if (host.ends_with(suffix)) return true;
  return false;
}

std::vector<Subscription> read_publish_settings(const std::string& file) {
  std::vector<Subscription> found;
  for (const classic::PublishedSubscription& one :
       classic::parse_publish_settings(read_file(file, 4u << 20), file)) {
    if (is_retired(one.url))
      throw Error(ErrorKind::invalid, "RetiredService",
                  fmt::format("{} is for the public classic service at {}, which was retired; nothing "
                              "answers there any more.",
                              file, host_of(one.url)),
                  "The local region needs no file: 'azure vm docker create' starts it.");
    parse_pfx(one.pfx.reveal(), "The management certificate in " + file);
    found.push_back({.name = one.name, .id = one.id, .url = one.url});
  }
  return found;
}

/// The region's own first; it is there without any import.
std::vector<Subscription> known_subscriptions(Session& session) {
  std::vector<Subscription> all;
  if (const auto region = session.local.find_running())
    all.push_back({.name = "Local",
                   .id = region->subscription,
                   .url = region->management_endpoint + "/",
                   .state = "Enabled"});
  for (Subscription& subscription : profile_subscriptions())
    if (all.empty() || !same_name(all.front().id, subscription.id)) all.push_back(std::move(subscription));
  return all;
}

std::string environment_of(const Subscription& one) {
  return one.account ? one.account->environment : "Local";
}

ordered_json to_json(const Subscription& one, const std::string& current) {
  ordered_json document = {{"name", one.name},
                           {"id", one.id},
                           {"managementEndpointUrl", one.url},
                           {"environmentName", environment_of(one)},
                           {"isCurrent", one.id == current}};
  if (!one.tenant.empty()) document["tenantId"] = one.tenant;
  if (!one.state.empty()) document["state"] = one.state;
  if (one.account) document["user"] = {{"name", one.account->name()}, {"type", type_of(*one.account)}};
  return document;
}

const Subscription& find(const std::vector<Subscription>& all, const std::string& wanted) {
  const Subscription* found = nullptr;
  std::string ids;
  for (const Subscription& one : all) {
    if (same_name(one.id, wanted)) return one;
    if (!same_name(one.name, wanted)) continue;
    ids += (found != nullptr ? ", " : "") + one.id;
    if (found != nullptr)
      throw Error(ErrorKind::conflict, "SubscriptionAmbiguous",
                  fmt::format("There are several subscriptions '{}'.", wanted),
                  fmt::format("Name it by its id: {}.", ids));
    found = &one;
  }
  if (found != nullptr) return *found;
  throw Error(ErrorKind::not_found, "SubscriptionNotFound",
              fmt::format("The subscription '{}' was not found.", wanted),
              "'azure account list' shows those there are.");
}

/// Which one commands use: the one that was set, if it is still known, else the first.
std::string current_id(const std::vector<Subscription>& all) {
  const std::string set = chosen_subscription();
  for (const Subscription& one : all)
    if (same_name(one.id, set)) return one.id;
  for (const Subscription& one : all)  // nobody is led elsewhere unasked
    if (!one.account) return one.id;
  return {};
}

void import_account(Session& session, const std::string& file) {
  const std::vector<Subscription> found = read_publish_settings(file);
  keep_subscriptions(found);
  for (const Subscription& one : found)
    session.out.info(fmt::format("Subscription \"{}\" with id \"{}\" imported", one.name, one.id));
  if (session.out.json_mode()) session.out.json({{"imported", found.size()}});
}

void account_import(CommandLine& app, Session& session) {
  auto file = std::make_shared<std::string>();
  app.add_option("file", *file, "A publish-settings file")->required();
  app.callback([file, &session] { import_account(session, *file); });
}

void account_list(CommandLine& app, Session& session) {
  app.callback([&session] {
    const std::vector<Subscription> all = known_subscriptions(session);
    const std::string current = current_id(all);
    if (session.out.json_mode()) {
      ordered_json list = ordered_json::array();
      for (const Subscription& one : all) list.push_back(to_json(one, current));
      return session.out.json(list);
    }
    if (all.empty())
      return session.out.info(
          "No subscriptions: the local region does not run, and nobody signed in (azure login)");
    std::vector<std::vector<std::string>> rows;
    for (const Subscription& one : all)
      rows.push_back({one.name, one.id, one.id == current ? "true" : "false", one.state});
    session.out.table({"Name", "Id", "Current", "State"}, rows);
  });
}

void account_show(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name or id of the subscription [the current one]");
  app.callback([name, &session] {
    const std::vector<Subscription> all = known_subscriptions(session);
    const std::string current = current_id(all);
    if (all.empty() && name->empty())
      throw Error(ErrorKind::not_found, "SubscriptionNotFound", "There is no current subscription.",
                  "'azure region start' starts the local region, which has one.");
    const Subscription& one = find(all, name->empty() ? current : *name);
    if (session.out.json_mode()) return session.out.json(to_json(one, current));
    std::vector<std::pair<std::string, std::string>> rows{{"Name", one.name},
                                                          {"ID", one.id},
                                                          {"Environment", environment_of(one)},
                                                          {"Management endpoint", one.url}};
    if (!one.tenant.empty()) rows.emplace_back("Tenant ID", one.tenant);
    if (!one.state.empty()) rows.emplace_back("State", one.state);
    if (one.account) rows.emplace_back("Signed in as", one.account->name());
    rows.emplace_back("Is current", one.id == current ? "true" : "false");
    session.out.pairs(rows);
  });
}

void set_account(Session& session, const std::string& name) {
  if (same_name(name, "Local") && !session.local.find_running()) {  // it starts when it is needed
    choose_subscription({});
    return session.out.info("Commands go to the local region");
  }
  const Subscription one = find(known_subscriptions(session), name);
  const auto region = session.local.find_running();
  if (!one.account && region && !same_name(region->subscription, one.id))
    throw Error(ErrorKind::conflict, "OtherRegion",
                fmt::format("The subscription \"{}\" belongs to the region at {}, not to the one in {}.",
                            one.name, one.url, session.local.home().string()),
                "Set BERTH_HOME to that region's folder.");
  choose_subscription(one.id);
  if (!one.state.empty() && !same_name(one.state, "Enabled"))
    session.out.warn(fmt::format("\"{}\" is {}: nothing can be made in it.", one.name, lower(one.state)));
  session.out.info(fmt::format("Setting subscription to \"{}\" with id \"{}\".", one.name, one.id));
  session.out.info("Changes saved");
}

void account_set(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name or id of the subscription")->required();
  app.callback([name, &session] { set_account(session, *name); });
}

void account_clear(CommandLine& app, Session& session) {
  auto quiet = std::make_shared<bool>(false);
  app.add_flag("-q,--quiet", *quiet,
               "Do not ask (it never does: nothing in the profile is a secret or hard to get back)");
  app.callback([quiet, &session] {
    forget_profile();
    forget_grants(token_cache_file(), {});
    session.out.info("Account settings cleared successfully");
  });
}

void account_download(CommandLine& app, Session& session) {
  app.callback([&session] {
    const RegionInfo& region = session.region();
    if (region.publish_settings.empty())
      throw Error(ErrorKind::unavailable, "NoPublishSettings",
                  "The running region has written no publish-settings file.",
                  "Restart it: 'azure region stop', then 'azure region start'.");
    if (session.out.json_mode())
      return session.out.json(
          {{"publishSettings", region.publish_settings}, {"caCertificate", region.ca_certificate.string()}});
    session.out.info(
        "The local region's publish-settings file, for classic clients (it holds a private key):");
    session.out.data(region.publish_settings);
    session.out.help(fmt::format("They must trust {}, for example by NODE_EXTRA_CA_CERTS.",
                                 region.ca_certificate.string()));
  });
}

constexpr Command account_table[] = {
    {"account import", "Import a publish-settings file", &account_import},
    {"account list", "List the subscriptions", &account_list},
    {"account show", "Show a subscription", &account_show},
    {"account set", "Choose the current subscription", &account_set},
    {"account clear", "Forget what was imported", &account_clear},
    {"account download", "Name the local region's publish-settings file", &account_download},
};

}  // namespace

std::span<const Command> account_commands() {
  return account_table;
}

}  // namespace berth
