#include "hypervisor/qemu/monitor.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"

namespace asio = boost::asio;
using Json = nlohmann::json;
using namespace std::chrono_literals;

namespace berth::qemu {
namespace {

constexpr std::size_t longest_line = 4UL << 20;
constexpr auto no_error = asio::as_tuple(asio::use_awaitable);

Error trouble(const std::string& happened) {
  return Error(ErrorKind::unavailable, "HypervisorUnavailable", happened);
}

}  // namespace

std::string text_at(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

struct Monitor::Connection {
  /// Wakes whoever waits for something; the time is the limit of the wait.
  struct Answer {
    explicit Answer(const asio::any_io_executor& executor) : signal(executor) {}
    asio::steady_timer signal;
    std::optional<Json> message;
  };

  Connection(const asio::any_io_executor& executor, const std::filesystem::path& path, EventHandler handler)
      : socket(executor), path(path), on_event(std::move(handler)), ended(executor) {
    ended.expires_at(asio::steady_timer::time_point::max());
  }

  asio::local::stream_protocol::socket socket;
  std::filesystem::path path;
  EventHandler on_event;
  std::string input;
  std::uint64_t last_id = 0;
  std::map<std::uint64_t, Answer*> waiting;  ///< 0: the greeting
  bool open = true;
  std::string why_closed = "QEMU closed its monitor " + path.string() + ".";
  asio::steady_timer ended;

  void close() {
    if (!open) return;
    open = false;
    boost::system::error_code ignored;
    socket.close(ignored);
    for (auto& [id, answer] : waiting) answer->signal.cancel();
    ended.cancel();
  }

  void fail(const std::string& why) {
    if (open) why_closed = why;
    close();
  }

  void answer(std::uint64_t id, Json message) {
    const auto found = waiting.find(id);
    if (found == waiting.end()) return;  // it came too late
    found->second->message = std::move(message);
    found->second->signal.cancel();
  }

  void tell(const std::string& event, const Json& data) {
    try {
      if (on_event) on_event(event, data);
    } catch (const std::exception& error) {
      spdlog::error("event not handled event={} {}", event, error.what());
    }
  }

  void take(std::string_view line) {
    Json message = Json::parse(line, nullptr, false);
    if (!message.is_object())
      return fail("QEMU's monitor " + path.string() + " sent a line that is not a JSON object.");
    if (message.contains("event")) {
      const auto data = message.find("data");
      tell(text_at(message, "event"), data != message.end() && data->is_object() ? *data : Json::object());
    } else if (message.contains("QMP")) {
      answer(0, std::move(message));
    } else if (const auto id = message.find("id"); id != message.end() && id->is_number_unsigned()) {
      answer(id->get<std::uint64_t>(), std::move(message));
    }
  }

  /// Whole lines only, and never partly: QEMU reads quickly, so a full socket means that it hangs.
  void send(const std::string& line) {
    boost::system::error_code error;
    asio::write(socket, asio::buffer(line), error);
    if (error) fail("QEMU's monitor " + path.string() + " takes no more commands: " + error.message() + ".");
  }

  static asio::awaitable<void> read_lines(std::shared_ptr<Connection> self) {
    while (self->open) {
      const auto [error, size] = co_await asio::async_read_until(
          self->socket, asio::dynamic_buffer(self->input, longest_line), '\n', no_error);
      if (error == asio::error::not_found)
        self->fail(fmt::format("QEMU's monitor {} sent a line of more than {} bytes.", self->path.string(),
                               longest_line));
      if (error) break;
      const std::string line = self->input.substr(0, size);
      self->input.erase(0, size);
      self->take(line);
    }
    self->close();
  }

  asio::awaitable<Json> wait_for(std::uint64_t id, std::chrono::milliseconds limit, std::string what) {
    struct Registration {
      Registration(Connection& c, std::uint64_t n)
          : connection(c), number(n), answer(c.socket.get_executor()) {
        connection.waiting[number] = &answer;
      }
      Registration(const Registration&) = delete;
      Registration& operator=(const Registration&) = delete;
      ~Registration() { connection.waiting.erase(number); }
      Connection& connection;
      std::uint64_t number;
      Answer answer;
    } mine(*this, id);
    mine.answer.signal.expires_after(limit);
    if (open) co_await mine.answer.signal.async_wait(no_error);
    if (mine.answer.message) co_return std::move(*mine.answer.message);
    if (!open) throw trouble(why_closed);
    throw trouble(fmt::format("QEMU's monitor {} did not answer {} within {} s.", path.string(), what,
                              std::chrono::duration<double>(limit).count()));
  }
};

Monitor::Monitor(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

Monitor::~Monitor() {
  connection_->on_event = nullptr;
  connection_->fail("The monitor was closed by its owner.");
}

asio::awaitable<std::unique_ptr<Monitor>> Monitor::connect(std::filesystem::path socket,
                                                           std::chrono::milliseconds limit,
                                                           EventHandler on_event) {
  const auto executor = co_await asio::this_coro::executor;
  const auto connection = std::make_shared<Connection>(executor, socket, std::move(on_event));
  std::unique_ptr<Monitor> monitor(new Monitor(connection));
  boost::system::error_code error;
  connection->socket.open(asio::local::stream_protocol(), error);
  if (!error) connection->socket.non_blocking(true, error);  // a full queue of clients is an answer too
  if (!error) connection->socket.connect(asio::local::stream_protocol::endpoint(socket.string()), error);
  if (error)
    throw trouble(fmt::format("Nothing answers at QEMU's monitor {}: {}.", socket.string(), error.message()));
  asio::co_spawn(executor, Connection::read_lines(connection), asio::detached);
  co_await connection->wait_for(0, limit, "with a greeting");
  co_await monitor->execute("qmp_capabilities", Json::object(), limit);
  co_return monitor;
}

asio::awaitable<Json> Monitor::execute(std::string command) {
  return execute(std::move(command), Json::object());
}

asio::awaitable<Json> Monitor::execute(std::string command, Json arguments, std::chrono::milliseconds limit) {
  const auto connection = connection_;
  if (!connection->open) throw trouble(connection->why_closed);
  const std::uint64_t id = ++connection->last_id;
  connection->send(Json{{"execute", command}, {"arguments", std::move(arguments)}, {"id", id}}.dump() + "\n");
  Json message = co_await connection->wait_for(id, limit, command);
  if (const auto refusal = message.find("error"); refusal != message.end())
    throw trouble(fmt::format("QEMU refused {}: {}.", command,
                              refusal->is_object() ? text_at(*refusal, "desc") : refusal->dump()));
  co_return message.value("return", Json());
}

bool Monitor::is_open() const {
  return connection_->open;
}

asio::awaitable<void> Monitor::closed(std::chrono::milliseconds limit) {
  const auto connection = connection_;
  if (!connection->open) co_return;
  connection->ended.expires_after(limit);
  co_await connection->ended.async_wait(no_error);
}

}  // namespace berth::qemu
