#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio.hpp>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "host/files.h"
#include "host/log_tail.h"
#include "host/process.h"
#include "network/switch_config.h"
#include "network/switch_deaths.h"
#include "network/switch_files.h"
#include "network/unix_socket.h"
#include "network/virtual_network.h"

namespace berth {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using namespace network;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr Clock::duration start_limit = 10s;
constexpr Clock::duration answer_limit = 20s;  // a host that is only slow must not lose its connections
constexpr Clock::duration term_grace = 2s;
constexpr Clock::duration keeper_grace = 3s;  // a keeper gives its switch some time, too
constexpr Clock::duration kill_grace = 5s;
constexpr Clock::duration keeper_limit = 15s;  // longer than a keeper waits between two starts
constexpr Clock::duration heal_pause = 50ms;
constexpr Clock::duration start_pause = 20ms;
constexpr std::size_t longest_answer = 4 << 20;
constexpr std::size_t shown_lines = 10;  // of the switch's log

asio::awaitable<void> sleep(Clock::duration time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

Error no_switch(const SwitchFiles& files, std::string_view why) {
  const std::string log = log_tail(files.log(), shown_lines);
  return {ErrorKind::unavailable, "NetworkUnavailable",
          fmt::format("The switch of the virtual network in {} {}.{}{}", files.folder().string(), why,
                      log.empty() ? "" : " Its log ends with:\n", log),
          fmt::format("See {}.", files.log().string())};
}

/// One request, one answer. nullopt when nobody listens, or nobody answers within `limit`.
asio::awaitable<std::optional<json>> ask(fs::path socket_path, json request, Clock::duration limit) {
  const auto executor = co_await asio::this_coro::executor;
  const auto socket = std::make_shared<asio::local::stream_protocol::socket>(executor);
  asio::steady_timer timer(executor, limit);
  timer.async_wait([socket](boost::system::error_code error) {
    if (!error) socket->close(error);
  });
  std::string text = request.dump() + '\n';
  try {
    co_await socket->async_connect(asio::local::stream_protocol::endpoint(socket_path.string()),
                                   asio::use_awaitable);
    co_await asio::async_write(*socket, asio::buffer(text), asio::use_awaitable);
    text.clear();
    const auto buffer = asio::dynamic_buffer(text, longest_answer);
    const std::size_t length = co_await asio::async_read_until(*socket, buffer, '\n', asio::use_awaitable);
    co_return json::parse(text.substr(0, length));
  } catch (const boost::system::system_error&) {
    co_return std::nullopt;
  } catch (const json::exception&) {
    co_return std::nullopt;
  }
}

/// True once the process is gone.
asio::awaitable<bool> gone_within(ProcessId process, Clock::duration limit) {
  Fd descriptor = open_process(process);
  if (!descriptor) co_return true;
  const auto executor = co_await asio::this_coro::executor;
  const auto ended = std::make_shared<asio::posix::stream_descriptor>(executor, descriptor.release());
  asio::steady_timer timer(executor, limit);
  timer.async_wait([ended](boost::system::error_code error) {
    if (!error) ended->close(error);
  });
  boost::system::error_code error;
  co_await ended->async_wait(asio::posix::stream_descriptor::wait_read,
                             asio::redirect_error(asio::use_awaitable, error));
  co_return !error;
}

class Networks final : public VirtualNetworks {
 public:
  Networks(asio::any_io_executor executor, fs::path home, fs::path program)
      : executor_(std::move(executor)), home_(std::move(home)), program_(std::move(program)) {}

  fs::path folder(const std::string& id) const override { return home_ / "net" / id; }

  asio::awaitable<SwitchReport> apply(std::string id, SwitchConfig config) override {
    const SwitchFiles files = files_of(id);
    check(config);
    const Turn turn(*this, id);
    co_await turn.come();
    const json document = to_json(config);
    const std::string text = document.dump(2) + '\n';
    if (!fs::exists(files.folder())) make_folder(files.folder());  // its mode is the keeper's affair
    if (read_file_if_there(files.configuration()) != text) write_file(files.configuration(), text);

    json request = {{"apply", document}};
    auto answer = co_await ask(files.control(), request, answer_limit);
    if (!answer) {
      co_await end(files, 0s);  // it is not there, or hangs
      co_await start(files);
      answer = co_await ask(files.control(), request, answer_limit);
    }
    if (!answer) throw no_switch(files, "does not answer");
    if (answer->contains("error"))
      throw Error(ErrorKind::unavailable, "NetworkUnavailable",
                  fmt::format("The switch of the virtual network in {} refused its configuration: {}",
                              files.folder().string(), (*answer)["error"].value("message", "")));
    co_return parse_report(answer->value("report", json::object()));
  }

  asio::awaitable<void> remove(std::string id) override {
    const SwitchFiles files = files_of(id);
    const Turn turn(*this, id);
    co_await turn.come();
    co_await end(files, term_grace);
    told_deaths_.erase(id);
    std::error_code error;
    fs::remove_all(files.folder(), error);
    if (error)
      throw Error(ErrorKind::unavailable, "FolderUnavailable",
                  fmt::format("The folder {} of a virtual network cannot be removed: {}.",
                              files.folder().string(), error.message()));
  }

  asio::awaitable<void> keep(std::set<std::string> ids) override {
    for (const std::string& id : there()) {
      if (ids.contains(id)) continue;
      spdlog::warn("removing the switch that an earlier process left network={}", id);
      try {
        co_await remove(id);
      } catch (const std::exception& trouble) {
        spdlog::error("could not remove network={} why=\"{}\"", id, trouble.what());
      }
    }
  }

  std::optional<SwitchDeaths> deaths(const std::string& id) const override {
    return read_deaths(SwitchFiles(folder(id)).deaths());
  }

  asio::awaitable<void> heal() override {
    for (const std::string& id : there()) {
      try {
        co_await heal(id);
      } catch (const std::exception& trouble) {  // whatever it is, the next round tries again
        spdlog::error("could not heal network={} why=\"{}\"", id, trouble.what());
      }
    }
  }

 private:
  /// Requests for one network take place one after the other, in the order they came.
  struct Queue {
    explicit Queue(const asio::any_io_executor& executor)
        : moved(executor, asio::steady_timer::time_point::max()) {}
    unsigned next = 0, serving = 0;
    std::set<unsigned> left;  ///< who gave up before their turn came, and who is done
    asio::steady_timer moved;
  };
  class Turn {
   public:
    Turn(Networks& networks, const std::string& id) {
      auto& queue = networks.queues_[id];
      if (!queue) queue = std::make_shared<Queue>(networks.executor_);
      queue_ = queue;
      number_ = queue_->next++;
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() {
      queue_->left.insert(number_);
      while (queue_->left.erase(queue_->serving)) ++queue_->serving;
      queue_->moved.cancel();
    }
    asio::awaitable<void> come() const {
      while (queue_->serving != number_) {
        boost::system::error_code ignored;
        co_await queue_->moved.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      }
    }

   private:
    std::shared_ptr<Queue> queue_;
    unsigned number_ = 0;
  };

  std::vector<std::string> there() const {
    std::error_code none;
    std::vector<std::string> ids;
    for (const auto& entry : fs::directory_iterator(home_ / "net", none))
      ids.push_back(entry.path().filename().string());
    return ids;
  }

  SwitchFiles files_of(const std::string& id) const {
    const bool plain =
        !id.empty() && std::ranges::all_of(id, [](unsigned char c) { return std::isalnum(c) || c == '-'; });
    if (!plain)
      throw Error(ErrorKind::invalid, "InvalidNetworkConfiguration",
                  fmt::format("'{}' is no id of a virtual network.", id));
    SwitchFiles files(folder(id));
    if (files.control().native().size() > longest_socket_path)
      throw Error(ErrorKind::invalid, "InvalidNetworkConfiguration",
                  fmt::format("The path {} is too long for a socket.", files.control().string()),
                  "Choose a shorter folder with BERTH_HOME.");
    return files;
  }

  asio::awaitable<void> heal(std::string id) {
    const SwitchFiles files = files_of(id);
    const Turn turn(*this, id);
    co_await turn.come();
    if (!fs::exists(files.configuration())) co_return;
    const auto asked = Clock::now();
    const bool answers = co_await answers_within(files, answer_limit);
    const bool hangs = !answers && Clock::now() - asked >= answer_limit;
    tell_deaths(id, files);
    if (!running(files.keeper())) {
      spdlog::warn("starting the keeper of the switch of network={}", id);
      if (hangs) co_await end(files.process(), 0s);
      co_return co_await start(files);
    }
    if (answers) co_return;
    if (hangs) {
      spdlog::error("the switch does not answer and is ended network={}", id);
      co_await end(files.process(), 0s);  // its keeper starts it again
    }
    for (const auto until = Clock::now() + keeper_limit; Clock::now() < until; co_await sleep(heal_pause)) {
      if (!co_await answers_within(files, answer_limit)) continue;
      tell_deaths(id, files);
      co_return;
    }
    spdlog::warn("restarting the switch of network={}", id);
    co_await end(files, 0s);
    co_await start(files);
  }

  void tell_deaths(const std::string& id, const SwitchFiles& files) {
    const auto deaths = read_deaths(files.deaths());
    if (!deaths || told_deaths_[id] == deaths->count) return;
    told_deaths_[id] = deaths->count;
    spdlog::error("the switch died and was started again network={} at={} why=\"{}\" deaths={}", id,
                  deaths->at, deaths->why, deaths->count);
  }

  static asio::awaitable<bool> answers_within(SwitchFiles files, Clock::duration limit) {
    co_return (co_await ask(files.control(), {{"status", json::object()}}, limit)).has_value();
  }

  static std::optional<ProcessId> running(const fs::path& file) {
    const auto process = parse_process_id(read_file_if_there(file).value_or(""));
    return process && is_alive(*process) ? process : std::nullopt;
  }

  /// Ends the switch, if it runs: its keeper first, which would start it again.
  static asio::awaitable<void> end(SwitchFiles files, Clock::duration grace) {
    co_await end(files.keeper(), grace > 0s ? grace + keeper_grace : grace);
    co_await end(files.process(), grace);
  }

  static asio::awaitable<void> end(fs::path process_file, Clock::duration grace) {
    const auto process = running(process_file);
    if (!process) co_return;
    if (grace > 0s) {
      send_signal(*process, SIGTERM);
      if (co_await gone_within(*process, grace)) co_return;
    }
    send_signal(*process, SIGKILL);
    if (!co_await gone_within(*process, kill_grace))
      throw Error(ErrorKind::unavailable, "ProcessUnavailable",
                  fmt::format("The switch in {} (process {}) does not end.",
                              process_file.parent_path().string(), process->pid));
  }

  /// Starts the switch and waits until it answers.
  asio::awaitable<void> start(SwitchFiles files) const {
    const ProcessId process = spawn_detached({program_.string(), files.folder().string()},
                                             {.folder = files.folder(), .log = files.log()});
    const auto deadline = Clock::now() + start_limit;
    for (;;) {
      const bool lives = is_alive(process);
      const auto left = deadline - Clock::now();
      if (left > 0s && running(files.keeper()) == process && co_await answers_within(files, left)) co_return;
      if (!lives) throw no_switch(files, "ended at its start");
      if (left <= 0s) {
        co_await end(files, 0s);
        throw no_switch(files, "did not come up in 10 seconds");
      }
      co_await sleep(start_pause);
    }
  }

  asio::any_io_executor executor_;
  fs::path home_;
  fs::path program_;
  std::map<std::string, std::shared_ptr<Queue>> queues_;
  std::map<std::string, unsigned> told_deaths_;
};

}  // namespace

std::unique_ptr<VirtualNetworks> make_virtual_networks(asio::any_io_executor executor, fs::path home,
                                                       fs::path program) {
  return std::make_unique<Networks>(std::move(executor), std::move(home), std::move(program));
}

}  // namespace berth
