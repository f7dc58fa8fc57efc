#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace berth {

class Records;

/// Tables of small documents for the dialects: kept with the rest, opaque here (deployments, management
/// certificates).
class DialectDocuments {
 public:
  explicit DialectDocuments(Records& records) : records_(records) {}

  void keep(const std::string& table, const std::string& key, const std::string& document);
  void drop(const std::string& table, const std::string& key);
  std::optional<std::string> find(const std::string& table, const std::string& key) const;
  std::vector<std::pair<std::string, std::string>> list(const std::string& table,
                                                        const std::string& prefix = {}) const;
  /// The same, without copies: for those who look for one among many. Changes nothing.
  void each(const std::string& table,
            const std::function<void(const std::string& key, const std::string& document)>& look) const;
  /// Within a change: those whose key begins with it, or is the lower case id of something in it.
  void erase_group(const std::string& group);

 private:
  using Rows = std::map<std::string, std::string>;
  Rows& rows_of(const std::string& table) const;
  void write(const std::string& table, const std::string& key, std::optional<std::string> text);

  Records& records_;
  mutable std::map<std::string, Rows> tables_;  ///< read from the store at their first use
};

}  // namespace berth
