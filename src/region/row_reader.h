#pragma once

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "region/soundness.h"
#include "store/database.h"
#include "store/documents.h"

namespace berth {

/// Reads the store's rows at start. A row that cannot be read, or is not sound, stops nobody: it is set aside
/// in the store, named in the log, and tried again at each start, so that a version that can read it takes it
/// back.
class RowReader {
 public:
  explicit RowReader(Database& database) : database_(database) {}

  /// Calls take(key, value) for all rows of a kind, in the order of their keys.
  template <class T, class Take>
  void read(const std::string& kind, Take take) {
    take_back<T>(kind);
    for (const auto& [key, document] : database_.all(kind)) {
      T value;
      std::string why = read_into(value, document);
      if (why.empty() && key_of(value) != key) why = fmt::format("it is that of '{}'", key_of(value));
      if (why.empty())
        take(key, std::move(value));
      else
        set_aside(kind, key, why);
    }
  }

  /// "vm g/web1: why", for each row that is set aside.
  const std::vector<std::string>& aside() const { return aside_; }

 private:
  template <class T>
  static std::string read_into(T& value, const std::string& document) {
    try {
      value = from_document<T>(document);
      return fault_in(value);
    } catch (const Error& error) {
      return error.what();
    }
  }

  template <class T>
  void take_back(const std::string& kind) {
    std::set<std::string> known;
    const std::string aside = "set-aside " + kind;
    for (const auto& [place, document] : database_.all(aside)) {
      T value;
      const std::string why = read_into(value, document);
      if (known.empty())
        for (auto& row : database_.all(kind)) known.insert(std::move(row.first));
      if (!why.empty() || !known.insert(key_of(value)).second) {
        aside_.push_back(
            fmt::format("{} {}: {}", kind, place, why.empty() ? "another one has been made since" : why));
        spdlog::warn("still set aside {}", aside_.back());
        continue;
      }
      Database::Transaction change(database_);
      database_.put(kind, key_of(value), document);
      database_.erase(aside, place);
      change.commit();
      spdlog::info("took back {} {}", kind, key_of(value));
    }
  }

  void set_aside(const std::string& kind, const std::string& key, const std::string& why) {
    database_.set_aside(kind, key);
    aside_.push_back(fmt::format("{} {}: {}", kind, key, why));
    spdlog::error(
        "set aside {}. The region goes on without it; its document is kept in the store (kind 'set-aside "
        "{}') and "
        "its files stay. region.db.backup beside the store is the last state in which all could be read.",
        aside_.back(), kind);
  }

  Database& database_;
  std::vector<std::string> aside_;
};

}  // namespace berth
