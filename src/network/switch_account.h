#pragma once

#include <filesystem>
#include <optional>

#include "host/fd.h"
#include "network/sandbox.h"

namespace berth::network {

/// The account that the switch of `folder` runs under when root starts it: a number that no account has, for
/// this folder always the same. nullopt for an ordinary user: it runs under the user's own.
std::optional<Account> switch_account(const std::filesystem::path& folder);

/// Lets an account connect to the unix sockets of a folder that is root's, and to those that come: QEMU and
/// berthd make them for themselves. It may not list, make or remove anything there.
class SocketAccess {
 public:
  /// Throws Error(unavailable) when the folder cannot be watched.
  SocketAccess(const std::filesystem::path& folder, Account account);

  int fd() const { return watch_.get(); }  ///< readable: call follow()
  void follow();

 private:
  bool open_folder() const;
  void give(const char* name) const;

  Fd folder_, watch_;
  Account account_;
};

}  // namespace berth::network
