#include <fmt/format.h>

#include <pugixml.hpp>
#include <sstream>

#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "endpoints/classic/mapping.h"
#include "host/files.h"

/// The file that a classic client imports: where the region is, and a certificate with its key.
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

/// The base64 PFX of the file that is there, when it is good and its certificate still counts.
std::string kept_pfx(const Classic& classic, const std::filesystem::path& file) {
  const auto text = read_file_if_there(file);
  pugi::xml_document document;
  if (!text || !document.load_string(text->c_str())) return {};
  const std::string pfx = document.child("PublishData")
                              .child("PublishProfile")
                              .child("Subscription")
                              .attribute("ManagementCertificate")
                              .value();
  const auto bytes = base64_decode(pfx);
  if (!bytes || bytes->empty()) return {};
  try {
    const Identity identity = parse_pfx(*bytes, file.string());
    return is_management_certificate(classic, identity.first.to_der()) ? pfx : std::string();
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

std::filesystem::path write_publish_settings(Classic& classic, const std::string& url) {
  const std::filesystem::path file = classic.home / "access" / "local.publishsettings";
  make_folder(file.parent_path());
  std::string pfx = kept_pfx(classic, file);
  if (pfx.empty()) {
    const Identity identity = make_identity();
    register_management_certificate(classic, identity.first.to_der());
    pfx = base64_encode(pfx_for_publish_settings(identity));
  }
  pugi::xml_document document;
  pugi::xml_node declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version") = "1.0";
  declaration.append_attribute("encoding") = "utf-8";
  pugi::xml_node profile = document.append_child("PublishData").append_child("PublishProfile");
  profile.append_attribute("SchemaVersion") = "2.0";
  profile.append_attribute("PublishMethod") = "AzureServiceManagementAPI";
  pugi::xml_node subscription = profile.append_child("Subscription");
  subscription.append_attribute("ServiceManagementUrl") = url.c_str();
  subscription.append_attribute("Id") = classic.region.settings().subscription.c_str();
  subscription.append_attribute("Name") = classic.region.settings().subscription_name.c_str();
  subscription.append_attribute("ManagementCertificate") = pfx.c_str();
  std::ostringstream text;
  document.save(text, "  ");
  write_file(file, text.str());
  return file;
}

}  // namespace berth::classic
