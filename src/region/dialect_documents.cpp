#include "region/dialect_documents.h"

#include "model/resources.h"
#include "region/records.h"

namespace berth {

void DialectDocuments::write(const std::string& table, const std::string& key,
                             std::optional<std::string> text) {
  records_.write("dialect " + table, key, text);
  records_.after([this, table, key, text = std::move(text)] {
    auto& rows = rows_of(table);
    if (text)
      rows[key] = *text;
    else
      rows.erase(key);
  });
}

void DialectDocuments::keep(const std::string& table, const std::string& key, const std::string& document) {
  rows_of(table);  // before there is more in the store
  records_.change([&] { write(table, key, document); });
}

void DialectDocuments::drop(const std::string& table, const std::string& key) {
  if (!find(table, key)) return;
  records_.change([&] { write(table, key, std::nullopt); });
}

// Tables are read from the store at their first use.
DialectDocuments::Rows& DialectDocuments::rows_of(const std::string& table) const {
  const auto known = tables_.find(table);
  if (known != tables_.end()) return known->second;
  auto& rows = tables_[table];
  for (auto& [key, text] : records_.all("dialect " + table)) rows.emplace(key, text);
  return rows;
}

std::optional<std::string> DialectDocuments::find(const std::string& table, const std::string& key) const {
  const auto& rows = rows_of(table);
  const auto found = rows.find(key);
  return found == rows.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::pair<std::string, std::string>> DialectDocuments::list(const std::string& table,
                                                                        const std::string& prefix) const {
  std::vector<std::pair<std::string, std::string>> found;
  const auto& rows = rows_of(table);
  for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix); ++row)
    found.push_back(*row);
  return found;
}

void DialectDocuments::each(
    const std::string& table,
    const std::function<void(const std::string& key, const std::string& document)>& look) const {
  for (const auto& [key, text] : rows_of(table)) look(key, text);
}

void DialectDocuments::erase_group(const std::string& group) {
  const std::string prefix = lower(group) + "/", in_group = "/resourcegroups/" + prefix,
                    of_dialect = "dialect ";
  constexpr std::string_view subscriptions = "/subscriptions/";
  for (const std::string& kind : records_.kinds())
    if (kind.starts_with(of_dialect)) rows_of(kind.substr(of_dialect.size()));
  for (const auto& [table, rows] : tables_) {
    for (auto row = rows.lower_bound(prefix); row != rows.end() && row->first.starts_with(prefix); ++row)
      write(table, row->first, std::nullopt);
    for (auto row = rows.lower_bound(std::string(subscriptions));
         row != rows.end() && row->first.starts_with(subscriptions); ++row) {
      const auto of_subscription = row->first.find('/', subscriptions.size());
      if (of_subscription != std::string::npos && row->first.substr(of_subscription).starts_with(in_group))
        write(table, row->first, std::nullopt);
    }
  }
}

}  // namespace berth
