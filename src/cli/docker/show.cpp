#include "cli/docker/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/docker/certificates.h"
#include "cli/docker/check.h"
#include "cli/docker/client.h"
#include "cli/docker/engine.h"
#include "cli/docker/look_inside.h"
#include "cli/vm/hosts.h"

namespace berth {
namespace {

using nlohmann::ordered_json;

struct Engine {
  std::optional<DockerAnswer> answer;
  std::string problem;  ///< why there is no answer
  std::string advice;
  std::optional<DockerClient> client = std::nullopt;
  DockerMisfit misfit = {};
};

/// One try: who looks at a host wants to know how it is, and not to wait until it is better.
Engine look_at_engine(const HostView& host, const DockerHostOptions& options) {
  const auto port = host.docker_port();
  if (!port) return {{}, "the engine listens on no port", {}};
  if (host.power == "asleep" && host.can_be_reached())
    return {{}, "it is asleep", "It wakes when docker connects; or: azure vm docker wake " + host.name};
  if (!host.can_be_reached())
    return {
        {}, "the virtual machine is " + host.power, fmt::format("Start it: azure vm start {}", host.name)};
  const PublicAddressView& where = host.public_address;
  if (where.address.empty()) return {{}, "the host has no public address", {}};
  const std::filesystem::path certificates = certificate_folder(options.cert_dir);
  try {
    return {ask_docker(where.fqdn.empty() ? where.address : where.fqdn, where.address, where.host_port(*port),
                       certificates, std::chrono::milliseconds(0), [] {}),
            {},
            {}};
  } catch (const Error& error) {
    if (error.code == "OperationCanceled") throw;
    Engine engine{{}, error.what(), error.advice};
    if (error.code != "NoCertificates" && error.code != "TlsFailed")
      if (const std::string inside = look_inside(host); !inside.empty())
        engine.problem += " In the machine: " + inside;
    return engine;
  }
}

const HostView::Extension::Part* part_of(const HostView::Extension& extension, std::string_view name) {
  const auto found = std::ranges::find(extension.parts, name, &HostView::Extension::Part::name);
  return found == extension.parts.end() ? nullptr : &*found;
}

std::optional<SecurityReport> security_of(const HostView::Extension& extension) {
  const auto* part = part_of(extension, "security");
  return part ? std::optional(parse_security_report(part->message)) : std::nullopt;
}

ordered_json to_json(const SecurityReport& report) {
  ordered_json items = ordered_json::array();
  for (const auto& item : report.items)
    items.emplace_back(ordered_json{{"id", item.id}, {"verdict", item.verdict}, {"reason", item.reason}});
  return {{"pass", report.count("pass")},
          {"fail", report.count("fail")},
          {"notApplicable", report.count("not applicable")},
          {"items", std::move(items)}};
}

ordered_json client_json(const Engine& engine) {
  if (!engine.client) return nullptr;
  return {{"version", engine.client->version},
          {"apiVersion", engine.client->most_api},
          {"fits", engine.answer ? ordered_json(engine.misfit.problem.empty()) : ordered_json(nullptr)},
          {"problem", engine.misfit.problem}};
}

ordered_json to_json(const HostView& host, const HostView::Extension& extension, const Engine& engine,
                     const std::string& endpoint) {
  const std::uint16_t port = host.docker_port().value_or(0);
  const DockerAnswer said = engine.answer.value_or(DockerAnswer{});
  ordered_json parts = ordered_json::array();
  for (const auto& part : extension.parts)
    if (part.name != "security")
      parts.emplace_back(
          ordered_json{{"name", part.name}, {"status", part.status}, {"message", part.message}});
  ordered_json document = {{"name", host.name},
                           {"resourceGroup", host.group},
                           {"powerState", host.power},
                           {"dockerHost", endpoint},
                           {"fqdn", host.public_address.fqdn},
                           {"ipAddress", host.public_address.address},
                           {"port", port},
                           {"hostPort", port ? host.public_address.host_port(port) : port},
                           {"engine",
                            {{"answers", engine.answer.has_value()},
                             {"problem", engine.problem},
                             {"advice", engine.advice},
                             {"version", said.version},
                             {"apiVersion", said.api_version},
                             {"minApiVersion", said.least_api_version},
                             {"os", said.os},
                             {"kernel", said.kernel},
                             {"storageDriver", said.storage_driver}}},
                           {"client", client_json(engine)},
                           {"tls", {{"verified", engine.answer.has_value()}}},
                           {"containers", nullptr},
                           {"extension",
                            {{"name", extension.name},
                             {"handler", extension.handler},
                             {"version", extension.version},
                             {"provisioningState", extension.provisioning},
                             {"message", extension.message},
                             {"parts", std::move(parts)}}},
                           {"security", nullptr}};
  if (said.containers)
    document["containers"] = {{"total", *said.containers}, {"running", said.running.value_or(0)}};
  if (const auto report = security_of(extension)) document["security"] = to_json(*report);
  return document;
}

void print_host(Output& out, const HostView& host, const HostView::Extension& extension, const Engine& engine,
                const std::string& endpoint) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto row = [&rows](const std::string& key, const std::string& value) {
    if (!value.empty()) rows.emplace_back(key, value);
  };
  row("Name", host.name);
  row("Status", host.status());
  row("Halted", host.halted);
  row("Docker", endpoint);
  row("Address", host.public_address.address);
  if (const auto port = host.docker_port()) {
    const std::uint16_t open_as = host.public_address.host_port(*port);
    row("Port", open_as == *port ? fmt::format("{}", *port) : fmt::format("{}, open as {}", *port, open_as));
  }
  if (engine.answer) {
    const DockerAnswer& said = *engine.answer;
    row("Engine", fmt::format("Docker {}, API {}, {}", said.version, said.api_version, said.storage_driver));
    row("System", fmt::format("{}, kernel {}", said.os, said.kernel));
    if (engine.client)
      row("Client", fmt::format("docker {}, API {}{}", engine.client->version,
                                engine.client->least_api.empty() || engine.client->pinned
                                    ? ""
                                    : engine.client->least_api + " to ",
                                engine.client->most_api));
    row("TLS", "both sides verified");
    if (said.containers)
      row("Containers", fmt::format("{}, {} running", *said.containers, said.running.value_or(0)));
  } else {
    row("Engine", "does not answer: " + engine.problem);
    row("  advice", engine.advice);
  }
  row("Extension", extension.name.empty() ? "none: cloud-init made this host"
                                          : fmt::format("{} {}: {}", extension.handler, extension.version,
                                                        extension.provisioning));
  row("  says", extension.message);
  for (const auto& part : extension.parts)
    if (part.name != "security")
      row("  " + part.name, part.status == "succeeded" ? part.message : part.status + ": " + part.message);
  out.pairs(rows);
  if (!engine.misfit.problem.empty())
    out.warn(fmt::format("{}. {}", engine.misfit.problem, engine.misfit.advice));

