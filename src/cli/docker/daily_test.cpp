#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/docker/engine.h"
#include "cli/docker/identities.h"
#include "cli/docker/list.h"
#include "cli/fake_region.h"
#include "cli/vm/ssh.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

/// A region with one Docker host, web1, whose SSH port is open.
class DockerDaily : public testing::Test {
 protected:
  void SetUp() override {
    region.extension_view = json::parse(R"({"name": "DockerExtension",
      "type": "Microsoft.Azure.Extensions.DockerExtension", "typeHandlerVersion": "1.3.0",
      "statuses": [{"code": "ProvisioningState/succeeded", "message": "Enable Docker succeeded"}],
      "substatuses": [{"code": "ComponentStatus/tls/succeeded",
        "message": "The server certificate is valid for 824 days, until 2029-03-04T05:06:07Z."}]})");
    region.ssh_host_port = 10022;
    const Ran ran = run_program(
        {"vm", "docker", "create", "-e", "22", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"});
    ASSERT_EQ(ran.exit_code, 0) << ran.err << ran.out;
    ::setenv("SHELL", "/bin/bash", 1);
  }
  std::string engine() {
    return json::parse(run_program({"vm", "docker", "url", "web1", "--json"}).out)["dockerHost"];
  }

  /// In place of ssh and scp: writes its arguments into a file, one a line.
  void play(const std::string& program, const std::string& then = "exit 7") {
    make_folder(region.folder.path() / "bin");
    write_file(
        region.folder.path() / "bin" / program,
        "#!/bin/sh\nprintf '%s\\n' \"$@\" >" + std::string(region.folder / "asked") + "\n" + then + "\n",
        0755);
    ::setenv("PATH", ((region.folder.path() / "bin").string() + ":" + path).c_str(), 1);
  }
  void TearDown() override { ::setenv("PATH", path.c_str(), 1); }

  const std::string path = std::getenv("PATH");
  FakeRegion region;
};

}  // namespace

TEST_F(DockerDaily, ListShowsEnginesTheEndOfTlsAndContainers) {
  const Ran ran = run_program({"vm", "docker", "list"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(ran.out,
            "info:    Executing command vm docker list\n"
            "info:    Getting virtual machines\n"
            "info:    Using the local region\n"
            "data:    Name  Status   Docker" +
                std::string(engine().size() - 6 + 2, ' ') +
                "Engine    TLS until   Running\n"
                "data:    ----  -------  " +
                std::string(engine().size(), '-') +
                "  --------  ----------  -------\n"
                "data:    web1  running  " +
                engine() +
                "  20.10.24  2029-03-04  2 of 3\n"
                "info:    vm docker list command OK\n");
  const json listed = json::parse(run_program({"vm", "docker", "list", "--json"}).out);
  EXPECT_EQ(listed[0]["engine"], "20.10.24");
  EXPECT_EQ(listed[0]["tlsUntil"], "2029-03-04");
  EXPECT_EQ(listed[0]["running"], 2);
}

TEST_F(DockerDaily, ListSaysWhichEngineDoesNotAnswer) {
  std::filesystem::remove(region.docker() / "key.pem");
  const Ran ran = run_program({"vm", "docker", "list"});
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("no answer"), HasSubstr("'azure vm docker show web1' says why")));
  EXPECT_THAT(
      json::parse(run_program({"vm", "docker", "list", "--json"}).out)[0]["problem"].get<std::string>(),
      HasSubstr("key.pem is missing"));
}

TEST(DockerHostAsleep, WhoOnlyLooksAtItDoesNotWakeIt) {
  FakeRegion region;
  region.extension_view = {{"name", "DockerExtension"},
                           {"type", "Microsoft.Azure.Extensions.DockerExtension"}};
  region.further_status = {{"code", "HibernationState/Hibernated"}};
  const Ran made =
      run_program({"vm", "docker", "create", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"});
  ASSERT_EQ(made.exit_code, 0) << made.err;

  const json listed = json::parse(run_program({"vm", "docker", "list", "--json"}).out);
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0]["status"], "asleep");
  EXPECT_EQ(listed[0]["engine"], "");
  EXPECT_EQ(listed[0]["problem"], "");
  EXPECT_THAT(run_program({"vm", "docker", "show", "web1"}).out, HasSubstr("it is asleep"));
}

