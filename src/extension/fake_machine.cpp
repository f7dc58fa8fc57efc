#include "extension/fake_machine.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "extension/front.h"
#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using nlohmann::ordered_json;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

Certificate issue(CertificateUse use, const std::string& name, const std::vector<std::string>& names,
                  const PrivateKey& key, const Certificate* issuer = nullptr,
                  const PrivateKey* issuer_key = nullptr) {
  CertificateOrder order;
  order.use = use;
  order.common_name = name;
  order.dns_names = names;
  return issue_certificate(order, key, issuer, issuer_key);
}

/// One RSA key for all tests: making one takes longer than a test.
const PrivateKey& platform_key() {
  static const PrivateKey key = PrivateKey::generate_rsa();
  return key;
}

const Certificate& platform_certificate() {
  static const Certificate certificate =
      issue(CertificateUse::encryption, "TenantEncryptionCert", {}, platform_key());
  return certificate;
}

}  // namespace

TestCertificates::TestCertificates(const std::vector<std::string>& names)
    : ca(issue(CertificateUse::authority, "Test CA", {}, ca_key)),
      certificate(
          issue(CertificateUse::server, names.empty() ? "host1" : names.front(), names, key, &ca, &ca_key)) {}

TestCertificates TestCertificates::renewed() const {
  TestCertificates next = *this;
  next.key = PrivateKey::generate_ec();
  next.certificate = issue(CertificateUse::server, "host1", {"host1", "localhost"}, next.key, &ca, &ca_key);
  return next;
}

FakeMachine::FakeMachine(const std::string& host, const std::string& handler_name,
                         const std::string& handler_version)
    : now(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())),
      handler(handler_name),
      version(handler_version),
      transport(platform_certificate()) {
  fs::copy(fs::path(BERTH_FIXTURES) / "hosts" / host, folder_.path(), fs::copy_options::recursive);
  fs::create_directories(at("/run/systemd/system"));
  write("/var/lib/waagent/" + transport.thumbprint() + ".crt", transport.to_pem());
  write("/var/lib/waagent/" + transport.thumbprint() + ".prv", platform_key().to_pem().reveal());
  unpack(handler_version);
  read_units();
}

fs::path FakeMachine::handler_folder(const std::string& of_version) const {
  return at("/var/lib/waagent/" + handler + "-" + of_version);
}

std::string FakeMachine::read(std::string_view absolute) const {
  return read_file_if_there(at(absolute)).value_or("<none>");
}

void FakeMachine::write(std::string_view absolute, std::string_view bytes) {
  fs::create_directories(at(absolute).parent_path());
  write_file(at(absolute), bytes, 0644);
}

void FakeMachine::unpack(const std::string& new_version) {
  const fs::path old_folder = handler_folder(version);
  const fs::path folder = handler_folder(new_version);
  for (const char* name : {"bin", "config", "status"}) fs::create_directories(folder / name);
  write_file(folder / "HandlerManifest.json", "[{}]");
  const json environment = json::array({{{"name", handler},
                                         {"version", 1.0},
                                         {"handlerEnvironment",
                                          {{"logFolder", at("/var/log/azure/" + handler).string()},
                                           {"configFolder", (folder / "config").string()},
                                           {"statusFolder", (folder / "status").string()},
                                           {"heartbeatFile", (folder / "heartbeat.log").string()},
                                           {"eventsFolder", (folder / "events").string()}}}}});
  write_file(folder / "HandlerEnvironment.json", environment.dump());
  if (new_version != version && fs::exists(old_folder)) {
    fs::copy(old_folder / "config", folder / "config", fs::copy_options::recursive);
  }
  version = new_version;
}

void FakeMachine::settings(std::uint64_t number, const std::string& public_json,
                           const std::string& protected_json) {
  json inner = {{"publicSettings", json::parse(public_json)}};
  if (!protected_json.empty()) {
    inner["protectedSettings"] =
        base64_encode(cms_encrypt(protected_json, transport, ContentCipher::aes_256_cbc));
    inner["protectedSettingsCertThumbprint"] = transport.thumbprint();
  }
  const json whole = {{"runtimeSettings", json::array({{{"handlerSettings", inner}}})}};
  write_file(handler_folder(version) / "config" / (std::to_string(number) + ".settings"), whole.dump());
}

