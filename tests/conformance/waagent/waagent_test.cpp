#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>

#include "base/error.h"
#include "endpoints/guest/guest_endpoints.h"
#include "host/files.h"
#include "host/process.h"
#include "hypervisor/fake_driver.h"
#include "images/gallery.h"
#include "network/virtual_network.h"
#include "region/extension_gallery.h"
#include "region/region.h"
#include "store/database.h"

/// The region and its guest endpoints against the unmodified Azure Linux Agent of the distribution. No VM:
/// the agent runs in namespaces (guest.py) and believes that it is in one.
namespace berth {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

#ifdef BUNDLED_HANDLERS
constexpr const char* bundled_handlers = BUNDLED_HANDLERS;
#else
constexpr const char* bundled_handlers = "/nonexistent";
#endif

/// A region whose driver starts an agent in place of a machine.
class World {
 public:
  World(std::vector<std::string> unshare, std::string agent_code)
      : unshare_(std::move(unshare)), agent_code_(std::move(agent_code)) {
    for (const char* version : {"1.0.0", "1.1.0"})
      packages_.publish(package(version), "Contoso.Test", "Echo", version, false);
    succeed({"qemu-img", "create", "-q", "-f", "qcow2", (home_ / "tiny.qcow2").string(), "1M"});
    gallery_.import(home_ / "tiny.qcow2", "tiny", "A tiny image", [](const std::string&, double) {});
    networks_.home = home_;
    driver_.on_start = [this](const MachineSpec& machine, const std::string&) { boot(machine.id); };
    endpoints_.emplace(io_.get_executor(), region_->guests(), [](const std::string&) {});
    wait_for(region_->recover());
  }
  ~World() {
    if (guest_) end_process(*guest_, 0s);
    wait_for(region_->shut_down());
    pool_.join();
    endpoints_.reset();
    region_.reset();
    if (testing::Test::HasFailure() || std::uncaught_exceptions() > 0)
      std::cerr << read_file_if_there(home_ / "guest.log").value_or("");
    fs::remove_all(home_);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  void make_vm() {
    region_->groups().put("g", "westus", {});
    region_->networks().put(VirtualNetwork{{.group = "g", .name = "net", .location = "westus"},
                                           {"10.0.0.0/16"},
                                           {{"default", "10.0.0.0/24", {}, {}}}});
    NetworkInterface nic;
    nic.group = "g";
    nic.name = "nic";
    nic.location = "westus";
    nic.configurations.push_back({.name = "ip", .network = {"g", "net"}, .subnet = "default"});
    region_->networks().put(nic);
    VmOrder order;
    order.vm.group = "g";
    order.vm.name = "web1";
    order.vm.location = "westus";
    order.vm.size = "Standard_A1";
    order.vm.admin_user = "ops";
    order.vm.image = "tiny";
    order.vm.interfaces = {nic.ref()};
    order.password = Secret("Str0ng!pass");
    finish(region_->machines().put(order));
  }
  void set_extension(const std::string& version, const std::string& settings, const std::string& secret = "",
                     const std::string& state = "enabled") {
    ExtensionOrder order{.name = "echo", .publisher = "Contoso.Test", .type = "Echo", .version = version};
    order.auto_upgrade = false;
    order.settings = settings;
    order.protected_settings = Secret(secret);
    order.has_protected_settings = !secret.empty();
    order.state = state;
    finish(region_->extensions().put(vm_, order));
  }
  void run_script(const std::string& settings, const std::string& secret = "") {
    ExtensionOrder order{.name = "script",
                         .publisher = "Microsoft.Azure.Extensions",
                         .type = "CustomScript",
                         .version = "2.0"};
    order.settings = settings;
    order.protected_settings = Secret(secret);
    order.has_protected_settings = true;
    finish(region_->extensions().put(vm_, order));
  }
  /// What the run command action ends with.
  std::string run_command(const std::string& secret) {
    const Accepted accepted = region_->extensions().run_command(vm_, Secret(secret));
    finish(accepted);
    return region_->operations().find(accepted.operation)->output;
  }
  void delete_extension(bool force = false) {
    const Accepted accepted = region_->extensions().remove(vm_, "echo", force);
    if (!force) finish(accepted);
  }
  /// Publishes another program as a version that is there; returns when the VM has it.
  void replace(const std::string& version, const std::string& remark) {
    for (const ExtensionMove& move :
         region_->extensions().publish(package(version, remark), "Contoso.Test", "Echo", version, true))
      wait_for(region_->operations().finish(move.operation));
  }
  /// Returns when the agent has processed the newest goal state.
  void settle() {
    wait_for([](Region& region, Ref vm) -> asio::awaitable<void> {
      asio::steady_timer timer(co_await asio::this_coro::executor);
      while (region.machines().get(vm).agent->incarnation !=
             std::to_string(region.machines().get(vm).incarnation)) {
        timer.expires_after(100ms);
        co_await timer.async_wait(asio::use_awaitable);
      }
    }(*region_, vm_));
  }

  const AgentStatus& agent() const { return region_->machines().get(vm_).agent.value(); }
  /// What the handler said last.
  std::string said() const {
    const HandlerStatus& handler = agent().handlers.at(0);
    return handler.settings ? handler.settings->message : handler.message;
  }
  /// The handler's commands since the last call, each with the folder it ran in.
  std::vector<std::string> commands() {
    std::ifstream log(sockets_ / "guest" / "commands");
    std::vector<std::string> all;
    for (std::string line; std::getline(log, line);) all.push_back(line);
    const auto news = all.begin() + static_cast<std::ptrdiff_t>(std::exchange(seen_, all.size()));
    return {news, all.end()};
  }
  bool exists_in_guest(const std::string& file) const { return fs::exists(sockets_ / "guest" / file); }
  /// From now on that command of the handler fails.
  void make_fail(const std::string& command) {
    std::ofstream(sockets_ / "guest" / ("fail-" + command)) << "";
  }

 private:
  static fs::path make_home() {
    std::string pattern = (fs::temp_directory_path() / "berth-agent-XXXXXX").string();
    return ::mkdtemp(pattern.data());
  }
  static void succeed(const std::vector<std::string>& argv) {
    const RunResult result = run(argv);
    if (result.exit_code != 0) throw std::runtime_error(argv[0] + ": " + result.err);
  }

  /// The handler of this folder as a zip; another one with another `remark`.
  fs::path package(const std::string& version, const std::string& remark = "") {
    const fs::path folder = home_ / ("package-" + version + remark);
    fs::create_directories(folder / "bin");
    fs::copy_file(WAAGENT_TEST_FOLDER "/handler.py", folder / "bin" / "handler.py");
    std::ofstream(folder / "bin" / "handler.py", std::ios::app) << "# " << remark << "\n";
    std::string manifest =
        R"([{"version":1.0,"handlerManifest":{"rebootAfterInstall":false,"reportHeartbeat":false,"updateMode":"UpdateWithoutInstall")";
    for (const std::string name : {"install", "enable", "update", "disable", "uninstall"})
      manifest += ",\"" + name + "Command\":\"bin/handler.py " + name + "\"";
    std::ofstream(folder / "HandlerManifest.json") << manifest << "}}]";
    const std::string zip = home_ / (version + remark + ".zip");
    succeed({"python3", "-m", "zipfile", "-c", zip, folder / "bin", folder / "HandlerManifest.json"});
    return zip;
  }

  void boot(const std::string& id) {
    std::vector<std::string> argv = unshare_;
    argv.insert(argv.end(),
                {"/usr/bin/python3", WAAGENT_TEST_FOLDER "/guest.py", sockets_.string(), id, agent_code_});
    guest_ = spawn_detached(argv, {.log = home_ / "guest.log"});
  }

  template <class T>
  T wait_for(asio::awaitable<T> work) {
    std::future<T> future = asio::co_spawn(io_, std::move(work), asio::use_future);
    const auto until = std::chrono::steady_clock::now() + 120s;
    while (future.wait_for(0s) != std::future_status::ready) {
      if (std::chrono::steady_clock::now() > until)
        throw std::runtime_error("no answer of the agent in 120 s");
      if (io_.stopped()) io_.restart();
      io_.run_one_for(100ms);
    }
    return future.get();
  }
  void finish(const Accepted& accepted) { wait_for(region_->operations().finish(accepted.operation)); }

  const Ref vm_{"g", "web1"};
  std::vector<std::string> unshare_;
  std::string agent_code_;
  fs::path home_ = make_home();
  fs::path sockets_;
  std::size_t seen_ = 0;
  std::optional<ProcessId> guest_;
  asio::io_context io_{1};
  asio::thread_pool pool_{1};
  Database database_{home_ / "region.db"};
  FakeDriver driver_{io_.get_executor(), home_};
  FakeVirtualNetworks networks_;
  Gallery gallery_{home_ / "cache", home_ / "images"};
  ExtensionGallery packages_{bundled_handlers, home_ / "extensions"};
  std::unique_ptr<Region> region_ = std::make_unique<Region>(
      Region::Services{.executor = io_.get_executor(),
                       .pool = pool_.get_executor(),
                       .builds = pool_.get_executor(),
                       .database = database_,
                       .driver = driver_,
                       .networks = networks_,
                       .gallery = gallery_,
                       .extensions = packages_,
                       .home = home_,
                       .guest_endpoints =
                           [this](const std::string& id, const fs::path& folder) {
                             if (!folder.empty()) sockets_ = folder;
                             endpoints_->set(id, folder);
                           },
                       .vm_changed = {}},
      RegionSettings{.subscription = "5b9e8a42-0000-4000-8000-000000000001", .tenant = "t"});
  std::optional<GuestEndpoints> endpoints_;
};

std::string failure(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.code + ": " + error.what();
  }
  return "";
}

}  // namespace

