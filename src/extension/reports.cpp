#include "extension/reports.h"

#include <fmt/format.h>

namespace berth::extension {
namespace {

std::string modern_name(Operation operation) {
  switch (operation) {
    case Operation::install:
      return "Install Docker";
    case Operation::enable:
      return "Enable Docker";
    case Operation::disable:
      return "Disabling Docker";
    case Operation::update:
      return "Updating Docker";
    case Operation::uninstall:
      return "Uninstall Docker";
  }
  return {};
}

std::string classic_name(Operation operation) {
  switch (operation) {
    case Operation::install:
      return "Installing Docker";
    case Operation::enable:
      return "Enabling Docker";
    case Operation::disable:
      return "Disabling Docker";
    case Operation::update:
      return "Updating Docker";
    case Operation::uninstall:
      return "Uninstalling Docker";
  }
  return {};
}

}  // namespace

Profile profile_of(const HandlerEnvironment& environment) {
  return environment.name.starts_with("MSOpenTech.") ? Profile::classic : Profile::modern;
}

Report make_report(Profile profile, Operation operation, Phase phase, const std::string& detail) {
  const bool classic = profile == Profile::classic;
  Report report;
  report.name = "DockerExtension";
  report.operation = classic ? classic_name(operation) : modern_name(operation);
  switch (phase) {
    case Phase::running:
      report.outcome = Outcome::transitioning;
      report.message = classic ? report.operation + "." : report.operation;
      break;
    case Phase::succeeded:
      report.outcome = Outcome::success;
      report.message = report.operation + (classic ? " Completed." : " succeeded");
      break;
    case Phase::failed:
      report.outcome = Outcome::error;
      report.message = fmt::format("{} failed: {}", report.operation, detail);
      break;
  }
  return report;
}

}  // namespace berth::extension
