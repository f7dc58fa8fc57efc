#include "vm_access/handler.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/error.h"
#include "handler/settings_document.h"
#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view configuration_file = "/etc/ssh/sshd_config",
                           backup_folder = "/var/cache/vmaccess/backup";
/// The distribution's own, where its package keeps one; else what every OpenSSH takes.
constexpr std::string_view stock_configuration = "/usr/share/openssh/sshd_config";
constexpr const char* plain_configuration =
    "Port 22\nPermitRootLogin no\nPasswordAuthentication yes\nUsePAM yes\nX11Forwarding no\nPrintMotd no\n"
    "AcceptEnv LANG LC_*\nSubsystem sftp internal-sftp\n";
constexpr std::chrono::minutes disk_limit{10};
constexpr std::uint64_t first_ordinary = 1000, nobody = 65534;

/// As the user, for his folders may lead anywhere: adds the key on standard input, or puts it in place of all others.
constexpr const char* put_key = R"(umask 077
file="$0/.ssh/authorized_keys"
mkdir -p "$0/.ssh" || exit 1
new=$(cat) old=
[ "$1" = replace ] || old=$(cat "$file" 2>/dev/null)
case "
$old
" in *"
$new
"*) exit 0 ;; esac
printf '%s\n' ${old:+"$old"} "$new" >"$file.new" && mv "$file.new" "$file")";

[[noreturn]] void throw_failed(const std::string& happened, const std::string& advice = {}) {
  throw Error(ErrorKind::unavailable, "AccessFailed", happened, advice);
}

/// sudo passes over files with a dot; no user's name has a '%', so each has a file of his own.
std::string sudoers_file(const std::string& user) {
  std::string file = "/etc/sudoers.d/90-vmaccess-";
  for (const char c : user) file += c == '.' ? "%2E" : std::string(1, c);
  return file;
}

}  // namespace

AccessHandler::AccessHandler(Invocation invocation, Root root, Runner& runner, Log& log)
    : invocation_(std::move(invocation)), root_(std::move(root)), runner_(runner), log_(log) {}

int AccessHandler::run(const std::string& operation) {
  log_.line(fmt::format("started operation={} version={}", operation, invocation_.environment.version));
  try {
    if (operation == "enable") return enable();
    if (operation == "install" || operation == "disable" || operation == "update" || operation == "uninstall")
      return 0;
  } catch (const std::exception& error) {
    log_.line(fmt::format("failed operation={}: {}", operation, error.what()));
    return 1;
  }
  log_.line(fmt::format("'{}' is no operation; there are install, enable, disable, update and uninstall",
                        operation));
  return 2;
}

void AccessHandler::report(std::uint64_t number, Outcome outcome, const std::string& message) {
  Report report;
  report.name = "VMAccessForLinux";
  report.operation = "Enable";
  report.outcome = outcome;
  report.message = message;
  write_status(invocation_.environment.status_folder, number, report, std::chrono::system_clock::now(),
               log_.redactor);
}

int AccessHandler::enable() {
  const HandlerEnvironment& environment = invocation_.environment;
  const Sequence sequence = choose_sequence(environment.config_folder, invocation_.told_sequence);
  const auto last = read_mrseq(environment.handler_folder);
  if (last && *last >= sequence.number) {
    log_.line(fmt::format("nothing to do seq={}", sequence.number));
    return 0;
  }
  // First: a password that somebody changed since is not set again by an enable that was cut short.
  write_mrseq(environment.handler_folder, sequence.number);
  try {
    report(sequence.number, Outcome::transitioning, "Enabling VMAccess");
    const Envelope envelope =
        parse_envelope(sequence.file.empty() ? std::string() : read_file(sequence.file));
    const Secret opened = open_protected(envelope, environment.library_folder());
    const AccessOrder order = parse_access_settings(envelope.public_settings, opened);
    log_.redactor.hide(order.password);
    carry_out(order);
    report(sequence.number, Outcome::success, "Enable succeeded.");
    return 0;
  } catch (const Error& error) {
    report(sequence.number, Outcome::error,
           fmt::format("Enable failed: {}{}{}", error.what(), error.advice.empty() ? "" : " ", error.advice));
    throw;
  } catch (const std::exception& error) {
    report(sequence.number, Outcome::error, fmt::format("Enable failed: {}", error.what()));
    throw;
  }
}

