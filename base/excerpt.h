// SPDX-License-Identifier: MIT
// A line of a text with a caret under a place, as errors carry it in Error::log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mimicsh {

/// "12 | line" and below it "   |   ^", each with its line break. `column` counts bytes from 1 and may be one
/// behind the line; the caret is where a terminal shows that character. Control characters become blanks. A
/// line that does not fit 76 columns shows what is around the place, with "..." where it goes on.
[[nodiscard]] std::string excerpt(uint64_t number, std::string_view line, size_t column);

/// The line that begins at byte `begin` of a text, without its line break.
[[nodiscard]] std::string_view line_at(std::string_view text, size_t begin);

} // namespace mimicsh
