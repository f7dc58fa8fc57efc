#include "crypto/encoding.h"

#include <array>
#include <cstdint>

namespace berth {
namespace {

constexpr std::string_view standard_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string encode(std::string_view bytes, std::string_view alphabet) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  std::uint32_t buffer = 0;
  int bits = 0;
  for (const char byte : bytes) {
    buffer = buffer << 8 | static_cast<unsigned char>(byte);
    for (bits += 8; bits >= 6; bits -= 6) text += alphabet[buffer >> (bits - 6) & 63];
  }
  if (bits > 0) text += alphabet[buffer << (6 - bits) & 63];
  return text;
}

constexpr std::array<signed char, 256> values_of(std::string_view alphabet) {
  std::array<signed char, 256> values{};
  for (auto& value : values) value = -1;
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<signed char>(i);
  return values;
}

/// Characters of the alphabet only. The bits that a last character has to spare must be zero, so that no two
/// texts mean the same bytes.
std::optional<std::string> decode(std::string_view text, const std::array<signed char, 256>& values) {
  if (text.size() % 4 == 1) return std::nullopt;
  std::string bytes;
  bytes.reserve(text.size() * 3 / 4);
  std::uint32_t buffer = 0;
  int bits = 0;
  for (const char character : text) {
    const signed char value = values[static_cast<unsigned char>(character)];
    if (value < 0) return std::nullopt;
    buffer = buffer << 6 | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes += static_cast<char>(buffer >> bits & 255);
    }
  }
  if ((buffer & ((1u << bits) - 1)) != 0) return std::nullopt;
  return bytes;
}

}  // namespace

std::string base64_encode(std::string_view bytes, std::size_t width) {
  std::string text = encode(bytes, standard_alphabet);
  text.append((4 - text.size() % 4) % 4, '=');
  if (width == 0) return text;
  std::string lines;
  lines.reserve(text.size() + text.size() / width + 1);
  for (std::size_t at = 0; at < text.size(); at += width) lines.append(text, at, width) += '\n';
  return lines;
}

std::optional<std::string> base64_decode(std::string_view text) {
  static constexpr auto values = values_of(standard_alphabet);
  std::string packed;
  packed.reserve(text.size());
  for (const char character : text)
    if (std::string_view(" \t\r\n\v\f").find(character) == std::string_view::npos) packed += character;
  if (packed.size() % 4 != 0) return std::nullopt;
  for (int padding = 0; padding < 2 && packed.ends_with('='); ++padding) packed.pop_back();
  return decode(packed, values);
}

std::string base64url_encode(std::string_view bytes) {
  return encode(bytes, url_alphabet);
}

std::optional<std::string> base64url_decode(std::string_view text) {
  static constexpr auto values = values_of(url_alphabet);
  return decode(text, values);
}

std::string hex_encode(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    text += digits[value >> 4];
    text += digits[value & 15];
  }
  return text;
}

}  // namespace berth