TEST_F(DockerDaily, EnvIsForEachShellAndNothingElseIsPrinted) {
  const std::string folder = region.docker().string();
  EXPECT_EQ(run_program({"vm", "docker", "env", "web1"}).out,
            "export DOCKER_HOST=" + engine() + "\nexport DOCKER_TLS_VERIFY=1\nexport DOCKER_CERT_PATH=" +
                folder + "\n# Run this to configure your shell:\n# eval \"$(azure vm docker env web1)\"\n");
  EXPECT_EQ(
      run_program({"vm", "docker", "env", "web1", "--shell", "fish"}).out,
      "set -gx DOCKER_HOST '" + engine() + "';\nset -gx DOCKER_TLS_VERIFY '1';\nset -gx DOCKER_CERT_PATH '" +
          folder +
          "';\n# Run this to configure your shell:\n# azure vm docker env web1 --shell fish | source\n");
  EXPECT_THAT(run_program({"vm", "docker", "env", "web1", "--shell", "powershell"}).out,
              StartsWith("$Env:DOCKER_HOST = '" + engine() + "'\n"));
  EXPECT_THAT(run_program({"vm", "docker", "env", "--unset"}).out,
              StartsWith("unset DOCKER_HOST\nunset DOCKER_TLS_VERIFY\nunset DOCKER_CERT_PATH\n"));
  EXPECT_EQ(json::parse(run_program({"vm", "docker", "env", "web1", "--json"}).out)["DOCKER_HOST"], engine());
  EXPECT_THAT(run_program({"vm", "docker", "env", "web1", "--shell", "ed"}).err,
              HasSubstr("Shells: bash, zsh, sh, fish, powershell."));
  EXPECT_EQ(run_program({"vm", "docker", "env"}).exit_code, 2);
}

TEST_F(DockerDaily, AShellThatTakesWhatEnvPrintsHasTheVariables) {
  write_file(region.folder / "env", run_program({"vm", "docker", "env", "web1"}).out);
  const RunResult shell = run({"bash", "-c",
                               ". " + std::string(region.folder / "env") +
                                   "; echo \"$DOCKER_HOST $DOCKER_TLS_VERIFY $DOCKER_CERT_PATH\""});
  EXPECT_EQ(shell.out, engine() + " 1 " + region.docker().string() + "\n");
}

TEST_F(DockerDaily, IpAndUrlPrintThatAlone) {
  EXPECT_EQ(run_program({"vm", "docker", "ip", "web1"}).out, "127.0.0.1\n");
  EXPECT_THAT(run_program({"vm", "docker", "url", "web1"}).out, MatchesRegex("tcp://127.0.0.1:[0-9]+\n"));
  EXPECT_EQ(json::parse(run_program({"vm", "docker", "ip", "web1", "--json"}).out)["ipAddress"], "127.0.0.1");
  const Ran none = run_program({"vm", "docker", "ip", "nobody"});
  EXPECT_EQ(none.exit_code, 4);
  EXPECT_THAT(none.out, IsEmpty());
}

