#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crypto/certificate.h"
#include "crypto/envelope.h"
#include "extension/handler.h"
#include "host/temporary_folder.h"

namespace berth::extension {

inline constexpr const char* drop_in = "/etc/systemd/system/docker.service.d/10-docker-ext.conf";
inline constexpr const char* tls_on = R"({"docker":{"port":2376}})";  ///< public settings

/// What a user of the handler sends: a CA and a server certificate that it issued.
struct TestCertificates {
  PrivateKey ca_key = PrivateKey::generate_ec();
  Certificate ca;
  PrivateKey key = PrivateKey::generate_ec();
  Certificate certificate;

  explicit TestCertificates(const std::vector<std::string>& names = {"host1", "localhost"});
  /// Another key and certificate by the same authority.
  TestCertificates renewed() const;
};

/// A machine for tests: real files in a temporary folder (a copy of tests/fixtures/hosts/NAME), and a service
/// manager, an engine and a package manager that read those files the way the real ones do. The engine keeps
/// what it read when it last started, so that a forgotten restart shows.
class FakeMachine final : public Runner, public EngineProbe {
 public:
  explicit FakeMachine(const std::string& host = "debian-12",
                       const std::string& handler = "Microsoft.Azure.Extensions.DockerExtension",
                       const std::string& version = "1.3.0");

  // Runner
  RunResult run(const std::vector<std::string>& argv, const RunOptions& options) override;
  void detach(const std::vector<std::string>& argv) override;
  // EngineProbe
  std::optional<std::string> get(const std::string& path, std::chrono::milliseconds limit) override;
  TlsProbe handshake(const std::string& address, std::uint16_t port,
                     std::chrono::milliseconds limit) override;

  Root root() const { return Root(folder_.path()); }
  std::filesystem::path at(std::string_view absolute) const { return root()(absolute); }
  std::string read(std::string_view absolute) const;
  void write(std::string_view absolute, std::string_view bytes);
  bool exists(std::string_view absolute) const { return std::filesystem::exists(at(absolute)); }

  /// What the agent does before it calls the handler: config/N.settings with the protected part encrypted.
  void settings(std::uint64_t number, const std::string& public_json, const std::string& protected_json = "");
  /// The same, with the three certificates in the form of 2015.
  void settings(std::uint64_t number, const std::string& public_json, const TestCertificates& certificates);
  static std::string protected_json(const TestCertificates& certificates);

  /// Installs another version beside this one, as the agent does for an update; operations go to it from then
  /// on, except those that name a version.
  void unpack(const std::string& version);
  /// Runs an operation of the handler as the agent does: with the newest number in the environment.
  int operate(const std::string& operation, const std::string& version = {});
  /// Containers end, /run is empty, and the service manager starts the engine if it is enabled.
  void reboot();
  /// Makes it one of an image with a front, whose service comes and goes with the engine's.
  void install_front();

  /// The document status/N.status of the current version, parsed; null when there is none.
  nlohmann::json status(std::uint64_t number) const;
  std::string status_word(std::uint64_t number) const;  ///< "success", …; "" when there is none
  std::string message(std::uint64_t number) const;
  /// The message of a substatus, all that have that name joined; "" when there is none.
  std::string substatus(std::uint64_t number, const std::string& name) const;
  std::string log() const;

  std::vector<std::string> commands;  ///< everything that was run, words joined by blanks
  int count(const std::string& start) const;

  struct LoadedEngine {
    std::vector<std::string> words;  ///< of the command line
    nlohmann::ordered_json daemon;   ///< daemon.json as it read it
    std::string certificate;         ///< PEM served on the port
    std::optional<std::uint16_t> port;
    bool live_restore = false;
    bool verifies_clients = false;
  };
  std::optional<LoadedEngine> engine;  ///< nullopt: not running
  struct LoadedFront {
    std::string listener;         ///< as its configuration has it
    std::string certificate, ca;  ///< PEM, as it read them last
    int generation = 0;           ///< another one: connections ended
  };
  std::optional<LoadedFront> front;  ///< nullopt: not running
  int container_generation = 1;      ///< rises when running containers are restarted or killed
  int running_containers = 0;
  std::string swarm_state = "inactive";
  bool starting_at_boot = false;               ///< the service manager is at it
  std::optional<std::string> refuse_to_start;  ///< what the engine says when it does not start any more
  bool serve_old_certificate = false;          ///< an engine that does not take up a new one
  std::map<std::string, RunResult> answers;    ///< for commands that start so: instead of what follows
  std::function<void(const std::vector<std::string>&)> on_run;  ///< sees every command first
  std::vector<std::vector<std::string>> detached;
  std::vector<std::pair<std::vector<std::string>, RunOptions>> runs;

  std::chrono::sys_seconds now;
  std::map<std::string, std::chrono::milliseconds>
      durations;                                             ///< of commands that start so; others take none
  std::chrono::milliseconds spent{0};                        ///< by those, on the machine's clock
  std::set<std::string> workers;                             ///< units that were started and did not end yet
  std::map<std::string, std::vector<std::string>> projects;  ///< of compose -> the state of each container
  std::optional<std::string> told;                           ///< ConfigSequenceNumber, if the agent says one
  std::chrono::milliseconds lock_limit{5000};
  std::chrono::milliseconds paused{0};  ///< that the handler would have waited
  std::string handler, version;
  Certificate transport;  ///< the platform's certificate on this machine

 private:
  RunResult validate(const std::string& file) const;
  RunResult run_worker(const std::vector<std::string>& argv);
  RunResult run_compose(const RunOptions& options);
  RunResult run_init_script(const std::string& verb);
  RunResult reload_engine();
  RunResult systemctl(const std::vector<std::string>& argv);
  RunResult start_engine();
  void stop_engine();
  RunResult control_front(const std::string& verb);
  RunResult start_front();
  std::string read_front_files(LoadedFront& loaded) const;
  void read_units();
  std::filesystem::path handler_folder(const std::string& of_version) const;

  TemporaryFolder folder_;
  std::string loaded_command_;
  std::string journal_, front_journal_;
  int front_generation_ = 0;
  int boots_ = 0;
};

}  // namespace berth::extension
