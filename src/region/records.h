#pragma once

#include <functional>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "store/database.h"

// What the region holds: rows in memory, as they are in the store. Whatever changes is changed in one way:
//
//   records.change([&] {
//     vms.edit(ref).power = PowerState::starting;
//     records.after([&] { spawn(...); });
//   });
//
// All rows that the function has edited, put or erased are committed at its end, in one transaction; then
// happens what was given to after(), in that order. When the function throws, or the store refuses, the rows
// are as they were before, and nothing of after() happens. A change that begins within another one is a part
// of that. No co_await within a change: so nobody ever sees a row that the store may still refuse.
namespace berth {

/// A table's side of a change.
class ChangedTable {
 public:
  virtual ~ChangedTable() = default;
  virtual void write() = 0;    ///< its changed rows, into the store's open transaction
  virtual void keep() = 0;     ///< they are committed
  virtual void restore() = 0;  ///< they are as they were
};

/// The changes of one store. One thread.
class Records {
 public:
  explicit Records(Database& database) : database_(database) {}

  /// Throws what `work` throws, and Error(unavailable) when the store cannot be written.
  template <class F>
  auto change(F work) {
    if (open_) return part_of_change(std::move(work));
    open_ = true;
    try {
      if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
        work();
        commit();
      } else {
        auto result = work();
        commit();
        return result;
      }
    } catch (...) {
      give_up();
      throw;
    }
  }
  /// Within a change: what happens once it is committed.
  void after(std::function<void()> act);
  /// Within a change: writes, or with nullopt erases, a document that stands in no Table.
  void write(const std::string& kind, const std::string& key, std::optional<std::string> document);

  /// Documents that stand in no Table, as the store has them.
  std::vector<std::pair<std::string, std::string>> all(const std::string& kind) const {
    return database_.all(kind);
  }
  std::vector<std::string> kinds() const { return database_.kinds(); }

  Database& database() { return database_; }
  void join(ChangedTable& table);  ///< for Table: it has rows that this change has touched

 private:
  struct Document {
    std::string kind, key;
    std::optional<std::string> text;
  };
  template <class F>
  auto part_of_change(F work) {
    try {
      return work();
    } catch (...) {
      broken_ = true;  // whoever catches this: the whole is not committed
      throw;
    }
  }
  void commit();
  void give_up();

  Database& database_;
  bool open_ = false, broken_ = false;
  std::set<ChangedTable*> tables_;
  std::vector<Document> documents_;
  std::vector<std::function<void()>> after_;
};

}  // namespace berth
