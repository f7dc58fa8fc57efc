#include "scripts/handler.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "crypto/test_support.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

const Certificate& machine_certificate() {
  static const Certificate certificate = self_signed(CertificateUse::encryption, rsa_key()).first;
  return certificate;
}

/// Detached work is kept, to be done when the test says so.
class KeepingRunner final : public Runner {
 public:
  RunResult run(const std::vector<std::string>& argv, const RunOptions& options) override {
    if (argv[0] != "curl" && argv[0] != "python3") return berth::run(argv, options);
    ++fetches;
    return berth::run({"sleep", "1000"}, options);  // a server that sends little
  }
  void detach(const std::vector<std::string>& argv) override { detached.push_back(argv); }
  std::vector<std::vector<std::string>> detached;
  int fetches = 0;
};

/// A guest with an agent's folders, in which commands really run.
class ScriptWorld : public testing::Test {
 protected:
  explicit ScriptWorld(int kind = 0) : kind_(script_kinds[kind]) {
    handler_folder_ = at(fmt::format("/var/lib/waagent/{}-9.9.9", kind_.handler));
    for (const char* name : {"config", "status"}) make_folder(handler_folder_ / name);
  }

  fs::path at(std::string_view absolute) const { return Root(folder_.path())(absolute); }

  void settings(int number, const json& open, const json& closed = nullptr) {
    json inner = {{"publicSettings", open}};
    if (!closed.is_null()) {
      write_file(at("/var/lib/waagent") / (certificate_.thumbprint() + ".crt"), certificate_.to_pem());
      write_file(at("/var/lib/waagent") / (certificate_.thumbprint() + ".prv"), key_.to_pem().reveal());
      inner["protectedSettings"] =
          base64_encode(cms_encrypt(closed.dump(), certificate_, ContentCipher::aes_256_cbc));
      inner["protectedSettingsCertThumbprint"] = certificate_.thumbprint();
    }
    write_file(handler_folder_ / "config" / fmt::format("{}.settings", number),
               json{{"runtimeSettings", {{{"handlerSettings", inner}}}}}.dump());
    number_ = number;
  }

  int operate(const std::string& operation, std::stop_token stop = {}) {
    Invocation invocation{
        .environment = {}, .executable = "/handler", .told_sequence = std::to_string(number_)};
    invocation.environment = {.name = std::string(kind_.handler),
                              .handler_folder = handler_folder_,
                              .version = "9.9.9",
                              .log_folder = at("/var/log/azure/x"),
                              .config_folder = handler_folder_ / "config",
                              .status_folder = handler_folder_ / "status"};
    Log log(at("/var/log/azure/x/handler.log"));
    log.quiet = true;
    ScriptHandler handler(std::move(invocation), kind_, Root(folder_.path()), runner_, log);
    handler.limit = limit_;
    handler.stop = std::move(stop);
    return handler.run(operation);
  }
  /// Enable, and what it left to the background.
  void enable() {
    EXPECT_EQ(operate("enable"), 0);
    for (; !runner_.detached.empty(); runner_.detached.pop_back()) operate("work");
  }

  /// Enable, whose worker is a process of its own; returns once its command says in a fifo that it has begun.
  pid_t enable_apart() {
    ::mkfifo(at("/begun").c_str(), 0600);
    ::mkfifo(at("/go-on").c_str(), 0600);
    EXPECT_EQ(operate("enable"), 0);
    runner_.detached.clear();
    const pid_t worker = ::fork();
    if (worker == 0) {
      const EndSignal end;
      operate("work", end.token());
      ::_exit(0);
    }
    std::ifstream(at("/begun")).get();
    return worker;
  }
  void reap(pid_t worker) { EXPECT_EQ(::waitpid(worker, nullptr, 0), worker); }

  /// As the agent does it.
  void unpack_anew() {
    fs::remove_all(handler_folder_);
    for (const char* name : {"config", "status"}) make_folder(handler_folder_ / name);
  }
  json waiting_command() const {
    return {{"commandToExecute", fmt::format("echo $$ > {0}/pid; echo > {0}/begun; cat {0}/go-on; echo OLD",
                                             folder_.path().string())}};
  }

  json status() const {
    const auto text = read_file_if_there(handler_folder_ / "status" / fmt::format("{}.status", number_));
    return text ? json::parse(*text)[0]["status"] : json();
  }
  std::string word() const { return status()["status"]; }
  std::string message() const { return status()["formattedMessage"]["message"]; }
  std::string log() const { return read_file(at("/var/log/azure/x/handler.log")); }

