#include "cli/docker/identities.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "cli/settings.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_name = 40;

/// A name is a file's, and a common name's, which has 64 letters.
void check_person(const std::string& name) {
  const bool good = !name.empty() && name.size() <= longest_name &&
                    std::isalnum(static_cast<unsigned char>(name[0])) &&
                    std::ranges::all_of(name, [](char c) {
                      return std::isalnum(static_cast<unsigned char>(c)) ||
                             std::string_view("._@-").find(c) != std::string_view::npos;
                    });
  if (!good)
    throw Error(ErrorKind::invalid, "InvalidParameter", fmt::format("'{}' cannot name a person here", name),
                fmt::format("Letters, digits and . _ @ - after the first one, {} at most.", longest_name));
}

std::string plain(std::string name) {
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  return name;
}

}  // namespace

Identities::Identities(const std::string& region, const std::string& host)
    : folder_(config_folder() / "identities" / plain(region) / plain(host)) {}

fs::path Identities::file(const std::string& person) const {
  check_person(person);
  return folder_ / (person + ".pem");
}

bool Identities::has(const std::string& person) const {
  std::error_code none;
  return fs::exists(file(person), none);
}

std::vector<Identities::Person> Identities::list() const {
  std::vector<Person> all;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_, none)) {
    if (entry.path().extension() != ".pem") continue;
    const Certificate authority =
        Certificate::parse_pem(read_file(entry.path(), 65536), entry.path().string());
    all.push_back({entry.path().stem().string(), authority.not_after()});
  }
  std::ranges::sort(all, {}, &Person::name);
  return all;
}

Identities::Issued Identities::issue(const std::string& person, std::chrono::days lifetime) const {
  const fs::path kept = file(person);
  if (has(person))
    throw Error(ErrorKind::conflict, "IdentityExists",
                fmt::format("{} has an identity of this host already.", person),
                "Revoke it first, or choose another name.");
  const PrivateKey authority_key = PrivateKey::generate_ec(), key = PrivateKey::generate_ec();
  const Certificate authority = issue_certificate(
      {.use = CertificateUse::authority, .common_name = "Docker identity " + person, .lifetime = lifetime},
      authority_key);
  const Certificate certificate =
      issue_certificate({.use = CertificateUse::client, .common_name = person, .lifetime = lifetime}, key,
                        &authority, &authority_key);
  make_folder(folder_);
  create_file(kept, authority.to_pem());
  return {certificate.to_pem(), key.to_pem()};
}

void Identities::remove(const std::string& person) const {
  std::error_code none;
  if (!fs::remove(file(person), none))
    throw Error(ErrorKind::not_found, "IdentityNotFound",
                fmt::format("{} has no identity of this host.", person),
                "'azure vm docker certs show NAME' lists those that there are.");
}

std::string Identities::bundle() const {
  std::string text;
  for (const Person& person : list()) {
    text += read_file(file(person.name), 65536);
    if (!text.ends_with('\n')) text += '\n';
  }
  return text;
}

void Identities::forget_all() const {
  std::error_code none;
  fs::remove_all(folder_, none);
}

}  // namespace berth
