#include "cli/json_file.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "host/files.h"

namespace berth {

using nlohmann::json;

json read_json_file(const std::filesystem::path& file) {
  const auto text = read_file_if_there(file);
  json document = text ? json::parse(*text, nullptr, false) : json::object();
  if (!document.is_object())
    throw Error(ErrorKind::invalid, "ConfigInvalid", fmt::format("{} is not a JSON object.", file.string()),
                "Correct it, or remove it and begin anew.");
  return document;
}

void change_json_file(const std::filesystem::path& file, const std::function<void(json&)>& change) {
  make_folder(file.parent_path());
  const FileLock lock =
      FileLock::take(file.parent_path() / fmt::format(".{}.lock", file.filename().string()));
  json document = read_json_file(file);
  change(document);
  write_file(file, document.dump(2) + "\n", 0600);
}

}  // namespace berth
