#include "region/region.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/files.h"
#include "images/disk.h"
#include "region/test_world.h"
#include "store/documents.h"

namespace berth {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

MATCHER_P2(PortAt, port, host_port, "") {
  return arg.port == port && arg.host_port == host_port;
}

TEST(Region, MakesAVmThatRunsWithItsPortsOpen) {
  World world;
  const Vm& vm = world.make("web1");
  EXPECT_EQ(vm.provisioning, Provisioning::succeeded);
  EXPECT_EQ(vm.power, PowerState::running);
  EXPECT_TRUE(vm.provisioned);
  EXPECT_EQ(world.driver->observe(vm.id), MachineState::running);
  EXPECT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 22), PortAt(4243, 4243)));
  EXPECT_THAT(world.region->networks().find<PublicAddress>({"g", "web1-ip"})->fqdn, "web1.cloudapp.net");
  ASSERT_THAT(world.networks.networks, SizeIs(1));
  EXPECT_EQ(world.networks.networks.begin()->second.ports.at(0).address, "10.1.0.4");
}

TEST(Region, TellsThePhasesOfACreation) {
  World world;
  const Accepted accepted = world.region->machines().put(world.order("web1"));
  world.finish(accepted);
  std::vector<std::string> names;
  for (const Phase& phase : world.region->operations().find(accepted.operation)->phases) {
    names.push_back(phase.name);
    EXPECT_FALSE(phase.ended.empty());
  }
  EXPECT_THAT(
      names, ElementsAre("Preparing the image", "Making the disk",
                         "It boots, because machines of its image take no identity", "Connecting the network",
                         "Starting the virtual machine", "Waiting for the guest agent"));
}

TEST(Region, MovesAPortThatTheHostHasNotGot) {
  World world;
  world.networks.taken = {22, 10022};
  world.make("web1");
  EXPECT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 20022), PortAt(4243, 4243)));
  EXPECT_THAT(world.ports("web1").at(0).moved_because, testing::Not(IsEmpty()));
}

TEST(Region, APortThatMovedComesBackAtTheNextStart) {
  World world;
  world.networks.taken = {22};
  world.make("web1");
  ASSERT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 10022), PortAt(4243, 4243)));
  world.finish(world.region->machines().restart({"g", "web1"}));
  EXPECT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 10022), PortAt(4243, 4243))) << "still taken";
  world.networks.taken = {4243};
  world.finish(world.region->machines().restart({"g", "web1"}));
  EXPECT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 22), PortAt(4243, 14243)));
  EXPECT_THAT(world.ports("web1").at(0).moved_because, IsEmpty());
  world.finish(world.region->machines().deallocate({"g", "web1"}));
  world.networks.taken = {};
  world.finish(world.region->machines().start({"g", "web1"}));
  EXPECT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 22), PortAt(4243, 4243)));
}

TEST(Region, APortThatMovedComesBackWhenTheRegionStarts) {
  World world;
  world.networks.taken = {4243};
  world.make("web1");
  ASSERT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 22), PortAt(4243, 14243)));
  world.close();
  world.networks.taken = {};
  world.open();
  EXPECT_THAT(world.ports("web1"), ElementsAre(PortAt(22, 22), PortAt(4243, 4243))) << "before it serves";
}

TEST(Region, SaysOfAVmThatItsSwitchDied) {
  World world;
  world.close();
  world.region_settings.heal_pause = std::chrono::milliseconds(20);
  world.open();
  world.make("web1");
  EXPECT_THAT(world.region->machines().get({"g", "web1"}).network_news, IsEmpty());
  world.networks.dead[world.networks.networks.begin()->first] = {2, "2026-11-30T03:00:00.000Z",
                                                                 "signal 11 (Segmentation fault)"};
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (world.region->machines().get({"g", "web1"}).network_news.empty() &&
         std::chrono::steady_clock::now() < until)
    world.turn();
  EXPECT_THAT(world.region->machines().get({"g", "web1"}).network_news, testing::HasSubstr("signal 11"));
}

TEST(Region, OpensAndClosesPortsOfARunningVm) {
  World world;
  world.make("web1");
  world.region->networks().put(
      {{.group = "g", .name = "web1-nsg", .location = "westus"}, {World::allow("8080", 200, "127.0.0.1")}});
  world.run(world.region->networks().settle_ports({"g", "web1"}));
  EXPECT_THAT(world.ports("web1"), ElementsAre(PortAt(8080, 8080)));
  EXPECT_THAT(world.networks.networks.begin()->second.ports.at(0).forwards.at(0).sources,
              ElementsAre("127.0.0.1"));
}

TEST(Region, ClosesThePortsOfAVmThatStops) {
  World world;
  world.make("web1");
  world.finish(world.region->machines().stop({"g", "web1"}, false));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::stopped);
  EXPECT_THAT(world.networks.networks, IsEmpty());
  world.finish(world.region->machines().start({"g", "web1"}));
  EXPECT_THAT(world.networks.networks, SizeIs(1));
  world.finish(world.region->machines().deallocate({"g", "web1"}));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::deallocated);
}

