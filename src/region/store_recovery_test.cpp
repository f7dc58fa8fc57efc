#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "crypto/random.h"
#include "host/full_disk.h"
#include "network/switch_config.h"
#include "region/test_world.h"
#include "store/documents.h"

// What a start makes of a store: one that is whole, one with rows that cannot be used, one that is gone.
namespace berth {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// Everything that a region holds and that its switches do, as text.
std::vector<std::string> all_of(const World& world) {
  std::vector<std::string> all;
  const auto add = [&](const auto& rows) {
    for (const auto* row : rows) all.push_back(to_document(*row));
  };
  add(world.region->groups().list());
  add(world.region->networks().list<VirtualNetwork>());
  add(world.region->networks().list<SecurityGroup>());
  add(world.region->networks().list<PublicAddress>());
  add(world.region->networks().list<NetworkInterface>());
  add(world.region->disks().list());
  add(world.region->inert().list({}));
  add(world.region->machines().list());
  for (const auto& [id, config] : world.networks.networks)
    all.push_back(id + " " + network::to_json(config).dump());
  return all;
}

void fill(World& world) {
  VmOrder order =
      world.order("web1", {World::allow("22", 1000, "10.1.2.0/24"), World::allow("8000-8002", 1001)});
  order.vm.tags = {{"a", "b"}};
  order.vm.data_disks.push_back({.lun = 1, .size_gib = 1});
  world.finish(world.region->machines().put(order));
  world.finish(world.region->extensions().put({"g", "web1"}, world.shell(R"({"docker":{"port":4243}})")));
  Disk disk;
  static_cast<Resource&>(disk) = {.group = "g", .name = "data", .location = "westus"};
  disk.size_gib = 1;
  world.finish(world.region->disks().put(disk));
  InertResource account;
  static_cast<Resource&>(account) = {.group = "g", .name = "account", .location = "westus"};
  account.type = "Microsoft.Storage/storageAccounts";
  account.properties = "{}";
  world.region->inert().put(account);
  world.run(world.region->networks().settle_ports({"g", "web1"}));
}

TEST(Store, GivesBackAllAtEachStart) {
  World world;
  fill(world);
  world.turn();
  const auto before = all_of(world);
  ASSERT_THAT(before, testing::Contains(HasSubstr("10.1.2.0/24")));
  for (int starts = 0; starts < 3; ++starts) {
    world.close();
    world.networks.networks.clear();
    world.open();
    world.run(world.region->networks().settle_ports({"g", "web1"}));
    EXPECT_EQ(all_of(world), before);
  }
}

/// Changes one row of the store of a region that does not run.
void change_row(const World& world, const std::string& kind, const std::string& key,
                const std::function<std::string(const std::string&)>& change) {
  Database database(world.home / "region.db");
  for (const auto& [known, document] : database.all(kind))
    if (known == key) return database.put(kind, key, change(document));
  FAIL() << kind << " " << key;
}

struct Row {
  const char *kind, *key;
};

class DamagedRow : public testing::TestWithParam<Row> {};

TEST_P(DamagedRow, IsSetAsideAndComesBackWhenItCanBeRead) {
  const Row row = GetParam();
  World world;
  fill(world);
  const auto before = all_of(world);
  world.close();
  std::string good;
  change_row(world, row.kind, row.key, [&](const std::string& document) {
    good = document;
    return document.substr(0, document.size() / 2);
  });
  for (int starts = 0; starts < 2; ++starts) {
    world.open();
    EXPECT_THAT(world.region->set_aside(),
                ElementsAre(HasSubstr(std::string(row.kind) + " " + row.key + ": ")));
    world.turn();
    world.close();
  }
  change_row(world, std::string("set-aside ") + row.kind, row.key, [&](const std::string&) { return good; });
  world.open();
  EXPECT_THAT(world.region->set_aside(), IsEmpty());
  world.run(world.region->networks().settle_ports({"g", "web1"}));
  if (std::string_view(row.kind) != "group") EXPECT_EQ(all_of(world).size(), before.size());
}

INSTANTIATE_TEST_SUITE_P(OfEachKind, DamagedRow,
                         testing::Values(Row{"network", "g/net"}, Row{"address", "g/web1-ip"},
                                         Row{"security-group", "g/web1-nsg"}, Row{"interface", "g/web1-nic"},
                                         Row{"disk", "g/data"}, Row{"vm", "g/web1"},
                                         Row{"inert", "microsoft.storage/storageaccounts g/account"}),
                         [](const auto& info) {
                           std::string name = info.param.kind;
                           std::erase(name, '-');
                           return name;
                         });

TEST(DamagedStore, SetsAsideWhatCannotBe) {
  World world;
  fill(world);
  world.close();
  const auto set = [&](const char* kind, const char* key, const char* member, const json& value) {
    change_row(world, kind, key, [&](const std::string& document) {
      json changed = json::parse(document);
      changed[member] = value;
      return changed.dump();
    });
  };
  set("interface", "g/web1-nic", "configurations", json::array());
  set("network", "g/net", "prefixes", json::array());
  set("address", "g/web1-ip", "address", "here");
  set("disk", "g/data", "file", "../../etc/passwd");
  set("vm", "g/web1", "id", "../..");
  set("inert", "microsoft.storage/storageaccounts g/account", "properties", "{");
  set("security-group", "g/web1-nsg", "name", "another");
  world.open();
  EXPECT_THAT(world.region->set_aside(),
              testing::UnorderedElementsAre(
                  HasSubstr("it has no IP configuration"), HasSubstr("it has no address prefix"),
                  HasSubstr("'here' is no IPv4 address"),
                  HasSubstr("'../../etc/passwd' is no file of a disk"), HasSubstr("'../..' is no id"),
                  HasSubstr("'{' is no JSON"), HasSubstr("it is that of 'g/another'")));
  EXPECT_THAT(world.region->machines().list(), IsEmpty());
}

TEST(DamagedStore, LeavesEachMemberOfARowToBeWrong) {  // whatever member it is, the region starts
  World world;
  fill(world);
  world.close();
  for (const std::string kind : {"vm", "interface"}) {
    Database database(world.home / "region.db");
    const auto [key, document] = database.all(kind).at(0);
    const json good = json::parse(document);
    // For each way to be wrong a copy of its own, beside the one that is whole.
    for (const auto& [member, ignored] : good.items())
      for (const json& bad : {json(nullptr), json(-7), json::array({1}), json::object()}) {
        json copy = good;
        copy["name"] = member + std::string(bad.type_name());
        if (good.contains("id")) copy["id"] = new_uuid();
        const std::string place =
            lower(copy["group"].get<std::string>() + "/" + copy["name"].get<std::string>());
        copy[member] = bad;
        database.put(kind, place, copy.dump());
      }
  }
  for (int starts = 0; starts < 2; ++starts) {
    world.open();
    EXPECT_NE(world.region->machines().find({"g", "web1"}), nullptr);
    EXPECT_NE(world.region->networks().find<NetworkInterface>({"g", "web1-nic"}), nullptr);
    EXPECT_THAT(world.region->set_aside(), testing::Not(IsEmpty()));
    world.turn();
    world.close();
  }
}

TEST(DamagedStore, OpensNoPortOfASecurityGroupThatIsMissing) {
  World world;
  fill(world);
  world.close();
  change_row(world, "security-group", "g/web1-nsg", [](const std::string&) { return "{"; });
  world.networks.networks.clear();
  world.open();
  world.run(world.region->networks().settle_ports({"g", "web1"}));
  ASSERT_THAT(world.networks.networks, SizeIs(1));
  for (const SwitchPort& port : world.networks.networks.begin()->second.ports)
    EXPECT_THAT(port.forwards, IsEmpty());
  EXPECT_THAT(world.ports("web1"), IsEmpty());
}

TEST(DamagedStore, MakesAGroupAnewForWhatIsInIt) {
  World world;
  fill(world);
  world.close();
  change_row(world, "group", "g/g", [](const std::string&) { return "{"; });
  world.open();
  ASSERT_NE(world.region->groups().find("g"), nullptr);
  world.finish(world.region->groups().remove("g"));
  EXPECT_THAT(world.region->machines().list(), IsEmpty());
}

TEST(DamagedStore, MakesAKeyAnewThatIsMissing) {
  World world;
  fill(world);
  const std::string id = world.region->machines().get({"g", "web1"}).id;
  world.close();
  {
    Database database(world.home / "region.db");
    database.erase("vm-key", id);
  }
  world.open();
  EXPECT_FALSE(world.region->guests().guest_pfx(id, "transport").empty());
}

TEST(StoreBackup, IsWhatWasGoodLast) {
  World world;
  fill(world);
  world.close();
  world.open();
  const auto backup = world.home / "region.db.backup";
  struct stat status {};
  ASSERT_EQ(::stat(backup.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_THAT(Database(backup).all("vm"), SizeIs(1));
  world.close();
  change_row(world, "vm", "g/web1", [](const std::string&) { return "{"; });
  world.open();
  EXPECT_THAT(Database(backup).all("vm"), ElementsAre(testing::Pair("g/web1", testing::Ne("{"))));
}

TEST(MissingStore, IsNoNewRegionBesideMachines) {
  World world;
  fill(world);
  world.close();
  world.open();
  const auto before = all_of(world);
  world.close();
  const auto file = world.home / "region.db";
  const auto empty_it = [&](const std::string& bytes) { std::ofstream(file, std::ios::trunc) << bytes; };
  for (const auto& damage : {std::function<void()>([&] { std::filesystem::remove(file); }),
                             std::function<void()>([&] { empty_it(""); })}) {
    damage();
    const Error error = thrown_by([&] { open_region_store(world.home); });
    EXPECT_EQ(error.code, "StoreMissing");
    EXPECT_THAT(error.what(), HasSubstr("1 in vm/, 3 in disks/)"));
    EXPECT_THAT(error.advice, HasSubstr(file.string() + ".backup"));
  }
  empty_it(std::string(8192, 'x'));
  EXPECT_THAT(thrown_by([&] { open_region_store(world.home); }).advice, HasSubstr(file.string() + ".backup"));

  // As the advice says.
  const std::string advice = thrown_by([&] { open_region_store(world.home); }).advice;
  const auto first = advice.find('\'') + 1;
  World::run_program({"sh", "-c", advice.substr(first, advice.find('\'', first) - first)});
  world.open();
  EXPECT_EQ(all_of(world).size(), before.size());
}

TEST(MissingStore, SaysSoWithoutABackup) {
  World world;
  world.make("web1");
  world.close();
  std::filesystem::remove(world.home / "region.db");
  std::filesystem::remove(world.home / "region.db.backup");
  EXPECT_THAT(thrown_by([&] { open_region_store(world.home); }).advice, HasSubstr("move those folders away"));
}

/// The store's log can grow no further.
class FullStore {
 public:
  explicit FullStore(const World& world) : full_(std::filesystem::file_size(world.home / "region.db-wal")) {}

 private:
  FullDisk full_;
};

TEST(StoreOnAFullDisk, RefusesAndNothingHasHappened) {
  World world;
  fill(world);
  world.turn();
  const auto before = all_of(world);
  const Ref vm{"g", "web1"};
  {
    const FullStore full(world);
    VirtualNetwork network = *world.region->networks().find<VirtualNetwork>({"g", "net"});
    network.tags = {{"new", "1"}};
    const std::vector<std::function<void()>> acts{
        [&] { world.region->machines().remove(vm, {.disks = true, .interfaces = true}); },
        [&] { world.region->groups().remove("g"); },
        [&] { world.region->machines().deallocate(vm); },
        [&] { world.region->machines().restart(vm); },
        [&] { world.region->extensions().put(vm, world.shell(R"({"new": 1})")); },
        [&] { world.region->extensions().remove(vm, "shell"); },
        [&] {
          world.region->machines().retag(vm, {{"new", "1"}});
        },
        [&] {
          world.region->disks().remove({"g", "data"});
        },
        [&] {
          world.region->inert().remove("Microsoft.Storage/storageAccounts", {"g", "account"});
        },
        [&] { world.region->groups().put("another", "westus", {}); },
        [&] { world.region->networks().put(network); },
        [&] { world.region->documents().keep("table", "g/key", "text"); }};
    for (const auto& act : acts) EXPECT_EQ(thrown_by(act).code, "StoreUnavailable");
    world.turn();
  }
  EXPECT_EQ(all_of(world), before);
  EXPECT_EQ(world.region->documents().find("table", "g/key"), std::nullopt);
  EXPECT_EQ(world.driver->observe(world.region->machines().get(vm).id), MachineState::running);
  world.close();
  world.open();
  world.run(world.region->networks().settle_ports(vm));
  EXPECT_EQ(all_of(world), before);
  world.finish(world.region->machines().remove(vm, {.disks = true, .interfaces = true}));
  EXPECT_THAT(world.region->machines().list(), IsEmpty());
}

TEST(StoreOnAFullDisk, IsWaitedForByWhatHasHappened) {
  World world;
  fill(world);
  const Ref vm{"g", "web1"};
  const Accepted accepted = world.region->machines().remove(vm);
  {
    const FullStore full(world);
    world.turn();
    EXPECT_EQ(world.region->operations().find(accepted.operation)->status, OperationStatus::running);
    EXPECT_NE(world.region->machines().find(vm), nullptr);
  }
  world.finish(accepted);
  EXPECT_EQ(world.region->machines().find(vm), nullptr);
  EXPECT_EQ(world.region->operations().find(accepted.operation)->status, OperationStatus::succeeded);
}

TEST(Vms, AnUpdateDoesNotMakeAMachineOfOneThatWasNeverSetUp) {
  World world;
  world.guests->talkative = false;
  const VmOrder order = world.order("web1");
  const Accepted accepted = world.region->machines().put(order);
  const Vm& vm = world.region->machines().get({"g", "web1"});
  for (int i = 0; i < 200 && vm.power != PowerState::running; ++i) world.turn();
  world.region->guests().take_health(
      vm.id, {.state = "NotReady", .substatus = "ProvisioningFailed", .description = "no"});
  EXPECT_THROW(world.finish(accepted), Error);
  ASSERT_EQ(vm.provisioning, Provisioning::failed);

  VmOrder tagged = order;
  tagged.vm.tags = {{"a", "b"}};
  world.finish(world.region->machines().put(tagged));

  EXPECT_EQ(vm.provisioning, Provisioning::failed);
  EXPECT_TRUE(vm.problem);
  EXPECT_EQ(vm.tags.at("a"), "b");
}

TEST(Recovery, RemovesTheFilesThatAKilledProcessWasAboutToRemoveOrMake) {
  World world;
  fill(world);
  const std::string file = world.region->disks().find({"g", "data"})->file;
  world.region->disks().remove({"g", "data"});
  world.kill();  // before the file is gone
  std::ofstream(world.home / "disks" / "x.qcow2.17.new") << "x";
  std::ofstream(world.home / ".region.json.aB3dE6") << "x";
  std::ofstream(world.home / "disks" / "of-somebody.qcow2") << "x";
  world.open();
  EXPECT_FALSE(std::filesystem::exists(world.home / file));
  EXPECT_FALSE(std::filesystem::exists(world.home / "disks" / "x.qcow2.17.new"));
  EXPECT_FALSE(std::filesystem::exists(world.home / ".region.json.aB3dE6"));
  EXPECT_TRUE(std::filesystem::exists(world.home / "disks" / "of-somebody.qcow2"))
      << "never what it does not know";
  EXPECT_THAT(world.database->all("file-going"), IsEmpty());
}

TEST(Recovery, MovesExtensionsToAPackageThatWasReplacedJustBefore) {
  World world;
  world.make("web1");
  world.region->extensions().publish(world.package("first"), "Contoso.Test", "Shell", "3.0.0", false);
  ExtensionOrder order = world.shell();
  order.version = "3.0.0";
  world.finish(world.region->extensions().put({"g", "web1"}, order));
  world.close();
  world.packages->publish(world.package("second"), "Contoso.Test", "Shell", "3.0.0", true);
  world.open();
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).extensions.at(0).version, "3.0.0.1");
}

}  // namespace
}  // namespace berth
