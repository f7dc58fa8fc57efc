#include "store/database.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include "base/error.h"

namespace berth {
namespace {

constexpr int layout = 1;

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
  const mode_t before = ::umask(0077);
  const int opened = sqlite3_open_v2(
      file.c_str(), &handle_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  ::umask(before);
  try {
    if (opened != SQLITE_OK) fail("cannot be opened");
    sqlite3_busy_timeout(handle_, 5000);
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA synchronous=FULL");
    int version = 0;
    {
      Statement read(*this, "PRAGMA user_version");
      if (read.step()) version = read.number(0);
    }
    if (version > layout)
      throw Error(ErrorKind::conflict, "StoreTooNew",
                  fmt::format("{} was written by a newer version of Berth (layout {}, this one knows {}).",
                              file.string(), version, layout),
                  "Use that version, or start a new region with another BERTH_HOME.");
    if (version < 1) {
      Transaction change(*this);
      execute(
          "CREATE TABLE document (kind TEXT NOT NULL, key TEXT NOT NULL, document TEXT NOT NULL,"
          " PRIMARY KEY (kind, key)) WITHOUT ROWID");
      execute("PRAGMA user_version=1");
      change.commit();
    }
  } catch (...) {
    sqlite3_close(handle_);
    throw;
  }
}

Database::~Database() {
  sqlite3_close(handle_);
}

void Database::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail("cannot be read or written");
}

void Database::fail(const std::string& what) const {
  const int code = handle_ ? sqlite3_errcode(handle_) : SQLITE_NOMEM;
  const bool damaged = code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
  throw Error(
      ErrorKind::unavailable, damaged ? "StoreDamaged" : "StoreUnavailable",
      fmt::format("The region's store {} {}: {}.", file_.string(), what,
                  handle_ ? sqlite3_errmsg(handle_) : "no memory"),
      damaged ? "Put back a copy of it, or begin a new region in another folder with BERTH_HOME; the disks "
                "of the virtual machines are in vm/ beside it."
              : "Check the free space and the permissions of its folder.");
}

Database::Transaction::Transaction(Database& database) : database_(database) {
  if (database_.depth_++ == 0) {
    database_.broken_ = false;
    database_.execute("BEGIN IMMEDIATE");
  }
}

void Database::Transaction::commit() {
  open_ = false;
  if (--database_.depth_ > 0) return;
  if (database_.broken_) {
    database_.execute("ROLLBACK");
    database_.fail("lost a change that was part of a larger one");
  }
  database_.execute("COMMIT");
}

Database::Transaction::~Transaction() {
  if (!open_) return;
  database_.broken_ = true;
  if (--database_.depth_ == 0) sqlite3_exec(database_.handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Database::put(std::string_view table, std::string_view key, std::string_view document) {
  Statement(*this,
            "INSERT INTO document VALUES (?1, ?2, ?3) ON CONFLICT (kind, key) DO UPDATE SET document = ?3")
      .bind(1, table)
      .bind(2, key)
      .bind(3, document)
      .step();
}

void Database::erase(std::string_view table, std::string_view key) {
  Statement(*this, "DELETE FROM document WHERE kind = ?1 AND key = ?2").bind(1, table).bind(2, key).step();
}

std::vector<std::pair<std::string, std::string>> Database::all(std::string_view table) const {
  std::vector<std::pair<std::string, std::string>> rows;
  Statement read(*this, "SELECT key, document FROM document WHERE kind = ?1 ORDER BY key");
  read.bind(1, table);
  while (read.step()) rows.emplace_back(read.text(0), read.text(1));
  return rows;
}

}  // namespace berth
