// Runs the program as a user would.
#include <fmt/format.h>
#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"
#include "http/client.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto limit = 60s;  // of what takes a second or two

class Berthd : public testing::Test {
 protected:
  RunResult run_with(std::vector<std::string> arguments,
                     std::map<std::string, std::string> environment = {}) {
    std::vector<std::string> argv{BERTHD, "--home", home.string()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    environment["BERTH_IMAGES"] = (folder / "images").string();
    return run(argv, {.environment = std::move(environment), .limit = limit});
  }
  /// Starts one that plays its machines, and waits until it serves.
  ProcessId start() {
    const ProcessId process = spawn_detached({BERTHD, "--home", home.string(), "--driver", "fake"},
                                             {.log = folder / "out", .environment = {}, .inherit = {}});
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!std::filesystem::exists(home / "region.json") && std::chrono::steady_clock::now() < end)
      std::this_thread::yield();
    return process;
  }

  const TemporaryFolder folder;
  const std::filesystem::path home = folder / "home";
};

TEST_F(Berthd, AnnouncesItselfWhileItServes) {
  const ProcessId process = start();
  const auto document = nlohmann::json::parse(read_file(home / "region.json"));
  EXPECT_EQ(document["accelerator"], "none");
  EXPECT_EQ(parse_process_id(document["pid"].get<std::string>()), process);

  const RunResult second = run_with({"--driver", "fake"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("A region already serves " + home.string()));

  end_process(process, limit);
  EXPECT_FALSE(std::filesystem::exists(home / "region.json"));
  EXPECT_THAT(read_file(home / "berthd.log"), HasSubstr("info stopped"));
}

TEST_F(Berthd, ReadsNoBodyOfAStrangerAndAnswersToItsOwnNames) {
  const ProcessId process = start();
  const auto document = nlohmann::json::parse(read_file(home / "region.json"));
  const std::string endpoint = document["managementEndpoint"], subscription = document["subscriptionId"];
  Client client({.ca_file = document["caCertificate"].get<std::string>()});
  const auto status = [&](const std::string& method, const std::string& path, const std::string& body,
                          const CaseInsensitiveMap& headers = {}) {
    return client
        .send({.method = method, .url = endpoint + path, .headers = headers, .body = body, .bearer = {}})
        .status;
  };
  const std::string large = "client_id=" + std::string(7'000'000, 'x');
  EXPECT_EQ(status("POST", "/adfs/oauth2/devicecode", large), 413);
  EXPECT_EQ(status("POST", "/adfs/oauth2/token", large), 413);
  EXPECT_EQ(
      status("PUT", "/subscriptions/" + subscription + "/resourceGroups/g?api-version=2020-06-01", large),
      401);
  EXPECT_EQ(status("POST", "/" + subscription + "/services/hostedservices", large), 403);
  EXPECT_EQ(status("POST", "/nothing/here", large), 404);
  EXPECT_EQ(status("GET", "/metadata/endpoints", "", {{"Host", "evil.example"}}), 421);
  EXPECT_EQ(status("GET", "/metadata/endpoints", "", {{"Origin", "https://evil.example"}}), 403);
  EXPECT_EQ(status("GET", "/metadata/endpoints", "", {{"Host", "login.windows.net"}}), 200);
  EXPECT_EQ(status("GET", "/metadata/endpoints", ""), 200);
  end_process(process, limit);
}

TEST_F(Berthd, RefusesSettingsThatAreNoneAndKeepsNothing) {
  const auto refused = [&](const std::string& option, const std::string& value) {
    const RunResult result = run_with({"--driver", "fake", option, value});
    EXPECT_EQ(result.exit_code, 2) << option << ' ' << value;
    EXPECT_THAT(result.err, HasSubstr("usage: berthd"));
    return result.err;
  };
  EXPECT_THAT(refused("--port", "http"), HasSubstr("'http' is no port"));
  refused("--port", "0");
  refused("--port", "70000");
  EXPECT_THAT(refused("--egress", "full access"), HasSubstr("'full access' in the egress policy"));
  refused("--egress", "mirror.example,,10.0.0.0/8");
  refused("--egress", "mirror.example/debian");
  refused("--egress", "1.2.3.4.5");
  EXPECT_THAT(refused("--dns-suffix", "a b"), HasSubstr("'a b' is no DNS suffix"));
  EXPECT_THAT(refused("--hosts-file", "hosts"), HasSubstr("no absolute path"));
  refused("--driver", "xen");
  EXPECT_FALSE(std::filesystem::exists(home)) << "nothing was touched";
}

TEST_F(Berthd, TellsItsUseWhenAsked) {
  const RunResult help = run({BERTHD, "--help"}, {.limit = limit});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("usage: berthd"));
  EXPECT_THAT(run({BERTHD, "--version"}, {.limit = limit}).out, HasSubstr("berthd "));
}

