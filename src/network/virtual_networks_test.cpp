#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <boost/asio.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "host/files.h"
#include "host/harden.h"
#include "host/process.h"
#include "host/temporary_folder.h"
#include "network/sandbox.h"
#include "network/switch_files.h"
#include "network/test_machine.h"
#include "network/virtual_network.h"

namespace berth {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace network;
using nlohmann::json;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::IsEmpty;

/// Networks whose switches are processes of this very program (see main below).
class VirtualNetworksTest : public testing::Test {
 protected:
  ~VirtualNetworksTest() override {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(home_ / "net", none)) {
      if (const auto keeper = keeper_of(entry.path().filename())) end_process(*keeper, 0ms);
      if (const auto process = process_of(entry.path().filename())) end_process(*process, 0ms);
    }
  }

  template <class T>
  T run(asio::awaitable<T> work) {
    auto future = asio::co_spawn(context_, std::move(work), asio::use_future);
    context_.restart();
    context_.run();
    return future.get();
  }
  template <class T>
  std::optional<Error> trouble_of(asio::awaitable<T> work) {
    try {
      run(std::move(work));
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }

  static std::optional<ProcessId> running(const fs::path& file) {
    const auto process = parse_process_id(read_file_if_there(file).value_or(""));
    return process && is_alive(*process) ? process : std::nullopt;
  }
  std::optional<ProcessId> process_of(const std::string& id) const {
    return running(SwitchFiles(home_ / "net" / id).process());
  }
  std::optional<ProcessId> keeper_of(const std::string& id) const {
    return running(SwitchFiles(home_ / "net" / id).keeper());
  }
  /// A port of this process alone: tests run side by side.
  static Forward forward_to_ssh() {
    return {Forward::Protocol::tcp,
            fmt::format("127.77.{}.{}", ::getpid() >> 8 & 255, ::getpid() & 255),
            18'022,
            22,
            {}};
  }
  /// Another switch than `before`, without anybody healing; nullopt when none comes.
  std::optional<ProcessId> process_after(const ProcessId& before) const {
    const auto deadline = std::chrono::steady_clock::now() + test_limit;
    while (std::chrono::steady_clock::now() < deadline) {
      if (const auto now = process_of(id_); now && now != before) return now;
      std::this_thread::sleep_for(5ms);
    }
    return std::nullopt;
  }
  json ask(const json& request) {
    asio::local::stream_protocol::socket client(context_);
    client.connect(
        asio::local::stream_protocol::endpoint(SwitchFiles(networks_->folder(id_)).control().string()));
    std::string text = request.dump() + '\n';
    asio::write(client, asio::buffer(text));
    text.clear();
    asio::read_until(client, asio::dynamic_buffer(text), '\n');
    return json::parse(text);
  }

  SwitchPort port(unsigned n) const {
    const fs::path folder = networks_->folder(id_);
    SwitchPort port;
    port.id = fmt::format("{:012x}", n);
    port.mac = fmt::format("00:0d:3a:00:00:{:02x}", n);
    port.address = fmt::format("10.0.0.{}", 3 + n);
    port.host_name = fmt::format("vm{}", n);
    port.machine_socket = folder / (port.id + ".sock");
    return port;
  }
  DhcpLease lease(unsigned n) const {
    return {*parse_mac(port(n).mac), ipv4(10, 0, 0, 3 + n), "", {*parse_cidr("10.0.0.0/16")}};
  }
  std::unique_ptr<TestMachine> machine(unsigned n) const {
    make_folder(networks_->folder(id_));
    return std::make_unique<TestMachine>(port(n).machine_socket, lease(n),
                                         [] { std::this_thread::sleep_for(2ms); });
  }

  /// Waits until the switch knows that somebody listens in the machine.
  asio::ip::tcp::socket connect_when_open(TestMachine& guest, const Forward& forward) {
    const asio::ip::tcp::endpoint port(asio::ip::make_address(forward.host_address), forward.host_port);
    asio::ip::tcp::socket client(context_);
    boost::system::error_code refused = asio::error::connection_refused;
    for (const auto end = std::chrono::steady_clock::now() + test_limit;
         refused && std::chrono::steady_clock::now() < end; guest.receive_any(1ms)) {
      client.close();
      client.connect(port, refused);
    }
    EXPECT_FALSE(refused) << refused.message();
    return client;
  }

  const std::string id_ = "0a1b2c3d4e5f";
  TemporaryFolder home_;
  asio::io_context context_;
  std::unique_ptr<VirtualNetworks> networks_ =
      make_virtual_networks(context_.get_executor(), home_.path(), fs::read_symlink("/proc/self/exe"));
};

TEST_F(VirtualNetworksTest, ApplyStartsASwitchOnceAndKeepsTheConfiguration) {
  SwitchConfig config{.egress = {}, .ports = {port(1)}};
  const SwitchReport first = run(networks_->apply(id_, config));
  EXPECT_THAT(first.refused, IsEmpty());
  EXPECT_FALSE(first.connected.at(port(1).id));
  const auto process = process_of(id_);
  ASSERT_TRUE(process);

  config.ports.push_back(port(2));
  const SwitchReport second = run(networks_->apply(id_, config));
  EXPECT_EQ(second.connected.size(), 2u);
  EXPECT_EQ(process_of(id_), process);
  EXPECT_THAT(read_file(SwitchFiles(networks_->folder(id_)).configuration()), HasSubstr(port(2).mac));
}

TEST_F(VirtualNetworksTest, ItsFilesAreForThisUserOnly) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const SwitchFiles files(networks_->folder(id_));
  for (const fs::path& file : {files.control(), files.configuration(), files.log(), files.process(),
                               files.keeper(), files.lock(), files.keeper_lock()}) {
    struct stat status {};
    ASSERT_EQ(::stat(file.c_str(), &status), 0) << file;
    EXPECT_EQ(status.st_mode & 0777, 0600u) << file;
  }
  struct stat status {};
  ::stat(files.inner().c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(VirtualNetworksTest, ASwitchThatWasKilledIsHealedAndFindsItsMachines) {
  const auto first = machine(1), second = machine(2);
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1), port(2)}}));
  first->connect();
  second->connect();
  EXPECT_EQ(first->lease(), lease(1).address);
  const auto killed = process_of(id_);
  ASSERT_TRUE(killed);
  end_process(*killed, 0ms);

  run(networks_->heal());

  const auto healed = process_of(id_);
  ASSERT_TRUE(healed);
  EXPECT_NE(healed, killed);
  for (TestMachine* machine : {first.get(), second.get()}) {
    machine->disconnect();
    machine->connect();
  }
  EXPECT_EQ(first->lease(), lease(1).address);
  first->send(udp_frames(first->self(1), second->self(2), Bytes{'x'}).front());
  EXPECT_TRUE(second->receive([](const Ipv4Packet& p) { return p.destination_port == 2; }));
}

