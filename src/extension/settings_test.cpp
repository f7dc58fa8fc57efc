#include "extension/settings.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "extension/fake_machine.h"

namespace berth::extension {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const TestCertificates& some_certificates() {
  static const TestCertificates certificates;
  return certificates;
}

Settings parse(const std::string& open, const std::string& closed = "{}") {
  return parse_settings(open, Secret(closed));
}

/// With certificates, so that a port is allowed.
Settings parse_with_certificates(const std::string& open) {
  return parse(open, FakeMachine::protected_json(some_certificates()));
}

std::string setting_refusal(const std::string& open, const std::string& closed = "{}") {
  try {
    parse(open, closed);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    return std::string(error.what()) + " " + error.advice;
  }
  return "it was accepted";
}

std::string envelope_refusal(const std::string& text) {
  try {
    parse_envelope(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "it was accepted";
}

// -- both schemas -----------------------------------------------------------------------------------------

TEST(Settings, TakeThePortAsTextOrNumberInBothSchemas) {
  for (const char* open : {R"({"docker":{"port":"2376"}})", R"({"docker":{"port":2376}})",
                           R"({"dockerport":"2376"})", R"({"dockerport":2376})"})
    EXPECT_EQ(parse_with_certificates(open).port, 2376) << open;
}

TEST(Settings, TakeAnEmptyOrAbsentPortAsNoTcp) {
  for (const char* open : {"{}", R"({"docker":{"port":""}})", R"({"docker":{"port":null}})",
                           R"({"dockerport":""})", R"({"docker":{}})"})
    EXPECT_EQ(parse(open).port, std::nullopt) << open;
}

TEST(Settings, RefuseWhatIsNoPort) {
  for (const char* port : {R"("0")", "0", "65536", "-1", R"("2376x")", R"(" 2376")", "1.5", "true", "[]",
                           "99999999999999999999", R"("١٢")"})
    EXPECT_THAT(setting_refusal(R"({"docker":{"port":)" + std::string(port) + "}}"), HasSubstr("docker.port"))
        << port;
}

TEST(Settings, TakeCertificatesAsPemAndAsBase64OfPem) {
  const TestCertificates& some = some_certificates();
  const json as_pem = {
      {"certs",
       {{"ca", some.ca.to_pem()}, {"cert", some.certificate.to_pem()}, {"key", some.key.to_pem().reveal()}}}};

  const Settings one = parse("{}", as_pem.dump());
  const Settings other = parse("{}", FakeMachine::protected_json(some));

  EXPECT_EQ(one.certificate, some.certificate.to_pem());
  EXPECT_EQ(other.certificate, one.certificate);
  EXPECT_EQ(other.key, one.key);
}

TEST(Settings, TakeTheNamesOf2014) {
  const TestCertificates& some = some_certificates();
  const json closed = {{"ca", some.ca.to_pem()},
                       {"server-cert", some.certificate.to_pem()},
                       {"server-key", some.key.to_pem().reveal()}};

  const Settings settings = parse(
      R"({"dockerport":"4243","composeup":{"web":{"image":"nginx"}},"installonly":"true"})", closed.dump());

  EXPECT_EQ(settings.port, 4243);
  EXPECT_EQ(settings.ca, some.ca.to_pem());
  EXPECT_THAT(settings.compose, HasSubstr("\"web\":"));
  EXPECT_TRUE(settings.install_only);
  EXPECT_THAT(settings.warnings, IsEmpty());
}

TEST(Settings, AcceptBothFormsOfOneSettingIfTheyAgree) {
  EXPECT_EQ(parse_with_certificates(R"({"docker":{"port":"2376"},"dockerport":2376})").port, 2376);
}

TEST(Settings, NameBothFormsWhenTheyDiffer) {
  EXPECT_THAT(setting_refusal(R"({"docker":{"port":2376},"dockerport":4243})"),
              AllOf(HasSubstr("docker.port"), HasSubstr("dockerport")));
  const TestCertificates other;
  json closed = json::parse(FakeMachine::protected_json(some_certificates()));
  closed["server-key"] = other.key.to_pem().reveal();
  EXPECT_THAT(setting_refusal("{}", closed.dump()), AllOf(HasSubstr("certs.key"), HasSubstr("server-key")));
  EXPECT_THAT(setting_refusal(R"({"compose":{"a":{}},"composeup":{"b":{}}})"),
              AllOf(HasSubstr("compose"), HasSubstr("composeup")));
}

TEST(Settings, WarnOfKeysTheyDoNotKnow) {
  const Settings settings =
      parse(R"({"docker":{"prot":1},"dockerPort":1})", R"({"cert":"x","certs":{"pem":"y"}})");

  EXPECT_THAT(settings.warnings, ElementsAre(HasSubstr("dockerPort"), HasSubstr("docker.prot"),
                                             HasSubstr("cert "), HasSubstr("certs.pem")));
}

TEST(Settings, RefuseAWrongTypeNamingTheKey) {
  EXPECT_THAT(setting_refusal(R"({"docker":[]})"), HasSubstr("docker is not an object"));
  EXPECT_THAT(setting_refusal(R"({"docker":{"options":"-D"}})"),
              HasSubstr("docker.options is not an array of strings"));
  EXPECT_THAT(setting_refusal(R"({"docker":{"options":[1]}})"), HasSubstr("docker.options"));
  EXPECT_THAT(setting_refusal(R"({"compose":"text"})"), HasSubstr("compose is not an object"));
  EXPECT_THAT(setting_refusal(R"({"compose-environment":{"A":1}})"), HasSubstr("compose-environment.A"));
  EXPECT_THAT(setting_refusal(R"({"installonly":"yes"})"), HasSubstr("installonly is not true or false"));
  EXPECT_THAT(setting_refusal("{}", R"({"login":"me"})"), HasSubstr("login is not an object"));
  EXPECT_THAT(setting_refusal("{}", R"({"certs":{"ca":7}})"), HasSubstr("certs.ca is not a string"));
}

TEST(Settings, LetProtectedEnvironmentWin) {
  const Settings settings =
      parse(R"({"compose-environment":{"A":"public","B":"b"}})", R"({"environment":{"A":"private"}})");

  EXPECT_EQ(settings.compose_environment.at("B"), "b");
  EXPECT_EQ(settings.secret_environment.at("A").reveal(), "private");
}

TEST(Settings, ReadALoginAndIgnoreItsEmail) {
  const Settings settings = parse(
      "{}", R"({"login":{"server":"registry:5000","username":"me","password":"hunter22","email":"a@b"}})");

  ASSERT_TRUE(settings.login);
  EXPECT_EQ(settings.login->server, "registry:5000");
  EXPECT_EQ(settings.login->password.reveal(), "hunter22");
  EXPECT_THAT(settings.warnings, IsEmpty());
}

TEST(Settings, RefuseALoginThatWouldBecomeAFlag) {
  EXPECT_THAT(
      setting_refusal("{}", R"({"login":{"server":"--config=/x","username":"me","password":"hunter22"}})"),
      HasSubstr("login.server"));
  EXPECT_THAT(setting_refusal("{}", R"({"login":{"username":"me"}})"), HasSubstr("no password"));
}

TEST(Settings, KnowTheCloudsOf2015) {
  EXPECT_THAT(setting_refusal(R"({"azure-environment":"Mars"})"),
              HasSubstr("invalid environment name: Mars"));
  EXPECT_NO_THROW(parse(R"({"azure-environment":"AzureChinaCloud"})"));
}

TEST(Settings, ReadOurAdditions) {
  const Settings settings = parse(
      R"({"docker":{"channel":"docker-ce","version":"24.0","repository":"https://mirror.example/debian bookworm stable",
      "repositoryKey":"-----BEGIN PGP PUBLIC KEY BLOCK-----","liveRestore":false,"hardening":"cis"},
      "addUserToDockerGroup":false,"disableStopsEngine":true,"removeEngineOnUninstall":true})");

  EXPECT_EQ(settings.channel, Channel::docker_ce);
  EXPECT_EQ(settings.version, "24.0");
  EXPECT_EQ(settings.live_restore, false);
  EXPECT_EQ(settings.hardening, Hardening::cis);
  EXPECT_FALSE(settings.add_user_to_docker_group);
  EXPECT_TRUE(settings.disable_stops_engine);
  EXPECT_TRUE(settings.remove_engine_on_uninstall);
  EXPECT_THAT(setting_refusal(R"({"docker":{"channel":"snap"}})"),
              HasSubstr("distro, docker-ce, static, none"));
  EXPECT_THAT(setting_refusal(R"({"docker":{"channel":"static"}})"), HasSubstr("archiveSha256"));
  EXPECT_THAT(setting_refusal(R"({"docker":{"channel":"docker-ce","repository":"x"}})"),
              HasSubstr("repositoryKey"));
}

// -- fail closed ------------------------------------------------------------------------------------------

TEST(Settings, RefuseAPortWithoutCertificates) {
  EXPECT_THAT(setting_refusal(R"({"docker":{"port":2375}})"), HasSubstr("without certificates"));
}

TEST(Settings, NameTheCertificateThatIsMissing) {
  json closed = json::parse(FakeMachine::protected_json(some_certificates()));
  closed["certs"].erase("key");
  EXPECT_THAT(setting_refusal(R"({"docker":{"port":2376}})", closed.dump()),
              HasSubstr("the key is not given"));
  closed["certs"].erase("ca");
  EXPECT_THAT(setting_refusal("{}", closed.dump()), HasSubstr("the CA is not given"));
}

TEST(Settings, AllowPlainTcpOnlyOnLoopbackAndOnlyOnRequest) {
  EXPECT_EQ(parse(R"({"docker":{"port":2375,"allowPlainTcp":true,"address":"127.0.0.1"}})").port, 2375);
  EXPECT_THAT(setting_refusal(R"({"docker":{"port":2375,"allowPlainTcp":true}})"), HasSubstr("loopback"));
  EXPECT_THAT(setting_refusal(R"({"docker":{"port":2375,"address":"127.0.0.1"}})"),
              HasSubstr("without certificates"));
  EXPECT_THAT(
      setting_refusal(R"({"docker":{"port":2375,"allowPlainTcp":true,"address":"127.0.0.1.example.com"}})"),
      HasSubstr("not an IP address"));
}

TEST(Settings, RefuseSecretsInPublicSettings) {
  for (const char* key : {"certs", "server-key", "login", "environment"})
    EXPECT_THAT(setting_refusal(json{{key, {{"key", "x"}}}}.dump()),
                AllOf(HasSubstr(key), HasSubstr("protected settings")))
        << key;
  EXPECT_THAT(setting_refusal(json{{"anything", some_certificates().key.to_pem().reveal()}}.dump()),
              HasSubstr("private key"));
}

TEST(Settings, DoNotRepeatASecretInTheirRefusal) {
  EXPECT_THAT(setting_refusal(R"({"login":{"password":"hunter22"}})"), Not(HasSubstr("hunter22")));
  EXPECT_THAT(setting_refusal("{}", R"({"login":{"password":"hunter22", "username" )"),
              Not(HasSubstr("hunter22")));
}

TEST(Settings, RefuseControlCharactersWhereTheyWouldReachAUnitFile) {
  EXPECT_THAT(setting_refusal(R"({"docker":{"options":["--label=a\nExecStartPre=/bin/evil"]}})"),
              HasSubstr("control character"));
  EXPECT_THAT(setting_refusal(R"({"docker":{"address":"0.0.0.0\n"}})"), HasSubstr("control character"));
  EXPECT_THAT(setting_refusal(R"({"compose-environment":{"A=B":"x"}})"), HasSubstr("environment"));
}

// -- hostile bytes ----------------------------------------------------------------------------------------

TEST(Settings, RefuseTruncatedAndForeignBytes) {
  const std::string good =
      R"({"docker":{"port":"2376","options":["-D"]},"compose":{"web":{"image":"nginx"}}})";
  for (std::size_t length = 1; length < good.size(); ++length)
    EXPECT_THAT(setting_refusal(good.substr(0, length)), HasSubstr("not valid JSON")) << length;
  EXPECT_THAT(setting_refusal("{\"docker\":{\"address\":\"\xff\xfe\"}}"), HasSubstr("UTF-8"));
  EXPECT_THAT(setting_refusal("[1]"), HasSubstr("not a JSON object"));
  EXPECT_THAT(setting_refusal(std::string(1'000'000, '[')), HasSubstr("nested deeper"));
  EXPECT_THAT(setting_refusal("{\"a\":\"" + std::string(5'000'000, 'x') + "\"}"), HasSubstr("at most"));
}

TEST(Settings, RefuseAComposeObjectWithoutBottom) {
  std::string deep = "1";
  for (int i = 0; i < 80; ++i) deep = R"({"a":)" + deep + "}";
  EXPECT_THAT(setting_refusal(R"({"compose":)" + deep + "}"), HasSubstr("nested deeper"));
}

// -- envelope ---------------------------------------------------------------------------------------------

TEST(Envelope, TakesAnEmptyFileAsEmptySettings) {
  for (const std::string& text :
       {std::string(), std::string("  \n"), std::string("{}"), std::string(3, '\0')}) {
    const Envelope envelope = parse_envelope(text);
    EXPECT_EQ(envelope.public_settings, "{}");
    EXPECT_EQ(open_protected(envelope, "/nonexistent").reveal(), "{}");
  }
}

TEST(Envelope, HoldsExactlyOneSettingsObject) {
  EXPECT_THAT(envelope_refusal(R"({"runtimeSettings":[]})"), HasSubstr("exactly one"));
  EXPECT_THAT(envelope_refusal(R"({"runtimeSettings":[{},{}]})"), HasSubstr("exactly one"));
  EXPECT_THAT(envelope_refusal(R"({"other":1})"), HasSubstr("exactly one"));
  EXPECT_THAT(envelope_refusal(R"({"runtimeSettings":[{"handlerSettings":7}]})"),
              HasSubstr("handlerSettings"));
  EXPECT_EQ(
      parse_envelope(
          R"({"runtimeSettings":[{"handlerSettings":{"publicSettings":null,"protectedSettings":null}}]})")
          .public_settings,
      "{}");
}

TEST(Envelope, NeedsAThumbprintBesideProtectedSettings) {
  EXPECT_THAT(envelope_refusal(R"({"runtimeSettings":[{"handlerSettings":{"protectedSettings":"AAAA"}}]})"),
              HasSubstr("thumbprint"));
  EXPECT_THAT(
      envelope_refusal(
          R"({"runtimeSettings":[{"handlerSettings":{"protectedSettings":"AAAA","protectedSettingsCertThumbprint":"../../../../../../../../etc/shadow000"}}]})"),
      HasSubstr("thumbprint"));
}

TEST(ProtectedSettings, OpenWithTheCertificateTheyNameInBothCiphers) {
  const FakeMachine machine;
  for (const ContentCipher cipher : {ContentCipher::des_ede3_cbc, ContentCipher::aes_256_cbc}) {
    Envelope envelope;
    envelope.protected_settings = base64_encode(cms_encrypt(R"({"a":1})", machine.transport, cipher));
    envelope.thumbprint = machine.transport.thumbprint();

    EXPECT_EQ(open_protected(envelope, machine.at("/var/lib/waagent")).reveal(), R"({"a":1})");
  }
}

TEST(ProtectedSettings, SayWhenTheirCertificateIsNotThere) {
  Envelope envelope;
  envelope.protected_settings = "AAAA";
  envelope.thumbprint = std::string(40, 'A');
  try {
    open_protected(envelope, "/nonexistent");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/AAAA"));
  }
}

// -- compose text -----------------------------------------------------------------------------------------

TEST(ComposeFile, IsYamlWithSortedKeys) {
  const json compose = {{"services",
                         {{"web",
                           {{"image", "nginx:1.25"},
                            {"ports", {"80:80", 443}},
                            {"environment", {{"A", "x: \"y\""}}},
                            {"tty", true},
                            {"empty", json::object()}}}}},
                        {"volumes", {{"data", nullptr}}}};

  const Settings settings = parse(json{{"compose", compose}}.dump());

  EXPECT_EQ(settings.compose,
            "\"services\":\n"
            "  \"web\":\n"
            "    \"empty\": {}\n"
            "    \"environment\":\n"
            "      \"A\": \"x: \\\"y\\\"\"\n"
            "    \"image\": \"nginx:1.25\"\n"
            "    \"ports\":\n"
            "      - \"80:80\"\n"
            "      - 443\n"
            "    \"tty\": true\n"
            "\"volumes\":\n"
            "  \"data\": null\n");
}

TEST(ComposeFile, WrapsTheServicesOf2015) {
  EXPECT_EQ(parse(R"({"compose":{"web":{"image":"nginx"}}})").compose,
            "\"services\":\n  \"web\":\n    \"image\": \"nginx\"\n");
}

TEST(ComposeFile, WritesObjectsInLists) {
  EXPECT_EQ(
      parse(R"({"compose":{"services":{"web":{"volumes":[{"type":"bind","target":"/x"},["a"]]}}}})").compose,
      "\"services\":\n  \"web\":\n    \"volumes\":\n      - \"target\": \"/x\"\n        \"type\": \"bind\"\n "
      "     - [\"a\"]\n");
}

TEST(ComposeFile, MayBeGivenAsText) {
  EXPECT_EQ(parse(R"({"compose-file":"services: {}\n"})").compose, "services: {}\n");
  EXPECT_THAT(setting_refusal(R"({"compose-file":"x","compose":{"a":{}}})"), HasSubstr("both set"));
}

}  // namespace
}  // namespace berth::extension
