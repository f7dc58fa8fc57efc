#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/account/environments.h"
#include "cli/account/profile.h"
#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/sign_in/managed_identity.h"
#include "cli/terminal/foreign_text.h"
#include "cli/terminal/terminal.h"
#include "crypto/encoding.h"
#include "host/files.h"
#include "model/names.h"

/// `azure login|logout`, `azure account env …`: other Resource Managers than the local region's.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// --- login

struct LoginOptions {
  std::string environment = "AzureCloud", user, password_file, certificate, token_file, tenant, client_id,
              object_id, resource_id, subscription;
  std::string claims;  ///< what has to be proved further: as it was typed, and JSON once it was checked
  Secret password;
  bool service_principal = false, identity = false, device_code = false, with_chain = false;
};

[[noreturn]] void refuse_login(const std::string& what, const std::string& advice) {
  throw Error(ErrorKind::invalid, "InvalidParameter", what, advice);
}

constexpr const char* service_principal_form =
    "azure login -e NAME --service-principal -u ID --password-file FILE --tenant TENANT";

/// The JSON of a challenge; refuses what is none.
std::string parse_claims(const std::string& typed) {
  if (typed.empty()) return {};
  const std::string text = typed.substr(0, typed.find_last_not_of('=') + 1);
  auto claims = base64_decode(text + std::string((4 - text.size() % 4) % 4, '='));
  if (!claims) claims = base64url_decode(text);
  if (!claims || !json::parse(*claims, nullptr, false).is_object())
    refuse_login("--claims-challenge is no challenge: that is JSON in base64",
                 "Take the whole command that the error before named.");
  return *claims;
}

/// What contradicts itself is refused, not guessed at.
void check_login(const LoginOptions& options) {
  const int ways =
      (options.service_principal ? 1 : 0) + (options.identity ? 1 : 0) + (options.device_code ? 1 : 0);
  if (ways > 1)
    refuse_login("--service-principal, --identity and --use-device-code are different ways to sign in",
                 "Give one of them.");
  if (options.tenant.find_first_of("/?#% ") != std::string::npos)
    refuse_login("--tenant is an id or a domain", "azure login --tenant contoso.com");
  if (!options.claims.empty() && (options.service_principal || options.identity))
    refuse_login("--claims-challenge is for people: others have nothing more to prove",
                 "azure login --tenant TENANT --claims-challenge CLAIMS");
  const bool of_application =
      !options.certificate.empty() || !options.token_file.empty() || options.with_chain;
  if (of_application && !options.service_principal)
    refuse_login("--certificate, --federated-token-file and --use-cert-sn-issuer are for --service-principal",
                 service_principal_form);
  if (!options.identity && (!options.object_id.empty() || !options.resource_id.empty()))
    refuse_login("--object-id and --resource-id are for --identity", "azure login --identity");
  if (options.identity &&
      (!options.user.empty() || !options.password_file.empty() || !options.tenant.empty()))
    refuse_login("--identity takes neither -u nor a password nor --tenant: the machine knows them",
                 "Name one of several identities by --client-id, --object-id or --resource-id.");
  if (!options.service_principal) return;
  if (!options.password.empty())
    refuse_login(
        "the secret has to be in a file: it is read again when a token expires, and kept nowhere else",
        service_principal_form);
  const int proofs = (options.password_file.empty() ? 0 : 1) + (options.certificate.empty() ? 0 : 1) +
                     (options.token_file.empty() ? 0 : 1);
  if (options.user.empty() || proofs == 0 || options.tenant.empty())
    refuse_login("a service principal needs -u, --password-file or --certificate, and --tenant",
                 service_principal_form);
  if (proofs > 1)
    refuse_login("--password-file, --certificate and --federated-token-file prove the same: give one of them",
                 service_principal_form);
  if (options.password_file == "-")
    refuse_login(
        "the secret has to be in a file: it is read again when a token expires, and kept nowhere else",
        service_principal_form);
}

/// What one run of `azure login` has come to.
struct SignedIn {
  std::vector<Subscription> subscriptions;
  std::vector<std::string> troubles;  ///< tenants that did not let us in
  std::string name;                   ///< who
};

