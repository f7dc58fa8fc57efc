// berthd: the local region. Builds the objects, hands each its collaborators, serves until SIGTERM.
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "api/arm/identities.h"
#include "api/arm/ids.h"
#include "base/error.h"
#include "base/log.h"
#include "base/loop_watch.h"
#include "crypto/certificate.h"
#include "endpoints/arm/arm_endpoints.h"
#include "endpoints/classic/classic_endpoints.h"
#include "endpoints/guest/guest_endpoints.h"
#include "endpoints/guest/identity_host.h"
#include "host/directories.h"
#include "host/files.h"
#include "host/harden.h"
#include "host/own_folder.h"
#include "host/process.h"
#include "http/router.h"
#include "http/server.h"
#include "hypervisor/driver.h"
#include "hypervisor/fake_driver.h"
#include "images/apt_sources.h"
#include "images/gallery.h"
#include "network/sandbox.h"
#include "network/virtual_network.h"
#include "programs/berthd_options.h"
#include "region/access.h"
#include "region/extension_gallery.h"
#include "region/region.h"
#include "region/region_store.h"
#include "region/simulated_guests.h"
#include "store/database.h"

namespace berth {
namespace {

namespace asio = boost::asio;

/// A setting of the region: what was given now is kept, else what was kept, else `usual`.
std::string setting(Database& database, const std::string& name, const std::optional<std::string>& given,
                    const std::string& usual) {
  if (given) database.put("setting", name, *given);
  for (const auto& [key, value] : database.all("setting"))
    if (key == name) return value;
  return usual;
}

/// What every client needs to know, in HOME/region.json: there while the region serves.
class Announcement {
 public:
  Announcement(std::filesystem::path file, const nlohmann::ordered_json& document) : file_(std::move(file)) {
    write_file(file_, document.dump(2) + "\n");
  }
  ~Announcement() { ::unlink(file_.c_str()); }
  Announcement(const Announcement&) = delete;
  Announcement& operator=(const Announcement&) = delete;

 private:
  std::filesystem::path file_;
};

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Admission admit(const Router& router, Request& head) {
  bool method_mismatch = false;
  if (const Gate* gate = router.match(head, method_mismatch)) return (*gate)(head);
  Admission admission;
  admission.refusal = ClassicEndpoints::speaks(head) ? ClassicEndpoints::no_route(head, method_mismatch)
                                                     : ArmEndpoints::no_route(head, method_mismatch);
  return admission;
}

/// Asio's context with a way to drop what is suspended in it while the objects that it refers to still stand.
class Loop : public asio::io_context {
 public:
  Loop() : asio::io_context(1) {}
  void drop() { shutdown(); }
  /// Waits for the next handler and runs it; false when there will be none.
  bool step() {
    return watch_.step([this] { return run_one() > 0; });
  }
  const LoopWatch& watch() const { return watch_; }

 private:
  LoopWatch watch_;
};

/// Makes the region's folder, and the cache of images if there is one, ours alone, and begins the log.
FileLock take_home(const DaemonOptions& options) {
  std::vector<std::string> words{claim_folder(region_home_folder, options.home)};
  auto lock = FileLock::try_take(options.home / "lock");
  if (!lock)
    throw Error(ErrorKind::conflict, "RegionRuns",
                fmt::format("A region already serves {}.", options.home.string()),
                "'azure region status' shows it.");
  log_to_file(options.home / "berthd.log");
  spdlog::info("starting version={} home={} driver={}", BERTH_VERSION, options.home.string(),
               options.fake ? "fake" : "qemu");
  if (std::filesystem::exists(image_cache()))
    words.push_back(claim_folder(image_cache_folder, image_cache()));
  for (const std::string& word : words)
    if (!word.empty()) spdlog::warn("{}", word);
  return *std::move(lock);
}

/// The objects of one region, in the order in which they need each other.
class Daemon {
 public:
  explicit Daemon(DaemonOptions options)
      : options_(std::move(options)),
        lock_(take_home(options_)),
        database_(open_region_store(options_.home)),
        access_(load_access(options_.home)),
        driver_(make_driver()),
        networks_(make_networks()),
        guests_(io_.get_executor()),
        gallery_(image_cache(), options_.home / "images"),
        extensions_(executable_folder() / "extensions", options_.home / "extensions"),
        egress_(egress_setting()),
        settings_(make_settings()),
        region_(make_services(), settings_),
        guest_host_(with_identities(region_.guests(),
                                    {.subscription = access_.subscription,
                                     .tenant = access_.tenant,
                                     .key = access_.token_key,
                                     .exists =
                                         [this](const std::string& identity) {
                                           const auto id = arm::ResourceId::parse(identity);
                                           return id && region_.inert().find(
                                                            std::string(arm::user_identity_type), id->ref());
                                         }})),
        guest_endpoints_(io_.get_executor(), *guest_host_,
                         [this](const std::string& vm_id) { region_.machines().wake(vm_id); }),
        arm_(region_, access_),
        classic_(region_, access_, options_.home) {
    guests_.plays_in(region_);
  }

