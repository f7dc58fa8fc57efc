#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/guest.h"

/// The documents that the wire server gives to the guest agent. Pure; each is a whole XML file.
/// Source: docs/wire/wireserver.md, protocol version 2012-11-30; tests/fixtures/wire/.
namespace berth::wire {

/// Where a guest finds its wire server; also where its packages come from and its status blob goes to.
inline constexpr std::string_view server_url = "http://168.63.129.16:80";

std::string instance_id(const GuestView& view);  ///< "DEPLOYMENT._NAME"

/// GET /?comp=versions
std::string versions_xml();

/// GET /machine/?comp=goalstate. Without `with_certificates` the agent does not fetch the certificates again,
/// which saves it 1 to 2 s; those that it unpacked before stay in use.
std::string goal_state_xml(const GuestView& view, bool with_certificates);

/// What the goal state points to. `thumbprint` is that of GuestView::certificate; "" while the VM has none.
std::string hosting_environment_xml(const GuestView& view, std::string_view thumbprint);
std::string shared_config_xml(const GuestView& view);
/// One extension for each handler: of several, the first one counts. Settings that are no JSON object count
/// as none. Every plugin has settings, if only empty ones, so that the sequence number comes back in its
/// status.
std::string extensions_config_xml(const GuestView& view, std::string_view thumbprint);

/// `cms` is DER: the PKCS#12 enveloped to the agent's transport certificate of this very request.
std::string certificates_xml(const GuestView& view, std::string_view cms);

/// Below server_url: the list of a handler's versions, and one version's zip.
std::string manifest_path(std::string_view handler);
std::string package_path(std::string_view handler, std::string_view version);

/// What such a path asks for; an empty handler when it is none of ours.
struct PackageQuery {
  std::string handler;
  std::string version;  ///< "" for the manifest
};
PackageQuery parse_package_path(std::string_view path);

/// The manifest: every version that the handler is offered in.
std::string manifest_xml(std::string_view handler, const std::vector<std::string>& versions);

}  // namespace berth::wire
