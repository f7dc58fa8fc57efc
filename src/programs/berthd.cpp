// berthd: the local region. Builds the objects, hands each its collaborators, serves until SIGTERM.
#include <fcntl.h>
#include <fmt/format.h>
#include <getopt.h>
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

#include "base/error.h"
#include "base/log.h"
#include "endpoints/arm/arm_endpoints.h"
#include "endpoints/classic/classic_endpoints.h"
#include "endpoints/guest/guest_endpoints.h"
#include "host/directories.h"
#include "host/files.h"
#include "host/process.h"
#include "http/router.h"
#include "http/server.h"
#include "hypervisor/driver.h"
#include "hypervisor/fake_driver.h"
#include "images/gallery.h"
#include "network/virtual_network.h"
#include "region/access.h"
#include "region/extension_gallery.h"
#include "region/fake_guests.h"
#include "region/region.h"
#include "store/database.h"

namespace berth {
namespace {

namespace asio = boost::asio;

struct Options {
  std::filesystem::path home;
  bool fake = false;
  std::optional<std::string> dns_suffix, egress, hosts_file;
  std::uint16_t port = 0;
};

constexpr const char* usage =
    "usage: berthd [--home FOLDER] [--driver qemu|fake] [--port N] [--dns-suffix SUFFIX]\n"
    "              [--egress full|none|HOST[,HOST…]] [--hosts-file FILE|none]\n"
    "The local region: serves until SIGTERM. 'azure region start' starts it in the background.\n";

Options parse(int argc, char** argv) {
  Options options;
  const option known[] = {
      {"home", required_argument, nullptr, 'h'},   {"driver", required_argument, nullptr, 'd'},
      {"port", required_argument, nullptr, 'p'},   {"dns-suffix", required_argument, nullptr, 's'},
      {"egress", required_argument, nullptr, 'e'}, {"hosts-file", required_argument, nullptr, 'f'},
      {"help", no_argument, nullptr, '?'},         {nullptr, 0, nullptr, 0}};
  const auto wrong = [](const std::string& what) { return Error(ErrorKind::invalid, "Usage", what, usage); };
  for (int letter = 0; (letter = ::getopt_long(argc, argv, "", known, nullptr)) != -1;) switch (letter) {
      case 'h':
        options.home = optarg;
        break;
      case 'd':
        if (const std::string driver = optarg; driver != "fake" && driver != "qemu")
          throw wrong("There is no driver '" + driver + "'.");
        options.fake = std::string(optarg) == "fake";
        break;
      case 'p':
        options.port = static_cast<std::uint16_t>(std::atoi(optarg));
        break;
      case 's':
        options.dns_suffix = optarg;
        break;
      case 'e':
        options.egress = optarg;
        break;
      case 'f':
        options.hosts_file = optarg;
        break;
      default:
        throw wrong("An option is not known.");
    }
  if (optind < argc) throw wrong(std::string("'") + argv[optind] + "' is not known.");
  if (options.home.empty()) options.home = region_home();
  options.home = std::filesystem::absolute(options.home);
  return options;
}

Egress parse_egress(const std::string& text) {
  Egress egress;
  if (text == "full") return egress;
  egress.policy = text == "none" ? Egress::Policy::none : Egress::Policy::hosts;
  for (std::size_t at = 0; egress.policy == Egress::Policy::hosts && at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) egress.hosts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return egress;
}

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
  Announcement(std::filesystem::path file, nlohmann::ordered_json document)
      : file_(std::move(file)), document_(std::move(document)) {
    write();
  }
  ~Announcement() { ::unlink(file_.c_str()); }
  Announcement(const Announcement&) = delete;
  Announcement& operator=(const Announcement&) = delete;
  void set(const std::string& name, const std::string& value) {
    document_[name] = value;
    write();
  }

