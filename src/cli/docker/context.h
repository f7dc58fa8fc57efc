#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace berth {

class Output;

/// A docker context that leads to a host of ours.
struct DockerContext {
  std::string name;    ///< wished; may come to be another one
  std::string host;    ///< name of the Docker host
  std::string region;  ///< subscription id: tells regions of one user apart
  std::filesystem::path region_home;
  std::string endpoint;                ///< "tcp://web1.cloudapp.net:4243"
  std::filesystem::path certificates;  ///< folder of ca.pem, cert.pem, key.pem
};

/// The contexts of the docker client, as files below its configuration folder; the client need not be there.
/// Source: reference of Docker hosts, section 1.2.
class DockerContexts {
 public:
  explicit DockerContexts(std::filesystem::path config) : config_(std::move(config)) {}

  struct Written {
    std::string name;  ///< what it came to be called
    bool replaced = false;
  };

  /// Writes it under its name, in place of one of ours for a host that is gone; another context of that name
  /// is left alone, and NAME-berth, NAME-berth-2 … is taken. Throws Error(conflict) when all are taken.
  Written write(const DockerContext& context) const;

  /// Leads the contexts written for this host of this region to `endpoint`, if they still lead where they
  /// were written to. Returns the names of those that led elsewhere.
  std::vector<std::string> lead(const std::string& host, const std::string& region,
                                const std::string& endpoint) const;

  /// Copies the client certificate of a folder into them. Returns their names.
  std::vector<std::string> renew(const std::string& host, const std::string& region,
                                 const std::filesystem::path& certificates) const;

  /// Makes it the current one of all terminals.
  void use(const std::string& name) const;

  /// Removes the contexts written for this host of this region, if they still lead where they were written
  /// to; when one was the current one, "default" is again. Returns the names removed.
  std::vector<std::string> remove(const std::string& host, const std::string& region) const;
  /// The same for all hosts of a region.
  std::vector<std::string> remove_all(const std::string& region) const;

 private:
  std::vector<std::string> find_where(const std::string& region, const std::string* host) const;
  std::vector<std::string> remove_all_of(const std::vector<std::string>& names) const;

  std::filesystem::path config_;
};

/// Warns when DOCKER_HOST or DOCKER_CONTEXT makes the docker client ignore which context is the current one.
void warn_of_overridden_context(Output& out, const std::string& context);

/// Why a text cannot name a context; nullopt if it can.
std::optional<std::string> context_name_problem(const std::string& name);

}  // namespace berth
