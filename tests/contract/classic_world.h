#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "crypto/encoding.h"
#include "http/message.h"
#include "region/region.h"
#include "region/simulated_guests.h"

namespace berth {

class ClassicEndpoints;
class TestRegion;

/// A region in this process, spoken to in the classic dialect, and beside it in Resource Manager's.
class ClassicWorld {
 public:
  static constexpr const char* subscription = "00000000-0000-0000-0000-0000000000aa";

  ClassicWorld();
  ~ClassicWorld();

  /// As if berthd had been killed and started again. With a copy of the store (copy_store) as if it had been
  /// killed when that was made.
  void restart(const std::filesystem::path& store = {});
  /// The store's files as they are now, also in the midst of a request: a folder to give to restart().
  std::filesystem::path copy_store();

  Response send(const std::string& method, const std::string& path, const std::string& body = {});
  Response send_as(const std::string& der, const std::string& method, const std::string& path,
                   const std::string& body = {}, const std::string& subscription_id = subscription);
  /// All of them are under way before the first is answered; in the order of the answers.
  std::vector<Response> send_at_once(std::size_t count, const std::string& method, const std::string& path,
                                     const std::string& body = {});
  /// Polls as the client does: "Succeeded", or "CODE : MESSAGE".
  std::string finish(const Response& response);
  std::string do_it(const std::string& method, const std::string& path, const std::string& body = {}) {
    return finish(send(method, path, body));
  }

  /// The text of the first element that the path names, below the root.
  std::string read(const std::string& path, const char* xpath);
  std::size_t count(const std::string& path, const char* xpath);
  static std::string code(const Response& response);
  static std::string message(const Response& response);

  /// What happens inside the next change of a VM's record; once.
  void at_next_vm_change(std::function<void()> action);

  Region& region();
  SimulatedGuests& guests();
  std::filesystem::path folder() const;

 private:
  void begin(const std::string& der, const std::string& method, const std::string& path,
             const std::string& body, const std::string& subscription_id, std::vector<Response>& answers);
  void open();
  void turn();

  std::unique_ptr<ClassicEndpoints> classic_;  ///< outlives the region, whose operations use it
  std::unique_ptr<TestRegion> arm_;

 public:
  TestRegion& arm;
  std::string certificate;  ///< DER of the publish-settings file's
};

}  // namespace berth
