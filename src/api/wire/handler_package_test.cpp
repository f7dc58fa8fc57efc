#include "api/wire/handler_package.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace berth::wire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string manifest(const std::string& program = "bin/h", const std::string& more = "") {
  std::string text = R"([{"version":1.0,"handlerManifest":{)";
  for (const char* name : {"install", "enable", "update", "disable", "uninstall"})
    text += "\"" + std::string(name) + "Command\":\"" + program + " " + name + "\",";
  return text + R"("rebootAfterInstall":false)" + more + "}}]";
}

std::string zip(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string bytes(1 << 20, '\0');
  std::size_t used = 0;
  archive* writer = archive_write_new();
  archive_write_set_format_zip(writer);
  archive_write_open_memory(writer, bytes.data(), bytes.size(), &used);
  for (const auto& [name, text] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(text.size()));
    archive_write_header(writer, entry);
    archive_write_data(writer, text.data(), text.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
  bytes.resize(used);
  return bytes;
}

std::vector<std::string> faults(const std::vector<std::pair<std::string, std::string>>& files) {
  std::vector<std::string> all;
  for (const PackageFault& fault : read_handler_package(zip(files)).faults) all.push_back(fault.what);
  return all;
}

std::vector<std::string> notes(const std::vector<std::pair<std::string, std::string>>& files) {
  std::vector<std::string> all;
  for (const PackageFault& note : read_handler_package(zip(files)).notes) all.push_back(note.what);
  return all;
}

}  // namespace

TEST(HandlerPackage, AGoodOneHasItsCommandsAndNothingToSay) {
  const HandlerPackage package =
      read_handler_package(zip({{"bin/h", "#!/bin/sh\n"}, {"HandlerManifest.json", manifest()}}));
  EXPECT_THAT(package.faults, IsEmpty());
  EXPECT_THAT(package.notes, IsEmpty());
  EXPECT_EQ(package.commands.at("enable"), "bin/h enable");
}

TEST(HandlerPackage, ThatUnpacksToManyTimesItsSizeIsRefused) {
  const std::string zeros(20 * 1024 * 1024, '\0');
  const auto found =
      faults({{"HandlerManifest.json", manifest()}, {"bin/h", "#!/bin/sh\n"}, {"zeros", zeros}});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0], HasSubstr("it unpacks to more than 17 MiB"));

  EXPECT_THAT(
      faults({{"HandlerManifest.json", manifest()}, {"bin/h", "#!/bin/sh\n"}, {"z", zeros.substr(8 << 20)}}),
      IsEmpty());
}

TEST(HandlerPackage, EveryFaultIsNamedNotJustTheFirst) {
  std::string text = manifest("missing");
  text.replace(text.find("disableCommand"), 14, "stopCommand");
  const auto all = faults({{"HandlerManifest.json", text}});
  EXPECT_THAT(all, testing::Contains(HasSubstr("installCommand names \"missing\"")));
  EXPECT_THAT(all, testing::Contains(HasSubstr("has no disableCommand")));
  EXPECT_EQ(all.size(), 5u);
}

TEST(HandlerPackage, ACommandIsReadAsTheGuestsShellWouldReadIt) {
  for (const char* program :
       {"./h.sh", "/h.sh", ".//h.sh", "bin/../h.sh", "h.sh;", "'h.sh'", R"(\"./h.sh\")"})
    EXPECT_THAT(faults({{"h.sh", "#!/bin/sh\n"}, {"HandlerManifest.json", manifest(program)}}), IsEmpty())
        << program;
  EXPECT_THAT(faults({{"my h", "#!/bin/sh\n"}, {"HandlerManifest.json", manifest(R"(\"my h\")")}}),
              IsEmpty());
  EXPECT_THAT(faults({{"./h.sh", "#!/bin/sh\n"}, {"./HandlerManifest.json", manifest("h.sh")}}), IsEmpty());
  EXPECT_THAT(faults({{"h.sh", "#!/bin/sh\n"}, {"HandlerManifest.json", manifest("../h.sh")}}),
              testing::SizeIs(5));
}

TEST(HandlerPackage, AManifestMayBeginWithAByteOrderMarkAndHaveWindowsLineEnds) {
  std::string text = "\xef\xbb\xbf" + manifest();
  text.replace(text.find(','), 1, ",\r\n");
  EXPECT_THAT(faults({{"bin/h", "#!/bin/sh\n"}, {"HandlerManifest.json", text}}), IsEmpty());
}

TEST(HandlerPackage, OfSeveralManifestsTheOneAtTheTopCounts) {
  const std::pair<std::string, std::string> program{"bin/h", "#!/bin/sh\n"},
      other{"test/HandlerManifest.json", "{"};
  EXPECT_THAT(faults({program, other, {"HandlerManifest.json", manifest()}}), IsEmpty());
  EXPECT_THAT(faults({program, other, {"old/HandlerManifest.json", manifest()}}),
              ElementsAre(HasSubstr("more than one")));
}

