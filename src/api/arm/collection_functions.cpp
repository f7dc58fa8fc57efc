#include "api/arm/template_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "api/arm/document.h"
#include "api/arm/text_units.h"

/// Of arrays and objects; some take text as well.
namespace berth::arm {
namespace {

using namespace template_functions;
using nlohmann::json;

json concat(Arguments& arguments) {
  if (!arguments.empty() && arguments[0].is_array()) {
    json joined = json::array();
    for (std::size_t i = 0; i < arguments.size(); ++i)
      for (const json& item : array(arguments, i)) joined.push_back(item);
    if (joined.size() > static_cast<std::size_t>(most_items)) refuse("the array grows beyond 10,000 items");
    return joined;
  }
  std::string joined;
  for (const json& argument : arguments) {
    if (argument.is_array() || argument.is_object())
      refuse("strings and arrays cannot be joined with each other");
    joined += template_text(argument);
  }
  return checked(std::move(joined));
}

json to_array(Arguments& arguments) {
  return arguments[0].is_array() ? arguments[0] : json::array({arguments[0]});
}
json create_array(Arguments& arguments) {
  return json(arguments.values);
}
json create_object(Arguments& arguments) {
  if (arguments.size() % 2 != 0) refuse("it needs a value for each key");
  json made = json::object();
  for (std::size_t i = 0; i < arguments.size(); i += 2) made[text(arguments, i)] = arguments[i + 1];
  return made;
}

json contains(Arguments& arguments) {
  const json& container = arguments[0];
  if (container.is_object()) return find_member(container, text(arguments, 1)) != nullptr;
  if (container.is_array()) return std::ranges::find(container, arguments[1]) != container.end();
  return find_text(text(arguments, 0), template_text(arguments[1])) != std::string::npos;
}

json is_empty(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_null()) return true;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (!value.is_structured()) refuse("argument 1 must be a string, an array or an object");
  return value.empty();
}

json length(Arguments& arguments) {
  if (arguments[0].is_string()) return count_units(arguments[0].get_ref<const std::string&>());
  if (!arguments[0].is_structured()) refuse("argument 1 must be a string, an array or an object");
  return arguments[0].size();
}

json first(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_string()) return units_of(value.get_ref<const std::string&>(), 0, 1);
  return array(arguments, 0).empty() ? json() : value.front();
}
json last(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_string()) {
    const auto& whole_text = value.get_ref<const std::string&>();
    const std::size_t units = count_units(whole_text);
    return units_of(whole_text, units - std::min<std::size_t>(units, 1), 1);
  }
  return array(arguments, 0).empty() ? json() : value.back();
}

json index_of(const json& container, const json& wanted, bool from_end) {
  if (container.is_string()) {
    std::string where = lower_letters(container.get_ref<const std::string&>());
    std::string what = lower_letters(template_text(wanted));
    const auto reverse = [&] {
      std::ranges::reverse(where);
      std::ranges::reverse(what);
    };
    if (from_end) reverse();
    std::size_t found = find_text(where, what);
    if (found == std::string::npos) return std::int64_t{-1};
    if (from_end) {
      reverse();
      found = where.size() - what.size() - found;
    }
    return static_cast<std::int64_t>(count_units(std::string_view(where).substr(0, found)));
  }
  if (!container.is_array()) refuse("argument 1 must be a string or an array");
  std::int64_t found = -1;
  for (std::size_t i = 0; i < container.size() && (from_end || found < 0); ++i)
    if (container[i] == wanted) found = static_cast<std::int64_t>(i);
  return found;
}
json first_index_of(Arguments& arguments) {
  return index_of(arguments[0], arguments[1], false);
}
json last_index_of(Arguments& arguments) {
  return index_of(arguments[0], arguments[1], true);
}

