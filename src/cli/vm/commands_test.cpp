#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/docker/context.h"
#include "cli/fake_region.h"
#include "host/files.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

/// A region with one host, web1.
class VmCommands : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(
        run_program({"vm", "docker", "create", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"})
            .exit_code,
        0);
    region.on_request = [this](const Request& request) -> std::optional<Response> {
      if (request.path.starts_with("/adfs")) return std::nullopt;
      if (request.method == "POST" || request.path.find("/osImages/") != std::string::npos) {
        bodies[request.method + " " + request.path.substr(request.path.rfind('/') + 1)] = request.body;
        return Response{.status = 200, .headers = {}, .body = "{}"};
      }
      return std::nullopt;
    };
  }
  FakeRegion region;
  std::map<std::string, std::string> bodies;  ///< "METHOD last-part-of-the-path" -> body
};

const std::string vm = "/resourcegroups/web1/providers/Microsoft.Compute/virtualMachines/web1";

}  // namespace

TEST_F(VmCommands, StartRestartAndShutdownAskForWhatTheyAreCalled) {
  for (const auto& [command, verb] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"vm", "start", "web1"}, "start"},
           {{"vm", "restart", "web1"}, "restart"},
           {{"vm", "docker", "sleep", "web1"}, "deallocate"},
           {{"vm", "docker", "wake", "web1"}, "start"},
           {{"vm", "shutdown", "web1"}, "deallocate"},
           {{"vm", "shutdown", "web1", "-p"}, "powerOff"}}) {
    const Ran ran = run_program(command);
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    EXPECT_THAT(region.requests(), Contains("POST " + vm + "/" + verb));
    EXPECT_THAT(ran.out, HasSubstr("web1 ("));
  }
  EXPECT_EQ(run_program({"vm", "start", "nobody"}).exit_code, 4);
}

TEST_F(VmCommands, EveryStartTellsOfMovedPortsAndLeadsTheDockerContextThere) {
  const DockerContexts contexts(region.docker());
  for (const char* command : {"start", "restart"}) {
    ASSERT_THAT(contexts.lead("web1", "sub-1", "tcp://127.0.0.1:4243"), Contains("web1"));
    const Ran ran = run_program({"vm", command, "web1"});
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("Port 4243 of 127.0.0.1 is open as port ")) << command;
    EXPECT_THAT(ran.out, HasSubstr("Docker context 'web1' leads to tcp://127.0.0.1:")) << command;
    EXPECT_THAT(run_program({"vm", command, "web1"}).out, Not(HasSubstr("leads to"))) << "it does already";
  }
  EXPECT_THAT(run_program({"vm", "shutdown", "web1"}).out, Not(HasSubstr("is open as port")));
}

