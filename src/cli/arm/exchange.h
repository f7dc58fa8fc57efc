#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "http/client.h"

namespace berth {

/// Told what goes on between us and a service; both may be empty.
struct Listener {
  std::function<void(const std::string&)> trace;  ///< each exchange: method, URL, status, time, its ids
  std::function<void(const std::string&)> warn;   ///< what the user should know now: a wait, a wrong clock
};

/// HTTP with a service that may be busy or far away. What passes (408, 429, 5xx; of a POST 429 and 503 alone, unless it is said to be
/// repeatable) is tried again a few times, after the time that Retry-After names, up to two minutes. Tells of a clock that is more than
/// five minutes from the service's. Ctrl-C ends each wait: Error(unavailable, "OperationCanceled").
class Exchange {
 public:
  struct Options {
    ClientOptions client;
    /// Lost connections are tried again, too, and silence is within two minutes. (The local region may have to be started first:
    /// Session::persist.)
    bool far = false;
    std::vector<int> also_passing = {};  ///< statuses that pass with this service
    int tries = 4;                       ///< 429 has twice as many
    std::function<bool(std::chrono::milliseconds)> sleep =
        {};  ///< true when it was cut short; tests have their own
  };
  explicit Exchange(Options options);
  Exchange(Exchange&& other) noexcept;
  ~Exchange();

  Listener listener;

  /// How many changes (all but GET) were sent again: the one before may have worked, though nobody heard of it.
  int repeated_changes() const;

  /// The last answer. Throws as Client::send.
  Response send(const ClientRequest& request, bool repeatable = false);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// What Retry-After, x-ms-retry-after-ms or retry-after-ms say; nullopt when they say nothing. At most a day.
std::optional<std::chrono::milliseconds> retry_after(const Response& response);

/// What the user should hear when `now`, our clock, is more than five minutes from the one that the answer's Date tells; "" else.
std::string clock_trouble(const Response& response, const std::string& host,
                          std::chrono::system_clock::time_point now);

/// "https://HOST/PATH?api-version=…": the rest of a query may be a key.
std::string without_keys(const std::string& url);

/// "management.azure.com" of "https://management.azure.com:443/x", lower case.
std::string host_of_url(const std::string& url);

}  // namespace berth
