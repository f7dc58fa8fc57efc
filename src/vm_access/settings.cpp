#include "vm_access/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "handler/settings_reader.h"

namespace berth::extension {
namespace {

using nlohmann::json;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/// What the tools of every distribution take, and what is no option to them.
void check_user(const std::string& name, const char* key) {
  const bool fits = !name.empty() && name.size() <= 32 && name[0] != '-' && name[0] != '.' &&
                    !is_digit(name[0]) && std::all_of(name.begin(), name.end(), [](char c) {
                      return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
                    });
  if (!fits)
    throw_bad(fmt::format(
        "{} is no name of a user: up to 32 letters, digits, '_', '-' and '.', with a letter or '_' first.",
        key));
}

void check_key(const std::string& key) {
  if (key.find("-----BEGIN") != key.npos)
    throw_bad("ssh_key is a certificate in PEM.",
              "Give the public key as ssh-keygen writes it: 'ssh-ed25519 AAAA… name'.");
  const std::string kind = key.substr(0, key.find(' '));
  const bool known = kind.starts_with("ssh-") || kind.starts_with("ecdsa-sha2-") || kind.starts_with("sk-");
  const std::size_t blob = kind.size() + 1;
  if (!known || key.size() < blob + 16 || key.compare(blob, 4, "AAAA") != 0)
    throw_bad("ssh_key is no public key in OpenSSH's form.",
              "It looks like 'ssh-ed25519 AAAA… name', one line, without options.");
}

void check_date(const std::string& text) {
  const bool fits = text.size() == 10 && text[4] == '-' && text[7] == '-' &&
                    std::count_if(text.begin(), text.end(), is_digit) == 8 && text.substr(5, 2) <= "12" &&
                    text.substr(8) <= "31";
  if (!fits) throw_bad("expiration is no date: YYYY-MM-DD.");
}

std::string without_line_end(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

AccessOrder parse_access_settings(std::string_view public_text, const Secret& protected_text) {
  const json public_document = parse_object(public_text, "public settings");
  const SecretDocument protected_document{parse_object(protected_text.reveal(), "protected settings")};
  Section open(&public_document, ""), closed(&protected_document.value, "");
  for (const char* key : {"password", "ssh_key"})
    if (public_document.contains(key) && !public_document[key].is_null())
      throw_bad(fmt::format("'{}' stands in the public settings, which are stored and shown in clear.", key),
                "Move it to the protected settings; a password is no longer secret.");
  AccessOrder order;
  order.user = closed.line("username").value_or("");
  order.password = Secret(closed.line("password").value_or(""));
  order.ssh_key = without_line_end(closed.text("ssh_key").value_or(""));
  order.remove_prior_keys = closed.flag("remove_prior_keys").value_or(false);
  order.expiration = closed.line("expiration").value_or("");
  order.remove_user = closed.line("remove_user").value_or("");
  order.reset_ssh = closed.flag("reset_ssh").value_or(false);
  order.restore_backup_ssh = closed.flag("restore_backup_ssh").value_or(false);
  order.check_disk = open.flag("check_disk").value_or(false);
  order.repair_disk = open.flag("repair_disk").value_or(false);
  if (const auto disk = open.text("disk_name"); disk && !disk->empty())
    throw_bad("disk_name is not supported: a file system in use is not repaired.",
              "'repair_disk' checks and repairs those that are not mounted.");
  for (const Section* section : {&open, &closed})
    for (const std::string& key : section->unknown())
      throw_bad(
          fmt::format("The {} setting {} is not known.", section == &open ? "public" : "protected", key));

  if (!order.user.empty()) {
    check_user(order.user, "username");
    if (order.password.empty() && order.ssh_key.empty()) throw_bad("No password or ssh_key is specified.");
    if (order.user == order.remove_user) throw_bad("username and remove_user are the same.");
  } else if (!order.password.empty() || !order.ssh_key.empty()) {
    throw_bad("password and ssh_key need a username.");
  }
  if (order.ssh_key.find('\n') != std::string::npos)
    throw_bad("ssh_key has several lines; one key is taken at a time.");
  if (!order.ssh_key.empty()) check_key(order.ssh_key);
  if (!order.expiration.empty()) check_date(order.expiration);
  if (!order.remove_user.empty()) check_user(order.remove_user, "remove_user");
  if (order.check_disk && order.repair_disk)
    throw_bad("check_disk and repair_disk are both set.", "Keep one of them.");
  if (order.reset_ssh && order.restore_backup_ssh)
    throw_bad("reset_ssh and restore_backup_ssh are both set.", "Keep one of them.");
  return order;
}

}  // namespace berth::extension
