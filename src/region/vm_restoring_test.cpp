#include "region/vm_restoring.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "crypto/encoding.h"
#include "crypto/password.h"
#include "host/files.h"
#include "images/disk.h"
#include "region/test_world.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

/// A region whose host can freeze machines, and an image that takes an identity.
class Restoring : public testing::Test {
 protected:
  Restoring() {
    const auto description = world.home / "images/tiny/image.json";
    json image = json::parse(read_file(description));
    image["takesIdentity"] = true;
    image["kernel"] = image["initrd"] = "boot";
    write_file(description, image.dump());
    write_file(world.home / "images/tiny/boot", "");
    plug_in();
  }
  void plug_in() {
    world.driver->freezes = true;
    world.driver->on_start = [this](const MachineSpec& spec, const std::string& medium) {
      (spec.memory_file.empty() ? booted : frozen).push_back(spec.name);
      if (!spec.memory_file.empty()) frozen_command_line = spec.direct_boot->command_line;
      EXPECT_EQ(medium.empty(), !spec.memory_file.empty()) << "only a template boots as nobody";
    };
    world.driver->on_word = [this](const std::string& id, const std::string& line) {
      if (line.empty()) return std::string(R"({"state":"waiting"})");
      words[id].push_back(json::parse(line));
      return answer;
    };
  }
  std::vector<std::string> phases(const std::string& vm) {
    std::vector<std::string> names;
    for (const Operation* operation : world.region->operations().of("virtualMachines/g/" + vm))
      for (const Phase& phase : operation->phases) names.push_back(phase.name);
    return names;
  }
  ExtensionOrder docker(const json& settings = {{"docker", {{"port", "4243"}}}}) {
    ExtensionOrder order;
    order.name = "docker";
    order.publisher = "Contoso";
    order.type = "DockerExtension";
    order.version = "1.0.0";
    order.settings = settings.dump();
    const std::string pem = base64_encode("-----BEGIN CERTIFICATE-----\n");
    order.protected_settings = Secret(json{{"certs", {{"ca", pem}, {"cert", pem}, {"key", pem}}}}.dump());
    order.has_protected_settings = true;
    return order;
  }
  void publish_docker() {
    world.region->extensions().publish(world.package("docker"), "Contoso", "DockerExtension", "1.0.0", false);
  }

  World world;
  std::vector<std::string> booted, frozen;
  std::string frozen_command_line;
  std::map<std::string, std::vector<json>> words;  ///< by machine
  std::string answer = R"({"state":"done"})";
};

}  // namespace

TEST_F(Restoring, TheFirstMachineOfAnImageMakesItsTemplateAndAllGoOnFromIt) {
  const Vm one = world.make("web1"), two = world.make("web2");

  EXPECT_THAT(booted, SizeIs(0));
  EXPECT_THAT(frozen, ElementsAre(HasSubstr("template-")));
  EXPECT_THAT(frozen_command_line, HasSubstr("identity=wait"));
  EXPECT_TRUE(one.provisioned && two.provisioned);
  EXPECT_EQ(one.provisioning, Provisioning::succeeded);
  EXPECT_THAT(phases("web1"),
              AllOf(Contains("Making the image's template"), Contains("Giving it an identity")));
  EXPECT_THAT(phases("web2"), Not(Contains("Making the image's template")));
}

TEST_F(Restoring, AMachinesDiskStandsOnItsTemplatesAndIsStillOfTheImage) {
  const Vm vm = world.make("web1");

  const auto file = world.home / world.region->disks().find({"g", "web1_OsDisk_1_" + vm.id})->file;
  EXPECT_THAT(read_disk(file).backing.string(), HasSubstr("images/tiny/templates/"));
  EXPECT_EQ(world.gallery->files_of(file).disk, world.home / "images/tiny/disk");
}

