#include "endpoints/classic/certificates.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/classic/documents.h"
#include "api/classic/requests.h"
#include "base/utc.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/kept_documents.h"
#include "host/workers.h"
#include "model/names.h"

/// Certificates of clients (of the subscription) and of cloud services (for SSH keys).
namespace berth::classic {
namespace {

using nlohmann::json;

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  return text;
}

/// "sha1-…" or the digits alone.
std::string thumbprint_param(const Request& request) {
  std::string text = param(request, "thumbprint");
  if (lower(text).starts_with("sha1-")) text.erase(0, 5);
  return upper(std::move(text));
}

/// Whatever a client calls a certificate: PEM text (also where it says "pfx"), DER, or PFX. Only the
/// certificate is wanted; its signature, issuer and dates say nothing here.
Certificate parse_certificate(const std::string& bytes, const Secret& password) {
  constexpr std::string_view what = "The certificate";
  if (bytes.find("-----BEGIN") != std::string::npos) return Certificate::parse_pem(bytes, what);
  std::optional<Certificate> found;
  try {
    found = Certificate::parse_der(bytes, what);
  } catch (const Error&) {  // then it is a PFX, or nothing
  }
  return found ? *found : parse_pfx(bytes, what, password).first;
}

/// The same, by the workers: a PFX says itself how slow it is.
asio::awaitable<Certificate> read_certificate(Classic& classic, const Request& request, std::string bytes,
                                              Secret password) {
  co_return co_await classic.region.workers().run(request.client_certificate,
                                                  [bytes = std::move(bytes), password = std::move(password)] {
                                                    return parse_certificate(bytes, password);
                                                  });
}

ManagementCertificateView management_view(const std::string& document) {
  const json stored = json::parse(document, nullptr, false);
  ManagementCertificateView view;
  if (!stored.is_object()) return view;
  view.der = base64_decode(stored.value("data", "")).value_or("");
  view.created = stored.value("created", "");
  view.thumbprint = stored.value("thumbprint", "");
  view.public_key = base64_decode(stored.value("publicKey", "")).value_or("");
  return view;
}

std::optional<std::string> find_management(const Classic& classic, const std::string& thumbprint) {
  return classic.region.documents().find(management_table, thumbprint);
}

CertificateView service_view(const Classic& classic, const Request& request, const std::string& service,
                             const std::string& thumbprint, const std::string& document) {
  return {.url = url_of(classic, request,
                        "services/hostedservices/" + service + "/certificates/sha1-" + thumbprint),
          .thumbprint = thumbprint,
          .der = base64_decode(document).value_or("")};
}

std::string service_prefix(const CloudService& service) {
  return service.address->ref().key() + "/";
}

}  // namespace

bool is_management_certificate(const Classic& classic, const std::string& der) {
  if (der.empty()) return false;
  const auto document = find_management(classic, upper(hex_encode(sha1(der))));
  return document && management_view(*document).der == der;
}

asio::awaitable<Response> list_management_certificates(Classic& classic, const Request&) {
  std::vector<ManagementCertificateView> views;
  for (const auto& [thumbprint, document] : classic.region.documents().list(management_table))
    views.push_back(management_view(document));
  co_return xml_response(200, management_certificates_xml(views));
}

asio::awaitable<Response> post_management_certificate(Classic& classic, const Request& request) {
  const Certificate certificate =
      co_await read_certificate(classic, request, parse_subscription_certificate(request.body), Secret());
  register_management_certificate(classic, certificate.to_der());
  co_return no_body(201);
}

void register_management_certificate(Classic& classic, const std::string& der) {
  const Certificate certificate = Certificate::parse_der(der, "The certificate");
  if (find_management(classic, certificate.thumbprint())) return;
  const json document{{"thumbprint", certificate.thumbprint()},
                      {"subject", certificate.subject()},
                      {"publicKey", base64_encode(certificate.public_key_der())},
                      {"data", base64_encode(der)},
                      {"created", utc_seconds(utc_now())}};
  classic.region.documents().keep(management_table, certificate.thumbprint(), document.dump());
}

asio::awaitable<Response> get_management_certificate(Classic& classic, const Request& request) {
  const auto document = find_management(classic, thumbprint_param(request));
  if (!document) throw not_found("The certificate does not exist.");
  co_return xml_response(200, management_certificate_xml(management_view(*document)));
}

asio::awaitable<Response> delete_management_certificate(Classic& classic, const Request& request) {
  const std::string thumbprint = thumbprint_param(request);
  if (!find_management(classic, thumbprint)) throw not_found("The certificate does not exist.");
  if (classic.region.documents().list(management_table).size() == 1)
    throw conflict(
        "This is the region's last management certificate: no classic client could sign in any more.",
        "Add another one first.");
  classic.region.documents().drop(management_table, thumbprint);
  co_return no_body(200);
}

asio::awaitable<Response> list_service_certificates(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const std::string prefix = service_prefix(service);
  std::vector<CertificateView> views;
  for (const auto& [key, document] : classic.region.documents().list(certificate_table, prefix))
    views.push_back(service_view(classic, request, service.name, key.substr(prefix.size()), document));
  co_return xml_response(200, certificates_xml(views));
}

asio::awaitable<Response> post_service_certificate(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  CertificateFile file = parse_certificate_file(request.body);
  const Certificate certificate =
      co_await read_certificate(classic, request, std::move(file.data), std::move(file.password));
  get_cloud_service(classic.region, param(request, "service"));  // it may have gone meanwhile
  classic.region.documents().keep(certificate_table, service_prefix(service) + certificate.thumbprint(),
                                  base64_encode(certificate.to_der()));
  co_return done_at_once(classic.region, OperationKind::certificate_add, "hostedServices/" + service.name);
}

asio::awaitable<Response> get_service_certificate(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const std::string thumbprint = thumbprint_param(request);
  const auto document =
      classic.region.documents().find(certificate_table, service_prefix(service) + thumbprint);
  if (!document)
    throw not_found(fmt::format("The service '{}' has no certificate {}.", service.name, thumbprint));
  co_return xml_response(
      200, certificate_xml(service_view(classic, request, service.name, thumbprint, *document)));
}

asio::awaitable<Response> delete_service_certificate(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const std::string thumbprint = thumbprint_param(request), key = service_prefix(service) + thumbprint;
  if (!classic.region.documents().find(certificate_table, key))
    throw not_found(fmt::format("The service '{}' has no certificate {}.", service.name, thumbprint));
  classic.region.documents().drop(certificate_table, key);
  co_return done_at_once(classic.region, OperationKind::certificate_delete, "hostedServices/" + service.name);
}

std::string service_ssh_key(const Region& region, const CloudService& service,
                            const std::string& fingerprint) {
  const auto document =
      region.documents().find(certificate_table, service_prefix(service) + upper(fingerprint));
  if (!document)
    throw bad_request(fmt::format("The certificate with thumbprint {} was not found in the service '{}'.",
                                  fingerprint.substr(0, 64), service.name),
                      "Upload it to the service first.");
  const auto der = base64_decode(*document);
  const auto key = Certificate::parse_der(der.value_or(""), "The certificate").ssh_rsa_key();
  if (!key)
    throw bad_request(
        fmt::format("The certificate {} holds no RSA key; SSH keys are taken from RSA certificates.",
                    fingerprint.substr(0, 64)));
  return *key;
}

}  // namespace berth::classic
