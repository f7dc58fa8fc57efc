#include "cli/terminal/foreign_text.h"

#include <algorithm>

namespace berth {

std::string printable(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (byte == 0xC2 && next >= 0x80 && next < 0xA0)
      ++i;  // a C1 control character
    else if (byte == '\t')
      clean += ' ';
    else if (byte == '\n' || (byte >= 0x20 && byte != 0x7F))
      clean += text[i];
  }
  return clean;
}

std::string printable_line(std::string_view text, std::size_t most) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  text = text.substr(begin, text.find_first_of("\r\n", begin) - begin);
  if (text.size() > most) {
    std::size_t end = most;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return printable(text.substr(0, end)) + "…";
  }
  return printable(text);
}

}  // namespace berth