  /// Serves until SIGTERM or SIGINT.
  void run() {
    std::exception_ptr trouble;
    asio::co_spawn(io_, open(), [&](std::exception_ptr e) {
      if (!e) return;
      trouble = e;
      io_.stop();
    });
    asio::signal_set signals(io_, SIGTERM, SIGINT);
    signals.async_wait([&](boost::system::error_code, int signal) {
      spdlog::info("stopping signal={}", signal);
      asio::co_spawn(io_, region_.shut_down(), [&](std::exception_ptr) { io_.stop(); });
    });
    for (bool more = true; more;) try {
        more = io_.step();
      } catch (const std::exception& error) {
        // Whoever waits for what went wrong is told nothing, but all others go on.
        spdlog::error("a step of the loop failed: {}", error.what());
      }
    spdlog::info("longest step of the loop ms={:.1f} after=\"{}\"",
                 static_cast<double>(io_.watch().longest().count()) / 1000, io_.watch().longest_request());
    server_.reset();
    announcement_.reset();
    pool_.join();
    builds_.join();
    io_.drop();
    if (trouble) std::rethrow_exception(trouble);
  }

 private:
  std::unique_ptr<Driver> make_driver() {
    if (options_.fake) return std::make_unique<FakeDriver>(io_.get_executor(), options_.home);
    return make_qemu_driver(io_.get_executor(), options_.home);
  }

  std::unique_ptr<VirtualNetworks> make_networks() {
    if (!options_.fake)
      return make_virtual_networks(io_.get_executor(), options_.home, executable_folder() / "berth-switch");
    auto fake = std::make_unique<FakeVirtualNetworks>();
    fake->home = options_.home;
    return fake;
  }

  RegionSettings make_settings() {
    RegionSettings settings;
    settings.subscription = access_.subscription;
    settings.tenant = access_.tenant;
    settings.dns_suffix = setting(database_, "dns-suffix", options_.dns_suffix, "cloudapp.net");
    settings.egress = parse_egress(egress_);
    if (settings.egress.policy == Egress::Policy::internet) settings.egress.hosts = package_mirrors();
    if (settings.egress.policy == Egress::Policy::full)
      spdlog::warn("virtual machines may reach services of this host and of its networks egress=full");
    const std::string hosts = setting(database_, "hosts-file", options_.hosts_file,
                                      ::geteuid() == 0 && !options_.fake ? "/etc/hosts" : "none");
    if (hosts != "none") settings.hosts_file = hosts;
    return settings;
  }

  /// Guests install from them, wherever they are.
  static std::vector<std::string> package_mirrors() {
    try {
      return mirror_hosts(read_apt_sources());
    } catch (const Error& error) {
      spdlog::warn("package mirrors in private networks are closed to virtual machines why=\"{}\"",
                   error.what());
      return {};
    }
  }

  /// Written down at the first start: a region that served when `full` went without saying keeps it.
  std::string egress_setting() {
    const std::string kept = setting(database_, "egress", options_.egress, "");
    if (!kept.empty()) return kept;
    const bool has_served = !setting(database_, "port", {}, "").empty();
    return setting(database_, "egress", has_served ? "full" : "internet", "");
  }

  Region::Services make_services() {
    Region::Services services{.executor = io_.get_executor(),
                              .pool = pool_.get_executor(),
                              .builds = builds_.get_executor(),
                              .database = database_,
                              .driver = *driver_,
                              .networks = *networks_,
                              .gallery = gallery_,
                              .extensions = extensions_,
                              .home = options_.home,
                              .guest_endpoints = {},
                              .vm_changed = {},
                              .vm_key = {}};
    services.guest_endpoints = [this](const std::string& vm, const std::filesystem::path& folder) {
      if (!options_.fake) guest_endpoints_.set(vm, folder);
    };
    if (options_.fake) {
      services.vm_changed = [this](const Vm& vm) { guests_.seen(vm); };
      services.vm_key = [key = PrivateKey::generate_rsa()] { return key; };
    }
    return services;
  }

