#pragma once

#include <string>

namespace berth {

/// The outcome of a put.
template <class T>
struct Put {
  T resource;
  bool created = false;
};

/// A long operation was begun; Operations tells the rest.
struct Accepted {
  std::string operation;
  bool created = false;
};

}  // namespace berth
