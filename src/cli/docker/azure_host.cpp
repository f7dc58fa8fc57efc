#include "cli/docker/azure_host.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/image_list.h"
#include "cli/vm/own_address.h"
#include "http/message.h"

namespace berth {
namespace {

using nlohmann::json;

Error invalid_on_azure(const std::string& what, const std::string& advice) {
  return Error(ErrorKind::invalid, "NotSupported", what, advice);
}

void check_azure_options(const DockerCreateOptions& options, const DockerHost& host) {
  if (host.ssh_port && *host.ssh_port != 22)
    throw invalid_on_azure(
        fmt::format("--ssh {} needs a load balancer, which is not made on Azure", *host.ssh_port),
        "Open SSH at its own port: -e 22.");
  if (!options.custom_data.empty())
    throw invalid_on_azure(
        "--custom-data cannot be used on Azure: it carries what makes the Docker host there",
        "Leave --custom-data away, and set the machine up by 'azure vm docker ssh'.");
  if (options.strict_ports)
    throw invalid_on_azure("--strict-ports is for regions on this machine: on Azure ports do not move",
                           "Leave --strict-ports away.");
}

/// Ports are opened to whom the user names, else to himself; never to everybody unasked.
std::vector<std::string> settle_sources(Session& session, const std::string& wanted) {
  if (!wanted.empty()) {
    std::vector<std::string> sources = parse_sources(wanted);
    if (sources.empty())
      session.out.warn(
          "The ports are open to the whole internet, as --allow-from * asks. Docker wants a client "
          "certificate; SSH may be tried by anybody.");
    return sources;
  }
  return {own_address(session, "--allow-from ADDRESS[/BITS],… ('*' for everybody)")};
}

void check_label(ArmClient& arm, const DockerHost& host) {
  const json answer = arm.get(
      fmt::format("providers/Microsoft.Network/locations/{}/CheckDnsNameAvailability?domainNameLabel={}",
                  host.location, percent_encode(host.name)));
  if (at(answer, {"available"}) == false)
    throw Error(ErrorKind::conflict, "DnsNameTaken",
                fmt::format("The name \"{}\" is taken at {}: all of Azure's customers share them", host.name,
                            host.location),
                "Choose another name, or another location.");
}

}  // namespace

std::vector<std::string> parse_sources(const std::string& text) {
  std::vector<std::string> sources;
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string one = text.substr(from, comma - from);
    from = comma + 1;
    if (text == "*") return {};
    const std::size_t slash = std::min(one.find('/'), one.size());
    const std::string digits = slash < one.size() ? one.substr(slash + 1) : "32";
    unsigned bits = 33;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    in_addr parsed{};
    if (::inet_pton(AF_INET, one.substr(0, slash).c_str(), &parsed) != 1 || error != std::errc() ||
        end != digits.data() + digits.size() || bits > 32)
      throw Error(ErrorKind::invalid, "InvalidParameter",
                  fmt::format("--allow-from: '{}' is no IPv4 address or block", one.substr(0, 50)),
                  "Give ADDRESS or ADDRESS/BITS, several with commas between, or '*' for everybody.");
    sources.push_back(one);
  }
  return sources;
}

void prepare_azure_host(Session& session, const DockerCreateOptions& options, DockerHost& host) {
  host.on_azure = true;
  check_azure_options(options, host);
  host.image = find_marketplace_image(session.arm(), host.location, host.image);
  check_label(session.arm(), host);
  host.allow_from = settle_sources(session, options.allow_from);
}

void confirm_azure_host(Session& session, const DockerCreateOptions& options, const DockerCreatePlan& plan) {
  const DockerHost& host = plan.host;
  Output& out = session.out;
  out.info(fmt::format("It costs money, in the subscription {}, until 'azure vm delete {}':",
                       session.subscription(), host.name));
  out.info(fmt::format("  virtual machine   {} at {}", host.size, host.location));
  out.info("  disk              of the image, StandardSSD_LRS");
  out.info(fmt::format("  public address    {}, Standard, static", names_of(host).address));
  out.info("  network traffic   out of the location");
  if (options.yes) return;
  if (!prompt_yes(fmt::format("Make {}?", host.name), "Add --yes to make it without being asked."))
    throw Error(ErrorKind::invalid, "NotConfirmed", "Nothing was made.");
}

}  // namespace berth
