#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace berth {

/// What kind of trouble it is. Decides the HTTP status (http/) and the exit code (cli/), nothing else does.
///   invalid       the request is wrong and will stay wrong           400   exit 2
///   unauthorized  who asks is not known or not allowed               401   exit 3
///   not_found     it does not exist                                  404   exit 4
///   conflict      it exists, or is in a state that forbids this      409   exit 5
///   unavailable   this host cannot do it now (program, memory, disk, time)  503 inside, 409 to clients exit
///   6 internal      our bug                                            500   exit 1
enum class ErrorKind { invalid, unauthorized, not_found, conflict, unavailable, internal };

/// The one exception that crosses module borders. what() says what happened to which thing, as a whole
/// sentence; it never holds a secret.
class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string_view code, const std::string& happened, std::string advice = {})
      : std::runtime_error(happened), kind(kind), code(code), advice(std::move(advice)) {}

  ErrorKind kind;
  std::string code;    ///< Azure's stable name ("ResourceNotFound"); scripts match on it
  std::string advice;  ///< what the reader can do now, a whole sentence; empty if nothing
};

}  // namespace berth
