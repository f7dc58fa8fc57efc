#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "images/disk.h"
#include "region/test_world.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const Ref web1{"g", "web1"};

/// A world with a disk of 1 GiB of its own, "data1".
struct Disks : World {
  Disks() {
    network();
    put_disk("data1", 1);
  }
  void put_disk(const std::string& name, std::uint64_t size, const std::string& group = "g") {
    Disk wanted;
    wanted.group = group;
    wanted.name = name;
    wanted.location = "westus";
    wanted.size_gib = size;
    const Accepted accepted = region->disks().put(wanted);
    if (!accepted.operation.empty()) finish(accepted);
  }
  const Disk& disk(const std::string& name) { return *region->disks().find({"g", name}); }
  std::uint64_t gib_of_file(const std::string& name) {
    return inspect_disk(home / disk(name).file).virtual_size >> 30;
  }
  /// Of its data disks: what stands there now, changed.
  template <class F>
  VmOrder changed(F change) {
    VmOrder order{.vm = region->machines().get(web1)};
    change(order);
    return order;
  }
  VmOrder with_disks(std::vector<DataDisk> disks) {
    return changed([&](VmOrder& order) { order.vm.data_disks = std::move(disks); });
  }
  std::string code_of(VmOrder order) {
    return thrown_by([&] { region->machines().put(std::move(order)); }).code;
  }
};

DataDisk attached(int lun, const std::string& name) {
  return {.lun = lun, .name = name, .disk = {"g", name}};
}
DataDisk fresh(int lun, const std::string& name, std::uint64_t size = 1) {
  return {.lun = lun, .name = name, .size_gib = size, .disk = {}};
}

TEST(VmOrders, ANewDiskDoesNotReplaceOneThatIsThere) {
  Disks world;
  const std::string guid = world.disk("data1").guid;
  VmOrder order = world.order("web1");
  order.vm.data_disks = {fresh(0, "DATA1")};
  const Error error = thrown_by([&] { world.region->machines().put(order); });
  EXPECT_EQ(error.code, "ConflictingUserInput");
  EXPECT_THAT(error.what(), HasSubstr("Disk data1 already exists in resource group g."));
  order.vm.data_disks.clear();
  order.os_disk_name = "Data1";
  EXPECT_EQ(world.code_of(order), "ConflictingUserInput");
  order.os_disk_name = "os1";
  order.vm.data_disks = {fresh(0, "os1")};
  EXPECT_EQ(world.code_of(order), "ConflictingUserInput");
  EXPECT_EQ(world.region->machines().find(web1), nullptr);
  EXPECT_EQ(world.disk("data1").guid, guid);
  world.make("web1");
  EXPECT_EQ(world.code_of(world.with_disks({fresh(0, "data1")})), "ConflictingUserInput");
}

TEST(VmOrders, AVmThatWasNeverMadeTakesItsOwnDisksAgain) {
  Disks world;
  VmOrder order = world.order("web1");
  order.os_disk_name = "os1";
  order.vm.size = "Standard_A2";
  order.vm.data_disks = {fresh(0, "one"), fresh(1, ""), attached(2, "data1")};
  world.driver->fail_next_start = Error(ErrorKind::unavailable, "AllocationFailed", "No memory.");
  thrown_by([&] { world.finish(world.region->machines().put(order)); });
  ASSERT_TRUE(world.region->machines().get(web1).never_made());

  world.finish(world.region->machines().put(order));

  const Vm& vm = world.region->machines().get(web1);
  EXPECT_EQ(vm.provisioning, Provisioning::succeeded);
  EXPECT_EQ(vm.os_disk, (Ref{"g", "os1"}));
  EXPECT_THAT(world.region->disks().list(), SizeIs(4));
  for (const Disk* disk : world.region->disks().list()) EXPECT_EQ(disk->vm, web1) << disk->name;
  EXPECT_THAT(world.run(world.driver->luns(vm.id)), ElementsAre(0, 1, 2));
}

