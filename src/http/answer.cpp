#include "http/answer.h"

#include <spdlog/spdlog.h>

#include <chrono>

namespace berth {

boost::asio::awaitable<Response> answered(const Request& request, boost::asio::awaitable<Response> handler,
                                          Response (*refuse)(const Error&)) {
  const auto began = std::chrono::steady_clock::now();
  const std::string what = request.method + " " + request.path;
  Response response;
  try {
    response = co_await std::move(handler);
  } catch (const Error& error) {
    response = refuse(error);
    if (error.kind == ErrorKind::internal)
      spdlog::error("failed request=\"{}\" error=\"{}\"", what, error.what());
  } catch (const std::exception& error) {
    spdlog::error("failed request=\"{}\" error=\"{}\"", what, error.what());
    response = refuse(Error(ErrorKind::internal, "InternalServerError",
                            "The region met an error of its own; its log says more ('azure region logs')."));
  }
  spdlog::debug(
      "answered request=\"{}\" status={} ms={}", what, response.status,
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - began)
          .count());
  co_return response;
}

}  // namespace berth