std::string FakeMachine::protected_json(const TestCertificates& certificates) {
  const json document = {{"certs",
                          {{"ca", base64_encode(certificates.ca.to_pem())},
                           {"cert", base64_encode(certificates.certificate.to_pem())},
                           {"key", base64_encode(certificates.key.to_pem().reveal())}}}};
  return document.dump();
}

void FakeMachine::settings(std::uint64_t number, const std::string& public_json,
                           const TestCertificates& certificates) {
  settings(number, public_json, protected_json(certificates));
}

int FakeMachine::operate(const std::string& operation, const std::string& of_version) {
  const fs::path folder = handler_folder(of_version.empty() ? version : of_version);
  Invocation invocation;
  invocation.environment = find_handler_environment(folder / "bin");
  invocation.told_sequence = told;
  invocation.executable = folder / "bin/docker-extension";
  Log log(invocation.environment.log_folder / "docker-extension.log");
  log.quiet = true;
  Machine machine{root(), *this, *this, log, [this] { return now; }};
  machine.clock = [this] { return std::chrono::steady_clock::now() + spent; };
  machine.pause = [this](std::chrono::milliseconds time) { paused += time; };
  machine.engine_up_limit = std::chrono::milliseconds(300);
  machine.handshake_limit = std::chrono::milliseconds(300);
  machine.reload_limit = std::chrono::milliseconds(300);
  Handler subject(std::move(invocation), std::move(machine));
  subject.lock_limit = subject.disable_lock_limit = subject.uninstall_lock_limit = lock_limit;
  return subject.run(operation);
}

json FakeMachine::status(std::uint64_t number) const {
  const auto text =
      read_file_if_there(handler_folder(version) / "status" / (std::to_string(number) + ".status"));
  return text ? json::parse(*text) : json();
}

std::string FakeMachine::status_word(std::uint64_t number) const {
  const json document = status(number);
  return document.is_null() ? "" : document[0]["status"]["status"].get<std::string>();
}

std::string FakeMachine::message(std::uint64_t number) const {
  const json document = status(number);
  return document.is_null() ? "" : document[0]["status"]["formattedMessage"]["message"].get<std::string>();
}

std::string FakeMachine::substatus(std::uint64_t number, const std::string& name) const {
  std::string text;
  const json document = status(number);
  if (document.is_null()) return text;
  for (const json& part : document[0]["status"]["substatus"])
    if (part["name"] == name)
      text += (text.empty() ? "" : "\n") + part["formattedMessage"]["message"].get<std::string>();
  return text;
}

std::string FakeMachine::log() const {
  return read("/var/log/azure/" + handler + "/docker-extension.log");
}

int FakeMachine::count(const std::string& start) const {
  int n = 0;
  for (const std::string& command : commands) n += command.starts_with(start) ? 1 : 0;
  return n;
}

RunResult FakeMachine::run(const std::vector<std::string>& argv, const RunOptions& options) {
  if (const auto hook = on_run) hook(argv);  // a copy: hooks take themselves off
  runs.emplace_back(argv, options);
  commands.push_back(joined(argv));
  for (const auto& [start, duration] : durations) {
    if (!commands.back().starts_with(start)) continue;
    spent += std::min(duration, options.limit);
    if (duration > options.limit) throw Error(ErrorKind::unavailable, "Timeout", argv[0] + " was stopped.");
  }
  for (const auto& [start, answer] : answers)
    if (commands.back().starts_with(start)) return answer;
  if (argv[0] == "systemctl") return systemctl(argv);
  if (argv[0] == "systemd-run") return run_worker(argv);
  if (argv[0] == "service") return run_init_script(argv.at(2));
  if (argv[0] == "start-stop-daemon" && argv.back() == "/run/docker.pid") return reload_engine();
  if (argv[0] == "docker-compose" || commands.back().starts_with("docker compose"))
    return run_compose(options);
  if (argv.size() > 3 && argv[1] == "--validate") return validate(argv[3]);
  if (argv[0] == "apt-get") read_units();  // as packages with units have systemd do
  if (argv[0] == "usermod") {
    std::string groups = read("/etc/group");
    const std::size_t line = groups.find("docker:x:996:");
    if (line != std::string::npos) write("/etc/group", groups.insert(line + 13, argv.back()));
  }
  if (argv[0] == "journalctl")
    return {0, argv.at(1) == "--unit=docker-tls.service" ? front_journal_ : journal_, ""};
  return {};
}

