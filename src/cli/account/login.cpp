#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/account/environments.h"
#include "cli/account/profile.h"
#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/terminal/terminal.h"
#include "host/files.h"

/// `azure login|logout`, `azure account env …`: other Resource Managers than the local region's.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// --- login, logout

struct LoginOptions {
  std::string environment = "AzureCloud", user, password_file, tenant;
  bool service_principal = false;
};

void log_in(Session& session, const LoginOptions& options) {
  const auto refuse = [](const char* what) {
    throw Error(ErrorKind::invalid, "InvalidParameter", what,
                "azure login -e NAME --service-principal -u ID --password-file FILE --tenant TENANT");
  };
  if (!options.service_principal) refuse("a sign-in needs --service-principal: there is no other way yet");
  if (options.user.empty() || options.password_file.empty() || options.tenant.empty())
    refuse("a service principal needs -u, --password-file and --tenant");
  if (options.tenant.find_first_of("/?#") != std::string::npos) refuse("--tenant is an id or a domain");
  if (options.password_file == "-")
    refuse("the secret has to be in a file: it is read again when a token expires, and kept nowhere else");
  const Environment environment = get_environment(options.environment);
  const Principal account{environment.name, options.tenant, options.user,
                          std::filesystem::absolute(options.password_file).string()};
  read_file(account.secret_file, 4096);
  ArmEndpoint endpoint = account_endpoint(account, "");
  endpoint.ignore_cached_token = true;
  ArmClient arm(std::move(endpoint), &interrupt::requested);
  arm.trace = [&](const std::string& exchange) { session.out.verbose(exchange); };
  session.out.info(fmt::format("Signing in to {}", environment.name));
  std::vector<Subscription> found;
  for (const json& item : arm.list_subscriptions())
    found.push_back({text(item, {"displayName"}), text(item, {"subscriptionId"}),
                     environment.resource_manager + "/", account});
  if (found.empty())
    throw Error(ErrorKind::unauthorized, "NoSubscriptions",
                fmt::format("{} has no subscription in {}.", options.user, environment.name),
                "Somebody has to give it a role in one.");
  keep_subscriptions(found);
  choose_subscription(found.front().id);
  if (session.out.json_mode()) {
    ordered_json all = ordered_json::array();
    for (const Subscription& one : found)
      all.push_back({{"name", one.name}, {"id", one.id}, {"environmentName", environment.name}});
    return session.out.json(all);
  }
  for (const Subscription& one : found)
    session.out.info(fmt::format("Added subscription {} ({})", one.name, one.id));
  session.out.info(
      fmt::format("Commands go to {} from now on; 'azure account set Local' leads back to this machine",
                  found.front().name));
}

void login(CommandLine& app, Session& session) {
  auto options = std::make_shared<LoginOptions>();
  app.add_option("-e,--environment", options->environment, "Where: 'azure account env list' [AzureCloud]")
      ->type_name("<name>");
  app.add_flag("--service-principal", options->service_principal,
               "Sign in as a service principal, with its secret");
  app.add_option("-u,--username", options->user, "Its application id")->type_name("<id>");
  app.add_option("--password-file", options->password_file,
                 "File with its secret; read again when a token expires")
      ->type_name("<file>");
  app.add_option("--tenant", options->tenant, "Id or domain of its tenant")->type_name("<tenant>");
  app.callback([options, &session] { log_in(session, *options); });
}

void logout(CommandLine& app, Session& session) {
  auto environment = std::make_shared<std::string>();
  app.add_option("-e,--environment", *environment, "Of this environment alone [all]")->type_name("<name>");
  app.callback([environment, &session] {
    const std::string name = environment->empty() ? std::string() : get_environment(*environment).name;
    const std::size_t count = forget_subscriptions(name);
    forget_tokens(name);
    if (session.out.json_mode()) return session.out.json({{"forgotten", count}});
    session.out.info(count == 0 ? "Nobody was signed in"
                                : fmt::format("{} subscriptions and their tokens are forgotten", count));
  });
}

// --- account env

