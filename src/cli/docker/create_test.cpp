#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "cli/fake_region.h"
#include "cli/terminal/terminal.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;
using testing::StartsWith;

std::vector<std::string> article(std::vector<std::string> more = {}) {
  std::vector<std::string> all{"vm", "docker", "create", "-e", "22", "-l", "West US"};
  all.insert(all.end(), more.begin(), more.end());
  for (const char* word : {"web1", "Debian-12", "ops", "Str0ng!pass"}) all.emplace_back(word);
  return all;
}

Ran create(std::vector<std::string> more = {}) {
  return run_program(article(std::move(more)));
}

class DockerCreate : public testing::Test {
 protected:
  FakeRegion region;
};

}  // namespace

TEST_F(DockerCreate, EndsWhenDockerHasAnsweredAndSaysHowToReachIt) {
  region.phases = json::parse(R"([{"name":"Starting the virtual machine","detail":"",
    "began":"2026-11-24T10:00:00.000Z","ended":"2026-11-24T10:00:12.300Z"}])");

  const Ran ran = create();

  ASSERT_EQ(ran.exit_code, 0) << ran.err << ran.out;
  EXPECT_THAT(ran.out, StartsWith("info:    Executing command vm docker create\n"));
  EXPECT_THAT(ran.out, HasSubstr("info:    Generating docker certificates."));
  EXPECT_THAT(ran.out, HasSubstr("info:    Starting the virtual machine (12.3 s)\n"));
  EXPECT_THAT(ran.out, HasSubstr("info:    Docker 20.10.24 answers at tcp://127.0.0.1:"));
  EXPECT_THAT(ran.out, HasSubstr("help:      docker --tls -H tcp://127.0.0.1:"));
  EXPECT_THAT(ran.out, HasSubstr("help:      docker --context web1 info\n"));
  EXPECT_THAT(ran.out, HasSubstr("help:      ssh -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=" +
                                 (region.folder.path() / ".config/berth/ssh/web1.known_hosts").string() +
                                 " ops@127.0.0.1\n"));
  EXPECT_TRUE(std::filesystem::is_directory(region.folder.path() / ".config/berth/ssh"))
      << "ssh does not make it";
  EXPECT_THAT(ran.out, HasSubstr("info:    vm docker create command OK\n"));
  EXPECT_EQ(region.docker_seen_client,
            Certificate::parse_pem(read_file(region.docker() / "cert.pem"), "cert").thumbprint());
  EXPECT_TRUE(region.has_group("web1"));
}

TEST_F(DockerCreate, SendsThePasswordAndTheKeyAsSecureParametersOnly) {
  ASSERT_EQ(create().exit_code, 0);
  const json& properties = region.deployment["properties"];
  EXPECT_EQ(properties["parameters"]["adminPassword"]["value"], "Str0ng!pass");
  EXPECT_EQ(properties["template"]["parameters"]["adminPassword"]["type"], "securestring");
  EXPECT_EQ(properties["template"]["parameters"]["dockerCertificates"]["type"], "secureObject");
  EXPECT_THAT(properties["template"].dump(),
              AllOf(Not(HasSubstr("Str0ng")), Not(HasSubstr("LS0tLS1CRUdJTi"))));
}

TEST_F(DockerCreate, TheServersCertificateHoldsTheNamesAndAddressesThatUsersType) {
  ASSERT_EQ(create({"-n", "vm1"}).exit_code, 0);
  const json& certs = region.deployment["properties"]["parameters"]["dockerCertificates"]["value"]["certs"];
  const Certificate server =
      Certificate::parse_pem(*base64_decode(certs["cert"].get<std::string>()), "server");
  EXPECT_THAT(server.dns_names(),
              testing::UnorderedElementsAre("web1.cloudapp.net", "web1", "vm1", "localhost"));
  EXPECT_THAT(server.ip_addresses(), Contains("127.0.0.1"));
  EXPECT_TRUE(server.is_issued_by(Certificate::parse_pem(read_file(region.docker() / "ca.pem"), "ca")));
}

TEST_F(DockerCreate, JsonModePrintsTheHostAndNothingElse) {
  const Ran ran = create({"--json"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const json host = json::parse(ran.out);
  EXPECT_EQ(host["name"], "web1");
  EXPECT_EQ(host["fqdn"], "web1.cloudapp.net");
  EXPECT_EQ(host["dockerContext"], "web1");
  EXPECT_EQ(host["dockerVersion"], "20.10.24");
}

TEST_F(DockerCreate, WarnsOfAPortThatMovedAndPrintsTheCommandWithIt) {
  region.ssh_host_port = 40022;
  const Ran ran = create();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              HasSubstr("warn:    Port 22 of 127.0.0.1 is open as port 40022 (permission denied).\n"));
  EXPECT_THAT(ran.out, HasSubstr("ssh -p 40022 -o "));
}

TEST_F(DockerCreate, AHostBehindALoadBalancerIsShownWithThatAddress) {
  std::vector<std::string> words = article();
  words[4] = "2222";
  const Ran ran = run_program(words);
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("ssh -p 2222 -o "));
  const Ran shown = run_program({"vm", "show", "web1", "--json"});
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_EQ(json::parse(shown.out)["fqdn"], "web1.cloudapp.net") << shown.out;
}

