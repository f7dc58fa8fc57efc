#include "api/wire/handler_package.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <pugixml.hpp>
#include <set>

#include "api/wire/zip_directory.h"
#include "base/error.h"
#include "model/names.h"

namespace berth::wire {
namespace {

using nlohmann::json;

constexpr std::uint64_t largest_unpacked = 512ULL * 1024 * 1024, largest_file = 256ULL * 1024 * 1024;
/// Programs unpack to three or four times their size, texts to ten times. What unpacks to more was made to
/// cost memory and time; small packages may.
constexpr std::uint64_t highest_ratio = 50, always_allowed = 16ULL * 1024 * 1024;
constexpr std::size_t most_entries = 10'000;
constexpr std::size_t largest_manifest = std::size_t{1024} * 1024;
constexpr std::size_t longest_beginning = 256;  ///< of a program: enough for "#!" lines and ELF headers
constexpr std::string_view manifest_name = "HandlerManifest.json";
constexpr std::string_view commands[] = {"install", "enable", "update", "disable", "uninstall"};

bool is_name(std::string_view text, bool with_dots) {
  const auto allowed = [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (with_dots && c == '.');
  };
  return !text.empty() && text.size() <= 80 && std::all_of(text.begin(), text.end(), allowed) &&
         text.front() != '.' && text.back() != '.' && text.find("..") == text.npos;
}

std::string_view file_of(std::string_view path) {
  return path.substr(path.rfind('/') == path.npos ? 0 : path.rfind('/') + 1);
}

/// True for a relative path that stays in its folder.
bool stays_inside(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find('\\') != path.npos || path.find('\0') != path.npos)
    return false;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    if (path.substr(0, end) == "..") return false;
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return true;
}

/// "bin/h" of "./bin//x/../h": what the guest's file system makes of a path.
std::string normal(std::string_view path) {
  return std::filesystem::path(path).lexically_normal().string();
}

/// The first word of a command line as the shell reads it, quotes taken off.
std::string first_word(std::string_view line) {
  std::string word;
  char quote = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (!quote && std::string_view(" \t\r\n;&|<>").find(c) != std::string_view::npos) break;
    if (quote ? c == quote : c == '"' || c == '\'') {
      quote = quote ? 0 : c;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      word += line[++i];
    } else {
      word += c;
    }
  }
  return word;
}

/// The files of a zip: of the manifests all, of the others the beginning.
class Zip {
 public:
  /// Throws PackageFault.
  explicit Zip(const std::string& bytes)
      : reader_(archive_read_new(), &archive_read_free),
        most_(std::min(largest_unpacked, always_allowed + highest_ratio * bytes.size())) {
    if (std::string fault = zip_directory_fault(bytes); !fault.empty())
      throw PackageFault{std::move(fault), "Pack it again: a zip lists each of its files once, at its end."};
    archive_read_support_format_zip_seekable(reader_.get());  // the one that reads the directory
    check(archive_read_open_memory(reader_.get(), bytes.data(), bytes.size()));
    for (archive_entry* entry = nullptr;;) {
      const int result = archive_read_next_header(reader_.get(), &entry);
      if (result == ARCHIVE_EOF) return;
      check(result);
      if (++entries_ > most_entries)
        throw PackageFault{fmt::format("it has more than {} entries", most_entries), ""};
      read_entry(entry);
    }
  }

  std::map<std::string, std::string> files;  ///< path -> text, or its beginning

 private:
  void check(la_ssize_t result) {
    if (result >= ARCHIVE_WARN) return;
    const char* why = archive_error_string(reader_.get());
    throw PackageFault{why ? why : "it is not a zip file", ""};
  }

  void read_entry(archive_entry* entry) {
    const char* raw_name = archive_entry_pathname(entry);
    const std::string name = raw_name ? raw_name : "";
    if (!stays_inside(name))
      throw PackageFault{fmt::format("its entry \"{}\" leads outside the package", name), ""};
    if (archive_entry_filetype(entry) == AE_IFDIR) return;
    if (archive_entry_filetype(entry) != AE_IFREG)
      throw PackageFault{fmt::format("its entry {} is neither a file nor a folder", name),
                         "The guest agent unpacks files and folders only: put a copy in place of a link."};
    if (archive_entry_is_encrypted(entry))
      throw PackageFault{fmt::format("its entry {} is encrypted", name), ""};
    const bool whole = file_of(name) == manifest_name || normal(name) == "manifest.xml";
    std::string& text = files[normal(name)];
    text.clear();  // of two entries by one name the guest keeps the last
    for (std::uint64_t size = 0;;) {
      const la_ssize_t count = archive_read_data(reader_.get(), chunk_.data(), chunk_.size());
      check(count);
      if (count <= 0) return;
      unpacked_ += static_cast<std::uint64_t>(count);
      size += static_cast<std::uint64_t>(count);
      if (size > largest_file)
        throw PackageFault{fmt::format("its {} unpacks to more than {} MiB", name, largest_file >> 20), ""};
      if (unpacked_ > most_)
        throw PackageFault{
            fmt::format("it unpacks to more than {} MiB", most_ >> 20),
            fmt::format("A package may be {} MiB unpacked, and beyond {} MiB no more than {} times its size.",
                        largest_unpacked >> 20, always_allowed >> 20, highest_ratio)};
      const std::size_t room = (whole ? largest_manifest + 1 : longest_beginning) - text.size();
      text.append(chunk_.data(), std::min(room, static_cast<std::size_t>(count)));
      if (text.size() > largest_manifest)
        throw PackageFault{fmt::format("its {} is larger than 1 MiB", name), ""};
    }
  }

