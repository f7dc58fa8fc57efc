#include "cli/docker/azure_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "cli/docker/cloud_init.h"
#include "cli/played_azure.h"
#include "cli/vm/own_address.h"
#include "host/process.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// A person who is signed in to a played Azure, and the article's command.
class AzureHost : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(azure.add_environment().exit_code, 0);
    const std::string file = azure.file("password", azure.password + "\n");
    const Ran ran = run_program({"login", "-e", "played", "-u", azure.user, "--password-file", file});
    ASSERT_EQ(ran.exit_code, 0) << ran.err;
  }
  static Ran create(std::vector<std::string> more = {"--yes"},
                    const std::string& image = "Ubuntu-24_04-LTS") {
    std::vector<std::string> all{"vm", "docker", "create", "-e", "22", "-l", "West US"};
    all.insert(all.end(), more.begin(), more.end());
    for (const std::string& word :
         {std::string("web1"), image, std::string("ops"), std::string("Str0ng!pass")})
      all.push_back(word);
    return run_program(all);
  }
  json resource(const std::string& type) {
    for (const json& one : azure.region.deployment["properties"]["template"]["resources"])
      if (one["type"] == type) return one;
    return {};
  }
  json rules() {
    const json group = resource("Microsoft.Network/networkSecurityGroups");
    return group["properties"]["securityRules"];
  }
  bool nothing_was_made() {
    for (const std::string& request : azure.region.requests())
      if (request.starts_with("PUT ")) return false;
    return true;
  }

  PlayedAzure azure;
};

}  // namespace

TEST_F(AzureHost, IsMadeByCloudInitAndEndsWhenDockerHasAnswered) {
  const Ran ran = create();
  ASSERT_EQ(ran.exit_code, 0) << ran.err << ran.out;
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("It costs money, in the subscription sub-1, until 'azure vm delete web1':"),
                    HasSubstr("virtual machine   Standard_B2s at westus"),
                    HasSubstr("public address    web1-ip, Standard, static"),
                    HasSubstr("Opened to 203.0.113.7 alone"),
                    HasSubstr("Its ports (4243 and 22) are open to 203.0.113.7 alone"),
                    HasSubstr("docker --tls -H tcp://web1.cloudapp.net:4243 info")));
  const json& properties = azure.region.deployment["properties"];
  EXPECT_EQ(properties["template"]["parameters"]["cloudInit"]["type"], "securestring");
  EXPECT_FALSE(properties["parameters"].contains("dockerCertificates"));
  EXPECT_TRUE(resource("Microsoft.Compute/virtualMachines/extensions").is_null());
  EXPECT_THAT(properties["template"].dump(), Not(HasSubstr("PRIVATE KEY")));
  const json vm = resource("Microsoft.Compute/virtualMachines");
  EXPECT_EQ(vm["properties"]["osProfile"]["customData"], "[parameters('cloudInit')]");
  EXPECT_EQ(vm["properties"]["storageProfile"]["imageReference"], (json{{"publisher", "Canonical"},
                                                                        {"offer", "ubuntu-24_04-lts"},
                                                                        {"sku", "server"},
                                                                        {"version", "latest"}}));
  EXPECT_EQ(vm["tags"]["berth:docker"], "4243");
  EXPECT_EQ(resource("Microsoft.Network/publicIPAddresses")["sku"]["name"], "Standard");
  EXPECT_EQ(resource("Microsoft.Network/publicIPAddresses")["properties"]["publicIPAllocationMethod"],
            "Static");
  for (const json& rule : rules())
    EXPECT_EQ(rule["properties"]["sourceAddressPrefix"], "203.0.113.7") << rule;
}

TEST_F(AzureHost, ItsSshKeyIsKnownBeforeTheFirstConnection) {
  ASSERT_EQ(create().exit_code, 0);
  const std::string data =
      base64_decode(
          azure.region.deployment["properties"]["parameters"]["cloudInit"]["value"].get<std::string>())
          .value();
  const json config = json::parse(data.substr(data.find('\n')));
  const auto known = azure.config() / "ssh/web1.known_hosts";
  EXPECT_EQ(read_file(known),
            azure.region.azure_address + " " + config["ssh_keys"]["rsa_public"].get<std::string>() +
                "\nweb1.cloudapp.net " + config["ssh_keys"]["rsa_public"].get<std::string>() + "\n");
  ASSERT_EQ(run_program({"vm", "delete", "web1", "--quiet"}).exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(known));
}

