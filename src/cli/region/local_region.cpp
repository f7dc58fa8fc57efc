#include "cli/region/local_region.h"

#include <fmt/format.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "cli/sign_in/principal_tokens.h"
#include "cli/terminal/terminal.h"
#include "host/files.h"
#include "host/log_tail.h"
#include "host/own_folder.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr auto start_limit = 30s;
constexpr auto stop_limit = 20s;

std::string without_line_end(std::string text) {
  text.erase(text.find_last_not_of(" \r\n") + 1);
  return text;
}

std::uintmax_t size_of(const std::filesystem::path& file) {
  std::error_code none;
  const std::uintmax_t size = std::filesystem::file_size(file, none);
  return none ? 0 : size;
}

Error did_not_start(const std::string& what, const std::filesystem::path& log, std::uintmax_t log_start) {
  const std::string tail = log_tail(log, 10, log_start);
  return Error(ErrorKind::unavailable, "RegionNotStarted",
               what + (tail.empty() ? "" : " Its last words:\n" + tail),
               fmt::format("The whole log is {}.", log.string()));
}

}  // namespace

ArmEndpoint arm_endpoint(const RegionInfo& region) {
  ArmEndpoint endpoint;
  endpoint.url = region.management_endpoint;
  while (endpoint.url.ends_with('/')) endpoint.url.pop_back();
  endpoint.ca_file = region.ca_certificate;
  SignInPlace place;
  place.login = endpoint.url + "/adfs";
  place.audience = "https://management.core.windows.net/";
  place.ca_file = endpoint.ca_file;
  endpoint.tokens = secret_tokens(std::move(place), region.client_id,
                                  Secret(without_line_end(read_file(region.client_secret_file, 4096))));
  endpoint.subscription = region.subscription;
  return endpoint;
}

bool LocalRegion::exists() const {
  std::error_code none;
  return std::filesystem::exists(home_ / "lock", none);
}

std::optional<RegionInfo> LocalRegion::find_running() const {
  refuse_foreign_folder(region_home_folder, home_);
  const auto text = read_file_if_there(home_ / "region.json");
  if (!text) return std::nullopt;
  const json document = json::parse(*text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  const auto field = [&](const char* key) {
    const auto found = document.find(key);
    return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const auto process = parse_process_id(field("pid"));
  if (!process || !is_alive(*process)) return std::nullopt;
  return RegionInfo{.management_endpoint = field("managementEndpoint"),
                    .ca_certificate = field("caCertificate"),
                    .publish_settings = field("publishSettings"),
                    .tenant = field("tenantId"),
                    .client_id = field("clientId"),
                    .subscription = field("subscriptionId"),
                    .portal = field("portal"),
                    .accelerator = field("accelerator"),
                    .version = field("version"),
                    .dns_suffix = field("dnsSuffix"),
                    .egress = field("egress"),
                    .client_secret_file = field("clientSecretFile"),
                    .data_directory = field("dataDirectory"),
                    .process = *process,
                    .document = *text};
}

RegionInfo LocalRegion::start(const std::vector<std::string>& arguments, Start& start) {
  start = {};
  if (auto running = find_running()) return *std::move(running);
  start.warning = claim_folder(region_home_folder, home_);
  // Two commands may find it absent at the same time: the second one waits here, and finds it.
  const FileLock lock = FileLock::take(home_ / "start.lock");
  if (auto running = find_running()) return *std::move(running);

  std::error_code none;
  if (!std::filesystem::exists(daemon_, none))
    throw Error(ErrorKind::unavailable, "RegionNotStarted",
                fmt::format("The local region's program {} is not there.", daemon_.string()),
                "It belongs beside 'azure': install or build Berth anew.");
  const std::uintmax_t log_start = size_of(log_file());
  std::vector<std::string> argv{daemon_.string(), "--home", home_.string()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const ProcessId process = spawn_detached(argv, DetachOptions{.folder = home_, .log = log_file()});
  const auto end = std::chrono::steady_clock::now() + start_limit;
  while (std::chrono::steady_clock::now() < end) {
    if (auto running = find_running()) {
      start.now = true;
      return *std::move(running);
    }
    if (!is_alive(process))
      throw did_not_start("The local region ended as it started.", log_file(), log_start);
    if (interrupt::sleep(20ms)) {
      end_process(process, 5s);
      interrupt::check();
    }
  }
  end_process(process, 5s);
  throw did_not_start(fmt::format("The local region was not ready within {} seconds.", start_limit.count()),
                      log_file(), log_start);
}

bool LocalRegion::stop() {
  const auto running = find_running();
  if (!running) return false;
  end_process(running->process, stop_limit);
  return true;
}

std::vector<std::filesystem::path> LocalRegion::remove() {
  if (!exists()) return {};
  const auto lock = FileLock::try_take(home_ / "lock");
  if (!lock || find_running())
    throw Error(ErrorKind::conflict, "RegionRunning", "The local region still runs.",
                "Stop it: 'azure region stop'.");
  return remove_own_folder(region_home_folder, home_);
}

}  // namespace berth
