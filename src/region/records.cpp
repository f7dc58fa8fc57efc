#include "region/records.h"

#include <spdlog/spdlog.h>

#include "base/error.h"

namespace berth {

void Records::after(std::function<void()> act) {
  if (!open_) throw std::logic_error("after() outside of a change");
  after_.push_back(std::move(act));
}

void Records::write(const std::string& kind, const std::string& key, std::optional<std::string> document) {
  if (!open_) throw std::logic_error("write() outside of a change");
  documents_.push_back({kind, key, std::move(document)});
}

void Records::join(ChangedTable& table) {
  if (!open_) throw std::logic_error("a row is changed outside of a change");
  tables_.insert(&table);
}

void Records::commit() {
  if (broken_) throw std::logic_error("a part of the change was given up");
  if (!tables_.empty() || !documents_.empty()) {
    Database::Transaction transaction(database_);
    for (ChangedTable* table : tables_) table->write();
    for (const Document& document : documents_)
      if (document.text)
        database_.put(document.kind, document.key, *document.text);
      else
        database_.erase(document.kind, document.key);
    transaction.commit();
  }
  for (ChangedTable* table : tables_) table->keep();
  tables_.clear();
  documents_.clear();
  open_ = false;
  for (const auto& act : std::exchange(after_, {})) try {
      act();
    } catch (const std::exception& error) {
      spdlog::error("after a change: {}", error.what());
    }
}

void Records::give_up() {
  for (ChangedTable* table : tables_) table->restore();
  tables_.clear();
  documents_.clear();
  after_.clear();
  open_ = broken_ = false;
}

}  // namespace berth