TEST(VmOrders, ADiskThatIsAttachedBelongsToTheVm) {
  Disks world;
  VmOrder order = world.order("web1"), other = world.order("web2");
  order.vm.data_disks = {attached(0, "nosuch")};
  EXPECT_EQ(world.code_of(order), "ResourceNotFound");
  order.vm.data_disks = {attached(0, "data1")};
  const Accepted accepted = world.region->machines().put(order);
  other.vm.data_disks = {attached(3, "data1")};
  EXPECT_EQ(world.code_of(other), "DiskInUse");
  world.finish(accepted);
  EXPECT_EQ(world.disk("data1").vm, web1);
  EXPECT_EQ(world.region->machines().get(web1).data_disks.at(0).size_gib, 1u);
  EXPECT_EQ(thrown_by([&] { world.region->disks().remove({"g", "data1"}); }).code, "OperationNotAllowed");
  EXPECT_EQ(world.region->machines().find({"g", "web2"}), nullptr);
  EXPECT_TRUE(world.region->networks().find<NetworkInterface>({"g", "web2-nic"})->vm.empty());
  // Nor does another one get it by an update.
  world.make("web2");
  VmOrder update{.vm = world.region->machines().get({"g", "web2"})};
  update.vm.tags = {{"new", "yes"}};
  update.vm.data_disks = {attached(0, "data1")};
  EXPECT_EQ(world.code_of(update), "DiskInUse");
  EXPECT_THAT(world.region->machines().get({"g", "web2"}).data_disks, IsEmpty());
  EXPECT_THAT(world.region->machines().get({"g", "web2"}).tags, IsEmpty());
  EXPECT_EQ(world.region->machines().get({"g", "web2"}).provisioning, Provisioning::succeeded);
}

TEST(VmOrders, AnotherDiskAtTheSameLunTakesItsPlace) {
  Disks world;
  world.put_disk("data2", 2);
  const std::string id = world.make("web1").id;
  world.finish(world.region->machines().put(world.with_disks({attached(0, "data1")})));
  world.finish(world.region->machines().put(world.with_disks({attached(0, "data2"), attached(1, "data1")})));
  EXPECT_THAT(world.run(world.driver->luns(id)), ElementsAre(0, 1));
  EXPECT_EQ(world.region->machines().get(web1).data_disks.at(0).disk.name, "data2");
  world.finish(world.region->machines().put(world.with_disks({attached(0, "data2")})));
  EXPECT_THAT(world.run(world.driver->luns(id)), ElementsAre(0));
  EXPECT_TRUE(world.disk("data1").vm.empty());
  EXPECT_EQ(world.disk("data2").vm, web1);
}

TEST(VmOrders, AnAttachedOsDiskNeedsItsImageNoMore) {
  Disks world;
  VmOrder order = world.order("web1");
  order.os_disk_name = "os1";
  world.finish(world.region->machines().put(order));
  world.finish(world.region->machines().remove(web1));
  world.region->images().remove("tiny");
  VmOrder again = world.order("web1");
  again.vm.admin_user.clear();
  again.password = {};
  again.vm.image.clear();
  again.os_disk_name = "os1";
  again.attach_os_disk = true;
  world.finish(world.region->machines().put(again));
  EXPECT_EQ(world.region->machines().get(web1).image, "tiny");
  EXPECT_EQ(world.disk("os1").os, "Linux");
  EXPECT_EQ(world.disk("os1").vm, web1);
}

TEST(VmOrders, OneThatIsRefusedChangesNothing) {
  Disks world;
  world.make("web1");
  const auto refused = [&](VmOrder order) {
    order.vm.tags = {{"new", "yes"}};
    order.vm.boot_diagnostics = true;
    const std::string code = world.code_of(std::move(order));
    EXPECT_THAT(world.region->machines().get(web1).tags, IsEmpty());
    EXPECT_FALSE(world.region->machines().get(web1).boot_diagnostics);
    EXPECT_EQ(world.region->machines().get(web1).provisioning, Provisioning::succeeded);
    return code;
  };
  EXPECT_EQ(refused(world.with_disks({fresh(0, ""), fresh(1, ""), fresh(2, ""), fresh(3, "")})),
            "OperationNotAllowed");
  EXPECT_EQ(refused(world.changed([](VmOrder& order) { order.vm.size = "Huge"; })), "InvalidParameter");
  const Accepted stop = world.region->machines().stop(web1, true);
  EXPECT_EQ(refused(world.changed([](VmOrder&) {})), "AnotherOperationInProgress");
  world.finish(stop);
}

TEST(VmOrders, OneThatSaysSomethingElseWhileTheVmIsMadeIsRefused) {
  Disks world;
  VmOrder order = world.order("web1");
  order.vm.data_disks = {fresh(0, "")};
  const Accepted accepted = world.region->machines().put(order);
  EXPECT_EQ(world.region->machines().put(order).operation, accepted.operation);
  VmOrder other = order;
  other.vm.tags = {{"new", "yes"}};
  EXPECT_EQ(world.code_of(other), "AnotherOperationInProgress");
  other = order;
  other.vm.data_disks = {};
  EXPECT_EQ(world.code_of(other), "AnotherOperationInProgress");
  world.finish(accepted);
  EXPECT_THAT(world.region->machines().get(web1).tags, IsEmpty());
}

