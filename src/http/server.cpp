#include "http/server.h"

#include <fmt/format.h>
#include <openssl/ssl.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <map>
#include <optional>
#include <random>
#include <span>
#include <tuple>
#include <unordered_set>
#include <utility>

#include "base/loop_watch.h"
#include "http/peer.h"
#include "http/target.h"

namespace berth {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using asio::local::stream_protocol;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds farewell{2};  ///< for the client to read our last words before the socket goes
constexpr std::chrono::milliseconds accept_pause{100};  ///< when the process is out of descriptors
constexpr int accepted_at_once = 32;                    ///< then others of this thread have their turn
/// Beast wants the line of a chunk, or what stands behind the last one, in the buffer as a whole.
constexpr std::size_t longest_line = std::size_t{64} * 1024;

std::string new_request_id() {
  thread_local std::mt19937_64 generator = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  return fmt::format("{:016x}{:016x}", generator(), generator());
}

bool same(std::string_view a, std::string_view b) {
  const CaseInsensitiveLess less;
  return !less(a, b) && !less(b, a);
}

/// The head of a response. What would let a value start a line of its own becomes a space.
std::string render_head(const Response& response, std::size_t content_length, bool keep_alive) {
  const unsigned status = static_cast<unsigned>(response.status);
  std::string head =
      fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", status,
                  std::string_view(http::obsolete_reason(http::int_to_status(status))), http_date());
  const auto add = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ");
    for (const char c : value) head += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
    head += "\r\n";
  };
  for (const auto& [name, value] : response.headers)
    if (!same(name, "Content-Length") && !same(name, "Transfer-Encoding") && !same(name, "Connection") &&
        !same(name, "Date"))
      add(name, value);
  if (!response.headers.contains("x-ms-request-id")) add("x-ms-request-id", new_request_id());
  if (status >= 200 && status != 204 && status != 304) add("Content-Length", std::to_string(content_length));
  add("Connection", keep_alive ? "keep-alive" : "close");
  return head += "\r\n";
}

/// What a connection must have for the choice of whom to close.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void close() = 0;

  std::int64_t account = -1;
  bool own = false;      ///< of this process's account, or root's
  bool known = false;    ///< see Admission
  bool working = false;  ///< a request of it is read, worked on or answered
  Clock::time_point active = Clock::now();
};

/// What the listener, its connections and the Server share. Lives as long as any of them.
struct Shared {
  Shared(asio::any_io_executor executor_, Gate gate_, ServerLimits limits_)
      : executor(std::move(executor_)), gate(std::move(gate_)), limits(limits_), listener(executor) {}

  asio::any_io_executor executor;
  Gate gate;
  ServerLimits limits;
  std::optional<asio::ssl::context> tls;
  asio::posix::stream_descriptor listener;
  bool is_v6 = false;
  std::string path;  ///< of a unix socket
  std::uint16_t port = 0;
  std::vector<std::string> hosts;  ///< what Host may say: "NAME:PORT" for each name, then "NAME"; empty: all
  std::unordered_set<Connection*> connections;
  std::size_t bodies = 0;            ///< bytes of all bodies that are read or worked on
  Clock::time_point next_handshake;  ///< of other accounts
  bool open = true;

  void close() {
    open = false;
    error_code ignored;
    listener.close(ignored);
    for (Connection* connection : std::exchange(connections, {})) connection->close();
  }

  /// The one that is missed least; nullptr when all are at work. `of_class`: only of clients that are not
  /// known, of this account or of the others.
  Connection* least_missed(std::optional<bool> of_class) const {
    std::map<std::int64_t, std::size_t> held;
    for (const Connection* connection : connections)
      if (!connection->known) ++held[connection->account];
    const auto rank = [&](const Connection& c) {
      return std::tuple(c.known, c.own, c.known ? 0 : -static_cast<std::ptrdiff_t>(held[c.account]),
                        c.active);
    };
    Connection* least = nullptr;
    for (Connection* connection : connections) {
      if (connection->known ? of_class || connection->working : of_class && connection->own != *of_class)
        continue;
      if (!least || rank(*connection) < rank(*least)) least = connection;
    }
    return least;
  }

