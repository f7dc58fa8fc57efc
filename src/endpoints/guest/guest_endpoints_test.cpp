#include "endpoints/guest/guest_endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fstream>
#include <pugixml.hpp>

#include "api/wire/sample_view.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "endpoints/guest/routes.h"
#include "region/guest_sockets.h"

namespace berth {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

/// A region of one VM.
class OneVm final : public GuestHost {
 public:
  std::optional<GuestView> guest_view(const std::string& vm_id) const override {
    return vm_id == view.vm_id ? std::optional(view) : std::nullopt;
  }
  void take_health(const std::string&, HealthReport report) override { health = std::move(report); }
  void take_status(const std::string&, AgentStatus taken) override { status = std::move(taken); }
  Secret guest_pfx(const std::string&, const std::string& transport) override {
    if (given_to.empty()) given_to = transport;
    if (given_to != transport) throw Error(ErrorKind::conflict, "CertificateGiven", "It was given.");
    return Secret(pfx_for_guest({{Certificate::parse_pem(view.certificate, "c"), *key}}));
  }
  std::optional<ExtensionPackage> guest_package(const std::string& handler,
                                                const std::string& version) const override {
    for (const ExtensionPackage& package : packages)
      if (package.handler() == handler && package.version == version) return package;
    return std::nullopt;
  }
  std::vector<ExtensionPackage> guest_packages(const std::string& handler) const override {
    std::vector<ExtensionPackage> found;
    for (const ExtensionPackage& package : packages)
      if (package.handler() == handler) found.push_back(package);
    return found;
  }

  Secret identity_token(const std::string& vm_id, const IdentityQuestion& question) const override {
    if (question.client_id.empty()) return GuestHost::identity_token(vm_id, question);
    return Secret(R"({"access_token":"t","resource":")" + question.resource + R"("})");
  }

