#include "store/documents.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "store/members.h"

namespace berth {
namespace {

using Json = nlohmann::json;

Error damaged(const std::string& why) {
  return Error(ErrorKind::internal, "StoreDamaged",
               "A document of the region's store is damaged: " + why + ".");
}

template <class T>
bool in_range(const Json& json) {
  return json.is_number_unsigned() ? std::in_range<T>(json.get<std::uint64_t>())
                                   : std::in_range<T>(json.get<std::int64_t>());
}

template <class T>
Json write(const T& value);
template <class T>
void read(const Json& json, T& value);

template <class T>
Json write(const std::vector<T>& list) {
  Json out = Json::array();
  for (const T& item : list) out.push_back(write(item));
  return out;
}
template <class T>
Json write(const std::optional<T>& value) {
  return value ? write(*value) : Json();
}
template <class T>
Json write(const T& value) {
  if constexpr (HasMembers<T>) {
    Json out = Json::object();
    for_each_member([&](const char* name, const auto& field) { out[name] = write(field); }, value);
    return out;
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<int>(value);
  } else {
    return value;
  }
}

// What is read takes the place of what was there: of a default, too.
template <class T>
void read(const Json& json, std::vector<T>& list) {
  std::vector<T> items;
  items.reserve(json.size());
  for (const Json& item : json.get_ref<const Json::array_t&>()) read(item, items.emplace_back());
  list = std::move(items);
}
template <class T>
void read(const Json& json, std::optional<T>& value) {
  value.reset();
  if (!json.is_null()) read(json, value.emplace());
}
template <class T>
void read(const Json& json, T& value) {
  if constexpr (HasMembers<T>) {
    const auto& object = json.get_ref<const Json::object_t&>();
    for_each_member(
        [&](const char* name, auto& field) {
          if (const auto found = object.find(name); found != object.end()) read(found->second, field);
        },
        value);
  } else if constexpr (std::is_enum_v<T>) {
    const auto number = json.get<std::int64_t>();
    if (!json.is_number_integer() || number < 0 || number > static_cast<int>(last_of<T>))
      throw damaged(fmt::format("{} is none of the values that it can have", json.dump()));
    value = static_cast<T>(number);
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if (!json.is_number_integer() || !in_range<T>(json))
      throw damaged(fmt::format("{} is not a number that can stand there", json.dump()));
    json.get_to(value);
  } else {
    json.get_to(value);
  }
}

}  // namespace

template <class T>
std::string to_document(const T& value) {
  return write(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T>
T from_document(std::string_view document) {
  T value;
  try {
    read(Json::parse(document), value);
  } catch (const Json::exception& e) {
    throw damaged(e.what());
  }
  return value;
}

template std::string to_document(const ResourceGroup&);
template std::string to_document(const VirtualNetwork&);
template std::string to_document(const PublicAddress&);
template std::string to_document(const SecurityGroup&);
template std::string to_document(const NetworkInterface&);
template std::string to_document(const LoadBalancer&);
template std::string to_document(const Disk&);
template std::string to_document(const Vm&);
template std::string to_document(const InertResource&);
template std::string to_document(const Operation&);
template ResourceGroup from_document(std::string_view);
template VirtualNetwork from_document(std::string_view);
template PublicAddress from_document(std::string_view);
template SecurityGroup from_document(std::string_view);
template NetworkInterface from_document(std::string_view);
template LoadBalancer from_document(std::string_view);
template Disk from_document(std::string_view);
template Vm from_document(std::string_view);
template InertResource from_document(std::string_view);
template Operation from_document(std::string_view);

}  // namespace berth
