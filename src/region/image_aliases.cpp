#include "region/image_aliases.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>

#include "base/error.h"
#include "images/gallery.h"
#include "model/names.h"
#include "region/region.h"

namespace berth {
namespace {

constexpr const char* alias_table = "image-alias";
constexpr std::size_t most_aliases = 256, longest_pattern = 200;

std::vector<std::string> parts_of_address(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t colon = std::min(text.find(':'), text.size());
    parts.push_back(lower(text.substr(0, colon)));
    if (colon == text.size()) return parts;
    text.remove_prefix(colon + 1);
  }
}

void check_pattern(const std::string& pattern) {
  const bool good = std::ranges::all_of(pattern, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-.*?:").find(c) != std::string_view::npos;
  });
  const std::vector<std::string> parts = parts_of_address(pattern);
  const bool any_empty = std::ranges::find(parts, std::string()) != parts.end();
  if (!good || pattern.size() > longest_pattern || any_empty || parts.size() < 2 || parts.size() > 4)
    throw Error(ErrorKind::invalid, "InvalidImageAlias",
                fmt::format("'{}' is no pattern of image names.", pattern.substr(0, longest_pattern)),
                "It is PUBLISHER:OFFER:SKU, each a name or with '*' in it: 'Canonical:*:*'.");
}

bool fits(const std::string& pattern, const std::vector<std::string>& address) {
  const std::vector<std::string> parts = parts_of_address(pattern);
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (i >= address.size() || ::fnmatch(parts[i].c_str(), address[i].c_str(), 0) != 0) return false;
  return true;
}

std::ptrdiff_t own_letters(const ImageAlias& alias) {
  return std::ranges::count_if(alias.pattern, [](char c) { return c != '*' && c != '?' && c != ':'; });
}

}  // namespace

bool put_image_alias(Region& region, const ImageAlias& alias) {
  check_pattern(alias.pattern);
  const auto image = region.images().gallery().find(alias.image);
  if (!image)
    throw Error(ErrorKind::not_found, "ImageNotFound", fmt::format("Image \"{}\" not found", alias.image),
                "'azure vm image list' shows the images that there are.");
  const std::string key = lower(alias.pattern);
  const bool created = !region.documents().find(alias_table, key);
  if (created && region.documents().list(alias_table).size() >= most_aliases)
    throw Error(ErrorKind::conflict, "TooManyImageAliases",
                fmt::format("The region has {} image aliases, which is the most.", most_aliases),
                "Remove some, or use patterns with '*'.");
  region.documents().keep(alias_table, key, alias.pattern + "=" + image->name);
  return created;
}

bool remove_image_alias(Region& region, const std::string& pattern) {
  const std::string key = lower(pattern);
  if (!region.documents().find(alias_table, key)) return false;
  region.documents().drop(alias_table, key);
  return true;
}

std::vector<ImageAlias> image_aliases(const Region& region) {
  std::vector<ImageAlias> all;
  for (const auto& [key, text] : region.documents().list(alias_table)) {
    const std::size_t equals = text.find('=');
    if (equals != text.npos) all.push_back({text.substr(0, equals), text.substr(equals + 1)});
  }
  std::ranges::stable_sort(all, std::ranges::greater(), own_letters);
  return all;
}

std::optional<ImageAlias> find_image_alias(const Region& region, std::string_view address) {
  const std::vector<std::string> parts = parts_of_address(address);
  for (ImageAlias& alias : image_aliases(region))
    if (fits(alias.pattern, parts)) return std::move(alias);
  return std::nullopt;
}

}  // namespace berth
