#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// Text as the template language counts it: in UTF-16 code units, as Azure's .NET does. 'é' is one, what lies
/// beyond U+FFFF is two. Texts are UTF-8; a byte that is none counts as one unit. All in time that grows with
/// the text.
namespace berth::arm {

std::size_t count_units(std::string_view text);
/// `count` units from `begin` on, as far as there are any. Half of a character of two becomes U+FFFD.
std::string units_of(std::string_view text, std::size_t begin, std::size_t count);

/// Letters of every script, one for one: the number of units stays.
std::string lower_letters(std::string_view text);
std::string upper_letters(std::string_view text);
/// Without white space at both ends.
std::string trimmed(std::string_view text);

}  // namespace berth::arm