class SigningIn {
 public:
  SigningIn(Session& session, const LoginOptions& options)
      : session_(session),
        options_(options),
        environment_(get_environment(options.environment)),
        place_(sign_in_place(environment_)) {}

  void run() {
    if (options_.identity)
      by_identity();
    else if (options_.service_principal)
      by_application();
    else
      by_person();
    keep();
    report();
  }

 private:
  void by_identity();
  void by_application();
  void by_person();
  Grant confirmed_in_browser(const std::string& client_id);
  Grant given_by_password(const std::string& client_id);
  void look_into_tenants(const Principal& person, const Grant& home);
  void look_into_tenant(const Principal& person, const std::string& label, const Grant& home);
  std::size_t add_subscriptions(const Principal& principal, ArmEndpoint endpoint);
  bool is_signed_in(const Principal& principal) const;
  void keep();
  void report();

  ArmClient client(ArmEndpoint endpoint) const {
    ArmClient arm(std::move(endpoint), &interrupt::requested);
    arm.listener() = session_.listener();
    return arm;
  }
  Authority authority(const std::string& tenant) const {
    return Authority(addresses_of(place_, tenant), session_.listener());
  }
  Principal principal(Principal::Way way) const {
    Principal one;
    one.way = way;
    one.environment = environment_.name;
    one.tenant = options_.tenant;
    return one;
  }

  Session& session_;
  const LoginOptions& options_;
  const Environment environment_;
  const SignInPlace place_;
  SignedIn result_;
  std::vector<std::pair<Principal, Grant>> grants_;  ///< of a person, kept once all has gone well
};

std::size_t SigningIn::add_subscriptions(const Principal& principal, ArmEndpoint endpoint) {
  std::size_t added = 0;
  for (const json& item : client(std::move(endpoint)).list_above("subscriptions")) {
    Subscription one{printable_line(text(item, {"displayName"}), 200),
                     printable_line(text(item, {"subscriptionId"}), 100), environment_.resource_manager + "/",
                     principal};
    one.tenant = printable_line(text(item, {"tenantId"}), 100);
    if (one.tenant.empty()) one.tenant = principal.tenant;
    one.state = printable_line(text(item, {"state"}), 40);
    const bool known = std::ranges::any_of(
        result_.subscriptions, [&](const Subscription& other) { return same_name(other.id, one.id); });
    if (one.id.empty() || one.id.find_first_of("/?# ") != std::string::npos || known) continue;
    result_.subscriptions.push_back(std::move(one));
    ++added;
  }
  return added;
}

void SigningIn::by_application() {
  Principal one = principal(Principal::Way::secret);
  one.client_id = options_.user;
  one.with_chain = options_.with_chain;
  std::string file = options_.password_file;
  if (!options_.certificate.empty()) {
    one.way = Principal::Way::certificate;
    file = options_.certificate;
  } else if (!options_.token_file.empty()) {
    one.way = Principal::Way::assertion;
    file = options_.token_file;
  }
  one.file = std::filesystem::absolute(file).string();
  read_file(one.file, std::size_t{256} << 10);
  result_.name = one.name();
  session_.out.info(fmt::format("Signing in to {}", environment_.name));
  ArmEndpoint endpoint = account_endpoint(one, "");
  endpoint.tokens->get(true, {}, session_.listener());  // a kept token says nothing of the secret
  add_subscriptions(one, std::move(endpoint));
}

void SigningIn::by_identity() {
  Principal one = principal(Principal::Way::managed);
  one.client_id = managed_identity_selector(options_.client_id, options_.object_id, options_.resource_id);
  result_.name = one.name();
  session_.out.info(fmt::format("Signing in to {} as {}", environment_.name, one.name()));
  ArmEndpoint endpoint = account_endpoint(one, "");
  endpoint.tokens->get(true, {}, session_.listener());
  add_subscriptions(one, std::move(endpoint));
}

