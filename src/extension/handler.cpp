#include "extension/handler.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <thread>

#include "base/error.h"
#include "crypto/encoding.h"
#include "extension/front.h"
#include "extension/managed_files.h"
#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// "What happened. What to do."
std::string sentence(const Error& error) {
  return error.advice.empty() ? std::string(error.what()) : fmt::format("{} {}", error.what(), error.advice);
}

std::string read_settings(const Sequence& sequence) {
  constexpr std::size_t largest = 8 * 1024 * 1024;
  return sequence.file.empty() ? std::string() : read_file(sequence.file, largest);
}

/// An enable's limits: the agent's is 300 s.
constexpr std::chrono::seconds inline_limit{200}, uninstall_limit{220}, undo_limit{60};

/// There from a disable to the next enable, and while the extension is being removed: an enable that runs is
/// to end then, and a worker of before it is not to begin.
constexpr std::string_view stop_file = "/run/docker-ext/stop";

}  // namespace

Handler::Handler(Invocation invocation, Machine machine)
    : invocation_(std::move(invocation)),
      allowance_(machine.clock),
      runner_(machine.runner, allowance_),
      probe_(machine.probe, allowance_),
      machine_{.root = machine.root,
               .runner = runner_,
               .probe = probe_,
               .log = machine.log,
               .now = machine.now,
               .pause = [this, pause = machine.pause](milliseconds time) { pause(allowance_.bound(time)); },
               .clock = machine.clock,
               .before_undo = [this] { allowance_.last_stretch(undo_limit); },
               .engine_up_limit = machine.engine_up_limit,
               .handshake_limit = machine.handshake_limit,
               .reload_limit = machine.reload_limit} {}

int Handler::run(const std::string& operation) {
  machine_.log.line(fmt::format("started operation={} version={} handler={}", operation,
                                invocation_.environment.version, invocation_.environment.name));
  try {
    if (operation == "install") return install();
    if (operation == "enable") return enable(false);
    if (operation == "work") return enable(true);
    if (operation == "disable") return disable();
    if (operation == "update") return update();
    if (operation == "uninstall") return uninstall();
  } catch (const Error& error) {
    machine_.log.line(fmt::format("failed operation={} code={}: {}", operation, error.code, sentence(error)));
    return 1;
  } catch (const std::exception& error) {
    machine_.log.line(fmt::format("failed operation={}: {}", operation, error.what()));
    return 1;
  }
  machine_.log.line(fmt::format(
      "'{}' is no operation; there are install, enable, disable, update and uninstall", operation));
  return 2;
}

/// Names what is to be done, for the lock and for the worker's unit. Another version at work on the same
/// number is another job (its status goes to its own folder), and so are other settings under the same
/// number, which an extension that was removed and added again may have.
std::string Handler::job(const Sequence& sequence, const std::string& text) const {
  return fmt::format("{}-{}-{}-{}", invocation_.environment.name, invocation_.environment.version,
                     sequence.number, sha256_hex(text).substr(0, 8));
}

void Handler::report(std::uint64_t number, const Report& report) {
  // A worker may outlive its version's folder, which must not come back.
  if (!fs::exists(invocation_.environment.handler_folder)) return;
  write_status(invocation_.environment.status_folder, number, report, machine_.now(), machine_.log.redactor);
}

int Handler::install() {
  if (machine_.root.is_machine() && ::geteuid() != 0)
    throw Error(ErrorKind::unauthorized, "NotRoot", "The handler does not run as root.");
  make_folder(machine_.root(state_folder), 0700);
  constexpr std::uintmax_t least_space = 64 * 1024 * 1024;
  if (free_space(machine_.root(state_folder)) < least_space)
    throw Error(ErrorKind::unavailable, "NoSpace",
                "Less than 64 MiB are free on the file system of /var/lib.",
                "Free some space, then try again.");
  const System system = look_at_system(machine_.root);
  machine_.log.line(fmt::format("installed on='{}' engine={}", system.distribution.name,
                                system.dockerd.value_or("none yet")));
  return 0;
}

bool Handler::nothing_to_do(const Sequence& sequence, const std::string& text) {
  const auto status = read_status(invocation_.environment.status_folder, sequence.number);
  const Report done = make_report(profile_of(invocation_.environment), Operation::enable, Phase::succeeded);
  return status && status->outcome == Outcome::success && status->operation == done.operation &&
         read_mrseq(invocation_.environment.handler_folder) == sequence.number &&
         state_.sequence == sequence.number && state_.owner == invocation_.environment.name &&
         state_.owner_version == invocation_.environment.version &&
         state_.settings_hash == sha256_hex(text) && still_as_applied(machine_, state_);
}