TEST(Region, AVmHasATemporaryDiskOfItsSizeUntilItIsDeallocated) {
  World world;
  const auto description = world.home / "images/tiny/image.json";
  std::string text = read_file(description);
  const std::string no = R"("azureDisks": false)";
  ASSERT_NE(text.find(no), text.npos);
  write_file(description, text.replace(text.find(no), no.size(), R"("azureDisks": true)"));
  std::optional<MachineSpec> spec;
  world.driver->on_start = [&](const MachineSpec& started, const std::string&) { spec = started; };
  world.make("web1");

  ASSERT_TRUE(spec && spec->azure_disks && spec->temporary_disk);
  const auto file = *spec->temporary_disk;
  const std::uint64_t of_a1 = std::uint64_t{71'680} << 20;
  EXPECT_EQ(read_disk(file).virtual_size, of_a1);
  world.finish(world.region->machines().stop({"g", "web1"}, false));
  EXPECT_TRUE(std::filesystem::exists(file));
  world.finish(world.region->machines().deallocate({"g", "web1"}));
  EXPECT_FALSE(std::filesystem::exists(file));
  world.finish(world.region->machines().start({"g", "web1"}));
  EXPECT_EQ(read_disk(file).virtual_size, of_a1);
}

TEST(Region, NoticesAGuestThatSwitchesItselfOff) {
  World world;
  const std::string id = world.make("web1").id;
  world.driver->guest_powers_off(id);
  world.turn();
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::stopped);
}

TEST(Region, RefusesWhatCannotBecomeAVm) {
  World world;
  const VmOrder good = world.order("web1");
  const auto code = [&](auto change) {
    VmOrder wanted = good;
    change(wanted);
    return thrown_by([&] { world.region->machines().put(wanted); }).code;
  };
  EXPECT_EQ(code([](VmOrder& o) { o.password = Secret("weak"); }), "InvalidParameter");
  EXPECT_EQ(code([](VmOrder& o) { o.vm.admin_user = "docker"; }), "InvalidParameter");
  EXPECT_EQ(code([](VmOrder& o) { o.vm.size = "Huge"; }), "InvalidParameter");
  EXPECT_EQ(code([](VmOrder& o) { o.vm.image = "nosuchimage"; }), "ImageNotFound");
  EXPECT_EQ(code([](VmOrder& o) { o.vm.interfaces = {{"g", "nosuchnic"}}; }), "ResourceNotFound");
  EXPECT_EQ(code([](VmOrder& o) { o.vm.group = "nosuchgroup"; }), "ResourceGroupNotFound");
  EXPECT_EQ(code([](VmOrder& o) { o.password = {}; }), "InvalidParameter");
  EXPECT_EQ(world.region->machines().find({"g", "web1"}), nullptr);
}

TEST(Region, GivesALabelToOneOnly) {
  World world;
  world.make("web1");
  PublicAddress second;
  static_cast<Resource&>(second) = {.group = "g", .name = "other", .location = "westus"};
  second.label = "WEB1";
  EXPECT_EQ(thrown_by([&] { world.region->networks().put(second); }).code, "DnsRecordInUse");
  EXPECT_FALSE(world.region->networks().is_label_free("Web1"));
}

TEST(Region, WritesNamesIntoTheHostsFileWhileTheyExist) {
  World world;
  world.close();
  world.hosts_file = world.home / "hosts";
  std::ofstream(world.hosts_file) << "127.0.0.1 localhost\n";
  world.open();
  world.make("web1");
  const auto text = [&] {
    std::ifstream in(world.hosts_file);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_THAT(text(), HasSubstr("web1.cloudapp.net"));
  world.finish(world.region->groups().remove("g"));
  EXPECT_EQ(text(), "127.0.0.1 localhost\n");
}

TEST(Region, KeepsAFailedVmAndSaysWhy) {
  World world;
  world.driver->fail_next_start =
      Error(ErrorKind::unavailable, "AllocationFailed", "No memory.", "Stop something.");
  const Accepted accepted = world.region->machines().put(world.order("web1"));
  const Error error = thrown_by([&] { world.finish(accepted); });
  EXPECT_EQ(error.code, "AllocationFailed");
  EXPECT_EQ(error.advice, "Stop something.");
  const Vm& vm = world.region->machines().get({"g", "web1"});
  EXPECT_EQ(vm.provisioning, Provisioning::failed);
  EXPECT_EQ(vm.problem->message, "No memory.");
  // The same request again makes it.
  world.finish(world.region->machines().put(world.order("web1")));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).provisioning, Provisioning::succeeded);
}

