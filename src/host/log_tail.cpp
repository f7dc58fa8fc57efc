#include "host/log_tail.h"

#include <algorithm>
#include <fstream>

namespace berth {

std::string log_tail(const std::filesystem::path& file, std::size_t lines, std::uintmax_t since,
                     std::uintmax_t most) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) return {};
  const std::streamoff size = in.tellg(), first = std::min(static_cast<std::streamoff>(since), size);
  const std::streamoff begin = std::max(first, size - static_cast<std::streamoff>(most));
  std::string text(static_cast<std::size_t>(size - begin), '\0');
  in.seekg(begin);
  in.read(text.data(), size - begin);
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (begin > first) text.erase(0, text.find('\n') + 1);  // not in the middle of a line
  std::erase(text, '\r');
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::size_t at = text.size();
  for (std::size_t i = 0; i < lines && at != text.npos && at > 0; ++i) at = text.rfind('\n', at - 1);
  return at == text.npos || at == 0 ? text : text.substr(at + 1);
}

}  // namespace berth
