#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "handler/redaction.h"

namespace berth::extension {

enum class Outcome { transitioning, warning, error, success };

/// One line of the report: "engine", "tls", "security"…
struct Substatus {
  std::string name;
  Outcome outcome = Outcome::success;
  std::string message;
};

/// What the platform is told of one operation.
struct Report {
  std::string name;       ///< whose: "DockerExtension"
  std::string operation;  ///< "Enable Docker"
  Outcome outcome = Outcome::success;
  std::string message;    ///< first line: the cause and the next step
  std::string reference;  ///< where there is more; ends the message and is never cut
  std::string output;     ///< what the user's own program said, behind the message; neither cut nor redacted
  std::vector<Substatus> substatus;
};

/// The document of status/N.status. Texts pass the redactor and are cut to the agent's limits: 1000 bytes for
/// a message, 10 KiB for a substatus, 128 KiB in all. Source: docs/wire/docker-extension.md.
std::string status_document(const Report& report, std::chrono::system_clock::time_point now,
                            const Redactor& redactor);

/// Writes it, 0600, making the folder when it is missing. A `transitioning` report never replaces a final one
/// (success or error) of the same number; true if it was written.
bool write_status(const std::filesystem::path& status_folder, std::uint64_t number, const Report& report,
                  std::chrono::system_clock::time_point now, const Redactor& redactor);

/// What status/N.status says; nullopt when there is no readable one.
struct ReportHead {
  std::string operation;
  Outcome outcome;
};
std::optional<ReportHead> read_status(const std::filesystem::path& status_folder, std::uint64_t number);

}  // namespace berth::extension