TEST(Region, AVmThatDoesNotEndIsStillRunning) {
  World world;
  world.make("web1");
  world.driver->fail_next_stop = Error(ErrorKind::unavailable, "HypervisorUnavailable", "It does not end.");

  const auto stop = [&] { return world.region->machines().stop({"g", "web1"}, true); };
  EXPECT_EQ(thrown_by([&] { world.finish(stop()); }).code, "HypervisorUnavailable");

  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::running);
  world.finish(stop());
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::stopped);
}

TEST(Region, JoinsASecondRequestForAVmThatIsBeingMade) {
  World world;
  const VmOrder wanted = world.order("web1");
  const Accepted first = world.region->machines().put(wanted), second = world.region->machines().put(wanted);
  EXPECT_EQ(first.operation, second.operation);
  EXPECT_FALSE(second.created);
  world.finish(first);
}

TEST(Region, DeletesAVmWhileItIsBeingMade) {
  World world;
  world.guests->talkative = false;
  const Accepted creation = world.region->machines().put(world.order("web1"));
  for (int i = 0; i < 200 && world.region->machines().get({"g", "web1"}).power != PowerState::running; ++i)
    world.turn();
  const std::string id = world.region->machines().get({"g", "web1"}).id;
  world.finish(world.region->machines().remove({"g", "web1"}, {.disks = true}));
  EXPECT_EQ(thrown_by([&] { world.finish(creation); }).code, "OperationPreempted");
  EXPECT_EQ(world.region->machines().find({"g", "web1"}), nullptr);
  EXPECT_EQ(world.driver->observe(id), std::nullopt);
  EXPECT_THAT(world.region->disks().list(), IsEmpty());
}

TEST(Region, DeletesAGroupWithAllThatIsInIt) {
  World world;
  const Vm vm = world.make("web1");
  world.make("web2");
  world.region->documents().keep("deployment", "g/one", "{}");
  world.finish(world.region->groups().remove("G"));
  EXPECT_EQ(world.region->groups().find("g"), nullptr);
  EXPECT_THAT(world.region->machines().list(), IsEmpty());
  EXPECT_THAT(world.region->disks().list(), IsEmpty());
  EXPECT_THAT(world.region->networks().list<PublicAddress>(), IsEmpty());
  EXPECT_THAT(world.networks.networks, IsEmpty());
  EXPECT_EQ(world.region->documents().find("deployment", "g/one"), std::nullopt);
  EXPECT_TRUE(std::filesystem::is_empty(world.home / "disks"));
  for (const char* table :
       {"vm", "vm-key", "disk", "interface", "address", "network", "group", "group-going"})
    EXPECT_THAT(world.database->all(table), IsEmpty()) << table;
}

TEST(Region, AFileThatCannotBeRemovedIsRemovedLater) {
  World world;
  world.close();
  world.region_settings.heal_pause = std::chrono::milliseconds(20);
  world.open();
  world.make("web1");
  const auto file =
      world.home / world.region->disks().find(world.region->machines().get({"g", "web1"}).os_disk)->file;
  std::filesystem::remove(file);
  std::filesystem::create_directories(file / "in the way");
  world.finish(world.region->groups().remove("g"));
  EXPECT_THAT(world.database->all("file-going"), SizeIs(1));

  std::filesystem::remove(file / "in the way");
  for (int i = 0; i < 200 && !world.database->all("file-going").empty(); ++i) world.turn();
  EXPECT_FALSE(std::filesystem::exists(file));
  EXPECT_THAT(world.database->all("file-going"), IsEmpty());
}

TEST(Region, RefusesToDeleteWhatIsInUse) {
  World world;
  world.make("web1");
  EXPECT_EQ(thrown_by([&] {
              world.region->networks().remove_interface({"g", "web1-nic"});
            }).code,
            "NicInUse");
  EXPECT_EQ(thrown_by([&] {
              world.region->networks().remove_public_address({"g", "web1-ip"});
            }).code,
            "InUsePublicIPAddressCannotBeDeleted");
  EXPECT_EQ(thrown_by([&] {
              world.region->networks().remove_virtual_network({"g", "net"});
            }).code,
            "InUseVirtualNetworkCannotBeDeleted");
  EXPECT_EQ(thrown_by([&] {
              world.region->networks().remove_security_group({"g", "web1-nsg"});
            }).kind,
            ErrorKind::conflict);
}

TEST(Region, AnImageThatWasDeletedKeepsItsFilesForTheDisksThatStandOnIt) {
  World world;
  world.make("web1");
  world.region->images().remove("TINY");
  EXPECT_FALSE(world.gallery->find("tiny"));
  EXPECT_EQ(thrown_by([&] { world.region->images().remove("tiny"); }).kind, ErrorKind::not_found);
  world.turn();
  EXPECT_TRUE(std::filesystem::exists(world.home / "images/tiny"));
  world.finish(world.region->machines().stop({"g", "web1"}, true));
  world.finish(world.region->machines().start({"g", "web1"}));

  // The name is free, and what it stands for now is another image.
  world.gallery->import(world.home / "tiny.qcow2", "tiny", "Another", [](const std::string&, double) {});
  world.finish(world.region->groups().remove("g"));
  for (int i = 0; i < 200 && std::filesystem::exists(world.home / "images/tiny"); ++i) world.turn();
  EXPECT_FALSE(std::filesystem::exists(world.home / "images/tiny"));
  EXPECT_EQ(world.gallery->find("tiny")->label, "Another");
}