  const ScriptKind& kind_;
  TemporaryFolder folder_;
  KeepingRunner runner_;
  fs::path handler_folder_;
  int number_ = 0;
  std::chrono::milliseconds limit_{60'000};
  const PrivateKey& key_ = rsa_key();
  const Certificate& certificate_ = machine_certificate();
};

class CustomScript : public ScriptWorld {};

TEST_F(CustomScript, ReturnsAtOnceAndReportsThatItIsAtWork) {
  settings(0, {{"commandToExecute", "echo hello"}});

  EXPECT_EQ(operate("enable"), 0);

  EXPECT_EQ(word(), "transitioning");
  EXPECT_EQ(message(), "Enable in progress");
  EXPECT_THAT(runner_.detached, SizeIs(1));
}

TEST_F(CustomScript, TellsWhatTheCommandSaid) {
  settings(0, {{"commandToExecute", "echo hello; printf 'a\\tb\\n' >&2; pwd > where"}});

  enable();

  EXPECT_EQ(message(), "Enable succeeded: \n[stdout]\nhello\n\n[stderr]\na\tb\n");
  EXPECT_EQ(word(), "success");
  EXPECT_EQ(status()["operation"], "Enable");
  const fs::path download = at("/var/lib/waagent/custom-script/download/0");
  EXPECT_EQ(read_file(download / "stdout"), "hello\n");
  EXPECT_EQ(read_file(download / "where"), fs::canonical(download).string() + "\n");
}

TEST_F(CustomScript, TellsHowTheCommandFailed) {
  settings(0, {{"commandToExecute", "echo out; echo err >&2; exit 3"}});

  enable();

  EXPECT_EQ(word(), "error");
  EXPECT_EQ(message(),
            "Enable failed: failed to execute command: command terminated with exit "
            "status=3\n[stdout]\nout\n\n[stderr]\nerr\n");
}

TEST_F(CustomScript, ShowsTheEndOfALongOutput) {
  settings(0, {{"commandToExecute", "head -c 2000000 /dev/zero | tr '\\0' x; echo; echo €€end"}});

  enable();

  EXPECT_LT(message().size(), 4300u);
  EXPECT_THAT(message(), HasSubstr("x\n€€end\n\n[stderr]\n"));
}

TEST_F(CustomScript, MakesAValidStatusOfAnyBytes) {
  settings(0, {{"commandToExecute", "printf 'a\\377\\000\\033b'"}});

  enable();

  EXPECT_THAT(message(), HasSubstr("a???b"));
}

TEST_F(CustomScript, RunsNothingAgainForTheSameNumber) {
  settings(0, {{"commandToExecute", "echo again >> ../../count"}});
  enable();
  const std::string said = message();

  enable();
  EXPECT_EQ(operate("work"), 0);

  EXPECT_EQ(read_file(at("/var/lib/waagent/custom-script/count")), "again\n");
  EXPECT_EQ(message(), said);
  settings(1, {{"commandToExecute", "echo again >> ../../count"}});
  enable();
  EXPECT_EQ(read_file(at("/var/lib/waagent/custom-script/count")), "again\nagain\n");
}

TEST_F(CustomScript, SaysWhenTheMachineWentDownMeanwhile) {
  settings(0, {{"commandToExecute", "true"}});
  operate("enable");
  write_file(handler_folder_ / "mrseq", "0");  // the worker began, and was never seen again

  EXPECT_EQ(operate("enable"), 0);

  EXPECT_EQ(word(), "error");
  EXPECT_THAT(message(), HasSubstr("interrupted"));
}

TEST_F(CustomScript, StopsACommandThatDoesNotEnd) {
  settings(0, {{"commandToExecute", "echo begun; sleep 1000"}});
  limit_ = std::chrono::milliseconds(300);

  enable();

  EXPECT_EQ(word(), "error");
  EXPECT_THAT(message(), AllOf(HasSubstr("did not end"), HasSubstr("begun")));
}

TEST_F(CustomScript, FetchesAllFilesWithinOneLimit) {
  settings(0, {{"commandToExecute", "touch ../../ran"},
               {"fileUris", {"https://files.example/slow", "https://files.example/other"}}});
  limit_ = std::chrono::milliseconds(300);

  enable();

  EXPECT_EQ(word(), "error");
  EXPECT_THAT(message(), HasSubstr("slow was not fetched from files.example in time"));
  EXPECT_EQ(runner_.fetches, 1);
  EXPECT_FALSE(fs::exists(at("/var/lib/waagent/custom-script/ran")));
}

TEST_F(CustomScript, FetchesNothingMoreWhenItIsToStop) {
  settings(0, {{"commandToExecute", "true"}, {"fileUris", {"https://files.example/slow"}}});
  EXPECT_EQ(operate("enable"), 0);
  std::stop_source source;
  source.request_stop();

  EXPECT_EQ(operate("work", source.get_token()), 1);

  EXPECT_THAT(message(), HasSubstr("interrupted"));
}

TEST_F(CustomScript, RunsAScriptThatIsPackedOrHasLineEndsOfWindows) {
  settings(0, {{"script", base64_encode("#!/bin/sh\r\necho from $0\r\n")}});
  enable();
  EXPECT_THAT(message(), HasSubstr("download/0/script.sh\n"));

  RunOptions options;
  options.input = "echo packed\n";
  settings(1, {{"script", base64_encode(berth::run({"gzip", "-c"}, options).out)}});
  enable();
  EXPECT_THAT(message(), HasSubstr("[stdout]\npacked\n"));
}

TEST_F(CustomScript, KeepsAProtectedCommandOutOfLogStatusAndCommandLine) {
  settings(0, json::object(),
           {{"commandToExecute",
             "TOKEN=hunter22; cat /proc/$$/cmdline /proc/self/environ | tr '\\0' ' '; ls nothing"}});

  enable();

  EXPECT_EQ(word(), "error");
  EXPECT_THAT(message(), Not(HasSubstr("hunter22")));
  EXPECT_THAT(log(), Not(HasSubstr("hunter22")));
}

TEST_F(CustomScript, ShowsAnOutputAsItIs) {
  settings(0, {{"commandToExecute", "echo kubeadm join --token abc.def"}});

  enable();

  EXPECT_THAT(message(), HasSubstr("--token abc.def\n"));
}

TEST_F(CustomScript, ReportsSettingsThatItRefuses) {
  settings(0, {{"commandToExecute", "a"}}, {{"commandToExecute", "b"}});

  enable();

  EXPECT_EQ(word(), "error");
  EXPECT_THAT(message(), AllOf(StartsWith("Enable failed: "), HasSubstr("specified only once")));
}

TEST_F(CustomScript, LeavesNothingWhenItIsRemoved) {
  settings(0, {{"commandToExecute", "true"}});
  EXPECT_EQ(operate("install"), 0);
  enable();
  EXPECT_EQ(operate("disable"), 0);
  EXPECT_EQ(word(), "success");

  EXPECT_EQ(operate("uninstall"), 0);

  EXPECT_FALSE(fs::exists(at("/var/lib/waagent/custom-script")));
}

TEST_F(CustomScript, RunsTheCommandOfAnExtensionThatIsSetAgain) {
  settings(0, waiting_command());
  const pid_t old = enable_apart();
  unpack_anew();
  settings(0, {{"commandToExecute", "echo NEW"}});

  enable();
  std::ofstream(at("/go-on")) << "now";
  reap(old);

  EXPECT_EQ(message(), "Enable succeeded: \n[stdout]\nNEW\n\n[stderr]\n");
}

TEST_F(CustomScript, EndsItsCommandWhenItIsRemoved) {
  settings(0, waiting_command());
  const pid_t worker = enable_apart();
  const pid_t command = std::stoi(read_file(at("/pid")));

  EXPECT_EQ(operate("disable"), 0);
  EXPECT_EQ(word(), "transitioning");
  EXPECT_EQ(operate("uninstall"), 0);

  EXPECT_NE(::kill(command, 0), 0);
  reap(worker);
  EXPECT_THAT(message(), HasSubstr("interrupted"));
  EXPECT_FALSE(fs::exists(at(fmt::format("/run/{}", kind_.handler))));
}

TEST_F(CustomScript, LeavesACommandAloneThatIsAtWork) {
  settings(0, waiting_command());
  const pid_t worker = enable_apart();

  EXPECT_EQ(operate("enable"), 0);

  EXPECT_EQ(word(), "transitioning");
  EXPECT_THAT(runner_.detached, SizeIs(0));
  std::ofstream(at("/go-on")) << "now";
  reap(worker);
  EXPECT_EQ(word(), "success");
}

TEST_F(CustomScript, RunsACommandOfAnyLength) {
  settings(0, {{"commandToExecute", ": " + std::string(140'000, 'x') + "\ncat; echo end"}});

  enable();

  EXPECT_EQ(message(), "Enable succeeded: \n[stdout]\nend\n\n[stderr]\n");
}

class CustomScriptForLinux : public ScriptWorld {
 protected:
  CustomScriptForLinux() : ScriptWorld(1) {}
};

TEST_F(CustomScriptForLinux, WordsItsStatusAsIn2014) {
  settings(0, {{"commandToExecute", "echo hello"}, {"enableInternalDNSCheck", true}});
  enable();
  EXPECT_EQ(message(), "Command is finished.\n---stdout---\nhello\n\n---errout---\n\n");
  EXPECT_TRUE(fs::exists(handler_folder_ / "download/0/stdout"));

  settings(1, {{"commandToExecute", "exit 1"}});
  enable();
  EXPECT_EQ(word(), "error");
}

class RunCommand : public ScriptWorld {
 protected:
  RunCommand() : ScriptWorld(2) {}
};

TEST_F(RunCommand, GivesAScriptItsParametersInOrderAndByName) {
  settings(0, json::object(),
           {{"script", base64_encode("echo $1-$2-$arg1")},
            {"parameters", {{{"name", "arg1"}, {"value", "a b"}}, {{"name", ""}, {"value", "c"}}}}});

  enable();

  EXPECT_EQ(message(), "Enable succeeded: \n[stdout]\na b-c-a b\n\n[stderr]\n");
}

TEST_F(RunCommand, SucceedsHoweverTheScriptEnded) {
  settings(0, json::object(), {{"script", base64_encode("echo no >&2; exit 4")}});

  enable();

  EXPECT_EQ(word(), "success");
  EXPECT_THAT(message(), EndsWith("[stderr]\nno\n"));
}

}  // namespace
}  // namespace berth::extension
