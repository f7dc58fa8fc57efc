#include <gtest/gtest.h>

#include "cli/docker/cloud_init.h"
#include "extension/engine_config.h"

/// A Docker host that cloud-init makes is set up as one that the extension makes.
namespace berth::extension {

TEST(CloudInitContract, TheEnginesConfigurationIsTheExtensions) {
  Settings settings;
  settings.port = 4243;
  settings.ca = settings.certificate = "PEM";
  settings.key = Secret("PEM");
  const DaemonFile ours = merge_daemon_file(std::nullopt, wanted_daemon_keys(settings, {}, false), {});
  EXPECT_EQ(nlohmann::ordered_json::parse(cloud_init_daemon_file()),
            nlohmann::ordered_json::parse(ours.text));
}

TEST(CloudInitContract, TheFilesAndTheListenerAreTheExtensions) {
  const std::string data = docker_cloud_init({.authority_pem = "CA",
                                              .certificate_pem = "CERT",
                                              .key_pem = Secret("KEY"),
                                              .docker_port = 4243,
                                              .user = "ops",
                                              .host_key_pem = Secret("KEY"),
                                              .host_key_line = "ssh-rsa AAAA"})
                               .reveal();
  EngineUnit unit;
  unit.file = "/lib/systemd/system/docker.service";
  unit.exec_start = "/usr/sbin/dockerd -H fd:// $DOCKER_OPTS";
  unit.has_socket = true;
  Settings settings;
  settings.port = 4243;
  const std::string drop_in = drop_in_text(unit, settings, {}).value();
  EXPECT_NE(drop_in.find("ExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS -H tcp://0.0.0.0:4243\n"),
            std::string::npos)
      << drop_in;
  EXPECT_NE(data.find("ExecStart=%s -H tcp://0.0.0.0:4243"), std::string::npos);
  for (const std::string& file :
       {std::string(ca_file), std::string(certificate_file), std::string(key_file), drop_in_file(unit)})
    EXPECT_NE(data.find(file), std::string::npos) << file;
}

}  // namespace berth::extension
