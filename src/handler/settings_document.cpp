#include "handler/settings_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "handler/settings_reader.h"
#include "host/files.h"

namespace berth::extension {

using nlohmann::json;

Envelope parse_envelope(std::string_view text) {
  const json document = parse_object(text, "handler settings");
  Envelope envelope;
  if (document.empty()) return envelope;
  const auto list = document.find("runtimeSettings");
  if (list == document.end() || !list->is_array() || list->size() != 1 || !(*list)[0].is_object())
    throw_bad("The handler settings do not hold exactly one runtimeSettings object.");
  Section outer(&(*list)[0], "");
  Section inner = outer.section("handlerSettings");
  if (const json* settings = inner.object("publicSettings")) envelope.public_settings = settings->dump();
  envelope.protected_settings = inner.text("protectedSettings").value_or("");
  envelope.thumbprint = inner.text("protectedSettingsCertThumbprint").value_or("");
  std::transform(envelope.thumbprint.begin(), envelope.thumbprint.end(), envelope.thumbprint.begin(),
                 [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
  const auto is_hex = [](char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; };
  if (!envelope.protected_settings.empty() &&
      (envelope.thumbprint.size() != 40 ||
       !std::all_of(envelope.thumbprint.begin(), envelope.thumbprint.end(), is_hex)))
    throw_bad(
        "The protected settings come without the thumbprint (40 hexadecimal digits) of their certificate.");
  return envelope;
}

Secret open_protected(const Envelope& envelope, const std::filesystem::path& library) {
  if (envelope.protected_settings.empty()) return Secret("{}");
  const auto der = base64_decode(envelope.protected_settings);
  if (!der) throw_bad("The protected settings are not base64.");
  const auto certificate_file = library / (envelope.thumbprint + ".crt");
  const auto key_file = library / (envelope.thumbprint + ".prv");
  const auto certificate = read_file_if_there(certificate_file);
  const auto key = read_file_if_there(key_file);
  if (!certificate || !key)
    throw_bad(fmt::format("The protected settings are for certificate {}, and {} is not there.",
                          envelope.thumbprint, (certificate ? key_file : certificate_file).string()),
              "Send the settings again: the platform then encrypts them for this machine.");
  return cms_decrypt(*der, Certificate::parse_pem(*certificate, certificate_file.string()),
                     PrivateKey::parse_pem(Secret(*key), key_file.string()));
}

}  // namespace berth::extension