TEST_F(Berthd, ItsHostsFileIsWhereTheUserIs) {
  const auto azure = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {AZURE, "region"});
    return run(words,
               {.folder = folder.path(), .environment = {{"BERTH_HOME", home.string()}}, .limit = limit});
  };
  const RunResult started = azure({"start", "--driver", "fake", "--hosts-file", "hosts"});
  EXPECT_EQ(started.exit_code, 0) << started.err;
  EXPECT_EQ(azure({"stop"}).exit_code, 0);
}

TEST_F(Berthd, LetsMachinesOfANewRegionReachTheInternetOnly) {
  end_process(start(), limit);
  EXPECT_THAT(read_file(home / "berthd.log"), Not(HasSubstr("egress=full")));
  const ProcessId again = start();
  EXPECT_EQ(nlohmann::json::parse(read_file(home / "region.json"))["egress"], "internet");
  end_process(again, limit);
}

TEST_F(Berthd, KeepsTheFullEgressOfARegionThatHadItWithoutSayingSo) {
  end_process(start(), limit);
  const RunResult forgotten =
      run({"python3", "-c",
           "import sqlite3, sys\n"
           "with sqlite3.connect(sys.argv[1]) as db:\n"
           "  print(db.execute(\"DELETE FROM document WHERE kind = 'setting' AND key = 'egress'\").rowcount)",
           (home / "region.db").string()},
          {.limit = limit});
  ASSERT_EQ(forgotten.out, "1\n") << forgotten.err;
  const ProcessId process = start();
  EXPECT_EQ(nlohmann::json::parse(read_file(home / "region.json"))["egress"], "full");
  EXPECT_THAT(read_file(home / "berthd.log"), HasSubstr("egress=full"));
  end_process(process, limit);
}

TEST_F(Berthd, SaysWhatFullEgressOpensWhenItIsChosen) {
  const auto azure = [&](std::vector<std::string> words) {
    words.insert(words.begin(), {AZURE, "region"});
    return run(words,
               {.folder = folder.path(), .environment = {{"BERTH_HOME", home.string()}}, .limit = limit});
  };
  const RunResult started = azure({"start", "--driver", "fake", "--egress", "full"});
  EXPECT_EQ(started.exit_code, 0) << started.err;
  EXPECT_THAT(started.out, HasSubstr("every service of this host"));
  const RunResult status = azure({"status"});
  EXPECT_THAT(status.out, HasSubstr("egress"));
  EXPECT_THAT(status.out, HasSubstr("networkSandbox"));
  azure({"stop"});
  const RunResult changed = azure({"start", "--driver", "fake", "--egress", "internet"});
  EXPECT_THAT(changed.out, Not(HasSubstr("every service of this host")));
  azure({"stop"});
}

