#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

/// The file that a classic client imports: where the service is, and a certificate with its key.
/// Source: docs/wire/classic.md, "The publish-settings file".
namespace berth::classic {

struct PublishedSubscription {
  std::string id, name;
  std::string url;  ///< of the service: "https://management.example/"
  Secret pfx;       ///< PKCS#12 (DER) of the management certificate, without a password
};

/// Schema 2.0.
std::string publish_settings_xml(const PublishedSubscription& subscription);

/// Both schemas: 2.0 keeps address and certificate with each subscription, 1.0 with the profile. One
/// subscription at least. `what` names the file in errors: throws Error(invalid, "InvalidPublishSettings").
/// What is in the PFX is not looked at.
std::vector<PublishedSubscription> parse_publish_settings(std::string_view xml, std::string_view what);

}  // namespace berth::classic