TEST_F(AzureHost, IsListedShownStoppedStartedAndDeleted) {
  ASSERT_EQ(create().exit_code, 0);
  const json listed = json::parse(run_program({"vm", "list", "--json"}).out);
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0]["dockerHost"], "tcp://" + azure.region.azure_address + ":4243");
  EXPECT_THAT(listed[0]["sshCommand"].get<std::string>(),
              testing::EndsWith(" ops@" + azure.region.azure_address));
  EXPECT_EQ(run_program({"vm", "show", "web1"}).exit_code, 0);
  const Ran shown = run_program({"vm", "docker", "show", "web1"});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out,
              AllOf(HasSubstr("none: cloud-init made this host"), HasSubstr("both sides verified")));
  EXPECT_THAT(run_program({"vm", "docker", "list"}).out, HasSubstr("20.10.24"));
  const Ran rotated = run_program({"vm", "docker", "certs", "rotate", "web1"});
  EXPECT_EQ(rotated.exit_code, 5);
  EXPECT_THAT(rotated.err, HasSubstr("are changed by the Docker extension, which it has not"));
  EXPECT_THAT(run_program({"vm", "docker", "logs", "web1", "--extension"}).err,
              HasSubstr("cloud-init-output.log"));
  EXPECT_THAT(run_program({"vm", "docker", "url", "web1"}).out, StartsWith("tcp://"));
  for (const char* verb : {"shutdown", "start", "restart"}) {
    const Ran done = run_program({"vm", verb, "web1", "-v"});
    EXPECT_EQ(done.exit_code, 0) << verb << done.err;
    EXPECT_THAT(done.out, AllOf(HasSubstr("/operations/power?api-version=2021-07-01 200"),
                                Not(HasSubstr("s1gnature"))));
  }
  const Ran deleted = run_program({"vm", "delete", "web1", "--quiet"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_FALSE(azure.region.has_group("web1"));
}

TEST_F(AzureHost, APortIsPublishedToItsUserAlone) {
  ASSERT_EQ(create().exit_code, 0);
  const Ran opened = run_program({"vm", "docker", "port", "publish", "web1", "8080"});
  ASSERT_EQ(opened.exit_code, 0) << opened.err;
  EXPECT_THAT(opened.out, HasSubstr("8080/tcp is open at " + azure.region.azure_address + ":8080"));
  const json ports = json::parse(run_program({"vm", "endpoint", "list", "web1", "--json"}).out);
  EXPECT_EQ(ports.back()["source"], "203.0.113.7");
  ASSERT_EQ(run_program({"vm", "endpoint", "create", "web1", "53", "-t", "udp", "--source", "*"}).exit_code,
            0);
}

TEST_F(AzureHost, NothingThatCostsMoneyIsMadeWithoutAYes) {
  const Ran ran = create({});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("Add --yes to make it without being asked."));
  EXPECT_TRUE(nothing_was_made());
  EXPECT_THAT(create({"--count", "2"}).err, HasSubstr("add --yes"));
  EXPECT_TRUE(nothing_was_made());
}

TEST_F(AzureHost, PortsAreNotOpenedToEverybodyUnasked) {
  azure.seen_at.clear();
  azure.expire_tokens();
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("From which address you will reach the host is not known"),
                             HasSubstr("--allow-from ADDRESS")));
  EXPECT_TRUE(nothing_was_made());
  ASSERT_EQ(create({"--yes", "--allow-from", "198.51.100.1,192.0.2.0/24"}).exit_code, 0);
  for (const json& rule : rules()) {
    EXPECT_EQ(rule["properties"]["sourceAddressPrefixes"], (json{"198.51.100.1", "192.0.2.0/24"}));
    EXPECT_FALSE(rule["properties"].contains("sourceAddressPrefix"));
  }
}