json part(Arguments& arguments, bool skip) {
  const std::int64_t count = std::max<std::int64_t>(0, whole(arguments, 1));
  if (arguments[0].is_string()) {
    const auto& value = arguments[0].get_ref<const std::string&>();
    const auto cut = static_cast<std::size_t>(count);
    return skip ? units_of(value, cut, std::string::npos) : units_of(value, 0, cut);
  }
  const json& value = array(arguments, 0);
  const auto cut = static_cast<std::ptrdiff_t>(std::min(value.size(), static_cast<std::size_t>(count)));
  return skip ? json(std::vector<json>(value.begin() + cut, value.end()))
              : json(std::vector<json>(value.begin(), value.begin() + cut));
}
json skip(Arguments& arguments) {
  return part(arguments, true);
}
json take(Arguments& arguments) {
  return part(arguments, false);
}

json range(Arguments& arguments) {
  const std::int64_t start = whole(arguments, 0), count = whole(arguments, 1);
  if (count < 0 || count > most_items) refuse("argument 2 must be a number from 0 to 10000");
  if (start > 2'147'483'647 - count || start < -2'147'483'648) refuse("the range leaves the integers");
  json made = json::array();
  for (std::int64_t i = 0; i < count; ++i) made.push_back(start + i);
  return made;
}

/// Objects merge key by key, what is later wins.
void merge_into(json& merged, const json& added, bool deep) {
  for (const auto& [key, value] : added.get_ref<const json::object_t&>()) {
    json& at = merged[key];
    if (deep && at.is_object() && value.is_object())
      merge_into(at, value, true);
    else
      at = value;
  }
}

/// Values that were seen, in an order of their own: looking one up takes few comparisons, whatever they are.
class Seen {
 public:
  explicit Seen(Arguments& arguments) : budget_(arguments.budget) {}
  /// False when it is there already.
  bool add(const json& value) { return values_.emplace(&value).second; }
  bool has(const json& value) const { return values_.contains(&value); }

 private:
  struct Less {
    Budget& budget;
    bool operator()(const json* a, const json* b) const {
      budget.spend(cost(*a, *b));
      return *a < *b;
    }
  };
  /// No more than a comparison takes.
  static std::size_t cost(const json& a, const json& b) {
    if (a.type() != b.type()) return 8;
    if (a.is_string())
      return 8 + std::min(a.get_ref<const std::string&>().size(), b.get_ref<const std::string&>().size()) / 8;
    std::size_t sum = 8;
    if (a.is_array())
      for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += cost(a[i], b[i]);
    if (a.is_object()) {
      const auto &left = a.get_ref<const json::object_t&>(), &right = b.get_ref<const json::object_t&>();
      for (auto i = left.begin(), j = right.begin(); i != left.end() && j != right.end(); ++i, ++j)
        sum += 8 + i->first.size() / 8 + cost(i->second, j->second);
    }
    return sum;
  }

  Budget& budget_;
  std::set<const json*, Less> values_{Less{budget_}};
};

void check_same_kind(const Arguments& arguments) {
  for (const json& argument : arguments)
    if (argument.type() != arguments[0].type() || !argument.is_structured())
      refuse("all arguments must be arrays, or all objects");
}

/// Arrays keep each value once.
json set_union(Arguments& arguments) {
  check_same_kind(arguments);
  if (arguments[0].is_object()) {
    json result = arguments[0];
    for (std::size_t i = 1; i < arguments.size(); ++i) merge_into(result, arguments[i], true);
    return result;
  }
  json result = json::array();
  Seen seen(arguments);
  for (const json& argument : arguments)
    for (const json& item : argument)
      if (seen.add(item)) result.push_back(item);
  return result;
}

json intersection(Arguments& arguments) {
  check_same_kind(arguments);
  if (arguments[0].is_array()) {
    std::vector<Seen> others;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
      others.emplace_back(arguments);
      for (const json& item : arguments[i]) others.back().add(item);
    }
    Seen kept(arguments);
    json result = json::array();
    for (const json& item : arguments[0])
      if (std::ranges::all_of(others, [&](const Seen& other) { return other.has(item); }) && kept.add(item))
        result.push_back(item);
    return result;
  }
  json result = json::object();
  for (const auto& [key, value] : arguments[0].items())
    if (std::ranges::all_of(arguments, [&](const json& other) {
          const auto found = other.find(key);
          return found != other.end() && *found == value;
        }))
      result[key] = value;
  return result;
}

