// SPDX-License-Identifier: MIT
// Lines with a caret.
#include "base/excerpt.h"

#include <algorithm>

#include "base/characters.h"

namespace mimicsh {

namespace {

constexpr int kWidest = 76; // with the margin of a report it fits a terminal of 80 columns
constexpr std::string_view kMore = "...";

/// What a terminal shows of a text that begins in the middle of nowhere.
std::string visible(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const utf8::Character character = utf8::decode(text);
        const bool is_control = character.is_valid && (character.code < ' ' || character.code == 0x7f);
        out += is_control ? " " : utf8::shown(text, character);
        text.remove_prefix(character.size);
    }
    return out;
}

/// The longest beginning of a visible text that fits so many columns, or ending.
std::string_view head(std::string_view text, int columns) {
    size_t end = 0;
    while (end < text.size() && utf8::columns(text.substr(0, utf8::next_character(text, end))) <= columns) {
        end = utf8::next_character(text, end);
    }
    return text.substr(0, end);
}

std::string_view tail(std::string_view text, int columns) {
    size_t begin = text.size();
    while (begin > 0 && utf8::columns(text.substr(utf8::previous_character(text, begin))) <= columns) {
        begin = utf8::previous_character(text, begin);
    }
    return text.substr(begin);
}

} // namespace

std::string excerpt(uint64_t number, std::string_view line, size_t column) {
    const std::string margin = std::to_string(number);
    const int room = kWidest - static_cast<int>(margin.size()) - 3;
    const size_t place = std::min(std::max<size_t>(column, 1) - 1, line.size());
    // A line of a megabyte is not walked: only what is near the place can be seen.
    const size_t first = place > 4 * kWidest ? place - 4 * kWidest : 0;
    std::string before = visible(line.substr(first, place - first));
    std::string behind = visible(line.substr(place, 4 * kWidest));
    const bool is_cut_behind = place + 4 * kWidest < line.size();
    const auto more = static_cast<int>(kMore.size());
    if (first != 0 || is_cut_behind || utf8::columns(before) + utf8::columns(behind) > room) {
        // At least a third of the room is for what stands behind the place.
        const int wanted = is_cut_behind ? room : utf8::columns(behind);
        const int left = std::max(room - wanted, room * 2 / 3);
        if (first != 0 || utf8::columns(before) > left) {
            before = std::string(kMore) + std::string(tail(before, left - more));
        }
        const int right = room - utf8::columns(before);
        if (is_cut_behind || utf8::columns(behind) > right) {
            behind = std::string(head(behind, right - more)) + std::string(kMore);
        }
    }
    return margin + " | " + before + behind + "\n" + std::string(margin.size(), ' ') + " | " +
           std::string(static_cast<size_t>(utf8::columns(before)), ' ') + "^\n";
}

std::string_view line_at(std::string_view text, size_t begin) {
    text.remove_prefix(std::min(begin, text.size()));
    return text.substr(0, text.find('\n'));
}

} // namespace mimicsh
