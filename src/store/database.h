#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth {

/// The state of one region: an SQLite file (WAL, synchronous=FULL), so that what a call has written is still
/// there after kill -9 or a power cut. One thread. Every method throws Error(unavailable, "StoreUnavailable")
/// naming the file when the disk refuses (and saying so when it cannot be told whether the change was kept), and
/// Error(unavailable, "StoreDamaged") when the file is no store any more.
class Database {
 public:
  /// Opens or makes it (0600), and moves it to the newest layout. ":memory:" for tests. Throws
  /// Error(conflict) when a newer Berth wrote it.
  explicit Database(const std::filesystem::path& file);
  ~Database();
  /// Whether there is a store in the file, sound or damaged: false for one that is missing or empty.
  static bool is_begun(const std::filesystem::path& file);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// All or nothing: rolls back unless commit() is reached, and when commit() throws. Nested ones join the
  /// outer one.
  class Transaction {
   public:
    explicit Transaction(Database& database);
    ~Transaction();
    Transaction(const Transaction&) = delete;
    Transaction& operator=(const Transaction&) = delete;
    void commit();

   private:
    Database& database_;
    bool open_ = true;
  };

  /// Small documents by table and key: resources, operations, and the dialects' own.
  void put(std::string_view table, std::string_view key, std::string_view document);
  void erase(std::string_view table, std::string_view key);
  /// In the order of their keys.
  std::vector<std::pair<std::string, std::string>> all(std::string_view table) const;

  /// The names of all tables that have rows.
  std::vector<std::string> kinds() const;

  /// Moves a row that cannot be used as it is out of its table, into that which is named "set-aside TABLE":
  /// nothing of it is lost.
  void set_aside(std::string_view table, const std::string& key);

  /// Writes all that there is now into `file` (0600), over an older copy: readers see that or this one, whole
  /// and synced.
  void copy_to(const std::filesystem::path& file) const;

 private:
  class Statement;
  void open();
  void bring_up_to_date();
  void execute(const char* sql);
  void check_transaction() const;
  bool has(std::string_view table, std::string_view key) const;
  [[noreturn]] void roll_back_and_fail();
  bool withdraw();
  [[noreturn]] void fail(const std::string& what) const;
  [[noreturn]] void fail(const std::string& what, int code, const std::string& why) const;

  std::filesystem::path file_;
  sqlite3* handle_ = nullptr;
  int depth_ = 0;
  bool broken_ = false;  ///< an inner transaction was rolled back
};

}  // namespace berth
