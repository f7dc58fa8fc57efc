#include "handler/status.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "handler/log.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t longest_message = 1000;
constexpr std::size_t longest_substatus = 10 * 1024 - 64;
constexpr std::size_t largest_document = 128 * 1024;

constexpr std::string_view outcome_names[] = {"transitioning", "warning", "error", "success"};

std::string_view to_string(Outcome outcome) {
  return outcome_names[static_cast<int>(outcome)];
}

std::filesystem::path status_file(const std::filesystem::path& folder, std::uint64_t number) {
  return folder / (std::to_string(number) + ".status");
}

bool final_outcome(Outcome outcome) {
  return outcome == Outcome::success || outcome == Outcome::error;
}

ordered_json entry(const std::string& name, Outcome outcome, const std::string& message) {
  return {{"name", name},
          {"status", to_string(outcome)},
          {"code", outcome == Outcome::error ? 1 : 0},
          {"formattedMessage", {{"lang", "en"}, {"message", message}}}};
}

}  // namespace

std::string status_document(const Report& report, std::chrono::system_clock::time_point now,
                            const Redactor& redactor) {
  const std::string reference =
      report.reference.empty() ? "" : " " + printable(redactor(report.reference), longest_message / 4);
  ordered_json status = entry(report.name, report.outcome,
                              printable(redactor(report.message), longest_message - reference.size()) +
                                  reference + printable(report.output, std::string::npos, "\n\r\t"));
  ordered_json whole = {{"name", status["name"]},
                        {"operation", report.operation},
                        {"configurationAppliedTime", utc_text(now)},
                        {"status", status["status"]},
                        {"code", status["code"]},
                        {"formattedMessage", status["formattedMessage"]},
                        {"substatus", ordered_json::array()}};
  std::size_t size = 2 * (longest_message + report.output.size());
  for (const Substatus& part : report.substatus) {
    const std::string message = printable(redactor(part.message), longest_substatus);
    size += 2 * message.size() + 256;  // quoting at most doubles what `printable` lets through
    if (size > largest_document) break;
    whole["substatus"].push_back(entry(part.name, part.outcome, message));
  }
  return ordered_json::array({{{"version", 1.0}, {"timestampUTC", utc_text(now)}, {"status", whole}}}).dump();
}

bool write_status(const std::filesystem::path& folder, std::uint64_t number, const Report& report,
                  std::chrono::system_clock::time_point now, const Redactor& redactor) {
  if (report.outcome == Outcome::transitioning) {
    const auto before = read_status(folder, number);
    if (before && final_outcome(before->outcome)) return false;
  }
  make_folder(folder, 0700);
  write_file(status_file(folder, number), status_document(report, now, redactor), 0600);
  return true;
}

std::optional<ReportHead> read_status(const std::filesystem::path& folder, std::uint64_t number) {
  const auto text = read_file_if_there(status_file(folder, number));
  if (!text) return std::nullopt;
  const ordered_json document = ordered_json::parse(*text, nullptr, false);
  if (!document.is_array() || document.empty() || !document[0].is_object()) return std::nullopt;
  const auto status = document[0].find("status");
  if (status == document[0].end() || !status->is_object()) return std::nullopt;
  const auto field = [&](const char* key) {
    const auto found = status->find(key);
    return found != status->end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  for (int i = 0; i < 4; ++i)
    if (field("status") == outcome_names[i]) return ReportHead{field("operation"), static_cast<Outcome>(i)};
  return std::nullopt;
}

}  // namespace berth::extension
