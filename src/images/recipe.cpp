#include "images/recipe.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "crypto/encoding.h"
#include "host/files.h"

namespace berth {
namespace {

std::string_view text_of(const std::string& name) {
  for (const RecipeFile& file : recipe_files())
    if (file.name == name) return file.text;
  throw Error(ErrorKind::internal, "InternalError", fmt::format("The recipe has no file '{}'.", name));
}

Recipe debian(const std::string& number, const std::string& suite, const std::string& docker) {
  const std::string with = docker.empty() ? "" : "docker-" + docker + "-";
  Recipe recipe;
  recipe.image.name = fmt::format("berth__Debian-{}-amd64-{}en-us-30GB", number, with);
  recipe.image.label =
      fmt::format("Debian {}{}", number, docker.empty() ? "" : " with Docker Engine " + docker);
  recipe.image.publisher = "Debian";
  recipe.image.offer = "debian-" + number;
  recipe.image.sku = docker.empty() ? number : number + "-docker";
  recipe.image.version = number + ".0.1";
  recipe.image.family = "Debian " + number;
  recipe.image.category = "Public";
  recipe.image.docker = !docker.empty();
  recipe.alias = fmt::format("Debian-{}{}", number, docker.empty() ? "" : "-docker");
  recipe.suite = suite;
  recipe.takes_identity = suite != "bookworm";
  recipe.package_lists = {"base"};
  if (recipe.image.docker) recipe.package_lists.push_back("docker");
  if (recipe.image.docker && suite != "bookworm") recipe.package_lists.push_back("docker-client");
  return recipe;
}

}  // namespace

std::vector<std::string> Recipe::packages() const {
  std::vector<std::string> names;
  for (const std::string& list : package_lists) {
    std::string_view rest = text_of("packages/" + list);
    while (!rest.empty()) {
      const auto end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = rest.substr(0, end);
      if (!line.empty() && line.front() != '#') names.emplace_back(line);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  return names;
}

std::string Recipe::hash() const {
  std::string whole = fmt::format("{}\n{}\n", suite, image.size_gib);
  for (const std::string& package : packages()) whole += package + "\n";
  for (const RecipeFile& file : recipe_files())
    if (!file.name.starts_with("packages/"))
      whole += fmt::format("{} {}\n{}", file.name, file.text.size(), file.text);
  return sha256_hex(whole).substr(0, 16);
}

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all{debian("13", "trixie", "26.1"), debian("13", "trixie", ""),
                                       debian("12", "bookworm", "20.10"), debian("12", "bookworm", "")};
  return all;
}

void write_recipe_files(const std::filesystem::path& folder) {
  for (const RecipeFile& file : recipe_files()) {
    const auto path = folder / file.name;
    make_folder(path.parent_path(), 0755);
    write_file(path, file.text, file.text.starts_with("#!") ? 0755 : 0644);
  }
}

}  // namespace berth