  /// True when there is room for one more client, perhaps because another one had to go.
  bool make_room(bool own) {
    const auto drop = [](Connection* connection) {
      if (!connection) return false;
      spdlog::debug("dropped connection account={} known={}", connection->account, connection->known);
      connection->close();
      return true;
    };
    const auto unknown = static_cast<std::size_t>(
        std::ranges::count_if(connections, [&](const Connection* c) { return !c->known && c->own == own; }));
    if (unknown >= limits.unknown && !drop(least_missed(own))) return false;
    return connections.size() < limits.connections || drop(least_missed({}));
  }

  /// "https://NAME" or "https://NAME:PORT", when that is how a client may call us.
  std::optional<std::string> origin_of(std::string_view host) const {
    const std::string scheme = tls ? "https://" : "http://";
    if (hosts.empty()) return scheme + std::string(host);
    if (host.empty()) return scheme + hosts.front();
    const auto known = std::ranges::find_if(hosts, [&](const std::string& ours) { return same(host, ours); });
    return known == hosts.end() ? std::nullopt : std::optional(scheme + *known);
  }
};

/// Memory for one body, given back when it is no longer needed.
class BodyShare {
 public:
  BodyShare(Shared& shared, std::size_t size)
      : shared_(shared), granted_(size <= shared.limits.bodies - shared.bodies), size_(granted_ ? size : 0) {
    shared_.bodies += size_;
  }
  ~BodyShare() { shared_.bodies -= size_; }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;

  bool granted() const { return granted_; }

 private:
  Shared& shared_;
  bool granted_;
  std::size_t size_;
};

/// One client. `Stream` is a TCP socket inside TLS, or a plain unix socket.
template <class Stream>
class Session final : public Connection, public std::enable_shared_from_this<Session<Stream>> {
 public:
  static constexpr bool is_tls = !std::is_same_v<Stream, stream_protocol::socket>;

  template <class... Argument>
  explicit Session(std::shared_ptr<Shared> shared, Argument&&... stream)
      : shared_(std::move(shared)),
        stream_(std::forward<Argument>(stream)...),
        timer_(shared_->executor),
        peer_(shared_->path),
        buffer_(shared_->limits.header + longest_line) {
    shared_->connections.insert(this);
  }
  ~Session() override { shared_->connections.erase(this); }

  auto& socket() {
    if constexpr (is_tls)
      return stream_.next_layer();
    else
      return stream_;
  }

  void close() override {
    shared_->connections.erase(this);  // it makes room at once
    error_code ignored;
    socket().close(ignored);
    timer_.cancel();
  }

  asio::awaitable<void> run() {
    if (co_await greet()) {
      bool first = true;
      while (co_await next_bytes(known && !first ? shared_->limits.idle : shared_->limits.head)) {
        first = false;
        const bool go_on = co_await serve_one();
        working = false;
        active = Clock::now();
        if (!go_on) break;
      }
      co_await take_leave();
    }
    close();
  }

 private:
  enum class Phase { reading, writing };

  /// Ends the phase when its time is up: a read sees the end of the stream, so that an answer can still be
  /// sent; a write, or what does not end so, sees a closed socket.
  void limit(Phase phase, Clock::duration time) {
    phase_ = phase;
    timer_.expires_after(time);
    timer_.async_wait([self = this->shared_from_this()](error_code ec) {
      if (ec || self->timer_.expiry() > Clock::now()) return;  // a newer limit is set
      self->too_late_ = true;
      error_code ignored;
      if (self->phase_ == Phase::writing) {
        self->socket().close(ignored);
      } else {
        self->socket().shutdown(asio::socket_base::shutdown_receive, ignored);
        self->limit(Phase::writing, farewell);
      }
    });
  }
  void no_limit() { timer_.expires_at(Clock::time_point::max()); }

  /// Waits for the turn of a client of another account; false when it has gone meanwhile.
  asio::awaitable<bool> wait_for_turn() {
    if (own) co_return true;
    // Those that left before their turn came shall not make the wait longer and longer.
    const auto last = Clock::now() + shared_->limits.pace * shared_->limits.unknown;
    const auto turn = std::clamp<Clock::time_point>(shared_->next_handshake, Clock::now(), last);
    shared_->next_handshake = turn + shared_->limits.pace;
    error_code ec;
    timer_.expires_at(turn);
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    co_return socket().is_open();
  }

