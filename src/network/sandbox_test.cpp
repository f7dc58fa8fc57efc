#include "network/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <thread>

#include "host/files.h"
#include "host/temporary_folder.h"
#include "network/switch_account.h"
#include "network/unix_socket.h"

namespace berth::network {
namespace {

using testing::HasSubstr;

/// Tries things in a child that entered the sandbox as a switch does.
class SandboxTest : public testing::Test {
 protected:
  SandboxTest() {
    make_folder(sockets_);
    write_file(outside_, "a secret", 0644);
    ::chmod(folder_.path().c_str(), 0755);  // what keeps the account out must not be this
    const auto account = switch_account(sockets_);
    if (account) EXPECT_EQ(::chown(sockets_.c_str(), account->id, account->id), 0);
  }

  /// The number that `attempt` returns in the sandbox, below 100; 200 when that could not be entered.
  int inside(const std::function<int()>& attempt) const {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        if (!enter_sandbox({.account = switch_account(sockets_), .sockets = sockets_, .readable = {"/etc"}})
                 .empty())
          ::_exit(201);
        ::_exit(attempt());
      } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        ::_exit(200);
      }
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  /// What the system said: 0 when it did what was asked.
  int refusal_of(const std::function<long()>& call) const {
    return inside([&] { return call() >= 0 ? 0 : errno; });
  }

  const TemporaryFolder folder_;
  const std::filesystem::path sockets_ = folder_ / "nat", outside_ = folder_ / "outside";
};

TEST_F(SandboxTest, ThisKernelHasAllOfIt) {
  EXPECT_TRUE(sandbox_support().seccomp);
  EXPECT_GT(sandbox_support().landlock, 0) << "the other tests here cannot hold without it";
}

TEST_F(SandboxTest, SaysWhatAKernelLacks) {
  EXPECT_EQ(describe({.landlock = 3, .seccomp = true}), "seccomp, Landlock 3");
  EXPECT_THAT(describe({.landlock = 0, .seccomp = true}), HasSubstr("no Landlock"));
  EXPECT_THAT(describe({}), HasSubstr("no seccomp"));
}

TEST_F(SandboxTest, FilesElsewhereCannotBeOpened) {
  EXPECT_EQ(refusal_of([&] { return ::open(outside_.c_str(), O_RDONLY); }), EACCES);
  EXPECT_EQ(refusal_of([&] { return ::open("/", O_RDONLY | O_DIRECTORY); }), EACCES);
  EXPECT_EQ(refusal_of([&] { return ::open("/proc/self/mem", O_RDONLY); }), EACCES);
  EXPECT_EQ(refusal_of([&] { return ::open((sockets_ / "new").c_str(), O_WRONLY | O_CREAT, 0600); }), EPERM);
  EXPECT_EQ(refusal_of([&] { return ::mkdir((sockets_ / "new").c_str(), 0700); }), EPERM);
  EXPECT_EQ(refusal_of([&] { return ::rename(sockets_.c_str(), outside_.c_str()); }), EPERM);
  EXPECT_EQ(refusal_of([&] { return ::unlink(outside_.c_str()); }), EACCES);
  EXPECT_EQ(refusal_of([&] { return ::chmod(outside_.c_str(), 0777); }), EPERM);
  EXPECT_EQ(refusal_of([] { return ::open("/etc/resolv.conf", O_RDONLY); }), 0)
      << "the name service needs it";
}

TEST_F(SandboxTest, NoProgramAndNoProcessIsStarted) {
  const char* argv[] = {"/bin/true", nullptr};
  EXPECT_EQ(refusal_of([&] { return ::execv(argv[0], const_cast<char* const*>(argv)); }), EPERM);
  EXPECT_EQ(refusal_of([&] { return ::syscall(SYS_execveat, AT_FDCWD, argv[0], argv, nullptr, 0); }), EPERM);
  EXPECT_EQ(refusal_of([] { return ::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); }),
            EPERM);
  EXPECT_EQ(refusal_of([] { return ::syscall(SYS_fork); }), EPERM);
  EXPECT_EQ(refusal_of([] { return ::syscall(SYS_vfork); }), EPERM);
  EXPECT_EQ(inside([] { return ::fork() < 0 ? 7 : 0; }), 7);
}

TEST_F(SandboxTest, NobodyIsTracedOrSignalled) {
  const pid_t test = ::getpid();
  EXPECT_EQ(refusal_of([&] { return ::ptrace(PTRACE_ATTACH, test, nullptr, nullptr); }), EPERM);
  EXPECT_EQ(refusal_of([] { return ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }), EPERM);
  EXPECT_EQ(refusal_of([&] { return ::kill(test, 0); }), EPERM);
  EXPECT_EQ(refusal_of([&] { return ::syscall(SYS_tgkill, test, test, 0); }), EPERM);
  EXPECT_EQ(refusal_of([&] {
              char byte = 0;
              const iovec here{&byte, 1}, there{&byte, 1};
              return ::syscall(SYS_process_vm_readv, test, &here, 1, &there, 1, 0);
            }),
            EPERM);
  EXPECT_EQ(inside([] { return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 7 : 0; }), 7);
}

