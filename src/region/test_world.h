#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

#include "base/error.h"
#include "host/process.h"
#include "hypervisor/fake_driver.h"
#include "images/gallery.h"
#include "region/extension_gallery.h"
#include "region/region.h"
#include "region/region_store.h"
#include "region/simulated_guests.h"
#include "store/database.h"

namespace berth {

namespace asio = boost::asio;

/// A region over the fake driver, fake switches and played guests; its store is a real file, so that it can
/// be reopened.
class World {
 public:
  World() {
    std::string name = std::filesystem::temp_directory_path() / "berth-region-XXXXXX";
    home = ::mkdtemp(name.data());
    std::filesystem::create_directories(home / "packages");
    for (const char* package :
         {"Contoso.Test.Shell_1.0.0.zip", "Contoso.Test.Shell_1.1.0.zip", "Contoso.Other_2.0.0.zip"})
      std::ofstream(home / "packages" / package) << "x";
    run_program({"qemu-img", "create", "-q", "-f", "qcow2", (home / "tiny.qcow2").string(), "1M"});
    open_region_store(home);  // an image beside no store would be somebody's
    gallery.emplace(home / "cache", home / "images");
    gallery->import(home / "tiny.qcow2", "tiny", "A tiny image", [](const std::string&, double) {});
    packages.emplace(home / "packages", home / "extensions");
    open();
  }
  ~World() {
    close();
    std::filesystem::remove_all(home);
  }

  /// Starts the region, as a new process would.
  void open() {
    io = std::make_unique<asio::io_context>(1);
    pool = std::make_unique<asio::thread_pool>(1);
    builds = std::make_unique<asio::thread_pool>(1);
    database.reset(new Database(open_region_store(home)));
    driver = std::make_unique<FakeDriver>(io->get_executor(), home);
    guests = std::make_unique<SimulatedGuests>(io->get_executor());
    region_settings.hosts_file = hosts_file;
    region = std::make_unique<Region>(
        Region::Services{.executor = io->get_executor(),
                         .pool = pool->get_executor(),
                         .builds = builds->get_executor(),
                         .database = *database,
                         .driver = *driver,
                         .networks = networks,
                         .gallery = *gallery,
                         .extensions = *packages,
                         .home = home,
                         .guest_endpoints = [](const std::string&, const std::filesystem::path&) {},
                         .vm_changed = [this](const Vm& vm) { guests->seen(vm); }},
        region_settings);
    guests->plays_in(*region);
    run(region->recover());
  }
  /// Ends it, as a signal would: what can go on at once does, and nothing is written any more.
  void close() {
    if (!region) return;
    run(region->shut_down());
    kill();
  }
  /// Ends it before anything else of it can run.
  void kill() {
    pool->join();
    builds->join();
    region.reset();
    driver.reset();
    io.reset();  // with all coroutines that wait
    database.reset();
    pool.reset();
    builds.reset();
  }

  template <class T>
  T run(asio::awaitable<T> work) {
    auto future = asio::co_spawn(*io, std::move(work), asio::use_future);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (future.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("the region hangs");
      io->run_one_for(std::chrono::milliseconds(100));
    }
    return future.get();
  }
  void finish(const Accepted& accepted) { run(region->operations().finish(accepted.operation)); }
  /// Lets everything that can go on go on for a while.
  void turn() { io->run_for(std::chrono::milliseconds(50)); }

  static void run_program(const std::vector<std::string>& argv) { ASSERT_EQ(berth::run(argv).exit_code, 0); }

  Ref network(const std::string& group = "g") {
    region->groups().put(group, "westus", {});
    region->networks().put(VirtualNetwork{{.group = group, .name = "net", .location = "westus"},
                                          {"10.1.0.0/16"},
                                          {{"default", "10.1.0.0/24", {}, {}}}});
    return {group, "net"};
  }
  Ref interface(const std::string& name, const std::string& label, std::vector<SecurityRule> rules) {
    const Ref net = network();
    SecurityGroup group{{.group = "g", .name = name + "-nsg", .location = "westus"}, std::move(rules)};
    region->networks().put(group);
    PublicAddress address;
    static_cast<Resource&>(address) = {.group = "g", .name = name + "-ip", .location = "westus"};
    address.label = label;
    region->networks().put(address);
    NetworkInterface nic;
    static_cast<Resource&>(nic) = {.group = "g", .name = name + "-nic", .location = "westus"};
    nic.security_group = group.ref();
    nic.configurations.push_back(
        {.name = "ipconfig", .network = net, .subnet = "default", .public_address = address.ref()});
    region->networks().put(nic);
    return nic.ref();
  }
  static SecurityRule allow(const std::string& port, int priority, const std::string& from = "*") {
    return {.name = "allow-" + std::to_string(priority),
            .protocol = "Tcp",
            .priority = priority,
            .source_prefixes = {from},
            .destination_ports = {port}};
  }
  VmOrder order(const std::string& name,
                std::vector<SecurityRule> rules = {allow("22", 1000), allow("4243", 1001)}) {
    VmOrder wanted;
    wanted.vm.group = "g";
    wanted.vm.name = name;
    wanted.vm.location = "westus";
    wanted.vm.size = "Standard_A1";
    wanted.vm.admin_user = "ops";
    wanted.vm.image = "tiny";
    wanted.vm.interfaces = {interface(name, name, std::move(rules))};
    wanted.password = Secret("Str0ng!pass");
    return wanted;
  }
  const Vm& make(const std::string& name) {
    finish(region->machines().put(order(name)));
    return region->machines().get({"g", name});
  }
  /// The zip of a handler; another one with another remark.
  std::filesystem::path package(const std::string& remark) {
    const std::filesystem::path folder = home / "package", zip = home / ("package-" + remark + ".zip");
    if (std::filesystem::exists(zip)) return zip;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "h") << "#!/bin/sh\n# " << remark << "\n";
    std::ofstream manifest(folder / "HandlerManifest.json");
    manifest << R"([{"handlerManifest":{"installCommand":"h","enableCommand":"h","updateCommand":"h",)"
             << R"("disableCommand":"h","uninstallCommand":"h"}}])";
    manifest.close();
    run_program({"python3", "-m", "zipfile", "-c", zip, folder / "h", folder / "HandlerManifest.json"});
    return zip;
  }
  ExtensionOrder shell(const std::string& settings = "{}") {
    ExtensionOrder wanted;
    wanted.name = "shell";
    wanted.publisher = "Contoso.Test";
    wanted.type = "Shell";
    wanted.version = "1.0.0";
    wanted.auto_upgrade = false;
    wanted.settings = settings;
    return wanted;
  }
  std::vector<PublicAddress::Port> ports(const std::string& name) {
    return region->networks().find<PublicAddress>({"g", name + "-ip"})->ports;
  }

  std::filesystem::path home, hosts_file;
  RegionSettings region_settings{.subscription = "5b9e8a42-0000-4000-8000-000000000001", .tenant = "t"};
  std::unique_ptr<asio::io_context> io;
  std::unique_ptr<asio::thread_pool> pool, builds;
  std::unique_ptr<Database> database;
  std::unique_ptr<FakeDriver> driver;
  FakeVirtualNetworks networks;
  std::optional<Gallery> gallery;
  std::optional<ExtensionGallery> packages;
  std::unique_ptr<SimulatedGuests> guests;
  std::unique_ptr<Region> region;
};

template <class F>
Error thrown_by(F act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::internal, "", "");
}

}  // namespace berth
