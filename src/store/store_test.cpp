#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "host/full_disk.h"
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

/// Holds the write lock of a store, as another program may.
class Intruder {
 public:
  explicit Intruder(const std::filesystem::path& file) {
    sqlite3_open(file.c_str(), &handle_);
    run("BEGIN IMMEDIATE");
  }
  ~Intruder() { sqlite3_close(handle_); }
  Intruder(const Intruder&) = delete;
  Intruder& operator=(const Intruder&) = delete;
  void run(const char* sql) { ASSERT_EQ(sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr), SQLITE_OK); }
  /// What others see that is committed.
  int rows() {
    int count = -1;
    sqlite3_exec(
        handle_, "SELECT count(*) FROM document",
        [](void* out, int, char** values, char**) {
          *static_cast<int*>(out) = std::atoi(values[0]);
          return 0;
        },
        &count, nullptr);
    return count;
  }

 private:
  sqlite3* handle_ = nullptr;
};

TEST(Database, KeepsChangesTogetherAfterOneThatCouldNotBegin) {
  const Folder folder;
  Database database(folder / "region.db");
  Intruder intruder(folder / "region.db");
  EXPECT_THROW(Database::Transaction{database}, Error);
  intruder.run("ROLLBACK");
  Database::Transaction change(database);
  database.put("vm", "a", "1");
  database.put("vm", "b", "1");
  EXPECT_EQ(intruder.rows(), 0);
  change.commit();
  EXPECT_EQ(intruder.rows(), 2);
}

TEST(Database, WritesNothingAloneOfAChangeThatTheDiskGaveUp) {
  const Folder folder;
  Database database(folder / "region.db");
  {
    const FullDisk full(100'000);
    Database::Transaction change(database);
    try {  // larger than what is held in memory: it is written, and cannot be, before the commit
      for (int i = 0; i < 100; ++i) database.put("vm", "lost" + std::to_string(i), std::string(200'000, 'x'));
      FAIL();
    } catch (const Error&) {
    }
    EXPECT_THROW(database.put("vm", "alone", "1"), Error);
    EXPECT_THROW(change.commit(), Error);
  }
  EXPECT_TRUE(database.all("vm").empty());
}

TEST(Database, SetsARowAsideWithoutLosingAnother) {
  Database database(":memory:");
  for (const char* document : {"first", "second"}) {
    database.put("vm", "g/web1", document);
    database.set_aside("vm", "g/web1");
  }
  EXPECT_TRUE(database.all("vm").empty());
  EXPECT_THAT(database.all("set-aside vm"),
              testing::ElementsAre(testing::Pair("g/web1", "first"), testing::Pair("g/web1 2", "second")));
}

TEST(Database, IsCopiedWholeForItsOwnerOnly) {
  const Folder folder;
  Database database(folder / "region.db");
  std::ofstream(folder / "copy") << "older";
  database.put("vm", "g/web1", "{}");
  database.copy_to(folder / "copy");

  EXPECT_THAT(Database(folder / "copy").all("vm"), testing::ElementsAre(testing::Pair("g/web1", "{}")));
  struct stat status {};
  ASSERT_EQ(::stat((folder / "copy").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(folder / "copy.new"));
}

TEST(Database, KeepsTheOlderCopyWhenThereIsNoSpace) {
  const Folder folder;
  Database database(folder / "region.db");
  database.put("vm", "g/web1", "{}");
  database.copy_to(folder / "copy");
  database.put("vm", "g/web2", std::string(200'000, 'x'));
  {
    const FullDisk full(50'000);
    EXPECT_THROW(database.copy_to(folder / "copy"), Error);
  }
  EXPECT_THAT(Database(folder / "copy").all("vm"), testing::ElementsAre(testing::Pair("g/web1", "{}")));
  EXPECT_FALSE(std::filesystem::exists(folder / "copy.new"));
}

/// A store as an earlier Berth wrote it.
void make_older(const std::filesystem::path& file) {
  sqlite3* handle = nullptr;
  sqlite3_open(file.c_str(), &handle);
  sqlite3_exec(handle, "PRAGMA user_version=1", nullptr, nullptr, nullptr);
  sqlite3_close(handle);
}

TEST(Database, MendsRulesThatGrewWithEachStartOnce) {
  const Folder folder;
  SecurityGroup grown;
  grown.group = grown.name = "g";
  grown.rules.resize(1);
  grown.rules[0].source_prefixes = {"*", "*", "10.1.2.0/24"};
  grown.rules[0].destination_ports = {"*", "22", "*"};
  grown.rules[0].source_ports = {"*", "*"};
  grown.rules[0].destination_prefixes = {"10.0.0.4"};
  const auto kept = [&](const Database& database) {
    return from_document<SecurityGroup>(database.all("security-group").at(0).second).rules.at(0);
  };
  {
    Database database(folder / "region.db");
    database.put("security-group", "g/g", to_document(grown));
    database.put("security-group", "g/unreadable", "{");
  }
  make_older(folder / "region.db");
  {
    Database database(folder / "region.db");
    const SecurityRule rule = kept(database);
    EXPECT_THAT(rule.source_prefixes, testing::ElementsAre("10.1.2.0/24"));
    EXPECT_THAT(rule.destination_ports, testing::ElementsAre("22", "*"));
    EXPECT_THAT(rule.source_ports, testing::ElementsAre("*"));
    EXPECT_THAT(rule.destination_prefixes, testing::ElementsAre("10.0.0.4"));
    EXPECT_EQ(database.all("security-group").size(), 2u);
    database.put("security-group", "g/g", to_document(grown));
  }
  EXPECT_EQ(kept(Database(folder / "region.db")).source_prefixes.size(), 3u);  // this one was asked for
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

}  // namespace
}  // namespace berth
