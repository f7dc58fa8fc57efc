#pragma once

#include <string>
#include <string_view>

#include "base/secret.h"

namespace berth::extension {

/// What is to be done about a machine's users, its ssh server and its disks; each part alone or with others.
struct AccessOrder {
  std::string user;                 ///< to be there, with the password and the key; "" for none
  Secret password;                  ///< empty: stays as it is, or none
  std::string ssh_key;              ///< one public key in OpenSSH's form; ""
  bool remove_prior_keys = false;   ///< that key alone is to open the account
  std::string expiration;           ///< YYYY-MM-DD, of the account; ""
  std::string remove_user;          ///< with its home; ""
  bool reset_ssh = false;           ///< the ssh server's configuration to the distribution's own
  bool restore_backup_ssh = false;  ///< or to that from before the last reset
  bool check_disk = false, repair_disk = false;
};

/// Throws Error(invalid) naming the setting: what is malformed, not known, or asks for nothing. Users, passwords and keys stand in
/// the protected settings, disks in the public ones. Source: docs/wire/vm-access.md.
AccessOrder parse_access_settings(std::string_view public_settings, const Secret& protected_settings);

}  // namespace berth::extension
