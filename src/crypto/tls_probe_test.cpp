#include "crypto/tls_probe.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "crypto/openssl.h"
#include "crypto/test_support.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

constexpr auto limit = 30s;

/// Listens on 127.0.0.1 and answers one connection at a time as it is told, until it goes.
class Server {
 public:
  explicit Server(std::function<void(int)> answer) : answer_(std::move(answer)) {
    listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    EXPECT_EQ(::bind(listening_, reinterpret_cast<sockaddr*>(&where), size), 0);
    EXPECT_EQ(::listen(listening_, 8), 0);
    EXPECT_EQ(::getsockname(listening_, reinterpret_cast<sockaddr*>(&where), &size), 0);
    port_ = ntohs(where.sin_port);
    EXPECT_EQ(::pipe(stop_), 0);
    thread_ = std::thread([this] { serve(); });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    ::close(stop_[1]);
    thread_.join();
    ::close(stop_[0]);
    ::close(listening_);
  }

  std::uint16_t port() const { return port_; }

 private:
  void serve() {
    sigset_t broken_pipe;  // this thread alone: the probe itself must never raise one
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
    while (true) {
      pollfd events[2] = {{listening_, POLLIN, 0}, {stop_[0], POLLIN, 0}};
      if (::poll(events, 2, -1) < 0) continue;
      if (events[1].revents != 0) return;
      const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      answer_(fd);
      ::close(fd);
    }
  }

  std::function<void(int)> answer_;
  int listening_ = -1;
  int stop_[2] = {-1, -1};
  std::uint16_t port_ = 0;
  std::thread thread_;
};

void wait_for_close(int fd) {
  char buffer[4096];
  while (::read(fd, buffer, sizeof buffer) > 0) {
  }
}

struct TlsOptions {
  int lowest = TLS1_2_VERSION;
  int highest = TLS1_3_VERSION;
  bool demand_client = false;
  bool ask_client = false;
  std::size_t tickets = 2;
  bool close_at_once = false;
};

/// A TLS server as dockerd is one: its certificate, and perhaps a demand for one of its CA.
class TlsProbeTest : public testing::Test {
 protected:
  std::function<void(int)> tls(const TlsOptions& options) {
    auto context = std::shared_ptr<SSL_CTX>(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
    SSL_CTX_set_min_proto_version(context.get(), options.lowest);
    SSL_CTX_set_max_proto_version(context.get(), options.highest);
    SSL_CTX_use_certificate(context.get(), server.first.impl().x509.get());
    SSL_CTX_use_PrivateKey(context.get(), server.second.impl().key.get());
    SSL_CTX_set_num_tickets(context.get(), options.tickets);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), ca.impl().x509.get());
    const int demand = options.demand_client ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                       : options.ask_client  ? SSL_VERIFY_PEER
                                             : SSL_VERIFY_NONE;
    SSL_CTX_set_verify(context.get(), demand, nullptr);
    return [context, options](int fd) {
      const std::unique_ptr<SSL, Releaser<SSL_free>> ssl(SSL_new(context.get()));
      SSL_set_fd(ssl.get(), fd);
      if (SSL_accept(ssl.get()) != 1 || options.close_at_once) return;
      wait_for_close(fd);
    };
  }

  const PrivateKey ca_key = PrivateKey::generate_ec();
  const Certificate ca = issue_certificate({.use = CertificateUse::authority, .common_name = "CA"}, ca_key);
  const PrivateKey key = PrivateKey::generate_ec();
  const Identity server{
      issue_certificate({.use = CertificateUse::server, .common_name = "server"}, key, &ca, &ca_key), key};
  const Identity client{
      issue_certificate({.use = CertificateUse::client, .common_name = "client"}, key, &ca, &ca_key), key};
  const Identity stranger = self_signed(CertificateUse::client, PrivateKey::generate_ec(), "stranger");
};

/// The same behaviour whatever the version of TLS.
class EveryTls : public TlsProbeTest, public testing::WithParamInterface<int> {
 protected:
  TlsProbe probe(TlsOptions options, const std::optional<Identity>& as) {
    options.lowest = options.highest = GetParam();
    const Server listening(tls(options));
    return probe_tls("127.0.0.1", listening.port(), as, limit);
  }
};
INSTANTIATE_TEST_SUITE_P(Tls, EveryTls, testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) { return version.param == TLS1_2_VERSION ? "12" : "13"; });

TEST_P(EveryTls, AcceptsAServerThatAsksForNothing) {
  const TlsProbe result = probe({}, std::nullopt);
  EXPECT_TRUE(result.accepted) << result.trouble;
  EXPECT_EQ(result.trouble, "");
  EXPECT_FALSE(result.asks_for_client_certificate);
  ASSERT_TRUE(result.leaf);
  EXPECT_EQ(result.leaf->to_der(), server.first.to_der());
}

TEST_P(EveryTls, IsAcceptedWithTheRightCertificate) {
  const TlsProbe result = probe({.demand_client = true}, client);
  EXPECT_TRUE(result.accepted) << result.trouble;
  EXPECT_TRUE(result.asks_for_client_certificate);
  ASSERT_TRUE(result.leaf);
  EXPECT_EQ(result.leaf->to_der(), server.first.to_der());
}

TEST_P(EveryTls, IsRefusedWithoutACertificateWhereOneIsDemanded) {
  const TlsProbe result = probe({.demand_client = true}, std::nullopt);
  EXPECT_FALSE(result.accepted);
  EXPECT_TRUE(result.asks_for_client_certificate);
  EXPECT_THAT(result.trouble, HasSubstr("alert"));
  ASSERT_TRUE(result.leaf);
  EXPECT_EQ(result.leaf->to_der(), server.first.to_der());
}

