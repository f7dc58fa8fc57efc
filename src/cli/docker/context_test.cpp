#include "cli/docker/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/docker/certificates.h"
#include "crypto/encoding.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Contexts : public testing::Test {
 protected:
  Contexts() {
    make_folder(certificates);
    for (const char* name : {"ca.pem", "cert.pem", "key.pem"}) write_file(certificates / name, name);
    make_folder(home);
    write_file(home / "lock", "");
  }
  DockerContext wanted(const std::string& name = "web1") const {
    return {.name = name,
            .host = "web1",
            .region = "sub-1",
            .region_home = home,
            .endpoint = "tcp://127.0.0.9:4243",
            .certificates = certificates};
  }
  fs::path meta(const std::string& name) const {
    return config / "contexts/meta" / sha256_hex(name) / "meta.json";
  }
  json meta_document(const std::string& name) const { return json::parse(read_file(meta(name))); }
  std::string current() const {
    return json::parse(read_file(config / "config.json")).value("currentContext", "");
  }
  static mode_t mode(const fs::path& file) {
    struct stat status {};
    EXPECT_EQ(::stat(file.c_str(), &status), 0) << file;
    return status.st_mode & 0777;
  }

  TemporaryFolder folder;
  fs::path config = folder / "docker", certificates = folder / "certs", home = folder / "home";
  DockerContexts contexts{config};
};

}  // namespace

TEST_F(Contexts, AreWrittenWhereTheDockerClientReadsThem) {
  EXPECT_EQ(contexts.write(wanted()).name, "web1");
  const json document = meta_document("web1");
  EXPECT_EQ(document["Name"], "web1");
  EXPECT_EQ(document["Endpoints"]["docker"]["Host"], "tcp://127.0.0.9:4243");
  EXPECT_EQ(document["Endpoints"]["docker"]["SkipTLSVerify"], false);
  const fs::path tls = config / "contexts/tls" / sha256_hex("web1") / "docker";
  EXPECT_EQ(read_file(tls / "key.pem"), "key.pem");
  EXPECT_EQ(mode(tls / "key.pem"), 0600U);
  EXPECT_EQ(mode(tls), 0700U);
  EXPECT_EQ(mode(meta("web1")), 0644U);
  EXPECT_EQ(read_file(config / "config.json"), "{}\n") << "no context is made the current one";
}

TEST_F(Contexts, OursForAHostThatIsGoneIsReplaced) {
  contexts.write(wanted());
  DockerContext moved = wanted();
  moved.endpoint = "tcp://127.0.0.10:4243";
  const auto written = contexts.write(moved);
  EXPECT_EQ(written.name, "web1");
  EXPECT_TRUE(written.replaced);
  EXPECT_EQ(meta_document("web1")["Endpoints"]["docker"]["Host"], "tcp://127.0.0.10:4243");
}

TEST_F(Contexts, AStrangersIsLeftAlone) {
  make_folder(meta("web1").parent_path());
  const std::string theirs =
      R"({"Name":"web1","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://me@web1"}}})";
  write_file(meta("web1"), theirs);
  EXPECT_EQ(contexts.write(wanted()).name, "web1-berth");
  EXPECT_EQ(read_file(meta("web1")), theirs);
}

TEST_F(Contexts, OneThatTheUserLedElsewhereIsAStrangers) {
  contexts.write(wanted());
  json document = meta_document("web1");
  document["Endpoints"]["docker"]["Host"] = "tcp://elsewhere:2376";
  write_file(meta("web1"), document.dump());
  EXPECT_EQ(contexts.write(wanted()).name, "web1-berth");
  EXPECT_THAT(contexts.remove("web1", "sub-1"), ElementsAre("web1-berth"));
  EXPECT_TRUE(fs::exists(meta("web1")));
}

TEST_F(Contexts, TheyAreLedToWhereTheirHostsPortIsNow) {
  contexts.write(wanted());
  const std::string endpoint = "tcp://web1.cloudapp.net:14243";
  EXPECT_THAT(contexts.lead("web1", "sub-1", endpoint), ElementsAre("web1"));
  EXPECT_EQ(meta_document("web1")["Endpoints"]["docker"]["Host"], endpoint);
  EXPECT_EQ(meta_document("web1")["Endpoints"]["docker"]["SkipTLSVerify"], false);
  EXPECT_THAT(contexts.lead("web1", "sub-1", endpoint), IsEmpty()) << "it leads there";
  EXPECT_THAT(contexts.lead("web2", "sub-1", "tcp://x:1"), IsEmpty());
  EXPECT_THAT(contexts.lead("web1", "sub-2", "tcp://x:1"), IsEmpty());
  EXPECT_THAT(contexts.remove("web1", "sub-1"), ElementsAre("web1")) << "it is still ours";
}