TEST_F(AzureHost, PortsAreOpenedToWhereItsUserIsNow) {
  azure.seen_at = "198.51.100.9";  // since the sign-in, whose token is still good
  ASSERT_EQ(create().exit_code, 0);
  for (const json& rule : rules()) EXPECT_EQ(rule["properties"]["sourceAddressPrefix"], "198.51.100.9");
}

TEST_F(AzureHost, WhoDoesNotReachItIsToldWhomItWasOpenTo) {
  azure.region.docker_answers = false;
  const Ran ran = create({"--yes", "--timeout", "1"});
  EXPECT_NE(ran.exit_code, 0);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("Its ports were open to 203.0.113.7 alone."),
                             HasSubstr("--allow-from ADDRESS")));
}

TEST_F(AzureHost, PortsAreOpenedToEverybodyWhenAsked) {
  const Ran ran = create({"--yes", "--allow-from", "*"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("warn:    The ports are open to the whole internet"));
}

TEST_F(AzureHost, WhatCannotBeHadThereIsRefusedBeforeAnythingIsMade) {
  EXPECT_THAT(create({"--yes", "--allow-from", "everybody"}).err,
              HasSubstr("'everybody' is no IPv4 address"));
  EXPECT_THAT(create({"--yes", "--strict-ports"}).err, HasSubstr("--strict-ports is for regions"));
  EXPECT_THAT(create({"--yes", "-d", azure.file("data", "#!/bin/sh\n")}).err,
              HasSubstr("--custom-data cannot be used on Azure"));
  EXPECT_THAT(run_program({"vm", "docker", "create", "--yes", "-e", "2222", "-l", "West US", "web1",
                           "Ubuntu-24_04-LTS", "ops", "Str0ng!pass"})
                  .err,
              HasSubstr("--ssh 2222 needs a load balancer"));
  azure.taken_names = {"web1"};
  const Ran taken = create();
  EXPECT_EQ(taken.exit_code, 5);
  EXPECT_THAT(taken.err, HasSubstr("\"web1\" is taken at westus"));
  EXPECT_TRUE(nothing_was_made());
}

TEST_F(AzureHost, ImagesAreTheMarketplaces) {
  const Ran listed = run_program({"vm", "image", "list"});
  EXPECT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_THAT(listed.out, testing::ContainsRegex("Ubuntu-24_04-LTS.*Ubuntu-14_04"));
  const Ran old =
      create({"--yes"}, "b39f27a8b8c64d52b05eac6a62ebad85__Ubuntu-14_04-LTS-amd64-server-en-us-30GB");
  EXPECT_EQ(old.exit_code, 4);
  EXPECT_THAT(old.err, HasSubstr("Of Ubuntu the marketplace has Ubuntu-24_04-LTS today"));
  EXPECT_EQ(create({"--yes"}, "Debian-12").exit_code, 4) << "this one has none at that location";
  EXPECT_EQ(create({"--yes"}, "Canonical:ubuntu-24_04-lts:server:latest").exit_code, 0);
}

TEST_F(AzureHost, WhatAFreshSubscriptionHasNotRegisteredIsRegistered) {
  azure.unregistered = {{"Microsoft.Compute", {}}, {"Microsoft.Network", {.looks = 2, .asked = true}}};
  const Ran ran = create();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("Registering Microsoft.Compute in the subscription"),
                             HasSubstr("Registering Microsoft.Network in the subscription")));
  EXPECT_THAT(azure.region.requests(), AllOf(Contains("POST /providers/Microsoft.Compute/register"),
                                             Not(Contains("POST /providers/Microsoft.Network/register"))));
}

TEST_F(AzureHost, WhoMayNotRegisterIsToldWhatHasToBeDone) {
  azure.unregistered = {{"Microsoft.Network", {}}};
  azure.may_register = false;
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(
      ran.err,
      AllOf(HasSubstr("The resource provider Microsoft.Network is not registered in the subscription sub-1"),
            HasSubstr("az provider register --namespace Microsoft.Network --subscription sub-1")));
  EXPECT_TRUE(nothing_was_made());
}

