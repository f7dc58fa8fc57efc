#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "cli/docker/create.h"
#include "cli/terminal/terminal.h"

namespace berth {
namespace {

using nlohmann::ordered_json;

constexpr unsigned most_hosts = 64;

Error contradiction(const std::string& what) {
  return Error(ErrorKind::invalid, "InvalidParameter", what);
}

void check_together(const DockerCreateOptions& options) {
  if (options.count < 1 || options.count > most_hosts)
    throw contradiction(fmt::format("--count must be between 1 and {}, not {}", most_hosts, options.count));
  const std::pair<const char*, bool> of_one_host[] = {{"--vm-name", !options.vm_name.empty()},
                                                      {"--context", !options.context.empty()},
                                                      {"--use", options.use},
                                                      {"--static-ip", !options.static_ip.empty()},
                                                      {"--template", !options.template_file.empty()}};
  for (const auto& [name, given] : of_one_host)
    if (given)
      throw contradiction(fmt::format("{} is for one host, and --count asks for {}", name, options.count));
}

struct Making {
  std::string name;
  std::ostringstream json;  ///< what it prints in JSON mode
  std::optional<Error> error;
  std::thread thread;
};

void make_one(const Session& session, DockerCreateOptions options, Making& making) {
  Output::Style style = session.out.style();
  style.live = false;
  style.about = making.name + ": ";
  Output out(style.json ? making.json : std::cout, std::cerr, style);
  Session own(out, session.local);
  options.dns_name = making.name;
  try {
    create_docker_host(own, options);
  } catch (const Error& error) {
    making.error = error;
    out.error(error.what());
    if (!error.advice.empty()) out.error(error.advice);
  } catch (const std::exception& bug) {
    making.error = Error(ErrorKind::internal, "InternalError", bug.what());
  }
}

}  // namespace

void create_docker_hosts(Session& session, DockerCreateOptions options) {
  check_together(options);
  check_docker_create(options);
  session.arm();
  if (!options.yes && session.is_azure())
    throw contradiction("--count on Azure makes much that costs money, and asks for no host: add --yes");
  options.password = docker_host_password(options);
  options.password_file.clear();
  std::vector<Making> all(options.count);
  interrupt::set_farewell(
      fmt::format("Stopped at once. 'azure vm list' shows what is left of {0}-1 to {0}-{1}.",
                  options.dns_name, options.count));
  interrupt::share();
  for (unsigned i = 0; i < options.count; ++i) {
    all[i].name = fmt::format("{}-{}", options.dns_name, i + 1);
    all[i].thread = std::thread(make_one, std::cref(session), options, std::ref(all[i]));
  }
  for (Making& one : all) one.thread.join();
  ordered_json made = ordered_json::array();
  std::string failed;
  const Error* first = nullptr;
  for (const Making& one : all) {
    if (one.error) {
      failed += (failed.empty() ? "" : ", ") + one.name;
      if (first == nullptr) first = &*one.error;
    } else if (session.out.json_mode()) {
      made.push_back(ordered_json::parse(one.json.str()));
    }
  }
  if (session.out.json_mode()) session.out.json(made);
  if (first == nullptr) return;
  throw Error(first->kind, first->code, fmt::format("{} could not be made: {}", failed, first->what()),
              first->advice);
}

}  // namespace berth
