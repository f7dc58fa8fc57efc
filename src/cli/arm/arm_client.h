#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/arm/token_source.h"
#include "model/resources.h"

namespace berth {

/// Where a Resource Manager is, and who we are to it.
struct ArmEndpoint {
  std::string url;                ///< "https://127.0.0.1:8443", no slash at the end
  std::filesystem::path ca_file;  ///< as in ClientOptions
  std::shared_ptr<TokenSource> tokens;
  bool far = false;              ///< lost connections are tried again
  bool is_public_cloud = false;  ///< Azure itself, or a national cloud of it
  std::string subscription;      ///< UUID
};

/// A request that was accepted; the work may go on behind it.
struct ArmAccepted {
  bool created = false;   ///< 201: it was not there before
  std::string document;   ///< JSON text of the answer; may be empty
  std::string operation;  ///< poll URL (Azure-AsyncOperation); empty if none
  std::string location;   ///< poll URL (Location); empty if none
  std::chrono::milliseconds poll{0};
};

/// Speaks Azure Resource Manager: long operations, pages, errors. Paths begin at
/// the subscription ("resourcegroups/web1", "providers/Microsoft.Compute/virtualMachines"); the API version
/// goes with the path. Source: reference of Resource Manager, sections 3 and 10.
///
/// Throws Error with Azure's code, and the kind that its status stands for; when there was no answer, those
/// of http/client.h. What passes is tried again (exchange.h). A token that ends is renewed, in the middle of a long operation, too.
/// Addresses that answers name are followed on its own host and those below it alone: a token goes with each request.
class ArmClient {
 public:
  ArmClient(ArmEndpoint endpoint, std::function<bool()> cancelled);
  ArmClient(ArmClient&& other) noexcept;
  ~ArmClient();

  const ArmEndpoint& endpoint() const;
  Listener& listener();
  int repeated_changes() const;  ///< as of Exchange

  nlohmann::json get(const std::string& path);
  std::optional<nlohmann::json> find(const std::string& path);  ///< nullopt when it does not exist
  /// What is above subscriptions ("subscriptions", "tenants"): all that we may see.
  std::vector<nlohmann::json> list_above(const std::string& collection);
  /// All pages of a collection.
  std::vector<nlohmann::json> list(const std::string& path);
  /// `again`: it may have been accepted before, without our hearing of it. Then a deployment that goes on under its name is this one.
  ArmAccepted put(const std::string& path, const nlohmann::json& body, bool again = false);
  /// A file, as it is.
  ArmAccepted put_file(const std::string& path, const std::string& bytes);
  /// Changes what `body` names, and leaves all else.
  ArmAccepted patch(const std::string& path, const nlohmann::json& body);
  ArmAccepted post(const std::string& path, const nlohmann::json& body);
  ArmAccepted remove(const std::string& path);

  /// Waits for the end of what was accepted (`path` as it was given), and tells its phases as they are known.
  /// Throws the operation's own error when it failed, unavailable("OperationNotEnded") after `limit`, and
  /// unavailable("OperationCanceled") when cancelled. `enough` is asked while it goes on: true to wait no longer, and the
  /// result is false then. Of what is far, a look that nobody answers (a lost connection, silence, 408, 429, 5xx) says nothing of the
  /// operation: it is looked again, after the time that Retry-After names, until `limit`.
  bool wait(const ArmAccepted& accepted, const std::string& path, std::chrono::milliseconds limit,
            const std::function<void(const std::vector<Phase>&)>& on_phases = {},
            const std::function<bool()>& enough = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// True for an Error that says that the connection, or the region's restart, failed and not the
/// request.
bool is_connection_loss(const Error& error);

}  // namespace berth