TEST_F(VirtualNetworksTest, HealLeavesASwitchThatRunsAlone) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = process_of(id_), keeper = keeper_of(id_);
  run(networks_->heal());
  EXPECT_EQ(process_of(id_), process);
  EXPECT_EQ(keeper_of(id_), keeper);
  EXPECT_FALSE(networks_->deaths(id_));
}

TEST_F(VirtualNetworksTest, ASwitchThatWasKilledComesBackWithoutARegion) {
  SwitchConfig config{.egress = {Egress::Policy::none, {}}, .ports = {port(1)}};
  const Forward forward = forward_to_ssh();
  config.ports[0].forwards = {forward};
  ASSERT_THAT(run(networks_->apply(id_, config)).refused, IsEmpty());
  networks_.reset();  // nobody is there who could heal
  asio::local::stream_protocol::endpoint control(SwitchFiles(home_ / "net" / id_).control().string());
  for (int round = 0; round < 2; ++round) {
    const auto killed = process_of(id_);
    ASSERT_TRUE(killed);
    send_signal(*killed, round == 0 ? SIGKILL : SIGTERM);
    ASSERT_TRUE(process_after(*killed)) << round;
  }
  networks_ = make_virtual_networks(context_.get_executor(), home_.path(), "/nonexistent");
  run(networks_->heal());  // waits until it serves
  const json status = ask({{"status", json::object()}})["status"];
  EXPECT_THAT(status["report"]["refused"], IsEmpty()) << "the port is open again";
  EXPECT_TRUE(status["ports"].contains(port(1).id));
  const auto guest = machine(1);
  guest->connect();
  guest->listen(22);
  connect_when_open(*guest, forward);
}

TEST_F(VirtualNetworksTest, ADeathIsToldWithItsCause) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto killed = process_of(id_);
  // Not one that a sanitizer takes for itself.
  send_signal(*killed, SIGABRT);
  ASSERT_TRUE(process_after(*killed));
  run(networks_->heal());
  const auto deaths = networks_->deaths(id_);
  ASSERT_TRUE(deaths);
  EXPECT_EQ(deaths->count, 1u);
  EXPECT_THAT(deaths->why, HasSubstr("signal 6"));
  EXPECT_THAT(deaths->at, HasSubstr("T"));
  EXPECT_THAT(read_file(SwitchFiles(networks_->folder(id_)).log()), HasSubstr("signal 6"));
}