 private:
  void write() { write_file(file_, document_.dump(2) + "\n"); }
  std::filesystem::path file_;
  nlohmann::ordered_json document_;
};

ProcessId own_process() {
  const std::string stat = read_file("/proc/self/stat");
  // Field 22, counted behind the name in parentheses, which may hold anything.
  std::size_t at = stat.rfind(')') + 2;
  for (int field = 3; field < 22; ++field) at = stat.find(' ', at) + 1;
  return {.pid = ::getpid(), .started = std::stoull(stat.substr(at))};
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

asio::awaitable<Response> route(const Router& router, Request request) {
  bool method_mismatch = false;
  if (const Handler* handler = router.match(request, method_mismatch)) co_return co_await (*handler)(std::move(request));
  co_return ClassicEndpoints::speaks(request) ? ClassicEndpoints::no_route(request, method_mismatch)
                                              : ArmEndpoints::no_route(request, method_mismatch);
}

int serve(const Options& options) {
  make_folder(options.home);
  const auto lock = FileLock::try_take(options.home / "lock");
  if (!lock)
    throw Error(ErrorKind::conflict, "RegionRuns",
                fmt::format("A region already serves {}.", options.home.string()),
                "'azure region status' shows it.");
  log_to_file(options.home / "berthd.log");
  raise_descriptor_limit();
  spdlog::info("starting version={} home={} driver={}", BERTH_VERSION, options.home.string(),
               options.fake ? "fake" : "qemu");

  asio::io_context io(1);
  asio::thread_pool pool(2);
  Database database(options.home / "region.db");
  const RegionAccess access = load_access(options.home);
  const auto programs = executable_folder();

  std::unique_ptr<Driver> driver;
  std::unique_ptr<VirtualNetworks> networks;
  FakeGuests guests(io.get_executor());
  if (options.fake) {
    driver = std::make_unique<FakeDriver>(io.get_executor(), options.home);
    auto fake = std::make_unique<FakeVirtualNetworks>();
    fake->home = options.home;
    networks = std::move(fake);
  } else {
    driver = make_qemu_driver(io.get_executor(), options.home);
    networks = make_virtual_networks(io.get_executor(), options.home, programs / "berth-switch");
  }
  Gallery gallery(image_cache(), options.home / "images");
  ExtensionGallery extensions(programs / "extensions", options.home / "extensions");

  RegionSettings settings;
  settings.subscription = access.subscription;
  settings.tenant = access.tenant;
  settings.dns_suffix = setting(database, "dns-suffix", options.dns_suffix, "cloudapp.net");
  settings.egress = parse_egress(setting(database, "egress", options.egress, "full"));
  const std::string hosts = setting(database, "hosts-file", options.hosts_file,
                                    ::geteuid() == 0 && !options.fake ? "/etc/hosts" : "none");
  if (hosts != "none") settings.hosts_file = hosts;

  std::unique_ptr<GuestEndpoints> guest_endpoints;
  Region region({.executor = io.get_executor(),
                 .pool = pool.get_executor(),
                 .database = database,
                 .driver = *driver,
                 .networks = *networks,
                 .gallery = gallery,
                 .extensions = extensions,
                 .home = options.home,
                 .guest_endpoints =
                     [&](const std::string& vm, const std::filesystem::path& folder) {
                       if (options.fake) return;
                       guest_endpoints->set(vm, folder);
                     },
                 .vm_changed = options.fake ? [&](const Vm& vm) { guests.seen(vm); }
                                            : std::function<void(const Vm&)>()},
                settings);
  guests.plays_in(region);
  const auto guest_host = make_guest_host(region);
  guest_endpoints = std::make_unique<GuestEndpoints>(io.get_executor(), *guest_host);

  std::unique_ptr<ArmEndpoints> arm;
  std::unique_ptr<ClassicEndpoints> classic;
  Router router;
  std::unique_ptr<Server> server;
  std::optional<Announcement> announcement;
  std::exception_ptr trouble;
  asio::co_spawn(
      io,
      [&]() -> asio::awaitable<void> {
        co_await region.recover();
        arm = std::make_unique<ArmEndpoints>(region, access);
        arm->add_to(router);
        classic = std::make_unique<ClassicEndpoints>(region, access, options.home);
        classic->recover();
        classic->add_to(router);
        const ServerTls tls{.certificate_chain = access.certificate_chain,
                            .key = access.server_key,
                            .ask_client_certificate = true};
        const auto kept = static_cast<std::uint16_t>(std::atoi(setting(database, "port", {}, "0").c_str()));
        const auto answer = [&](Request request) { return route(router, std::move(request)); };
        try {
          server =
              Server::on_tcp(io.get_executor(), "127.0.0.1", options.port ? options.port : kept, tls, answer);
        } catch (const Error&) {
          if (options.port || !kept) throw;
          server = Server::on_tcp(io.get_executor(), "127.0.0.1", 0, tls,
                                  answer);  // somebody else has our old port
        }
        const std::string endpoint = fmt::format("https://127.0.0.1:{}", server->port());
        database.put("setting", "port", std::to_string(server->port()));
        const std::filesystem::path publish_settings = classic->write_publish_settings(endpoint + "/");
        announcement.emplace(options.home / "region.json",
                             nlohmann::ordered_json{{"managementEndpoint", endpoint},
                                                    {"caCertificate", access.ca_file.string()},
                                                    {"publishSettings", publish_settings.string()},
                                                    {"tenantId", access.tenant},
                                                    {"clientId", access.client_id},
                                                    {"clientSecretFile", access.client_secret_file.string()},
                                                    {"subscriptionId", access.subscription},
                                                    {"portal", ""},
                                                    {"accelerator", options.fake ? "none" : "unknown"},
                                                    {"dataDirectory", options.home.string()},
                                                    {"dnsSuffix", settings.dns_suffix},
                                                    {"version", BERTH_VERSION},
                                                    {"pid", to_string(own_process())}});
        spdlog::info("serving endpoint={}", endpoint);
        announcement->set("accelerator", std::string(to_string(co_await driver->accelerator())));
      },
      [&](std::exception_ptr e) {
        if (!e) return;
        trouble = e;
        io.stop();
      });

  asio::signal_set signals(io, SIGTERM, SIGINT);
  signals.async_wait([&](boost::system::error_code, int signal) {
    spdlog::info("stopping signal={}", signal);
    asio::co_spawn(io, region.shut_down(), [&](std::exception_ptr) { io.stop(); });
  });
  io.run();
  server.reset();
  announcement.reset();
  pool.join();
  if (trouble) std::rethrow_exception(trouble);
  spdlog::info("stopped");
  return 0;
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  try {
    return berth::serve(berth::parse(argc, argv));
  } catch (const berth::Error& error) {
    spdlog::error("cannot serve code={} message=\"{}\"", error.code, error.what());
    std::fprintf(stderr, "berthd: %s\n", error.what());
    if (!error.advice.empty()) std::fprintf(stderr, "%s\n", error.advice.c_str());
    return 1;
  } catch (const std::exception& error) {
    spdlog::error("cannot serve message=\"{}\"", error.what());
    std::fprintf(stderr, "berthd: %s\n", error.what());
    return 1;
  }
}
