#include "endpoints/classic/kept_documents.h"

#include <nlohmann/json.hpp>

namespace berth::classic {

using nlohmann::json;

json read_document(const Region& region, const char* table, const std::string& key) {
  const auto text = region.documents().find(table, key);
  json document = text ? json::parse(*text, nullptr, false) : json::object();
  return document.is_object() ? document : json::object();
}

}  // namespace berth::classic