void FakeMachine::detach(const std::vector<std::string>& argv) {
  detached.push_back(argv);
}

RunResult FakeMachine::run_worker(const std::vector<std::string>& argv) {
  const std::string unit = argv.at(1).substr(std::string("--unit=").size());
  if (workers.insert(unit).second) return {};
  return {1, "", "Failed to start transient service unit: Unit " + unit + ".service already exists."};
}

RunResult FakeMachine::run_compose(const RunOptions& options) {
  projects[options.environment.at("COMPOSE_PROJECT_NAME")] = {"running", "running"};
  return {};
}

/// As Debian's: the defaults file is sourced, and there is no reload.
RunResult FakeMachine::run_init_script(const std::string& verb) {
  std::string line = find_options_line(read("/etc/default/docker"));
  if (line.starts_with('#')) line.clear();
  const std::string words = line.empty() ? "" : split_unit_words(line.substr(line.find('=') + 1)).at(0).text;
  loaded_command_ = "/usr/sbin/dockerd -p /run/docker.pid " + words;
  if (words.find("-H") == std::string::npos) loaded_command_ += " -H unix:///var/run/docker.sock";
  if (verb == "start") return engine ? RunResult{} : start_engine();
  if (verb != "stop" && verb != "restart")
    return {1, "Usage: service docker {start|stop|restart|status}", ""};
  stop_engine();
  return verb == "stop" ? RunResult{} : start_engine();
}

RunResult FakeMachine::reload_engine() {
  const ordered_json daemon = exists("/etc/docker/daemon.json")
                                  ? ordered_json::parse(read("/etc/docker/daemon.json"), nullptr, false)
                                  : ordered_json::object();
  if (!engine || !daemon.is_object()) return {1, "", "reload failed"};
  engine->live_restore = daemon.value("live-restore", false);
  return {};
}

void FakeMachine::reboot() {
  engine.reset();
  front.reset();
  for (auto& [project, containers] : projects)
    for (std::string& state : containers) state = "exited";
  fs::remove_all(at("/run/docker-ext"));
  workers.clear();
  write("/proc/sys/kernel/random/boot_id", std::to_string(++boots_));
  read_units();
  if (look_at_system(root()).enabled) systemctl({"systemctl", "start", "docker.service"});
}

void FakeMachine::install_front() {
  write(front_template, "[docker]\naccept = @ACCEPT@\nverifyChain = yes\n");
}

/// As stunnel: all that it needs, or it does not run.
std::string FakeMachine::read_front_files(LoadedFront& loaded) const {
  loaded.certificate = read(certificate_file);
  loaded.ca = read(ca_file);
  try {
    Certificate::parse_bundle(loaded.ca, "ca");
    const PrivateKey key = PrivateKey::parse_pem(Secret(read(key_file)), "key");
    if (Certificate::parse_bundle(loaded.certificate, "certificate").front().matches(key)) return {};
  } catch (const Error&) {
  }
  return "[ ] Initializing inetd mode configuration\n[!] key.pem: No such file or directory (2)\n"
         "[!] Configuration failed\n";
}

RunResult FakeMachine::start_front() {
  const std::string text = read(front_file);
  if (front || text == "<none>") return {};  // its unit has that condition
  LoadedFront loaded;
  const std::size_t begin = text.find("accept = ") + 9;
  loaded.listener = text.substr(begin, text.find('\n', begin) - begin);
  loaded.generation = ++front_generation_;
  front_journal_ += read_front_files(loaded);
  if (front_journal_.empty() && engine && engine->port &&
      loaded.listener.ends_with(":" + std::to_string(*engine->port)))
    front_journal_ = "[!] Binding service [docker] to " + loaded.listener + ": Address already in use (98)\n";
  if (!front_journal_.empty()) return {1, "", "Job for docker-tls.service failed."};
  front = loaded;
  return {};
}

