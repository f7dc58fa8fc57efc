#include "network/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "host/fd.h"

namespace berth::network {
namespace {

constexpr rlim_t most_memory = rlim_t{1} << 30, most_addresses = rlim_t{4} << 30;
constexpr rlim_t most_descriptors = 65'536;
constexpr rlim_t most_threads = 16;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BERTH_SHADOW_MEMORY 1  // terabytes of addresses: limits on them end the process
#endif
#endif

Error sandbox_refused(std::string_view what) {
  return {ErrorKind::unavailable, "SandboxUnavailable",
          fmt::format("The switch cannot give up {}: {}.", what, std::strerror(errno))};
}

void limit(__rlimit_resource resource, rlim_t most) {
  rlimit now{};
  ::getrlimit(resource, &now);
  now.rlim_max = std::min(now.rlim_max, most);
  now.rlim_cur = std::min(now.rlim_cur, now.rlim_max);
  if (::setrlimit(resource, &now) != 0) throw sandbox_refused("memory and descriptors without end");
}

void set_limits(bool own_account) {
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, most_descriptors);
#ifndef BERTH_SHADOW_MEMORY
  limit(RLIMIT_DATA, most_memory);
  limit(RLIMIT_AS, most_addresses);
#endif
  if (own_account) limit(RLIMIT_NPROC, most_threads);  // of a user's account it would count all that it runs
}

/// Keeps the capability to open ports below 1024, in so far as we have it, and no other.
void keep_low_ports() {
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
    if (capability != CAP_NET_BIND_SERVICE) ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct now[2] = {};
  if (::syscall(SYS_capget, &header, now) != 0) throw sandbox_refused("its capabilities");
  __user_cap_data_struct kept[2] = {};
  kept[0].permitted = kept[0].effective = now[0].permitted & (1U << CAP_NET_BIND_SERVICE);
  if (::syscall(SYS_capset, &header, kept) != 0) throw sandbox_refused("its capabilities");
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

void become(const std::optional<Account>& account, std::vector<std::string>& lacking) {
  if (account) {
    ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    const bool changed = ::setgroups(0, nullptr) == 0 &&
                         ::setresgid(account->id, account->id, account->id) == 0 &&
                         ::setresuid(account->id, account->id, account->id) == 0;
    if (!changed && errno != EPERM && errno != EINVAL) throw sandbox_refused("its account");
    if (!changed)  // a container that maps few accounts, or has not got the privilege
      lacking.push_back(fmt::format("no account of its own: {}", std::strerror(errno)));
  }
  keep_low_ports();
}

// --- Landlock, landlock(7). The interface grows; what the header of the build machine knows is too little.

struct RulesetAttributes {
  std::uint64_t files = 0, network = 0, scopes = 0;
};
constexpr int scopes_since = 6, network_since = 4;
constexpr std::uint64_t abstract_sockets = 1, signals = 2;

int landlock_version() {
  return static_cast<int>(
      std::max(0L, ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION)));
}

/// All rights over files that a version knows: 13, then REFER (2), TRUNCATE (3), IOCTL_DEV (5).
std::uint64_t file_rights(int version) {
  const int count = 13 + (version >= 2) + (version >= 3) + (version >= 5);
  return (std::uint64_t{1} << count) - 1;
}

void allow_below(const Fd& ruleset, const std::filesystem::path& path, std::uint64_t rights) {
  const Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place && (errno == ENOENT || errno == EACCES)) return;
  struct stat status {};
  if (!place || ::fstat(place.get(), &status) != 0) throw sandbox_refused("files");
  if (!S_ISDIR(status.st_mode)) rights &= ~std::uint64_t{LANDLOCK_ACCESS_FS_READ_DIR};
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = place.get();
  if (::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
    throw sandbox_refused("files");
}

void restrict_files(const Sandbox& sandbox, std::vector<std::string>& lacking) {
  const int version = landlock_version();
  if (version == 0) {
    lacking.push_back(
        "no Landlock in this kernel: files are kept from it by its account and by seccomp alone");
    return;
  }
  RulesetAttributes attributes{.files = file_rights(version)};
  if (version >= scopes_since) attributes.scopes = abstract_sockets | signals;
  const std::size_t size = version >= scopes_since ? 24 : version >= network_since ? 16 : 8;
  const Fd ruleset(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0)));
  if (!ruleset) throw sandbox_refused("files");
  allow_below(ruleset, sandbox.sockets, LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REMOVE_FILE);
  for (const auto& path : sandbox.readable)
    allow_below(ruleset, path, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR);
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) throw sandbox_refused("files");
}

// --- seccomp

constexpr const char* allowed_calls[] = {
    // its connections
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv",
    "recvfrom", "recvmmsg", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    // descriptors
    "close", "dup", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "fcntl", "fstat",
    "lseek", "pipe2", "poll", "ppoll", "read", "readv", "select", "pselect6", "write", "writev",
    // names of files: what they lead to is Landlock's business
    "access", "faccessat", "faccessat2", "getcwd", "lstat", "newfstatat", "readlink", "readlinkat", "stat",
    "statx", "umask", "unlink", "unlinkat",
    // memory and threads
    "brk", "capget", "exit", "exit_group", "futex", "get_robust_list", "madvise", "mremap", "munmap", "rseq",
    "sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address", "membarrier",
    // time, signals, itself
    "clock_getres", "clock_gettime", "clock_nanosleep", "getegid", "geteuid", "getgid", "getpid", "getppid",
    "getrandom", "getrlimit", "getrusage", "gettid", "gettimeofday", "getuid", "nanosleep", "restart_syscall",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "sysinfo", "time", "uname"};