/// A region with one machine, in whose place the agent runs.
class Waagent : public testing::Test {
 protected:
  void SetUp() override {
    const RunResult fetched = run({WAAGENT_TEST_FOLDER "/fetch-agent", WAAGENT_CACHE});
    ASSERT_EQ(fetched.exit_code, 0) << "apt cannot fetch the package waagent: " << fetched.err;
    std::vector<std::string> unshare{"unshare"};
    if (::geteuid() != 0) unshare.push_back("--map-root-user");
    unshare.insert(unshare.end(), {"--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"});
    std::vector<std::string> trial = unshare;
    trial.push_back("true");
    const RunResult tried = run(trial);
    ASSERT_EQ(tried.exit_code, 0)
        << "The agent runs in namespaces of its own, and this machine lets us make none ("
        << tried.err.substr(0, tried.err.find('\n'))
        << "). Nothing was tested. Let ordinary users make them (sysctl kernel.unprivileged_userns_clone=1), "
           "or "
           "give this container CAP_SYS_ADMIN; images could not be built here either.";
    world_.emplace(unshare, fetched.out.substr(0, fetched.out.find('\n')));
    world_->make_vm();
  }
  std::optional<World> world_;
};

TEST_F(Waagent, AnExtensionLivesItsWholeLife) {
  World& world = *world_;
  EXPECT_EQ(world.agent().status, "Ready");
  EXPECT_THAT(world.agent().handlers, IsEmpty());

  // Install, with settings of both kinds.
  world.set_extension("1.0", R"({"text": "a<&>\"é"})", R"({"key": "s3same"})");
  EXPECT_EQ(world.said(), R"([{"text": "a<&>\"\u00e9"}, {"key": "s3same"}])");
  EXPECT_THAT(world.commands(),
              ElementsAre("install Contoso.Test.Echo-1.0.0", "enable Contoso.Test.Echo-1.0.0"));

  // New settings. The agent keeps the certificate it fetched before.
  world.set_extension("1.0", R"({"text": "b"})", R"({"key": "another"})");
  EXPECT_EQ(world.said(), R"([{"text": "b"}, {"key": "another"}])");
  EXPECT_THAT(world.commands(), ElementsAre("enable Contoso.Test.Echo-1.0.0"));

  // The handler reports an error; its command fails.
  EXPECT_THAT(failure([&] { world.set_extension("1.0", R"({"status": "error"})"); }),
              HasSubstr("VMExtensionProvisioningError"));
  EXPECT_THAT(failure([&] { world.set_extension("1.0", R"({"fail": true})"); }), HasSubstr("no such thing"));
  world.commands();

  // A newer version takes over.
  world.set_extension("1.1", R"({"text": "c"})");
  EXPECT_THAT(world.said(), HasSubstr("\"c\""));
  EXPECT_EQ(world.agent().handlers.at(0).version, "1.1.0");
  EXPECT_THAT(world.commands(),
              ElementsAre("disable Contoso.Test.Echo-1.0.0", "update Contoso.Test.Echo-1.1.0",
                          "uninstall Contoso.Test.Echo-1.0.0", "enable Contoso.Test.Echo-1.1.0"));

  // Off, on, away.
  world.set_extension("1.1", "", "", "disabled");
  EXPECT_THAT(world.commands(), ElementsAre("disable Contoso.Test.Echo-1.1.0"));
  world.set_extension("1.1", "");
  EXPECT_THAT(world.said(), HasSubstr("[{}, "));
  EXPECT_THAT(world.commands(), ElementsAre("enable Contoso.Test.Echo-1.1.0"));
  EXPECT_TRUE(world.exists_in_guest("Contoso.Test.Echo-1.1.0"));

  // Published again with other contents: the agent fetches them, for they are a new revision to it.
  world.replace("1.1.0", "second");
  EXPECT_EQ(world.agent().handlers.at(0).version, "1.1.0.1");
  EXPECT_THAT(world.said(), HasSubstr("[{}, "));
  EXPECT_THAT(world.commands(),
              ElementsAre("disable Contoso.Test.Echo-1.1.0", "update Contoso.Test.Echo-1.1.0.1",
                          "uninstall Contoso.Test.Echo-1.1.0", "enable Contoso.Test.Echo-1.1.0.1"));
  world.delete_extension();
  EXPECT_THAT(world.commands(),
              ElementsAre("disable Contoso.Test.Echo-1.1.0.1", "uninstall Contoso.Test.Echo-1.1.0.1"));
  EXPECT_THAT(world.agent().handlers, IsEmpty());
  EXPECT_FALSE(world.exists_in_guest("Contoso.Test.Echo-1.1.0.1"));

  // One that will not leave, for its disable command fails: it stays, and says why; then it is made to go.
  world.set_extension("1.0.0", "");
  world.make_fail("disable");
  EXPECT_THAT(failure([&] { world.delete_extension(); }), HasSubstr("disable will not"));
  EXPECT_TRUE(world.exists_in_guest("Contoso.Test.Echo-1.0.0"));
  world.commands();
  world.delete_extension(true);
  world.settle();
  EXPECT_THAT(world.commands(), IsEmpty());
  EXPECT_THAT(world.agent().handlers, IsEmpty());
  EXPECT_FALSE(world.exists_in_guest("Contoso.Test.Echo-1.0.0"));
}

