#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/wire/handler_package.h"
#include "cli/extension/source.h"
#include "cli/fake_region.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string manifest = R"([{"version":1.0,"handlerManifest":{
  "installCommand":"bin/h install","enableCommand":"bin/h enable","updateCommand":"bin/h update",
  "disableCommand":"bin/h disable","uninstallCommand":"bin/h uninstall"}}])";

/// A region with one VM, web1, and a gallery that takes everything.
class ExtensionCommands : public testing::Test {
 protected:
  ExtensionCommands() {
    region.on_request = [this](const Request& request) { return answer(request); };
    folder = region.folder / "Contoso.Test.Echo_1.0.0";
    make_folder(folder / "bin");
    write_file(folder / "bin/h", "#!/bin/sh\n", 0755);
    write_file(folder / "HandlerManifest.json", manifest);
  }

  static std::optional<Response> reply(int status, const json& body) {
    Response response{.status = status};
    response.body = body.dump();
    return response;
  }

  std::optional<Response> answer(const Request& request) {
    const std::string path = lower(request.path);
    const auto ends = [&](const std::string& tail) { return path.ends_with(lower(tail)); };
    const std::string vm = "/resourcegroups/g/providers/microsoft.compute/virtualmachines/web1";
    if (path.find("berth.local/extensions/") != std::string::npos && request.method == "PUT") {
      published = request.body;
      query = request.query;
      published_path = request.path;
      return reply(201, {{"properties", {{"installedVersion", installed_version}, {"updating", updating}}}});
    }
    if (path.find("berth.local/extensions/") != std::string::npos) return reply(200, json::object());
    if (ends("berth.local/extensions"))
      return reply(200, {{"value",
                          {{{"properties",
                             {{"publisher", "Contoso.Test"},
                              {"type", "Echo"},
                              {"version", "1.0.0"},
                              {"installedVersion", "1.0.0.2"},
                              {"bundled", false},
                              {"usedBy", {"/s/virtualMachines/web1/extensions/Echo"}}}}}}}});
    if (path.find("/operations/") != std::string::npos) {
      json body = {{"status", operation_error.is_null() ? "Succeeded" : "Failed"}};
      if (!operation_error.is_null()) body["error"] = operation_error;
      return reply(200, body);
    }
    if (ends("/providers/microsoft.compute/virtualmachines")) return reply(200, {{"value", {document()}}});
    if (ends(vm)) return reply(200, document());
    if (ends(vm + "/extensions/Echo")) {
      if (request.method == "PUT" || request.method == "PATCH") {
        json whole = request.method == "PATCH" ? extension : json::object();
        whole.merge_patch(json::parse(request.body));
        extension = std::move(whole);
        extension["name"] = "Echo";
        return accepted(request);
      }
      if (extension.is_null()) return std::nullopt;
      if (request.method == "GET") return reply(200, extension);
      deleted_with = request.query;
      return accepted(request);
    }
    return std::nullopt;
  }

  std::optional<Response> accepted(const Request& request) {
    Response response{.status = 202};
    response.headers["Azure-AsyncOperation"] = request.origin + "/operations/1";
    return response;
  }

  json document() {
    json vm = {
        {"id", "/subscriptions/sub-1/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/web1"},
        {"name", "web1"},
        {"location", "westus"},
        {"properties",
         {{"provisioningState", "Succeeded"},
          {"osProfile", {{"adminUsername", "ops"}}},
          {"instanceView",
           {{"extensions", json::array()}, {"vmAgent", {{"extensionHandlers", json::array()}}}}}}},
        {"resources", json::array()}};
    if (extension.is_null()) return vm;
    vm["resources"].push_back(extension);
    json& view = vm["properties"]["instanceView"];
    view["extensions"].push_back(
        {{"name", "Echo"},
         {"typeHandlerVersion", "1.0.0.2"},
         {"sequenceNumber", 7},
         {"statuses",
          {{{"code", "ProvisioningState/succeeded"},
            {"displayStatus", "Provisioning succeeded"},
            {"message", "hello\nworld"}}}},
         {"substatuses",
          {{{"code", "ComponentStatus/tls/succeeded"}, {"displayStatus", "Ready"}, {"message", "fine"}}}}});
    view["vmAgent"]["extensionHandlers"].push_back(
        {{"type", "Contoso.Test.Echo"},
         {"typeHandlerVersion", "1.0.0.2"},
         {"status", {{"displayStatus", "Ready"}, {"message", "Plugin enabled"}}}});
    return vm;
  }