RunResult FakeMachine::control_front(const std::string& verb) {
  if (verb == "is-active") return {front ? 0 : 3, front ? "active\n" : "inactive\n", ""};
  front_journal_.clear();
  if (verb == "reload-or-restart" && front) {
    LoadedFront loaded = *front;
    if (read_front_files(loaded).empty()) front = loaded;  // else it goes on with what it had
    return {};
  }
  if (verb != "start") front.reset();
  return verb == "stop" ? RunResult{} : start_front();
}

RunResult FakeMachine::systemctl(const std::vector<std::string>& argv) {
  const std::string& verb = argv.at(1);
  if (argv.back() == "docker-tls.service") return control_front(verb);
  if (verb == "daemon-reload") read_units();
  if (verb == "is-active") {
    if (starting_at_boot) return {3, "activating\n", ""};
    const std::string unit = argv.back().substr(0, argv.back().rfind('.'));
    const bool active = unit == "docker" ? engine.has_value() : workers.contains(unit);
    return {active ? 0 : 3, active ? "active\n" : "inactive\n", ""};
  }
  if (verb == "start") starting_at_boot = false;
  if (verb == "stop" || verb == "restart") {
    front.reset();
    stop_engine();
  }
  if ((verb == "start" && !engine) || verb == "restart") {
    RunResult started = start_engine();
    if (started.exit_code == 0 && exists(front_template)) control_front("start");
    return started;
  }
  if (verb == "reload") return reload_engine();
  if (verb == "enable") {
    fs::create_directories(at("/etc/systemd/system/multi-user.target.wants"));
    std::error_code there;
    fs::create_symlink("/usr/lib/systemd/system/docker.service",
                       at("/etc/systemd/system/multi-user.target.wants/docker.service"), there);
  }
  return {};
}

/// As engines from 23 on do, with the TLS files, too.
RunResult FakeMachine::validate(const std::string& file) const {
  const json daemon = json::parse(read_file(file), nullptr, false);
  if (!daemon.is_object()) return {1, "", "unable to configure the Docker daemon with file " + file};
  for (const char* key : {"tlscacert", "tlscert", "tlskey"})
    if (daemon.contains(key) && !exists(daemon[key].get<std::string>()))
      return {1, "",
              "invalid TLS configuration: open " + daemon[key].get<std::string>() +
                  ": no such file or directory"};
  return {};
}

/// What daemon-reload makes of the unit and our drop-in.
void FakeMachine::read_units() {
  const System system = look_at_system(root());
  loaded_command_ = system.unit ? system.unit->exec_start : "";
  for (const char* name : {"10-docker-ext.conf", "zz-docker-ext.conf"}) {
    const std::string text = read(std::string("/etc/systemd/system/docker.service.d/") + name);
    const std::size_t last = text.rfind("ExecStart=");
    if (last != std::string::npos)
      loaded_command_ = text.substr(last + 10, text.find('\n', last) - last - 10);
  }
}

void FakeMachine::stop_engine() {
  if (engine && !engine->live_restore && running_containers > 0) ++container_generation;
  engine.reset();
}

