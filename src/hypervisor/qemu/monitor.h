#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace berth::qemu {

/// The text that a JSON object has under `key`; "" if there is none, or no object. What QEMU says is not
/// believed unseen: its guest may have taken it over.
std::string text_at(const nlohmann::json& object, const char* key);

/// One QMP connection. QEMU serves one client at a time; the next one waits until this object is gone. All of
/// it belongs to the thread of the executor it was connected on. Protocol: docs/wire/qmp.md.
class Monitor {
 public:
  /// `data` is an object, empty if the event has none.
  using EventHandler = std::function<void(const std::string& event, const nlohmann::json& data)>;

  /// Connects and negotiates. `on_event` is called for every event from then on, before any command that is
  /// answered later returns. Throws Error(unavailable) when nobody answers there within `limit`, or no QEMU.
  static boost::asio::awaitable<std::unique_ptr<Monitor>> connect(std::filesystem::path socket,
                                                                  std::chrono::milliseconds limit,
                                                                  EventHandler on_event);
  ~Monitor();

  /// What QEMU returns. Throws Error(unavailable): QEMU's own words when it refuses, or that it did not
  /// answer within `limit`, or that the connection is lost. Commands may overlap.
  boost::asio::awaitable<nlohmann::json> execute(std::string command, nlohmann::json arguments,
                                                 std::chrono::milliseconds limit = std::chrono::seconds(20));
  boost::asio::awaitable<nlohmann::json> execute(std::string command);

  /// False once QEMU has closed the connection or broken the protocol.
  bool is_open() const;

  /// Returns when it is no longer open and all events have been handed on, at the latest after `limit`.
  boost::asio::awaitable<void> closed(std::chrono::milliseconds limit);

 private:
  struct Connection;
  explicit Monitor(std::shared_ptr<Connection> connection);
  std::shared_ptr<Connection> connection_;
};

}  // namespace berth::qemu