  /// The TLS handshake. Nothing is spent on a client that says nothing.
  asio::awaitable<bool> greet() {
    if constexpr (is_tls) {
      error_code ec;
      const auto address = socket().remote_endpoint(ec).address();
      peer_ = address.to_string();
      socket().set_option(tcp::no_delay(true), ec);
      limit(Phase::writing, shared_->limits.head);
      co_await socket().async_wait(tcp::socket::wait_read, asio::redirect_error(asio::use_awaitable, ec));
      no_limit();
      if (ec || !co_await wait_for_turn()) co_return false;
      active = Clock::now();
      limit(Phase::writing, shared_->limits.head);
      co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                       asio::redirect_error(asio::use_awaitable, ec));
      no_limit();
      if (ec) {
        spdlog::debug("refused TLS peer={} reason=\"{}\"", peer_, ec.message());
        co_return false;
      }
      if (X509* certificate = SSL_get1_peer_certificate(stream_.native_handle())) {
        unsigned char* der = nullptr;
        const int size = i2d_X509(certificate, &der);
        if (size > 0) client_certificate_.assign(reinterpret_cast<char*>(der), static_cast<size_t>(size));
        OPENSSL_free(der);
        X509_free(certificate);
      }
    }
    co_return true;
  }

  /// Waits for the first bytes of a request; false when none will come.
  asio::awaitable<bool> next_bytes(Clock::duration time) {
    if (buffer_.size() > 0) co_return true;  // sent ahead (pipelining)
    limit(Phase::reading, time);
    error_code ec;
    buffer_.shrink_to_fit();  // idle connections stay small
    const std::size_t count = co_await stream_.async_read_some(buffer_.prepare(1024),
                                                               asio::redirect_error(asio::use_awaitable, ec));
    buffer_.commit(count);
    no_limit();
    co_return count > 0;
  }

  /// Reads one request and answers it. False when it was the last one of this connection.
  asio::awaitable<bool> serve_one() {
    const auto began = Clock::now();
    http::request_parser<http::string_body> parser;
    parser.header_limit(static_cast<std::uint32_t>(shared_->limits.header));
    parser.body_limit(boost::none);
    error_code ec;
    limit(Phase::reading, shared_->limits.head);
    co_await http::async_read_header(stream_, buffer_, parser, asio::redirect_error(asio::use_awaitable, ec));
    no_limit();
    if (ec) co_return co_await refuse(refusal(ec), too_late_ ? "too slow" : ec.message());
    Request request;
    if (!translate(parser.get(), request)) co_return co_await refuse(400, "bad target or Host");
    if (const auto misled = misled_by(request)) co_return co_await refuse(misled->first, misled->second);

    Admission admission = admit(request);
    known = known || admission.known;
    active = Clock::now();
    const bool head_only = parser.get().method() == http::verb::head;
    bool keep_alive = parser.get().keep_alive();
    if (!admission.handler) {
      keep_alive = keep_alive && parser.is_done();  // else what follows is the body
      spdlog::debug("refused peer={} account={} method={} status={}", peer_, account, request.method,
                    admission.refusal.status);
      const bool sent = co_await write(admission.refusal, head_only, keep_alive);
      const bool go_on = sent && keep_alive && shared_->open;
      co_return go_on;
    }
    working = true;

    const std::size_t largest = admission.largest_body;
    const std::uint64_t promised = parser.chunked() ? largest : parser.content_length().value_or(0);
    if (promised > largest) co_return co_await refuse(413, "body too large");
    const BodyShare share(*shared_, static_cast<std::size_t>(promised));
    if (!share.granted()) co_return co_await refuse(503, "too many bodies at once");
    parser.body_limit(largest);
    if (!parser.is_done()) {
      limit(Phase::reading, known ? shared_->limits.read : shared_->limits.head);
      if (parser.get().version() == 11 && same(parser.get()[http::field::expect], "100-continue"))
        co_await asio::async_write(stream_, asio::buffer(std::string_view("HTTP/1.1 100 Continue\r\n\r\n")),
                                   asio::redirect_error(asio::use_awaitable, ec));
      if (!ec)
        co_await http::async_read(stream_, buffer_, parser, asio::redirect_error(asio::use_awaitable, ec));
      no_limit();
      if (ec) co_return co_await refuse(refusal(ec), too_late_ ? "too slow" : ec.message());
    }
    request.body = std::move(parser.get().body());

    const std::string method = request.method;
    const std::string target =
        request.raw_target.substr(0, std::min<std::size_t>(request.raw_target.find('?'), 300));
    LoopWatch::note(method, target);
    const Response response = co_await handle(admission.handler, std::move(request));
    const auto connection = response.headers.find("Connection");
    if (connection != response.headers.end() && same(connection->second, "close")) keep_alive = false;
    const bool sent = co_await write(response, head_only, keep_alive);
    spdlog::debug("answered method={} path={} status={} ms={}", method, target, response.status,
                  std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began).count());
    const bool go_on = sent && keep_alive && shared_->open;
    co_return go_on;
  }

  /// Says why a request is not taken, where there is somebody to tell (status 0: nobody); then nothing more
  /// of this client is read.
  asio::awaitable<bool> refuse(int status, std::string reason) {
    if (status == 0) co_return false;
    spdlog::debug("refused peer={} account={} status={} reason=\"{}\"", peer_, account, status, reason);
    Response response;
    response.status = status;
    response.headers["Content-Type"] = "text/plain; charset=utf-8";
    if (status == 503) response.headers["Retry-After"] = "1";
    response.body = fmt::format("The request is refused: {}.\n", reason);
    co_await write(response, false, false);
    co_return false;
  }

  /// Sets the origin of a request that is meant for us; the refusal of any other.
  std::optional<std::pair<int, std::string>> misled_by(Request& request) const {
    std::optional<std::string> origin = shared_->origin_of(request.origin);
    if (!origin)
      return std::pair(421, fmt::format("its Host is none of the names of this server ({})",
                                        fmt::join(shared_->hosts, ", ")));
    request.origin = *std::move(origin);
    const auto page = request.headers.find("Origin");
    if (shared_->hosts.empty() || page == request.headers.end() || same(page->second, request.origin))
      return std::nullopt;
    return std::pair(403, "a web page of another origin sent it");
  }

  Admission admit(Request& request) const {
    try {
      return shared_->gate(request);
    } catch (const std::exception& e) {
      spdlog::error("gate threw reason=\"{}\"", e.what());
    }
    Admission none;
    none.refusal.status = 500;
    return none;
  }

  asio::awaitable<Response> handle(const Handler& handler, Request request) {
    try {
      co_return co_await handler(std::move(request));
    } catch (const std::exception& e) {
      spdlog::error("handler threw reason=\"{}\"", e.what());
    }
    Response broken;
    broken.status = 500;
    co_return broken;
  }

  /// The status for a request that could not be read; 0 when there is nobody to tell.
  int refusal(const error_code& ec) const {
    if (too_late_) return 408;
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow) return 431;
    if (ec == http::error::body_limit) return 413;
    if (ec == http::error::end_of_stream || ec == http::error::partial_message) return 0;
    return ec.category() == make_error_code(http::error::bad_method).category() ? 400 : 0;
  }

  /// The head as handlers see it; `origin` is only the host yet. False for one that is against the rules.
  bool translate(const http::request<http::string_body>& message, Request& request) const {
    std::optional<Target> target = parse_target(message.target());
    if (!target || message.method_string().empty()) return false;
    request.method = message.method_string();
    for (char& c : request.method)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    request.raw_target = message.target();
    request.path = std::move(target->path);
    request.query = std::move(target->query);
    for (const auto& field : message) {
      const auto [entry, is_new] = request.headers.try_emplace(field.name_string(), field.value());
      if (is_new) continue;
      if (field.name() == http::field::host) return false;
      entry->second.append(", ").append(field.value());
    }
    request.origin = target->authority.empty() ? request.header("Host") : target->authority;
    if (request.origin.empty() && message.version() == 11) return false;
    request.client_certificate = client_certificate_;
    request.peer = peer_;
    request.account = account;
    return true;
  }

  asio::awaitable<bool> write(const Response& response, bool head_only, bool keep_alive) {
    std::size_t length = response.body.size();
    if (head_only && response.body.empty())
      if (const auto declared = response.headers.find("Content-Length"); declared != response.headers.end())
        length = std::strtoull(declared->second.c_str(), nullptr, 10);
    const std::string head = render_head(response, length, keep_alive);
    const bool bodyless = head_only || response.status == 204 || response.status == 304;
    const std::array<asio::const_buffer, 2> parts{
        asio::buffer(head), asio::buffer(response.body.data(), bodyless ? 0 : response.body.size())};
    limit(Phase::writing, known ? shared_->limits.idle : shared_->limits.head);
    error_code ec;
    co_await asio::async_write(stream_, parts, asio::redirect_error(asio::use_awaitable, ec));
    no_limit();
    co_return !ec;
  }

  /// Closes so that the client can read all we sent: a socket closed over unread bytes resets the connection,
  /// and the answer may be lost with it.
  asio::awaitable<void> take_leave() {
    error_code ec;
    too_late_ = false;
    if (!socket().is_open()) co_return;
    if constexpr (is_tls) {
      limit(Phase::reading, farewell);
      co_await stream_.async_shutdown(asio::redirect_error(asio::use_awaitable, ec));
    }
    socket().shutdown(asio::socket_base::shutdown_send, ec);
    limit(Phase::writing, farewell);
    std::array<char, 4096> ignored;
    while (!ec)
      co_await socket().async_read_some(asio::buffer(ignored), asio::redirect_error(asio::use_awaitable, ec));
    no_limit();
  }

  std::shared_ptr<Shared> shared_;
  Stream stream_;
  asio::steady_timer timer_;
  std::string peer_;
  std::string client_certificate_;
  boost::beast::flat_buffer buffer_;
  Phase phase_ = Phase::reading;
  bool too_late_ = false;
};

