#include "region/access.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "crypto/certificate.h"
#include "crypto/random.h"
#include "host/files.h"

namespace berth {
namespace {

constexpr auto renewal = std::chrono::days(30);

Secret load_or_make(const std::filesystem::path& file, std::size_t bytes) {
  if (auto text = read_file_if_there(file)) return Secret(std::move(*text));
  Secret made = random_secret(bytes);
  write_file(file, made.reveal());
  return made;
}

constexpr std::string_view authority_prefix = "Berth local region ";

/// Names that clients reach the region by: some of them sign in at well-known hosts that are mapped to this
/// one.
const std::vector<std::string>& host_names() {
  static const std::vector<std::string> names{"localhost", "management.core.windows.net",
                                              "management.azure.com", "login.windows.net",
                                              "login.microsoftonline.com"};
  return names;
}

/// Clients are told to trust it: were its key stolen, it would be good for no names but the region's.
CertificateOrder authority_order(std::string common_name) {
  CertificateOrder order;
  order.use = CertificateUse::authority;
  order.common_name = std::move(common_name);
  order.permitted_names = host_names();
  order.lifetime = std::chrono::days(3650);
  return order;
}

/// Regions that were made before authorities had constraints get one that has: with the same key and name, so
/// that all it signed, and every copy of it that a client trusts, stay good.
Certificate constrained(Certificate ca, const PrivateKey& key, const std::filesystem::path& file) {
  const std::string name = "CN=" + std::string(authority_prefix);
  if (ca.has_name_constraints() || !ca.subject().starts_with(name)) return ca;
  Certificate renewed = issue_certificate(authority_order(ca.subject().substr(3)), key);
  write_file(file, renewed.to_pem(), 0644);
  spdlog::info("renewed authority file={} reason=\"it could sign for any name\"", file.string());
  return renewed;
}

CertificateOrder server_order() {
  CertificateOrder order;
  order.use = CertificateUse::server;
  order.common_name = "localhost";
  order.dns_names = host_names();
  order.ip_addresses = {"127.0.0.1", "::1"};
  order.lifetime = std::chrono::days(397);
  return order;
}

void load_tls(const std::filesystem::path& folder, RegionAccess& access) {
  access.ca_file = folder / "ca.pem";
  const auto ca_text = read_file_if_there(access.ca_file),
             ca_key_text = read_file_if_there(folder / "ca-key.pem");
  const bool known = ca_text && ca_key_text;
  const PrivateKey ca_key =
      known ? PrivateKey::parse_pem(Secret(*ca_key_text), (folder / "ca-key.pem").string())
            : PrivateKey::generate_rsa();
  const Certificate ca =
      known ? constrained(Certificate::parse_pem(*ca_text, access.ca_file.string()), ca_key, access.ca_file)
            : issue_certificate(authority_order(std::string(authority_prefix) + random_hex(8)), ca_key);
  if (!known) {
    write_file(folder / "ca-key.pem", ca_key.to_pem().reveal());
    write_file(access.ca_file, ca.to_pem());
  }
  const auto leaf_text = read_file_if_there(folder / "server.pem"),
             key_text = read_file_if_there(folder / "server-key.pem");
  if (known && leaf_text && key_text) {
    const Certificate leaf = Certificate::parse_pem(*leaf_text, (folder / "server.pem").string());
    if (leaf.is_issued_by(ca) && leaf.not_after() > std::chrono::system_clock::now() + renewal) {
      access.certificate_chain = *leaf_text + ca.to_pem();
      access.server_key = Secret(*key_text);
      return;
    }
  }
  const PrivateKey key = PrivateKey::generate_rsa();
  const Certificate leaf = issue_certificate(server_order(), key, &ca, &ca_key);
  access.server_key = key.to_pem();
  access.certificate_chain = leaf.to_pem() + ca.to_pem();
  write_file(folder / "server-key.pem", access.server_key.reveal());
  write_file(folder / "server.pem", leaf.to_pem());
}

void load_client_certificate(RegionAccess& access) {
  const std::string file = access.client_certificate_file.string();
  if (const auto text = read_file_if_there(access.client_certificate_file)) {
    const Certificate certificate = Certificate::parse_pem(*text, file);
    if (certificate.not_after() > std::chrono::system_clock::now() + renewal) {
      access.client_certificate = certificate.to_pem();
      return;
    }
  }
  const PrivateKey key = PrivateKey::generate_rsa();
  CertificateOrder order;
  order.use = CertificateUse::client;
  order.common_name = "Berth client " + access.client_id;
  order.lifetime = std::chrono::days(3650);
  access.client_certificate = issue_certificate(order, key).to_pem();
  write_file(access.client_certificate_file, access.client_certificate + key.to_pem().reveal());
}

}  // namespace

RegionAccess load_access(const std::filesystem::path& home) {
  RegionAccess access;
  make_folder(home / "access");
  make_folder(home / "tls");
  const auto ids = home / "access" / "ids.json";
  if (const auto text = read_file_if_there(ids)) {
    const auto json = nlohmann::json::parse(*text, nullptr, false);
    if (json.is_object()) {
      access.subscription = json.value("subscription", "");
      access.tenant = json.value("tenant", "");
      access.client_id = json.value("clientId", "");
    }
  }
  if (access.subscription.empty() || access.tenant.empty() || access.client_id.empty()) {
    access.subscription = new_uuid();
    access.tenant = new_uuid();
    access.client_id = new_uuid();
    const nlohmann::json json{
        {"subscription", access.subscription}, {"tenant", access.tenant}, {"clientId", access.client_id}};
    write_file(ids, json.dump(2) + "\n");
  }
  access.client_secret_file = home / "access" / "client-secret";
  access.client_secret = load_or_make(access.client_secret_file, 24);
  access.client_certificate_file = home / "access" / "client.pem";
  load_client_certificate(access);
  access.token_key = load_or_make(home / "access" / "token-key", 32);
  load_tls(home / "tls", access);
  access.names = {"127.0.0.1", "[::1]"};
  access.names.insert(access.names.begin() + 1, host_names().begin(), host_names().end());
  return access;
}

}  // namespace berth
