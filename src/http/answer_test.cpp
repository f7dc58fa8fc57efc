#include "http/answer.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace berth {
namespace {

namespace asio = boost::asio;

Response refuse(const Error& error) {
  Response response;
  response.status = error.kind == ErrorKind::internal ? 500 : 409;
  response.body = error.what();
  return response;
}

asio::awaitable<Response> fine() {
  Response response;
  response.status = 201;
  co_return response;
}
asio::awaitable<Response> conflict() {
  throw Error(ErrorKind::conflict, "Conflict", "It is there.");
  co_return Response();
}
asio::awaitable<Response> broken() {
  throw std::runtime_error("a secret of the inside");
  co_return Response();
}

Response run(asio::awaitable<Response> handler) {
  asio::io_context io;
  Request request;
  Response answer;
  asio::co_spawn(io, answered(request, std::move(handler), refuse),
                 [&](std::exception_ptr trouble, Response response) {
                   if (trouble) std::rethrow_exception(trouble);
                   answer = std::move(response);
                 });
  io.run();
  return answer;
}

TEST(Answered, PassesTheHandlersAnswerOn) {
  EXPECT_EQ(run(fine()).status, 201);
}

TEST(Answered, AnErrorBecomesTheDialectsRefusal) {
  EXPECT_EQ(run(conflict()).status, 409);
  EXPECT_EQ(run(conflict()).body, "It is there.");
}

TEST(Answered, WhatNobodyExpectedIsOurFaultAndTellsNothing) {
  EXPECT_EQ(run(broken()).status, 500);
  EXPECT_EQ(run(broken()).body.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace berth
