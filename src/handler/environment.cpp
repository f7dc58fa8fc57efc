#include "handler/environment.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::string_view file_name = "HandlerEnvironment.json";

[[noreturn]] void throw_malformed(const std::string& happened) {
  throw Error(ErrorKind::invalid, "BadHandlerEnvironment", happened,
              "The guest agent writes this file; restart it.");
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, trouble] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (trouble != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::string_view stripped(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

/// N of "N.settings"; other names ("foo.5.settings" of multi-config handlers, "HandlerState") give nothing.
std::optional<std::uint64_t> settings_number(const fs::path& file) {
  if (file.extension() != ".settings") return std::nullopt;
  return number(file.stem().string());
}

}  // namespace

fs::path HandlerEnvironment::library_folder() const {
  return config_folder.parent_path().parent_path();
}

HandlerEnvironment parse_handler_environment(std::string_view text) {
  const json document = json::parse(text, nullptr, false);
  if (!document.is_array() || document.size() != 1 || !document[0].is_object())
    throw_malformed(fmt::format("{} is not an array of one object.", file_name));
  const json& only = document[0];
  const auto inner = only.find("handlerEnvironment");
  if (inner == only.end() || !inner->is_object())
    throw_malformed(fmt::format("{} has no handlerEnvironment object.", file_name));
  const auto folder = [&](const char* key) {
    const auto found = inner->find(key);
    if (found == inner->end() || !found->is_string() || !fs::path(found->get<std::string>()).is_absolute())
      throw_malformed(fmt::format("{} has no absolute path in {}.", file_name, key));
    fs::path path = found->get<std::string>();
    return path.has_filename() ? path : path.parent_path();
  };
  HandlerEnvironment environment;
  if (const auto name = only.find("name"); name != only.end() && name->is_string())
    environment.name = name->get<std::string>();
  environment.log_folder = folder("logFolder");
  environment.config_folder = folder("configFolder");
  environment.status_folder = folder("statusFolder");
  return environment;
}

HandlerEnvironment find_handler_environment(const fs::path& executable_folder) {
  for (const fs::path& folder : {executable_folder, executable_folder.parent_path()}) {
    if (const auto text = read_file_if_there(folder / file_name)) {
      HandlerEnvironment environment = parse_handler_environment(*text);
      environment.handler_folder = folder;
      const std::string name = folder.filename().string();
      if (const std::size_t dash = name.rfind('-'); dash != std::string::npos)
        environment.version = name.substr(dash + 1);
      return environment;
    }
  }
  throw Error(ErrorKind::not_found, "NoHandlerEnvironment",
              fmt::format("{} is neither in {} nor in {}.", file_name, executable_folder.string(),
                          executable_folder.parent_path().string()),
              "The guest agent writes it when it unpacks the handler; run the handler through the agent.");
}

Sequence choose_sequence(const fs::path& config_folder, const std::optional<std::string>& told) {
  if (told) {
    if (const auto n = number(stripped(*told))) {
      const fs::path file = config_folder / (std::to_string(*n) + ".settings");
      std::error_code trouble;
      if (fs::exists(file, trouble)) return {*n, file};
    }
  }
  Sequence best;
  fs::file_time_type newest;
  std::error_code trouble;
  for (const auto& entry : fs::directory_iterator(config_folder, trouble)) {
    const auto n = settings_number(entry.path().filename());
    if (!n) continue;
    const fs::file_time_type time = entry.last_write_time(trouble);
    if (trouble) continue;
    if (best.file.empty() || time > newest || (time == newest && *n > best.number)) {
      best = {*n, entry.path()};
      newest = time;
    }
  }
  return best;
}

std::optional<std::uint64_t> read_mrseq(const fs::path& handler_folder) {
  const auto text = read_file_if_there(handler_folder / "mrseq");
  return text ? number(stripped(*text)) : std::nullopt;
}

void write_mrseq(const fs::path& handler_folder, std::uint64_t n) {
  if (read_mrseq(handler_folder) == n || !fs::exists(handler_folder)) return;
  write_file(handler_folder / "mrseq", std::to_string(n), 0600);
}

}  // namespace berth::extension
