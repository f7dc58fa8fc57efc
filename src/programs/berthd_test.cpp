// Runs the program as a user would.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

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

}  // namespace
}  // namespace berth