TEST_F(VirtualNetworksTest, TheDeathOfASwitchIsAResetAtBothEndsOfAConnection) {
  const auto guest = machine(1);
  SwitchConfig config{.egress = {}, .ports = {port(1)}};
  const Forward forward = forward_to_ssh();
  config.ports[0].forwards = {forward};
  ASSERT_THAT(run(networks_->apply(id_, config)).refused, IsEmpty());
  guest->connect();
  guest->listen(22);
  auto client = connect_when_open(*guest, forward);
  auto served = TestTcp::accept(*guest, 22);
  ASSERT_TRUE(served);
  served->send("hello");
  char bytes[16];
  ASSERT_EQ(asio::read(client, asio::buffer(bytes, 5)), 5u);

  end_process(*process_of(id_), 0ms);
  boost::system::error_code end;
  client.read_some(asio::buffer(bytes), end);
  EXPECT_EQ(end, asio::error::connection_reset) << "not an end that the guest never sent";

  run(networks_->heal());
  guest->disconnect();
  guest->connect();
  served->send("are you there?");
  served->read_all();
  EXPECT_TRUE(served->was_reset());
}

TEST_F(VirtualNetworksTest, AKeeperThatWasKilledLosesNothingAndIsReplaced) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = process_of(id_), keeper = keeper_of(id_);
  ASSERT_TRUE(keeper);
  send_signal(*keeper, SIGKILL);
  while (is_alive(*keeper)) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(ask({{"status", json::object()}}).count("status"), 1u) << "it serves on";

  run(networks_->heal());
  EXPECT_EQ(process_of(id_), process) << "taken up, not started twice";
  ASSERT_TRUE(keeper_of(id_));
  EXPECT_NE(keeper_of(id_), keeper);

  send_signal(*process, SIGKILL);  // and the new keeper does its work
  EXPECT_TRUE(process_after(*process));
}

TEST_F(VirtualNetworksTest, AKeeperThatWasKilledWithItsSwitchIsReplaced) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = process_of(id_), keeper = keeper_of(id_);
  send_signal(*keeper, SIGKILL);
  send_signal(*process, SIGKILL);
  run(networks_->heal());
  ASSERT_TRUE(process_of(id_));
  EXPECT_NE(process_of(id_), process);
  ASSERT_TRUE(keeper_of(id_));
  EXPECT_NE(keeper_of(id_), keeper);
}

TEST_F(VirtualNetworksTest, RemoveLeavesNoKeeper) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = *process_of(id_), keeper = *keeper_of(id_);
  run(networks_->remove(id_));
  EXPECT_FALSE(is_alive(keeper));
  EXPECT_FALSE(is_alive(process));
}

TEST_F(VirtualNetworksTest, ASwitchThatDiesAgainAndAgainIsStartedMoreAndMoreSeldom) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto began = std::chrono::steady_clock::now();
  for (int round = 0; round < 4; ++round) {
    const auto process = *process_of(id_);
    send_signal(process, SIGKILL);
    ASSERT_TRUE(process_after(process));
  }
  EXPECT_GE(std::chrono::steady_clock::now() - began, 100ms + 200ms + 400ms + 800ms);
}

/// "Uid:\t60706\t…" of /proc/PID/status, by its name.
std::string status_of(const ProcessId& process, const std::string& name) {
  std::ifstream file(fmt::format("/proc/{}/status", process.pid));
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return line.substr(name.size() + 2);
  return {};
}

TEST_F(VirtualNetworksTest, TheSwitchIsInASandboxOfItsOwnAccount) {
  const auto first = machine(1);
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = *process_of(id_);
  EXPECT_EQ(status_of(process, "Seccomp"), "2");
  EXPECT_EQ(status_of(process, "NoNewPrivs"), "1");
  if (::geteuid() == 0) {
    EXPECT_FALSE(status_of(process, "Uid").starts_with("0\t"));
    EXPECT_EQ(status_of(process, "Uid"), status_of(process, "Gid"));
    EXPECT_EQ(status_of(process, "CapPrm"), "0000000000000400") << "ports below 1024";
    EXPECT_EQ(status_of(process, "Groups").find_first_not_of(' '), std::string::npos);
  }
  first->connect();
  EXPECT_EQ(first->lease(), lease(1).address) << "it reaches the machine's socket nevertheless";
}

