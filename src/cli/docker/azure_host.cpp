#include "cli/docker/azure_host.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/terminal/phases.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/image_list.h"
#include "cli/vm/own_address.h"
#include "http/message.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr std::chrono::seconds registration_limit = 900s;
constexpr std::chrono::milliseconds first_pause = 500ms, longest_pause = 10s;

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

void ask_for_registration(Session& session, const std::string& space) {
  try {
    session.arm().post(fmt::format("providers/{}/register", space), {});
  } catch (const Error& error) {
    if (error.code != "AuthorizationFailed") throw;
    throw Error(
        error.kind, error.code,
        fmt::format("The resource provider {} is not registered in the subscription {}, and you may not "
                    "register it: {}",
                    space, session.subscription(), error.what()),
        fmt::format("Somebody who owns the subscription does it once: az provider register "
                    "--namespace {} --subscription {}",
                    space, session.subscription()));
  }
}

/// Nothing of a namespace can be made in a subscription that has not registered it, and a new one has registered none.
void register_providers(Session& session) {
  ArmClient& arm = session.arm();
  const auto state_of = [&arm](const std::string& path) {
    const auto document = arm.find(path);
    return document ? text(*document, {"registrationState"}) : std::string();
  };
  for (const char* space : {"Microsoft.Compute", "Microsoft.Network"}) {
    const std::string path = std::string("providers/") + space;
    std::string state = state_of(path);
    if (state.empty() || same_name(state, "Registered")) continue;  // "": a cloud that does not tell
    PhaseDisplay phases(session.out);
    phases.begin(fmt::format("Registering {} in the subscription, once and for all", space));
    if (!same_name(state, "Registering")) ask_for_registration(session, space);
    const auto end = std::chrono::steady_clock::now() + registration_limit;
    for (auto pause = first_pause; !same_name(state, "Registered");
         pause = std::min(2 * pause, longest_pause)) {
      if (std::chrono::steady_clock::now() >= end)
        throw Error(ErrorKind::unavailable, "ProviderNotRegistered",
                    fmt::format("The resource provider {} has been {} in the subscription {} for {}.", space,
                                state, session.subscription(), seconds_text(registration_limit)),
                    fmt::format("Look at it, then try again: az provider show --namespace {}", space));
      if (interrupt::sleep(pause)) interrupt::check();
      phases.tick();
      state = state_of(path);
    }
    phases.end();
  }
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

std::string text_of_sources(const DockerHost& host) {
  std::string all;
  for (const std::string& source : host.allow_from) all += (all.empty() ? "" : ", ") + source;
  return all.empty() ? "everybody" : all + " alone";
}

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
  register_providers(session);
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
  const std::string ports = host.ssh_port ? fmt::format("{} and {}", host.docker_port, *host.ssh_port)
                                          : std::to_string(host.docker_port);
  out.info(fmt::format("Its ports ({}) are open to {}", ports, text_of_sources(host)));
  if (options.yes) return;
  if (!prompt_yes(fmt::format("Make {}, open to {}?", host.name, text_of_sources(host)),
                  "Add --yes to make it without being asked."))
    throw Error(ErrorKind::invalid, "NotConfirmed", "Nothing was made.");
}

}  // namespace berth