  GuestView view = wire::sample_view();
  std::optional<PrivateKey> key;
  std::string given_to;  ///< thumbprint of a transport certificate
  std::vector<ExtensionPackage> packages;
  std::optional<HealthReport> health;
  std::optional<AgentStatus> status;
};

Certificate self_signed(const PrivateKey& key) {
  CertificateOrder order;
  order.use = CertificateUse::encryption;
  order.common_name = "LinuxTransport";
  return issue_certificate(order, key);
}

class GuestEndpointsTest : public testing::Test {
 protected:
  GuestEndpointsTest() {
    std::string pattern = (fs::temp_directory_path() / "berth-guest-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~GuestEndpointsTest() override { fs::remove_all(folder); }

  /// As the region does when it first has something to encrypt.
  void give_certificate() {
    host.key = PrivateKey::generate_rsa();
    host.view.certificate = self_signed(*host.key).to_pem();
  }
  Response ask(GuestService service, const std::string& method, const std::string& path,
               CaseInsensitiveMap query = {}, std::string body = {}, CaseInsensitiveMap headers = {}) {
    Request request;
    request.method = method;
    request.path = path;
    request.query = std::move(query);
    request.body = std::move(body);
    request.headers = std::move(headers);
    return answer_guest(guest, service, request);
  }
  Response wire(const std::string& method, const std::string& path, const std::string& comp,
                std::string body = {}, CaseInsensitiveMap headers = {}) {
    return ask(GuestService::wire_server, method, path, {{"comp", comp}}, std::move(body),
               std::move(headers));
  }
  std::string goal_state() { return wire("GET", "/machine/", "goalstate").body; }
  void publish(const std::string& version, const std::string& bytes) {
    const fs::path zip = folder / (version + ".zip");
    std::ofstream(zip) << bytes;
    host.packages.push_back({.publisher = "Contoso.Test",
                             .type = "ShellHandler",
                             .version = version,
                             .published = version,
                             .zip = zip,
                             .sha256 = sha256_hex(bytes)});
  }
  static std::string fixture(const std::string& name) {
    std::ifstream file(std::string(BERTH_FIXTURES) + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder;
  OneVm host;
  Guest guest{"0123456789ab", host, std::make_shared<PackageCache>()};
};

}  // namespace

TEST_F(GuestEndpointsTest, AFloodIsRefusedAndAPausedGuestIsServedAgain) {
  static TokenBucket::Clock::time_point now;
  guest.now = [] { return now; };
  const auto health = [&] { return wire("POST", "/machine", "health", fixture("health_ready.xml")).status; };

  int served = 0;
  while (health() == 200 && served < 10'000) ++served;
  EXPECT_GE(served, 200);  // an agent that starts is in no danger
  EXPECT_LT(served, 400);
  EXPECT_EQ(wire("GET", "/machine/", "goalstate").headers["Retry-After"], "5");

  now += std::chrono::seconds(5);
  EXPECT_EQ(health(), 200);
}

TEST_F(GuestEndpointsTest, LargeReportsCostMore) {
  static TokenBucket::Clock::time_point now;
  guest.now = [] { return now; };
  int served = 0;
  while (wire("POST", "/HealthService", "", std::string(512 * 1024, ' ')).status != 429 && served < 1000)
    ++served;
  EXPECT_LT(served, 12);
}

TEST_F(GuestEndpointsTest, ServesTheDocumentsThatTheGoalStatePointsTo) {
  EXPECT_THAT(wire("GET", "/", "versions").body, HasSubstr("2012-11-30"));
  pugi::xml_document document;
  ASSERT_TRUE(document.load_string(goal_state().c_str()));
  const pugi::xml_node configuration =
      document.select_node("/GoalState/Container/RoleInstanceList/RoleInstance/Configuration").node();
  for (const char* name : {"HostingEnvironmentConfig", "SharedConfig", "ExtensionsConfig"}) {
    const std::string url = configuration.child_value(name);
    const auto type = url.find("type=") + 5;
    const std::string path = url.substr(url.find("/machine"), url.find('?') - url.find("/machine"));
    const Response answer = ask(GuestService::wire_server, "GET", path,
                                {{"comp", "config"}, {"type", url.substr(type, url.find('&', type) - type)}});
    EXPECT_EQ(answer.status, 200) << url;
    EXPECT_EQ(answer.headers.at("Content-Type"), "text/xml; charset=utf-8");
    EXPECT_TRUE(pugi::xml_document().load_string(answer.body.c_str()));
  }
}

TEST_F(GuestEndpointsTest, TheAgentCanOpenTheCertificatesItGets) {
  give_certificate();
  const PrivateKey transport_key = PrivateKey::generate_rsa();
  const Certificate transport = self_signed(transport_key);

  const Response answer = wire("GET", "/machine/c/i", "certificates", "",
                               {{"x-ms-cipher-name", "DES_EDE3_CBC"},
                                {"x-ms-guest-agent-public-x509-cert", base64_encode(transport.to_der())}});

  pugi::xml_document document;
  ASSERT_TRUE(document.load_string(answer.body.c_str()));
  const std::string data = document.child("CertificateFile").child_value("Data");
  EXPECT_EQ(data.find('\n'), 64u);
  const Secret pfx = cms_decrypt(base64_decode(data).value(), transport, transport_key);
  const Identity identity = parse_pfx(pfx.reveal(), "the guest's PFX");
  EXPECT_EQ(identity.first.to_pem(), host.view.certificate);
  EXPECT_TRUE(identity.first.matches(identity.second));
}

TEST_F(GuestEndpointsTest, CertificatesAreAnnouncedUntilTheAgentHasThem) {
  EXPECT_THAT(goal_state(), Not(HasSubstr("<Certificates>")));  // the VM has none yet
  give_certificate();
  EXPECT_THAT(goal_state(), HasSubstr("<Certificates>"));
  host.view.has_certificate = true;
  EXPECT_THAT(goal_state(), Not(HasSubstr("<Certificates>")));
}

TEST_F(GuestEndpointsTest, ACertificateThatWasGivenIsRefusedToOthersInOneAnswer) {
  give_certificate();
  const auto ask_with = [&](const Certificate& transport) {
    return wire("GET", "/machine/c/i", "certificates", "",
                {{"x-ms-guest-agent-public-x509-cert", base64_encode(transport.to_der())}});
  };
  const Certificate agent = self_signed(PrivateKey::generate_rsa());
  EXPECT_EQ(ask_with(agent).status, 200);
  // The agent would ask again for half a minute after 403, and for longer after 5xx.
  const Response refused = ask_with(self_signed(PrivateKey::generate_rsa()));
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.body, "");
  EXPECT_EQ(ask_with(agent).status, 200);
  EXPECT_EQ(host.given_to, agent.thumbprint());
}

TEST_F(GuestEndpointsTest, ATransportCertificateThatIsNoneIsABadRequest) {
  give_certificate();
  for (const std::string& value : {std::string(), std::string("***"), base64_encode("no certificate")})
    EXPECT_EQ(wire("GET", "/machine/c/i", "certificates", "", {{"x-ms-guest-agent-public-x509-cert", value}})
                  .status,
              400);
  EXPECT_THAT(goal_state(), HasSubstr("<Certificates>"));
}

TEST_F(GuestEndpointsTest, ServesManifestsAndPackages) {
  publish("1.0.0", "the zip");
  const Response manifest =
      ask(GuestService::wire_server, "GET", "/pkg/Contoso.Test.ShellHandler_manifest.xml");
  EXPECT_THAT(manifest.body, HasSubstr("http://168.63.129.16:80/pkg/Contoso.Test.ShellHandler__1.0.0.zip"));
  EXPECT_EQ(ask(GuestService::wire_server, "GET", "/pkg/Contoso.Test.ShellHandler__1.0.0.zip").body,
            "the zip");
  EXPECT_EQ(ask(GuestService::wire_server, "GET", "/pkg/Contoso.Test.ShellHandler__1.0.1.zip").status, 404);
  EXPECT_EQ(ask(GuestService::wire_server, "GET", "/pkg/Contoso.Else_manifest.xml").status, 404);
}

TEST_F(GuestEndpointsTest, TheHostPluginFetchesOnlyWhatWeOffer) {
  publish("1.0.0", "the zip");
  const auto fetch = [&](const std::string& url) {
    return ask(GuestService::host_plugin, "GET", "/extensionArtifact", {}, "",
               {{"x-ms-artifact-location", url}});
  };
  EXPECT_EQ(fetch("http://168.63.129.16/pkg/Contoso.Test.ShellHandler__1.0.0.zip").body, "the zip");
  EXPECT_EQ(fetch("http://127.0.0.1:22/").status, 404);
  EXPECT_EQ(fetch("file:///etc/passwd").status, 404);
  EXPECT_EQ(fetch("").status, 404);
}

TEST_F(GuestEndpointsTest, HealthReportsReachTheRegion) {
  EXPECT_EQ(wire("POST", "/machine", "health", fixture("health_failed.xml")).status, 200);
  EXPECT_EQ(host.health.value().substatus, "ProvisioningFailed");
}

TEST_F(GuestEndpointsTest, StatusReachesTheRegionByBothWays) {
  const std::string upload =
      R"({"content":")" + base64_encode(fixture("status.json")) + R"(","requestUri":"http://x"})";
  EXPECT_EQ(ask(GuestService::host_plugin, "PUT", "/status", {}, upload).status, 200);
  EXPECT_EQ(host.status.value().incarnation, "2");

  host.status.reset();
  EXPECT_EQ(ask(GuestService::wire_server, "PUT", "/status/web1.status", {}, fixture("status.json")).status,
            201);
  EXPECT_EQ(host.status.value().incarnation, "2");

  host.status.reset();
  EXPECT_EQ(ask(GuestService::wire_server, "PUT", "/status/web1.status").status, 201);
  EXPECT_FALSE(host.status);
}

TEST_F(GuestEndpointsTest, TheRestIsAnsweredAsTheAgentExpects) {
  EXPECT_EQ(wire("POST", "/machine", "roleProperties").status, 202);
  EXPECT_EQ(wire("POST", "/machine", "telemetrydata", fixture("telemetry.xml")).status, 200);
  EXPECT_EQ(ask(GuestService::wire_server, "POST", "/HealthService", {}, "{}").status, 200);
  EXPECT_EQ(ask(GuestService::host_plugin, "GET", "/versions").body, "[\"2015-09-01\"]");
  EXPECT_EQ(ask(GuestService::host_plugin, "GET", "/health").status, 200);
  EXPECT_EQ(ask(GuestService::host_plugin, "PUT", "/vmAgentLog", {}, "zip").status, 200);
  EXPECT_EQ(ask(GuestService::host_plugin, "GET", "/vmSettings").status, 404);
  EXPECT_EQ(ask(GuestService::metadata, "GET", "/metadata/instance/compute", {{"api-version", "2018-02-01"}},
                "", {{"Metadata", "True"}})
                .status,
            200);
}

TEST_F(GuestEndpointsTest, UnknownRequestsAreNotFound) {
  EXPECT_EQ(wire("GET", "/", "nothing").status, 404);
  EXPECT_EQ(wire("GET", "/machine/c/i", "config").status, 404);
  EXPECT_EQ(wire("DELETE", "/machine", "health").status, 404);
  EXPECT_EQ(ask(GuestService::host_plugin, "GET", "/machine", {{"comp", "goalstate"}}).status, 404);
  EXPECT_EQ(ask(GuestService::metadata, "GET", "/").status, 404);
  guest.vm_id = "ffffffffffff";
  EXPECT_EQ(wire("GET", "/", "versions").status, 404);
}

TEST_F(GuestEndpointsTest, WhatCannotBeReadIsABadRequestAndNeverAServerError) {
  for (const std::string& body :
       {std::string(), std::string("<a>"), std::string("\0\xff", 2), std::string(100'000, '[')}) {
    EXPECT_EQ(wire("POST", "/machine", "health", body).status, 400);
    EXPECT_EQ(ask(GuestService::host_plugin, "PUT", "/status", {}, body).status, 400);
  }
  publish("1.0.0", "the zip");
  fs::remove(folder / "1.0.0.zip");
  EXPECT_EQ(ask(GuestService::wire_server, "GET", "/pkg/Contoso.Test.ShellHandler__1.0.0.zip").status, 404);
  EXPECT_FALSE(host.health);
  EXPECT_FALSE(host.status);
}

TEST_F(GuestEndpointsTest, OpensAndClosesTheSocketsOfAVm) {
  asio::io_context context;
  GuestEndpoints endpoints(context.get_executor(), host, [](const std::string&) {});
  const GuestSockets sockets = guest_sockets(folder / "net", guest.vm_id);
  endpoints.set(guest.vm_id, folder / "net");
  endpoints.set(guest.vm_id, folder / "net");
  fs::remove_all(folder / "net");
  endpoints.set(guest.vm_id, folder / "net");

  std::map<std::string, std::string> answers;
  const auto get = [&](const fs::path& socket, std::string path) -> asio::awaitable<void> {
    asio::local::stream_protocol::socket client(context);
    co_await client.async_connect(socket.string(), asio::use_awaitable);
    const std::string request =
        "GET " + path + " HTTP/1.1\r\nHost: h\r\nMetadata: true\r\nConnection: close\r\n\r\n";
    co_await asio::async_write(client, asio::buffer(request), asio::use_awaitable);
    boost::system::error_code end;
    co_await asio::async_read(client, asio::dynamic_buffer(answers[path]),
                              asio::redirect_error(asio::use_awaitable, end));
  };
  asio::co_spawn(
      context,
      [&]() -> asio::awaitable<void> {
        co_await get(sockets.wire, "/?comp=versions");
        co_await get(sockets.plugin, "/versions");
        co_await get(sockets.metadata, "/metadata/versions");
        endpoints.set(guest.vm_id, {});
      },
      asio::detached);
  context.run_for(std::chrono::seconds(30));

  EXPECT_THAT(answers["/?comp=versions"], HasSubstr("<Versions>"));
  EXPECT_THAT(answers["/versions"], HasSubstr("2015-09-01"));
  EXPECT_THAT(answers["/metadata/versions"], HasSubstr("apiVersions"));
  EXPECT_FALSE(fs::exists(sockets.wire));
  EXPECT_FALSE(fs::exists(sockets.plugin));
  EXPECT_FALSE(fs::exists(sockets.metadata));
}

TEST_F(GuestEndpointsTest, ProgramsGetTokensOfTheMachinesIdentity) {
  const auto get = [&](CaseInsensitiveMap query, CaseInsensitiveMap headers = {{"Metadata", "true"}}) {
    return ask(GuestService::metadata, "GET", "/metadata/identity/oauth2/token", std::move(query), {},
               std::move(headers));
  };
  const Response answer = get({{"resource", "https://vault.azure.net"}, {"client_id", "c"}});
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"access_token":"t","resource":"https://vault.azure.net"})");
  const Response none = get({{"resource", "r"}});
  EXPECT_EQ(none.status, 400);
  EXPECT_THAT(none.body, HasSubstr("Identity not found"));
  EXPECT_THAT(get({{"client_id", "c"}}, {}).body, HasSubstr("Required metadata header"));
}

TEST_F(GuestEndpointsTest, AKnockOfTheSwitchSaysThatTheVmIsWanted) {
  asio::io_context context;
  std::string wanted;
  GuestEndpoints endpoints(context.get_executor(), host, [&](const std::string& vm_id) { wanted = vm_id; });
  endpoints.set(guest.vm_id, folder / "net");

  asio::local::stream_protocol::socket knocking(context);
  knocking.connect(guest_sockets(folder / "net", guest.vm_id).wake.string());
  asio::write(knocking, asio::buffer(std::string("POST /wake HTTP/1.0\r\nContent-Length: 0\r\n\r\n")));
  knocking.close();  // it waits for no answer
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
       wanted.empty() && std::chrono::steady_clock::now() < end;)
    context.run_one_for(std::chrono::milliseconds(100));
  EXPECT_EQ(wanted, guest.vm_id);
}

TEST_F(GuestEndpointsTest, OnlyTheAgentsLogsMayBeLarge) {
  asio::io_context context;
  GuestEndpoints endpoints(context.get_executor(), host, [](const std::string&) {});
  endpoints.set(guest.vm_id, folder / "net");
  const fs::path socket = guest_sockets(folder / "net", guest.vm_id).plugin;

  std::map<std::string, std::string> answers;
  const auto announce = [&](std::string path) -> asio::awaitable<void> {
    asio::local::stream_protocol::socket client(context);
    co_await client.async_connect(socket.string(), asio::use_awaitable);
    const std::string head =
        "PUT " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n";
    co_await asio::async_write(client, asio::buffer(head), asio::use_awaitable);
    std::string& answer = answers[path];
    answer.resize(12);
    co_await asio::async_read(client, asio::buffer(answer), asio::use_awaitable);
  };
  asio::co_spawn(
      context,
      [&]() -> asio::awaitable<void> {
        co_await announce("/status");
        co_await announce("/vmAgentLog");
        endpoints.set(guest.vm_id, {});
      },
      asio::detached);
  context.run_for(std::chrono::seconds(30));

  EXPECT_EQ(answers["/status"], "HTTP/1.1 413");
  EXPECT_EQ(answers["/vmAgentLog"], "HTTP/1.1 100");
}

}  // namespace berth