void SigningIn::by_person() {
  Principal person = principal(Principal::Way::user);
  person.client_id = options_.client_id.empty() ? public_client_id : options_.client_id;
  const Grant home =
      options_.user.empty() ? confirmed_in_browser(person.client_id) : given_by_password(person.client_id);
  const WhoSignedIn who = who_signed_in(home.id_token);
  person.user = !who.user.empty() ? who.user : !options_.user.empty() ? options_.user : "somebody";
  result_.name = person.user;
  if (person.tenant.empty() && place_.login.ends_with("/adfs"))
    person.tenant = who.tenant.empty() ? "adfs" : who.tenant;  // it has one
  if (home.refresh.empty())
    session_.out.warn(fmt::format("{} gave no refresh token: this sign-in ends in {}.",
                                  host_of_url(place_.login), seconds_text(home.lifetime)));
  if (person.tenant.empty()) return look_into_tenants(person, home);
  grants_.emplace_back(person, home);
  add_subscriptions(person, account_endpoint(environment_, granted_token(home)));
}

Grant SigningIn::confirmed_in_browser(const std::string& client_id) {
  Authority at = authority(options_.tenant);
  const DeviceCode code =
      at.begin_device(client_id, scope_of(place_) + " offline_access openid profile", options_.claims);
  session_.out.help(
      fmt::format("To sign in, open {} in a browser, on this machine or any other, and enter the code {}",
                  code.page, code.user_code));
  session_.out.help("Only enter a code that you asked for yourself.");
  session_.out.live("Waiting for you to confirm it");
  const TokenAnswer answer = at.wait_for_user(code, client_id, options_.claims);
  session_.out.end_live();
  if (answer.grant) return *answer.grant;
  const std::string& error = answer.refusal.error;
  if (error == "expired_token" || error == "code_expired")
    throw Error(ErrorKind::unauthorized, "SignInExpired",
                fmt::format("Nobody confirmed the code within {}.", seconds_text(code.expires)),
                "Begin again: azure login");
  if (error == "authorization_declined" || error == "access_denied")
    throw Error(ErrorKind::unauthorized, "SignInDeclined", "The sign-in was declined in the browser.");
  Principal nobody = principal(Principal::Way::secret);
  throw sign_in_refused(answer.refusal, host_of_url(place_.login), nobody);
}

Grant SigningIn::given_by_password(const std::string& client_id) {
  const Secret password =
      !options_.password.empty() ? options_.password
      : !options_.password_file.empty()
          ? read_password(options_.password_file)
          : prompt_secret(fmt::format("Password of {}: ", options_.user),
                          "Give it by --password-file FILE, or sign in by 'azure login' alone.");
  session_.out.info(fmt::format("Signing in to {} as {}", environment_.name, options_.user));
  const TokenAnswer answer = authority(options_.tenant)
                                 .ask({{"grant_type", "password"},
                                       {"client_id", client_id},
                                       {"scope", scope_of(place_) + " offline_access openid profile"},
                                       {"claims", options_.claims},
                                       {"username", options_.user},
                                       {"password", password.reveal()}});
  if (answer.grant) return *answer.grant;
  Principal nobody = principal(Principal::Way::secret);
  throw sign_in_refused(answer.refusal, host_of_url(place_.login), nobody);
}

/// A person may have subscriptions in several tenants; each has tokens of its own, by the refresh token of the first.
void SigningIn::look_into_tenants(const Principal& person, const Grant& home) {
  constexpr std::size_t most_tenants = 100;
  std::vector<json> tenants =
      client(account_endpoint(environment_, granted_token(home))).list_above("tenants");
  if (tenants.size() > most_tenants) {
    session_.out.warn(fmt::format("{} is in {} tenants; the first {} are looked into. Name one: --tenant.",
                                  person.user, tenants.size(), most_tenants));
    tenants.resize(most_tenants);
  }
  for (const json& item : tenants) {
    interrupt::check();
    Principal there = person;
    there.tenant = text(item, {"tenantId"});
    if (there.tenant.empty() || there.tenant.find_first_of("/?#% ") != std::string::npos) continue;
    const std::string name = printable_line(text(item, {"displayName"}), 100);
    const std::string label = name.empty() ? there.tenant : fmt::format("{} ({})", name, there.tenant);
    try {
      look_into_tenant(there, label, home);
    } catch (const Error& error) {
      if (error.code == "OperationCanceled") throw;
      result_.troubles.push_back(
          fmt::format("{} could not be looked into ({}): azure login -e {} --tenant {}", label, error.what(),
                      environment_.name, there.tenant));
    }
  }
}

