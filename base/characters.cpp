// SPDX-License-Identifier: MIT
// Characters of UTF-8 text and the columns that they take on a terminal.
#include "base/characters.h"

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <vector>

namespace mimicsh::utf8 {

namespace {

constexpr bool is_tail(char byte) {
    return (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
}

/// The tables of the C library, whatever the user's language is; by pages of 256, read at first use.
class Utf8Locale {
  public:
    Utf8Locale() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {}
    [[nodiscard]] int width(char32_t code) {
        auto& page = pages_[std::min<size_t>(code >> 8, pages_.size() - 1)];
        if (page.empty()) {
            read(page, code & ~char32_t{0xff});
        }
        return page[code & 0xff];
    }

  private:
    void read(std::vector<int8_t>& page, char32_t first) const {
        page.assign(256, 1);
        if (locale_ == nullptr) {
            return;
        }
        const locale_t before = uselocale(locale_);
        for (char32_t i = 0; i < 256; ++i) {
            page[i] = static_cast<int8_t>(wcwidth(static_cast<wchar_t>(first + i)));
        }
        uselocale(before);
    }

    locale_t locale_;
    std::array<std::vector<int8_t>, 0x1100> pages_; ///< all of Unicode
};

} // namespace

Character decode(std::string_view text) {
    const auto first = static_cast<unsigned char>(text[0]);
    if (first < 0x80) {
        return {first, 1, true};
    }
    const size_t size = first >= 0xf0 && first < 0xf5 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
    if (size == 0 || (first >= 0xf5)) {
        return {first};
    }
    char32_t code = first & (0xff >> (size + 1));
    for (size_t i = 1; i < size; ++i) {
        if (i == text.size()) {
            return {first, 1, false, true};
        }
        if (!is_tail(text[i])) {
            return {first};
        }
        code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3f);
    }
    constexpr std::array<char32_t, 5> kSmallest{0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = code >= 0xd800 && code < 0xe000;
    if (code < kSmallest[size] || is_surrogate || code > 0x10ffff) {
        return {first};
    }
    return {code, size, true};
}

int width(char32_t code) {
    if (code < 0x7f) {
        return code < ' ' ? 2 : 1;
    }
    static Utf8Locale locale;
    const int columns = locale.width(code);
    return columns < 0 ? 1 : columns;
}

std::string shown(std::string_view text, const Character& character) {
    if (!character.is_valid) {
        std::array<char, 8> hex{};
        std::snprintf(hex.data(), hex.size(), "<%02x>", static_cast<unsigned>(character.code));
        return hex.data();
    }
    if (character.code < ' ' || character.code == 0x7f) {
        return {'^', static_cast<char>(character.code ^ 0x40)};
    }
    // C1 controls would steer the terminal.
    if (character.code < 0xa0 && character.code >= 0x80) {
        return "?";
    }
    return std::string(text.substr(0, character.size));
}

int columns(std::string_view text) {
    int sum = 0;
    while (!text.empty()) {
        const Character character = decode(text);
        sum += character.is_valid ? width(character.code) : 4;
        text.remove_prefix(character.size);
    }
    return sum;
}

size_t next_character(std::string_view text, size_t at) {
    if (at >= text.size()) {
        return text.size();
    }
    at += decode(text.substr(at)).size;
    while (at < text.size()) {
        const Character joined = decode(text.substr(at));
        if (!joined.is_valid || width(joined.code) != 0) {
            break;
        }
        at += joined.size;
    }
    return at;
}

size_t previous_character(std::string_view text, size_t at) {
    while (at > 0) {
        size_t begin = at - 1;
        for (size_t back = 1; back <= 4 && back <= at; ++back) {
            const Character character = decode(text.substr(at - back));
            if (character.is_valid && character.size == back) {
                begin = at - back;
                break;
            }
        }
        at = begin;
        const Character character = decode(text.substr(at));
        if (!character.is_valid || width(character.code) != 0) {
            break;
        }
    }
    return at;
}

} // namespace mimicsh::utf8