  /// Finds out whether this host can run machines, before anybody is told that there is a region; takes up
  /// what an earlier process left; then serves.
  asio::awaitable<void> open() {
    const Accelerator accelerator = co_await driver_->accelerator();
    co_await region_.recover();
    arm_.recover();
    arm_.add_to(router_);
    classic_.recover();
    classic_.add_to(router_);
    server_ = listen();
    arm_.serve_at(server_->origins());
    const std::string endpoint = fmt::format("https://127.0.0.1:{}", server_->port());
    database_.put("setting", "port", std::to_string(server_->port()));
    announce(endpoint, accelerator);
    const network::SandboxSupport support = network::sandbox_support();
    if (!options_.fake && (!support.seccomp || support.landlock == 0 || network::sandbox_is_switched_off()))
      spdlog::warn("switches are not wholly in a sandbox has=\"{}\"", network_sandbox());
    ::malloc_trim(0);  // what the start needed
    spdlog::info("serving endpoint={}", endpoint);
  }

  std::unique_ptr<Server> listen() {
    const auto listen_at = [this](std::uint16_t port) {
      const ServerTls tls{.certificate_chain = access_.certificate_chain,
                          .key = access_.server_key,
                          .ask_client_certificate = true,
                          .names = access_.names};
      return Server::on_tcp(io_.get_executor(), "127.0.0.1", port, tls,
                            [this](Request& head) { return admit(router_, head); });
    };
    if (options_.port) return listen_at(options_.port);
    const auto kept = static_cast<std::uint16_t>(std::atoi(setting(database_, "port", {}, "0").c_str()));
    try {
      return listen_at(kept);
    } catch (const Error&) {
      if (!kept) throw;
    }
    return listen_at(0);  // somebody else has our old port
  }

  /// What keeps a switch that a guest has taken over from this host.
  std::string network_sandbox() const {
    if (options_.fake) return "none: there are no switches";
    if (network::sandbox_is_switched_off()) return "off (BERTH_SWITCH_SANDBOX)";
    return network::describe(network::sandbox_support());
  }

  void announce(const std::string& endpoint, Accelerator accelerator) {
    const std::filesystem::path publish_settings = classic_.write_publish_settings(endpoint + "/");
    nlohmann::ordered_json facts{{"managementEndpoint", endpoint},
                                 {"caCertificate", access_.ca_file.string()},
                                 {"publishSettings", publish_settings.string()},
                                 {"tenantId", access_.tenant},
                                 {"clientId", access_.client_id},
                                 {"clientSecretFile", access_.client_secret_file.string()},
                                 {"clientCertificateFile", access_.client_certificate_file.string()},
                                 {"subscriptionId", access_.subscription},
                                 {"portal", ""},
                                 {"accelerator", to_string(accelerator)},
                                 {"dataDirectory", options_.home.string()},
                                 {"dnsSuffix", settings_.dns_suffix},
                                 {"egress", egress_},
                                 {"networkSandbox", network_sandbox()},
                                 {"version", BERTH_VERSION},
                                 {"pid", to_string(own_process())}};
    if (!region_.set_aside().empty()) facts["setAside"] = region_.set_aside();
    announcement_.emplace(options_.home / "region.json", facts);
  }

  const DaemonOptions options_;
  const FileLock lock_;
  Loop io_;
  asio::thread_pool pool_{2}, builds_{2};
  Database database_;
  const RegionAccess access_;
  std::unique_ptr<Driver> driver_;
  std::unique_ptr<VirtualNetworks> networks_;
  SimulatedGuests guests_;
  Gallery gallery_;
  ExtensionGallery extensions_;
  const std::string egress_;
  const RegionSettings settings_;
  Region region_;
  std::unique_ptr<GuestHost> guest_host_;
  GuestEndpoints guest_endpoints_;
  ArmEndpoints arm_;
  ClassicEndpoints classic_;
  Router router_;
  std::unique_ptr<Server> server_;
  std::optional<Announcement> announcement_;
};

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  berth::harden_process();
  ::signal(SIGPIPE, SIG_IGN);
  if (const auto words = berth::asked_words(argc, argv)) {
    std::fputs(words->c_str(), stdout);
    return 0;
  }
  try {
    berth::DaemonOptions options = berth::parse_daemon_options(argc, argv);
    berth::raise_descriptor_limit();
    berth::Daemon(std::move(options)).run();
    spdlog::info("stopped");
    return 0;
  } catch (const berth::Error& error) {
    spdlog::error("cannot serve code={} message=\"{}\"", error.code, error.what());
    std::fprintf(stderr, "berthd: %s\n", error.what());
    if (!error.advice.empty()) std::fprintf(stderr, "%s\n", error.advice.c_str());
    return error.kind == berth::ErrorKind::invalid ? 2 : 1;
  } catch (const std::exception& error) {
    spdlog::error("cannot serve message=\"{}\"", error.what());
    std::fprintf(stderr, "berthd: %s\n", error.what());
    return 1;
  }
}
