// SPDX-License-Identifier: MIT
// What the prompt looks like: text, cursor and colours to rows of a terminal. Pure: no terminal is asked.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mimicsh::shell {

/// Roles of text; colours belong to them in one table.
enum class Style : uint8_t { Plain, Prompt, Keyword, String, Number, Comment, Unknown, Match, Hint, Failed };

struct Span {
    size_t begin = 0; ///< bytes of the text
    size_t end = 0;
    Style style = Style::Plain;
};

/// Everything that is on the screen.
struct View {
    std::string prompt;      ///< in front of the first line
    std::string more_prompt; ///< and of the others
    std::string_view text;
    size_t cursor = 0;
    std::vector<Span> spans;       ///< in order, none overlaps
    std::string hint;              ///< shown behind the text, not part of it
    std::vector<std::string> list; ///< shown below
    bool has_colours = true;
};

struct Row {
    std::string text; ///< with escape sequences, reset at the end
    int width = 0;    ///< columns
    friend bool operator==(const Row&, const Row&) = default;
};

struct Frame {
    std::vector<Row> rows;
    int cursor_row = 0; ///< in `rows`
    int cursor_column = 0;
};

/// At most `height` rows, those around the cursor when there are more. A terminal has at least one column.
[[nodiscard]] Frame draw(const View& view, int columns, int height);

/// Words in as many columns as fit, downwards; what is beyond `max_rows` is counted in a last row.
/// `has_more`: there are words beyond these, nobody knows how many.
[[nodiscard]] std::vector<std::string> in_columns(const std::vector<std::string>& words, int columns,
                                                  size_t max_rows, bool has_more = false);

} // namespace mimicsh::shell