TEST_F(VirtualNetworksTest, AnotherControllerFindsTheSwitchOfAnEarlierOne) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = process_of(id_);
  networks_ = make_virtual_networks(context_.get_executor(), home_.path(), "/nonexistent");
  const SwitchReport report = run(networks_->apply(id_, {.egress = {}, .ports = {}}));
  EXPECT_THAT(report.connected, IsEmpty());
  EXPECT_EQ(process_of(id_), process);
}

TEST_F(VirtualNetworksTest, RemoveEndsTheSwitchAndItsFolderAndMayBeRepeated) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = *process_of(id_);
  run(networks_->remove(id_));
  EXPECT_FALSE(is_alive(process));
  EXPECT_FALSE(fs::exists(networks_->folder(id_)));
  run(networks_->remove(id_));
  run(networks_->heal());
  EXPECT_FALSE(fs::exists(networks_->folder(id_))) << "nothing comes back";
}

TEST_F(VirtualNetworksTest, KeepRemovesWhatNobodyKnowsAnyMore) {
  const std::string other = "fedcba987654";
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  run(networks_->apply(other, {.egress = {}, .ports = {}}));
  const auto kept = *process_of(id_), left = *process_of(other);
  run(networks_->keep({id_, "000000000000"}));
  EXPECT_TRUE(is_alive(kept));
  EXPECT_FALSE(is_alive(left));
  EXPECT_FALSE(fs::exists(networks_->folder(other)));
}

TEST_F(VirtualNetworksTest, RemoveEndsASwitchThatHangs) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = *process_of(id_);
  send_signal(process, SIGSTOP);
  run(networks_->remove(id_));
  EXPECT_FALSE(is_alive(process));
  EXPECT_FALSE(fs::exists(networks_->folder(id_)));
}

TEST_F(VirtualNetworksTest, AppliesAtTheSameTimeTakePlaceInTheirOrder) {
  std::vector<std::future<SwitchReport>> reports;
  for (unsigned n = 1; n <= 5; ++n) {
    SwitchConfig config;
    for (unsigned i = 1; i <= n; ++i) config.ports.push_back(port(i));
    reports.push_back(asio::co_spawn(context_, networks_->apply(id_, config), asio::use_future));
  }
  context_.run();
  for (std::size_t n = 0; n < reports.size(); ++n) EXPECT_EQ(reports[n].get().connected.size(), n + 1);
  EXPECT_THAT(read_file(SwitchFiles(networks_->folder(id_)).configuration()), HasSubstr(port(5).mac));
}

TEST_F(VirtualNetworksTest, ASwitchThatDoesNotComeUpIsExplainedByItsLog) {
  networks_ = make_virtual_networks(context_.get_executor(), home_.path(), "/bin/false");
  auto trouble = trouble_of(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->kind, ErrorKind::unavailable);
  EXPECT_THAT(trouble->what(), HasSubstr("ended at its start"));

  networks_ = make_virtual_networks(context_.get_executor(), home_.path(), "/bin/ls");
  trouble = trouble_of(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  ASSERT_TRUE(trouble);
  EXPECT_THAT(trouble->what(), HasSubstr("switch.json")) << "what it printed";
}

TEST_F(VirtualNetworksTest, AWrongConfigurationStartsNothing) {
  const auto trouble =
      trouble_of(networks_->apply(id_, {.subnet = "10.0.0.0/40", .egress = {}, .ports = {}}));
  ASSERT_TRUE(trouble);
  EXPECT_EQ(trouble->kind, ErrorKind::invalid);
  EXPECT_FALSE(fs::exists(networks_->folder(id_)));
  EXPECT_EQ(trouble_of(networks_->apply("../up", {}))->kind, ErrorKind::invalid);
}

TEST_F(VirtualNetworksTest, OnlyOneSwitchServesAFolder) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const RunResult second = berth::run({fs::read_symlink("/proc/self/exe"), networks_->folder(id_)});
  EXPECT_NE(second.exit_code, 0);
  EXPECT_THAT(second.err, HasSubstr("already"));
  EXPECT_TRUE(process_of(id_));
}

TEST_F(VirtualNetworksTest, NonsenseOnTheControlSocketIsAnsweredAndHarmless) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  asio::local::stream_protocol::socket client(context_);
  client.connect(
      asio::local::stream_protocol::endpoint(SwitchFiles(networks_->folder(id_)).control().string()));
  const std::string lines =
      "nonsense\n{}\n[1]\n{\"apply\":{\"subnet\":7}}\n{\"apply\":null}\n{\"status\":{}}\n";
  asio::write(client, asio::buffer(lines));
  std::string answers;
  for (int line = 0; line < 6; ++line) {
    const std::size_t end = asio::read_until(client, asio::dynamic_buffer(answers), '\n');
    EXPECT_THAT(answers.substr(0, end), HasSubstr(line < 5 ? "\"error\"" : "\"status\"")) << line;
    answers.erase(0, end);
  }
}

