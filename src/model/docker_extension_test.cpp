#include "model/docker_extension.h"

#include <gtest/gtest.h>

namespace berth {

TEST(DockerExtension, HasTwoNames) {
  EXPECT_TRUE(is_docker_extension("microsoft.azure.extensions.dockerextension"));
  EXPECT_TRUE(is_docker_extension("MSOpenTech.Extensions.DockerExtension"));
  EXPECT_FALSE(is_docker_extension("Contoso.DockerExtension"));
}

TEST(DockerExtension, ItsPortIsANumberOrDigitsUnderEitherName) {
  EXPECT_EQ(docker_port(R"({"docker":{"port":"4243"}})"), 4243);
  EXPECT_EQ(docker_port(R"({"docker":{"port":4243}})"), 4243);
  EXPECT_EQ(docker_port(R"({"dockerport":"2376"})"), 2376);
  EXPECT_EQ(docker_port(R"({"docker":{"options":[]},"dockerport":2376})"), 2376);
  EXPECT_EQ(docker_port(R"({"docker":{"port":"4243"},"dockerport":2376})"), 4243);
}

TEST(DockerExtension, SettingsThatNameNoPortHaveNone) {
  for (const char* settings :
       {"", "{}", "[]", "{", R"({"docker":{}})", R"({"docker":"4243"})", R"({"docker":{"port":null}})"}) {
    EXPECT_EQ(docker_port_text(settings), std::nullopt) << settings;
    EXPECT_EQ(docker_port(settings), std::nullopt) << settings;
  }
}

TEST(DockerExtension, WhatIsNoPortIsKeptAsText) {
  for (const char* text : {"abc", "0", "65536", "-1", "22x", ""}) {
    const std::string settings = std::string(R"({"docker":{"port":")") + text + "\"}}";
    EXPECT_EQ(docker_port_text(settings), text);
    EXPECT_EQ(docker_port(settings), std::nullopt) << text;
  }
}

}  // namespace berth
