#include "model/engine_configuration.h"

namespace berth {
namespace {

constexpr EngineKey tls_keys[] = {{"tlsverify", "true"},
                                  {"tlscacert", R"("/etc/docker/ca.pem")"},
                                  {"tlscert", R"("/etc/docker/cert.pem")"},
                                  {"tlskey", R"("/etc/docker/key.pem")"}};

constexpr EngineKey default_keys[] = {
    {"live-restore", "true"},
    {"log-driver", R"("json-file")"},
    {"log-opts", R"({"max-size": "10m", "max-file": "3"})"},
    {"userland-proxy", "false"},
    {"default-ulimits", R"({"nofile": {"Name": "nofile", "Hard": 524288, "Soft": 65536}})"},
};

}  // namespace

std::span<const EngineKey> engine_tls_keys() {
  return tls_keys;
}

std::span<const EngineKey> engine_default_keys() {
  return default_keys;
}

}  // namespace berth
