#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "crypto/random.h"
#include "endpoints/arm/arm_endpoints.h"
#include "host/temporary_folder.h"
#include "http/target.h"
#include "hypervisor/fake_driver.h"
#include "images/gallery.h"
#include "network/virtual_network.h"
#include "region/access.h"
#include "region/extension_gallery.h"
#include "region/region.h"
#include "region/simulated_guests.h"
#include "store/database.h"

namespace berth {

/// A whole region in this process whose machines, networks and guests are played, and Resource Manager over
/// it; one image "tiny" is in its gallery.
class TestRegion {
 public:
  static constexpr const char* subscription = "00000000-0000-0000-0000-0000000000aa";
  static constexpr const char* tenant = "00000000-0000-0000-0000-0000000000bb";
  static constexpr const char* origin = "https://127.0.0.1:8443";

  TestRegion() { open(); }
  ~TestRegion() { close(); }

  /// As if berthd had been killed and started again; `meanwhile` something happens to its files.
  void restart(const std::function<void()>& meanwhile = [] {}) {
    close();
    meanwhile();
    open();
  }

  /// One request through the router; with our token unless `headers` has an Authorization.
  Response call(const std::string& method, const std::string& target, const std::string& body = {},
                CaseInsensitiveMap headers = {}) {
    Request request;
    const auto parsed = parse_target(target);
    request.method = method;
    request.path = parsed->path;
    request.query = parsed->query;
    request.raw_target = target;
    request.headers = std::move(headers);
    request.body = body;
    request.origin = called;
    request.account = account;
    if (!request.headers.contains("Authorization") && !token.empty())
      request.headers["Authorization"] = "Bearer " + token;
    bool mismatch = false;
    const Gate* gate = router->match(request, mismatch);
    if (!gate) return ArmEndpoints::no_route(request, mismatch);
    Admission admission = (*gate)(request);
    if (!admission.handler) return admission.refusal;
    if (body.size() > admission.largest_body) return {.status = 413, .headers = {}, .body = {}};
    std::optional<Response> answer;
    boost::asio::co_spawn(*io, admission.handler(std::move(request)),
                          [&](std::exception_ptr trouble, Response response) {
                            if (trouble) std::rethrow_exception(trouble);
                            answer = std::move(response);
                          });
    while (!answer) turn();
    return *answer;
  }

  /// Below the subscription, with an api-version.
  Response arm(const std::string& method, const std::string& path, const nlohmann::json& body = nullptr,
               CaseInsensitiveMap headers = {}) {
    const std::string target = std::string("/subscriptions/") + subscription + "/" + path +
                               (path.find('?') == path.npos ? "?" : "&") + "api-version=2020-06-01";
    return call(method, target, body.is_null() ? "" : body.dump(), std::move(headers));
  }

  void run(boost::asio::awaitable<void> work) {
    bool done = false;
    boost::asio::co_spawn(*io, std::move(work), [&](std::exception_ptr trouble) {
      done = true;
      if (trouble) std::rethrow_exception(trouble);
    });
    while (!done) turn();
  }

  nlohmann::json get(const std::string& path) { return nlohmann::json::parse(arm("GET", path).body); }

  /// Polls what a long operation named; the body of the last answer.
  nlohmann::json finish(const Response& accepted) {
    const auto url = accepted.headers.find("Azure-AsyncOperation");
    if (url == accepted.headers.end()) return {{"status", accepted.status < 300 ? "Succeeded" : "Failed"}};
    const std::string target = url->second.substr(std::string(origin).size());
    for (int i = 0; i < 100'000; ++i) {
      auto document = nlohmann::json::parse(call("GET", target).body);
      if (document.value("status", "") != "InProgress") return document;
      // What ended it may have run just before the answer reached us: never wait here for long.
      io->restart();
      io->run_one_for(std::chrono::milliseconds(5));
    }
    return nullptr;
  }

  /// Puts and waits until it is done.
  nlohmann::json put(const std::string& path, const nlohmann::json& body) {
    const Response response = arm("PUT", path, body);
    if (response.status >= 300) return nlohmann::json::parse(response.body);
    return finish(response);
  }