TEST_F(DockerCreate, TheKeyOfAnEarlierHostOfThatNameIsForgottenAtDeleteAndAtCreate) {
  const auto known = region.folder.path() / ".config/berth/ssh/web1.known_hosts";
  make_folder(known.parent_path());
  write_file(known, "[127.0.0.1]:22 ssh-ed25519 AAAA\n");
  ASSERT_EQ(create().exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(known));
  write_file(known, "[127.0.0.1]:22 ssh-ed25519 AAAA\n");
  ASSERT_EQ(run_program({"vm", "delete", "web1", "--quiet"}).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(known));
}

TEST_F(DockerCreate, UseSaysWhatOverridesTheCurrentContext) {
  ::setenv("DOCKER_HOST", "tcp://elsewhere:1", 1);
  const Ran ran = create({"--use"});
  ::unsetenv("DOCKER_HOST");
  EXPECT_THAT(
      ran.out,
      HasSubstr(
          "warn:    DOCKER_HOST is set (tcp://elsewhere:1), and goes before the current context in this "
          "shell: 'unset DOCKER_HOST' first.\n"));
}

TEST_F(DockerCreate, OlderToolsFindTheContextSinceTheConfigurationFileIsThere) {
  ASSERT_EQ(create().exit_code, 0);
  EXPECT_EQ(read_file(region.docker() / "config.json"), "{}\n");
}

TEST_F(DockerCreate, StrictPortsFailsAndRemovesTheHost) {
  region.ssh_host_port = 40022;
  const Ran ran = create({"--strict-ports"});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_THAT(ran.err, HasSubstr("Port 22 of 127.0.0.1 is open as port 40022"));
  EXPECT_FALSE(region.has_group("web1"));
}

TEST_F(DockerCreate, AFailedDeploymentIsToldWithItsPhaseAndItsInnermostReasonAndLeavesNothing) {
  region.phases = json::parse(R"([{"name":"Building the image","detail":"","began":"x","ended":""}])");
  region.deployment_error = json::parse(R"({"code":"DeploymentFailed","message":"At least one failed.",
    "details":[{"code":"AllocationFailed","message":"The mirror refused.",
                "additionalInfo":[{"type":"Advice","info":{"advice":"Set another mirror."}}]}]})");

  const Ran ran = create();

  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_THAT(ran.err, HasSubstr("error:   Building the image: The mirror refused.\n"));
  EXPECT_THAT(ran.err, HasSubstr("error:   Set another mirror.\n"));
  EXPECT_THAT(ran.err, HasSubstr("error:   vm docker create command failed\n"));
  EXPECT_FALSE(region.has_group("web1"));
  EXPECT_FALSE(std::filesystem::exists(region.docker() / "contexts"));
}

TEST_F(DockerCreate, KeepFailedLeavesTheHostAndSaysHowToRemoveIt) {
  region.deployment_error = {{"code", "X"}, {"message", "No."}};
  const Ran ran = create({"--keep-failed"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("azure vm delete web1 --quiet"));
  EXPECT_TRUE(region.has_group("web1"));
}

TEST_F(DockerCreate, ASecondHostOfTheSameNameIsRefusedAndTheFirstStays) {
  ASSERT_EQ(create().exit_code, 0);
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("error:   A VM with dns prefix \"web1\" already exists\n"));
  EXPECT_TRUE(region.has_group("web1"));
}

TEST_F(DockerCreate, LosingTheRaceForANameRemovesNothingOfTheWinner) {
  region.on_request = [this, done = false](const Request& request) mutable -> std::optional<Response> {
    // The other one comes in between our look and our PUT.
    if (!done && request.method == "PUT" && request.path.ends_with("/resourcegroups/web1")) {
      done = true;
      region.add_group("web1", {{"berth:host", "web1"}});
    }
    return std::nullopt;
  };
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("is being made by someone else just now"));
  EXPECT_TRUE(region.has_group("web1"));
  EXPECT_THAT(region.requests(), Not(Contains(StartsWith("DELETE"))));
}

TEST_F(DockerCreate, CtrlCRemovesWhatWasMade) {
  for (const char* moment :
       {"PUT /publicipaddresses/web1-ip", "PUT /deployments/docker-web1", "GET /operationstatuses/1"}) {
    region.polls = 1000;
    region.on_request = [moment = std::string(moment)](const Request& request) -> std::optional<Response> {
      const std::string seen = request.method + " " + lower(request.path);
      if (seen.starts_with(moment.substr(0, 4)) && seen.ends_with(moment.substr(4)))
        ::kill(::getpid(), SIGINT);
      return std::nullopt;
    };
    const Ran ran = create();
    EXPECT_EQ(ran.exit_code, 130) << moment;
    EXPECT_THAT(ran.out, HasSubstr("warn:    Canceled.")) << moment;
    EXPECT_THAT(ran.out, HasSubstr("Removing the resource group web1")) << moment;
    EXPECT_FALSE(region.has_group("web1")) << moment;
  }
}