void AccessHandler::carry_out(const AccessOrder& order) {
  if (order.reset_ssh) reset_ssh();
  if (order.restore_backup_ssh) restore_ssh();
  if (!order.remove_user.empty()) remove_user(order.remove_user);
  if (!order.user.empty()) make_user(order);
  if (order.check_disk || order.repair_disk) check_disks(order.repair_disk);
}

/// Runs a program that has to succeed; what it printed.
std::string AccessHandler::ran(const std::vector<std::string>& argv, const RunOptions& options) {
  RunResult result = runner_.run(argv, options);
  if (result.exit_code != 0)
    throw_failed(fmt::format("{} ended with {}: {}", argv[0], result.exit_code, last_lines(result, 2)));
  return std::move(result.out);
}

std::optional<AccessHandler::Account> AccessHandler::find(const std::string& user) const {
  // Asked of the name service: not every account stands in /etc/passwd.
  const RunResult found = runner_.run({"getent", "passwd", user}, {});
  if (found.exit_code != 0) return std::nullopt;
  std::vector<std::string> fields;
  std::string_view line = std::string_view(found.out).substr(0, found.out.find('\n'));
  for (std::size_t end = 0; end != line.npos;) {
    end = line.find(':');
    fields.emplace_back(line.substr(0, end));
    line.remove_prefix(end == line.npos ? line.size() : end + 1);
  }
  Account account;
  if (fields.size() < 7 || fields[0] != user ||
      std::from_chars(fields[2].data(), fields[2].data() + fields[2].size(), account.number).ec !=
          std::errc())
    throw_failed(fmt::format("What this machine says of the user {} cannot be read.", user));
  account.home = fields[5];
  return account;
}

AccessHandler::Account AccessHandler::get_ordinary(const std::string& user) const {
  const auto account = find(user);
  if (!account) throw_failed(fmt::format("The user {} does not exist.", user));
  if (account->number < first_ordinary || account->number == nobody)
    throw Error(ErrorKind::invalid, "SystemUser",
                fmt::format("{} is a system user of this machine (number {}), and is left alone.", user,
                            account->number),
                "Name an ordinary one.");
  return *account;
}

void AccessHandler::make_user(const AccessOrder& order) {
  const bool is_new = !find(order.user);
  if (is_new) {
    std::vector<std::string> argv{"useradd", "--create-home", "--shell",
                                  fs::exists(root_("/bin/bash")) ? "/bin/bash" : "/bin/sh"};
    if (!order.expiration.empty()) argv.insert(argv.end(), {"--expiredate", order.expiration});
    argv.push_back(order.user);
    ran(argv);
  }
  const Account account = get_ordinary(order.user);
  if (!is_new && !order.expiration.empty()) ran({"usermod", "--expiredate", order.expiration, order.user});
  if (!order.password.empty()) {
    RunOptions options;
    options.input = fmt::format("{}:{}\n", order.user, order.password.reveal());
    ran({"chpasswd"}, options);
  }
  if (!order.ssh_key.empty()) give_key(order, account);
  if (!order.password.empty()) let_passwords_in();
  // Last, for who cannot come in needs none; by number, for names may mean more in that file (ALL, Defaults, an alias).
  if (fs::is_directory(root_("/etc/sudoers.d")))
    write_file(
        root_(sudoers_file(order.user)),
        fmt::format("#{} ALL=(ALL) {}ALL\n", account.number, order.password.empty() ? "NOPASSWD: " : ""),
        0440);
  log_.line(fmt::format("{} user={} password={} key={}", is_new ? "made" : "changed", order.user,
                        !order.password.empty(), !order.ssh_key.empty()));
}

void AccessHandler::give_key(const AccessOrder& order, const Account& account) {
  RunOptions options;
  options.input = order.ssh_key;
  ran({"runuser", "-u", order.user, "--", "/bin/sh", "-c", put_key, account.home,
       order.remove_prior_keys ? "replace" : "add"},
      options);
  if (find_program("restorecon"))
    runner_.run({"restorecon", "-R", account.home + "/.ssh"}, {});  // where SELinux wants it
}

