#include "host/directories.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "base/error.h"

namespace berth {
namespace {

/// The environment with these variables set or (nullopt) absent, put back afterwards.
class WithEnvironment {
 public:
  explicit WithEnvironment(std::map<std::string, std::optional<std::string>> wanted) {
    for (const char* name : {"HOME", "BERTH_HOME", "BERTH_IMAGES", "XDG_DATA_HOME", "XDG_CACHE_HOME"}) {
      const char* value = std::getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      apply(name, wanted.contains(name) ? wanted[name] : std::nullopt);
    }
  }
  WithEnvironment(const WithEnvironment&) = delete;
  WithEnvironment& operator=(const WithEnvironment&) = delete;
  ~WithEnvironment() {
    for (const auto& [name, value] : before_) apply(name, value);
  }

 private:
  static void apply(const std::string& name, const std::optional<std::string>& value) {
    if (value)
      ::setenv(name.c_str(), value->c_str(), 1);
    else
      ::unsetenv(name.c_str());
  }
  std::map<std::string, std::optional<std::string>> before_;
};

TEST(Directories, AreBelowTheHomeDirectoryByDefault) {
  const WithEnvironment environment({{"HOME", "/home/ada"}});
  EXPECT_EQ(region_home(), "/home/ada/.local/share/berth");
  EXPECT_EQ(image_cache(), "/home/ada/.cache/berth/images");
}

TEST(Directories, FollowTheXdgVariables) {
  const WithEnvironment environment(
      {{"HOME", "/home/ada"}, {"XDG_DATA_HOME", "/d"}, {"XDG_CACHE_HOME", "/c"}});
  EXPECT_EQ(region_home(), "/d/berth");
  EXPECT_EQ(image_cache(), "/c/berth/images");
}

TEST(Directories, IgnoreRelativeAndEmptyXdgVariables) {
  const WithEnvironment environment({{"HOME", "/home/ada"}, {"XDG_DATA_HOME", "d"}, {"XDG_CACHE_HOME", ""}});
  EXPECT_EQ(region_home(), "/home/ada/.local/share/berth");
  EXPECT_EQ(image_cache(), "/home/ada/.cache/berth/images");
}

TEST(Directories, FollowOurOwnVariablesBeforeXdg) {
  const WithEnvironment environment({{"BERTH_HOME", "/b"}, {"BERTH_IMAGES", "/i"}, {"XDG_DATA_HOME", "/d"}});
  EXPECT_EQ(region_home(), "/b");
  EXPECT_EQ(image_cache(), "/i");
}

TEST(Directories, TakeOurOwnVariablesFromTheCurrentFolderWhenRelative) {
  const WithEnvironment environment({{"BERTH_IMAGES", "./images"}});
  EXPECT_EQ(image_cache(), std::filesystem::current_path() / "images");
}

TEST(Directories, RefuseARegionWhoseSocketsWouldNotFit) {
  const std::string longest = "/" + std::string(59, 'x');
  {
    const WithEnvironment environment({{"BERTH_HOME", longest}});
    EXPECT_EQ(region_home(), longest);
  }
  const WithEnvironment environment({{"BERTH_HOME", longest + "x"}});
  EXPECT_THROW(region_home(), Error);
}

TEST(Directories, AskThePasswordDatabaseWhenHomeIsNotSet) {
  const WithEnvironment environment({});
  EXPECT_TRUE(home_directory().is_absolute());
}

TEST(Directories, KnowWhereThisProgramStands) {
  EXPECT_TRUE(std::filesystem::exists(executable_folder() / "host_test"));
}

}  // namespace
}  // namespace berth