TEST_F(VirtualNetworksTest, ASwitchWhoseFolderIsGoneEndsByItself) {
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));
  const auto process = *process_of(id_);
  fs::remove_all(networks_->folder(id_));
  const auto deadline = std::chrono::steady_clock::now() + test_limit;
  while (is_alive(process) && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(20ms);
  EXPECT_FALSE(is_alive(process));
}

/// A real QEMU between the switch and a test machine: no guest, but both its ends are -netdev stream, joined
/// by a hub.
class Qemu {
 public:
  Qemu(const std::string& program, const fs::path& to_switch, const fs::path& to_machine) {
    const auto end = [](const char* id, const fs::path& socket) {
      return fmt::format("stream,id={},server=on,addr.type=unix,addr.path={}", id, socket.string());
    };
    process_ =
        spawn_detached({program, "-machine", "none", "-nodefaults", "-display", "none", "-no-user-config",
                        "-netdev", end("a", to_switch), "-netdev", "hubport,id=ha,hubid=0,netdev=a",
                        "-netdev", end("b", to_machine), "-netdev", "hubport,id=hb,hubid=0,netdev=b"},
                       {.folder = "/", .log = {}, .environment = {}, .inherit = {}});
  }
  Qemu(const Qemu&) = delete;
  Qemu& operator=(const Qemu&) = delete;
  ~Qemu() { end_process(process_, 0ms); }

 private:
  ProcessId process_;
};

TEST_F(VirtualNetworksTest, ARunningQemuIsFoundAgainByASwitchThatWasKilled) {
  const auto program = find_program("qemu-system-x86_64");
  ASSERT_TRUE(program) << "QEMU is missing: scripts/setup installs it.";
  make_folder(networks_->folder(id_));
  const fs::path far_end = networks_->folder(id_) / "far.sock";
  const Qemu qemu(*program, port(1).machine_socket, far_end);
  run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}}));

  // The far end connects to QEMU as the switch does; a second switch would do, a machine of ours is simpler.
  const auto connected = [&] {
    return run(networks_->apply(id_, {.egress = {}, .ports = {port(1)}})).connected.at(port(1).id);
  };
  const auto wait_for_connection = [&] {
    const auto deadline = std::chrono::steady_clock::now() + test_limit;
    while (!connected() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(10ms);
    return connected();
  };
  ASSERT_TRUE(wait_for_connection());
  TestMachine machine(
      far_end, lease(1), [] { std::this_thread::sleep_for(2ms); }, TestMachine::Side::connects);
  machine.connect();
  EXPECT_EQ(machine.lease(), lease(1).address);

  for (int round = 0; round < 3; ++round) {
    end_process(*process_of(id_), 0ms);
    run(networks_->heal());
    ASSERT_TRUE(wait_for_connection());
    EXPECT_EQ(machine.lease(), lease(1).address) << "round " << round;
  }
}

TEST(FakeVirtualNetworks, KeepsConfigurationsAndRefusesTakenPorts) {
  asio::io_context context;
  FakeVirtualNetworks fake;
  fake.taken = {22};
  SwitchConfig config;
  config.ports.push_back(
      {.id = "a",
       .mac = {},
       .address = {},
       .host_name = {},
       .machine_socket = {},
       .wire_server = {},
       .host_plugin = {},
       .metadata = {},
       .forwards = {{.host_port = 22, .sources = {}}, {.host_port = 4243, .sources = {}}}});
  auto report = asio::co_spawn(context, fake.apply("net", config), asio::use_future);
  context.run();
  const auto refused = report.get().refused;
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].forward.host_port, 22);
  EXPECT_EQ(fake.networks.at("net"), config);
  context.restart();
  asio::co_spawn(context, fake.remove("net"), asio::detached);
  context.run();
  EXPECT_THAT(fake.networks, IsEmpty());
}

}  // namespace
}  // namespace berth

/// With one argument that is a folder this program is a switch: what VirtualNetworksTest starts.
int main(int argc, char** argv) {
  if (argc == 2 && std::filesystem::is_directory(argv[1])) {
    berth::harden_process();
    return berth::run_switch(argv[1]);
  }
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