TEST_F(AzureHost, WhereChangesWantMoreProofTheCommandThatProvesItIsNamed) {
  azure.wants_proof = true;
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 3);
  const std::size_t at = ran.err.find("azure login -e played --tenant tenant-1 --claims-challenge ");
  ASSERT_NE(at, std::string::npos) << ran.err;
  EXPECT_THAT(ran.err, Not(HasSubstr("'azure login' alone")));
  std::vector<std::string> words;
  std::istringstream line(ran.err.substr(at, ran.err.find('\n', at) - at));
  for (std::string word; line >> word;) words.push_back(word);
  words.erase(words.begin());
  const Ran signed_in = run_program(words);  // by device code
  ASSERT_EQ(signed_in.exit_code, 0) << signed_in.err;
  EXPECT_EQ(azure.forms().back()["claims"], R"({"access_token":{"acrs":{}}})");
  EXPECT_EQ(create().exit_code, 0);
  // By password, too.
  const std::string file = azure.file("password", azure.password + "\n");
  words.insert(words.end(), {"-u", azure.user, "--password-file", file});
  EXPECT_EQ(run_program(words).exit_code, 0);
  EXPECT_EQ(azure.forms().back()["claims"], R"({"access_token":{"acrs":{}}})");
}

TEST_F(AzureHost, ADeploymentThatIsThrottledGoesOn) {
  std::atomic<int> throttled{3};
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (request.path.find("/deployments/") == std::string::npos || request.method != "GET" ||
        throttled-- <= 0)
      return std::nullopt;
    Response busy{
        .status = 429, .headers = {}, .body = R"({"error":{"code":"TooManyRequests","message":"Slowly."}})"};
    busy.headers["x-ms-retry-after-ms"] = "5";
    return busy;
  };
  azure.region.polls = 6;
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_LE(throttled, 0);
}

TEST_F(AzureHost, AnOutageWhileItIsMadeIsWaitedFor) {
  std::atomic<int> away{30};
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (request.path.find("/deployments/") == std::string::npos || request.method != "GET" || away-- <= 0)
      return std::nullopt;
    Response none{.status = 503};
    none.headers["x-ms-retry-after-ms"] = "5";
    return none;
  };
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_LE(away, 0);
  EXPECT_THAT(ran.out, HasSubstr("was answered with HTTP 503. What was asked for may go on; looking again."));
  EXPECT_TRUE(azure.region.has_group("web1"));
}

TEST_F(AzureHost, WhatWasDoneWithoutOurHearingOfItIsGoneOnWith) {
  std::map<std::string, int> lost;  // the fake does it, and its answer gets lost
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    const bool group = request.method == "PUT" && request.path.ends_with("/resourcegroups/web1");
    const bool deployment = request.method == "PUT" && request.path.ends_with("/deployments/docker-web1");
    if (group && lost["group"]++ == 0) {
      azure.region.add_group("web1");
      return Response{.status = 502};
    }
    if (!deployment || lost["deployment"]++ != 1) return std::nullopt;
    return Response{.status = 409,
                    .headers = {},
                    .body = R"({"error":{"code":"DeploymentActive","message":"It goes on."}})"};
  };
  azure.region.after_answer = [&](const Request& request, Response& response) {
    if (request.method == "PUT" && request.path.ends_with("/deployments/docker-web1") &&
        lost["deployment"] == 1)
      response = Response{.status = 503};
  };
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(lost["deployment"], 2);
}

/// An answer that does not arrive: no client takes a header of that length.
const std::string lost_answer(std::size_t{200} << 10, 'x');

TEST_F(AzureHost, ADeploymentIsPutOnceThoughTheConnectionIsLost) {
  int puts = 0;
  const auto is_put = [](const Request& request) {
    return request.method == "PUT" && request.path.ends_with("/deployments/docker-web1");
  };
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (!is_put(request) || ++puts == 1) return std::nullopt;
    Response active{.status = 409,
                    .headers = {},
                    .body = R"({"error":{"code":"DeploymentActive","message":"It goes on."}})"};
    if (puts < 5) active.headers["X-Large"] = lost_answer;
    return active;
  };
  azure.region.after_answer = [&](const Request& request, Response& response) {
    if (is_put(request)) response.headers["X-Large"] = lost_answer;
  };
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(puts, 5) << "each exchange tries four times";
  EXPECT_THAT(ran.out, HasSubstr("Resource Manager went away"));
  EXPECT_TRUE(azure.region.has_group("web1"));
}

