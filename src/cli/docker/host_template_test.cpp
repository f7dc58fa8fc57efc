#include "cli/docker/host_template.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "host/files.h"

namespace berth {

/// The whole document, so that a change of it is seen: tests/fixtures/cli/README.md says how to renew it.
TEST(DockerHostTemplate, IsTheDocumentOfTheFixture) {
  const DockerHost host{.name = "web1",
                        .vm_name = "vm1",
                        .location = "westus",
                        .size = "Standard_B2s",
                        .image = "Debian:debian-12-docker:12:latest",
                        .user = "ops",
                        .password_login = true,
                        .ssh_keys = {"ssh-ed25519 AAAA me@here"},
                        .ssh_port = 22,
                        .docker_port = 4243,
                        .custom_data = "#!/bin/sh\n"};
  const std::string document = docker_host_template(host).dump(2) + "\n";
  if (const char* file = std::getenv("BERTH_RENEW_FIXTURES")) write_file(file, document, 0644);
  EXPECT_EQ(document, read_file(BERTH_FIXTURES "/cli/docker_host_template.json"));
}

TEST(DockerHostTemplate, OnAzureIsTheDocumentOfItsFixture) {
  const DockerHost host{.name = "web1",
                        .vm_name = "vm1",
                        .location = "westus",
                        .size = "Standard_B2s",
                        .image = "Debian:debian-13:13-gen2:latest",
                        .user = "ops",
                        .password_login = true,
                        .ssh_keys = {"ssh-ed25519 AAAA me@here"},
                        .ssh_port = 22,
                        .docker_port = 4243,
                        .custom_data = {},
                        .on_azure = true,
                        .allow_from = {"192.0.2.1", "198.51.100.0/24"}};
  const std::string document = docker_host_template(host).dump(2) + "\n";
  if (const char* file = std::getenv("BERTH_RENEW_AZURE_FIXTURE")) write_file(file, document, 0644);
  EXPECT_EQ(document, read_file(BERTH_FIXTURES "/cli/docker_host_template_azure.json"));
}

TEST(DockerHostTemplate, SecretsAreParametersOfTheDeploymentAndNotInTheTemplate) {
  const DockerHost host{.name = "web1",
                        .vm_name = "web1",
                        .image = "x",
                        .user = "ops",
                        .ssh_keys = {},
                        .ssh_port = {},
                        .custom_data = {}};
  const auto certificates = docker_certificates_value("CA", "CERT", Secret("KEY"));
  const auto body = deployment_body(host, Secret("Str0ng!pass"), certificates);
  EXPECT_EQ(body["properties"]["mode"], "Incremental");
  EXPECT_EQ(body["properties"]["parameters"]["adminPassword"]["value"], "Str0ng!pass");
  EXPECT_EQ(body["properties"]["parameters"]["dockerCertificates"]["value"].dump(),
            R"({"certs":{"ca":"Q0E=","cert":"Q0VSVA==","key":"S0VZ"}})");
  EXPECT_EQ(body["properties"]["template"].dump().find("Str0ng"), std::string::npos);
}

TEST(DockerHostTemplate, WithoutAPasswordThereIsNoParameterForIt) {
  const DockerHost host{.name = "web1",
                        .vm_name = "web1",
                        .image = "x",
                        .user = "ops",
                        .password_login = false,
                        .ssh_keys = {"k"},
                        .ssh_port = {},
                        .custom_data = {}};
  EXPECT_FALSE(docker_host_template(host)["parameters"].contains("adminPassword"));
  EXPECT_FALSE(deployment_body(host, {}, {})["properties"]["parameters"].contains("adminPassword"));
}

}  // namespace berth
