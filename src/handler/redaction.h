#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"

namespace berth::extension {

/// Takes secrets out of texts before anybody sees them: every value it was told of, private keys in PEM, and
/// what follows a name that says password, token or secret ("--x-password=…", "token: …", "TOKEN=…").
class Redactor {
 public:
  /// Values shorter than six bytes are looked for as whole words only, or they would black out parts of
  /// ordinary ones; those of one or two bytes not at all.
  void hide(const Secret& value);
  std::string operator()(std::string_view text) const;

 private:
  std::vector<Secret> values_;
};

/// Valid UTF-8 of at most `limit` bytes: foreign bytes and control characters other than those in `kept` become
/// '?' (a tab: a blank), a cut ends in "…".
std::string printable(std::string_view text, std::size_t limit, std::string_view kept = "\n");

}  // namespace berth::extension