TEST_F(Contexts, NoneThatTheUserLedElsewhereIsLed) {
  contexts.write(wanted());
  json document = meta_document("web1");
  document["Endpoints"]["docker"]["Host"] = "tcp://elsewhere:2376";
  write_file(meta("web1"), document.dump());
  EXPECT_THAT(contexts.lead("web1", "sub-1", "tcp://x:1"), IsEmpty());
  EXPECT_EQ(meta_document("web1"), document);
}

TEST_F(Contexts, OneOfAnotherRegionIsReplacedOnlyWhenThatRegionIsGone) {
  contexts.write(wanted());
  DockerContext other = wanted();
  other.region = "sub-2";
  EXPECT_EQ(contexts.write(other).name, "web1-berth");
  fs::remove_all(home);
  other.region = "sub-3";
  EXPECT_EQ(contexts.write(other).name, "web1");
}

TEST_F(Contexts, UsingOneKeepsTheRestOfTheConfiguration) {
  make_folder(config);
  write_file(config / "config.json", R"({"credsStore":"pass","auths":{"r":{}},"currentContext":"x"})");
  contexts.use("web1");
  const json document = json::parse(read_file(config / "config.json"));
  EXPECT_EQ(document["currentContext"], "web1");
  EXPECT_EQ(document["credsStore"], "pass");
  EXPECT_TRUE(document["auths"].contains("r"));
}

TEST_F(Contexts, AConfigurationThatIsNotJsonIsNotWrittenOver) {
  make_folder(config);
  write_file(config / "config.json", "{oops");
  EXPECT_THROW(contexts.use("web1"), Error);
  EXPECT_EQ(read_file(config / "config.json"), "{oops");
}

TEST_F(Contexts, RemovingTheCurrentOneGoesBackToTheDefault) {
  contexts.write(wanted());
  contexts.use("web1");
  EXPECT_THAT(contexts.remove("web1", "sub-1"), ElementsAre("web1"));
  EXPECT_EQ(current(), "");
  EXPECT_FALSE(fs::exists(meta("web1")));
  EXPECT_FALSE(fs::exists(config / "contexts/tls" / sha256_hex("web1")));
}

TEST_F(Contexts, RemovingTakesThoseOfThatHostAndRegionOnly) {
  contexts.write(wanted());
  DockerContext other = wanted("web2");
  other.host = "web2";
  contexts.write(other);
  EXPECT_THAT(contexts.remove("web3", "sub-1"), IsEmpty());
  EXPECT_THAT(contexts.remove("web1", "sub-2"), IsEmpty());
  EXPECT_THAT(contexts.remove("web1", "sub-1"), ElementsAre("web1"));
  EXPECT_THAT(contexts.remove_all("sub-1"), ElementsAre("web2"));
}

TEST_F(Contexts, NamesFollowTheDockerClientsRule) {
  for (const char* good : {"web1", "a-b", "A.b_c+d", "12"}) EXPECT_FALSE(context_name_problem(good)) << good;
  for (const char* bad : {"", "a", "default", "-ab", "a b", "a/b", "wéb"})
    EXPECT_TRUE(context_name_problem(bad)) << bad;
}

/// What the docker client itself makes of it, when there is one.
TEST_F(Contexts, TheDockerClientReadsThem) {
  const auto docker = find_program("docker");
  ASSERT_TRUE(docker) << "The docker client is missing: scripts/setup installs it.";
  DockerContext context = wanted();
  context.certificates = folder / "real";  // client 20.10 looks into them
  DockerCertificates::load_or_make(context.certificates);
  contexts.write(context);
  contexts.use("web1");
  const RunOptions options{.input = {},
                           .folder = {},
                           .environment = {{"DOCKER_CONFIG", config.string()}},
                           .limit = std::chrono::seconds(60),
                           .on_line = {}};
  const RunResult list =
      run({*docker, "context", "ls", "--format", "{{.Name}} {{.DockerEndpoint}} {{.Current}}"}, options);
  EXPECT_THAT(list.out, HasSubstr("web1 tcp://127.0.0.9:4243 true")) << list.err;
  const RunResult inspect = run({*docker, "context", "inspect", "web1"}, options);
  ASSERT_EQ(inspect.exit_code, 0) << inspect.err;
  const json document = json::parse(inspect.out).at(0);
  EXPECT_EQ(document["TLSMaterial"]["docker"], (json{"ca.pem", "cert.pem", "key.pem"}));
  EXPECT_THAT(document["Metadata"]["Description"].get<std::string>(), HasSubstr("web1"));

  // A change by the client keeps our mark.
  const RunResult update = run({*docker, "context", "update", "web1", "--description", "mine"}, options);
  ASSERT_EQ(update.exit_code, 0) << update.err;
  EXPECT_THAT(contexts.remove("web1", "sub-1"), ElementsAre("web1"));
}

}  // namespace berth
