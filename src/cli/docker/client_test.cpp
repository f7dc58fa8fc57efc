#include "cli/docker/client.h"

#include <gmock/gmock.h>

#include <cstdlib>

#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using testing::AllOf;
using testing::HasSubstr;

DockerClient client(const char* said, const char* pinned = "") {
  return parse_docker_client(said, pinned).value();
}

DockerAnswer engine_speaking(const char* version, const char* least, const char* most) {
  DockerAnswer answer;
  answer.version = version;
  answer.least_api_version = least;
  answer.api_version = most;
  return answer;
}

const DockerAnswer debian_12 = engine_speaking("20.10.24", "1.12", "1.41");
const DockerAnswer debian_13 = engine_speaking("26.1.5", "1.24", "1.45");

TEST(DockerClientOf, ReadsVersionAndApi) {
  const DockerClient found = client("28.2.2 1.50\n");
  EXPECT_EQ(found.version, "28.2.2");
  EXPECT_EQ(found.most_api, "1.50");
  EXPECT_EQ(found.least_api, "");
  EXPECT_EQ(client("29.1.3 1.52").least_api, "1.44");
  EXPECT_EQ(client("29.3.0 1.54").least_api, "1.40");
}

TEST(DockerClientOf, IsNothingForAProgramThatSaysSomethingElse) {
  for (const char* said :
       {"", "28.2.2", "podman version 4.3", "4.3.1 ", "x 1.2", "28.2.2 1", "28.2.2 <no value>"})
    EXPECT_FALSE(parse_docker_client(said, "")) << said;
}

TEST(DockerMisfits, ThereIsNoneWhereBothSpeakOneVersion) {
  EXPECT_EQ(docker_misfit(client("28.2.2 1.50"), debian_12, "web1").problem, "");
  EXPECT_EQ(docker_misfit(client("20.10.24 1.41"), debian_13, "web1").problem, "");
  EXPECT_EQ(docker_misfit(client("29.1.3 1.52"), debian_13, "web1").problem, "");
  EXPECT_EQ(docker_misfit(client("29.3.0 1.54"), debian_12, "web1").problem, "");
  // An engine that does not say from where on it answers is not guessed about.
  EXPECT_EQ(docker_misfit(client("1.12.0 1.24"), engine_speaking("9.9", "", ""), "web1").problem, "");
}

TEST(DockerMisfits, AClientThatIsTooNewIsToldToChangeTheHost) {
  const DockerMisfit misfit = docker_misfit(client("29.1.3 1.52"), debian_12, "web1");
  EXPECT_THAT(misfit.problem, AllOf(HasSubstr("29.1.3"), HasSubstr("from 1.44 on"),
                                    HasSubstr("20.10.24 of web1"), HasSubstr("up to 1.41")));
  EXPECT_THAT(misfit.advice, AllOf(HasSubstr("Change the host"), HasSubstr("azure vm image list")));
}

TEST(DockerMisfits, AClientThatIsTooOldIsToldToChangeItself) {
  const DockerMisfit misfit =
      docker_misfit(client("20.10.24 1.41"), engine_speaking("29.1.3", "1.44", "1.52"), "web1");
  EXPECT_THAT(misfit.problem,
              AllOf(HasSubstr("20.10.24"), HasSubstr("up to 1.41"), HasSubstr("from 1.44 on")));
  EXPECT_THAT(misfit.advice, AllOf(HasSubstr("Change the client"), HasSubstr("API 1.44 or later")));
}

TEST(DockerMisfits, APinnedVersionIsWhatCountsAndWhatToChange) {
  for (const char* pinned : {"1.20", "1.50"}) {
    const DockerMisfit misfit = docker_misfit(client("29.1.3 1.52", pinned), debian_13, "web1");
    EXPECT_THAT(misfit.problem, HasSubstr(pinned));
    EXPECT_THAT(misfit.advice, HasSubstr("unset DOCKER_API_VERSION"));
  }
  EXPECT_EQ(docker_misfit(client("29.1.3 1.52", "1.41"), debian_12, "web1").problem, "");
}

TEST(DockerClientInstalled, IsAskedWithoutAnEngineWhateverTheEnvironmentSays) {
  const TemporaryFolder folder;
  write_file(folder / "docker",
             "#!/bin/sh\n[ \"$1 $2\" = '-H unix:///dev/null' ] && [ -z \"$DOCKER_TLS_VERIFY\" ] && echo "
             "'29.0.1 1.52'\n"
             "echo 'Cannot connect' >&2\nexit 1\n",
             0755);
  const char* before = std::getenv("PATH");
  const std::string path = before ? before : "";
  ::setenv("PATH", (folder.path().string() + ":" + path).c_str(), 1);
  ::setenv("DOCKER_TLS_VERIFY", "1", 1);
  const auto found = installed_docker_client();
  ::unsetenv("DOCKER_TLS_VERIFY");
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->version, "29.0.1");
}

}  // namespace
}  // namespace berth