bool AccessHandler::has_ssh_server() const {
  for (const char* folder : {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"})
    if (fs::exists(root_(fmt::format("{}/sshd", folder)))) return true;
  return false;
}

void AccessHandler::need_ssh_server() const {
  if (!has_ssh_server())
    throw Error(ErrorKind::invalid, "NoSshServer", "There is no ssh server (sshd) on this machine.",
                "Install one, which is openssh-server in most distributions.");
}

/// Of two values of one key sshd takes the first: ours goes before all others, where there is need of it.
void AccessHandler::let_passwords_in() {
  if (!has_ssh_server()) {
    log_.line("there is no ssh server to let passwords in");
    return;
  }
  const RunResult now = runner_.run({"sshd", "-T"}, {});
  if (now.exit_code == 0 && now.out.find("\npasswordauthentication no") == std::string::npos) return;
  const auto before = read_file_if_there(root_(configuration_file));
  if (!before) return;
  put_ssh_configuration("# By VMAccessForLinux, for users with a password.\nPasswordAuthentication yes\n" +
                        *before);
}

void AccessHandler::remove_user(const std::string& user) {
  if (find(user)) {
    get_ordinary(user);
    // Logged in or not; the home goes as well.
    const RunResult result = runner_.run({"userdel", "--force", "--remove", user}, {});
    if (find(user))
      throw_failed(fmt::format("The user {} cannot be removed: {}", user, last_lines(result, 2)));
  } else {
    log_.line(fmt::format("no user={} to remove", user));
  }
  std::error_code ignored;
  fs::remove(root_(sudoers_file(user)), ignored);
}

/// Kept only if sshd takes it.
void AccessHandler::put_ssh_configuration(const std::string& text) {
  const auto before = read_file_if_there(root_(configuration_file));
  write_file(root_(configuration_file), text, 0600);
  const RunResult tried = runner_.run({"sshd", "-t"}, {});
  if (tried.exit_code != 0) {
    if (before) write_file(root_(configuration_file), *before, 0600);
    throw_failed(fmt::format("The ssh server does not take its new configuration: {}", last_lines(tried, 2)),
                 "The one before is back in its place.");
  }
  restart_ssh();
}

void AccessHandler::restart_ssh() {
  for (const char* unit : {"ssh", "sshd"})
    if (runner_.run({"systemctl", "restart", unit}, {}).exit_code == 0) return;
  for (const char* unit : {"ssh", "sshd"})
    if (runner_.run({"service", unit, "restart"}, {}).exit_code == 0) return;
  throw_failed("The ssh server does not start again.", "Its log says why: journalctl -u ssh.");
}

void AccessHandler::reset_ssh() {
  need_ssh_server();
  const auto before = read_file_if_there(root_(configuration_file));
  if (before) {
    make_folder(root_(backup_folder), 0700);
    write_file(root_(fmt::format("{}/sshd_config", backup_folder)), *before, 0600);
  }
  if (find_program("ssh-keygen")) runner_.run({"ssh-keygen", "-A"}, {});  // host keys that are missing
  const auto stock = read_file_if_there(root_(stock_configuration));
  put_ssh_configuration(stock.value_or(plain_configuration));
  const std::vector<std::string> rule{"INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"};
  const auto iptables = [&](const char* action) {
    std::vector<std::string> argv{"iptables", action};
    argv.insert(argv.end(), rule.begin(), rule.end());
    return runner_.run(argv, {}).exit_code;
  };
  if (find_program("iptables") && iptables("-C") != 0 && iptables("-I") != 0)
    throw_failed("Port 22 cannot be opened in the machine's firewall (iptables).");
}

void AccessHandler::restore_ssh() {
  need_ssh_server();
  const auto backup = read_file_if_there(root_(fmt::format("{}/sshd_config", backup_folder)));
  if (!backup)
    throw Error(ErrorKind::invalid, "NoBackup",
                "There is no configuration of the ssh server from before a reset.", "'reset_ssh' makes one.");
  put_ssh_configuration(*backup);
}

/// File systems that are not mounted; a mounted one must not be changed under the kernel's hands.
void AccessHandler::check_disks(bool repair) {
  RunOptions options;
  options.limit = disk_limit;
  const RunResult result = runner_.run({"fsck", "-A", "-M", "-R", repair ? "-y" : "-n"}, options);
  // 1: errors were corrected. 4 and more: they are still there, or fsck could not look.
  if (result.exit_code > 1)
    throw_failed(fmt::format("fsck ended with {}: {}", result.exit_code, last_lines(result, 3)),
                 repair ? "" : "'repair_disk' repairs what can be.");
}

}  // namespace berth::extension
