#include "scripts/handler.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "handler/lock.h"
#include "handler/settings_document.h"
#include "host/files.h"
#include "scripts/download.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t shown_output = 4u << 10;
constexpr std::size_t largest_settings = 8u << 20;
constexpr std::chrono::seconds stop_grace{5};  ///< for a worker to end its command and itself
constexpr const char* interrupted =
    "Enable failed: the command was interrupted (the machine went down, the extension was removed, or the "
    "handler was killed), and is not run again. Change the settings, or 'forceUpdateTag', to run it.";
/// The command comes on standard input: what stands on a command line, every user reads, and a variable for a program is short.
constexpr const char* run_input =
    "script_extension_command=$(cat)\nexec </dev/null\n"
    "eval \"unset script_extension_command\n$script_extension_command\"";

std::string sentence(const Error& error) {
  return error.advice.empty() ? std::string(error.what()) : fmt::format("{} {}", error.what(), error.advice);
}

long long in_seconds(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time).count();
}

bool is_variable(const std::string& name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; });
}

}  // namespace

std::string tail_of(const fs::path& file, std::size_t most) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) return {};
  const off_t from = std::max<off_t>(0, status.st_size - static_cast<off_t>(most));
  std::string text(most, '\0');
  const ssize_t got = ::pread(fd.get(), text.data(), text.size(), from);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  std::size_t start = 0;
  while (from > 0 && start < text.size() && start < 4 &&
         (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80)
    ++start;
  return text.substr(start);
}

ScriptHandler::ScriptHandler(Invocation invocation, const ScriptKind& kind, Root root, Runner& runner,
                             Log& log)
    : invocation_(std::move(invocation)),
      kind_(kind),
      root_(std::move(root)),
      runner_(runner),
      log_(log),
      folder_(invocation_.environment.handler_folder) {}

int ScriptHandler::run(const std::string& operation) {
  log_.line(fmt::format("started operation={} version={} handler={}", operation,
                        invocation_.environment.version, invocation_.environment.name));
  try {
    if (operation == "install") return install();
    if (operation == "enable") return enable();
    if (operation == "work") return work();
    if (operation == "disable" || operation == "update") return take_note(operation);
    if (operation == "uninstall") return uninstall();
  } catch (const Error& error) {
    log_.line(fmt::format("failed operation={} code={}: {}", operation, error.code, sentence(error)));
    return 1;
  } catch (const std::exception& error) {
    log_.line(fmt::format("failed operation={}: {}", operation, error.what()));
    return 1;
  }
  log_.line(fmt::format("'{}' is no operation; there are install, enable, disable, update and uninstall",
                        operation));
  return 2;
}

fs::path ScriptHandler::data_folder() const {
  return kind_.folder.empty() ? invocation_.environment.handler_folder
                              : root_(fmt::format("/var/lib/waagent/{}", kind_.folder));
}

fs::path ScriptHandler::locks_folder() const {
  return root_(fmt::format("/run/{}", kind_.handler));
}

/// By the handler's folder, too: the numbers of one that is unpacked anew begin at 0 again.
fs::path ScriptHandler::lock_folder(std::uint64_t number) const {
  return locks_folder() / folder_.key() / std::to_string(number);
}

bool ScriptHandler::is_done(std::uint64_t number) const {
  const auto last = read_mrseq(invocation_.environment.handler_folder);
  return last && *last >= number;
}

void ScriptHandler::report(std::uint64_t number, const Report& report) {
  // A worker may outlive its version's folder, which must not come back, and has nothing to say in the next one.
  if (!folder_.is_there_still()) return;
  write_status(invocation_.environment.status_folder, number, report, std::chrono::system_clock::now(),
               log_.redactor);
}

Report ScriptHandler::make(Outcome outcome, std::string message) const {
  Report report;
  report.name = kind_.type;
  report.operation = kind_.classic && outcome != Outcome::transitioning ? "Daemon" : "Enable";
  report.outcome = outcome;
  report.message = std::move(message);
  return report;
}

int ScriptHandler::install() {
  if (root_.is_machine() && ::geteuid() != 0)
    throw Error(ErrorKind::unauthorized, "NotRoot", "The handler does not run as root.");
  make_folder(data_folder(), 0755);
  // Where the public handlers' users look for the log.
  if (!kind_.folder.empty() && root_.is_machine()) {
    std::error_code ignored;
    fs::create_directory_symlink(invocation_.environment.log_folder,
                                 fs::path("/var/log/azure") / kind_.folder, ignored);
  }
  return 0;
}