TEST(VmOrders, BootDiagnosticsCanBeSwitchedOff) {
  Disks world;
  world.make("web1");
  world.finish(
      world.region->machines().put(world.changed([](VmOrder& order) { order.vm.boot_diagnostics = true; })));
  EXPECT_TRUE(world.region->machines().get(web1).boot_diagnostics);
  world.finish(
      world.region->machines().put(world.changed([](VmOrder& order) { order.vm.boot_diagnostics = false; })));
  EXPECT_FALSE(world.region->machines().get(web1).boot_diagnostics);
}

TEST(Deletion, TakesWhatTheVmSaysAndNothingElse) {
  Disks world;
  world.put_disk("data2", 1);
  VmOrder order = world.order("web1");
  order.os_disk_name = "os1";
  order.vm.os_disk_deleted_with_vm = true;
  order.vm.data_disks = {attached(0, "data1"), attached(1, "data2")};
  order.vm.data_disks[1].deleted_with_vm = true;
  order.vm.interfaces_deleted_with_vm = order.vm.interfaces;
  NetworkInterface nic = *world.region->networks().find<NetworkInterface>(order.vm.interfaces.front());
  nic.configurations.front().address_deleted_with_vm = true;
  world.region->networks().put(nic);
  world.finish(world.region->machines().put(order));
  const std::filesystem::path file = world.home / world.disk("data2").file;
  ASSERT_TRUE(std::filesystem::exists(file));

  world.finish(world.region->machines().remove(web1));

  ASSERT_THAT(world.region->disks().list(), SizeIs(1));
  EXPECT_TRUE(world.disk("data1").vm.empty());
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_THAT(world.region->networks().list<NetworkInterface>(), IsEmpty());
  EXPECT_THAT(world.region->networks().list<PublicAddress>(), IsEmpty());
  world.make("web2");
  world.finish(world.region->machines().remove({"g", "web2"}));
  EXPECT_THAT(world.region->disks().list(), SizeIs(2));
  EXPECT_TRUE(world.region->networks().find<NetworkInterface>({"g", "web2-nic"})->vm.empty());
  EXPECT_THAT(world.region->networks().list<PublicAddress>(), SizeIs(1));
}

TEST(Deletion, ThatFailedCanBeRepeated) {
  Disks world;
  world.make("web1");
  world.driver->fail_next_destroy = std::make_exception_ptr(std::filesystem::filesystem_error(
      "remove_all", world.home / "vm", std::make_error_code(std::errc::no_space_on_device)));
  const Accepted first = world.region->machines().remove(web1);
  EXPECT_EQ(world.region->machines().remove(web1).operation, first.operation);
  EXPECT_EQ(thrown_by([&] { world.finish(first); }).code, "FileUnavailable");
  EXPECT_EQ(world.region->machines().get(web1).provisioning, Provisioning::failed);
  EXPECT_EQ(world.region->machines().get(web1).problem->code, "FileUnavailable");
  world.finish(world.region->machines().stop(web1, true));
  const Accepted second = world.region->machines().remove(web1);
  EXPECT_NE(second.operation, first.operation);
  world.finish(second);
  EXPECT_EQ(world.region->machines().find(web1), nullptr);
}

TEST(Deletion, ASecondRequestWhileTheVmIsMadeGetsTheFirstOne) {
  Disks world;
  world.guests->talkative = false;
  const Accepted creation = world.region->machines().put(world.order("web1"));
  for (int i = 0; i < 200 && world.region->machines().get(web1).power != PowerState::running; ++i)
    world.turn();
  const Accepted first = world.region->machines().remove(web1);
  EXPECT_NE(first.operation, creation.operation);
  EXPECT_EQ(world.region->machines().remove(web1).operation, first.operation);
  world.finish(first);
}

TEST(Deletion, KnowsAfterARestartWhatGoesWithTheVm) {
  Disks world;
  world.make("web1");
  const Accepted accepted = world.region->machines().remove(web1, {.disks = true, .interfaces = true});
  world.kill();
  world.open();
  world.finish(accepted);
  EXPECT_EQ(world.region->machines().find(web1), nullptr);
  EXPECT_THAT(world.region->disks().list(), SizeIs(1));  // data1
  EXPECT_THAT(world.region->networks().list<NetworkInterface>(), IsEmpty());
  EXPECT_THAT(world.region->networks().list<PublicAddress>(), IsEmpty());
}