TEST_F(DockerDaily, AContextIsRemovedAndWrittenAnew) {
  EXPECT_THAT(run_program({"vm", "docker", "context", "remove", "web1"}).out,
              HasSubstr("info:    Docker context 'web1' removed\n"));
  EXPECT_THAT(run_program({"vm", "docker", "context", "remove", "web1"}).out,
              HasSubstr("No docker context of ours leads to web1"));
  const Ran ran = run_program({"vm", "docker", "context", "add", "web1", "--context", "mine", "--use"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("info:    Docker context 'mine' written, and made the current one\n"));
  EXPECT_EQ(json::parse(read_file(region.docker() / "config.json"))["currentContext"], "mine");
  EXPECT_EQ(run_program({"vm", "docker", "context", "add", "web1", "--context", "a b"}).exit_code, 2);
}

TEST_F(DockerDaily, SshIsTheSystemsWithTheKeysOfTheHostAlone) {
  play("ssh");
  const Ran ran = run_program({"vm", "docker", "ssh", "web1", "-i", "/key", "--", "ls", "-h"});
  EXPECT_EQ(ran.exit_code, 7) << ran.err;
  EXPECT_THAT(ran.out, IsEmpty());
  EXPECT_EQ(read_file(region.folder / "asked"),
            "-p\n10022\n-i\n/key\n-o\nStrictHostKeyChecking=accept-new\n-o\nUserKnownHostsFile=" +
                (region.folder.path() / ".config/berth/ssh/web1.known_hosts").string() +
                "\nops@127.0.0.1\nls\n-h\n");
}

TEST_F(DockerDaily, ScpTellsHostsFromFilesOfThisMachine) {
  play("scp", "exit 0");
  EXPECT_EQ(run_program({"vm", "docker", "scp", "-r", "web1:/etc/os-release", "./a:b"}).exit_code, 0);
  EXPECT_THAT(
      read_file(region.folder / "asked"),
      AllOf(StartsWith("-P\n10022\n"), HasSubstr("\n-r\n--\nops@127.0.0.1:/etc/os-release\n./a:b\n")));
  EXPECT_THAT(run_program({"vm", "docker", "scp", "a", "b"}).err, HasSubstr("one of them in a host"));
  EXPECT_THAT(run_program({"vm", "docker", "scp", "web1:a", "web2:b"}).err,
              HasSubstr("Both web1 and web2 are hosts."));
}

TEST_F(DockerDaily, LogsAreReadInTheHost) {
  play("ssh", "echo line; exit 0");
  EXPECT_EQ(run_program({"vm", "docker", "logs", "web1", "-n", "5", "-f"}).exit_code, 0);
  EXPECT_THAT(read_file(region.folder / "asked"),
              HasSubstr("journalctl -u docker.service -u docker-tls.service --no-pager -n 5 -f"));
  EXPECT_EQ(run_program({"vm", "docker", "logs", "web1", "--extension"}).exit_code, 0);
  EXPECT_THAT(read_file(region.folder / "asked"),
              HasSubstr("/var/log/azure/Microsoft.Azure.Extensions.DockerExtension"));
  EXPECT_EQ(json::parse(run_program({"vm", "docker", "logs", "web1", "--agent", "--json"}).out)["text"],
            "line\n");
  EXPECT_THAT(run_program({"vm", "docker", "logs", "web1", "--agent", "--serial"}).err,
              HasSubstr("One log at a time"));
  EXPECT_THAT(run_program({"vm", "docker", "logs", "web1", "--serial"}).err, HasSubstr("keeps no console"));
}

TEST_F(DockerDaily, StatsAreWhatTheContainersUse) {
  region.on_docker = [](const std::string& path) -> std::optional<json> {
    if (path == "/containers/json") return json::parse(R"([{"Id": "abc"}])");
    if (path.starts_with("/containers/abc/stats"))
      return json::parse(
          R"({"name": "/web", "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
        "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
        "memory_stats": {"usage": 3145728, "limit": 1073741824, "stats": {"inactive_file": 1048576}},
        "networks": {"eth0": {"rx_bytes": 2048, "tx_bytes": 10}}})");
    return std::nullopt;
  };
  const Ran ran = run_program({"vm", "docker", "stats", "web1"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("data:    Container  CPU     Memory   Limit    Received  Sent\n"
                                 "data:    ---------  ------  -------  -------  --------  ----\n"
                                 "data:    web        40.0 %  2.0 MiB  1.0 GiB  2.0 KiB   10 B\n"));
  const json told =
      json::parse(run_program({"vm", "docker", "stats", "web1", "--json"}).out)["containers"][0];
  EXPECT_EQ(told["cpuPercent"], 40.0);
  EXPECT_EQ(told["memoryBytes"], 2097152);
}

TEST_F(DockerDaily, APersonsCertificateIsAcceptedUntilItIsRevokedAndNobodyElseNotices) {
  const std::filesystem::path folder = region.folder.path() / "alice";
  const Ran ran = run_program({"vm", "docker", "certs", "issue", "web1", "alice", "-o", folder.string()});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              HasSubstr("alice may use web1 with the certificate in " + folder.string() + " for 90 days"));
  const auto told = [&] {
    const json& certs = region.extension_change["properties"]["protectedSettings"]["certs"];
    write_file(region.folder / "told.pem", *base64_decode(certs["ca"].get<std::string>()));
    return Certificate::parse_bundle(read_file(region.folder / "told.pem"), "told").size();
  };
  const auto accepts = [&](const std::string& certificate) {
    return run({"openssl", "verify", "-purpose", "sslclient", "-CAfile", region.folder / "told.pem",
                certificate})
               .exit_code == 0;
  };
  EXPECT_EQ(told(), 2U);
  EXPECT_TRUE(accepts((folder / "cert.pem").string()));
  EXPECT_TRUE(accepts((region.docker() / "cert.pem").string()));
  EXPECT_EQ(
      json::parse(
          run_program({"vm", "docker", "certs", "show", "web1", "--json"}).out)["identities"][0]["name"],
      "alice");
  EXPECT_EQ(
      run_program({"vm", "docker", "certs", "issue", "web1", "alice", "-o", folder.string() + "2"}).exit_code,
      5);

  ASSERT_EQ(run_program({"vm", "docker", "certs", "revoke", "web1", "alice"}).exit_code, 0);
  EXPECT_EQ(told(), 1U);
  EXPECT_FALSE(accepts((folder / "cert.pem").string()));
  EXPECT_TRUE(accepts((region.docker() / "cert.pem").string()));
  EXPECT_EQ(run_program({"vm", "docker", "certs", "revoke", "web1", "alice"}).exit_code, 4);
  EXPECT_EQ(run_program({"vm", "docker", "certs", "issue", "web1", "../evil"}).exit_code, 2);
}

