#include "cli/docker/certificates.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/error.h"
#include "cli/settings.h"
#include "host/directories.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;
using std::chrono::floor;
using std::chrono::seconds;
using std::chrono::system_clock;

constexpr const char* ca_file = "ca.pem";
constexpr const char* ca_key_file = "ca-key.pem";
constexpr const char* cert_file = "cert.pem";
constexpr const char* key_file = "key.pem";
constexpr const char* unfinished_folder = ".berth-new";
constexpr const char* lock_file = ".berth.lock";

Error broken(const fs::path& file, const std::string& what, const std::string& advice) {
  return Error(ErrorKind::invalid, "DockerCertificatesInvalid", fmt::format("{} {}", file.string(), what),
               advice);
}

constexpr const char* other_folder = "or name another folder with --docker-cert-dir (-dc)";

bool is_there(const fs::path& file) {
  std::error_code error;
  const bool there = fs::exists(fs::symlink_status(file, error));
  if (error && error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory)
    throw broken(file, fmt::format("cannot be looked at: {}.", error.message()),
                 fmt::format("Change the permissions, {}.", other_folder));
  return there;
}

struct Presence {
  bool ca, ca_key, cert, key;
  bool any() const { return ca || ca_key || cert || key; }
  bool authority() const { return ca && ca_key; }
  bool client() const { return cert && key; }
  bool only_authority() const { return authority() && !cert && !key; }
};

Presence look(const fs::path& folder) {
  std::error_code none;
  if (fs::exists(folder, none) && !fs::is_directory(folder, none))
    throw broken(folder, "is not a folder.", "Name a folder with --docker-cert-dir (-dc).");
  return {is_there(folder / ca_file), is_there(folder / ca_key_file), is_there(folder / cert_file),
          is_there(folder / key_file)};
}

/// Refuses a set of which a part is gone, naming what is there and what is not.
void refuse_half(const fs::path& folder, const Presence& presence) {
  if (!presence.any() || (presence.authority() && presence.client()) || presence.only_authority()) return;
  std::string there, missing;
  for (const auto& [name, is] :
       std::initializer_list<std::pair<const char*, bool>>{{ca_file, presence.ca},
                                                           {ca_key_file, presence.ca_key},
                                                           {cert_file, presence.cert},
                                                           {key_file, presence.key}}) {
    std::string& list = is ? there : missing;
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  const bool only_key_of_authority = presence.ca && presence.client();
  throw broken(
      folder,
      fmt::format("holds {} but not {}: a part of the Docker certificates is missing.", there, missing),
      only_key_of_authority
          ? fmt::format("A new host needs a certificate signed with {}: put that file back, {}.", ca_key_file,
                        other_folder)
          : fmt::format("Put it back, or move the others away so that a new set is made, {}.", other_folder));
}

std::string read_text(const fs::path& file) {
  try {
    return read_file(file, 1024 * 1024);
  } catch (const Error& error) {
    throw broken(file, fmt::format("cannot be read: {}", error.what()),
                 fmt::format("Change its permissions, {}.", other_folder));
  }
}

PrivateKey read_key(const fs::path& file) {
  const Secret pem(read_text(file));
  if (pem.reveal().find("ENCRYPTED") != std::string::npos)
    throw broken(file, "is a key with a passphrase.",
                 fmt::format("Remove the passphrase ('openssl pkey -in {} -out …'), {}.", file.string(),
                             other_folder));
  return PrivateKey::parse_pem(pem, file.string());
}

void refuse_expired(const fs::path& file, const Certificate& certificate, const std::string& advice) {
  const auto now = floor<seconds>(system_clock::now());
  const auto date = [](CertificateTime time) { return fmt::format("{:%Y-%m-%d}", time); };
  if (certificate.not_after() < now)
    throw broken(file, fmt::format("has expired on {}.", date(certificate.not_after())), advice);
  if (certificate.not_before() > now)
    throw broken(file, fmt::format("is not valid before {}.", date(certificate.not_before())),
                 "Is the clock of this machine right?");
}

/// The certificate of the bundle that the key belongs to. During a change of authority ca.pem holds two.
Certificate authority_of(const fs::path& file, const std::string& pem, const PrivateKey& key) {
  for (const Certificate& candidate : Certificate::parse_bundle(pem, file.string())) {
    if (!candidate.matches(key)) continue;
    if (!candidate.is_ca())
      throw broken(file, "is not the certificate of an authority (CA:TRUE is missing).",
                   fmt::format("Move the four files away so that a new set is made, {}.", other_folder));
    return candidate;
  }
  throw broken(
      file, fmt::format("does not belong to {} beside it.", ca_key_file),
      fmt::format("Put back the file that does, or move all four away so that a new set is made, {}.",
                  other_folder));
}

void check_client(const fs::path& folder, const std::string& authority_pem) {
  const fs::path file = folder / cert_file;
  const std::string renew = fmt::format(
      "Move {} and {} away: a new pair is made with the same authority, and existing hosts accept it.",
      cert_file, key_file);
  const Certificate client = Certificate::parse_pem(read_text(file), file.string());
  if (!client.matches(read_key(folder / key_file)))
    throw broken(file, fmt::format("does not belong to {} beside it.", key_file), renew);
  bool issued = false;
  for (const Certificate& issuer : Certificate::parse_bundle(authority_pem, ca_file))
    issued = issued || client.is_issued_by(issuer);
  if (!issued) throw broken(file, fmt::format("was not issued by {} beside it.", ca_file), renew);
  if (!client.allows_client_auth()) throw broken(file, "is not allowed to identify a client.", renew);
  refuse_expired(file, client, renew);
}

void warn_if_readable(const fs::path& file, std::vector<std::string>& warnings) {
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0 && (status.st_mode & 077) != 0)
    warnings.push_back(fmt::format("{} can be read by other users of this machine ('chmod 600 {}').",
                                   file.string(), file.string()));
}