int ScriptHandler::enable() {
  const Sequence sequence = choose_sequence(invocation_.environment.config_folder, invocation_.told_sequence);
  if (is_done(sequence.number)) {
    log_.line(fmt::format("nothing to do seq={}", sequence.number));
    // Begun, and nobody is at it any more? Then the machine was switched off, or the worker killed. Read under the lock,
    // for a worker says its last word before it lets go.
    const EnableLock lock =
        EnableLock::take(lock_folder(sequence.number), "look", std::chrono::milliseconds(0));
    if (!lock.held()) return 0;
    const auto status = read_status(invocation_.environment.status_folder, sequence.number);
    if (status && status->outcome == Outcome::transitioning)
      report(sequence.number, make(Outcome::error, interrupted));
    return 0;
  }
  report(sequence.number,
         make(Outcome::transitioning, kind_.classic ? "Launching the script..." : "Enable in progress"));
  // The agent waits for minutes, a command may take an hour.
  runner_.detach({invocation_.executable.string(), "work"});
  return 0;
}

int ScriptHandler::work() {
  const HandlerEnvironment& environment = invocation_.environment;
  const Sequence sequence = choose_sequence(environment.config_folder, invocation_.told_sequence);
  const WorkerLock lock(lock_folder(sequence.number), std::chrono::milliseconds(1000));
  if (!lock.held() || !folder_.is_there_still() || is_done(sequence.number)) {
    log_.line(fmt::format("seq={} is being carried out already, or was", sequence.number));
    return 0;
  }
  write_mrseq(environment.handler_folder, sequence.number);  // first: what has begun is not begun again
  Report result;
  try {
    result = carry_out(sequence.number, sequence.file);
  } catch (const Error& error) {
    const bool stopped = error.code == "OperationCanceled";
    result = make(Outcome::error, stopped ? interrupted : fmt::format("Enable failed: {}", sentence(error)));
  } catch (const std::exception& error) {
    result = make(Outcome::error, fmt::format("Enable failed: {}", error.what()));
  }
  if (result.outcome == Outcome::error)
    log_.line(fmt::format("failed seq={}: {}", sequence.number, result.message));
  else
    log_.line(fmt::format("carried out seq={}", sequence.number));
  report(sequence.number, result);
  return result.outcome == Outcome::error ? 1 : 0;
}

ScriptOrder ScriptHandler::read_order(const fs::path& settings) {
  const Envelope envelope =
      parse_envelope(settings.empty() ? std::string() : read_file(settings, largest_settings));
  const Secret opened = open_protected(envelope, invocation_.environment.library_folder());
  ScriptOrder order = parse_script_settings(kind_, envelope.public_settings, opened);
  for (const Secret& secret : order.secrets) log_.redactor.hide(secret);
  return order;
}

Report ScriptHandler::carry_out(std::uint64_t number, const fs::path& settings) {
  const ScriptOrder order = read_order(settings);
  const fs::path folder = data_folder() / "download" / std::to_string(number);
  make_folder(folder, 0700);
  Allowance allowance(std::chrono::steady_clock::now);
  allowance.limit(limit);
  fetch_files(order, folder, allowance);
  std::string why;
  int code = 0;
  try {
    code = log_.timed("ran the command", [&] { return run_command(order, folder, allowance).exit_code; });
    if (code != 0)
      why = fmt::format("failed to execute command: command terminated with exit status={}", code);
  } catch (const Error& error) {
    if (error.code != "Timeout" && error.code != "OutOfTime") throw;
    why = fmt::format("failed to execute command: command was stopped, it did not end within {} s",
                      in_seconds(limit));
  }
  log_.line(fmt::format("command ended exit={}", code));
  const bool good = why.empty() || (kind_.any_exit && code != 0);
  Report report = make(good ? Outcome::success : Outcome::error, "");
  if (kind_.classic)
    report.message = good ? "Command is finished." : "Command returned an error.";
  else
    report.message = good ? "Enable succeeded: " : fmt::format("Enable failed: {}", why);
  report.output = output_of(folder);
  return report;
}