TEST(Disks, GrowAndDoNotShrink) {
  Disks world;
  EXPECT_EQ(world.gib_of_file("data1"), 1u);
  world.put_disk("data1", 2);
  EXPECT_EQ(world.disk("data1").size_gib, 2u);
  EXPECT_EQ(world.gib_of_file("data1"), 2u);
  const auto code = [&](std::uint64_t size) {
    return thrown_by([&] { world.put_disk("data1", size); }).code;
  };
  EXPECT_EQ(code(1), "OperationNotAllowed");
  world.make("web1");
  world.finish(world.region->machines().put(world.with_disks({attached(0, "data1")})));
  const auto grown = [&] {
    std::vector<DataDisk> disks{attached(0, "data1")};
    disks[0].size_gib = 4;
    VmOrder order = world.with_disks(std::move(disks));
    order.os_disk_gib = 3;
    return order;
  };
  EXPECT_EQ(code(3), "OperationNotAllowed");
  EXPECT_EQ(world.code_of(grown()), "OperationNotAllowed");
  EXPECT_EQ(world.gib_of_file("data1"), 2u);
  world.finish(world.region->machines().deallocate(web1));
  world.put_disk("data1", 3);
  EXPECT_EQ(world.region->machines().get(web1).data_disks.at(0).size_gib, 3u);
  world.finish(world.region->machines().put(grown()));
  EXPECT_EQ(world.gib_of_file("data1"), 4u);
  EXPECT_EQ(world.gib_of_file(world.region->machines().get(web1).os_disk.name), 3u);
  VmOrder smaller = world.with_disks({attached(0, "data1")});
  smaller.vm.data_disks[0].size_gib = 1;
  EXPECT_EQ(world.code_of(smaller), "OperationNotAllowed");
}

TEST(Disks, ThatAChangeDidNotAttachAreFreeAfterARestart) {
  Disks world;
  world.make("web1");
  world.region->machines().put(world.with_disks({attached(0, "data1")}));
  EXPECT_EQ(world.disk("data1").vm, web1);
  world.kill();
  world.open();
  EXPECT_TRUE(world.disk("data1").vm.empty());
}

TEST(Groups, AreKeptWhileAnotherGroupUsesWhatIsInThem) {
  Disks world;
  world.make("web1");
  world.region->groups().put("h", "westus", {});
  world.region->networks().put(VirtualNetwork{{.group = "h", .name = "net", .location = "westus"},
                                              {"10.2.0.0/16"},
                                              {{"default", "10.2.0.0/24", {}, {}}}});
  const auto refusal = [&] { return thrown_by([&] { world.region->groups().remove("g"); }); };
  NetworkInterface nic;
  static_cast<Resource&>(nic) = {.group = "h", .name = "nic", .location = "westus"};
  nic.configurations.push_back({.name = "ipconfig", .network = {"h", "net"}, .subnet = "default"});
  nic.security_group = {"g", "web1-nsg"};
  world.region->networks().put(nic);
  EXPECT_EQ(refusal().code, "InUseNetworkSecurityGroupCannotBeDeleted");
  EXPECT_THAT(refusal().what(), HasSubstr("'web1-nsg' is used by interface 'nic' of group 'h'"));
  nic.security_group = {};
  world.interface("free", "free", {});
  world.region->networks().remove_interface({"g", "free-nic"});
  nic.configurations[0].public_address = {"g", "free-ip"};
  world.region->networks().put(nic);
  EXPECT_EQ(refusal().code, "InUsePublicIPAddressCannotBeDeleted");
  nic.configurations[0].public_address = {};
  world.region->networks().put(nic);
  VmOrder order = world.order("web2");
  order.vm.group = "h";
  order.vm.data_disks = {attached(0, "data1")};
  world.finish(world.region->machines().put(order));
  EXPECT_EQ(refusal().code, "NicInUse");
  world.finish(world.region->machines().remove({"h", "web2"}));
  order.vm.interfaces = {nic.ref()};
  world.finish(world.region->machines().put(order));
  EXPECT_EQ(refusal().code, "DiskInUse");
  EXPECT_EQ(world.region->machines().get(web1).power, PowerState::running);
  world.finish(world.region->groups().remove("h"));
  EXPECT_TRUE(world.disk("data1").vm.empty());
  world.finish(world.region->groups().remove("g"));
}