  std::string id(const std::string& group, const std::string& type_and_name) const {
    return std::string("/subscriptions/") + subscription + "/resourceGroups/" + group + "/providers/" +
           type_and_name;
  }

  std::optional<boost::asio::io_context> io;
  std::optional<boost::asio::thread_pool> pool;
  TemporaryFolder folder;
  RegionAccess access;
  std::optional<Database> database;
  std::optional<FakeDriver> driver;
  std::optional<FakeVirtualNetworks> networks;
  std::optional<Gallery> gallery;
  std::optional<ExtensionGallery> extensions;
  std::optional<SimulatedGuests> guests;
  std::optional<Region> region;
  std::optional<ArmEndpoints> endpoints;
  std::optional<Router> router;
  std::function<void(const Vm&)> vm_changed;  ///< told at each change; lets a test look in between
  std::int64_t now = 1'800'000'000;
  std::string token;
  std::string called = origin;  ///< what the client calls it by
  std::int64_t account = 0;     ///< whose process the client is

 private:
  void open() {
    io.emplace();
    pool.emplace(1);
    access.subscription = subscription;
    access.tenant = tenant;
    access.client_id = "00000000-0000-0000-0000-0000000000cc";
    access.client_secret = Secret("the client's secret");
    access.token_key = Secret("a key of thirty-two characters!!");
    for (const char* name : {"bundled", "own", "cache", "images"})
      std::filesystem::create_directories(folder / name);
    database.emplace(folder / "region.db");
    driver.emplace(io->get_executor(), folder.path());
    networks.emplace();
    networks->home = folder / "net";
    gallery.emplace(folder / "cache", folder / "images");
    extensions.emplace(folder / "bundled", folder / "own");
    guests.emplace(io->get_executor());
    RegionSettings settings;
    settings.subscription = subscription;
    settings.tenant = tenant;
    region.emplace(
        Region::Services{.executor = io->get_executor(),
                         .pool = pool->get_executor(),
                         .builds = pool->get_executor(),
                         .database = *database,
                         .driver = *driver,
                         .networks = *networks,
                         .gallery = *gallery,
                         .extensions = *extensions,
                         .home = folder.path(),
                         .guest_endpoints = [](const std::string&, const std::filesystem::path&) {},
                         .vm_changed =
                             [this](const Vm& vm) {
                               if (vm_changed) vm_changed(vm);
                               guests->seen(vm);
                             }},
        settings);
    guests->plays_in(*region);
    if (!gallery->find("tiny")) {
      std::string disk(1024 * 1024, '\0');
      disk.replace(510, 2, "\x55\xAA");  // a partition table, as far as anybody looks
      std::ofstream(folder / "tiny.raw", std::ios::binary) << disk;
      gallery->import(folder / "tiny.raw", "tiny", "A tiny image", [](const std::string&, double) {});
    }
    run(region->recover());
    endpoints.emplace(*region, access, [this] { return now; });
    router.emplace();
    endpoints->recover();
    endpoints->add_to(*router);
    endpoints->serve_at({origin});
    sign_in();
  }

  /// What still waits is dropped, as when a process ends.
  void close() {
    run(region->shut_down());
    pool->join();
    router.reset();
    endpoints.reset();
    region.reset();
    guests.reset();
    driver.reset();
    networks.reset();
    io.reset();
    pool.reset();
    database.reset();
  }

  void turn() {
    io->restart();
    io->run_one();
  }

  void sign_in() {
    token.clear();
    const Response response = call("POST", "/adfs/oauth2/token/",
                                   "grant_type=client_credentials&client_id=" + access.client_id +
                                       "&client_secret=" + percent_encode(access.client_secret.reveal()) +
                                       "&scope=https%3A%2F%2Fmanagement.core.windows.net%2F%2F.default");
    token = nlohmann::json::parse(response.body)["access_token"].get<std::string>();
  }
};

}  // namespace berth