TEST_F(SandboxTest, SocketsOfOtherKindsAreRefused) {
  for (const int family : {AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK, AF_BLUETOOTH, AF_CAN, AF_KEY})
    EXPECT_EQ(refusal_of([&] { return ::socket(family, SOCK_RAW, 0); }), EPERM) << family;
  EXPECT_EQ(refusal_of([] { return ::socket(AF_INET, SOCK_RAW, IPPROTO_TCP); }), EPERM);
  EXPECT_EQ(refusal_of([] { return ::socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP); }), EPERM);
  EXPECT_EQ(refusal_of([] { return ::socket(AF_UNIX, SOCK_DGRAM, 0); }), EPERM);
}

TEST_F(SandboxTest, NoNewCodeAndNoOtherKernelInterface) {
  EXPECT_EQ(refusal_of([] {
              return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                             MAP_FAILED
                         ? -1
                         : 0;
            }),
            EPERM);
  for (const long call :
       {SYS_bpf, SYS_mount, SYS_unshare, SYS_setns, SYS_keyctl, SYS_perf_event_open, SYS_io_uring_setup,
        SYS_userfaultfd, SYS_init_module, SYS_chroot, SYS_setuid, SYS_pidfd_open, SYS_memfd_create})
    EXPECT_EQ(refusal_of([&] { return ::syscall(call, 0, 0, 0, 0, 0, 0); }), EPERM) << call;
}

TEST_F(SandboxTest, PrivilegesAreGoneButForLowPorts) {
  EXPECT_EQ(inside([] { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }), 1);
  if (::geteuid() != 0) return;  // an ordinary user has none
  const uid_t account = switch_account(sockets_)->id;
  EXPECT_FALSE(account == 0 || account == 65'534);
  EXPECT_EQ(inside([&] {
              return ::getuid() == account && ::geteuid() == account && ::getegid() == account ? 7 : 0;
            }),
            7);
  EXPECT_EQ(inside([] {
              __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
              __user_cap_data_struct has[2] = {};
              if (::syscall(SYS_capget, &header, has) < 0) return 8;
              return has[0].permitted == 1U << CAP_NET_BIND_SERVICE && has[1].permitted == 0 ? 7 : 9;
            }),
            7);
  EXPECT_EQ(inside([] {
              const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
              sockaddr_in address{};
              address.sin_family = AF_INET;
              address.sin_addr.s_addr = htonl(INADDR_LOOPBACK | 0xfe00);
              for (std::uint16_t port = 1; port < 1024; ++port) {
                address.sin_port = htons(port);
                if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
                  return 7;
                if (errno != EADDRINUSE) return errno;
              }
              return 0;
            }),
            7);
}

TEST_F(SandboxTest, WhatASwitchNeedsStillWorks) {
  const std::filesystem::path socket = sockets_ / "s";
  EXPECT_EQ(inside([&] {
              const Fd listening = listen_unix(socket, 4);
              if (!connect_unix(socket)) return 1;
              if (::unlink(socket.c_str()) != 0) return 2;
              bool ran = false;
              std::thread([&] { ran = true; }).join();
              if (!ran) return 3;
              addrinfo* list = nullptr;
              if (::getaddrinfo("localhost", nullptr, nullptr, &list) != 0) return 4;
              ::freeaddrinfo(list);
              const Fd epoll(::epoll_create1(EPOLL_CLOEXEC));  // each NAT waits so
              epoll_event event{.events = EPOLLIN, .data = {.fd = listening.get()}};
              if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listening.get(), &event) != 0) return 5;
              if (::epoll_wait(epoll.get(), &event, 1, 0) != 1) return 6;
              return 7;
            }),
            7);
}

TEST_F(SandboxTest, MemoryDescriptorsAndCoreDumpsAreLimited) {
  EXPECT_EQ(inside([] {
              rlimit core{}, files{};
              ::getrlimit(RLIMIT_CORE, &core);
              ::getrlimit(RLIMIT_NOFILE, &files);
              return core.rlim_max == 0 && files.rlim_max <= 65'536 ? 7 : 0;
            }),
            7);
#if !defined(__has_feature) || !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
  EXPECT_EQ(inside([] {
              const std::size_t size = std::size_t{2} << 30;
              return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                             MAP_FAILED
                         ? 7
                         : 0;
            }),
            7);
#endif
}

}  // namespace
}  // namespace berth::network
