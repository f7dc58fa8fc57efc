#pragma once

#include <optional>
#include <string>

#include "extension/engine.h"
#include "handler/allowance.h"

namespace berth::extension {

/// As BoundedRunner, for the engine's answers, which loops wait for.
class BoundedProbe final : public EngineProbe {
 public:
  BoundedProbe(EngineProbe& inner, const Allowance& allowance) : inner_(inner), allowance_(allowance) {}
  std::optional<std::string> get(const std::string& path, std::chrono::milliseconds limit) override {
    return inner_.get(path, allowance_.bound(limit));
  }
  TlsProbe handshake(const std::string& address, std::uint16_t port,
                     std::chrono::milliseconds limit) override {
    return inner_.handshake(address, port, allowance_.bound(limit));
  }

 private:
  EngineProbe& inner_;
  const Allowance& allowance_;
};

}  // namespace berth::extension
