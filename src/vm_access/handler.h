#pragma once

#include <string>
#include <vector>

#include "handler/invocation.h"
#include "handler/log.h"
#include "handler/root.h"
#include "handler/runner.h"
#include "handler/status.h"
#include "vm_access/settings.h"

namespace berth::extension {

/// VMAccessForLinux: once for each number of settings it gives somebody access to the machine, or takes it away.
/// Source: docs/wire/vm-access.md.
class AccessHandler {
 public:
  AccessHandler(Invocation invocation, Root root, Runner& runner, Log& log);

  /// install, enable, disable, update, uninstall. Returns the exit code: 0; 1 when it failed; 2 when it is no operation.
  int run(const std::string& operation);

 private:
  struct Account {
    unsigned long number = 0;
    std::string home;
  };

  int enable();
  void carry_out(const AccessOrder& order);
  std::optional<Account> find(const std::string& user) const;
  Account get_ordinary(const std::string& user) const;
  void make_user(const AccessOrder& order);
  void give_key(const AccessOrder& order, const Account& account);
  bool has_ssh_server() const;
  void need_ssh_server() const;
  void let_passwords_in();
  void remove_user(const std::string& user);
  void reset_ssh();
  void restore_ssh();
  void put_ssh_configuration(const std::string& text);
  void restart_ssh();
  void check_disks(bool repair);
  std::string ran(const std::vector<std::string>& argv, const RunOptions& options = {});
  void report(std::uint64_t number, Outcome outcome, const std::string& message);

  Invocation invocation_;
  Root root_;
  Runner& runner_;
  Log& log_;
};

}  // namespace berth::extension