  Ran publish(std::vector<std::string> more = {}) {
    std::vector<std::string> all{"vm", "extension", "publish", folder};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
  Ran set(std::vector<std::string> more = {}) {
    std::vector<std::string> all{"vm", "extension", "set", "web1", "Echo", "Contoso.Test", "1.0"};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }

  FakeRegion region;
  std::filesystem::path folder;
  std::string published, published_path, installed_version = "1.0.0";
  decltype(Request::query) query, deleted_with;
  json updating = json::array(), extension, operation_error;
};

}  // namespace

TEST_F(ExtensionCommands, AFolderIsPackedAndPublishedUnderTheNameItHas) {
  const Ran ran = publish();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(published_path, HasSubstr("/extensions/Contoso.Test/Echo/1.0.0"));
  EXPECT_THAT(ran.out, AllOf(HasSubstr("Contoso.Test.Echo 1.0.0 published"),
                             HasSubstr("Next: azure vm extension set <vm> Echo Contoso.Test 1.0.0")));
  const wire::HandlerPackage package = wire::read_handler_package(published);
  EXPECT_THAT(package.faults, IsEmpty());
  EXPECT_EQ(package.commands.at("enable"), "bin/h enable");
}

TEST_F(ExtensionCommands, TheSameFolderMakesTheSameZipWithoutWhatIsHidden) {
  const std::string zip = load_extension(folder, {}).zip;
  make_folder(folder / ".git");
  write_file(folder / ".git/config", "x");
  std::filesystem::last_write_time(folder / "bin/h", std::filesystem::file_time_type::clock::now());
  EXPECT_EQ(load_extension(folder, {}).zip, zip);
}

TEST_F(ExtensionCommands, OptionsNameItOtherwise) {
  ASSERT_EQ(publish({"--publisher", "Other", "--name", "Thing", "--version", "2.0"}).exit_code, 0);
  EXPECT_THAT(published_path, HasSubstr("/extensions/Other/Thing/2.0"));
}

TEST_F(ExtensionCommands, AnUnknownNameIsAskedForByItsOption) {
  const auto other = region.folder / "my-work";
  std::filesystem::rename(folder, other);
  folder = other;
  const Ran ran = publish();
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("which publisher"), HasSubstr("--publisher")));
  EXPECT_THAT(published, IsEmpty());
}

TEST_F(ExtensionCommands, EveryFaultOfThePackageIsToldAndNothingIsSent) {
  std::filesystem::remove(folder / "bin/h");
  const Ran ran = publish();
  EXPECT_EQ(ran.exit_code, 2);
  for (const char* command : {"installCommand", "enableCommand", "updateCommand", "disableCommand"})
    EXPECT_THAT(ran.err, HasSubstr(std::string("- its ") + command));
  EXPECT_THAT(ran.err, HasSubstr("name a file of the package"));
  EXPECT_THAT(published, IsEmpty());
}

TEST_F(ExtensionCommands, PublishingAgainReplacesAndWaitsForTheVmsThatHaveIt) {
  installed_version = "1.0.0.3";
  updating = {{{"id", "/s/virtualMachines/web1/extensions/Echo"}, {"operation", "/operations/1"}},
              {{"id", "/s/virtualMachines/off/extensions/Echo"}}};
  const Ran ran = publish();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("VMs know it as 1.0.0.3"), HasSubstr("Updating web1 ("),
                             HasSubstr("off does not run")));
  operation_error = {{"code", "VMExtensionProvisioningError"}, {"message", "Non-zero exit code: 3"}};
  const Ran failed = publish();
  EXPECT_EQ(failed.exit_code, 5);
  EXPECT_THAT(failed.err, HasSubstr("Non-zero exit code: 3"));
}

TEST_F(ExtensionCommands, TheGalleryIsListedWithItsUsers) {
  const Ran ran = run_program({"vm", "extension", "list"});
  EXPECT_THAT(ran.out, AllOf(HasSubstr("Contoso.Test"), HasSubstr("1.0.0.2"), HasSubstr("web1")));
  EXPECT_THAT(run_program({"vm", "extension", "list", "-n", "Other"}).out, HasSubstr("No extensions found"));
  EXPECT_EQ(json::parse(run_program({"vm", "extension", "list", "--json"}).out)[0]["name"], "Echo");
}

