#include "api/arm/secrets.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::size_t shortest = 4;
constexpr std::string_view in_its_place = "[secret]";

void mark(std::string_view text, std::string_view secret, std::vector<bool>& covered) {
  for (std::size_t at = text.find(secret); at != text.npos; at = text.find(secret, at + 1))
    std::fill_n(covered.begin() + static_cast<std::ptrdiff_t>(at), secret.size(), true);
}

}  // namespace

void Secrets::add(const json& value) {
  if (value.is_structured()) {
    for (const json& item : value) add(item);
  } else if (value.is_string() || value.is_number()) {
    std::string text = value.is_string() ? value.get<std::string>() : dump(value);
    if (text.size() >= shortest) texts_.push_back(std::move(text));
  }
}

void Secrets::add(const Secrets& others) {
  texts_.insert(texts_.end(), others.texts_.begin(), others.texts_.end());
}

std::string Secrets::redact(std::string_view text) const {
  std::vector<bool> covered(text.size());
  for (const std::string& secret : texts_) {
    mark(text, secret, covered);
    const std::string quoted = dump(json(secret));
    mark(text, std::string_view(quoted).substr(1, quoted.size() - 2), covered);
  }
  std::string clean;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!covered[i])
      clean += text[i];
    else if (i == 0 || !covered[i - 1])
      clean += in_its_place;
  }
  return clean;
}

json Secrets::redact_value(const json& value) const {
  if (value.is_string()) return redact(value.get_ref<const std::string&>());
  if (value.is_number())
    return std::ranges::find(texts_, dump(value)) == texts_.end() ? value : json(in_its_place);
  if (!value.is_structured()) return value;
  json clean = value.is_array() ? json::array() : json::object();
  if (value.is_array())
    for (const json& item : value) clean.push_back(redact_value(item));
  else
    for (const auto& [key, item] : value.items()) clean[redact(key)] = redact_value(item);
  return clean;
}

}  // namespace berth::arm
