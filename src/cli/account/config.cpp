#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/settings.h"

/// `azure config list|set|delete`: defaults of options.
namespace berth {
namespace {

using nlohmann::ordered_json;

void config_list(CommandLine& app, Session& session) {
  app.callback([&session] {
    const auto chosen = read_settings();
    const auto value_of = [&](const Setting& one) {
      const auto found = chosen.find(std::string(one.name));
      return found == chosen.end() ? std::string() : found->second;
    };
    if (session.out.json_mode()) {
      ordered_json document = ordered_json::object();
      for (const Setting& one : known_settings()) {
        const std::string value = value_of(one);
        document[std::string(one.name)] = value.empty() ? ordered_json(nullptr) : ordered_json(value);
      }
      return session.out.json(document);
    }
    std::vector<std::vector<std::string>> rows;
    for (const Setting& one : known_settings())
      rows.push_back({std::string(one.name), value_of(one), std::string(one.description)});
    session.out.table({"Setting", "Value", "Default of"}, rows);
  });
}

void config_set(CommandLine& app, Session& session) {
  struct Words {
    std::string name, value;
  };
  auto words = std::make_shared<Words>();
  app.add_option("name", words->name, "Name of the setting: 'azure config list'")->required();
  app.add_option("value", words->value, "Its value")->required();
  app.callback([words, &session] {
    if (words->value.empty())
      throw Error(ErrorKind::invalid, "InvalidParameter", "the value is empty",
                  fmt::format("'azure config delete {}' takes a setting back.", words->name));
    change_setting(words->name, words->value);
    if (session.out.json_mode()) return session.out.json({{words->name, words->value}});
    session.out.info(fmt::format("{} is {} from now on", words->name, words->value));
  });
}

void config_delete(CommandLine& app, Session& session) {
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name of the setting")->required();
  app.callback([name, &session] {
    const bool was_there = delete_setting(*name);
    if (session.out.json_mode()) return session.out.json({{"deleted", was_there}});
    session.out.info(was_there ? *name + " is as it was before" : *name + " was not set");
  });
}

constexpr Command config_table[] = {
    {"config list", "List the defaults that can be chosen", &config_list},
    {"config set", "Choose a default", &config_set},
    {"config delete", "Take a default back", &config_delete},
};

}  // namespace

std::span<const Command> config_commands() {
  return config_table;
}

}  // namespace berth