TEST_F(AzureHost, ADeploymentOfSomebodyElseIsNotTakenForOurs) {
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (request.method != "PUT" || !request.path.ends_with("/deployments/docker-web1")) return std::nullopt;
    return Response{.status = 409,
                    .headers = {},
                    .body = R"({"error":{"code":"DeploymentActive","message":"It goes on."}})"};
  };
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("It goes on."));
}

TEST_F(AzureHost, ADeploymentThatWasPreemptedIsPutAgain) {
  azure.region.deployment_error = {{"code", "OperationPreempted"}, {"message", "Another one came."}};
  int puts = 0;
  azure.region.after_answer = [&](const Request& request, Response&) {
    if (request.method == "PUT" && request.path.ends_with("/deployments/docker-web1") && ++puts == 2)
      azure.region.deployment_error = nullptr;
  };
  EXPECT_EQ(create().exit_code, 0);
  EXPECT_EQ(puts, 2);
}

TEST_F(AzureHost, WhatWasMadeGoesWhenItFails) {
  azure.region.deployment_error = {{"code", "SkuNotAvailable"}, {"message", "The size is not available."}};
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("The size is not available."));
  EXPECT_FALSE(azure.region.has_group("web1"));
}

TEST_F(AzureHost, ANetworkThatItJoinsStaysWhenItFailsAndWhenItIsDeleted) {
  azure.region.add_group("rg");
  azure.region.add_resource("rg/Microsoft.Network/virtualNetworks/web1-vnet");
  const std::vector<std::string> joining = {"--yes", "-g", "rg", "-w", "web1"};
  azure.region.deployment_error = {{"code", "SkuNotAvailable"}, {"message", "The size is not available."}};
  EXPECT_EQ(create(joining).exit_code, 5);
  EXPECT_TRUE(azure.region.has_resource("rg/Microsoft.Network/virtualNetworks/web1-vnet"));
  EXPECT_FALSE(azure.region.has_resource("rg/Microsoft.Network/publicIPAddresses/web1-ip"));
  azure.region.deployment_error = nullptr;
  ASSERT_EQ(create(joining).exit_code, 0);
  ASSERT_EQ(run_program({"vm", "delete", "web1", "--quiet"}).exit_code, 0);
  EXPECT_TRUE(azure.region.has_resource("rg/Microsoft.Network/virtualNetworks/web1-vnet"));
  for (const char* made : {"Compute/virtualMachines/web1", "Network/networkInterfaces/web1-nic",
                           "Network/publicIPAddresses/web1-ip", "Network/networkSecurityGroups/web1-nsg"})
    EXPECT_FALSE(azure.region.has_resource(std::string("rg/Microsoft.") + made)) << made;
  EXPECT_TRUE(azure.region.has_group("rg"));
}

TEST_F(AzureHost, WhatSomebodyElseHasUnderItsNamesIsNotWrittenOver) {
  azure.region.add_group("rg");
  for (const std::string name : {"Network/networkInterfaces/web1-nic", "Network/virtualNetworks/web1-vnet",
                                 "Network/networkSecurityGroups/web1-nsg", "Compute/disks/web1-os"}) {
    azure.region.add_resource("rg/Microsoft." + name, {{"berth:host", "db1"}});
    const Ran ran = create({"--yes", "-g", "rg"});
    EXPECT_EQ(ran.exit_code, 5) << name;
    EXPECT_THAT(ran.err, HasSubstr("There is Microsoft." + name +
                                   " in rg already, and it was not made for a host named web1."));
    EXPECT_TRUE(nothing_was_made());
    azure.region.add_resource("rg/Microsoft." + name, {{"berth:host", "web1"}});  // of an earlier try
  }
  EXPECT_EQ(create({"--yes", "-g", "rg"}).exit_code, 0);
}