  std::unique_ptr<archive, decltype(&archive_read_free)> reader_;
  std::vector<char> chunk_ = std::vector<char>(std::size_t{64} * 1024);
  std::size_t entries_ = 0;
  std::uint64_t unpacked_ = 0;
  const std::uint64_t most_;
};

/// What would keep Linux on x86-64 from running a file of the package; nullopt for what it can run.
std::optional<PackageFault> why_not_run(const std::string& file, std::string_view beginning) {
  if (beginning.starts_with("#!")) {
    const std::string_view line = beginning.substr(0, beginning.find('\n'));
    if (line.ends_with('\r'))
      return PackageFault{
          fmt::format("the first line of {} ends in a carriage return, so that its interpreter "
                      "would not be found",
                      file),
          "Save it with Unix line ends."};
    return std::nullopt;
  }
  constexpr std::string_view elf =
      "\x7f"
      "ELF";
  constexpr std::size_t machine = 18;
  if (beginning.starts_with(elf) && beginning.size() > machine && beginning[machine] != '\x3e')
    return PackageFault{fmt::format("{} is a program for another processor than x86-64", file),
                        "Build it for the virtual machines of this region."};
  return std::nullopt;
}

void check_command(const Zip& zip, const std::string& key, const std::string& command,
                   HandlerPackage& package) {
  std::string_view program = command;
  while (program.starts_with('/')) program.remove_prefix(1);  // as the agent does
  const std::string file = normal(first_word(program));
  const auto found = zip.files.find(file);
  if (found == zip.files.end()) {
    package.faults.push_back(
        {fmt::format("its {} names \"{}\", and there is no such file in it", key, file),
         "The guest agent runs commands from the package's own folder: name a file of the package; the first "
         "line of a script says its interpreter (#!/usr/bin/python3)."});
    return;
  }
  const auto known = [&](const std::vector<PackageFault>& list, const PackageFault& fault) {
    return std::ranges::any_of(list, [&](const PackageFault& other) { return other.what == fault.what; });
  };
  if (const auto fault = why_not_run(file, found->second); fault && !known(package.faults, *fault))
    package.faults.push_back(*fault);
  const bool is_text = found->second.find('\0') == std::string::npos;
  if (is_text && !found->second.starts_with("#!")) {
    const PackageFault note{fmt::format("{} has no #! line: the guest's sh will run it", file), ""};
    if (!known(package.notes, note)) package.notes.push_back(note);
  }
}

