#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "extension/system.h"

/// os-release, a unit's command line, the provisioning document.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::extension;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (parse_os_release(text).id.empty()) std::abort();
  for (const UnitWord& word : split_unit_words(text)) {
    const std::string quoted = quote_unit_word(word.text);
    if (word.text.find_first_of("%$") != std::string::npos)
      continue;  // doubled for systemd, which halves them
    const auto back = split_unit_words(quoted);
    if (back.size() != 1 || back[0].text != word.text) std::abort();
  }
  if (const auto user = provisioned_user(text); user && (user->empty() || user->size() > 32)) std::abort();
  return 0;
}