TEST(Region, KeepsAGroupWhoseNetworkAnotherGroupUses) {
  World world;
  world.network();
  world.region->groups().put("h", "westus", {});
  NetworkInterface nic;
  static_cast<Resource&>(nic) = {.group = "h", .name = "nic", .location = "westus"};
  nic.configurations.push_back({.name = "ipconfig", .network = {"g", "net"}, .subnet = "default"});
  world.region->networks().put(nic);
  EXPECT_EQ(thrown_by([&] { world.region->groups().remove("g"); }).code,
            "InUseVirtualNetworkCannotBeDeleted");
  world.finish(world.region->groups().remove("h"));
  world.finish(world.region->groups().remove("g"));
}

TEST(Extensions, SucceedWhenTheHandlerSaysSo) {
  World world;
  world.make("web1");
  ExtensionOrder wanted = world.shell(R"({"a":1})");
  world.finish(world.region->extensions().put({"g", "web1"}, wanted));
  const Extension& extension = world.region->machines().get({"g", "web1"}).extensions.at(0);
  EXPECT_EQ(extension.provisioning, Provisioning::succeeded);
  EXPECT_EQ(extension.version, "1.0.0");
  EXPECT_EQ(extension.sequence, 0);
  wanted.settings = R"({"a":2})";
  world.finish(world.region->extensions().put({"g", "web1"}, wanted));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).sequence, 1);
}

TEST(Extensions, FailWithTheHandlersOwnWords) {
  World world;
  world.make("web1");
  world.guests->answer = [](const Vm&, const Extension& extension) {
    return HandlerStatus{
        .handler = extension.handler(),
        .version = extension.version,
        .status = "Ready",
        .sequence = extension.sequence,
        .settings =
            StatusItem{.name = "shell", .status = "error", .code = 7, .message = "The certificate is bad."}};
  };
  const Error error = thrown_by([&] {
    world.finish(world.region->extensions().put({"g", "web1"}, world.shell()));
  });
  EXPECT_EQ(error.code, "VMExtensionProvisioningError");
  EXPECT_THAT(error.what(), HasSubstr("The certificate is bad."));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).provisioning, Provisioning::failed);
}

TEST(Extensions, AWarningIsASuccess) {
  World world;
  world.make("web1");
  world.guests->answer = [](const Vm&, const Extension& extension) {
    return HandlerStatus{.handler = extension.handler(),
                         .version = extension.version,
                         .status = "Ready",
                         .sequence = extension.sequence,
                         .settings = StatusItem{.name = "shell", .status = "warning", .message = "Old."}};
  };
  world.finish(world.region->extensions().put({"g", "web1"}, world.shell()));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).provisioning,
            Provisioning::succeeded);
}

TEST(Extensions, TheSameOrderAgainRunsNothing) {
  World world;
  world.make("web1");
  ExtensionOrder wanted = world.shell(R"({"a":1})");
  wanted.protected_settings = Secret(R"({"key":"one"})");
  wanted.has_protected_settings = true;
  world.finish(world.region->extensions().put({"g", "web1"}, wanted));
  const Vm before = world.region->machines().get({"g", "web1"});

  const Accepted again = world.region->extensions().put({"g", "web1"}, wanted);

  world.finish(again);
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).incarnation, before.incarnation);
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).sequence, 0);
  for (const auto& change : std::vector<std::function<void(ExtensionOrder&)>>{
           [](ExtensionOrder& order) { order.settings = R"({"a":2})"; },
           [](ExtensionOrder& order) { order.force_update_tag = "two"; },
           [](ExtensionOrder& order) { order.protected_settings = Secret(R"({"key":"two"})"); },
           [](ExtensionOrder& order) { order.protected_settings = {}; }}) {
    const int sequence = world.region->machines().get({"g", "web1"}).extensions.at(0).sequence;
    change(wanted);
    world.finish(world.region->extensions().put({"g", "web1"}, wanted));
    EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).sequence, sequence + 1);
  }
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).protected_settings, "");
}