TEST_F(AzureHost, OfAGroupWithOthersOnlyWhatWasMadeForTheHostIsDeleted) {
  azure.region.add_group("rg");
  ASSERT_EQ(create({"--yes", "-g", "rg"}).exit_code, 0);
  // Somebody has put resources of his own in the place of two.
  const json other = {{"berth:host", "db1"}};
  azure.region.add_resource("rg/Microsoft.Network/networkSecurityGroups/web1-nsg", other);
  azure.region.add_resource("rg/Microsoft.Network/virtualNetworks/web1-vnet");
  azure.region.add_resource("rg/Microsoft.Compute/disks/web1-os");
  ASSERT_EQ(run_program({"vm", "delete", "web1", "--quiet"}).exit_code, 0);
  for (const char* stays : {"Network/networkSecurityGroups/web1-nsg", "Network/virtualNetworks/web1-vnet",
                            "Compute/disks/web1-os"})
    EXPECT_TRUE(azure.region.has_resource(std::string("rg/Microsoft.") + stays)) << stays;
  EXPECT_FALSE(azure.region.has_resource("rg/Microsoft.Network/networkInterfaces/web1-nic"));
}

TEST_F(AzureHost, ADeploymentThatGoesOnIsEndedBeforeWhatItMadeIsRemoved) {
  azure.region.polls = 1000;
  azure.trouble = [&, looks = 0](const Request& request) mutable -> std::optional<Response> {
    if (request.method == "GET" && lower(request.path).ends_with("/operationstatuses/1") && ++looks == 2)
      ::kill(::getpid(), SIGINT);
    return std::nullopt;
  };
  const Ran ran = create();
  EXPECT_EQ(ran.exit_code, 130) << ran.err;
  const std::string deployment = "/resourcegroups/web1/providers/Microsoft.Resources/deployments/docker-web1";
  const auto requests = azure.region.requests();
  const auto canceled = std::ranges::find(requests, "POST " + deployment + "/cancel");
  const auto removed = std::ranges::find(requests, "DELETE /resourcegroups/web1");
  ASSERT_NE(canceled, requests.end());
  ASSERT_NE(removed, requests.end());
  EXPECT_EQ(std::count(canceled, removed, "GET " + deployment), 2) << "until it has ended";
  EXPECT_FALSE(azure.region.has_group("web1"));
}

TEST_F(AzureHost, ADeploymentThatCannotBeCanceledDoesNotKeepTheRest) {
  azure.region.polls = 1000;
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (request.method == "GET" && lower(request.path).ends_with("/operationstatuses/1"))
      ::kill(::getpid(), SIGINT);
    if (request.path.ends_with("/cancel"))
      return Response{.status = 403,
                      .headers = {},
                      .body = R"({"error":{"code":"AuthorizationFailed","message":"No."}})"};
    return std::nullopt;
  };
  EXPECT_EQ(create().exit_code, 130);
  EXPECT_FALSE(azure.region.has_group("web1"));
}

TEST_F(AzureHost, AnInterfaceThatAzureKeepsForItsMachineIsRemovedWhenItLetsGo) {
  azure.region.add_group("rg");
  azure.region.docker_answers = false;
  int asked = 0;
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (request.method != "DELETE" || !request.path.ends_with("/web1-nic") || asked++ > 0)
      return std::nullopt;
    return Response{
        .status = 400,
        .headers = {},
        .body =
            R"({"error":{"code":"NicReservedForAnotherVm","message":"It is reserved for 180 seconds."}})"};
  };
  EXPECT_NE(create({"--yes", "-g", "rg", "--timeout", "1"}).exit_code, 0);
  EXPECT_EQ(asked, 2);
  EXPECT_FALSE(azure.region.has_resource("rg/Microsoft.Network/networkInterfaces/web1-nic"));
}