int Handler::enable(bool in_background) {
  const HandlerEnvironment& environment = invocation_.environment;
  const Profile profile = profile_of(environment);
  const Sequence sequence = choose_sequence(environment.config_folder, invocation_.told_sequence);
  allowance_.stop_when([stop = machine_.root(stop_file), folder = environment.handler_folder] {
    return fs::exists(stop) || !fs::exists(folder);
  });
  if (!in_background) allowance_.limit(inline_limit);
  try {
    if (!in_background) remove_file(machine_.root(stop_file));
    const std::string text = read_settings(sequence);
    const std::string work = job(sequence, text);
    state_ = read_state(machine_.root);
    if (nothing_to_do(sequence, text)) {
      machine_.log.line(fmt::format("nothing to do seq={}", sequence.number));
      return 0;
    }
    {
      const EnableLock lock =
          EnableLock::take(machine_.root(run_folder), work, in_background ? worker_lock_limit : lock_limit);
      if (lock.same_job_runs()) {
        machine_.log.line(fmt::format("seq={} is being applied already", sequence.number));
        return 0;
      }
      if (in_background && !lock.held())
        throw Error(ErrorKind::unavailable, "Busy", "Another number has been at work for an hour.",
                    "Look into its log, then apply the settings again.");
      if (in_background && choose_sequence(environment.config_folder, {}).number != sequence.number) {
        machine_.log.line(fmt::format("seq={} was superseded while it waited", sequence.number));
        return 0;
      }
      if (in_background && fs::exists(machine_.root(stop_file))) {
        machine_.log.line(fmt::format("seq={} was called off while it waited", sequence.number));
        return 0;
      }
      state_ = read_state(machine_.root);
      if (lock.held() && (nothing_to_do(sequence, text) || apply(sequence, text, in_background))) return 0;
    }
    // Without the lock, which the worker takes itself.
    report(sequence.number, make_report(profile, Operation::enable, Phase::running));
    start_worker(sequence, work);
    return 0;
  } catch (const std::exception& error) {
    // An uninstall that could not wait for us left the rest to us.
    if (!fs::exists(environment.handler_folder)) return uninstall();
    const auto* ours = dynamic_cast<const Error*>(&error);
    Report failed =
        make_report(profile, Operation::enable, Phase::failed, ours ? sentence(*ours) : error.what());
    failed.reference = fmt::format("(log: {})", environment.log_folder.string());
    failed.substatus = parts_;
    report(sequence.number, failed);
    throw;
  }
}

bool Handler::apply(const Sequence& sequence, const std::string& text, bool in_background) {
  const HandlerEnvironment& environment = invocation_.environment;
  yield_to_other_handler();
  const std::string hash = sha256_hex(text);
  const bool same_settings =
      state_.succeeded && state_.settings_hash == hash && state_.sequence == sequence.number;
  // First of all, so that an uninstall finds whose the rest is, however far we come.
  state_.owner = environment.name;
  state_.owner_version = environment.version;
  state_.disabled = false;
  write_state(machine_.root, state_);
  const auto remember = [&](bool succeeded) {
    state_.sequence = sequence.number;
    state_.settings_hash = hash;
    state_.succeeded = succeeded;
    state_.fingerprint = succeeded ? fingerprint(machine_.root, state_) : "";
    write_state(machine_.root, state_);
    write_mrseq(environment.handler_folder, sequence.number);
  };
  try {
    const Settings settings = machine_.log.timed("read settings", [&] {
      const Envelope envelope = parse_envelope(text);
      const Secret opened = open_protected(envelope, environment.library_folder());
      Settings parsed = parse_settings(envelope.public_settings, opened);
      machine_.log.redactor.hide(parsed.key);
      if (parsed.login) machine_.log.redactor.hide(parsed.login->password);
      for (const auto& [name, value] : parsed.secret_environment) machine_.log.redactor.hide(value);
      return parsed;
    });
    state_.remove_engine = settings.remove_engine_on_uninstall;
    state_.stop_on_disable = settings.disable_stops_engine;
    report(sequence.number, make_report(profile_of(environment), Operation::enable, Phase::running));
    if (!in_background && takes_long(machine_, settings, state_)) return false;
    apply_settings(machine_, settings, state_, same_settings, parts_);
    remember(true);
    Report done = make_report(profile_of(environment), Operation::enable, Phase::succeeded);
    done.substatus = parts_;
    report(sequence.number, done);
    machine_.log.line(fmt::format("applied seq={}", sequence.number));
    return true;
  } catch (const std::exception& error) {
    try {
      remember(false);
    } catch (const Error& second) {
      machine_.log.line(second.what());
    }
    const auto* ours = dynamic_cast<const Error*>(&error);
    if (!in_background && ours && ours->code == "OutOfTime") return false;
    throw;
  }
}

void Handler::start_worker(const Sequence& sequence, const std::string& job) {
  allowance_.last_stretch(undo_limit);
  const std::string executable = invocation_.executable.string();
  if (look_at_system(machine_.root).init == Init::systemd) {
    const std::string unit = "docker-ext-enable-" + job;
    if (machine_.runner
            .run({"systemd-run", "--unit=" + unit, "--collect", "--quiet", "--property=RuntimeMaxSec=5400",
                  fmt::format("--setenv=ConfigSequenceNumber={}", sequence.number), executable, "work"})
            .exit_code == 0)
      return;
    if (machine_.runner.run({"systemctl", "is-active", "--quiet", unit + ".service"}).exit_code == 0) return;
  }
  machine_.runner.detach({executable, "work"});
}

