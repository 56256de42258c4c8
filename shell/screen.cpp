// SPDX-License-Identifier: MIT
// What the prompt looks like.
#include "shell/screen.h"

#include <algorithm>
#include <array>

#include "shell/characters.h"

namespace mimicsh::shell {

namespace {

constexpr std::array<std::string_view, 10> kColours{
    "",           // Plain
    "\x1b[1m",    // Prompt
    "\x1b[35m",   // Keyword
    "\x1b[32m",   // String
    "\x1b[36m",   // Number
    "\x1b[90m",   // Comment
    "\x1b[2;31m", // Unknown
    "\x1b[1;33m", // Match
    "\x1b[90m",   // Hint
    "\x1b[31m",   // Failed
};
constexpr std::string_view kReset = "\x1b[0m";
constexpr int kTabStop = 8;

/// Fills rows from the left, in one style after the other.
class Canvas {
  public:
    Canvas(int columns, bool has_colours) : columns_(std::max(columns, 1)), has_colours_(has_colours) {
        frame_.rows.emplace_back();
    }

    void put(std::string_view text, int width, Style style) {
        if (row().width + width > columns_ && row().width > 0) {
            new_row();
        }
        if (style != style_) {
            end_style();
            style_ = style;
            if (has_colours_ && style != Style::Plain) {
                row().text += kColours[static_cast<size_t>(style)];
            }
        }
        row().text += text;
        row().width += width;
    }

    /// Text as it is shown, all in one style; cut at the row's end with `cut`.
    void write(std::string_view text, Style style, bool cut = false) {
        while (!text.empty()) {
            const Character character = decode(text);
            const std::string visible = shown(text, character);
            const int width_here = character.is_valid ? width(character.code) : 4;
            if (cut && row().width + width_here > columns_ - 1) {
                break;
            }
            put(visible, width_here, style);
            text.remove_prefix(character.size);
        }
    }

    void tab(Style style) {
        const int blanks = std::min(kTabStop - row().width % kTabStop, std::max(columns_ - row().width, 1));
        put(std::string(static_cast<size_t>(blanks), ' '), blanks, style);
    }

    void new_row() {
        const Style style = style_;
        end_style();
        frame_.rows.emplace_back();
        if (has_colours_ && style != Style::Plain) {
            row().text += kColours[static_cast<size_t>(style)];
            style_ = style;
        }
    }

    void end_style() {
        if (has_colours_ && style_ != Style::Plain) {
            row().text += kReset;
        }
        style_ = Style::Plain;
    }

    void place_cursor() {
        if (row().width >= columns_) {
            new_row(); // the terminal itself would stay on the last column
        }
        frame_.cursor_row = static_cast<int>(frame_.rows.size()) - 1;
        frame_.cursor_column = row().width;
    }

    [[nodiscard]] Frame take() {
        end_style();
        return std::move(frame_);
    }

  private:
    Row& row() { return frame_.rows.back(); }

    int columns_;
    bool has_colours_;
    Style style_ = Style::Plain;
    Frame frame_;
};

/// Keeps `height` rows around the cursor.
void crop(Frame& frame, int height) {
    const int count = static_cast<int>(frame.rows.size());
    height = std::max(height, 1);
    if (count <= height) {
        return;
    }
    const int top = std::clamp(frame.cursor_row - height / 2, 0, count - height);
    frame.rows = {frame.rows.begin() + top, frame.rows.begin() + top + height};
    frame.cursor_row -= top;
}

} // namespace

Frame draw(const View& view, int columns, int height) {
    Canvas canvas(columns, view.has_colours);
    canvas.write(view.prompt, Style::Prompt);
    auto span = view.spans.begin();
    for (size_t at = 0; at < view.text.size();) {
        if (at == view.cursor) {
            canvas.place_cursor();
        }
        while (span != view.spans.end() && span->end <= at) {
            ++span;
        }
        const Style style = span != view.spans.end() && span->begin <= at ? span->style : Style::Plain;
        const std::string_view rest = view.text.substr(at);
        if (rest[0] == '\n') {
            canvas.end_style();
            canvas.new_row();
            canvas.write(view.more_prompt, Style::Prompt);
            ++at;
            continue;
        }
        const Character character = decode(rest);
        if (rest[0] == '\t') {
            canvas.tab(style);
        } else {
            canvas.put(shown(rest, character), character.is_valid ? width(character.code) : 4, style);
        }
        at += character.size;
    }
    if (view.cursor >= view.text.size()) {
        canvas.place_cursor();
        canvas.write(view.hint, Style::Hint, true);
    }
    for (const std::string& line : view.list) {
        canvas.end_style();
        canvas.new_row();
        canvas.write(line, Style::Plain, true);
    }
    Frame frame = canvas.take();
    crop(frame, height);
    return frame;
}

std::vector<std::string> in_columns(const std::vector<std::string>& words, int columns, size_t max_rows,
                                    bool has_more) {
    int widest = 1;
    for (const std::string& word : words) {
        widest = std::max(widest, shell::columns(word));
    }
    const auto across = static_cast<size_t>(std::max(1, (columns - 1) / (widest + 2)));
    const size_t rows = (words.size() + across - 1) / across;
    const bool is_cut = rows > max_rows;
    const size_t shown_rows = is_cut ? std::max<size_t>(max_rows, 2) - 1 : rows;
    std::vector<std::string> lines(shown_rows);
    size_t count = 0;
    for (size_t column = 0; column < across; ++column) {
        for (size_t row = 0; row < shown_rows; ++row) {
            const size_t index = column * shown_rows + row;
            if (index < words.size()) {
                std::string& line = lines[row];
                const auto start = column * static_cast<size_t>(widest + 2);
                line += std::string(start - std::min(start, static_cast<size_t>(shell::columns(line))), ' ') +
                        words[index];
                ++count;
            }
        }
    }
    if (has_more) {
        lines.emplace_back("... and more");
    } else if (count < words.size()) {
        lines.push_back("... and " + std::to_string(words.size() - count) + " more");
    }
    return lines;
}

} // namespace mimicsh::shell