json shallow_merge(Arguments& arguments) {
  json result = json::object();
  for (const json& item : array(arguments, 0)) {
    if (!item.is_object()) refuse("argument 1 must be an array of objects");
    merge_into(result, item, false);
  }
  return result;
}

json flatten(Arguments& arguments) {
  json flat = json::array();
  for (const json& item : array(arguments, 0)) {
    if (!item.is_array()) refuse("argument 1 must be an array of arrays");
    for (const json& inner : item) flat.push_back(inner);
  }
  return flat;
}

json items(Arguments& arguments) {
  if (!arguments[0].is_object()) refuse("argument 1 must be an object");
  json list = json::array();
  for (const auto& [key, value] : arguments[0].items()) list.push_back({{"key", key}, {"value", value}});
  return list;
}
json object_keys(Arguments& arguments) {
  if (!arguments[0].is_object()) refuse("argument 1 must be an object");
  json list = json::array();
  for (const auto& [key, value] : arguments[0].items()) list.push_back(key);
  return list;
}

/// From 1, the last item.
const json* item_from_end(const Arguments& arguments) {
  const json& list = array(arguments, 0);
  const std::int64_t index = whole(arguments, 1);
  if (index < 1 || index > static_cast<std::int64_t>(list.size())) return nullptr;
  return &list[list.size() - static_cast<std::size_t>(index)];
}
json index_from_end(Arguments& arguments) {
  if (const json* found = item_from_end(arguments)) return *found;
  refuse(fmt::format("the index {} from the end is out of bounds: there are {} items, counted from 1",
                     dump(arguments[1]), arguments[0].size()));
}
json try_index_from_end(Arguments& arguments) {
  if (arguments[0].is_null()) return nullptr;
  const json* found = item_from_end(arguments);
  return found ? *found : json();
}

json try_get(Arguments& arguments) {
  const json* at = &arguments[0];
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (at->is_object() && arguments[i].is_string()) {
      at = find_member(*at, text(arguments, i));
      if (!at) return nullptr;
    } else if (at->is_array() && arguments[i].is_number_integer()) {
      const std::int64_t index = whole(arguments, i);
      if (index < 0 || index >= static_cast<std::int64_t>(at->size())) return nullptr;
      at = &(*at)[static_cast<std::size_t>(index)];
    } else {
      return nullptr;
    }
  }
  return *at;
}

constexpr TemplateFunction collection_table[] = {
    {"array", 1, 1, to_array},
    {"concat", 0, -1, concat},
    {"contains", 2, 2, contains},
    {"createArray", 0, -1, create_array},
    {"createObject", 0, -1, create_object},
    {"empty", 1, 1, is_empty},
    {"first", 1, 1, first},
    {"flatten", 1, 1, flatten},
    {"indexFromEnd", 2, 2, index_from_end},
    {"indexOf", 2, 2, first_index_of},
    {"intersection", 2, -1, intersection},
    {"items", 1, 1, items},
    {"last", 1, 1, last},
    {"lastIndexOf", 2, 2, last_index_of},
    {"length", 1, 1, length},
    {"objectKeys", 1, 1, object_keys},
    {"range", 2, 2, range},
    {"shallowMerge", 1, 1, shallow_merge},
    {"skip", 2, 2, skip},
    {"take", 2, 2, take},
    {"tryGet", 2, -1, try_get},
    {"tryIndexFromEnd", 2, 2, try_index_from_end},
    {"union", 2, -1, set_union},
};

}  // namespace

std::span<const TemplateFunction> template_functions::collection() {
  return collection_table;
}

}  // namespace berth::arm