TEST_F(Restoring, TwoAtOnceMakeOneTemplate) {
  const Accepted one = world.region->machines().put(world.order("web1"));
  const Accepted two = world.region->machines().put(world.order("web2"));
  world.finish(one);
  world.finish(two);

  EXPECT_THAT(frozen, SizeIs(1));
  EXPECT_THAT(booted, SizeIs(0));
}

TEST_F(Restoring, ADeletedMachineDoesNotWaitForItsTemplateWhichIsMadeForTheNextOne) {
  bool deleted = false;
  world.driver->on_word = [&](const std::string&, const std::string& line) -> std::string {
    if (line.empty() && !deleted) {
      deleted = true;
      world.region->machines().remove({"g", "web1"});
    }
    return line.empty() ? R"({"state":"waiting"})" : answer;
  };
  world.region->machines().put(world.order("web1"));
  while (!deleted || world.region->machines().find({"g", "web1"})) world.io->run_one();

  EXPECT_THAT(booted, SizeIs(0));
  world.make("web2");
  EXPECT_THAT(frozen, SizeIs(1));
}

TEST_F(Restoring, EachMachineIsToldWhoItIsAndNothingOfIsSaidTwice) {
  const std::string one = world.make("web1").id, two = world.make("web2").id;

  const json &first = words.at(one).front(), &second = words.at(two).front();
  EXPECT_EQ(first["hostName"], "web1");
  EXPECT_EQ(first["gateway"], "10.1.0.1");
  EXPECT_EQ(first["netmask"], "255.255.0.0");
  EXPECT_EQ(first["user"]["name"], "ops");
  EXPECT_TRUE(password_matches(Secret("Str0ng!pass"), first["user"]["passwordHash"].get<std::string>()));
  for (const char* own :
       {"entropy", "machineId", "bootId", "engineId", "vmUuid", "mac", "address", "hostName"}) {
    EXPECT_NE(first[own], second[own]) << own;
    EXPECT_GE(first[own].get<std::string>().size(), 4U) << own;
  }
  EXPECT_EQ(first["machineId"].get<std::string>().size(), 32U);
  EXPECT_EQ(base64_decode(first["entropy"].get<std::string>())->size(), 64U);
}

TEST_F(Restoring, NoWordOfItIsInTheTemplate) {
  const std::string id = world.make("web1").id;
  const json& me = words.at(id).front();

  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(world.home / "images/tiny/templates"))
    if (entry.is_regular_file())
      for (const char* own : {"machineId", "engineId", "vmUuid", "entropy"})
        EXPECT_THAT(read_file(entry.path()), Not(HasSubstr(me[own].get<std::string>()))) << entry.path();
}

TEST_F(Restoring, ALargerDiskIsToGrow) {
  VmOrder order = world.order("web1");
  order.os_disk_gib = 40;
  world.finish(world.region->machines().put(order));

  EXPECT_TRUE(words.at(world.region->machines().get({"g", "web1"}).id).front()["grow"].get<bool>());
}

TEST_F(Restoring, WhoAsksForABootGetsOneAndIsToldSo) {
  VmOrder order = world.order("web1");
  order.vm.tags["berth:boot"] = "cold";
  world.finish(world.region->machines().put(order));

  EXPECT_THAT(booted, ElementsAre("web1"));
  EXPECT_THAT(phases("web1"), Contains("It boots, because it was asked to"));
}

TEST_F(Restoring, WhereNothingCanBeFrozenMachinesBoot) {
  world.driver->freezes = false;
  world.make("web1");

  EXPECT_THAT(booted, ElementsAre("web1"));
  EXPECT_THAT(phases("web1"), Contains("It boots, because this host freezes no machines"));
}

TEST_F(Restoring, AMachineThatDoesNotTakeItsIdentityBootsAfterAll) {
  answer = R"({"state":"failed","why":"no disk"})";
  const Vm vm = world.make("web1");

  EXPECT_THAT(booted, ElementsAre("web1"));
  EXPECT_EQ(vm.provisioning, Provisioning::succeeded);
  EXPECT_THAT(phases("web1"), Contains(HasSubstr("no disk")));
}

