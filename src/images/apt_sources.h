#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

/// One entry of the host's apt configuration: a line of a .list file, or a stanza of a .sources file.
/// Source: sources.list(5). Only what an image build can use: binary packages, and entries that are not
/// disabled.
struct AptSource {
  std::vector<std::string> uris;
  std::vector<std::string> suites;
  std::vector<std::string> components;
  std::vector<std::string> architectures;  ///< empty: any
  std::string signed_by;                   ///< keyring file; empty: what apt trusts anyway
  bool trusted = false;                    ///< apt is told to believe it unsigned

  bool operator==(const AptSource&) const = default;
};

/// Both skip what they do not understand, as apt's own readers of old files must.
std::vector<AptSource> parse_sources_list(std::string_view text);  ///< one-line format
std::vector<AptSource> parse_deb822_sources(std::string_view text);

/// Reads sources.list and sources.list.d below `etc_apt`. "mirror+file:" becomes the first mirror of that
/// file.
std::vector<AptSource> read_apt_sources(const std::filesystem::path& etc_apt = "/etc/apt");

/// The hosts, names or addresses, that these are fetched from over the network; each once, in order.
std::vector<std::string> mirror_hosts(const std::vector<AptSource>& sources);

/// The lines of sources.list from which a Debian `suite` ("bookworm") is installed: the host's own Debian
/// mirrors with the suite's name in place of the host's, and its -updates and -security where the host has
/// those. Third parties' archives are left out: they are told by their keyring, and by the Origin in `lists`
/// (apt's downloaded Release files). Throws Error(unavailable) when the host has no Debian mirror.
std::vector<std::string> debian_sources(const std::vector<AptSource>& sources, const std::string& suite,
                                        const std::filesystem::path& lists = "/var/lib/apt/lists");

}  // namespace berth
