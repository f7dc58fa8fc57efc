#include <sys/stat.h>

#include "classic_documents.h"
#include "crypto/certificate.h"

namespace berth {

using testing::HasSubstr;

TEST_F(ClassicContract, Gotcha01AServiceHasADiskAccountInItsLocationAtOnce) {
  world.send("POST", "services/hostedservices", create_service("web"));
  EXPECT_THAT(world.read("services/storageservices", "//ServiceName"), testing::StartsWith("portalvhds"));
  EXPECT_EQ(world.read("services/storageservices", "//StorageServiceProperties/Location"), "West US");
  world.send("POST", "services/hostedservices", create_service("other"));
  EXPECT_EQ(world.count("services/storageservices", "//StorageService"), 1u);
}

TEST_F(ClassicContract, Gotcha14AnUnknownCertificateIsRefusedInHttp) {
  const Response stranger = world.send_as("not ours", "GET", "locations");
  EXPECT_EQ(stranger.status, 403);
  EXPECT_EQ(ClassicWorld::code(stranger), "ForbiddenError");
  EXPECT_EQ(world.send_as("", "GET", "locations").status, 403);
  EXPECT_EQ(
      world.send_as(world.certificate, "GET", "locations", "", "00000000-0000-0000-0000-00000000dead").status,
      403);
  EXPECT_EQ(world.send("GET", "locations").status, 200);
}

TEST_F(ClassicContract, Gotcha16ThePublishSettingsKeepTheirCertificateOverARestart) {
  const std::string before = world.certificate;
  world.restart();
  EXPECT_EQ(world.certificate, before);
  EXPECT_EQ(world.count("certificates", "//SubscriptionCertificate"), 1u);
  struct stat status {};
  ASSERT_EQ(::stat((world.folder() / "access/local.publishsettings").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(ClassicContract, ManagementCertificatesAreListedAddedAndRevoked) {
  const PrivateKey key = PrivateKey::generate_rsa();
  CertificateOrder order;
  order.use = CertificateUse::client;
  order.common_name = "second";
  const Certificate second = issue_certificate(order, key);
  const std::string body = fmt::format(
      "<SubscriptionCertificate {}><SubscriptionCertificatePublicKey>x</SubscriptionCertificatePublicKey>"
      "<SubscriptionCertificateData>{}</SubscriptionCertificateData></SubscriptionCertificate>",
      xmlns, base64_encode(second.to_der()));

  EXPECT_EQ(world.send_as(second.to_der(), "GET", "locations").status, 403);
  EXPECT_EQ(world.send("POST", "certificates", body).status, 201);
  EXPECT_EQ(world.send_as(second.to_der(), "GET", "locations").status, 200);
  EXPECT_EQ(world.count("certificates", "//SubscriptionCertificate"), 2u);
  EXPECT_EQ(world.read("certificates/" + second.thumbprint(), "//SubscriptionCertificateThumbprint"),
            second.thumbprint());
  EXPECT_EQ(world.send("DELETE", "certificates/" + second.thumbprint()).status, 200);
  EXPECT_EQ(world.send_as(second.to_der(), "GET", "locations").status, 403);
}

TEST_F(ClassicContract, TheLastManagementCertificateStays) {
  const std::string own = Certificate::parse_der(world.certificate, "own").thumbprint();
  EXPECT_EQ(world.send("DELETE", "certificates/" + own).status, 409);
  EXPECT_EQ(world.send("GET", "locations").status, 200);
}

TEST_F(ClassicContract, StorageAccountsAreMadeShownAndRemoved) {
  const auto order = [](const std::string& name) {
    return fmt::format(
        "<CreateStorageServiceInput {}><ServiceName>{}</ServiceName><Label>{}</Label><Location>East "
        "US</Location>"
        "<AccountType>Standard_LRS</AccountType></CreateStorageServiceInput>",
        xmlns, name, base64_encode(name));
  };
  EXPECT_EQ(world.read("services/storageservices/operations/isavailable/mine", "//Result"), "true");
  EXPECT_EQ(world.do_it("POST", "services/storageservices", order("mine")), "Succeeded");
  EXPECT_EQ(world.send("POST", "services/storageservices", order("mine")).status, 409);
  EXPECT_EQ(world.send("POST", "services/storageservices", order("Not Mine")).status, 400);
  EXPECT_EQ(world.read("services/storageservices/operations/isavailable/mine", "//Result"), "false");
  const std::string primary = world.read("services/storageservices/mine/keys", "//Primary");
  EXPECT_EQ(world.read("services/storageservices/mine/keys", "//Primary"), primary);
  world.send("POST", "services/storageservices/mine/keys?action=regenerate",
             "<RegenerateKeys><KeyType>primary</KeyType></RegenerateKeys>");
  EXPECT_NE(world.read("services/storageservices/mine/keys", "//Primary"), primary);
  EXPECT_EQ(world
                .send("PUT", "services/storageservices/mine",
                      "<UpdateStorageServiceInput><Description>d</Description></UpdateStorageServiceInput>")
                .status,
            200);
  EXPECT_EQ(world.read("services/storageservices/mine", "//Description"), "d");
  EXPECT_EQ(world.send("DELETE", "services/storageservices/mine").status, 200);
  EXPECT_EQ(world.send("GET", "services/storageservices/mine").status, 404);
}

TEST_F(ClassicContract, NobodyGetsKeysToSendBlobsOfDisks) {
  world.send("POST", "services/hostedservices", create_service("web"));
  const std::string account = world.read("services/storageservices", "//ServiceName");
  const Response refused = world.send("GET", "services/storageservices/" + account + "/keys");
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("no blob service"));
}

}  // namespace berth
