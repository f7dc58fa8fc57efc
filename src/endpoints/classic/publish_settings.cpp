#include "endpoints/classic/publish_settings.h"

#include "api/classic/publish_settings.h"
#include "crypto/certificate.h"
#include "crypto/envelope.h"
#include "endpoints/classic/certificates.h"
#include "host/files.h"

namespace berth::classic {
namespace {

Identity make_identity() {
  const PrivateKey key = PrivateKey::generate_rsa();
  CertificateOrder order;
  order.use = CertificateUse::client;
  order.common_name = "Berth local region management";
  order.lifetime = std::chrono::days(3650);
  return {issue_certificate(order, key), key};
}

/// The PFX of the file that is there; nullopt when its certificate does not count (any more).
std::optional<Secret> kept_pfx(const Classic& classic, const std::filesystem::path& file) {
  const auto text = read_file_if_there(file);
  if (!text) return std::nullopt;
  try {
    Secret pfx = parse_publish_settings(*text, file.string()).front().pfx;
    const Identity identity = parse_pfx(pfx.reveal(), file.string());
    if (is_management_certificate(classic, identity.first.to_der())) return pfx;
  } catch (const Error&) {  // damaged: a new one is written
  }
  return std::nullopt;
}

Secret new_pfx(Classic& classic) {
  const Identity identity = make_identity();
  register_management_certificate(classic, identity.first.to_der());
  return Secret(pfx_for_publish_settings(identity));
}

}  // namespace

std::filesystem::path write_publish_settings(Classic& classic, const std::string& url) {
  const std::filesystem::path file = classic.home / "access" / "local.publishsettings";
  make_folder(file.parent_path());
  const std::optional<Secret> kept = kept_pfx(classic, file);
  const RegionSettings& settings = classic.region.settings();
  write_file(file, publish_settings_xml({.id = settings.subscription,
                                         .name = settings.subscription_name,
                                         .url = url,
                                         .pfx = kept ? *kept : new_pfx(classic)}));
  return file;
}

}  // namespace berth::classic