TEST_F(VmCommands, AllOfThemStartOrShutDownByOneCommand) {
  EXPECT_THAT(run_program({"vm", "start", "--all"}).out, HasSubstr("info:    Every virtual machine runs\n"));
  EXPECT_THAT(region.requests(), Not(Contains("POST " + vm + "/start")));
  const Ran ran = run_program({"vm", "shutdown", "--all", "--json"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(region.requests(), Contains("POST " + vm + "/deallocate"));
  EXPECT_EQ(json::parse(ran.out)[0]["name"], "web1");
  EXPECT_EQ(run_program({"vm", "shutdown", "--all", "-g", "other"}).exit_code, 0);
}

TEST_F(VmCommands, AllAndANameContradictEachOtherAndOneIsNeeded) {
  EXPECT_THAT(run_program({"vm", "start", "web1", "--all"}).err,
              HasSubstr("A name and --all say different things."));
  EXPECT_THAT(run_program({"vm", "start"}).err, HasSubstr("missing required argument `name'"));
}

TEST_F(VmCommands, StartWaitsUntilDockerAnswersWhenItIsAskedTo) {
  const Ran ran = run_program({"vm", "start", "web1", "--wait"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("info:    Docker 20.10.24 answers at tcp://127.0.0.1:"));
}

TEST_F(VmCommands, WaitingEndsWithWhatStoodInTheWay) {
  std::filesystem::remove(region.docker() / "cert.pem");
  const Ran ran = run_program({"vm", "restart", "web1", "--wait", "--timeout", "1"});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_THAT(ran.err, HasSubstr("there is no client certificate in " + region.docker().string() +
                                 " (cert.pem is missing)"));
}

TEST_F(VmCommands, ManyPortsAreShownInRangesWithTheirProtocol) {
  for (int port = 8000; port < 8260; ++port)
    region.more_ports.push_back(
        {{"protocol", "tcp"}, {"port", port}, {"hostPort", port}, {"guestPort", port}});
  region.more_ports.push_back({{"protocol", "udp"},
                               {"port", 53},
                               {"hostPort", 10053},
                               {"guestPort", 5353},
                               {"movedBecause", "permission denied"}});
  region.ssh_host_port = 10022;
  const std::string shown = run_program({"vm", "show", "web1"}).out;
  EXPECT_THAT(shown, HasSubstr("  8000-8259/tcp open\n"));
  EXPECT_THAT(shown, HasSubstr("  53/udp open as 10053, leads to 5353 (permission denied)\n"));
  EXPECT_THAT(shown, HasSubstr("  22/tcp open as 10022 (permission denied)\n"));
  EXPECT_THAT(shown, HasSubstr("ssh -p 10022 -o StrictHostKeyChecking=accept-new"));
  EXPECT_THAT(json::parse(run_program({"vm", "show", "web1", "--json"}).out)["sshCommand"].get<std::string>(),
              HasSubstr("ssh -p 10022 "));
}

TEST(VmShow, AHostWhoseSwitchDiedSaysSo) {
  FakeRegion region;
  region.further_status = {{"code", "HostState/networkRestarted"}, {"message", "The switch died once."}};
  ASSERT_EQ(
      run_program({"vm", "docker", "create", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"})
          .exit_code,
      0);
  EXPECT_EQ(json::parse(run_program({"vm", "show", "web1", "--json"}).out)["networkNews"],
            "The switch died once.");
  EXPECT_THAT(run_program({"vm", "show", "web1"}).out, HasSubstr("The switch died once."));
}

TEST(VmShow, AHostThatIsHaltedSaysWhy) {
  FakeRegion region;
  region.further_status = {{"code", "HostState/noSpace"}, {"message", "The host has no space left."}};
  ASSERT_EQ(
      run_program({"vm", "docker", "create", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"})
          .exit_code,
      0);
  const json shown = json::parse(run_program({"vm", "show", "web1", "--json"}).out);
  EXPECT_EQ(shown["status"], "halted");
  EXPECT_EQ(shown["halted"], "The host has no space left.");
  EXPECT_THAT(run_program({"vm", "show", "web1"}).out, HasSubstr("The host has no space left."));
}

TEST_F(VmCommands, AnImageIsMadeOfAFileNamedByItsWholePath) {
  write_file(region.folder / "disk.raw", "x");
  // The gallery of the fake has no image of that name, so that showing it is what fails.
  const Ran ran =
      run_program({"vm", "image", "create", "mine", (region.folder / "disk.raw").string(), "-L", "My own"});
  EXPECT_EQ(json::parse(bodies["PUT mine"]),
            json::parse(R"({"properties":{"file":")" + (region.folder / "disk.raw").string() +
                        R"(","label":"My own"}})"));
  EXPECT_EQ(ran.exit_code, 4);
}

TEST_F(VmCommands, AFileThatIsNotThereIsNotSent) {
  const Ran ran = run_program({"vm", "image", "create", "mine", (region.folder / "none").string()});
  EXPECT_EQ(ran.exit_code, 4);
  EXPECT_THAT(ran.err, HasSubstr("none is not a file"));
  EXPECT_EQ(run_program({"vm", "image", "create", "-o", "windows", "mine", "/etc/hostname"}).exit_code, 2);
  EXPECT_TRUE(bodies.empty());
}

TEST_F(VmCommands, AnImageIsShownAndDeletedByItsNameInAnySpelling) {
  const Ran shown = run_program({"vm", "image", "show", "debian-12", "--json"});
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_EQ(json::parse(shown.out)["name"], "Debian-12");
  EXPECT_EQ(run_program({"vm", "image", "delete", "DEBIAN-12"}).exit_code, 0);
  EXPECT_TRUE(bodies.contains("DELETE Debian-12"));
  EXPECT_EQ(run_program({"vm", "image", "delete", "nothing"}).exit_code, 4);
}

TEST_F(VmCommands, CaptureMakesTheImageOfTheMachineItself) {
  run_program({"vm", "capture", "web1", "mine"});
  const json properties = json::parse(bodies["PUT mine"])["properties"];
  EXPECT_THAT(properties["sourceVirtualMachine"]["id"].get<std::string>(), HasSubstr("web1"));
  EXPECT_EQ(properties["label"], "mine");
}

TEST(Catalog, LocationsSizesAndGroupsAreListed) {
  FakeRegion region;
  EXPECT_THAT(run_program({"vm", "location", "list"}).out, HasSubstr("westus  West US"));
  EXPECT_THAT(run_program({"vm", "size", "list", "-l", "West US", "--json"}).out, HasSubstr("Standard_B2s"));
  EXPECT_THAT(run_program({"group", "list"}).out, HasSubstr("No resource groups found"));
  ASSERT_EQ(run_program({"group", "create", "g1", "West US"}).exit_code, 0);
  EXPECT_EQ(run_program({"group", "create", "g1"}).exit_code, 5);
  EXPECT_THAT(run_program({"group", "list"}).out, HasSubstr("g1"));
  EXPECT_EQ(run_program({"group", "show", "none"}).exit_code, 4);
  EXPECT_EQ(run_program({"group", "delete", "g1"}).exit_code, 2) << "nobody said yes";
  EXPECT_EQ(run_program({"group", "delete", "g1", "-q"}).exit_code, 0);
  EXPECT_FALSE(region.has_group("g1"));
}

}  // namespace berth