TEST_F(Berthd, AnnouncesNothingWhenThisHostCannotRunMachines) {
  const RunResult result = run_with({}, {{"BERTH_ACCELERATOR", "hvf"}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("BERTH_ACCELERATOR"));
  EXPECT_THAT(read_file(home / "berthd.log"), Not(HasSubstr("serving")));
}

TEST_F(Berthd, SaysWhatToDoAboutADamagedStore) {
  make_folder(home);
  std::ofstream(home / "region.db") << std::string(8192, 'x');
  const RunResult result = run_with({"--driver", "fake"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr((home / "region.db").string()));
  EXPECT_THAT(result.err, HasSubstr("BERTH_HOME"));
}

/// A whole life of a region by played machines, from programs that were started with an open umask in a home
/// that others can look into.
class Life : public Berthd {
 protected:
  Life() {
    make_folder(home, 0755);
    make_folder(user, 0755);
    std::string disk(1 << 20, '\0');
    disk.replace(510, 2, "\x55\xAA");
    write_file(folder / "tiny.raw", disk, 0644);
    make_folder(folder / "handler", 0755);
    write_file(folder / "handler/h", "#!/bin/sh\n", 0755);
    write_file(folder / "handler/HandlerManifest.json",
               R"([{"version": 1.0, "handlerManifest": {"installCommand": "h", "uninstallCommand": "h", )"
               R"("updateCommand": "h", "enableCommand": "h", "disableCommand": "h"}}])",
               0644);
  }
  RunResult azure(std::vector<std::string> words) {
    words.insert(words.begin(), {"sh", "-c", "umask 0; exec \"$0\" \"$@\"", AZURE});
    return run(words, {.folder = folder.path(),
                       .environment = {{"BERTH_HOME", home.string()},
                                       {"BERTH_IMAGES", (folder / "images").string()},
                                       {"HOME", user.string()},
                                       {"XDG_CONFIG_HOME", ""},
                                       {"DOCKER_CONFIG", ""}},
                       .limit = limit});
  }
  void live() {
    const RunResult started = azure({"region", "start", "--driver", "fake", "--hosts-file", "hosts"});
    ASSERT_EQ(started.exit_code, 0) << started.err;
    said = started.err + started.out;
    const RunResult image = azure({"vm", "image", "create", "tiny", (folder / "tiny.raw").string()});
    ASSERT_EQ(image.exit_code, 0) << image.err;
    // The packages of this build may not be there.
    const RunResult handler =
        azure({"vm", "extension", "publish", (folder / "handler").string(), "-p",
               "Microsoft.Azure.Extensions", "-n", "DockerExtension", "--version", "1.3.99"});
    ASSERT_EQ(handler.exit_code, 0) << handler.err;
    // Its engine is played by nobody: the host is made, and then found not to answer.
    azure({"vm", "docker", "create", "-e", "22", "-l", "West US", "--generate-ssh-keys", "--timeout", "3",
           "--keep-failed", "web1", "tiny", "ops", "Str0ng!pass"});
    const RunResult hosts = azure({"vm", "list"});
    ASSERT_THAT(hosts.out, HasSubstr("web1")) << hosts.err;
  }

  const std::filesystem::path user = folder / "user";
  std::string said;
};

TEST_F(Life, LeavesNothingOpenToOthers) {
  live();
  azure({"region", "stop"});
  // What others may read, and why.
  const std::map<std::string, mode_t> open = {
      {"user/.docker/ca.pem", 0644},           // as docker's own tools make certificates
      {"user/.docker/cert.pem", 0644},         // the same
      {"user/.docker/contexts/meta/*", 0755},  // as the docker client makes it
      {"user/.docker/contexts/meta/*/meta.json", 0644}};
  EXPECT_THAT(said, HasSubstr("closed"));
  std::size_t seen = 0;
  for (const auto& top : {home, user, folder / "images"}) {
    if (!std::filesystem::exists(top)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(top)) {
      struct stat status {};
      ASSERT_EQ(::lstat(entry.path().c_str(), &status), 0);
      const std::string name = entry.path().lexically_relative(folder.path()).string();
      mode_t allowed = S_ISDIR(status.st_mode) ? 0700 : 0600;
      for (const auto& [pattern, mode] : open)
        if (::fnmatch(pattern.c_str(), name.c_str(), FNM_PATHNAME) == 0) allowed = mode;
      EXPECT_EQ(status.st_mode & 0777 & ~allowed, 0u) << name << fmt::format(" {:o}", status.st_mode & 0777);
      ++seen;
    }
  }
  EXPECT_GT(seen, 20u);
  EXPECT_EQ(std::filesystem::status(home).permissions(), std::filesystem::perms(0700));
  azure({"region", "delete", "--quiet"});
}

TEST_F(Life, EndsWithNothingLeftButWhatIsNotOurs) {
  live();
  write_file(home / "thesis.txt", "precious");
  std::filesystem::create_directory_symlink(user, home / "vm/link");
  write_file(user / "kept", "precious");
  const RunResult first = azure({"region", "delete", "--quiet"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out + first.err, HasSubstr((home / "thesis.txt").string()));
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home))
    if (!entry.is_directory() || entry.is_symlink())
      left.push_back(entry.path().lexically_relative(home).string());
  EXPECT_THAT(left, testing::UnorderedElementsAre("thesis.txt", "vm/link"));
  EXPECT_EQ(read_file(user / "kept"), "precious");
  EXPECT_THAT(azure({"region", "start", "--driver", "fake"}).err, HasSubstr("thesis.txt"));
}

/// Shown by the kernel: of a process that cannot be dumped, /proc/PID is root's.
TEST_F(Berthd, KeepsItsMemoryAndItsFilesToItself) {
  const ProcessId process = start();
  const std::string proc = "/proc/" + std::to_string(process.pid);
  EXPECT_THAT(read_file(proc + "/status"), HasSubstr("Umask:\t0077"));
  EXPECT_THAT(read_file(proc + "/limits"), testing::ContainsRegex("Max core file size +0 +0 "));
  struct stat status {};
  ASSERT_EQ(::stat((proc + "/environ").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0u);
  end_process(process, limit);
}

}  // namespace
}  // namespace berth