TEST_F(AzureHost, WhatIsRefusedStaysAloneAndVmDeleteRemovesItLater) {
  azure.region.add_group("rg");
  azure.region.docker_answers = false;
  bool locked = true;
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (request.method != "DELETE" || !locked || !request.path.ends_with("/web1-ip")) return std::nullopt;
    return Response{.status = 409,
                    .headers = {},
                    .body = R"({"error":{"code":"ScopeLocked","message":"There is a lock on it."}})"};
  };
  const Ran ran = create({"--yes", "-g", "rg", "--timeout", "1"});
  EXPECT_NE(ran.exit_code, 0);
  EXPECT_THAT(ran.out, HasSubstr("web1-ip stays: There is a lock on it."));
  EXPECT_THAT(ran.out, HasSubstr("Remove it later: azure vm delete web1 --quiet"));
  for (const char* gone : {"Compute/virtualMachines/web1", "Network/networkSecurityGroups/web1-nsg",
                           "Network/virtualNetworks/web1-vnet"})
    EXPECT_FALSE(azure.region.has_resource(std::string("rg/Microsoft.") + gone)) << gone;
  const Ran refused = run_program({"vm", "delete", "web1", "--quiet"});
  EXPECT_EQ(refused.exit_code, 5);
  EXPECT_THAT(refused.err, HasSubstr("web1-ip stays: There is a lock on it."));
  locked = false;
  const Ran deleted = run_program({"vm", "delete", "web1", "--quiet"});
  EXPECT_EQ(deleted.exit_code, 0) << deleted.err;
  EXPECT_THAT(deleted.out, HasSubstr("The host web1 has no virtual machine. What was made for it: web1-ip in "
                                     "the resource group rg"));
  EXPECT_FALSE(azure.region.has_resource("rg/Microsoft.Network/publicIPAddresses/web1-ip"));
  EXPECT_EQ(run_program({"vm", "delete", "web1", "--quiet"}).exit_code, 4);
}

TEST_F(AzureHost, AGroupThatWasMadeForAHostWithoutAMachineIsDeletedByTheHostsName) {
  azure.region.add_group("web1", {{"berth:host", "web1"}});
  azure.region.add_group("other", {{"berth:host", "db1"}});
  EXPECT_EQ(run_program({"vm", "delete", "web1", "--quiet", "-g", "other"}).exit_code, 4);
  EXPECT_EQ(run_program({"vm", "delete", "web1", "--quiet"}).exit_code, 0);
  EXPECT_FALSE(azure.region.has_group("web1"));
  EXPECT_TRUE(azure.region.has_group("other"));
}