TEST(Extensions, OneThatComesAfterAnotherIsNotGivenToTheGuestBeforeThatIsThere) {
  World world;
  const Vm& vm = world.make("web1");
  ExtensionOrder second = world.shell();
  second.name = "second";
  second.after = {"first"};
  const Accepted waiting = world.region->extensions().put({"g", "web1"}, second);
  world.turn();
  EXPECT_TRUE(world.region->guests().guest_view(vm.id)->plugins.empty());

  ExtensionOrder first = world.shell();
  first.name = "first";
  first.type = "";
  first.publisher = "Contoso";
  first.type = "Other";
  first.version = "2.0.0";
  world.finish(world.region->extensions().put({"g", "web1"}, first));
  world.finish(waiting);

  const auto plugins = world.region->guests().guest_view(vm.id)->plugins;
  ASSERT_EQ(plugins.size(), 2u);
  EXPECT_EQ(plugins[0].handler, "Contoso.Test.Shell");
  EXPECT_EQ(plugins[0].level, 1);
  EXPECT_EQ(plugins[0].after, std::vector<std::string>{"Contoso.Other"});
  EXPECT_EQ(plugins[1].level, 0);
  first.after = {"second"};
  EXPECT_EQ(thrown_by([&] {
              world.region->extensions().put({"g", "web1"}, first);
            }).code,
            "InvalidParameter");
}

TEST(Extensions, ASuppressedFailureIsShownByTheExtensionAlone) {
  World world;
  world.make("web1");
  world.guests->answer = [](const Vm&, const Extension& extension) {
    return HandlerStatus{.handler = extension.handler(),
                         .version = extension.version,
                         .status = "NotReady",
                         .code = 52,
                         .message = "install exited with 52"};
  };
  ExtensionOrder wanted = world.shell();
  wanted.suppress_failures = true;

  world.finish(world.region->extensions().put({"g", "web1"}, wanted));

  const Extension& extension = world.region->machines().get({"g", "web1"}).extensions.at(0);
  EXPECT_EQ(extension.provisioning, Provisioning::succeeded);
  ASSERT_TRUE(extension.problem);
  EXPECT_NE(extension.problem->message.find("install exited with 52"), std::string::npos);
}

TEST(Extensions, LeaveBeforeTheyAreForgotten) {
  World world;
  world.make("web1");
  world.finish(world.region->extensions().put({"g", "web1"}, world.shell()));
  world.finish(world.region->extensions().remove({"g", "web1"}, "SHELL"));
  EXPECT_THAT(world.region->machines().get({"g", "web1"}).extensions, IsEmpty());
}

TEST(Extensions, AReplacedPackageReachesTheVmsThatHaveIt) {
  World world;
  world.make("web1");
  const auto publish = [&](const std::string& remark) {
    return world.region->extensions().publish(world.package(remark), "Contoso.Test", "Own", "1.0.0", true);
  };
  EXPECT_THAT(publish("a"), IsEmpty());
  ExtensionOrder wanted = world.shell(R"({"a":1})");
  wanted.name = wanted.type = "Own";
  world.finish(world.region->extensions().put({"g", "web1"}, wanted));
  EXPECT_THAT(publish("a"), IsEmpty());  // the same bytes

  const std::vector<ExtensionMove> moves = publish("b");

  ASSERT_EQ(moves.size(), 1u);
  EXPECT_EQ(moves[0].extension, "Own");
  world.finish({moves[0].operation, false});
  const Extension& extension = world.region->machines().get({"g", "web1"}).extensions.at(0);
  EXPECT_EQ(extension.version, "1.0.0.1");
  EXPECT_EQ(extension.settings, R"({"a":1})");
  EXPECT_EQ(extension.sequence, 1);
  EXPECT_EQ(extension.provisioning, Provisioning::succeeded);
  world.finish(world.region->machines().stop({"g", "web1"}, true));
  EXPECT_EQ(publish("c").at(0).operation, "");
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).version, "1.0.0.2");
}

TEST(Extensions, APackageThatAVmHasStaysInTheGallery) {
  World world;
  world.make("web1");
  world.region->extensions().publish(world.package("a"), "Contoso.Test", "Own", "1.0.0", false);
  ExtensionOrder wanted = world.shell();
  wanted.name = wanted.type = "Own";
  world.finish(world.region->extensions().put({"g", "web1"}, wanted));
  const auto unpublish = [&] { world.region->extensions().unpublish("Contoso.Test", "Own", "1.0.0"); };
  EXPECT_EQ(thrown_by(unpublish).code, "ExtensionInUse");
  world.region->extensions().remove({"g", "web1"}, "Own", true);
  EXPECT_THAT(world.region->machines().get({"g", "web1"}).extensions, IsEmpty());
  unpublish();
  EXPECT_EQ(thrown_by(unpublish).code, "ExtensionNotFound");
}

