#include "classic_world.h"

#include <pugixml.hpp>

#include "api/classic/publish_settings.h"
#include "crypto/certificate.h"
#include "crypto/envelope.h"
#include "endpoints/arm/test_region.h"
#include "endpoints/classic/classic_endpoints.h"
#include "host/files.h"

namespace berth {
namespace {

constexpr const char* store_files[] = {"region.db", "region.db-wal"};

std::string error_part(const Response& response, const char* name) {
  pugi::xml_document document;
  document.load_string(response.body.c_str());
  return document.child("Error").child_value(name);
}

}  // namespace

ClassicWorld::ClassicWorld() : arm_(std::make_unique<TestRegion>()), arm(*arm_) {
  open();
}
ClassicWorld::~ClassicWorld() = default;

void ClassicWorld::restart(const std::filesystem::path& store) {
  arm.restart([&] {
    classic_.reset();
    if (store.empty()) return;
    for (const char* file : store_files) {
      std::filesystem::remove(arm.folder / file);
      if (exists(store / file)) copy(store / file, arm.folder / file);
    }
  });
  open();
}

std::filesystem::path ClassicWorld::copy_store() {
  const std::filesystem::path copy = arm.folder / "store-copy";
  std::filesystem::create_directories(copy);
  for (const char* file : store_files)
    if (exists(arm.folder / file))
      std::filesystem::copy(arm.folder / file, copy / file,
                            std::filesystem::copy_options::overwrite_existing);
  return copy;
}

Response ClassicWorld::send(const std::string& method, const std::string& path, const std::string& body) {
  return send_as(certificate, method, path, body);
}

Response ClassicWorld::send_as(const std::string& der, const std::string& method, const std::string& path,
                               const std::string& body, const std::string& subscription_id) {
  std::vector<Response> answers;
  begin(der, method, path, body, subscription_id, answers);
  while (answers.empty()) turn();
  return std::move(answers.front());
}

std::vector<Response> ClassicWorld::send_at_once(std::size_t count, const std::string& method,
                                                 const std::string& path, const std::string& body) {
  std::vector<Response> answers;
  for (std::size_t i = 0; i < count; ++i) begin(certificate, method, path, body, subscription, answers);
  while (answers.size() < count) turn();
  return answers;
}

std::string ClassicWorld::finish(const Response& response) {
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
    // What ended it may have run just before the answer reached us: never wait here for long.
    arm.io->restart();
    arm.io->run_one_for(std::chrono::milliseconds(5));
  }
  return "never ended";
}

std::string ClassicWorld::read(const std::string& path, const char* xpath) {
  pugi::xml_document document;
  document.load_string(send("GET", path).body.c_str());
  return document.select_node(xpath).node().text().get();
}

std::size_t ClassicWorld::count(const std::string& path, const char* xpath) {
  pugi::xml_document document;
  document.load_string(send("GET", path).body.c_str());
  return document.select_nodes(xpath).size();
}

std::string ClassicWorld::code(const Response& response) {
  return error_part(response, "Code");
}
std::string ClassicWorld::message(const Response& response) {
  return error_part(response, "Message");
}

void ClassicWorld::at_next_vm_change(std::function<void()> action) {
  arm.vm_changed = [this, action = std::move(action)](const Vm&) {
    const auto once = std::exchange(arm.vm_changed, {});  // which holds the action until it has run
    action();
  };
}

Region& ClassicWorld::region() {
  return *arm.region;
}
SimulatedGuests& ClassicWorld::guests() {
  return *arm.guests;
}
std::filesystem::path ClassicWorld::folder() const {
  return arm.folder.path();
}

void ClassicWorld::begin(const std::string& der, const std::string& method, const std::string& path,
                         const std::string& body, const std::string& subscription_id,
                         std::vector<Response>& answers) {
  const std::string target = "/" + subscription_id + (path.empty() ? "" : "/" + path);
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
  const Gate* gate = arm.router->match(request, mismatch);
  const Admission admission = gate ? (*gate)(request) : Admission{};
  if (!admission.handler) {
    answers.push_back(gate ? admission.refusal : ClassicEndpoints::no_route(request, mismatch));
    return;
  }
  boost::asio::co_spawn(*arm.io, admission.handler(std::move(request)),
                        [&answers](std::exception_ptr trouble, Response response) {
                          if (trouble) std::rethrow_exception(trouble);
                          answers.push_back(std::move(response));
                        });
}

void ClassicWorld::open() {
  classic_ = std::make_unique<ClassicEndpoints>(*arm.region, arm.access, arm.folder.path());
  classic_->recover();
  classic_->add_to(*arm.router);
  const auto file = classic_->write_publish_settings(std::string(TestRegion::origin) + "/");
  const auto settings = classic::parse_publish_settings(read_file(file), file.string());
  certificate = parse_pfx(settings.front().pfx.reveal(), file.string()).first.to_der();
}

void ClassicWorld::turn() {
  arm.io->restart();
  arm.io->run_one();
}

}  // namespace berth
