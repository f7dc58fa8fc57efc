#include "extension/state.h"

#include "host/files.h"

namespace berth::extension {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view state_file = "/var/lib/docker-ext/state.json";

template <class Value>
void take(const ordered_json& document, const char* key, Value& value) {
  const auto found = document.find(key);
  if (found == document.end()) return;
  if constexpr (std::is_same_v<Value, std::string>) {
    if (found->is_string()) value = found->template get<std::string>();
  } else if constexpr (std::is_same_v<Value, bool>) {
    if (found->is_boolean()) value = found->template get<bool>();
  } else {
    if (found->is_number_integer()) value = found->template get<Value>();
  }
}

EngineAction parse_action(const std::string& text) {
  if (text == "reload") return EngineAction::reload;
  return text == "restart" ? EngineAction::restart : EngineAction::none;
}

const char* to_text(EngineAction action) {
  if (action == EngineAction::reload) return "reload";
  return action == EngineAction::none ? "none" : "restart";
}

}  // namespace

State read_state(const Root& root) {
  State state;
  const auto text = read_file_if_there(root(state_file));
  const ordered_json document = text ? ordered_json::parse(*text, nullptr, false) : ordered_json();
  if (!document.is_object()) return state;
  take(document, "owner", state.owner);
  take(document, "ownerVersion", state.owner_version);
  take(document, "disabled", state.disabled);
  if (document.contains("sequence")) {
    std::uint64_t number = 0;
    take(document, "sequence", number);
    state.sequence = number;
  }
  take(document, "settingsHash", state.settings_hash);
  take(document, "succeeded", state.succeeded);
  take(document, "fingerprint", state.fingerprint);
  std::int64_t recheck = 0;
  take(document, "recheck", recheck);
  state.recheck = std::chrono::sys_seconds(std::chrono::seconds(recheck));
  std::string pending;
  take(document, "pending", pending);
  state.pending = parse_action(pending);
  std::string pending_front;
  take(document, "pendingFront", pending_front);
  state.pending_front = parse_action(pending_front);
  take(document, "optionsOurs", state.options_ours);
  take(document, "optionsBefore", state.options_before);
  take(document, "installing", state.installing);
  take(document, "installedEngine", state.installed_engine);
  take(document, "removeEngine", state.remove_engine);
  take(document, "stopOnDisable", state.stop_on_disable);
  take(document, "tlsAddress", state.tls_address);
  take(document, "tlsPort", state.tls_port);
  take(document, "salt", state.salt);
  take(document, "loginMark", state.login_mark);
  take(document, "composeMark", state.compose_mark);
  take(document, "composeProject", state.compose_project);
  take(document, "composeBoot", state.compose_boot);
  if (document.contains("loginServer")) take(document, "loginServer", state.login_server.emplace());
  if (const auto files = document.find("files"); files != document.end() && files->is_object())
    for (const auto& [path, hash] : files->items())
      if (hash.is_string()) state.files[path] = hash.get<std::string>();
  if (const auto keys = document.find("daemonKeys"); keys != document.end() && keys->is_object())
    state.daemon_keys = *keys;
  return state;
}

void write_state(const Root& root, const State& state) {
  ordered_json document = {{"owner", state.owner},
                           {"ownerVersion", state.owner_version},
                           {"disabled", state.disabled},
                           {"settingsHash", state.settings_hash},
                           {"succeeded", state.succeeded},
                           {"fingerprint", state.fingerprint},
                           {"recheck", state.recheck.time_since_epoch().count()},
                           {"pending", to_text(state.pending)},
                           {"pendingFront", to_text(state.pending_front)},
                           {"optionsOurs", state.options_ours},
                           {"optionsBefore", state.options_before},
                           {"installing", state.installing},
                           {"installedEngine", state.installed_engine},
                           {"removeEngine", state.remove_engine},
                           {"stopOnDisable", state.stop_on_disable},
                           {"tlsAddress", state.tls_address},
                           {"tlsPort", state.tls_port},
                           {"salt", state.salt},
                           {"loginMark", state.login_mark},
                           {"composeMark", state.compose_mark},
                           {"composeProject", state.compose_project},
                           {"composeBoot", state.compose_boot},
                           {"files", state.files},
                           {"daemonKeys", state.daemon_keys}};
  if (state.sequence) document["sequence"] = *state.sequence;
  if (state.login_server) document["loginServer"] = *state.login_server;
  make_folder(root(state_folder), 0700);
  write_file(root(state_file), document.dump(1, ' ', false, ordered_json::error_handler_t::replace) + "\n",
             0600);
}

}  // namespace berth::extension
