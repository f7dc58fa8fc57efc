#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/secret.h"

namespace berth::extension {

/// The outer form: what the agent writes to config/N.settings.
struct Envelope {
  std::string public_settings = "{}";  ///< JSON object
  std::string protected_settings;      ///< base64 of CMS EnvelopedData; "" when there are none
  std::string thumbprint;              ///< upper-case hexadecimal SHA-1 of the certificate that it is for
};

/// An empty text is an empty envelope: the agent writes such files. Throws Error(invalid).
Envelope parse_envelope(std::string_view text);

/// The decrypted protected settings: a JSON object, "{}" when there are none. The key pair is
/// `library`/THUMBPRINT.crt and .prv. Throws Error(invalid) saying what does not fit.
Secret open_protected(const Envelope& envelope, const std::filesystem::path& library);

}  // namespace berth::extension