RunResult FakeMachine::start_engine() {
  const auto fail = [&](const std::string& why) {
    journal_ = "level=info msg=\"Starting up\"\nlevel=fatal msg=\"" + why + "\"\n";
    return RunResult{1, "", "Job for docker.service failed."};
  };
  if (refuse_to_start) return fail(*refuse_to_start);
  LoadedEngine loaded;
  const System system = look_at_system(root());
  if (system.masked || !system.dockerd) return fail("no engine");
  const std::string text = read("/etc/docker/daemon.json");
  loaded.daemon = text == "<none>" ? ordered_json::object() : ordered_json::parse(text, nullptr, false);
  if (!loaded.daemon.is_object())
    return fail("unable to configure the Docker daemon with file /etc/docker/daemon.json");
  for (const UnitWord& word : split_unit_words(loaded_command_)) {
    if (!word.text.starts_with('$')) {
      loaded.words.push_back(word.text);
    } else if (system.unit && system.unit->variables.contains(word.text.substr(1))) {
      for (const UnitWord& inner : split_unit_words(system.unit->variables.at(word.text.substr(1))))
        loaded.words.push_back(inner.text);
    }
  }
  bool local = false;
  for (std::size_t i = 0; i < loaded.words.size(); ++i) {
    const std::string& word = loaded.words[i];
    const std::string key = daemon_key_of_flag(word);
    if (key == "log-driver" && !word.ends_with("json-file") &&
        loaded.daemon.value("log-opts", json()).contains("max-size"))
      return fail("unknown log opt 'max-size' for " + word);
    if (!key.empty() && loaded.daemon.contains(key))
      return fail("the following directives are specified both as a flag and in the configuration file: " +
                  key);
    std::string listener;
    if (word == "-H" || word == "--host")
      listener = loaded.words.at(i + 1);
    else if (word.starts_with("-H="))
      listener = word.substr(3);
    else if (word.starts_with("--host="))
      listener = word.substr(7);
    if (listener.starts_with("fd://") && !(system.unit && system.unit->has_socket))
      return fail("no sockets found via socket activation");
    if (listener.starts_with("fd://") || listener.starts_with("unix://")) local = true;
    if (listener.starts_with("tcp://")) {
      if (loaded.port) return fail("address already in use");
      loaded.port = static_cast<std::uint16_t>(std::stoi(listener.substr(listener.rfind(':') + 1)));
      if (front && front->listener.ends_with(":" + std::to_string(*loaded.port)))
        return fail("address already in use");
    }
  }
  if (!local) return fail("the test wants a local listener");
  loaded.live_restore = loaded.daemon.value("live-restore", false);
  if (loaded.live_restore && (system.swarm || swarm_state != "inactive"))
    return fail("--live-restore daemon configuration is incompatible with swarm mode");
  loaded.verifies_clients = loaded.daemon.value("tlsverify", false);
  if (loaded.daemon.contains("tlscert")) {
    loaded.certificate = read(loaded.daemon["tlscert"].get<std::string>());
    if (loaded.certificate == "<none>") return fail("could not load X509 key pair");
  }
  if (serve_old_certificate && !loaded.certificate.empty())
    loaded.certificate = TestCertificates().certificate.to_pem();
  engine = loaded;
  return {};
}

std::optional<std::string> FakeMachine::get(const std::string& path, std::chrono::milliseconds) {
  if (!engine) return std::nullopt;
  if (path == "/_ping") return "OK";
  if (path == "/info")
    return json({{"LiveRestoreEnabled", engine->live_restore},
                 {"ContainersRunning", running_containers},
                 {"ServerVersion", "20.10.24"},
                 {"CgroupVersion", "2"},
                 {"Driver", "overlay2"},
                 {"Swarm", {{"LocalNodeState", swarm_state}}},
                 {"SecurityOptions", {"name=apparmor", "name=seccomp,profile=default"}}})
        .dump();
  if (path.starts_with("/containers/json?all=1")) {
    json found = json::array();
    for (const auto& [project, containers] : projects)
      if (path.find("project%3D" + project + "%22") != std::string::npos)
        for (const std::string& state : containers) found.push_back({{"State", state}});
    return found.dump();
  }
  return std::nullopt;
}

TlsProbe FakeMachine::handshake(const std::string&, std::uint16_t port, std::chrono::milliseconds) {
  TlsProbe probe;
  if (front && front->listener.ends_with(":" + std::to_string(port))) {
    probe.leaf = Certificate::parse_pem(front->certificate, "served");
    probe.asks_for_client_certificate = true;
    probe.trouble = "certificate required";
    return probe;
  }
  if (!engine || engine->port != port || engine->certificate.empty()) {
    probe.trouble = "connection refused";
    return probe;
  }
  probe.leaf = Certificate::parse_pem(engine->certificate, "served");
  probe.asks_for_client_certificate = engine->verifies_clients;
  probe.accepted = !engine->verifies_clients;
  if (engine->verifies_clients) probe.trouble = "certificate required";
  return probe;
}

}  // namespace berth::extension