/// Two handlers with settings of their own would undo each other's work at every goal state.
void Handler::yield_to_other_handler() const {
  const std::string& mine = invocation_.environment.name;
  if (state_.owner.empty() || state_.owner == mine || state_.disabled) return;
  std::error_code trouble;
  for (const auto& entry :
       fs::directory_iterator(invocation_.environment.handler_folder.parent_path(), trouble))
    if (entry.is_directory(trouble) && entry.path().filename().string().starts_with(state_.owner + "-"))
      throw Error(ErrorKind::conflict, "OtherHandler",
                  fmt::format("{} looks after this machine's engine already.", state_.owner),
                  "Remove one of the two extensions.");
}

/// While the agent replaces one version by another, both have their folders.
bool Handler::may_be_updating() const {
  const fs::path& folder = invocation_.environment.handler_folder;
  const std::string prefix = invocation_.environment.name + "-";
  std::error_code trouble;
  for (const auto& entry : fs::directory_iterator(folder.parent_path(), trouble)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory(trouble) && name != folder.filename() && name.starts_with(prefix) &&
        fs::exists(entry.path() / "HandlerManifest.json", trouble))
      return true;
  }
  return false;
}

/// Asks an enable that runs to end and waits for that: what it does not stop for (a package manager at work)
/// must not be undone under its hands. Throws Error(unavailable); it ends then all the same, a little later.
EnableLock Handler::call_off(const std::string& operation, milliseconds limit) {
  make_folder(machine_.root(run_folder), 0700);
  write_file(machine_.root(stop_file), "", 0600);
  EnableLock lock = EnableLock::take(machine_.root(run_folder), operation, limit);
  if (!lock.held())
    throw Error(
        ErrorKind::unavailable, "Busy",
        fmt::format("An enable is still at work after {} s; it ends as soon as it can be interrupted.",
                    std::chrono::duration_cast<std::chrono::seconds>(limit).count()),
        "Try again in a few minutes.");
  return lock;
}

/// An enable says so before it does anything else.
bool Handler::looks_after_machine() const {
  const State state = read_state(machine_.root);
  return state.owner == invocation_.environment.name &&
         state.owner_version == invocation_.environment.version;
}

int Handler::disable() {
  const HandlerEnvironment& environment = invocation_.environment;
  const Sequence sequence = choose_sequence(environment.config_folder, invocation_.told_sequence);
  if (looks_after_machine()) {
    const EnableLock lock = call_off("disable", disable_lock_limit);
    state_ = read_state(machine_.root);
    state_.disabled = true;
    write_state(machine_.root, state_);
    if (state_.stop_on_disable && !may_be_updating()) {
      if (state_.files.contains(std::string(front_file))) Front(machine_.runner, machine_.log).stop();
      Engine(look_at_system(machine_.root).init, machine_.runner, machine_.probe, machine_.log).stop();
    }
  }
  report(sequence.number, make_report(profile_of(environment), Operation::disable, Phase::succeeded));
  return 0;
}

/// While the old version's enable still works, taking over can wait for the new version's.
int Handler::update() {
  const HandlerEnvironment& environment = invocation_.environment;
  const Sequence sequence = choose_sequence(environment.config_folder, invocation_.told_sequence);
  const EnableLock lock = EnableLock::take(machine_.root(run_folder), "update", lock_limit);
  if (lock.held()) {
    state_ = read_state(machine_.root);
    state_.owner = environment.name;
    state_.owner_version =
        environment.version;  // the old version's uninstall now finds that nothing is its own
    write_state(machine_.root, state_);
  }
  report(sequence.number, make_report(profile_of(environment), Operation::update, Phase::succeeded));
  return 0;
}

int Handler::uninstall() {
  if (may_be_updating() || !looks_after_machine()) {
    machine_.log.line("another version looks after this machine; nothing removed");
    return 0;
  }
  allowance_ = Allowance(machine_.clock);
  allowance_.limit(uninstall_limit);
  const EnableLock lock = call_off("uninstall", uninstall_lock_limit);
  state_ = read_state(machine_.root);
  const std::vector<std::string> left = withdraw_settings(machine_, state_);
  remove_file(machine_.root(stop_file));
  if (left.empty()) {
    std::error_code trouble;
    fs::remove_all(machine_.root(state_folder), trouble);
    return 0;
  }
  // What is left stays on record, for the next handler that comes.
  state_.disabled = true;
  state_.succeeded = false;
  write_state(machine_.root, state_);
  for (const std::string& sentence : left) machine_.log.line(fmt::format("left behind: {}", sentence));
  return 1;
}

}  // namespace berth::extension
