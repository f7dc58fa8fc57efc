#include "cli/app.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/fake_region.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

/// The deployment that a create would send, by --template.
class CreateOptions : public testing::Test {
 protected:
  CreateOptions() {
    ::setenv("HOME", folder.path().c_str(), 1);
    ::unsetenv("DOCKER_CONFIG");
  }
  Ran run(std::vector<std::string> more,
          std::vector<std::string> last = {"web1", "Debian-12", "ops", "Str0ng!pass"}) {
    std::vector<std::string> all{"vm", "docker", "create", "--template", file};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), last.begin(), last.end());
    std::filesystem::remove(file);
    return run_program(all);
  }
  json resource(const std::string& type) {
    const json document = json::parse(read_file(file));
    for (const json& resource : document["resources"])
      if (resource["type"] == type) return resource;
    return {};
  }
  std::string docker_port() {
    return resource(
        "Microsoft.Compute/virtualMachines/extensions")["properties"]["settings"]["docker"]["port"];
  }
  json vm() { return resource("Microsoft.Compute/virtualMachines")["properties"]; }
  std::string error(std::vector<std::string> more,
                    std::vector<std::string> last = {"web1", "Debian-12", "ops", "Str0ng!pass"}) {
    const Ran ran = run(std::move(more), std::move(last));
    EXPECT_EQ(ran.exit_code, 2) << ran.out << ran.err;
    EXPECT_FALSE(std::filesystem::exists(file));
    return ran.err;
  }

  TemporaryFolder folder;
  std::string file = folder / "host.json";
};

}  // namespace

TEST(App, AloneShowsABannerAndTheCommandGroups) {
  const Ran ran = run_program({});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("version 1.2.3"), HasSubstr("help:      vm "),
                             HasSubstr("help:      region ")));
}

TEST(App, HelpOfAGroupListsWhatIsBelowIt) {
  for (const auto& arguments : {std::vector<std::string>{"help", "vm"}, {"vm", "--help"}, {"vm"}}) {
    const Ran ran = run_program(arguments);
    EXPECT_EQ(ran.exit_code, 0);
    EXPECT_THAT(ran.out, AllOf(HasSubstr("help:      docker "), HasSubstr("help:      vm list ")));
  }
  EXPECT_THAT(run_program({"vm", "docker"}).out, HasSubstr("vm docker create"));
}

TEST(App, HelpOfACommandListsEveryOptionAndDoesNothing) {
  for (const auto& arguments : {std::vector<std::string>{"help", "vm", "docker", "create"},
                                {"vm", "docker", "create", "-h"},
                                {"vm", "-h", "docker", "create", "a", "b"}}) {
    const Ran ran = run_program(arguments);
    EXPECT_EQ(ran.exit_code, 0);
    EXPECT_THAT(ran.out, HasSubstr("<dns-name> <image> <user-name> [password]"));
    for (const char* option :
         {"-e, --ssh [port]", "-l, --location", "-dp, -p, --docker-port", "-dc, -C, --docker-cert-dir",
          "-N, --docker-cert-cn", "-z, --vm-size", "-n, --vm-name", "-t, --ssh-cert", "-P, --no-ssh-password",
          "-E, --no-ssh-endpoint", "-G, --generate-ssh-keys", "-d, --custom-data", "--json", "-h, --help"})
      EXPECT_THAT(ran.out, HasSubstr(option));
  }
}

TEST(App, PrintsItsVersion) {
  EXPECT_EQ(run_program({"--version"}).out, "1.2.3\n");
}

TEST(App, AnUnknownCommandSaysWhereToLook) {
  const Ran ran = run_program({"vm", "frobnicate", "x"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("'vm frobnicate x' is not an azure command"),
                             HasSubstr("'azure help vm'"), Not(HasSubstr("Did you mean"))));
}

TEST(App, AMistypedCommandGetsItsNeighbour) {
  EXPECT_THAT(run_program({"vm", "lsit"}).err,
              HasSubstr("error:   Did you mean 'azure vm list'? 'azure help vm' lists"));
  EXPECT_THAT(run_program({"docker", "create"}).err, HasSubstr("Did you mean 'azure vm docker'?"));
  EXPECT_THAT(run_program({"unpublish", "x"}).err, HasSubstr("Did you mean 'azure vm extension unpublish'?"));
  EXPECT_THAT(run_program({"vm", "show", "--grup", "x"}).err,
              HasSubstr("error:   See 'azure help vm show'.\n"));
  EXPECT_THAT(run_program({"vm", "show", "web1", "--resource-grup", "x"}).err,
              HasSubstr("error:   Did you mean --resource-group? See 'azure help vm show'.\n"));
}

