#pragma once

#include <filesystem>
#include <functional>
#include <list>
#include <string>
#include <string_view>

#include "host/fd.h"
#include "network/acceptor.h"
#include "network/poll_set.h"

namespace berth::network {

/// Answers lines on a unix socket with lines. Whoever may connect (mode 0600: this user) may command.
class ControlServer {
 public:
  /// `answer` gets a line without its end and returns one. Throws Error(unavailable) when it cannot listen.
  ControlServer(const std::filesystem::path& socket, std::function<std::string(std::string_view)> answer);

  void fill(PollSet& set);
  void poll(const PollSet& set);

 private:
  struct Client {
    Fd socket;
    int index = -1;
    std::string in, out;
  };
  bool serve(Client& client, short events);

  Acceptor door_;
  std::function<std::string(std::string_view)> answer_;
  std::list<Client> clients_;
};

}  // namespace berth::network
