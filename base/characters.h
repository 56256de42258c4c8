// SPDX-License-Identifier: MIT
// Characters of UTF-8 text and the columns that they take on a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mimicsh::utf8 {

/// What text begins with. An invalid byte is a character of its own.
struct Character {
    char32_t code = 0;
    size_t size = 1; ///< bytes
    bool is_valid = false;
    bool may_continue = false; ///< invalid only because the text ends
};

/// `text` is not empty.
[[nodiscard]] Character decode(std::string_view text);

/// Columns of a character, 0 for those that join the one before.
[[nodiscard]] int width(char32_t code);

/// How a character is shown: itself, ^A for control characters, <ff> for invalid bytes.
[[nodiscard]] std::string shown(std::string_view text, const Character& character);

/// Columns of a text as `shown`, tabs aside.
[[nodiscard]] int columns(std::string_view text);

/// Place of the next character with a width, and of the one before; within the text.
[[nodiscard]] size_t next_character(std::string_view text, size_t at);
[[nodiscard]] size_t previous_character(std::string_view text, size_t at);

} // namespace mimicsh::utf8