using TlsSession = Session<asio::ssl::stream<tcp::socket>>;
using PlainSession = Session<stream_protocol::socket>;

template <class S>
void start(std::shared_ptr<S> session) {
  S& started = *session;
  asio::co_spawn(started.socket().get_executor(), started.run(),
                 [session = std::move(session)](const std::exception_ptr& thrown) {
                   if (!thrown) return;
                   session->close();
                   try {
                     std::rethrow_exception(thrown);
                   } catch (const std::exception& e) {
                     spdlog::error("connection ended reason=\"{}\"", e.what());
                   }
                 });
}

void start_session(const std::shared_ptr<Shared>& shared, int fd) {
  const std::int64_t account = peer_account(fd);
  const bool own = is_own_account(account);
  if (!shared->make_room(own)) {
    ::close(fd);
    return;
  }
  const auto begin = [&](auto session) {
    session->account = account;
    session->own = own;
    start(std::move(session));
  };
  error_code ec;
  if (shared->tls) {
    tcp::socket socket(shared->executor);
    socket.assign(shared->is_v6 ? tcp::v6() : tcp::v4(), fd, ec);
    if (!ec) begin(std::make_shared<TlsSession>(shared, std::move(socket), *shared->tls));
  } else {
    stream_protocol::socket socket(shared->executor);
    socket.assign(stream_protocol(), fd, ec);
    if (!ec) begin(std::make_shared<PlainSession>(shared, std::move(socket)));
  }
  if (ec) ::close(fd);
}