TEST(Extensions, OneThatWillNotLeaveSaysWhyAndStays) {
  World world;
  world.make("web1");
  world.finish(world.region->extensions().put({"g", "web1"}, world.shell()));
  world.guests->leaves = false;
  const Error error = thrown_by([&] {
    world.finish(world.region->extensions().remove({"g", "web1"}, "shell"));
  });
  EXPECT_THAT(error.what(), HasSubstr("disable will not (code 1009)"));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).provisioning, Provisioning::failed);
  world.guests->leaves = true;
  world.finish(world.region->extensions().remove({"g", "web1"}, "shell"));
  EXPECT_THAT(world.region->machines().get({"g", "web1"}).extensions, IsEmpty());
}

TEST(Extensions, ProtectedSettingsAreNowhereInClear) {
  World world;
  world.make("web1");
  ExtensionOrder wanted = world.shell();
  wanted.protected_settings = Secret(R"({"word":"swordfish-4711"})");
  wanted.has_protected_settings = true;
  world.finish(world.region->extensions().put({"g", "web1"}, wanted));
  EXPECT_FALSE(world.region->machines().get({"g", "web1"}).extensions.at(0).protected_settings.empty());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(world.home)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(text.find("swordfish-4711"), std::string::npos) << entry.path();
    EXPECT_EQ(text.find("Str0ng!pass"), std::string::npos) << entry.path();
  }
}

/// A VM whose guest is played here, as far as its certificate goes.
class Certificates : public testing::Test {
 protected:
  Certificates() { world.make("web1"); }
  const Vm& vm() { return world.region->machines().get({"g", "web1"}); }
  bool gets(const std::string& transport) {
    try {
      world.region->guests().guest_pfx(vm().id, transport);
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::conflict);
      EXPECT_THAT(error.what(), testing::HasSubstr("web1"));
      return false;
    }
  }
  void report(unsigned incarnation) {
    world.region->guests().take_status(vm().id,
                                       {.status = "Ready", .incarnation = std::to_string(incarnation)});
  }
  bool announced() { return !world.region->guests().guest_view(vm().id)->has_certificate; }
  World world;
};

TEST_F(Certificates, AreGivenToTheFirstThatAsksAndToNobodyElseUntilTheNextBoot) {
  EXPECT_TRUE(gets("A1"));
  EXPECT_FALSE(gets("B2"));
  EXPECT_TRUE(gets("A1")) << "an answer may be lost on its way";
  report(vm().incarnation + 1);
  EXPECT_TRUE(announced()) << "of another goal state";
  report(vm().incarnation);
  EXPECT_FALSE(announced());
  EXPECT_FALSE(gets("B2"));

  world.finish(world.region->machines().stop({"g", "web1"}, false));
  world.finish(world.region->machines().start({"g", "web1"}));
  EXPECT_TRUE(announced());
  EXPECT_TRUE(gets("C3"));
  EXPECT_FALSE(gets("A1"));
}

TEST_F(Certificates, AreGivenAnewAfterTheGuestRestartedItself) {
  EXPECT_TRUE(gets("A1"));
  report(vm().incarnation);
  world.driver->guest_resets(vm().id);
  world.turn();
  EXPECT_TRUE(announced());
  EXPECT_TRUE(gets("B2"));
  EXPECT_FALSE(gets("A1"));
}

TEST_F(Certificates, AreNotGivenAgainByARegionThatWasKilledInBetween) {
  EXPECT_TRUE(gets("A1"));
  report(vm().incarnation);
  world.close();
  world.open();
  EXPECT_FALSE(announced());
  EXPECT_FALSE(gets("B2"));
}

TEST_F(Certificates, AReportBeforeAnybodyGotThemCountsForNothing) {
  report(vm().incarnation);
  EXPECT_TRUE(announced());
  EXPECT_TRUE(gets("A1"));
}

TEST_F(Certificates, AnAgentThatEndedBeforeItReportedGetsThemAfterAWhile) {
  EXPECT_TRUE(gets("A1"));
  EXPECT_FALSE(gets("B2"));
  world.close();
  world.region_settings.certificate_patience = std::chrono::seconds(0);
  world.open();
  EXPECT_TRUE(gets("B2"));
  report(vm().incarnation);
  EXPECT_FALSE(gets("C3")) << "once reported, for good";
}

TEST(Extensions, AreRefusedWhenTheyCannotBe) {
  World world;
  world.make("web1");
  ExtensionOrder wanted = world.shell();
  wanted.type = "Nothing";
  EXPECT_EQ(thrown_by([&] {
              world.region->extensions().put({"g", "web1"}, wanted);
            }).code,
            "VMExtensionNotFound");
  wanted = world.shell();
  wanted.version = "9.9";
  EXPECT_EQ(thrown_by([&] {
              world.region->extensions().put({"g", "web1"}, wanted);
            }).code,
            "VMExtensionVersionNotFound");
  world.finish(world.region->extensions().put({"g", "web1"}, world.shell()));
  wanted = world.shell();
  wanted.name = "again";
  EXPECT_EQ(thrown_by([&] {
              world.region->extensions().put({"g", "web1"}, wanted);
            }).code,
            "OnlyOneExtensionPerHandler");
  world.finish(world.region->machines().stop({"g", "web1"}, true));
  EXPECT_EQ(thrown_by([&] {
              world.region->extensions().put({"g", "web1"}, world.shell());
            }).code,
            "OperationNotAllowed");
}