TEST_F(Restoring, AnAnswerThatIsNoneIsNotBelieved) {
  for (const char* text : {"", "{", "[]", "{\"state\":7}", "{\"state\":\"waiting \"}"}) {
    answer = text;
    world.make("web" + std::to_string(booted.size()));
  }

  EXPECT_THAT(booted, SizeIs(5));
}

TEST_F(Restoring, ATemplateThatCannotBeMadeLeavesNothingAndTheMachineBoots) {
  world.driver->fail_next_start = Error(ErrorKind::unavailable, "X", "no memory");
  world.make("web1");

  EXPECT_THAT(booted, ElementsAre("web1"));
  EXPECT_THAT(phases("web1"), Contains(HasSubstr("no memory")));
  for (const auto& entry : std::filesystem::directory_iterator(world.home / "vm"))
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("template-")));
  world.make("web2");
  EXPECT_THAT(booted, ElementsAre("web1", "web2")) << "it would take as long to fail again";
  world.finish(world.region->machines().warm("tiny", "Standard_A1"));
  EXPECT_THAT(frozen, SizeIs(1)) << "who asks for it gets it";
  world.make("web3");
  EXPECT_THAT(booted, SizeIs(2));
}

TEST_F(Restoring, ADamagedTemplateIsMadeAnew) {
  const Vm first = world.make("web1");
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(world.home / "images/tiny/templates"))
    if (entry.path().filename() == "memory") write_file(entry.path(), "melted");

  world.make("web2");

  EXPECT_THAT(frozen, SizeIs(2));
  EXPECT_THAT(booted, SizeIs(0));
}

TEST_F(Restoring, DockersFilesAreHandedToAMachineBeforeItsAgentCanFetchThem) {
  publish_docker();
  const Vm vm = world.make("web1");
  world.region->extensions().put({"g", "web1"}, docker());
  world.turn();

  ASSERT_THAT(words.at(vm.id), SizeIs(2));
  const json& front = words.at(vm.id).back()["front"];
  EXPECT_EQ(front["accept"], "0.0.0.0:4243");
  EXPECT_EQ(front["key"], "-----BEGIN CERTIFICATE-----\n");
}

TEST_F(Restoring, APortThatWasOpenedForAnExtensionIsClosedWhenThatIsRemovedBeforeItHasReported) {
  publish_docker();
  const Vm vm = world.make("web1");
  world.guests->talkative = false;
  world.region->extensions().put({"g", "web1"}, docker());
  world.turn();
  world.region->extensions().remove({"g", "web1"}, "docker", false);
  world.turn();

  ASSERT_THAT(words.at(vm.id), SizeIs(3));
  EXPECT_TRUE(words.at(vm.id).back()["front"].is_null());
}

TEST_F(Restoring, ThePortIsClosedHoweverTheExtensionGoesThatHasNotSucceeded) {
  publish_docker();
  const Vm vm = world.make("web1");
  world.guests->talkative = false;
  world.region->extensions().put({"g", "web1"}, docker());
  world.turn();
  world.region->extensions().put({"g", "web1"}, docker());  // which makes it one that is updated
  world.turn();
  const std::size_t said = words.at(vm.id).size();
  world.region->extensions().remove({"g", "web1"}, "docker", true);
  world.turn();

  ASSERT_THAT(words.at(vm.id), SizeIs(said + 1));
  EXPECT_TRUE(words.at(vm.id).back()["front"].is_null());
}

