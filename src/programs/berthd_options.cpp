#include "programs/berthd_options.h"

#include <fmt/format.h>
#include <getopt.h>
#include <strings.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "host/directories.h"
#include "network/addresses.h"

namespace berth {
namespace {

constexpr const char* usage =
    "usage: berthd [--home FOLDER] [--driver qemu|fake] [--port N] [--dns-suffix SUFFIX]\n"
    "              [--egress internet|full|none|HOST[,HOST…]] [--hosts-file FILE|none]\n"
    "The local region: serves until SIGTERM. 'azure region start' starts it in the background.\n";

Error wrong(const std::string& what) {
  return {ErrorKind::invalid, "Usage", what, usage};
}

std::uint16_t parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0)
    throw wrong(fmt::format("'{}' is no port; ports go from 1 to 65535.", text));
  return port;
}

bool is_dns_name(std::string_view name) {
  while (!name.empty()) {
    const auto end = std::min(name.find('.'), name.size());
    if (end == 0 || end > 63 || end + 1 == name.size()) return false;
    name.remove_prefix(std::min(end + 1, name.size()));
  }
  return true;
}

bool has_characters_of_a_name(std::string_view name) {
  return !name.empty() && name.size() <= 253 && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

bool is_host(const std::string& text) {
  if (network::parse_cidr(text)) return true;
  const bool has_letter = std::ranges::any_of(text, [](unsigned char c) { return std::isalpha(c); });
  return has_letter && has_characters_of_a_name(text) && is_dns_name(text);
}

void check(const DaemonOptions& options) {
  if (const auto& suffix = options.dns_suffix;
      suffix && (!has_characters_of_a_name(*suffix) || !is_dns_name(*suffix)))
    throw wrong(fmt::format("'{}' is no DNS suffix.", *suffix));
  if (options.egress) parse_egress(*options.egress);
  if (const auto& file = options.hosts_file; file && *file != "none" && !file->starts_with('/'))
    throw wrong(fmt::format("The hosts file '{}' is no absolute path.", *file));
}

}  // namespace

std::optional<std::string> asked_words(int argc, char** argv) {
  const std::string_view word = argc == 2 ? argv[1] : "";
  if (word == "--help") return usage;
  if (word == "--version") return "berthd " BERTH_VERSION "\n";
  return std::nullopt;
}

DaemonOptions parse_daemon_options(int argc, char** argv) {
  DaemonOptions options;
  const option known[] = {{"home", required_argument, nullptr, 'h'},
                          {"driver", required_argument, nullptr, 'd'},
                          {"port", required_argument, nullptr, 'p'},
                          {"dns-suffix", required_argument, nullptr, 's'},
                          {"egress", required_argument, nullptr, 'e'},
                          {"hosts-file", required_argument, nullptr, 'f'},
                          {nullptr, 0, nullptr, 0}};
  for (int letter = 0; (letter = ::getopt_long(argc, argv, "", known, nullptr)) != -1;) switch (letter) {
      case 'h':
        options.home = optarg;
        break;
      case 'd':
        if (const std::string driver = optarg; driver != "fake" && driver != "qemu")
          throw wrong("There is no driver '" + driver + "'.");
        options.fake = std::string(optarg) == "fake";
        break;
      case 'p':
        options.port = parse_port(optarg);
        break;
      case 's':
        options.dns_suffix = optarg;
        break;
      case 'e':
        options.egress = optarg;
        break;
      case 'f':
        options.hosts_file = optarg;
        break;
      default:
        throw wrong("An option is not known.");
    }
  if (optind < argc) throw wrong(std::string("'") + argv[optind] + "' is not known.");
  check(options);
  if (options.home.empty()) options.home = region_home();
  options.home = std::filesystem::absolute(options.home);
  return options;
}

Egress parse_egress(const std::string& text) {
  Egress egress;
  for (const auto& [word, policy] : {std::pair{"internet", Egress::Policy::internet},
                                     {"full", Egress::Policy::full},
                                     {"none", Egress::Policy::none}})
    if (::strcasecmp(text.c_str(), word) == 0) return {policy, {}};
  egress.policy = Egress::Policy::hosts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string host = text.substr(at, comma - at);
    if (!is_host(host))
      throw wrong(fmt::format(
          "'{}' in the egress policy '{}' is neither a name, nor an IPv4 address or block.", host, text));
    egress.hosts.push_back(host);
    at = comma + 1;
  }
  return egress;
}

}  // namespace berth
