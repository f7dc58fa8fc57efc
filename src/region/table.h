#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "model/resources.h"
#include "region/records.h"
#include "region/row_reader.h"
#include "store/documents.h"

namespace berth {

/// What a resource refers to, as a term of its table's index: ("vm", REF).
inline std::string term(const char* what, const Ref& ref) {
  return std::string(what) + " " + ref.key();
}

/// The resources of one kind, in the order of their keys.
template <class T>
class Table : public ChangedTable {
 public:
  using Terms = std::vector<std::string> (*)(const T&);

  /// `terms`: by which with() finds rows.
  Table(Records& records, const char* kind, Terms terms = nullptr)
      : records_(records), kind_(kind), terms_(terms) {}

  void load(RowReader& rows) {
    rows.read<T>(kind_, [this](const std::string& key, T value) {
      index(key, value);
      rows_.emplace(key, std::move(value));
    });
  }

  const T* find(const std::string& key) const {
    const auto found = rows_.find(key);
    return found == rows_.end() ? nullptr : &found->second;
  }
  const T* find(const Ref& ref) const { return find(ref.key()); }
  std::vector<const T*> list(const std::string& group) const {
    std::vector<const T*> found;
    if (group.empty()) {
      found.reserve(rows_.size());
      for (const auto& [key, row] : rows_) found.push_back(&row);
      return found;
    }
    const std::string prefix = lower(group) + "/";
    for (auto at = rows_.lower_bound(prefix); at != rows_.end() && at->first.starts_with(prefix); ++at)
      found.push_back(&at->second);
    return found;
  }
  /// Those that have this term, in the order of their keys.
  std::vector<const T*> with(const std::string& term) const {
    refresh_index();
    std::vector<const T*> found;
    for (auto at = index_.lower_bound({term, ""}); at != index_.end() && at->first == term; ++at)
      found.push_back(&rows_.at(at->second));
    return found;
  }
  const std::map<std::string, T>& rows() const { return rows_; }

  // --- within a change

  /// A row to be changed in place; it must be there.
  T& edit(const std::string& key) {
    touch(key);
    return rows_.at(key);
  }
  T& edit(const Ref& ref) { return edit(ref.key()); }
  T& edit(const T& row) { return edit(key_of(row)); }
  T& put(T value) {
    const std::string key = key_of(value);
    touch(key);
    return rows_.insert_or_assign(key, std::move(value)).first->second;
  }
  void erase(const std::string& key) {
    touch(key);
    unindex(key);
    rows_.erase(key);
  }
  void erase(const Ref& ref) { erase(ref.key()); }

  /// A row, for members that the store does not keep; nullptr when it is not there.
  T* unkept(const Ref& ref) {
    const auto found = rows_.find(ref.key());
    return found == rows_.end() ? nullptr : &found->second;
  }

 private:
  /// Once for each row of a change, before it is changed.
  void touch(const std::string& key) {
    records_.join(*this);
    const auto found = rows_.find(key);
    before_.try_emplace(key, found == rows_.end() ? std::nullopt : std::optional(found->second));
  }
  void write() override {
    for (const auto& [key, before] : before_) {
      const auto row = rows_.find(key);
      if (row != rows_.end())
        records_.database().put(kind_, key, to_document(row->second));
      else if (before)
        records_.database().erase(kind_, key);
    }
  }
  void keep() override {
    refresh_index();
    before_.clear();
  }
  void restore() override {
    for (auto& [key, before] : std::exchange(before_, {})) {
      unindex(key);
      if (!before) {
        rows_.erase(key);
        continue;
      }
      index(key, *before);
      rows_.insert_or_assign(key, *std::move(before));
    }
  }

  void refresh_index() const {
    for (const auto& [key, before] : before_)
      if (const auto row = rows_.find(key); row != rows_.end()) index(key, row->second);
  }
  void index(const std::string& key, const T& value) const {
    if (!terms_) return;
    std::vector<std::string> now = terms_(value);
    if (const auto known = indexed_.find(key); known != indexed_.end() && known->second == now) return;
    unindex(key);
    for (const std::string& term : now) index_.emplace(term, key);
    indexed_[key] = std::move(now);
  }
  void unindex(const std::string& key) const {
    const auto known = indexed_.find(key);
    if (known == indexed_.end()) return;
    for (const std::string& term : known->second) index_.erase({term, key});
    indexed_.erase(known);
  }

  Records& records_;
  const char* kind_;
  Terms terms_;
  std::map<std::string, T> rows_;
  std::map<std::string, std::optional<T>> before_;  ///< rows of this change, as they were; nullopt: not there
  // What the rows are found by; of changed ones brought up to date when somebody looks.
  mutable std::set<std::pair<std::string, std::string>> index_;      ///< term, key
  mutable std::map<std::string, std::vector<std::string>> indexed_;  ///< what the index has of a key
};

}  // namespace berth