/// Publishers put a name there now and then; a version of two numbers is that of the format.
void read_name(const json& entry, PackageName& name) {
  const auto text = [&](const char* key) {
    const auto found = entry.find(key);
    return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const PackageName said = parse_package_name(text("name"));
  if (name.type.empty()) name.type = said.type;
  if (name.publisher.empty()) name.publisher = said.publisher;
  const std::string version = text("version");
  if (name.version.empty() && version_numbers(version).size() >= 3) name.version = version;
}

/// The rules of the guest agent: one handler, all five commands, and each begins with a file of the package.
void read_manifest(const Zip& zip, HandlerPackage& package) {
  std::vector<const std::pair<const std::string, std::string>*> manifests;
  for (const auto& file : zip.files)
    if (file_of(file.first) == manifest_name) manifests.push_back(&file);
  if (manifests.empty()) {
    package.faults.push_back(
        {fmt::format("it has no {}", manifest_name),
         "It stands at the top of the zip, not beside it: pack the contents of the folder."});
    return;
  }
  // The agent takes the one at the top; which of several others it finds first, nobody knows.
  std::ranges::stable_partition(manifests, [](const auto* each) { return each->first == manifest_name; });
  if (manifests.size() > 1 && manifests.front()->first != manifest_name) {
    package.faults.push_back(
        {fmt::format("it has more than one {}, and none at its top", manifest_name), ""});
    return;
  }
  const auto& [path, text] = *manifests.front();
  json manifest;
  try {
    manifest = json::parse(text);
  } catch (const json::exception& error) {
    std::string why = error.what();
    why.erase(0, why.find("] ") == std::string::npos ? 0 : why.find("] ") + 2);
    package.faults.push_back({fmt::format("its {} is not JSON ({})", path, why), ""});
    return;
  }
  if (!manifest.is_array() || manifest.empty() || !manifest[0].is_object() ||
      !manifest[0].contains("handlerManifest") || !manifest[0]["handlerManifest"].is_object()) {
    package.faults.push_back(
        {fmt::format("its {} is not a list whose first member is an object with \"handlerManifest\"", path),
         R"(It looks like this: [{"version": 1.0, "handlerManifest": {"installCommand": "…", …}}].)"});
    return;
  }
  read_name(manifest[0], package.name);
  const json& handler = manifest[0]["handlerManifest"];
  for (const std::string_view name : commands) {
    const std::string key = std::string(name) + "Command";
    const auto command = handler.find(key);
    if (command == handler.end() || !command->is_string() || command->get_ref<const std::string&>().empty()) {
      package.faults.push_back({fmt::format("its {} has no {}", path, key),
                                "The guest agent needs all five commands; one that has nothing to do may "
                                "name a script that just ends."});
      continue;
    }
    package.commands.emplace(name, *command);
    check_command(zip, key, *command, package);
  }
  const auto mode = handler.find("updateMode");
  const auto is = [&](const char* known) {
    return mode->is_string() && same_name(mode->get<std::string>(), known);
  };
  if (mode != handler.end() && !is("UpdateWithInstall") && !is("UpdateWithoutInstall"))
    package.notes.push_back(
        {fmt::format("its updateMode {} is none that the guest agent knows: it will not run install when it "
                     "updates",
                     mode->dump()),
         "It knows UpdateWithInstall and UpdateWithoutInstall."});
}

/// manifest.xml is what publishers send to Azure with the zip (ExtensionImage); some put it into the zip.
PackageName name_in_xml(const std::string& text) {
  pugi::xml_document document;
  PackageName name;
  if (!document.load_buffer(text.data(), text.size())) return name;
  for (const pugi::xml_node& child : document.document_element()) {
    const std::string_view tag = child.name();
    const auto is = [&](std::string_view local) {
      return tag == local || (tag.ends_with(local) && tag[tag.size() - local.size() - 1] == ':');
    };
    if (is("ProviderNameSpace")) name.publisher = child.text().as_string();
    if (is("Type")) name.type = child.text().as_string();
    if (is("Version")) name.version = child.text().as_string();
  }
  return name;
}

}  // namespace

HandlerPackage read_handler_package(const std::string& zip) {
  HandlerPackage package;
  try {
    const Zip contents(zip);
    if (const auto xml = contents.files.find("manifest.xml"); xml != contents.files.end())
      package.name = name_in_xml(xml->second);
    read_manifest(contents, package);
  } catch (PackageFault& fault) {
    package.faults.push_back(std::move(fault));
  }
  return package;
}

PackageName parse_package_name(std::string_view file_name) {
  if (file_name.ends_with(".zip")) file_name.remove_suffix(4);
  PackageName name;
  const auto mark = file_name.find_last_of("_-");
  if (mark != file_name.npos && !version_numbers(file_name.substr(mark + 1)).empty()) {
    name.version = file_name.substr(mark + 1);
    file_name = file_name.substr(0, mark);
    while (file_name.ends_with('_')) file_name.remove_suffix(1);
  }
  const auto dot = file_name.rfind('.');
  const std::string_view type = dot == file_name.npos ? file_name : file_name.substr(dot + 1);
  if (is_name(type, false)) name.type = type;
  if (dot != file_name.npos && is_name(file_name.substr(0, dot), true))
    name.publisher = file_name.substr(0, dot);
  return name;
}

void check_package_name(const PackageName& name) {
  if (!is_name(name.publisher, true) || !is_name(name.type, false))
    throw Error(ErrorKind::invalid, "InvalidExtensionName",
                fmt::format("\"{}.{}\" cannot name an extension.", name.publisher, name.type),
                "Publishers are letters, digits and dots, types letters and digits; the guest agent cannot "
                "work with a hyphen.");
  const std::size_t parts = version_numbers(name.version).size();
  if (parts < 2 || parts > 4)
    throw Error(ErrorKind::invalid, "InvalidExtensionVersion",
                fmt::format("\"{}\" is not the version of an extension.", name.version),
                "Versions are two to four numbers with dots between: 1.0.0.");
}

std::vector<std::uint64_t> version_numbers(std::string_view text) {
  std::vector<std::uint64_t> parts;
  while (true) {
    const auto end = std::min(text.find('.'), text.size());
    const std::string_view digits = text.substr(0, end);
    if (digits.empty() || digits.size() > 10 || digits.find_first_not_of("0123456789") != digits.npos)
      return {};
    parts.push_back(std::stoull(std::string(digits)));
    if (end == text.size()) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace berth::wire
