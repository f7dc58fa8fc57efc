#include "api/classic/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pugixml.hpp>

namespace berth::classic {
namespace {

using testing::HasSubstr;
using testing::Not;

Operation operation(OperationStatus status) {
  Operation out;
  out.id = "0123456789abcdef0123456789abcdef";
  out.status = status;
  return out;
}

RoleView small_role() {
  RoleView role;
  role.name = "web";
  role.instance_status = "ReadyRole";
  role.os_disk = "web-os";
  return role;
}

}  // namespace

TEST(ClassicDocuments, AnErrorAlwaysHasAMessage) {
  EXPECT_THAT(error_xml("ConflictError", ""), HasSubstr("<Message>ConflictError</Message>"));
  EXPECT_THAT(error_xml("BadRequest", "a < b & c"), HasSubstr("<Message>a &lt; b &amp; c</Message>"));
}

TEST(ClassicDocuments, AFailedOperationSaysWhyAndWhatToDo) {
  Operation failed = operation(OperationStatus::failed);
  failed.problem = Problem{.code = "OSProvisioningTimedOut",
                           .message = "It did not report.",
                           .advice = "See its log.",
                           .details = {}};
  EXPECT_THAT(operation_xml(failed), HasSubstr("<Status>Failed</Status>"));
  EXPECT_THAT(
      operation_xml(failed),
      HasSubstr("<Code>OSProvisioningTimedOut</Code><Message>It did not report. See its log.</Message>"));
  EXPECT_THAT(operation_xml(operation(OperationStatus::canceled)),
              HasSubstr("<Message>The operation was cancelled.</Message>"));
  EXPECT_THAT(operation_xml(operation(OperationStatus::running)),
              HasSubstr("<Status>InProgress</Status></Operation>"));
}

TEST(ClassicDocuments, EveryRoleHasAnInstanceAndADiskAndANetwork) {
  DeploymentView deployment;
  deployment.name = "web";
  deployment.label = "web";
  deployment.roles = {small_role()};
  pugi::xml_document xml;
  ASSERT_TRUE(xml.load_string(deployment_xml(deployment).c_str()));
  EXPECT_STREQ(xml.select_node("//RoleInstance/RoleName").node().child_value(), "web");
  EXPECT_STREQ(xml.select_node("//Role/OSVirtualHardDisk/DiskName").node().child_value(), "web-os");
  EXPECT_STREQ(xml.select_node("//Role//ConfigurationSetType").node().child_value(), "NetworkConfiguration");
  EXPECT_STREQ(xml.select_node("/Deployment/Label").node().child_value(), "d2Vi");
  EXPECT_FALSE(xml.select_node("//IpAddress"));
}

TEST(ClassicDocuments, AServiceWithDetailHasItsDeploymentsEvenWhenThereAreNone) {
  EXPECT_THAT(hosted_service_xml({.name = "web"}, true), HasSubstr("<Deployments></Deployments>"));
  EXPECT_THAT(hosted_service_xml({.name = "web"}, false), Not(HasSubstr("<Deployments")));
}

TEST(ClassicDocuments, LocationsOfferPersistentVirtualMachines) {
  EXPECT_THAT(locations_xml(), HasSubstr("<Name>West US</Name>"));
  EXPECT_THAT(locations_xml(), HasSubstr("<AvailableService>PersistentVMRole</AvailableService>"));
}

TEST(ClassicDocuments, WhatTheAgentReportedStandsInTheInstance) {
  RoleView role = small_role();
  role.agent = AgentStatus{.version = "2.7.3.0", .status = "Ready", .message = "Running"};
  role.agent->handlers.push_back(
      {.handler = "P.N",
       .version = "1.0",
       .status = "Ready",
       .settings = StatusItem{.name = "N", .status = "success", .message = "Done <it>"}});
  DeploymentView deployment;
  deployment.roles = {role};
  const std::string xml = deployment_xml(deployment);
  EXPECT_THAT(xml, HasSubstr("<GuestAgentVersion>2.7.3.0</GuestAgentVersion><Status>Ready</Status>"));
  EXPECT_THAT(xml, HasSubstr("<HandlerName>P.N</HandlerName>"));
  EXPECT_THAT(xml, HasSubstr("<Message>Done &lt;it&gt;</Message>"));
}

TEST(ClassicDocuments, ControlCharactersDoNotBreakADocument) {
  EXPECT_TRUE(pugi::xml_document().load_string(error_xml("BadRequest", std::string("a\0b\x01", 4)).c_str()));
}

}  // namespace berth::classic
