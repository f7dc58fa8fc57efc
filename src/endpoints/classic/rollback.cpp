#include "endpoints/classic/rollback.h"

#include <spdlog/spdlog.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/removal.h"

namespace berth::classic {
namespace {

using nlohmann::json;

constexpr auto roll_back_pause = std::chrono::seconds(1);  ///< before the next attempt

json to_json(const std::vector<Ref>& refs) {
  json document = json::array();
  for (const Ref& ref : refs) document.push_back({{"group", ref.group}, {"name", ref.name}});
  return document;
}

std::vector<Ref> refs_in(const json& document) {
  std::vector<Ref> refs;
  for (const json& ref : document) refs.push_back({ref.value("group", ""), ref.value("name", "")});
  return refs;
}

}  // namespace

void keep_pending(Region& region, const std::string& key, const Made& made) {
  const json document{
      {"vms", to_json(made.vms)}, {"interfaces", to_json(made.interfaces)}, {"disks", to_json(made.disks)}};
  region.documents().keep(pending_table, key, document.dump());
}

asio::awaitable<bool> take_back_now(Classic& classic, Made made, std::string key) {
  Region& region = classic.region;
  // What was not made is not ours: somebody else may make it while we remove the rest.
  std::erase_if(made.vms, [&](const Ref& ref) { return !region.machines().find(ref); });
  // What somebody else uses by now stays; all else goes.
  const auto go_on = [&](const Error& error) {
    if (error.kind == ErrorKind::unavailable) throw error;
    spdlog::error("not all of deployment={} could be rolled back: {}", key, error.what());
  };
  try {
    try {
      co_await remove_roles(classic, made.vms, false);  // disks that were there before stay
    } catch (const Error& error) {
      go_on(error);
    }
    for (const Ref& nic : made.interfaces) try {
        region.networks().remove_interface(nic);
      } catch (const Error& error) {
        go_on(error);
      }
    for (const Ref& disk : made.disks) try {
        region.disks().remove(disk);
        region.documents().drop(disk_table, disk.key());
      } catch (const Error& error) {
        go_on(error);
      }
    region.documents().drop(pending_table, key);
    co_return true;
  } catch (const std::exception& error) {
    spdlog::error("could not roll back deployment={}: {}", key, error.what());
  }
  co_return false;
}

asio::awaitable<void> take_back(Classic& classic, Made made, std::string key) {
  asio::steady_timer pause(co_await asio::this_coro::executor);
  while (!co_await take_back_now(classic, made, key)) {
    pause.expires_after(roll_back_pause);
    co_await pause.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> keep_made(Classic& classic, std::string key) {
  asio::steady_timer pause(co_await asio::this_coro::executor);
  for (;;) {
    try {
      classic.region.documents().drop(pending_table, key);
      co_return;
    } catch (const Error& error) {
      spdlog::error("waiting for the store: {}", error.what());
    }
    pause.expires_after(roll_back_pause);
    co_await pause.async_wait(asio::use_awaitable);
  }
}

void roll_back_pending(Classic& classic) {
  for (const auto& [key, text] : classic.region.documents().list(pending_table)) {
    const json document = read_document(classic.region, pending_table, key);
    const auto refs = [&](const char* what) { return refs_in(document.value(what, json::array())); };
    const Made made{.vms = refs("vms"), .interfaces = refs("interfaces"), .disks = refs("disks")};
    spdlog::warn("rolling back deployment={}", key);
    classic.region.operations().begin(
        OperationKind::deployment_roll_back, "deployments/" + key,
        [&classic, made, key = key](std::string) { return take_back(classic, made, key); });
  }
}

}  // namespace berth::classic
