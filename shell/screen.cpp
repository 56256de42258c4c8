// SPDX-License-Identifier: MIT
// What the prompt looks like.
#include "shell/screen.h"

#include <algorithm>
#include <array>
#include <deque>
#include <limits>

#include "base/characters.h"

namespace mimicsh::shell {

using namespace utf8;

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
constexpr size_t kMaxRun = size_t{1} << 30; ///< columns that are counted at once

int shown_width(const Character& character) {
    return character.is_valid ? width(character.code) : 4;
}

int tab_width(int column, int columns) {
    return std::min(kTabStop - column % kTabStop, std::max(columns - column, 1));
}

/// Fills rows from the left, in one style after the other.
class Canvas {
  public:
    Canvas(int columns, bool has_colours) : columns_(columns), has_colours_(has_colours) {
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
            const int width_here = shown_width(character);
            if (cut && row().width + width_here > columns_ - 1) {
                break;
            }
            put(visible, width_here, style);
            text.remove_prefix(character.size);
        }
    }

    void tab(Style style) {
        const int blanks = tab_width(row().width, columns_);
        put(std::string(static_cast<size_t>(blanks), ' '), blanks, style);
    }

    void new_row() {
        end_style();
        frame_.rows.emplace_back();
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

    [[nodiscard]] int rows() const { return static_cast<int>(frame_.rows.size()); }

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

/// Characters of one column and one byte at the begin of a text.
size_t plain_run(std::string_view text) {
    size_t run = 0;
    while (run < text.size() && text[run] >= ' ' && text[run] < '\x7f') {
        ++run;
    }
    return run;
}

/// Where drawing begins so that at least `height` rows are above the cursor, if there are as many: the begin
/// of the text, of a line, or of a row that a long line goes on in. As a Canvas wraps, without its rows.
struct Start {
    size_t at = 0;
    int row = 0; ///< whatever the first one is called
    bool has_prompt = true;
};

Start find_start(const View& view, int columns, int height) {
    const size_t end = std::min(view.cursor, view.text.size());
    if (end < static_cast<size_t>(height)) {
        return {};
    }
    // Each line has a row at least: so many of them are enough.
    size_t begin = end;
    for (int lines = 0; begin > 0 && lines <= height; ++lines) {
        const size_t line_end = view.text.rfind('\n', begin - 1);
        begin = line_end == std::string_view::npos ? 0 : line_end;
    }
    begin += begin > 0 ? 1 : 0;
    std::deque<Start> starts{Start{begin}};
    int column = 0;
    int row = 0;
    const auto take = [&](int width) {
        const bool is_full = column + width > columns && column > 0;
        column = is_full ? width : column + width;
        row += is_full ? 1 : 0;
        return is_full;
    };
    const auto keep = [&](Start start) {
        starts.push_back(start);
        while (starts[1].row <= row - height) {
            starts.pop_front();
        }
    };
    const auto write = [&](std::string_view text) {
        for (; !text.empty(); text.remove_prefix(decode(text).size)) {
            take(shown_width(decode(text)));
        }
    };
    write(begin == 0 ? view.prompt : view.more_prompt);
    for (size_t at = begin; at < end;) {
        const char first = view.text[at];
        const size_t run = plain_run(view.text.substr(at, end - at));
        if (run > 0) { // most of all text: rows by division
            const auto length = static_cast<int>(std::min(run, kMaxRun));
            const int room = column == 0 ? columns : std::max(columns - column, 0);
            const int more = length > room ? (length - room + columns - 1) / columns : 0;
            const int before = row;
            for (int i = std::max(1, more - height); i <= more; ++i) {
                row = before + i;
                keep({at + static_cast<size_t>(room + (i - 1) * columns), row, false});
            }
            column = more == 0 ? column + length : length - room - (more - 1) * columns;
            at += static_cast<size_t>(length);
            continue;
        }
        if (first == '\n') {
            ++at;
            ++row;
            column = 0;
            keep({at, row, true});
            write(view.more_prompt);
            continue;
        }
        const Character character = decode(view.text.substr(at));
        if (first == '\t') { // how wide it is depends on the row that it does not fit
            take(tab_width(column, columns));
        } else if (take(shown_width(character))) {
            keep({at, row, false});
        }
        at += character.size;
    }
    return starts.front();
}

/// Keeps `height` rows around the cursor.
void crop(Frame& frame, int height) {
    const int count = static_cast<int>(frame.rows.size());
    if (count <= height) {
        return;
    }
    const int top = std::clamp(frame.cursor_row - height / 2, 0, count - height);
    frame.rows = {frame.rows.begin() + top, frame.rows.begin() + top + height};
    frame.cursor_row -= top;
}

} // namespace

Frame draw(const View& view, int columns, int height) {
    columns = std::max(columns, 1);
    height = std::max(height, 1);
    const Start start = find_start(view, columns, height);
    Canvas canvas(columns, view.has_colours);
    if (start.has_prompt) {
        canvas.write(start.at == 0 ? view.prompt : view.more_prompt, Style::Prompt);
    }
    auto span = view.spans.begin();
    int last_row = std::numeric_limits<int>::max(); // what is below is not on the screen
    for (size_t at = start.at; at < view.text.size() && canvas.rows() < last_row;) {
        if (at == view.cursor) {
            canvas.place_cursor();
            last_row = canvas.rows() + height;
        }
        while (span != view.spans.end() && span->end <= at) {
            ++span;
        }
        const Style style = span != view.spans.end() && span->begin <= at ? span->style : Style::Plain;
        const std::string_view rest = view.text.substr(at);
        if (rest[0] == '\n') {
            canvas.new_row();
            canvas.write(view.more_prompt, Style::Prompt);
            ++at;
            continue;
        }
        const Character character = decode(rest);
        if (rest[0] == '\t') {
            canvas.tab(style);
        } else {
            canvas.put(shown(rest, character), shown_width(character), style);
        }
        at += character.size;
    }
    if (view.cursor >= view.text.size()) {
        canvas.place_cursor();
        canvas.write(view.hint, Style::Hint, true);
    }
    for (const std::string& line : view.list) {
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
        widest = std::max(widest, utf8::columns(word));
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
                line += std::string(start - std::min(start, static_cast<size_t>(utf8::columns(line))), ' ') +
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
