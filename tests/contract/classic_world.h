#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <pugixml.hpp>

#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "endpoints/arm/test_region.h"
#include "endpoints/classic/classic_endpoints.h"
#include "host/files.h"

namespace berth {

/// A region in this process, spoken to in the classic dialect, and beside it in Resource Manager's.
class ClassicWorld {
 public:
  ClassicWorld() { open(); }

  /// As if berthd had been killed and started again.
  void restart() {
    classic.reset();
    arm.restart();
    open();
  }

  Response send(const std::string& method, const std::string& path, const std::string& body = {}) {
    return send_as(certificate, method, path, body);
  }

  Response send_as(const std::string& der, const std::string& method, const std::string& path,
                   const std::string& body = {}, const std::string& subscription = TestRegion::subscription) {
    const std::string target = "/" + subscription + (path.empty() ? "" : "/" + path);
    const auto parsed = parse_target(target);
    Request request;
    request.method = method;
    request.path = parsed->path;
    request.query = parsed->query;
    request.raw_target = target;
    request.body = body;
    request.origin = TestRegion::origin;
    request.client_certificate = der;
    bool mismatch = false;
    const Handler* handler = arm.router->match(request, mismatch);
    if (!handler) return ClassicEndpoints::no_route(request, mismatch);
    std::optional<Response> answer;
    boost::asio::co_spawn(*arm.io, (*handler)(std::move(request)),
                          [&](std::exception_ptr trouble, Response response) {
                            if (trouble) std::rethrow_exception(trouble);
                            answer = std::move(response);
                          });
    while (!answer) turn();
    return *answer;
  }

  /// Polls as the client does: "Succeeded", or "CODE : MESSAGE".
  std::string finish(const Response& response) {
    if (response.status != 202) return fmt::format("{} {}", response.status, response.body);
    for (int i = 0; i < 200'000; ++i) {
      pugi::xml_document document;
      document.load_string(send("GET", "operations/" + response.headers.at("x-ms-request-id")).body.c_str());
      const pugi::xml_node operation = document.child("Operation");
      const std::string status = operation.child_value("Status");
      if (status == "Succeeded") return status;
      if (status != "InProgress")
        return fmt::format("{} : {}", operation.child("Error").child_value("Code"),
                           operation.child("Error").child_value("Message"));
      turn();
    }
    return "never ended";
  }

  std::string do_it(const std::string& method, const std::string& path, const std::string& body = {}) {
    return finish(send(method, path, body));
  }

  /// The text of the first element that the path names, below the root.
  std::string read(const std::string& path, const char* xpath) {
    pugi::xml_document document;
    document.load_string(send("GET", path).body.c_str());
    return document.select_node(xpath).node().text().get();
  }
  std::size_t count(const std::string& path, const char* xpath) {
    pugi::xml_document document;
    document.load_string(send("GET", path).body.c_str());
    return document.select_nodes(xpath).size();
  }

  static std::string code(const Response& response) {
    pugi::xml_document document;
    document.load_string(response.body.c_str());
    return document.child("Error").child_value("Code");
  }
  static std::string message(const Response& response) {
    pugi::xml_document document;
    document.load_string(response.body.c_str());
    return document.child("Error").child_value("Message");
  }

  TestRegion arm;
  std::unique_ptr<ClassicEndpoints> classic;
  std::string certificate;  ///< DER of the publish-settings file's

 private:
  void open() {
    classic = std::make_unique<ClassicEndpoints>(*arm.region, arm.access, arm.folder.path());
    classic->recover();
    classic->add_to(*arm.router);
    pugi::xml_document settings;
    settings.load_string(
        read_file(classic->write_publish_settings(std::string(TestRegion::origin) + "/")).c_str());
    const std::string pfx =
        settings.select_node("//Subscription").node().attribute("ManagementCertificate").value();
    certificate = parse_pfx(base64_decode(pfx).value(), "the publish settings").first.to_der();
  }
  void turn() {
    arm.io->restart();
    arm.io->run_one();
  }
};

}  // namespace berth