TEST_F(DockerCreate, CtrlCBeforeAnythingWasMadeJustEnds) {
  region.on_request = [](const Request& request) -> std::optional<Response> {
    if (request.path.ends_with("/locations")) ::kill(::getpid(), SIGINT);
    return std::nullopt;
  };
  EXPECT_EQ(create().exit_code, 130);
  EXPECT_THAT(region.requests(), Not(Contains(StartsWith("PUT"))));
}

TEST_F(DockerCreate, ARegionThatVanishesAndComesBackIsGivenTheSameDeploymentAgain) {
  std::thread restart;
  region.on_request = [&, done = false](const Request& request) mutable -> std::optional<Response> {
    if (!done && request.path.ends_with("/operationStatuses/1")) {
      done = true;
      restart = std::thread([this] {
        region.stop();
        region.start();
      });
    }
    return std::nullopt;
  };
  const Ran ran = create();
  restart.join();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("warn:    The local region went away"));
  const auto requests = region.requests();
  EXPECT_EQ(std::count_if(requests.begin(), requests.end(),
                          [](const std::string& request) {
                            return request.starts_with("PUT") &&
                                   request.ends_with("/deployments/docker-web1");
                          }),
            2);
}

TEST_F(DockerCreate, WhenTheConnectionIsLostWhileNamesAreLookedUpAllAreAskedForAgain) {
  region.add_group("net");
  region.add_resource("net/Microsoft.Network/virtualNetworks/shared");
  region.on_request = [done = false](const Request& request) mutable -> std::optional<Response> {
    // Asked for after the network's name has become an id.
    if (done || !request.path.ends_with("/publicIPAddresses")) return std::nullopt;
    done = true;
    Response lost{.status = 200};
    lost.headers["X-Large"] =
        std::string(std::size_t{200} << 10, 'x');  // no client takes a header of that length
    return lost;
  };
  const Ran ran = create({"-w", "shared"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("warn:    The local region went away"));
}

TEST_F(DockerCreate, DeleteRemovesTheGroupAndTheContext) {
  ASSERT_EQ(create().exit_code, 0);
  const Ran ran = run_program({"vm", "delete", "web1", "--quiet"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("info:    Docker context 'web1' removed\n"));
  EXPECT_FALSE(region.has_group("web1"));
  EXPECT_TRUE(std::filesystem::exists(region.docker() / "key.pem"));
}

TEST_F(DockerCreate, ListShowsTheHostWithItsAddressAndItsDockerEndpoint) {
  ASSERT_EQ(create().exit_code, 0);
  const Ran ran = run_program({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              HasSubstr("data:    Name  Status   Location  DNS Name           IP Address  Docker\n"));
  EXPECT_THAT(ran.out,
              HasSubstr("data:    web1  running  westus    web1.cloudapp.net  127.0.0.1   tcp://127.0.0.1:"));
}

TEST_F(DockerCreate, ShowTellsItAll) {
  ASSERT_EQ(create().exit_code, 0);
  const json host = json::parse(run_program({"vm", "show", "WEB1", "--json"}).out);
  EXPECT_EQ(host["image"], "Debian-12");
  EXPECT_EQ(host["adminUsername"], "ops");
  EXPECT_EQ(host["privateIpAddress"], "10.0.0.4");
  EXPECT_EQ(host["extensions"][0]["handler"], "Microsoft.Azure.Extensions.DockerExtension");
  EXPECT_THAT(host["dockerHost"].get<std::string>(), StartsWith("tcp://127.0.0.1:"));
}

TEST_F(DockerCreate, CountMakesManyAtOnceAndSaysOfWhichEachLineIs) {
  const Ran ran = create({"--count", "3"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err << ran.out;
  for (const char* name : {"web1-1", "web1-2", "web1-3"}) {
    EXPECT_TRUE(region.has_group(name));
    EXPECT_THAT(ran.out, HasSubstr("info:    " + std::string(name) + ": Docker 20.10.24 answers at "));
  }
  EXPECT_THAT(create({"--count", "2", "--use"}).err,
              HasSubstr("--use is for one host, and --count asks for 2"));
  EXPECT_EQ(create({"--count", "0"}).exit_code, 2);
}

TEST_F(DockerCreate, OfManyThoseThatCouldBeMadeStay) {
  region.add_group("web1-2");
  const Ran ran = create({"--count", "2", "--json"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_EQ(json::parse(ran.out)[0]["name"], "web1-1");
  EXPECT_THAT(ran.err,
              HasSubstr("error:   web1-2 could not be made: The resource group web1-2 exists already."));
  EXPECT_TRUE(region.has_group("web1-1"));
}

}  // namespace berth
