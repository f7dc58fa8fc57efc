#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "store/database.h"
#include "store/documents.h"

namespace berth {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "berth-store-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

TEST(Database, KeepsWhatWasPutAcrossAReopening) {
  const Folder folder;
  Database(folder / "region.db").put("vm", "g/web1", "{}");
  EXPECT_THAT(Database(folder / "region.db").all("vm"), testing::ElementsAre(testing::Pair("g/web1", "{}")));
}

TEST(Database, IsReadableForItsOwnerOnly) {
  const Folder folder;
  const Database database(folder / "region.db");
  struct stat status {};
  ASSERT_EQ(::stat((folder / "region.db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST(Database, ChangesNothingWhenATransactionIsNotCommitted) {
  Database database(":memory:");
  database.put("vm", "a", "1");
  {
    Database::Transaction change(database);
    database.put("vm", "a", "2");
    database.erase("vm", "a");
  }
  EXPECT_THAT(database.all("vm"), testing::ElementsAre(testing::Pair("a", "1")));
}

TEST(Database, AnInnerTransactionThatIsGivenUpUndoesTheOuterOne) {
  Database database(":memory:");
  EXPECT_THROW(
      {
        Database::Transaction outer(database);
        database.put("vm", "a", "1");
        { Database::Transaction inner(database); }
        outer.commit();
      },
      Error);
  EXPECT_TRUE(database.all("vm").empty());
}

/// While it lives, no file of this process grows beyond `bytes`: as if the disk were full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    ::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() { ::setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST(Database, GoesOnWhenTheDiskHasSpaceAgain) {
  const Folder folder;
  Database database(folder / "region.db");
  const std::string large(200'000, 'x');
  {
    const FullDisk full(100'000);
    EXPECT_THROW(
        {
          Database::Transaction change(database);
          database.put("vm", "lost", large);
          change.commit();
        },
        Error);
  }
  database.put("vm", "alone", "1");
  {
    Database::Transaction change(database);
    database.put("vm", "together", "2");
    change.commit();
  }
  EXPECT_THAT(Database(folder / "region.db").all("vm"),
              testing::ElementsAre(testing::Pair("alone", "1"), testing::Pair("together", "2")));
}

TEST(Database, NamesTheFileThatItCannotOpen) {
  try {
    Database database("/nonexistent/region.db");
    FAIL();
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("/nonexistent/region.db"));
  }
}

TEST(Database, SaysWhatToDoAboutAFileThatIsDamaged) {
  const Folder folder;
  std::ofstream(folder / "region.db") << std::string(8192, 'x');
  try {
    Database database(folder / "region.db");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code, "StoreDamaged");
    EXPECT_THAT(e.what(), testing::HasSubstr((folder / "region.db").string()));
    EXPECT_THAT(e.advice, testing::HasSubstr("BERTH_HOME"));
  }
}

TEST(Documents, GiveBackWhatWentIn) {
  Vm vm;
  vm.group = "g";
  vm.name = "web1";
  vm.tags = {{"a", "b"}};
  vm.power = PowerState::running;
  vm.extensions.push_back(
      {.name = "docker", .sequence = 3, .problem = Problem{.code = "X", .message = "why"}});
  vm.agent = AgentStatus{.version = "2.7.3.0", .handlers = {{.handler = "h", .sequence = 3}}};
  vm.data_disks.push_back({.lun = 2, .size_gib = 4});

  const Vm read = from_document<Vm>(to_document(vm));

  EXPECT_EQ(to_document(read), to_document(vm));
  EXPECT_EQ(read.extensions.at(0).problem->message, "why");
  EXPECT_EQ(read.agent->handlers.at(0).sequence, 3);
  EXPECT_EQ(read.power, PowerState::running);
}

TEST(Documents, ReadAnOlderOneWithItsFieldsMissing) {
  EXPECT_EQ(from_document<Vm>(R"({"name":"web1","future":1})").incarnation, 1u);
}

TEST(Documents, SayWhenTheyAreDamaged) {
  EXPECT_THROW(from_document<Vm>("{"), Error);
}

}  // namespace
}  // namespace berth
