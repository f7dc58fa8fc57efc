#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "extension/engine.h"
#include "extension/settings.h"
#include "handler/root.h"

namespace berth::extension {

/// One thing that the CIS Docker benchmark asks of a host.
struct SecurityItem {
  enum class Verdict { pass, fail, not_applicable };
  std::string id;  ///< "2.7-tls": the benchmark's number, and a word
  Verdict verdict = Verdict::fail;
  std::string reason;
};

/// Looks at the files of the machine and at what the engine itself says (`info`: the answer to GET /info; ""
/// when it did not answer). Changes nothing.
std::vector<SecurityItem> check_security(const Root& root, const Settings& settings, std::string_view info);

/// "28 pass, 4 fail, 3 n/a" and then one line each: "ID: pass|fail|n/a REASON". Read by machines and people.
std::string security_text(const std::vector<SecurityItem>& items);

}  // namespace berth::extension