ordered_json to_json(const Environment& one) {
  return {{"name", one.name},
          {"resourceManagerEndpointUrl", one.resource_manager},
          {"activeDirectoryEndpointUrl", one.login},
          {"activeDirectoryResourceId", one.audience},
          {"metadata", one.metadata},
          {"caFile", one.ca_file},
          {"isOwn", one.is_own}};
}

void show_environment(Session& session, const Environment& one) {
  if (session.out.json_mode()) return session.out.json(to_json(one));
  std::vector<std::pair<std::string, std::string>> rows{{"Name", one.name},
                                                        {"Resource Manager", one.resource_manager},
                                                        {"Sign-in", one.login},
                                                        {"Audience", one.audience}};
  if (!one.metadata.empty()) rows.emplace_back("Metadata", one.metadata);
  if (!one.ca_file.empty()) rows.emplace_back("CA file", one.ca_file);
  session.out.pairs(rows);
}

void account_env_list(CommandLine& app, Session& session) {
  app.callback([&session] {
    const auto all = list_environments();
    if (session.out.json_mode()) {
      ordered_json list = ordered_json::array();
      for (const Environment& one : all) list.push_back(to_json(one));
      return session.out.json(list);
    }
    std::vector<std::vector<std::string>> rows;
    for (const Environment& one : all) rows.push_back({one.name, one.resource_manager});
    session.out.table({"Name", "Resource Manager"}, rows);
  });
}

void account_env_show(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name of the environment")->required();
  app.callback([name, &session] { show_environment(session, get_environment(*name)); });
}

struct EnvironmentOptions {
  std::string name, metadata, ca_file;
};

void account_env_add(CommandLine& app, Session& session) {
  auto options = std::make_shared<EnvironmentOptions>();
  app.add_option("name", options->name, "A name of your choice")->required();
  app.add_option("--metadata", options->metadata,
                 "URL of its metadata: https://HOST/metadata/endpoints?api-version=2022-09-01")
      ->type_name("<url>");
  app.add_option("--ca-file", options->ca_file, "Authority of its certificate, PEM [the system's]")
      ->type_name("<file>");
  app.callback([options, &session] {
    if (options->metadata.empty())
      throw Error(
          ErrorKind::invalid, "InvalidParameter", "missing required option `--metadata'",
          "azure account env add NAME --metadata https://HOST/metadata/endpoints?api-version=2022-09-01");
    show_environment(session, add_environment(options->name, options->metadata, options->ca_file));
  });
}

/// Other metadata or another authority; what is not given stays.
void account_env_set(CommandLine& app, Session& session) {
  auto options = std::make_shared<EnvironmentOptions>();
  app.add_option("name", options->name, "Name of the environment")->required();
  app.add_option("--metadata", options->metadata, "URL of its metadata [as it was; it is asked again]")
      ->type_name("<url>");
  app.add_option("--ca-file", options->ca_file, "Authority of its certificate, PEM [as it was]")
      ->type_name("<file>");
  app.callback([options, &session] {
    show_environment(session, change_environment(options->name, options->metadata, options->ca_file));
  });
}

void account_env_delete(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name of the environment")->required();
  app.callback([name, &session] {
    delete_environment(*name);
    forget_subscriptions(*name);
    if (session.out.json_mode()) return session.out.json({{"deleted", *name}});
    session.out.info(fmt::format("{} is forgotten, with its subscriptions and tokens", *name));
  });
}

constexpr Command login_table[] = {
    {"login", "Sign in to a Resource Manager; commands go there until 'account set' says otherwise", &login},
    {"logout", "Forget subscriptions that were signed in to, and their tokens", &logout},
    {"account env list", "List the clouds that can be signed in to", &account_env_list},
    {"account env show", "Show one of them", &account_env_show},
    {"account env add", "Add another one, by its metadata", &account_env_add},
    {"account env set", "Ask its metadata again, or take another URL or authority", &account_env_set},
    {"account env delete", "Forget one that was added", &account_env_delete},
};

}  // namespace

std::span<const Command> login_commands() {
  return login_table;
}

}  // namespace berth