TEST(Recovery, TakesUpAVmThatRanOn) {
  World world;
  world.make("web1");
  world.close();
  world.open();
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::running);
  world.turn();
  EXPECT_THAT(world.networks.networks, SizeIs(1));
}

TEST(Recovery, KnowsAVmThatDiedMeanwhileAsStopped) {
  World world;
  const std::string id = world.make("web1").id;
  world.close();
  {
    asio::io_context other;
    FakeDriver(other.get_executor(), world.home).crash(id);
  }
  world.open();
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::stopped);
  EXPECT_THAT(world.networks.networks, IsEmpty()) << "nobody needs its switch";
}

TEST(Recovery, StartsAVmThatWasBeingRestarted) {
  World world;
  const std::string id = world.make("web1").id;
  const Accepted accepted = world.region->machines().restart({"g", "web1"});
  world.kill();
  {
    asio::io_context other;
    FakeDriver(other.get_executor(), world.home).crash(id);
  }
  world.open();
  world.finish(accepted);
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).power, PowerState::running);
  EXPECT_EQ(world.driver->observe(id), MachineState::running);
}

TEST(Recovery, PlugsTheDisksThatAVmHasAfterAChangeOfThemWasCutShort) {
  World world;
  const std::string id = world.make("web1").id;
  VmOrder order{.vm = world.region->machines().get({"g", "web1"})};
  order.vm.data_disks = {{.lun = 0, .name = "data", .size_gib = 1}};
  world.finish(world.region->machines().put(order));
  order.vm = world.region->machines().get({"g", "web1"});
  order.vm.data_disks.clear();
  world.region->machines().put(order);
  world.kill();  // the machine has let go of that disk, and has one that nobody has written down
  {
    asio::io_context other;
    FakeDriver driver(other.get_executor(), world.home);
    auto changed = asio::co_spawn(
        other,
        [&]() -> asio::awaitable<void> {
          co_await driver.detach_disk(id, 0);
          co_await driver.attach_disk(id, {5, world.home / "tiny.qcow2"});
        },
        asio::use_future);
    other.run();
    changed.get();
  }
  world.open();
  for (int i = 0; i < 200 && world.run(world.driver->luns(id)) != std::set<int>{0}; ++i) world.turn();
  EXPECT_THAT(world.run(world.driver->luns(id)), testing::ElementsAre(0));
}

TEST(Recovery, FinishesACreationWhoseMachineRuns) {
  World world;
  world.guests->talkative = false;
  const Accepted accepted = world.region->machines().put(world.order("web1"));
  for (int i = 0; i < 200 && world.region->machines().get({"g", "web1"}).power != PowerState::running; ++i)
    world.turn();
  world.close();
  world.open();
  world.guests->seen(world.region->machines().get({"g", "web1"}));
  world.finish(accepted);
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).provisioning, Provisioning::succeeded);
}

TEST(Recovery, RollsBackACreationThatHadNotReachedItsMachine) {
  World world;
  const VmOrder wanted = world.order("web1");
  const Accepted accepted = world.region->machines().put(wanted);
  world.close();  // before anything of it could run
  world.open();
  EXPECT_EQ(world.region->operations().find(accepted.operation)->status, OperationStatus::failed);
  const Vm& vm = world.region->machines().get({"g", "web1"});
  EXPECT_EQ(vm.provisioning, Provisioning::failed);
  EXPECT_THAT(vm.problem->message, HasSubstr("stopped while"));
  world.finish(world.region->machines().put(wanted));
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).provisioning, Provisioning::succeeded);
}

TEST(Recovery, KnowsADeletionThatEndedBeforeItWasWrittenDown) {
  World world;
  world.make("web1");
  const auto delete_both = {world.region->machines().remove({"g", "web1"}, {}),
                            world.region->groups().remove("g")};
  std::vector<Operation> begun;
  for (const Accepted& accepted : delete_both)
    begun.push_back(*world.region->operations().find(accepted.operation));
  for (const Accepted& accepted : delete_both) world.finish(accepted);
  world.close();
  {
    Database database(world.home / "region.db");
    for (const Operation& operation : begun) database.put("operation", operation.id, to_document(operation));
  }
  world.open();
  for (const Operation& operation : begun) {
    EXPECT_EQ(world.region->operations().find(operation.id)->status, OperationStatus::succeeded);
    EXPECT_FALSE(world.region->operations().find(operation.id)->problem);
  }
}