TEST(HandlerPackage, AnInterpreterInFrontOfTheScriptIsNoCommand) {
  const auto package = read_handler_package(
      zip({{"bin/h.py", "#!/usr/bin/python3\n"}, {"HandlerManifest.json", manifest("python3 bin/h.py")}}));
  ASSERT_THAT(package.faults, testing::SizeIs(5));
  EXPECT_THAT(package.faults[0].what, HasSubstr("\"python3\""));
  EXPECT_THAT(package.faults[0].advice, HasSubstr("#!/usr/bin/python3"));
}

TEST(HandlerPackage, WindowsLineEndsInAScriptsFirstLineAreAFault) {
  EXPECT_THAT(faults({{"bin/h", "#!/bin/sh\r\nexit 0\r\n"}, {"HandlerManifest.json", manifest()}}),
              ElementsAre(HasSubstr("carriage return")));
}

TEST(HandlerPackage, AProgramForAnotherProcessorIsAFault) {
  std::string arm(
      "\x7f"
      "ELF",
      4),
      x86 = arm;
  arm.resize(64);
  x86.resize(64);
  arm[18] = '\xb7';
  x86[18] = '\x3e';
  EXPECT_THAT(faults({{"bin/h", arm}, {"HandlerManifest.json", manifest()}}),
              ElementsAre(HasSubstr("another processor")));
  EXPECT_THAT(faults({{"bin/h", x86}, {"HandlerManifest.json", manifest()}}), IsEmpty());
}

TEST(HandlerPackage, WhatWorksOtherwiseThanItLooksIsNoted) {
  EXPECT_THAT(notes({{"bin/h", "echo hello\n"}, {"HandlerManifest.json", manifest()}}),
              ElementsAre("bin/h has no #! line: the guest's sh will run it"));
  EXPECT_THAT(notes({{"bin/h", "#!/bin/sh\n"},
                     {"HandlerManifest.json", manifest("bin/h", R"(,"updateMode":"Sometimes")")}}),
              ElementsAre(HasSubstr("updateMode \"Sometimes\"")));
}

TEST(HandlerPackage, AManifestThatIsNoJsonSaysWhere) {
  EXPECT_THAT(faults({{"HandlerManifest.json", "[{\n  \"version\": 1.0,\n  oops\n}]"}}),
              ElementsAre(HasSubstr("at line 3")));
}

TEST(HandlerPackage, WhatIsNoZipHasThatOneFault) {
  EXPECT_EQ(read_handler_package("this is no zip").faults.size(), 1u);
  EXPECT_EQ(read_handler_package("").faults.size(), 1u);
}

TEST(HandlerPackage, ItsNameMayStandInItsManifests) {
  const std::pair<std::string, std::string> program("bin/h", "#!/bin/sh\n");
  const PackageName azure =
      read_handler_package(zip({program,
                                {"HandlerManifest.json", manifest()},
                                {"manifest.xml",
                                 "<ExtensionImage xmlns='http://schemas.microsoft.com/windowsazure'>"
                                 "<ProviderNameSpace>Contoso.Test</ProviderNameSpace><Type>Echo</Type>"
                                 "<Version>1.2.3</Version></ExtensionImage>"}}))
          .name;
  EXPECT_EQ(azure.publisher + "/" + azure.type + "/" + azure.version, "Contoso.Test/Echo/1.2.3");
  std::string named = manifest();
  named.replace(named.find("\"version\":1.0"), 13, R"("name":"Contoso.Test.Echo","version":"1.2.3")");
  const PackageName own = read_handler_package(zip({program, {"HandlerManifest.json", named}})).name;
  EXPECT_EQ(own.publisher + "/" + own.type + "/" + own.version, "Contoso.Test/Echo/1.2.3");
}

TEST(PackageNames, AreReadFromFileNames) {
  const auto text = [](const char* file) {
    const PackageName name = parse_package_name(file);
    return name.publisher + "/" + name.type + "/" + name.version;
  };
  EXPECT_EQ(text("Contoso.Test.Echo_1.0.0.zip"), "Contoso.Test/Echo/1.0.0");
  EXPECT_EQ(text("Contoso.Test.Echo__1.0.zip"), "Contoso.Test/Echo/1.0");
  EXPECT_EQ(text("Contoso.Echo-2.1.0.3.zip"), "Contoso/Echo/2.1.0.3");
  EXPECT_EQ(text("Echo_1.0.0.zip"), "/Echo/1.0.0");
  EXPECT_EQ(text("echo.zip"), "/echo/");
  EXPECT_EQ(text("my handler.zip"), "//");
}

TEST(PackageNames, ThatTheAgentCannotUseAreRefused) {
  EXPECT_NO_THROW(check_package_name({"Contoso.Test", "Echo", "1.0"}));
  for (const PackageName& name :
       {PackageName{"Contoso-Test", "Echo", "1.0.0"}, PackageName{"Contoso", "", "1.0"},
        PackageName{"Contoso", "Echo", "1"}, PackageName{"Contoso", "Echo", "1.0.0-b"}})
    EXPECT_THROW(check_package_name(name), Error);
}

}  // namespace berth::wire