struct NewFile {
  const char* name;
  std::string bytes;
  mode_t mode;
};

/// All of them appear, or (interrupted) the next run finishes: they are written in a folder of their own,
/// whose last name says that it is whole, and then linked, never over an existing file.
void publish(const fs::path& folder, const std::vector<NewFile>& files) {
  const fs::path unfinished = folder / unfinished_folder;
  const fs::path writing = folder / (std::string(unfinished_folder) + ".part");
  fs::remove_all(writing);
  make_folder(writing);
  for (const NewFile& file : files) create_file(writing / file.name, file.bytes, file.mode);
  fs::rename(writing, unfinished);
}

void finish_publishing(const fs::path& folder) {
  const fs::path unfinished = folder / unfinished_folder;
  std::error_code none;
  if (!fs::is_directory(unfinished, none)) return;
  for (const char* name : {ca_key_file, ca_file, key_file, cert_file}) {
    const fs::path from = unfinished / name, to = folder / name;
    if (!fs::exists(from, none)) continue;
    if (::link(from.c_str(), to.c_str()) != 0 && errno != EEXIST)
      throw broken(
          to,
          fmt::format("cannot be written: {}.", std::error_code(errno, std::generic_category()).message()),
          fmt::format("Change the permissions of the folder, {}.", other_folder));
    if (!fs::equivalent(from, to, none))
      throw broken(to, "appeared while the certificates were made.",
                   fmt::format("Remove {}, then try again.", unfinished.string()));
  }
  fs::remove_all(unfinished, none);
}

std::string machine_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

std::string user_name() {
  const char* user = std::getenv("USER");
  return user != nullptr && *user != '\0' ? user : "user";
}

}  // namespace

std::filesystem::path docker_config_folder() {
  const char* config = std::getenv("DOCKER_CONFIG");
  return config != nullptr && *config != '\0' ? fs::path(config) : home_directory() / ".docker";
}

std::filesystem::path certificate_folder(const std::string& option) {
  const std::string folder = option.empty() ? setting("docker-cert-dir") : option;
  return folder.empty() ? docker_config_folder() : fs::absolute(folder);
}

DockerCertificates DockerCertificates::load(const fs::path& folder) {
  const std::string pem = read_text(folder / ca_file);
  PrivateKey key = read_key(folder / ca_key_file);
  Certificate authority = authority_of(folder / ca_file, pem, key);
  refuse_expired(
      folder / ca_file, authority,
      fmt::format(
          "Its hosts no longer accept anyone: move the four files away so that a new set is made, {}.",
          other_folder));
  DockerCertificates loaded(folder, std::move(authority), std::move(key));
  loaded.authority_pem_ = pem;
  return loaded;
}