TEST(Groups, TakeNothingNewWhileTheyGo) {
  Disks world;
  world.region->groups().put("h", "westus", {});
  const Accepted accepted = world.region->groups().remove("g");
  const auto code = [&](auto act) { return thrown_by(act).code; };
  Resource place{.group = "g", .name = "late", .location = "westus"};
  EXPECT_EQ(code([&] { world.put_disk("late", 1); }), "ResourceGroupBeingDeleted");
  EXPECT_EQ(code([&] { world.network(); }), "ResourceGroupBeingDeleted");
  EXPECT_EQ(code([&] {
              world.region->networks().put(SecurityGroup{place, {}});
            }),
            "ResourceGroupBeingDeleted");
  PublicAddress address;
  static_cast<Resource&>(address) = place;
  EXPECT_EQ(code([&] { world.region->networks().put(address); }), "ResourceGroupBeingDeleted");
  InertResource inert;
  static_cast<Resource&>(inert) = place;
  EXPECT_EQ(code([&] { world.region->inert().put(inert); }), "ResourceGroupBeingDeleted");
  NetworkInterface nic;
  static_cast<Resource&>(nic) = {.group = "h", .name = "nic", .location = "westus"};
  nic.configurations.push_back({.name = "ipconfig", .network = {"g", "net"}, .subnet = "default"});
  EXPECT_EQ(code([&] { world.region->networks().put(nic); }), "ResourceGroupBeingDeleted");
  world.finish(accepted);
  EXPECT_THAT(world.region->disks().list(), IsEmpty());
}

TEST(Groups, TakeTheirImagesWithThem) {
  Disks world;
  world.gallery->import(world.home / "tiny.qcow2", "mine", "Mine", [](const std::string&, double) {});
  InertResource image;
  static_cast<Resource&>(image) = {.group = "g", .name = "mine", .location = "westus"};
  image.type = "Microsoft.Compute/images";
  world.region->inert().put(image);
  world.finish(world.region->groups().remove("g"));
  EXPECT_FALSE(world.gallery->find("mine"));
  for (int i = 0; i < 200 && std::filesystem::exists(world.home / "images/mine"); ++i) world.turn();
  EXPECT_FALSE(std::filesystem::exists(world.home / "images/mine"));
}

TEST(Networks, KeepTheBlocksThatInterfacesUse) {
  World world;
  VirtualNetwork net = *world.region->networks().find<VirtualNetwork>(world.network());
  const auto code = [&](const std::string& prefix, const std::string& subnet) {
    VirtualNetwork wanted = net;
    wanted.prefixes = {prefix};
    wanted.subnets[0].prefix = subnet;
    return thrown_by([&] { world.region->networks().put(wanted); }).code;
  };
  world.interface("web1", "web1", {});
  EXPECT_EQ(code("10.1.0.0/16", "10.1.0.0/25"), "InUsePrefixCannotBeDeleted");
  EXPECT_EQ(code("10.0.0.0/8", "10.1.0.0/24"), "InUsePrefixCannotBeDeleted");
  net.subnets.push_back({"more", "10.1.1.0/24", {}, {}});
  world.region->networks().put(net);
  world.region->networks().remove_interface({"g", "web1-nic"});
  net.prefixes = {"10.0.0.0/8"};
  world.region->networks().put(net);
  net.prefixes = {"10.1.0.0/16", "10.9.0.0/16"};
  net.subnets.push_back({"far", "10.9.1.0/24", {}, {}});
  world.region->networks().put(net);
  net.subnets.back().prefix = "10.2.0.0/24";
  EXPECT_EQ(thrown_by([&] { world.region->networks().put(net); }).code, "NetcfgInvalidSubnet");
  net.subnets.pop_back();
  net.prefixes = {"10.1.0.0/16", "192.168.0.0/16"};
  const Error error = thrown_by([&] { world.region->networks().put(net); });
  EXPECT_EQ(error.kind, ErrorKind::invalid);
  EXPECT_THAT(error.what(), HasSubstr("10.1.0.0/16, 192.168.0.0/16"));
}

TEST(Images, OnesThatTakeLongDoNotKeepOthersWaiting) {
  Disks world;
  std::promise<void> built;
  asio::post(*world.builds, [done = built.get_future().share()] { done.wait(); });
  world.make("web1");
  built.set_value();
}

}  // namespace
}  // namespace berth
