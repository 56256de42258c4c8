// SPDX-License-Identifier: MIT
// Lines with a caret: it stands where a terminal shows the place, in 76 columns.
#include "base/excerpt.h"

#include <gtest/gtest.h>

#include "base/characters.h"

namespace mimicsh {
namespace {

TEST(Excerpt, PutsTheCaretUnderThePlace) {
    struct Case {
        const char* line;
        size_t column;
        const char* shown;
    };
    const Case cases[] = {
        {"r1 = r12", 6, "7 | r1 = r12\n  |      ^\n"},
        {"abc", 4, "7 | abc\n  |    ^\n"},
        {"abc", 99, "7 | abc\n  |    ^\n"},
        {"", 1, "7 | \n  | ^\n"},
        {"\tx\x01y", 4, "7 |  x y\n  |    ^\n"},
        {"r0 = \xc3\xa9 z", 9, "7 | r0 = \xc3\xa9 z\n  |        ^\n"},
        {"\xe6\x97\xa5\xe6\x9c\xac z", 8, "7 | \xe6\x97\xa5\xe6\x9c\xac z\n  |      ^\n"}, // wide
        {"a\xff z", 4, "7 | a<ff> z\n  |       ^\n"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(excerpt(7, c.line, c.column), c.shown) << c.line;
    }
}

TEST(Excerpt, ShowsWhatIsAroundThePlaceOfLongLines) {
    std::string line;
    for (int i = 0; i < 2000; ++i) {
        line += "\xc3\xa9" + std::to_string(i % 10);
    }
    for (const size_t column :
         {size_t{1}, size_t{60}, size_t{200}, size_t{3001}, size_t{5951}, line.size(), line.size() + 1}) {
        const size_t place = (column - 1) / 3 * 3 + 1; // of a whole character
        const std::string text = excerpt(123, line, place);
        const std::string first(line_at(text, 0)), second(line_at(text, first.size() + 1));
        EXPECT_LE(utf8::columns(first), 76) << column;
        const size_t caret = second.find('^');
        ASSERT_NE(caret, std::string::npos);
        // The character above the caret is the one of the line.
        size_t at = 0;
        while (utf8::columns(first.substr(0, at)) < static_cast<int>(caret)) {
            at = utf8::next_character(first, at);
        }
        EXPECT_EQ(utf8::columns(first.substr(0, at)), static_cast<int>(caret));
        EXPECT_EQ(first.substr(at, 3), line.substr(place - 1, 3)) << column;
        EXPECT_EQ(first.find("...") != std::string::npos, true);
    }
}

} // namespace
} // namespace mimicsh