TEST_F(AzureHost, RemainsInSeveralGroupsAreNotGuessedAt) {
  azure.region.add_resource("a/Microsoft.Network/publicIPAddresses/web1-ip", {{"berth:host", "web1"}});
  azure.region.add_resource("b/Microsoft.Network/virtualNetworks/web1-vnet", {{"berth:host", "web1"}});
  const Ran ran = run_program({"vm", "delete", "web1", "--quiet"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("in the resource groups a and b."));
  EXPECT_EQ(run_program({"vm", "delete", "web1", "--quiet", "-g", "b"}).exit_code, 0);
  EXPECT_TRUE(azure.region.has_resource("a/Microsoft.Network/publicIPAddresses/web1-ip"));
}

TEST_F(AzureHost, ATemplateForItIsWrittenWithoutASecret) {
  const std::string file = azure.region.folder / "template.json";
  ASSERT_EQ(create({"--template", file}).exit_code, 0);
  EXPECT_TRUE(nothing_was_made());
}

/// tests/conformance/azure-sdk holds them to the documents of Azure's own clients.
TEST_F(AzureHost, WhatIsAskedOfAzureIsInTheFixture) {
  ASSERT_EQ(create().exit_code, 0);
  for (const std::vector<std::string>& words : {std::vector<std::string>{"vm", "list"},
                                                {"vm", "show", "web1"},
                                                {"vm", "docker", "show", "web1"},
                                                {"vm", "docker", "port", "publish", "web1", "8080"},
                                                {"vm", "docker", "port", "remove", "web1", "8080"},
                                                {"vm", "shutdown", "web1"},
                                                {"vm", "shutdown", "web1", "-p"},
                                                {"vm", "start", "web1"},
                                                {"vm", "restart", "web1"},
                                                {"vm", "delete", "web1", "-q"},
                                                {"login", "-e", "played"}}) {
    const Ran ran = run_program(words);
    EXPECT_EQ(ran.exit_code, 0) << words[1] << ran.err;
  }
  // One in a group with others, of a subscription that is new; and one that does not become a host.
  azure.region.add_group("rg");
  azure.unregistered = {{"Microsoft.Compute", {}}};
  azure.region.docker_answers = false;  // the engine of the one before still does
  EXPECT_EQ(create({"--yes", "-g", "rg"}).exit_code, 0);
  EXPECT_EQ(run_program({"vm", "delete", "web1", "-q"}).exit_code, 0);
  azure.region.deployment_error = {{"code", "SkuNotAvailable"}, {"message", "No."}};
  EXPECT_EQ(create().exit_code, 5);
  EXPECT_EQ(run_program({"vm", "delete", "web1", "-q"}).exit_code, 4);
  std::set<std::string> asked;
  for (const std::string& request : azure.region.requests()) {
    const bool of_azure = request.find("/oauth2/") == std::string::npos &&
                          request.find("/metadata/") == std::string::npos &&
                          request.find("Berth.Local") == std::string::npos &&
                          request.find(" /operations/") == std::string::npos &&
                          lower(request).find("/operationstatuses/") == std::string::npos;
    if (of_azure) asked.insert(request);
  }
  std::string text;
  for (const std::string& request : asked) text += request + "\n";
  if (const char* file = std::getenv("BERTH_RENEW_AZURE_REQUESTS")) write_file(file, text, 0644);
  EXPECT_EQ(text, read_file(BERTH_FIXTURES "/cli/azure_requests.txt"));
}

TEST(Sources, AreAddressesAndBlocks) {
  EXPECT_EQ(parse_sources("192.0.2.1,10.0.0.0/8"), (std::vector<std::string>{"192.0.2.1", "10.0.0.0/8"}));
  EXPECT_TRUE(parse_sources("*").empty());
  for (const char* wrong :
       {"", ",", "1.2.3.4,", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "::1", "*,1.2.3.4", "Internet"})
    EXPECT_THROW(parse_sources(wrong), Error) << wrong;
}

TEST(TokenAddress, IsWhatTheTokenSays) {
  const auto of = [](const std::string& claims) {
    return address_in_token(Secret("e30." + base64url_encode(claims) + ".x"));
  };
  EXPECT_EQ(of(R"({"ipaddr":"192.0.2.1"})"), "192.0.2.1");
  for (const char* none : {"{}", R"({"ipaddr":"*"})", R"({"ipaddr":7})", "", "["})
    EXPECT_EQ(of(none), "") << none;
  EXPECT_EQ(address_in_token(Secret("opaque")), "");
}

TEST(CloudInit, IsACloudConfigWhoseScriptAShellReads) {
  const std::string data = docker_cloud_init({.authority_pem = "CA\n",
                                              .certificate_pem = "CERT\n",
                                              .key_pem = Secret("KEY\n"),
                                              .docker_port = 2376,
                                              .user = "ops",
                                              .host_key_pem = Secret("HOST KEY\n"),
                                              .host_key_line = "ssh-rsa AAAA"})
                               .reveal();
  ASSERT_THAT(data, StartsWith("#cloud-config\n"));
  const json config = json::parse(data.substr(data.find('\n')));
  std::map<std::string, json> files;
  for (const json& file : config["write_files"]) files[file["path"]] = file;
  EXPECT_EQ(files["/etc/docker/key.pem"]["permissions"], "0400");
  EXPECT_EQ(files["/etc/docker/key.pem"]["content"], "KEY\n");
  EXPECT_EQ(json::parse(files["/etc/docker/daemon.json"]["content"].get<std::string>())["tlsverify"], true);
  const std::string script = config["runcmd"][0][0];
  const std::string text = files.at(script)["content"];
  EXPECT_THAT(text, AllOf(HasSubstr("-H tcp://0.0.0.0:2376"),
                          HasSubstr("usermod --append --groups docker ops"), Not(HasSubstr("{{"))));
  EXPECT_EQ(config["ssh_keys"]["rsa_public"], "ssh-rsa AAAA");
  const RunResult checked = run({"/bin/sh", "-n"}, {.input = text});
  EXPECT_EQ(checked.exit_code, 0) << checked.err;
}

}  // namespace berth