void SigningIn::look_into_tenant(const Principal& person, const std::string& label, const Grant& home) {
  Authority at = authority(person.tenant);
  TokenAnswer answer = ask_by_refresh_token(at, place_, person.client_id, home.refresh);
  if (!answer.grant) {
    result_.troubles.push_back(
        fmt::format("{} wants a sign-in of its own ({}): azure login -e {} --tenant {}", label,
                    answer.refusal.description, environment_.name, person.tenant));
    return;
  }
  if (answer.grant->refresh.empty()) answer.grant->refresh = home.refresh;
  if (add_subscriptions(person, account_endpoint(environment_, granted_token(*answer.grant))) > 0)
    grants_.emplace_back(person, std::move(*answer.grant));
}

/// By this run.
bool SigningIn::is_signed_in(const Principal& principal) const {
  return std::ranges::any_of(grants_, [&](const auto& one) { return share_tokens(one.first, principal); }) ||
         std::ranges::any_of(result_.subscriptions, [&](const Subscription& one) {
           return one.account && share_tokens(*one.account, principal);
         });
}

/// Only now, when all has gone well, does it take the place of an earlier sign-in of the same principal.
void SigningIn::keep() {
  for (const std::string& trouble : result_.troubles) session_.out.warn(trouble);
  if (result_.subscriptions.empty())
    throw Error(ErrorKind::unauthorized, "NoSubscriptions",
                fmt::format("{} has no subscription in {}.", result_.name, environment_.name),
                result_.troubles.empty() ? "Somebody has to give it a role in one."
                                         : "Sign in to the tenant that has one, with --tenant.");
  for (const auto& [person, grant] : grants_) keep_grant(place_, person, grant);
  // Who names a tenant says nothing about the others.
  if (options_.tenant.empty())
    for (const Subscription& gone : forget_subscriptions(environment_.name, result_.name))
      if (!is_signed_in(*gone.account)) forget_grant(token_cache_file(), *gone.account);
  keep_subscriptions(result_.subscriptions);
  const std::string& wanted = options_.subscription;
  const std::string before = chosen_subscription();
  const Subscription* chosen = nullptr;
  for (const Subscription& one : result_.subscriptions) {
    const bool is_wanted =
        wanted.empty() ? same_name(one.id, before) : same_name(one.id, wanted) || same_name(one.name, wanted);
    if (is_wanted) chosen = &one;
  }
  if (chosen == nullptr && !wanted.empty())
    throw Error(ErrorKind::not_found, "SubscriptionNotFound",
                fmt::format("{} has no subscription '{}'.", result_.name, wanted),
                "It is signed in; 'azure account list' shows those that there are.");
  for (const Subscription& one : result_.subscriptions)
    if (chosen == nullptr && (one.state.empty() || same_name(one.state, "Enabled"))) chosen = &one;
  choose_subscription(chosen == nullptr ? result_.subscriptions.front().id : chosen->id);
}

void SigningIn::report() {
  Output& out = session_.out;
  const std::string current = chosen_subscription();
  if (out.json_mode()) {
    ordered_json all = ordered_json::array();
    for (const Subscription& one : result_.subscriptions)
      all.push_back({{"name", one.name},
                     {"id", one.id},
                     {"tenantId", one.tenant},
                     {"state", one.state},
                     {"environmentName", environment_.name},
                     {"user", {{"name", one.account->name()}, {"type", type_of(*one.account)}}},
                     {"isCurrent", one.id == current}});
    return out.json(all);
  }
  for (const Subscription& one : result_.subscriptions)
    out.info(fmt::format("Added subscription {} ({})", one.name, one.id));
  for (const Subscription& one : result_.subscriptions)
    if (one.id == current)
      out.info(fmt::format(
          "Commands go to {} from now on; 'azure account set Local' leads back to this machine", one.name));
}