TEST(Vms, ThatTheHostHasNoSpaceForSaySoUntilTheyGoOn) {
  World world;
  world.guests->talkative = false;
  const Accepted accepted = world.region->machines().put(world.order("web1"));
  const Vm& vm = world.region->machines().get({"g", "web1"});
  for (int i = 0; i < 200 && vm.power != PowerState::running; ++i) world.turn();
  EXPECT_FALSE(vm.waits_for_space());
  world.driver->host_has_no_space(vm.id);
  for (int i = 0; i < 200 && !vm.waits_for_space(); ++i) world.turn();
  EXPECT_TRUE(vm.waits_for_space());
  EXPECT_EQ(world.region->operations().find(accepted.operation)->phases.back().detail, held_for_space);
}

TEST(Recovery, ARunCommandEndsWithWhatItSaidAndKeepsIt) {
  World world;
  std::ofstream(world.home / "packages/Microsoft.CPlat.Core.RunCommandLinux_1.0.5.zip") << "x";
  world.make("web1");
  world.guests->talkative = false;
  const Accepted accepted =
      world.region->extensions().run_command({"g", "web1"}, Secret(R"({"script":"aWQ="})"));
  world.close();
  world.open();
  world.guests->seen(world.region->machines().get({"g", "web1"}));
  world.finish(accepted);
  EXPECT_THAT(world.region->operations().find(accepted.operation)->output, HasSubstr("[stdout]\nsimulated"));
  world.close();
  world.open();
  EXPECT_THAT(world.region->operations().find(accepted.operation)->output, HasSubstr("[stdout]"));
}

TEST(Recovery, GoesOnDeletingAGroup) {
  World world;
  world.make("web1");
  const Accepted accepted = world.region->groups().remove("g");
  world.close();
  world.open();
  world.finish(accepted);
  EXPECT_EQ(world.region->groups().find("g"), nullptr);
  EXPECT_THAT(world.region->machines().list(), IsEmpty());
}

TEST(Region, ALoadBalancerHoldsItsAddressAndItsRulesOpenPorts) {
  World world;
  const Vm& vm = world.make("web1");
  Networks& networks = world.region->networks();
  PublicAddress address;
  static_cast<Resource&>(address) = {.group = "g", .name = "lb-ip", .location = "westus"};
  networks.put(address);
  LoadBalancer balancer;
  static_cast<Resource&>(balancer) = {.group = "g", .name = "lb", .location = "westus"};
  balancer.frontends = {{.id = "lb/front", .address = address.ref()}};
  balancer.nat_rules = {{.id = "lb/ssh",
                         .name = "ssh",
                         .protocol = "tcp",
                         .frontend_port = 50022,
                         .backend_port = 22,
                         .address = address.ref()}};
  networks.put(balancer);
  const auto refused = [](auto act) { return thrown_by(act).code; };

  EXPECT_EQ(refused([&] { networks.remove_public_address(address.ref()); }),
            "InUsePublicIPAddressCannotBeDeleted");
  LoadBalancer second = balancer;
  second.name = "lb2";
  EXPECT_EQ(refused([&] { networks.put(second); }), "PublicIPAddressInUse");
  NetworkInterface nic = *networks.find<NetworkInterface>(vm.interfaces.front());
  NetworkInterface direct = nic;
  direct.configurations.front().public_address = address.ref();
  EXPECT_EQ(refused([&] { networks.put(direct); }), "PublicIPAddressInUse");
  nic.configurations.front().nat_rules = {"lb/SSH"};
  EXPECT_EQ(refused([&] { networks.put(nic); }), "OperationNotAllowed");  // it has an address of its own
  nic.configurations.front().public_address = {};
  networks.put(nic);
  world.run(networks.settle_ports(vm.ref()));
  ASSERT_EQ(networks.find<PublicAddress>(address.ref())->ports.size(), 1u);
  EXPECT_EQ(networks.find<PublicAddress>(address.ref())->ports.front().guest_port, 22);

  LoadBalancer without = balancer;
  without.nat_rules.clear();
  EXPECT_EQ(refused([&] { networks.put(without); }), "InboundNatRuleInUse");
  EXPECT_EQ(refused([&] { networks.remove_load_balancer(balancer.ref()); }), "InboundNatRuleInUse");
  balancer.nat_rules.front().backend_port = 2222;
  networks.put(balancer);
  EXPECT_EQ(networks.find<NetworkInterface>(nic.ref())->endpoints.front().private_port, 2222);

  world.close();
  world.open();
  Networks& later = world.region->networks();
  EXPECT_EQ(refused([&] { later.remove_public_address(address.ref()); }),
            "InUsePublicIPAddressCannotBeDeleted");
  nic.configurations.front().nat_rules.clear();
  later.put(nic);
  EXPECT_THAT(later.find<NetworkInterface>(nic.ref())->endpoints, testing::IsEmpty());
  later.remove_load_balancer(balancer.ref());
  later.remove_public_address(address.ref());
  EXPECT_EQ(later.find<PublicAddress>(address.ref()), nullptr);
}

}  // namespace
}  // namespace berth
