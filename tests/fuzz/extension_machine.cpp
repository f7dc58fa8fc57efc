#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "extension/system.h"

/// What systemd makes of a word of a command line: of %% and $$ one each.
static std::string as_systemd_reads(std::string_view word) {
  std::string result;
  for (std::size_t i = 0; i < word.size(); ++i) {
    result += word[i];
    if ((word[i] == '%' || word[i] == '$') && word.substr(i + 1, 1) == word.substr(i, 1)) ++i;
  }
  return result;
}

/// os-release, a unit's command line, the provisioning document.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::extension;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (parse_os_release(text).id.empty()) std::abort();
  for (const UnitWord& word : split_unit_words(text)) {
    const std::string quoted = quote_unit_word(word.text);
    const auto back = split_unit_words(quoted);
    if (back.size() != 1 || as_systemd_reads(back[0].text) != word.text) std::abort();
  }
  if (const auto user = provisioned_user(text); user && (user->empty() || user->size() > 32)) std::abort();
  return 0;
}
