#include "images/recipe.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <set>
#include <stdexcept>

#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using testing::Contains;
using testing::Not;

const Recipe& recipe_called(const std::string& alias) {
  for (const Recipe& recipe : recipes())
    if (recipe.alias == alias) return recipe;
  throw std::out_of_range(alias);
}

const Recipe& docker_recipe() {
  return recipes().front();
}

TEST(Recipe, OfTheFirstImageIsOfTheNewestReleaseWithItsClientAndCompose) {
  EXPECT_EQ(docker_recipe().image.name, "berth__Debian-13-amd64-docker-26.1-en-us-30GB");
  EXPECT_THAT(docker_recipe().packages(), testing::IsSupersetOf({"docker-cli", "docker-compose"}));
  // In Debian 12 the client comes with the engine.
  EXPECT_THAT(recipe_called("Debian-12-docker").packages(), Not(Contains("docker-cli")));
}

TEST(Recipe, OfTheDockerImageHoldsTheEngineAndTheAgent) {
  EXPECT_TRUE(docker_recipe().image.docker);
  EXPECT_THAT(docker_recipe().packages(), Contains("docker.io"));
  EXPECT_THAT(docker_recipe().packages(), Contains("waagent"));
  EXPECT_THAT(docker_recipe().packages(), Contains("stunnel4"));
  EXPECT_THAT(docker_recipe().packages(), Not(Contains(testing::HasSubstr("#"))));
}

TEST(Recipe, OfAPlainImageHoldsNoEngine) {
  for (const char* alias : {"Debian-12", "Debian-13"}) {
    EXPECT_FALSE(recipe_called(alias).image.docker);
    EXPECT_THAT(recipe_called(alias).packages(), Not(Contains("docker.io")));
    EXPECT_THAT(recipe_called(alias).packages(), Not(Contains("stunnel4")));
  }
}

TEST(Recipe, OfDebian13DiffersFromThatOfDebian12InItsSuiteAlone) {
  Recipe twelve = recipe_called("Debian-12"), thirteen = recipe_called("Debian-13");
  EXPECT_EQ(thirteen.image.name, "berth__Debian-13-amd64-en-us-30GB");
  EXPECT_EQ(thirteen.suite, "trixie");
  thirteen.suite = twelve.suite;
  EXPECT_EQ(thirteen.hash(), twelve.hash());
}

TEST(Recipe, HashIsTheSameForTheSameRecipe) {
  EXPECT_EQ(docker_recipe().hash(), Recipe(docker_recipe()).hash());
}

TEST(Recipe, HashChangesWithPackagesSuiteAndSize) {
  std::set<std::string> hashes;
  Recipe recipe = docker_recipe();
  hashes.insert(recipe.hash());
  recipe.suite = "bookworm";
  hashes.insert(recipe.hash());
  recipe.image.size_gib = 31;
  hashes.insert(recipe.hash());
  recipe.package_lists = {"base"};
  hashes.insert(recipe.hash());
  EXPECT_EQ(hashes.size(), 4U);
}

TEST(Recipe, NamesAreUnique) {
  std::set<std::string> names, urns;
  for (const Recipe& recipe : recipes()) {
    names.insert(recipe.image.name);
    names.insert(recipe.alias);
    urns.insert(recipe.image.urn());
  }
  EXPECT_EQ(names.size(), 2 * recipes().size());
  EXPECT_EQ(urns.size(), recipes().size());
}

TEST(RecipeFiles, AreWrittenAsTheyAreWithProgramsExecutable) {
  const TemporaryFolder folder;

  write_recipe_files(folder.path());

  struct stat status {};
  ASSERT_EQ(::stat((folder / "build").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0755U);
  ASSERT_EQ(::stat((folder / "root/etc/systemd/system/walinuxagent.service").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644U);
  // A character that a careless embedding would lose: a backslash at the end of a line, a semicolon, a
  // bracket.
  EXPECT_THAT(read_file(folder / "build"), testing::HasSubstr("--architectures=amd64 --verbose \\\n"));
  EXPECT_THAT(read_file(folder / "customize"), testing::HasSubstr("|| { mkdir -p"));
  EXPECT_TRUE(read_file(folder / "build").ends_with("\n"));
}

TEST(RecipeFiles, TellTheFrontOneListenerAndWhomItLetsIn) {
  const TemporaryFolder folder;
  write_recipe_files(folder.path());

  const std::string front = read_file(folder / "root/usr/local/lib/docker-tls/front.conf");

  EXPECT_EQ(front.find("@ACCEPT@"), front.rfind("@ACCEPT@"));
  for (const char* line : {"\naccept = @ACCEPT@\n", "\nconnect = /run/docker.sock\n", "\nverifyChain = yes\n",
                           "\nCAfile = /etc/docker/ca.pem\n", "\nsslVersionMin = TLSv1.2\n"})
    EXPECT_THAT(front, testing::HasSubstr(line));
}

}  // namespace
}  // namespace berth
