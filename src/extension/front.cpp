#include "extension/front.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "crypto/certificate.h"
#include "host/files.h"

namespace berth::extension {
namespace {

constexpr const char* front_unit = "docker-tls.service";
constexpr std::string_view listener_word = "@ACCEPT@";

}  // namespace

std::optional<std::string> front_text(const Root& root, const Settings& settings) {
  if (!settings.port) return std::nullopt;
  std::string text = read_file_if_there(root(front_template)).value_or("");
  const std::size_t at = text.find(listener_word);
  if (at == std::string::npos) return std::nullopt;
  std::string address = settings.address;
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  return text.replace(at, listener_word.size(), fmt::format("{}:{}", address, *settings.port));
}

std::string front_refusal(const std::string& ca) {
  const auto authorities = Certificate::parse_bundle(ca, "the CA certificate");
  for (const Certificate& authority : authorities) {
    if (std::none_of(authorities.begin(), authorities.end(),
                     [&](const Certificate& issuer) { return authority.is_issued_by(issuer); }))
      return fmt::format("the issuer of the CA {} is not among the given ones", authority.subject());
    // The same key under another term is no matter.
    if (std::any_of(authorities.begin(), authorities.end(), [&](const Certificate& other) {
          return other.subject() == authority.subject() && authority.is_issued_by(authority) &&
                 !authority.is_issued_by(other);
        }))
      return fmt::format("two CAs are called {}", authority.subject());
  }
  return {};
}

bool loses_authority(const std::string& before, const std::string& after) {
  try {
    const auto kept = Certificate::parse_bundle(after, "the CA certificate");
    const auto had = Certificate::parse_bundle(before, "the CA certificate");
    return std::any_of(had.begin(), had.end(), [&](const Certificate& one) {
      return std::none_of(kept.begin(), kept.end(),
                          [&](const Certificate& other) { return one.to_der() == other.to_der(); });
    });
  } catch (const Error&) {
    return true;  // nobody knows whom it let in
  }
}

bool Front::is_active() {
  return runner_.run({"systemctl", "is-active", front_unit}).exit_code == 0;
}

void Front::act(EngineAction action) {
  switch (action) {
    case EngineAction::none:
      return;
    case EngineAction::start:
      return control("start");
    case EngineAction::reload:
      return control("reload-or-restart");
    case EngineAction::restart:
      return control("restart");
  }
}

void Front::stop() {
  const RunResult state = runner_.run({"systemctl", "is-active", front_unit});
  if (state.exit_code == 0 || state.out.starts_with("activating")) control("stop");
}

void Front::control(const std::string& verb) {
  RunOptions options;
  options.limit = std::chrono::seconds(90);
  const RunResult result = runner_.run({"systemctl", verb, front_unit}, options);
  if (result.exit_code == 0) return;
  const std::string said = first_error();
  throw Error(ErrorKind::unavailable, "FrontUnavailable",
              fmt::format("The engine's TLS front ({}) did not {}: {}", front_unit, verb,
                          said.empty() ? last_lines(result) : said));
}

/// stunnel marks with "[!]" what ends it; the first one names the cause.
std::string Front::first_error() {
  try {
    const RunResult journal =
        runner_.run({"journalctl", "--unit=docker-tls.service", "--lines=60", "--no-pager", "--output=cat"});
    std::string first;
    std::string_view text = journal.out;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      if (line.starts_with("[ ] Initializing inetd mode")) first.clear();  // another start
      if (!line.starts_with("[!] ")) continue;
      log_.line(fmt::format("journal {}", line));
      if (first.empty()) first = line.substr(4);
    }
    return first;
  } catch (const Error& error) {
    log_.line(fmt::format("cannot read the journal: {}", error.what()));
    return {};
  }
}

}  // namespace berth::extension
