#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "base/error.h"
#include "host/files.h"
#include "store/mending.h"

namespace berth {
namespace {

/// 1: documents by kind and key. 2: the same; rules of security groups are mended (mending.h).
constexpr int layout = 2;

}  // namespace

class Database::Statement {
 public:
  Statement(const Database& database, const char* sql) : database_(database) {
    if (sqlite3_prepare_v2(database.handle_, sql, -1, &handle_, nullptr) != SQLITE_OK)
      database.fail("cannot be read or written");
  }
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int index, std::string_view text) {
    sqlite3_bind_text(handle_, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  /// True while there is a row.
  bool step() {
    const int result = sqlite3_step(handle_);
    if (result == SQLITE_ROW) return true;
    if (result != SQLITE_DONE) database_.fail("cannot be read or written");
    return false;
  }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
    return bytes ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))) : "";
  }
  int number(int column) const { return sqlite3_column_int(handle_, column); }

 private:
  const Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

Database::Database(const std::filesystem::path& file) : file_(file) {
  try {
    open();
    bring_up_to_date();
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

void Database::open() {
  const mode_t before = ::umask(0077);
  const int opened = sqlite3_open_v2(
      file_.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  ::umask(before);
  if (opened != SQLITE_OK) fail("cannot be opened");
  sqlite3_busy_timeout(handle_, 5000);
  execute("PRAGMA journal_mode=WAL");
  execute("PRAGMA synchronous=FULL");
}

void Database::bring_up_to_date() {
  int version = 0;
  {
    Statement read(*this, "PRAGMA user_version");
    if (read.step()) version = read.number(0);
  }
  if (version > layout)
    throw Error(ErrorKind::conflict, "StoreTooNew",
                fmt::format("{} was written by a newer version of Berth (layout {}, this one knows {}).",
                            file_.string(), version, layout),
                "Use that version, or start a new region with another BERTH_HOME.");
  if (version == layout) return;
  Transaction change(*this);
  if (version < 1)
    execute(
        "CREATE TABLE document (kind TEXT NOT NULL, key TEXT NOT NULL, document TEXT NOT NULL,"
        " PRIMARY KEY (kind, key)) WITHOUT ROWID");
  if (version == 1) mend_rules_that_grew(*this);
  execute(fmt::format("PRAGMA user_version={}", layout).c_str());
  change.commit();
}

Database::~Database() {
  sqlite3_close(handle_);
}

bool Database::is_begun(const std::filesystem::path& file) {
  std::error_code missing;
  // SQLite itself would drop the log beside an empty file.
  if (std::filesystem::file_size(file, missing) == 0 || missing) return false;
  sqlite3* handle = nullptr;
  sqlite3_stmt* read = nullptr;
  bool begun = true;
  if (sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr) ==
          SQLITE_OK &&
      sqlite3_prepare_v2(handle, "SELECT count(*) FROM sqlite_schema WHERE name = 'document'", -1, &read,
                         nullptr) == SQLITE_OK &&
      sqlite3_step(read) == SQLITE_ROW)
    begun = sqlite3_column_int(read, 0) != 0;
  sqlite3_finalize(read);
  sqlite3_close(handle);
  return begun;
}

void Database::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("cannot be read or written");
}

void Database::fail(const std::string& what) const {
  if (!handle_) fail(what, SQLITE_NOMEM, "no memory");
  fail(what, sqlite3_errcode(handle_), sqlite3_errmsg(handle_));
}

void Database::fail(const std::string& what, int code, const std::string& why) const {
  const bool damaged = code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
  throw Error(
      ErrorKind::unavailable, damaged ? "StoreDamaged" : "StoreUnavailable",
      fmt::format("The region's store {} {}: {}.", file_.string(), what, why),
      damaged ? "Put back a copy of it, or begin a new region in another folder with BERTH_HOME; the disks "
                "of the virtual machines are in vm/ beside it."
              : "Check the free space and the permissions of its folder.");
}

Database::Transaction::Transaction(Database& database) : database_(database) {
  if (database_.depth_ == 0) {
    database_.execute("BEGIN IMMEDIATE");
    database_.broken_ = false;
  }
  ++database_.depth_;
}

void Database::Transaction::commit() {
  open_ = false;
  if (--database_.depth_ > 0) return;
  if (!database_.broken_) {
    if (sqlite3_exec(database_.handle_, "COMMIT", nullptr, nullptr, nullptr) == SQLITE_OK) return;
  }
  database_.roll_back_and_fail();
}

Database::Transaction::~Transaction() {
  if (!open_) return;
  database_.broken_ = true;
  if (--database_.depth_ == 0) sqlite3_exec(database_.handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Database::roll_back_and_fail() {
  // What went wrong, before the roll back says that it went well.
  const int code = sqlite3_errcode(handle_);
  const std::string why = broken_ ? "a part of the change was given up" : sqlite3_errmsg(handle_);
  if (!sqlite3_get_autocommit(handle_)) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
  if (!broken_ && (code & 0xff) == SQLITE_IOERR && !withdraw())
    throw Error(
        ErrorKind::unavailable, "StoreUnavailable",
        fmt::format("The region's store {} cannot be written: {}. Whether this change was kept is known "
                    "when the region starts again.",
                    file_.string(), why),
        "Check the disk that it is on.");
  fail("cannot be written", code, why);
}

/// What a failed sync may have left whole at the end of the log would be there after a crash. The next change is
/// written over it: here is one that changes nothing.
bool Database::withdraw() {
  return sqlite3_exec(handle_, fmt::format("PRAGMA user_version={}", layout).c_str(), nullptr, nullptr,
                      nullptr) == SQLITE_OK;
}

void Database::check_transaction() const {
  // SQLite rolls a transaction back by itself when the disk is full; what follows must not be written alone.
  if (depth_ > 0 && sqlite3_get_autocommit(handle_))
    fail("cannot be written", SQLITE_ABORT, "the change that this belongs to was given up");
}

void Database::put(std::string_view table, std::string_view key, std::string_view document) {
  check_transaction();
  Statement(*this,
            "INSERT INTO document VALUES (?1, ?2, ?3) ON CONFLICT (kind, key) DO UPDATE SET document = ?3")
      .bind(1, table)
      .bind(2, key)
      .bind(3, document)
      .step();
}

void Database::erase(std::string_view table, std::string_view key) {
  check_transaction();
  Statement(*this, "DELETE FROM document WHERE kind = ?1 AND key = ?2").bind(1, table).bind(2, key).step();
}

std::vector<std::pair<std::string, std::string>> Database::all(std::string_view table) const {
  std::vector<std::pair<std::string, std::string>> rows;
  Statement read(*this, "SELECT key, document FROM document WHERE kind = ?1 ORDER BY key");
  read.bind(1, table);
  while (read.step()) rows.emplace_back(read.text(0), read.text(1));
  return rows;
}

std::vector<std::string> Database::kinds() const {
  std::vector<std::string> kinds;
  Statement read(*this, "SELECT DISTINCT kind FROM document ORDER BY kind");
  while (read.step()) kinds.push_back(read.text(0));
  return kinds;
}

void Database::set_aside(std::string_view table, const std::string& key) {
  check_transaction();
  const std::string aside = fmt::format("set-aside {}", table);
  std::string place = key;
  for (int n = 2; has(aside, place); ++n) place = fmt::format("{} {}", key, n);
  Statement(*this, "UPDATE document SET kind = ?1, key = ?2 WHERE kind = ?3 AND key = ?4")
      .bind(1, aside)
      .bind(2, place)
      .bind(3, table)
      .bind(4, key)
      .step();
}

bool Database::has(std::string_view table, std::string_view key) const {
  return Statement(*this, "SELECT 1 FROM document WHERE kind = ?1 AND key = ?2")
      .bind(1, table)
      .bind(2, key)
      .step();
}

void Database::copy_to(const std::filesystem::path& file) const {
  std::filesystem::path draft = file;
  draft += ".new";
  std::filesystem::remove(draft);
  sqlite3* copy = nullptr;
  const mode_t before = ::umask(0077);
  int result = sqlite3_open_v2(draft.c_str(), &copy,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  ::umask(before);
  // Its journal would be of no use: until it has its name, the copy is nothing.
  if (result == SQLITE_OK) result = sqlite3_exec(copy, "PRAGMA journal_mode=OFF", nullptr, nullptr, nullptr);
  sqlite3_backup* backup = result == SQLITE_OK ? sqlite3_backup_init(copy, "main", handle_, "main") : nullptr;
  if (backup) {
    sqlite3_backup_step(backup, -1);
    result = sqlite3_backup_finish(backup);
  } else {
    result = sqlite3_errcode(copy);
  }
  const std::string why = result == SQLITE_OK ? "" : sqlite3_errmsg(copy);
  sqlite3_close(copy);
  if (result == SQLITE_OK) return move_into_place(draft, file);
  std::filesystem::remove(draft);
  throw Error(ErrorKind::unavailable, "StoreUnavailable",
              fmt::format("The copy {} of the region's store cannot be written: {}.", file.string(), why),
              "Check the free space and the permissions of its folder.");
}

}  // namespace berth