TEST(App, TheStatusOfARegionThatIsNotThereIsNoError) {
  TemporaryFolder folder;
  ::setenv("BERTH_HOME", (folder / "h").c_str(), 1);
  const Ran ran = run_program({"region", "status", "--json"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(json::parse(ran.out)["state"], "absent");
  EXPECT_THAT(ran.err, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(folder / "h"));
}

TEST_F(CreateOptions, TheArticlesTwoLetterOptionsAreUnderstoodInEveryForm) {
  EXPECT_EQ(run({}).exit_code, 0);
  EXPECT_EQ(docker_port(), "4243");
  for (const auto& form : {std::vector<std::string>{"-dp", "5555"},
                           {"-dp=5555"},
                           {"-p", "5555"},
                           {"--docker-port", "5555"},
                           {"--docker-port=5555"}}) {
    EXPECT_EQ(run(form).exit_code, 0) << form[0];
    EXPECT_EQ(docker_port(), "5555") << form[0];
  }
  write_file(folder / "not-a-folder", "");
  EXPECT_THAT(error({"-dc", folder / "not-a-folder"}), HasSubstr("is not a folder"));
}

TEST_F(CreateOptions, OptionsMayStandAnywhere) {
  EXPECT_EQ(
      run({}, {"web1", "-dp", "5555", "Debian-12", "ops", "-z", "Standard_A1", "Str0ng!pass"}).exit_code, 0);
  EXPECT_EQ(docker_port(), "5555");
  EXPECT_EQ(vm()["hardwareProfile"]["vmSize"], "Standard_A1");
}

TEST_F(CreateOptions, SshElsewhereThanAtPort22GoesThroughALoadBalancer) {
  ASSERT_EQ(run({"-e", "2222"}).exit_code, 0);
  const json balancer = resource("Microsoft.Network/loadBalancers")["properties"];
  ASSERT_EQ(balancer["inboundNatRules"].size(), 2U);
  const json& ssh = balancer["inboundNatRules"][0]["properties"];
  EXPECT_EQ(ssh["frontendPort"], 2222);
  EXPECT_EQ(ssh["backendPort"], 22);
  EXPECT_EQ(balancer["inboundNatRules"][1]["properties"]["frontendPort"], 4243);
  const json nic =
      resource("Microsoft.Network/networkInterfaces")["properties"]["ipConfigurations"][0]["properties"];
  EXPECT_EQ(nic["loadBalancerInboundNatRules"].size(), 2U);
  EXPECT_FALSE(nic.contains("publicIPAddress"));
  const json rules = resource("Microsoft.Network/networkSecurityGroups")["properties"]["securityRules"];
  EXPECT_EQ(rules[0]["properties"]["destinationPortRange"], "22");
}

TEST_F(CreateOptions, AStaticAddressIsTheInterfaces) {
  ASSERT_EQ(run({"-S", "10.0.0.9"}).exit_code, 0);
  const json nic =
      resource("Microsoft.Network/networkInterfaces")["properties"]["ipConfigurations"][0]["properties"];
  EXPECT_EQ(nic["privateIPAllocationMethod"], "Static");
  EXPECT_EQ(nic["privateIPAddress"], "10.0.0.9");
  EXPECT_THAT(error({"-S", "10.0.0"}), HasSubstr("--static-ip must be an IPv4 address, not '10.0.0'"));
}

TEST_F(CreateOptions, SshIsOpenedOnlyWhenItIsAskedFor) {
  EXPECT_EQ(run({}).exit_code, 0);
  EXPECT_EQ(resource("Microsoft.Network/networkSecurityGroups")["properties"]["securityRules"].size(), 1U);
  for (const auto& form : {std::vector<std::string>{"-e", "22"},
                           {"--ssh=22"},
                           {"-e", "--keep-failed"},
                           {"--strict-ports", "-e"}}) {
    const bool last = form.back() == "-e";
    EXPECT_EQ(last ? run({"web1", "Debian-12", "ops", "Str0ng!pass"}, {"-e"}).exit_code : run(form).exit_code,
              0)
        << form[0];
    const json rules = resource("Microsoft.Network/networkSecurityGroups")["properties"]["securityRules"];
    EXPECT_EQ(rules[0]["properties"]["destinationPortRange"], "22");
  }
}

TEST_F(CreateOptions, TheDnsNameMayBeWrittenInFull) {
  EXPECT_EQ(run({}, {"tcp://Web1.cloudapp.net", "Debian-12", "ops", "Str0ng!pass"}).exit_code, 0);
  EXPECT_EQ(resource("Microsoft.Network/publicIPAddresses")["properties"]["dnsSettings"]["domainNameLabel"],
            "web1");
}

TEST_F(CreateOptions, APublicKeySignsInWithoutAPassword) {
  const std::string key =
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBX6tBhHkPqXg2yd1vZf5nVkqyDhkMCn6QBmJDn8Q0Kk me@here";
  write_file(folder / "id.pub", key + "\n");
  EXPECT_EQ(run({"-e", "22", "-P", "-t", folder / "id.pub"}, {"web1", "Debian-12", "ops"}).exit_code, 0);
  EXPECT_EQ(vm()["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"], key);
  EXPECT_EQ(vm()["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"], true);
  EXPECT_FALSE(vm()["osProfile"].contains("adminPassword"));
}

TEST_F(CreateOptions, ACertificateMayCarryTheKey) {
  const PrivateKey key = PrivateKey::generate_rsa();
  write_file(folder / "ssh.pem", issue_certificate({.common_name = "me"}, key).to_pem());
  EXPECT_EQ(run({"-e", "22", "-t", folder / "ssh.pem"}).exit_code, 0);
  EXPECT_THAT(vm()["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"].get<std::string>(),
              StartsWith("ssh-rsa AAAA"));
}

TEST_F(CreateOptions, MarketplaceAddressesAndGalleryNamesAreToldApart) {
  EXPECT_EQ(run({}).exit_code, 0);
  EXPECT_EQ(vm()["storageProfile"]["imageReference"], (json{{"osImage", "Debian-12"}}));
  EXPECT_EQ(run({}, {"web1", "Debian:debian-12:12:latest", "ops", "Str0ng!pass"}).exit_code, 0);
  EXPECT_EQ(vm()["storageProfile"]["imageReference"]["offer"], "debian-12");
}

TEST_F(CreateOptions, CustomDataTravelsAsBase64) {
  write_file(folder / "data", "#!/bin/sh\n");
  EXPECT_EQ(run({"-d", folder / "data"}).exit_code, 0);
  EXPECT_EQ(vm()["osProfile"]["customData"], "IyEvYmluL3NoCg==");
  write_file(folder / "data", std::string(65536, 'x'));
  EXPECT_THAT(error({"-d", folder / "data"}), HasSubstr("--custom-data must be less than 64 KB"));
}

TEST_F(CreateOptions, TheClassicClientsRefusalsAreOurs) {
  EXPECT_THAT(
      error({}, {"web1", "Debian-12", "docker", "Str0ng!pass"}),
      HasSubstr("error:   docker is not valid username for docker vm. Please specify another username.\n"));
  EXPECT_THAT(error({"-e", "abc"}),
              HasSubstr("--ssh [port] must be an integer between 1 and 65535, not 'abc'"));
  EXPECT_THAT(error({"-dp", "65536"}), HasSubstr("--docker-port [port] must be an integer"));
  EXPECT_THAT(error({"-dp", "0"}), HasSubstr("--docker-port [port] must be an integer"));
  EXPECT_THAT(
      error({"-e", "22", "-P"}),
      HasSubstr("--no-ssh-password can only be used with the --ssh-cert or --generate-ssh-keys parameter"));
  EXPECT_THAT(error({"-G"}), HasSubstr("can only be used with --ssh or --no-ssh-endpoint parameter"));
  EXPECT_EQ(run({"-e", "22", "-t", "/nonexistent/key"}).exit_code, 4);
  write_file(folder / "junk", "junk");
  EXPECT_THAT(error({"-e", "22", "-t", folder / "junk"}),
              HasSubstr("is not in PEM or OpenSSH public key format"));
  EXPECT_THAT(error({"--bogus"}), HasSubstr("error:   unknown option `--bogus'\n"));
  EXPECT_THAT(error({}, {"web1", "Debian-12"}),
              HasSubstr("error:   missing required argument `user-name'\n"));
}

TEST_F(CreateOptions, NamesAndPortsThatCannotBeAreRefused) {
  EXPECT_THAT(error({}, {"-web", "Debian-12", "ops", "Str0ng!pass"}), Not(IsEmpty()));
  EXPECT_THAT(error({}, {"we_b", "Debian-12", "ops", "Str0ng!pass"}), HasSubstr("we_b"));
  EXPECT_THAT(error({}, {"web1", "Debian-12", "root", "Str0ng!pass"}), HasSubstr("root"));
  EXPECT_THAT(error({"-dp", "22"}), HasSubstr("SSH server listens there"));
  EXPECT_THAT(error({"-e", "22", "--docker-port", "22"}), HasSubstr("both name port 22"));
  EXPECT_THAT(error({"--timeout", "soon"}), HasSubstr("--timeout"));
  EXPECT_THAT(error({"--context", "a b"}), HasSubstr("cannot name a docker context"));
}

TEST_F(CreateOptions, WhatTheRegionDoesNotHaveIsRefusedByName) {
  for (const auto& option :
       {std::vector<std::string>{"--connect"}, {"-a", "x"}, {"-u", "x"}, {"-R", "x"}, {"-A", "x"}, {"-o"}})
    EXPECT_THAT(error(option), HasSubstr("cannot be used here: ")) << option[0];
}

TEST_F(CreateOptions, TheTemplateIsNotWrittenOverAFile) {
  ASSERT_EQ(run({}).exit_code, 0);
  const Ran again =
      run_program({"vm", "docker", "create", "--template", file, "web1", "Debian-12", "ops", "x"});
  EXPECT_EQ(again.exit_code, 5);
}

TEST_F(CreateOptions, ThePasswordIsWipedFromTheArguments) {
  std::vector<std::string> words{"azure", "vm",   "docker",    "create", "--template",
                                 file,    "web1", "Debian-12", "ops",    "Str0ng!pass"};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  testing::internal::CaptureStdout();
  run_azure(static_cast<int>(words.size()), argv.data(), "1.2.3");
  testing::internal::GetCapturedStdout();
  EXPECT_EQ(words.back(), std::string(11, '\0'));
  EXPECT_EQ(words[8], "ops");
}

class Lookups : public testing::Test {
 protected:
  std::string error(std::vector<std::string> more, int code,
                    std::vector<std::string> last = {"web1", "Debian-12", "ops", "Str0ng!pass"}) {
    std::vector<std::string> all{"vm", "docker", "create"};
    all.insert(all.end(), more.begin(), more.end());
    all.insert(all.end(), last.begin(), last.end());
    const Ran ran = run_program(all);
    EXPECT_EQ(ran.exit_code, code) << ran.err;
    EXPECT_THAT(region.requests(), Not(Contains(StartsWith("PUT"))));
    return ran.err;
  }
  FakeRegion region;
};

TEST_F(Lookups, WhatTheRegionDoesNotKnowIsRefusedBeforeAnythingIsMade) {
  EXPECT_THAT(error({}, 4, {"web1", "nosuch", "ops", "Str0ng!pass"}),
              AllOf(HasSubstr("Image \"nosuch\" not found"), HasSubstr("azure vm image list")));
  EXPECT_THAT(error({"-l", "Atlantis"}, 2),
              AllOf(HasSubstr("No location found which has DisplayName or Name same as value of --location"),
                    HasSubstr("West US")));
  EXPECT_THAT(error({"-z", "Huge"}, 2), AllOf(HasSubstr("\"Huge\""), HasSubstr("Standard_B2s")));
  EXPECT_THAT(error({"-s", "nosuch"}, 4), HasSubstr("The subscription 'nosuch' was not found"));
  EXPECT_THAT(error({}, 2, {"web1", "Debian-12", "ops", "weak"}),
              HasSubstr("password must be at least 8 character"));
  EXPECT_FALSE(std::filesystem::exists(region.docker()));
}

TEST_F(Lookups, ClassicSizesAndDisplayNamesAreTranslated) {
  EXPECT_EQ(run_program({"vm", "docker", "create", "-l", "west us", "-z", "Small", "web1", "debian-12", "ops",
                         "Str0ng!pass"})
                .exit_code,
            0);
  const json& vm = region.deployment["properties"]["template"]["resources"][4];
  EXPECT_EQ(vm["location"], "westus");
  EXPECT_EQ(vm["properties"]["storageProfile"]["imageReference"]["osImage"], "Debian-12");
}

TEST_F(Lookups, APasswordMayComeFromAFile) {
  write_file(region.folder / "pw", "Str0ng!pass\n");
  EXPECT_EQ(run_program({"vm", "docker", "create", "--password-file", region.folder / "pw", "web1",
                         "Debian-12", "ops"})
                .exit_code,
            0);
  EXPECT_EQ(region.deployment["properties"]["parameters"]["adminPassword"]["value"], "Str0ng!pass");
}

TEST_F(Lookups, ImagesAreListedAsTheClassicClientDoes) {
  const Ran ran = run_program({"vm", "image", "list"});
  EXPECT_THAT(ran.out, HasSubstr("data:    Name       Category  OS     Publisher  Template\n"
                                 "data:    ---------  --------  -----  ---------  --------\n"
                                 "data:    Debian-12  Public    Linux  Debian     none\n"));
  EXPECT_EQ(json::parse(run_program({"vm", "image", "list", "--json"}).out)[0]["name"], "Debian-12");
}

TEST_F(Lookups, ImageAliasesAndServedFoldersAreAskedForByTheirAddresses) {
  std::map<std::string, std::string> bodies;
  region.on_request = [&](const Request& request) -> std::optional<Response> {
    if (request.path.find("Berth.Local/imageAliases") == std::string::npos &&
        request.path.find("Berth.Local/templateFolders") == std::string::npos)
      return std::nullopt;
    bodies[request.method + " " + request.path.substr(request.path.find("Berth.Local"))] = request.body;
    if (request.method != "GET") return Response{.status = 200, .headers = {}, .body = "{}"};
    const std::string list =
        request.path.ends_with("imageAliases")
            ? R"({"value":[{"properties":{"pattern":"Canonical:*:*","image":"Debian-12"}}]})"
            : R"({"value":[{"name":"served","properties":{"uri":"https://h/templates/k/"}}]})";
    return Response{.status = 200, .headers = {}, .body = list};
  };
  const Ran added = run_program({"vm", "image", "alias", "add", "Canonical:*:*", "Debian-12"});
  EXPECT_EQ(added.exit_code, 0) << added.err;
  EXPECT_THAT(added.out + added.err, HasSubstr("Whoever asks for Canonical:*:* gets Debian-12"));
  EXPECT_EQ(json::parse(bodies["PUT Berth.Local/imageAliases/Canonical:*:*"])["properties"]["image"],
            "Debian-12");
  EXPECT_THAT(run_program({"vm", "image", "alias", "list"}).out, HasSubstr("Canonical:*:*  Debian-12"));
  EXPECT_EQ(run_program({"vm", "image", "alias", "remove", "Canonical:*:*"}).exit_code, 0);
  EXPECT_TRUE(bodies.contains("DELETE Berth.Local/imageAliases/Canonical:*:*"));
  EXPECT_EQ(run_program({"region", "start", "--image-alias", "Canonical:*:*"}).exit_code, 2);

  const std::string served = region.folder / "served";
  make_folder(served);
  const Ran ran = run_program({"region", "serve-templates", served});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("data:    https://h/templates/k/"));
  EXPECT_EQ(json::parse(bodies["PUT Berth.Local/templateFolders/served"])["properties"]["folder"], served);
  EXPECT_EQ(run_program({"region", "serve-templates", served, "--as", "https://host/x/"}).exit_code, 0);
  EXPECT_EQ(json::parse(bodies["PUT Berth.Local/templateFolders/served"])["properties"]["standsFor"],
            "https://host/x/");
  EXPECT_EQ(run_program({"region", "serve-templates", served, "--stop"}).exit_code, 0);
  EXPECT_TRUE(bodies.contains("DELETE Berth.Local/templateFolders/served"));
  EXPECT_EQ(run_program({"region", "serve-templates", served + "/none"}).exit_code, 4);
}

TEST_F(Lookups, NoSuchVm) {
  EXPECT_EQ(run_program({"vm", "show", "none"}).exit_code, 4);
  EXPECT_EQ(run_program({"vm", "delete", "none", "--quiet"}).exit_code, 4);
}

}  // namespace berth
