#include "region/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "host/full_disk.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

Disk disk(const std::string& name, const std::string& vm = {}) {
  Disk made;
  made.group = "g";
  made.name = name;
  if (!vm.empty()) made.vm = {"g", vm};
  return made;
}

std::vector<std::string> terms_of(const Disk& made) {
  return made.vm.empty() ? std::vector<std::string>() : std::vector<std::string>{term("vm", made.vm)};
}

class RecordsTest : public testing::Test {
 protected:
  RecordsTest() {
    records.change([&] {
      table.put(disk("a", "web1"));
      table.put(disk("b"));
    });
  }
  std::vector<std::string> of(const char* vm) {
    std::vector<std::string> names;
    for (const Disk* found : table.with(term("vm", {"g", vm}))) names.push_back(found->name);
    return names;
  }
  std::vector<std::string> kept() {
    std::vector<std::string> documents;
    for (auto& [key, document] : database.all("disk")) documents.push_back(document);
    return documents;
  }
  std::vector<std::string> held() {
    std::vector<std::string> documents;
    for (const auto& [key, row] : table.rows()) documents.push_back(to_document(row));
    return documents;
  }
  /// Everything that a change can do to a table.
  void change_all() {
    table.edit(Ref{"g", "a"}).vm = {"g", "web2"};
    table.edit(Ref{"g", "a"}).size_gib = 7;
    table.erase(Ref{"g", "b"});
    table.put(disk("c", "web1"));
    table.put(disk("d"));
    table.erase(Ref{"g", "d"});
    records.write("other", "key", "text");
    records.after([this] { happened.push_back("after"); });
  }
  void expect_the_beginning() {
    EXPECT_EQ(held(), kept());
    EXPECT_THAT(table.rows(), SizeIs(2));
    EXPECT_EQ(table.find(Ref{"g", "a"})->size_gib, 0u);
    EXPECT_THAT(of("web1"), ElementsAre("a"));
    EXPECT_THAT(of("web2"), IsEmpty());
    EXPECT_THAT(database.all("other"), IsEmpty());
    EXPECT_THAT(happened, IsEmpty());
  }

  TemporaryFolder folder;
  Database database{folder.path() / "region.db"};
  Records records{database};
  Table<Disk> table{records, "disk", terms_of};
  std::vector<std::string> happened;
};

TEST_F(RecordsTest, AChangeIsInTheStoreBeforeAnythingElseHappens) {
  records.change([&] {
    change_all();
    records.after([&] { happened.push_back(std::to_string(database.all("disk").size())); });
    EXPECT_THAT(happened, IsEmpty());
  });
  EXPECT_THAT(happened, ElementsAre("after", "2"));
  EXPECT_EQ(held(), kept());
  EXPECT_THAT(of("web1"), ElementsAre("c"));
  EXPECT_THAT(of("web2"), ElementsAre("a"));
  EXPECT_THAT(database.all("other"), ElementsAre(Pair("key", "text")));
}

TEST_F(RecordsTest, FindsWhatWasChangedWithinTheChange) {
  records.change([&] {
    change_all();
    EXPECT_THAT(of("web1"), ElementsAre("c"));
    EXPECT_THAT(of("web2"), ElementsAre("a"));
  });
}

TEST_F(RecordsTest, AChangeThatThrowsHasNotHappened) {
  EXPECT_THROW(records.change([&] {
    change_all();
    throw Error(ErrorKind::conflict, "No", "no");
  }),
               Error);
  expect_the_beginning();
}

TEST_F(RecordsTest, AChangeThatTheStoreRefusesHasNotHappened) {
  {
    const FullDisk full(std::filesystem::file_size(folder.path() / "region.db-wal"));
    EXPECT_THROW(records.change([&] { change_all(); }), Error);
  }
  expect_the_beginning();
  records.change([&] { change_all(); });
  EXPECT_THAT(happened, ElementsAre("after"));
}

TEST_F(RecordsTest, APartThatThrowsEndsTheWhole) {
  EXPECT_ANY_THROW(records.change([&] {
    change_all();
    try {
      records.change([&] {
        table.put(disk("e"));
        throw Error(ErrorKind::conflict, "No", "no");
      });
    } catch (const Error&) {
    }
  }));
  expect_the_beginning();
  records.change([&] { change_all(); });
  EXPECT_THAT(table.rows(), SizeIs(2));
}

TEST_F(RecordsTest, APartIsCommittedWithTheWhole) {
  records.change([&] {
    records.change([&] { change_all(); });
    EXPECT_THAT(happened, IsEmpty());
    EXPECT_THAT(database.all("other"), IsEmpty());
  });
  EXPECT_THAT(happened, ElementsAre("after"));
}

TEST_F(RecordsTest, NothingIsChangedOutsideOfAChange) {
  EXPECT_THROW(table.put(disk("x")), std::logic_error);
  EXPECT_THROW(table.edit(Ref{"g", "a"}), std::logic_error);
  EXPECT_THROW(table.erase(Ref{"g", "a"}), std::logic_error);
  EXPECT_THROW(records.write("other", "key", "text"), std::logic_error);
  EXPECT_THROW(records.after([] {}), std::logic_error);
  expect_the_beginning();
}

TEST_F(RecordsTest, WhatHappensAfterwardsMayChangeMore) {
  records.change([&] {
    records.after([&] { records.change([&] { table.put(disk("z")); }); });
    change_all();
  });
  EXPECT_NE(table.find(Ref{"g", "z"}), nullptr);
  EXPECT_EQ(held(), kept());
}

}  // namespace
}  // namespace berth