void ScriptHandler::fetch_files(const ScriptOrder& order, const fs::path& folder,
                                const Allowance& allowance) {
  BoundedRunner bounded(runner_, allowance);
  Downloads downloads(bounded, log_);
  downloads.stop = stop;
  for (const WantedFile& file : order.files) {
    log_.timed(fmt::format("downloaded file={}", file.name), [&] {
      try {
        downloads.fetch(file, folder);
      } catch (const Error& error) {
        if (error.code == "OutOfTime")
          throw Error(
              error.kind, error.code,
              fmt::format("{} was not fetched from {} in time: the files and the command have {} s together.",
                          file.name, host_of(file.url.reveal()), in_seconds(limit)),
              "Fetch less, or from nearer by.");
        if (!order.managed_identity || error.code != "DownloadFailed") throw;
        throw Error(error.kind, error.code, error.what(),
                    "It was asked for without managedIdentity: identities of this region open nothing in "
                    "Azure's storage.");
      }
    });
    if (order.dos2unix) make_unix_text(folder / file.name);
  }
}

RunResult ScriptHandler::run_command(const ScriptOrder& order, const fs::path& folder,
                                     const Allowance& allowance) {
  RunOptions options;
  options.folder = folder;
  options.limit = allowance.bound(limit);
  options.stop = stop;
  options.out_file = folder / "stdout";
  options.err_file = folder / "stderr";
  if (!order.script) {
    options.input = order.command.reveal();
    return berth::run({"/bin/sh", "-c", run_input}, options);
  }
  // By a shell, so that a script without "#!" runs as well; `exec "$0" "$@"` has no secret in it.
  std::vector<std::string> argv{"/bin/sh", "-c", "exec \"$0\" \"$@\"", put_script(order, folder).string()};
  for (const auto& [name, value] : order.parameters) {
    argv.push_back(value.reveal());
    if (is_variable(name)) options.environment[name] = value.reveal();
  }
  return berth::run(argv, options);
}

fs::path ScriptHandler::put_script(const ScriptOrder& order, const fs::path& folder) {
  fs::path file = folder / "script.sh";
  std::string bytes = order.script ? order.script->reveal() : std::string();
  if (bytes.starts_with("\x1F\x8B")) {
    RunOptions options;
    options.input = bytes;
    RunResult unpacked = runner_.run({"gzip", "-dc"}, options);
    if (unpacked.exit_code != 0)
      throw Error(ErrorKind::invalid, "BadSettings",
                  "failed to decompress script: " + last_lines(unpacked, 1));
    bytes = std::move(unpacked.out);
  }
  write_file(file, bytes, 0500);
  if (order.dos2unix) make_unix_text(file);
  return file;
}

std::string ScriptHandler::output_of(const fs::path& folder) const {
  return fmt::format(
      fmt::runtime(kind_.classic ? "\n---stdout---\n{}\n---errout---\n{}\n" : "\n[stdout]\n{}\n[stderr]\n{}"),
      tail_of(folder / "stdout", shown_output), tail_of(folder / "stderr", shown_output));
}

int ScriptHandler::take_note(const std::string& operation) {
  const Sequence sequence = choose_sequence(invocation_.environment.config_folder, invocation_.told_sequence);
  // What a command said stays to be seen.
  const auto status = read_status(invocation_.environment.status_folder, sequence.number);
  if (status) return 0;
  Report done = make(Outcome::success, "");
  done.operation = operation == "disable" ? "Disable" : "Update";
  done.message = done.operation + " succeeded";
  report(sequence.number, done);
  return 0;
}

int ScriptHandler::uninstall() {
  // While the agent replaces one version by another, both have their folders; what was downloaded stays for the newer one.
  const fs::path& folder = invocation_.environment.handler_folder;
  std::error_code trouble;
  for (const auto& entry : fs::directory_iterator(folder.parent_path(), trouble)) {
    const std::string name = entry.path().filename().string();
    if (name != folder.filename() && name.starts_with(fmt::format("{}-", kind_.handler)) &&
        fs::exists(entry.path() / "HandlerManifest.json", trouble))
      return 0;
  }
  end_workers(locks_folder(), stop_grace);
  if (!kind_.folder.empty()) fs::remove_all(data_folder(), trouble);
  if (trouble)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} cannot be removed: {}.", data_folder().string(), trouble.message()));
  return 0;
}

}  // namespace berth::extension