/// accept4 by hand: Asio's own accept leaves a moment without FD_CLOEXEC, in which another thread may start a
/// virtual machine that inherits the connection.
asio::awaitable<void> accept_all(std::shared_ptr<Shared> shared) {
  asio::steady_timer pause(shared->executor);
  while (shared->open) {
    error_code ec;
    co_await shared->listener.async_wait(asio::posix::stream_descriptor::wait_read,
                                         asio::redirect_error(asio::use_awaitable, ec));
    if (ec || !shared->open) co_return;
    int fd = -1, left = accepted_at_once;
    do {
      fd = ::accept4(shared->listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (fd >= 0) start_session(shared, fd);
    } while (--left > 0 && (fd >= 0 || errno == ECONNABORTED || errno == EINTR));
    if (fd >= 0) continue;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      spdlog::warn("accept put off reason=\"{}\"",
                   error_code(errno, boost::system::system_category()).message());
      pause.expires_after(accept_pause);
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    }
  }
}

class ServerOnSocket final : public Server {
 public:
  explicit ServerOnSocket(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {
    if (!shared_->path.empty()) ::stat(shared_->path.c_str(), &socket_);
    asio::co_spawn(shared_->executor, accept_all(shared_), [](const std::exception_ptr&) {});
  }
  ~ServerOnSocket() override {
    shared_->close();
    struct stat now {};
    if (!shared_->path.empty() && ::stat(shared_->path.c_str(), &now) == 0 && now.st_ino == socket_.st_ino &&
        now.st_dev == socket_.st_dev)
      ::unlink(shared_->path.c_str());  // still ours, not that of a successor
  }
  std::uint16_t port() const override { return shared_->port; }
  std::vector<std::string> origins() const override {
    std::vector<std::string> origins;
    for (const std::string& host : std::span(shared_->hosts).first(shared_->hosts.size() / 2))
      origins.push_back("https://" + host);
    return origins;
  }

 private:
  std::shared_ptr<Shared> shared_;
  struct stat socket_ {};
};

[[noreturn]] void throw_cannot_listen(const std::string& where, int error) {
  throw Error(ErrorKind::unavailable, "CannotListen",
              fmt::format("Cannot listen on {}: {}.", where,
                          error_code(error, boost::system::system_category()).message()),
              error == EADDRINUSE ? "End the program that listens there, or choose another port." : "");
}

/// Binds and listens; takes the descriptor into `shared`.
void listen_on(Shared& shared, int fd, const sockaddr* address, std::size_t size, const std::string& where) {
  if (fd < 0) throw_cannot_listen(where, errno);
  shared.listener.assign(fd);
  const int yes = 1;
  if (address->sa_family != AF_UNIX) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(fd, address, static_cast<socklen_t>(size)) != 0) throw_cannot_listen(where, errno);
  // Nobody can connect before listen(), so the mode is never wider than it should be.
  if (address->sa_family == AF_UNIX && ::chmod(shared.path.c_str(), 0600) != 0)
    throw_cannot_listen(where, errno);
  if (::listen(fd, SOMAXCONN) != 0) throw_cannot_listen(where, errno);
}