void DockerCertificates::check(const fs::path& folder) {
  std::error_code none;
  if (fs::is_directory(folder / unfinished_folder, none)) return;  // load_or_make finishes and checks it
  const Presence presence = look(folder);
  refuse_half(folder, presence);
  if (!presence.any()) return;
  const DockerCertificates loaded = load(folder);
  if (presence.client()) check_client(folder, loaded.authority_pem_);
}

DockerCertificates DockerCertificates::load_or_make(const fs::path& folder) {
  std::error_code none;
  if (!fs::is_directory(folder, none)) make_folder(folder);  // one of the user's keeps the mode that it has
  const FileLock lock = FileLock::take(folder / lock_file);
  finish_publishing(folder);
  const Presence presence = look(folder);
  refuse_half(folder, presence);

  std::vector<NewFile> files;
  const bool make_authority = !presence.any();
  if (make_authority) {
    const PrivateKey key = PrivateKey::generate_ec();
    const Certificate authority = issue_certificate(
        {.use = CertificateUse::authority,
         .common_name = fmt::format("Berth Docker CA of {}@{}", user_name(), machine_name()).substr(0, 64),
         .lifetime = authority_lifetime},
        key);
    files.push_back({ca_key_file, key.to_pem().reveal(), 0600});
    files.push_back({ca_file, authority.to_pem(), 0644});
  }
  if (!presence.client()) {
    const std::string ca_pem = make_authority ? files[1].bytes : read_text(folder / ca_file);
    const PrivateKey ca_key = make_authority ? PrivateKey::parse_pem(Secret(files[0].bytes), ca_key_file)
                                             : read_key(folder / ca_key_file);
    const Certificate authority = authority_of(folder / ca_file, ca_pem, ca_key);
    const PrivateKey key = PrivateKey::generate_ec();
    const Certificate client =
        issue_certificate({.use = CertificateUse::client,
                           .common_name = fmt::format("{}@{}", user_name(), machine_name()).substr(0, 64),
                           .lifetime = leaf_lifetime},
                          key, &authority, &ca_key);
    files.push_back({key_file, key.to_pem().reveal(), 0600});
    files.push_back({cert_file, client.to_pem(), 0644});
    publish(folder, files);
    finish_publishing(folder);
  }
  DockerCertificates loaded = load(folder);
  check_client(folder, loaded.authority_pem_);
  loaded.made_authority_ = make_authority;
  loaded.made_client_ = !presence.client();
  for (const char* name : {ca_key_file, key_file}) warn_if_readable(folder / name, loaded.warnings_);
  return loaded;
}

ServerCertificate DockerCertificates::issue_server(const std::string& common_name,
                                                   std::vector<std::string> dns_names,
                                                   std::vector<std::string> ip_addresses) const {
  const PrivateKey key = PrivateKey::generate_ec();
  const auto left = floor<days>(authority_.not_after() - floor<seconds>(system_clock::now()));
  const Certificate certificate =
      issue_certificate({.use = CertificateUse::server,
                         .common_name = common_name,
                         .dns_names = std::move(dns_names),
                         .ip_addresses = std::move(ip_addresses),
                         .lifetime = std::max(days(1), std::min(leaf_lifetime, left))},
                        key, &authority_, &authority_key_);
  return {certificate.to_pem(), key.to_pem()};
}

ServerCertificate DockerCertificates::issue_for_host(const HostNames& host) const {
  std::vector<std::string> names{host.host, "localhost"};
  if (host.vm_name != host.host) names.push_back(host.vm_name);
  if (!host.fqdn.empty()) names.insert(names.begin(), host.fqdn);
  std::vector<std::string> addresses{"127.0.0.1", "::1"};
  if (!host.address.empty() && host.address != "127.0.0.1") addresses.insert(addresses.begin(), host.address);
  return issue_server(host.common_name.empty() ? names.front() : host.common_name, names, addresses);
}

}  // namespace berth