void login(CommandLine& app, Session& session) {
  auto options = std::make_shared<LoginOptions>();
  app.add_option("-e,--environment", options->environment, "Where: 'azure account env list' [AzureCloud]")
      ->type_name("<name>");
  app.add_option("--tenant", options->tenant, "Id or domain of the tenant [all that you are in]")
      ->type_name("<tenant>");
  app.add_option("-s,--subscription", options->subscription, "Choose this one [the first that is enabled]")
      ->type_name("<name>");
  app.add_flag("--use-device-code", options->device_code,
               "Confirm in a browser, here or elsewhere, with a code [so it is without other options]");
  app.add_option(
         "-u,--username", options->user,
         "Sign in by a password, where the tenant allows that; of a service principal its application id")
      ->type_name("<name>");
  app.add_option(
         "-p,--password",
         [options, &session](const std::string& text) {
           options->password = Secret(text);
           wipe_argument(session.argc, session.argv, text);
         },
         "The password; others can read it while the command starts [it is asked for]")
      ->type_name("<password>");
  app.add_option("--password-file", options->password_file,
                 "File with the password, or the secret; the latter is read again when a token expires")
      ->type_name("<file>");
  app.add_option("--claims-challenge", options->claims,
                 "What Azure wants proved further, of the command that an error names: base64")
      ->type_name("<claims>");
  app.add_flag("--service-principal", options->service_principal, "Sign in as a service principal");
  app.add_option("--certificate", options->certificate,
                 "File with its certificate and key, PEM; read again when a token expires")
      ->type_name("<file>");
  app.add_flag("--use-cert-sn-issuer", options->with_chain,
               "Send the certificate's chain along, for applications that trust a subject and issuer");
  app.add_option("--federated-token-file", options->token_file,
                 "File with a token of another authority that the application trusts; others keep it fresh")
      ->type_name("<file>");
  app.add_flag("--identity", options->identity, "Sign in as the managed identity of this virtual machine");
  app.add_option("--client-id", options->client_id,
                 "Which of several identities; for people, the client to sign in with [Azure's command line]")
      ->type_name("<id>");
  app.add_option("--object-id", options->object_id, "Which of several identities")->type_name("<id>");
  app.add_option("--resource-id", options->resource_id, "Which of several identities")->type_name("<id>");
  app.callback([options, &session] {
    check_login(*options);
    options->claims = parse_claims(options->claims);
    SigningIn(session, *options).run();
  });
}

// --- logout

void log_out(Session& session, const std::string& environment, const std::string& who) {
  const std::string place = environment.empty() ? std::string() : get_environment(environment).name;
  const std::string chosen = chosen_subscription();
  const std::vector<Subscription> gone = forget_subscriptions(place, who);
  // Those of subscriptions that somebody else has taken over since, too.
  const std::size_t tokens = forget_grants(token_cache_file(), place, who);
  const bool was_chosen =
      std::ranges::any_of(gone, [&](const Subscription& one) { return same_name(one.id, chosen); });
  if (was_chosen) choose_subscription({});
  if (session.out.json_mode()) return session.out.json({{"forgotten", gone.size()}, {"tokens", tokens}});
  if (!gone.empty())
    session.out.info(fmt::format("{} subscriptions and their tokens are forgotten", gone.size()));
  else if (tokens > 0)
    session.out.info(
        fmt::format("The tokens of {} are forgotten; no subscription was left", who.empty() ? "all" : who));
  else
    session.out.info(who.empty() ? "Nobody was signed in" : who + " was not signed in");
  if (was_chosen) session.out.info("Commands go to the local region from now on");
}

void logout(CommandLine& app, Session& session) {
  auto environment = std::make_shared<std::string>(), who = std::make_shared<std::string>();
  app.add_option("user", *who, "Who: as 'azure account show' calls it [everybody]");
  app.add_option("-u,--username", *who, "The same")->type_name("<name>");
  app.add_option("-e,--environment", *environment, "Of this environment alone [all]")->type_name("<name>");
  app.callback([environment, who, &session] { log_out(session, *environment, *who); });
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
  app.add_option("--ca-file", options->ca_file, "Authority of its certificate, PEM, or 'system' [as it was]")
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
    forget_subscriptions(*name, {});
    if (session.out.json_mode()) return session.out.json({{"deleted", *name}});
    session.out.info(fmt::format("{} is forgotten, with its subscriptions and tokens", *name));
  });
}

constexpr Command login_table[] = {
    {"login",
     "Sign in to Azure, or another Resource Manager; commands go there until 'account set' says otherwise",
     &login},
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