TEST_F(ExtensionCommands, SetSendsWhatWasGivenAndShowsWhatWasReported) {
  write_file(region.folder / "private.json", R"({"key":"s3cret"})");
  const Ran ran = set({"-i", R"({"a":1})", "-e", region.folder / "private.json"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(extension["properties"]["settings"], (json{{"a", 1}}));
  EXPECT_EQ(extension["properties"]["protectedSettings"], (json{{"key", "s3cret"}}));
  EXPECT_EQ(extension["properties"]["typeHandlerVersion"], "1.0");
  EXPECT_THAT(ran.out, AllOf(HasSubstr("Enabling Echo on web1"), HasSubstr("Provisioning succeeded: hello\n"),
                             HasSubstr("world"), Not(HasSubstr("s3cret"))));
}

TEST_F(ExtensionCommands, SetKeepsTheSettingsThatAreNotGiven) {
  ASSERT_EQ(set({"-i", R"({"a":1})"}).exit_code, 0);
  ASSERT_EQ(set().exit_code, 0);
  EXPECT_EQ(extension["properties"]["settings"], (json{{"a", 1}}));
  EXPECT_FALSE(extension["properties"].contains("protectedSettings"));
}

TEST_F(ExtensionCommands, SetKeepsTheProtectedSettingsThatAreNotGiven) {
  ASSERT_EQ(set({"-i", R"({"a":1})", "-t", R"({"key":"one"})"}).exit_code, 0);
  ASSERT_EQ(set({"-i", R"({"a":2})"}).exit_code, 0);
  EXPECT_EQ(extension["properties"]["settings"], (json{{"a", 2}}));
  EXPECT_EQ(extension["properties"]["protectedSettings"], (json{{"key", "one"}}));
}

TEST_F(ExtensionCommands, SettingsThatAreNoObjectAreRefusedBeforeAnythingIsSent) {
  EXPECT_THAT(set({"-i", "{oops"}).err, HasSubstr("--public-config is not JSON: an error at byte 2 of 5"));
  EXPECT_THAT(set({"-i", "[1]"}).err, HasSubstr("is not a JSON object"));
  EXPECT_THAT(set({"-i", "{}", "-c", "x"}).err, HasSubstr("twice"));
  EXPECT_EQ(set({"-c", "/nonexistent"}).exit_code, 4);
  EXPECT_THAT(region.requests(), IsEmpty());
}

TEST_F(ExtensionCommands, AFailureIsTheHandlersOwnWords) {
  operation_error = {{"code", "VMExtensionProvisioningError"}, {"message", "it said no (code 3)"}};
  const Ran ran = set();
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("it said no (code 3)"));
}

TEST_F(ExtensionCommands, GetShowsOneInFullAndAllInATable) {
  ASSERT_EQ(set().exit_code, 0);
  const Ran one = run_program({"vm", "extension", "get", "web1", "echo"});
  for (const char* text : {"Contoso.Test.Echo", "1.0.0.2 (wanted: 1.0)", "Sequence number", "7",
                           "Substatus tls", "Ready: Plugin enabled"})
    EXPECT_THAT(one.out, HasSubstr(text));
  EXPECT_THAT(run_program({"vm", "extension", "get", "web1"}).out, HasSubstr("Provisioning succeeded"));
  EXPECT_EQ(
      json::parse(run_program({"vm", "extension", "get", "web1", "Echo", "--json"}).out)["sequenceNumber"],
      7);
  EXPECT_EQ(run_program({"vm", "extension", "get", "web1", "None"}).exit_code, 4);
}

TEST_F(ExtensionCommands, UninstallAndDeleteAreTheSame) {
  ASSERT_EQ(set().exit_code, 0);
  EXPECT_THAT(set({"-u"}).out, HasSubstr("web1 no longer has Echo"));
  const Ran ran = run_program({"vm", "extension", "delete", "web1", "Echo", "--force"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(deleted_with.at("forceDeletion"), "true");
  extension = nullptr;
  EXPECT_EQ(run_program({"vm", "extension", "delete", "web1", "Echo"}).exit_code, 4);
}

TEST_F(ExtensionCommands, LogsNeedAnOpenSshPort) {
  ASSERT_EQ(set().exit_code, 0);
  const Ran ran = run_program({"vm", "extension", "logs", "web1", "Echo"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err,
              AllOf(HasSubstr("no open SSH port"), HasSubstr("azure vm docker port publish web1 22")));
}

TEST_F(ExtensionCommands, UnpublishingWhatIsNotThereSaysSo) {
  EXPECT_EQ(run_program({"vm", "extension", "unpublish", "Echo", "Contoso.Test", "9.0"}).exit_code, 4);
  EXPECT_EQ(run_program({"vm", "extension", "unpublish", "Echo", "Contoso.Test", "1.0.0"}).exit_code, 0);
  EXPECT_THAT(region.requests(),
              Contains("DELETE /providers/Berth.Local/extensions/Contoso.Test/Echo/1.0.0"));
}

}  // namespace berth