#ifdef BUNDLED_HANDLERS
TEST_F(Waagent, CommandsRunByItAndTellWhatTheySaid) {
  World& world = *world_;
  world.run_script(R"({"commandToExecute": "echo hello from $PWD; echo err >&2"})");
  EXPECT_EQ(world.said(),
            "Enable succeeded: \n[stdout]\nhello from "
            "/var/lib/waagent/custom-script/download/0\n\n[stderr]\nerr\n");
  EXPECT_EQ(world.agent().handlers.at(0).version, "2.1.10");
  EXPECT_THAT(failure([&] { world.run_script("{}", R"({"commandToExecute": "echo hunter22; exit 3"})"); }),
              AllOf(HasSubstr("exit status=3"), HasSubstr("hunter22")));

  // "echo $1 $arg1; exit 5"
  const std::string order =
      R"({"script": "ZWNobyAkMSAkYXJnMTsgZXhpdCA1", "parameters": [{"name": "arg1", "value": "a"}]})";
  EXPECT_EQ(world.run_command(order), "Enable succeeded: \n[stdout]\na a\n\n[stderr]\n");
  EXPECT_EQ(world.run_command(order), "Enable succeeded: \n[stdout]\na a\n\n[stderr]\n");
  EXPECT_TRUE(world.exists_in_guest("run-command/download/1/stdout"));
}
#endif

}  // namespace berth