TEST_P(EveryTls, IsRefusedWithACertificateOfAnotherCa) {
  const TlsProbe result = probe({.demand_client = true}, stranger);
  EXPECT_FALSE(result.accepted);
  EXPECT_THAT(result.trouble, HasSubstr("alert"));
}

TEST_P(EveryTls, IsAcceptedWithoutACertificateWhereOneIsOnlyAskedFor) {
  const TlsProbe result = probe({.ask_client = true}, std::nullopt);
  EXPECT_TRUE(result.accepted) << result.trouble;
  EXPECT_TRUE(result.asks_for_client_certificate);
}

TEST_F(TlsProbeTest, IsNotAcceptedByAServerThatHangsUpAfterTheHandshake) {
  const Server listening(tls({.lowest = TLS1_3_VERSION, .tickets = 0, .close_at_once = true}));
  const TlsProbe result = probe_tls("127.0.0.1", listening.port(), std::nullopt, limit);
  EXPECT_FALSE(result.accepted);
  EXPECT_THAT(result.trouble, HasSubstr("closed"));
}

TEST_F(TlsProbeTest, AcceptsAServerThatSendsNothingAfterTheHandshakeOnceTheWaitIsOver) {
  const Server listening(tls({.lowest = TLS1_3_VERSION, .tickets = 0}));
  EXPECT_TRUE(probe_tls("127.0.0.1", listening.port(), std::nullopt, 3s).accepted);
}

TEST_F(TlsProbeTest, SaysThatNobodyListens) {
  std::uint16_t port = 0;
  {
    const Server gone([](int) {});
    port = gone.port();
  }
  const TlsProbe result = probe_tls("127.0.0.1", port, std::nullopt, limit);
  EXPECT_FALSE(result.accepted);
  EXPECT_FALSE(result.leaf);
  EXPECT_THAT(result.trouble, HasSubstr("refused"));
}

TEST_F(TlsProbeTest, TakesAnIpv6Address) {
  const TlsProbe result =
      probe_tls("::1", 1, std::nullopt, limit);  // nobody listens there, if it exists at all
  EXPECT_FALSE(result.accepted);
  EXPECT_THAT(result.trouble, testing::Not(HasSubstr("not an IP address")));
}

TEST_F(TlsProbeTest, SaysThatThisIsNoAddress) {
  EXPECT_THAT(probe_tls("localhost", 1, std::nullopt, limit).trouble,
              HasSubstr("'localhost' is not an IP address"));
}

TEST_F(TlsProbeTest, GivesUpOnASilentServerAtTheLimit) {
  const Server silent(&wait_for_close);
  const TlsProbe result = probe_tls("127.0.0.1", silent.port(), std::nullopt, 200ms);
  EXPECT_FALSE(result.accepted);
  EXPECT_THAT(result.trouble, HasSubstr("in time"));
}

TEST_F(TlsProbeTest, GivesUpOnAServerThatDripsBytesForEver) {
  const Server dripping([](int fd) {
    const char header[] = {22, 3, 3, 64, 0};  // a record of 16 KiB that never becomes whole
    ::send(fd, header, sizeof header, MSG_NOSIGNAL);
    for (int i = 0; i < 3000 && ::send(fd, "x", 1, MSG_NOSIGNAL) == 1; ++i) std::this_thread::sleep_for(10ms);
  });
  EXPECT_THAT(probe_tls("127.0.0.1", dripping.port(), std::nullopt, 300ms).trouble, HasSubstr("in time"));
}

TEST_F(TlsProbeTest, SurvivesServersThatSpeakSomethingElse) {
  for (const std::string& reply :
       {std::string("HTTP/1.0 400 Bad Request\r\n\r\n"), std::string("SSH-2.0-x\r\n"),
        std::string(100'000, '\xff'), std::string()}) {
    const Server listening([&](int fd) {
      ::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL);
      ::shutdown(fd, SHUT_WR);
      wait_for_close(fd);
    });
    const TlsProbe result = probe_tls("127.0.0.1", listening.port(), std::nullopt, limit);
    EXPECT_FALSE(result.accepted);
    EXPECT_FALSE(result.leaf);
    EXPECT_NE(result.trouble, "");
  }
}

TEST_F(TlsProbeTest, SurvivesAConnectionThatIsReset) {
  const Server resetting([](int fd) {
    const linger at_once{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  });
  const TlsProbe result = probe_tls("127.0.0.1", resetting.port(), std::nullopt, limit);
  EXPECT_FALSE(result.accepted);
  EXPECT_NE(result.trouble, "");
}

TEST_F(TlsProbeTest, ThrowsForAClientWhoseKeyIsAnothers) {
  const Server listening(tls({}));
  const Identity mixed{client.first, PrivateKey::generate_ec()};
  EXPECT_EQ(thrown_by([&] { probe_tls("127.0.0.1", listening.port(), mixed, limit); }).kind,
            ErrorKind::invalid);
}

TEST_F(TlsProbeTest, LeavesNoDescriptorOpen) {
  const auto open_descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const Server listening(tls({.demand_client = true}));
  const auto before = open_descriptors();
  probe_tls("127.0.0.1", listening.port(), client, limit);
  probe_tls("127.0.0.1", listening.port(), std::nullopt, limit);
  probe_tls("127.0.0.1", 1, std::nullopt, limit);
  // The server's thread may still hold its own end for a moment.
  for (int i = 0; i < 3000 && open_descriptors() != before; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_EQ(open_descriptors(), before);
}

}  // namespace
}  // namespace berth