  const auto report = security_of(extension);
  if (extension.name.empty()) return;
  if (!report) return out.info("The extension has made no security report");
  out.data("");
  out.data(fmt::format("Security: {} pass, {} fail, {} not applicable", report->count("pass"),
                       report->count("fail"), report->count("not applicable")));
  std::vector<std::vector<std::string>> items;
  for (const auto& item : report->items) items.push_back({item.id, item.verdict, item.reason});
  out.table({"Item", "Result", "Reason"}, items);
}

}  // namespace

std::size_t SecurityReport::count(std::string_view verdict) const {
  return static_cast<std::size_t>(std::ranges::count(items, verdict, &Item::verdict));
}

SecurityReport parse_security_report(std::string_view text) {
  SecurityReport report;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t colon = line.find(": ");
    if (colon == std::string_view::npos) continue;
    const std::string_view rest = line.substr(colon + 2);
    const std::string_view verdict = rest.substr(0, rest.find(' '));
    if (verdict != "pass" && verdict != "fail" && verdict != "n/a") continue;
    report.items.push_back({std::string(line.substr(0, colon)),
                            verdict == "n/a" ? "not applicable" : std::string(verdict),
                            std::string(rest.substr(std::min(verdict.size() + 1, rest.size())))});
  }
  return report;
}

void show_docker_host(Session& session, const DockerHostOptions& options) {
  const HostView host = get_docker_host(session, options);
  const HostView::Extension none;  // cloud-init made it
  const HostView::Extension* extension = host.docker_extension() ? host.docker_extension() : &none;
  Engine engine = look_at_engine(host, options);
  engine.client = installed_docker_client();
  if (engine.client && engine.answer)
    engine.misfit = docker_misfit(*engine.client, *engine.answer, host.name);
  const std::string endpoint = docker_url(host);
  if (session.out.json_mode()) return session.out.json(to_json(host, *extension, engine, endpoint));
  print_host(session.out, host, *extension, engine, endpoint);
}

}  // namespace berth