TEST_F(Restoring, ThePortStaysWhenAnotherExtensionGoes) {
  publish_docker();
  const Vm vm = world.make("web1");
  world.finish(world.region->extensions().put({"g", "web1"}, docker()));
  world.guests->talkative = false;
  world.region->extensions().put({"g", "web1"}, world.shell());
  world.turn();
  const std::size_t said = words.at(vm.id).size();
  world.region->extensions().remove({"g", "web1"}, "shell", false);
  world.turn();

  EXPECT_THAT(words.at(vm.id), SizeIs(said));
}

TEST_F(Restoring, SettingsThatTheEngineHasToStartAgainForAreLeftToTheExtension) {
  publish_docker();
  for (const json& settings : {json{{"docker", {{"port", "4243"}, {"options", {"--debug"}}}}},
                               json{{"compose", "x"}}, json{{"docker", {{"port", "4243; rm"}}}},
                               json{{"docker", {{"port", "70000"}}}}, json{{"docker", {{"port", {7}}}}}}) {
    const Vm vm = world.make("web" + std::to_string(words.size()));
    world.region->extensions().put(vm.ref(), docker(settings));
    world.turn();
    EXPECT_THAT(words.at(vm.id), SizeIs(1)) << settings;
  }
}

TEST_F(Restoring, AMachineThatBootedIsHandedNothing) {
  publish_docker();
  world.driver->freezes = false;
  const Vm vm = world.make("web1");
  world.region->extensions().put(vm.ref(), docker());
  world.turn();

  EXPECT_FALSE(words.contains(vm.id));
}

TEST_F(Restoring, AMachineThatItsAgentHasNotSetUpDoesNotHibernate) {
  world.close();
  world.region_settings.set_up_patience = std::chrono::seconds(0);
  world.open();
  plug_in();
  world.guests->talkative = false;
  const Vm vm = world.make("web1");

  const Error error = thrown_by([&] { world.finish(world.region->machines().hibernate(vm.ref())); });

  EXPECT_THAT(error.what(), HasSubstr("has not set it up"));
  EXPECT_EQ(world.region->machines().get(vm.ref()).power, PowerState::running);
}

TEST_F(Restoring, AMachineWhoseIdentityWentWithItsRegionIsGivenUp) {
  world.make("web0");  // and its template
  world.driver->on_word = [&](const std::string&, const std::string&) -> std::string {
    throw std::logic_error("not reached");
  };
  const Accepted accepted = world.region->machines().put(world.order("web1"));
  while (!world.region->machines().get({"g", "web1"}).restored ||
         world.region->machines().get({"g", "web1"}).power != PowerState::running)
    world.io->run_one();
  const std::string id = world.region->machines().get({"g", "web1"}).id;
  world.kill();
  world.open();
  plug_in();
  world.turn();

  const Vm& vm = world.region->machines().get({"g", "web1"});
  EXPECT_EQ(vm.provisioning, Provisioning::failed);
  EXPECT_EQ(world.driver->observe(id), std::nullopt);
  world.finish(world.region->machines().put(world.order("web1")));  // and can be made again
  EXPECT_EQ(world.region->machines().get({"g", "web1"}).provisioning, Provisioning::succeeded);
}

TEST_F(Restoring, AMachineIsShutDownOnceItsAgentHasSetItUp) {
  world.guests->talkative = false;
  const Vm vm = world.make("web1");
  const Accepted stopping = world.region->machines().stop(vm.ref(), false);
  world.turn();
  EXPECT_EQ(world.driver->observe(vm.id), MachineState::running);

  world.region->guests().take_health(vm.id, {.state = "Ready", .substatus = {}, .description = {}});
  world.finish(stopping);

  EXPECT_EQ(world.driver->observe(vm.id), MachineState::stopped);
}

TEST_F(Restoring, AMachineThatWasToBeFrozenGoesWithTheNextStart) {
  make_folder(world.home / "vm/template-01234567");
  write_file(world.home / "vm/template-01234567/running", "");
  world.close();
  world.open();

  EXPECT_FALSE(std::filesystem::exists(world.home / "vm/template-01234567"));
}

}  // namespace berth