TEST_F(DockerDaily, RotationMakesANewServerCertificateAndWithClientANewPair) {
  const std::string before = read_file(region.docker() / "cert.pem");
  ASSERT_EQ(run_program({"vm", "docker", "certs", "rotate", "web1"}).exit_code, 0);
  const json certs = region.extension_change["properties"]["protectedSettings"]["certs"];
  EXPECT_THAT(Certificate::parse_pem(*base64_decode(certs["cert"].get<std::string>()), "server").dns_names(),
              Contains("web1.cloudapp.net"));
  EXPECT_EQ(region.extension_change["properties"]["settings"]["docker"]["port"], "4243");
  EXPECT_EQ(read_file(region.docker() / "cert.pem"), before);

  const Ran ran = run_program({"vm", "docker", "certs", "rotate", "web1", "--client"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_NE(read_file(region.docker() / "cert.pem"), before);
  EXPECT_THAT(ran.out, HasSubstr("Docker context 'web1' has it, too"));
}

TEST_F(DockerDaily, CertsShowNamesWhoseTheyAreAndWhenTheyEnd) {
  const Ran ran = run_program({"vm", "docker", "certs", "show", "web1"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("data:    authority    CN=Berth Docker CA of "),
                             HasSubstr("data:    client       CN="),
                             HasSubstr("data:    server       CN=web1.cloudapp.net  ")));
}

TEST_F(DockerDaily, PortsAreOpenedListedAndClosed) {
  Ran ran = run_program(
      {"vm", "docker", "port", "publish", "web1", "8080", "9000-9010/udp", "--source", "127.0.0.0/8"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("8080/tcp is open as soon as web1 runs"));
  const json listed = json::parse(run_program({"vm", "docker", "port", "list", "web1", "--json"}).out);
  ASSERT_EQ(listed.size(), 4U) << listed;
  EXPECT_EQ(listed[0]["name"], "ssh");
  EXPECT_EQ(listed[0]["reachableAt"], "127.0.0.1:10022");
  EXPECT_EQ(listed[2]["name"], "port-8080-tcp");
  EXPECT_EQ(listed[3]["publicPort"], "9000-9010");
  EXPECT_EQ(listed[3]["protocol"], "udp");
  EXPECT_EQ(listed[3]["source"], "127.0.0.0/8");
  EXPECT_THAT(run_program({"vm", "docker", "port", "publish", "web1", "9005/udp"}).err,
              HasSubstr("9005/udp of web1 is open already, by port-9000-9010-udp."));
  EXPECT_EQ(run_program({"vm", "docker", "port", "remove", "web1", "8080", "9000-9010/udp"}).exit_code, 0);
  EXPECT_EQ(json::parse(run_program({"vm", "docker", "port", "list", "web1", "--json"}).out).size(), 2U);
  EXPECT_EQ(run_program({"vm", "docker", "port", "remove", "web1", "8080"}).exit_code, 4);
}

TEST_F(DockerDaily, EndpointsAreTheClassicClientsWords) {
  ASSERT_EQ(run_program({"vm", "endpoint", "create", "web1", "80", "-n", "http", "-t", "tcp"}).exit_code, 0);
  const Ran shown = run_program({"vm", "endpoint", "show", "web1", "http"});
  EXPECT_THAT(shown.out, HasSubstr("data:    Public port   80\n"));
  EXPECT_THAT(run_program({"vm", "endpoint", "list", "web1"}).out,
              HasSubstr("data:    http    tcp       80           80          *"));
  EXPECT_THAT(run_program({"vm", "endpoint", "create", "web1", "81", "8081"}).err,
              HasSubstr("cannot lead its port 81 to 8081: only a load balancer does."));
  EXPECT_THAT(run_program({"vm", "endpoint", "create", "web1", "81", "-n", "HTTP"}).err,
              HasSubstr("has an endpoint HTTP already"));
  EXPECT_EQ(run_program({"vm", "endpoint", "delete", "web1", "http"}).exit_code, 0);
  EXPECT_EQ(run_program({"vm", "endpoint", "show", "web1", "http"}).exit_code, 4);
  for (const char* wrong : {"0", "70000", "x", "80-", "90-80", "80/icmp"})
    EXPECT_EQ(run_program({"vm", "docker", "port", "publish", "web1", wrong}).exit_code, 2) << wrong;
}

TEST(EndpointsBehindALoadBalancer, LeadAPublicPortToAnotherOfTheMachine) {
  FakeRegion region;
  ASSERT_EQ(run_program({"vm", "docker", "create", "-e", "2222", "-l", "West US", "web1", "Debian-12", "ops",
                         "Str0ng!pass"})
                .exit_code,
            0);
  const Ran made = run_program({"vm", "endpoint", "create", "web1", "80", "8080", "-n", "http"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  json listed = json::parse(run_program({"vm", "endpoint", "list", "web1", "--json"}).out);
  ASSERT_EQ(listed.size(), 3U) << listed;
  EXPECT_EQ(listed[0]["name"], "http");
  EXPECT_EQ(listed[0]["publicPort"], "80");
  EXPECT_EQ(listed[0]["localPort"], "8080");
  EXPECT_EQ(listed[1]["publicPort"], "2222");
  EXPECT_EQ(listed[1]["localPort"], "22");
  EXPECT_EQ(run_program({"vm", "endpoint", "delete", "web1", "http"}).exit_code, 0);
  listed = json::parse(run_program({"vm", "endpoint", "list", "web1", "--json"}).out);
  EXPECT_THAT(listed.dump(), AllOf(Not(HasSubstr("8080")), HasSubstr("2222")));
}

}  // namespace berth