asio::ssl::context make_tls(const ServerTls& tls) try {
  asio::ssl::context context(asio::ssl::context::tls_server);
  SSL_CTX* native = context.native_handle();
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  // Of TLS 1.2 what has forward secrecy and authenticates what it encrypts; 1.3 has nothing else.
  SSL_CTX_set_cipher_list(native, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(native, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(native, 0);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);
  context.use_certificate_chain(asio::buffer(tls.certificate_chain));
  context.use_private_key(asio::buffer(tls.key.reveal()), asio::ssl::context::pem);
  if (tls.ask_client_certificate) {
    context.set_verify_mode(asio::ssl::verify_peer);
    context.set_verify_callback([](bool, asio::ssl::verify_context&) { return true; });
  }
  return context;
} catch (const boost::system::system_error& e) {
  throw Error(ErrorKind::invalid, "TlsCertificateUnusable",
              fmt::format("The server's TLS certificate or key cannot be used: {}.", e.code().message()));
}

}  // namespace

std::unique_ptr<Server> Server::on_tcp(asio::any_io_executor executor, const std::string& address,
                                       std::uint16_t port, const ServerTls& tls, Gate gate,
                                       ServerLimits limits) {
  const std::string where = fmt::format("{} port {}", address, port);
  auto shared = std::make_shared<Shared>(std::move(executor), std::move(gate), limits);
  shared->tls = make_tls(tls);
  error_code ec;
  tcp::endpoint endpoint(asio::ip::make_address(address, ec), port);
  if (ec) throw_cannot_listen(where, EADDRNOTAVAIL);
  shared->is_v6 = endpoint.address().is_v6();
  const int fd =
      ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  listen_on(*shared, fd, endpoint.data(), endpoint.size(), where);
  socklen_t size = static_cast<socklen_t>(endpoint.capacity());
  if (::getsockname(fd, endpoint.data(), &size) != 0) throw_cannot_listen(where, errno);
  shared->port = endpoint.port();
  for (const std::string& name : tls.names) shared->hosts.push_back(fmt::format("{}:{}", name, shared->port));
  shared->hosts.insert(shared->hosts.end(), tls.names.begin(), tls.names.end());
  return std::make_unique<ServerOnSocket>(std::move(shared));
}

std::unique_ptr<Server> Server::on_unix(asio::any_io_executor executor, const std::filesystem::path& socket,
                                        Gate gate, ServerLimits limits) {
  auto shared = std::make_shared<Shared>(std::move(executor), std::move(gate), limits);
  shared->path = socket.string();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (shared->path.size() >= sizeof address.sun_path) throw_cannot_listen(shared->path, ENAMETOOLONG);
  shared->path.copy(address.sun_path, sizeof address.sun_path - 1);
  ::unlink(shared->path.c_str());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  listen_on(*shared, fd, reinterpret_cast<const sockaddr*>(&address), sizeof address, shared->path);
  return std::make_unique<ServerOnSocket>(std::move(shared));
}

}  // namespace berth