struct SocketKind {
  std::uint64_t family, type, protocol;
};
constexpr SocketKind allowed_sockets[] = {
    {AF_UNIX, SOCK_STREAM, 0},
    {AF_INET, SOCK_STREAM, 0},
    {AF_INET, SOCK_STREAM, IPPROTO_TCP},
    {AF_INET, SOCK_DGRAM, 0},
    {AF_INET, SOCK_DGRAM, IPPROTO_UDP},
    {AF_INET, SOCK_DGRAM, IPPROTO_ICMP},  // guests ping; whether we may, the host says
    {AF_INET6, SOCK_STREAM, 0},
    {AF_INET6, SOCK_STREAM, IPPROTO_TCP},  // a name server of the host
    {AF_INET6, SOCK_DGRAM, 0},
    {AF_INET6, SOCK_DGRAM, IPPROTO_UDP},
};

class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ERRNO(EPERM)), &::seccomp_release) {
    if (!context_) throw sandbox_refused("system calls");
    ::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a tree: a list costs each call more
  }
  /// Some names are not of every architecture.
  void allow(const char* call, std::vector<scmp_arg_cmp> when = {}) {
    add(SCMP_ACT_ALLOW, call, std::move(when));
  }
  void answer(const char* call, int error) { add(SCMP_ACT_ERRNO(static_cast<unsigned>(error)), call, {}); }
  /// Also promises that no program ever gets privileges back (no_new_privs).
  void load() {
    const int code = ::seccomp_load(context_.get());
    errno = -code;
    if (code != 0) throw sandbox_refused("system calls");
  }

 private:
  void add(std::uint32_t action, const char* call, std::vector<scmp_arg_cmp> when) {
    const int number = ::seccomp_syscall_resolve_name(call);
    if (number < 0) return;
    const int code = ::seccomp_rule_add_array(context_.get(), action, number,
                                              static_cast<unsigned>(when.size()), when.data());
    errno = -code;
    if (code != 0) throw sandbox_refused(fmt::format("system calls but {}", call));
  }
  std::unique_ptr<void, decltype(&::seccomp_release)> context_;
};

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) {
  return {argument, SCMP_CMP_EQ, value, 0};
}
scmp_arg_cmp has(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void restrict_calls(std::vector<std::string>& lacking) {
  if (!sandbox_support().seccomp) {
    lacking.push_back("no seccomp in this kernel: no system call is kept from it");
    return;
  }
  Filter filter;
  for (const char* call : allowed_calls) filter.allow(call);
  constexpr std::uint64_t type_of_socket = 0xff;
  for (const auto& [family, type, protocol] : allowed_sockets)
    filter.allow("socket", {equals(0, family), has(1, type_of_socket, type), equals(2, protocol)});
  filter.allow("ioctl", {equals(1, FIONREAD)});
  filter.allow("ioctl", {equals(1, FIONBIO)});
  constexpr std::uint64_t writing = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
  filter.allow("open", {has(1, writing, 0)});
  filter.allow("openat", {has(2, writing, 0)});
  filter.allow("mmap", {has(2, PROT_EXEC, 0)});
  filter.allow("mprotect", {has(2, PROT_EXEC, 0)});
  filter.allow("clone", {has(0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM)});
  filter.answer("clone3", ENOSYS);  // its flags cannot be seen: clone is tried next
  for (const int option : {PR_SET_NAME, PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS})
    filter.allow("prctl", {equals(0, static_cast<std::uint64_t>(option))});
  filter.allow("prlimit64", {equals(2, 0)});                                    // reading
  filter.allow("tgkill", {equals(0, static_cast<std::uint64_t>(::getpid()))});  // abort()
  filter.load();
}

}  // namespace

SandboxSupport sandbox_support() {
  return {.landlock = landlock_version(), .seccomp = ::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0};
}

std::string describe(const SandboxSupport& support) {
  return fmt::format("{}{}", support.seccomp ? "seccomp" : "no seccomp in this kernel",
                     support.landlock ? fmt::format(", Landlock {}", support.landlock)
                                      : std::string("; no Landlock in this kernel"));
}

bool sandbox_is_switched_off() {
  const char* word = std::getenv("BERTH_SWITCH_SANDBOX");
  return word && std::string_view(word) == "off";
}

std::vector<std::string> enter_sandbox(const Sandbox& sandbox) {
  std::vector<std::string> lacking;
  become(sandbox.account, lacking);
  set_limits(sandbox.account && lacking.empty());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw sandbox_refused("new privileges");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) throw sandbox_refused("being traced");
  restrict_files(sandbox, lacking);
  restrict_calls(lacking);
  return lacking;
}

}  // namespace berth::network
