// SPDX-License-Identifier: MIT
// Text, cursor and colours to rows.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/characters.h"
#include "shell/screen.h"

namespace mimicsh::shell {

using namespace utf8;
namespace {

View plain(std::string_view text, size_t cursor = std::string::npos) {
    View view;
    view.prompt = "> ";
    view.more_prompt = ". ";
    view.text = text;
    view.cursor = cursor;
    view.has_colours = false;
    return view;
}

std::vector<std::string> rows_of(const Frame& frame) {
    std::vector<std::string> rows;
    for (const Row& row : frame.rows) {
        rows.push_back(row.text);
    }
    return rows;
}

std::pair<int, int> cursor_of(const Frame& frame) {
    return {frame.cursor_row, frame.cursor_column};
}

using Rows = std::vector<std::string>;

TEST(Screen, LongLinesAreWrapped) {
    const Frame frame = draw(plain("abcdefghijkl"), 10, 24);
    EXPECT_EQ(rows_of(frame), (Rows{"> abcdefgh", "ijkl"}));
    EXPECT_EQ(cursor_of(frame), std::pair(1, 4));
    EXPECT_EQ(cursor_of(draw(plain("abcdefghijkl", 7), 10, 24)), std::pair(0, 9));
    EXPECT_EQ(cursor_of(draw(plain("abcdefghijkl", 8), 10, 24)), std::pair(1, 0));
}

TEST(Screen, CursorBehindAFullRowIsOnTheNext) {
    const Frame frame = draw(plain("abcdefgh"), 10, 24);
    EXPECT_EQ(rows_of(frame), (Rows{"> abcdefgh", ""}));
    EXPECT_EQ(cursor_of(frame), std::pair(1, 0));
}

TEST(Screen, OneColumn) {
    const Frame frame = draw(plain("ab"), 1, 24);
    EXPECT_EQ(rows_of(frame), (Rows{">", " ", "a", "b", ""}));
    EXPECT_EQ(cursor_of(frame), std::pair(4, 0));
    EXPECT_EQ(draw(plain("漢\t\n\xff"), 1, 24).rows.size(), 8U) << "nothing is lost where nothing fits";
    EXPECT_EQ(draw(plain("ab"), 0, 0).rows.size(), 1U) << "a terminal that says it has none";
}

TEST(Screen, WideCharactersAreNotCut) {
    const Frame frame = draw(plain("abcdefg漢x"), 10, 24);
    EXPECT_EQ(rows_of(frame), (Rows{"> abcdefg", "漢x"}));
    EXPECT_EQ(frame.rows[0].width, 9);
    EXPECT_EQ(cursor_of(frame), std::pair(1, 3));
    EXPECT_EQ(rows_of(draw(plain("abcdef漢x"), 10, 24)), (Rows{"> abcdef漢", "x"}));
    EXPECT_EQ(draw(plain("e\u0301"), 10, 24).cursor_column, 3) << "an accent takes no column";
}

TEST(Screen, TabsGoToTheNextStop) {
    EXPECT_EQ(rows_of(draw(plain("a\tb"), 40, 24)), (Rows{"> a     b"}));
    EXPECT_EQ(rows_of(draw(plain("abcdef\tb"), 40, 24)), (Rows{"> abcdef        b"}));
    EXPECT_EQ(rows_of(draw(plain("abcdef\tb"), 10, 24)), (Rows{"> abcdef  ", "b"}));
}

TEST(Screen, LinesHaveTheirPrompt) {
    const Frame frame = draw(plain("do\n  x\nend", 4), 10, 24);
    EXPECT_EQ(rows_of(frame), (Rows{"> do", ".   x", ". end"}));
    EXPECT_EQ(cursor_of(frame), std::pair(1, 3));
}

TEST(Screen, BytesThatCannotBeShownAre) {
    EXPECT_EQ(rows_of(draw(plain("a\x1b[31m\xff\x7f"), 40, 24)), (Rows{"> a^[[31m<ff>^?"}));
}

TEST(Screen, RowsAroundTheCursorAreKept) {
    const Frame end = draw(plain("1\n2\n3\n4\n5\n6"), 10, 3);
    EXPECT_EQ(rows_of(end), (Rows{". 4", ". 5", ". 6"}));
    EXPECT_EQ(cursor_of(end), std::pair(2, 3));
    const Frame begin = draw(plain("1\n2\n3\n4\n5\n6", 0), 10, 3);
    EXPECT_EQ(rows_of(begin), (Rows{"> 1", ". 2", ". 3"}));
    EXPECT_EQ(cursor_of(begin), std::pair(0, 2));
    const Frame middle = draw(plain("1\n2\n3\n4\n5\n6", 6), 10, 3);
    EXPECT_EQ(rows_of(middle), (Rows{". 3", ". 4", ". 5"}));
    EXPECT_EQ(cursor_of(middle), std::pair(1, 2));
}

TEST(Screen, WhatIsOutsideChangesNothing) {
    const std::vector<std::string> pieces{"a",      "word ", "漢",   "e\u0301",        "\t", "\n",
                                          "\n\n\n", "\xff",  "\x1b", "long long ... ", "字", "    "};
    uint32_t seed = 7;
    const auto random = [&seed](size_t below) {
        seed = seed * 1664525 + 1013904223;
        return (seed >> 8) % below;
    };
    for (int round = 0; round < 20'000; ++round) {
        std::string text;
        for (size_t i = random(120); i > 0; --i) {
            text += pieces[random(pieces.size())];
        }
        View view = plain(text, std::string::npos);
        view.has_colours = true;
        view.prompt = round % 3 == 0 ? "a long prompt> " : "> ";
        for (size_t at = random(9); at + 3 < text.size(); at += 3 + random(40)) {
            view.spans.push_back({at, at + 3, round % 2 == 0 ? Style::String : Style::Keyword});
        }
        if (random(4) > 0) { // at the begin of a character
            const size_t wanted = random(text.size() + 1);
            view.cursor = 0;
            while (view.cursor < wanted) {
                view.cursor += decode(view.text.substr(view.cursor)).size;
            }
        } else {
            view.hint = "hint";
            view.list = {"one", "two"};
        }
        const int columns = 1 + static_cast<int>(random(30));
        const int height = 1 + static_cast<int>(random(8));
        const Frame whole = draw(view, columns, 10'000);
        const Frame part = draw(view, columns, height);
        const int count = static_cast<int>(whole.rows.size());
        const int top = std::clamp(whole.cursor_row - height / 2, 0, std::max(count - height, 0));
        const std::vector<Row> rows(whole.rows.begin() + top,
                                    whole.rows.begin() + std::min(top + height, count));
        ASSERT_EQ(part.rows == rows, true) << "round " << round << ", " << columns << " columns: " << text;
        ASSERT_EQ(cursor_of(part), std::pair(whole.cursor_row - top, whole.cursor_column)) << round;
    }
}

TEST(Screen, HintsStayInTheRow) {
    View view = plain("f(");
    view.hint = "key, value)";
    EXPECT_EQ(rows_of(draw(view, 40, 24)), (Rows{"> f(key, value)"}));
    const Frame frame = draw(view, 10, 24);
    EXPECT_EQ(rows_of(frame), (Rows{"> f(key, "}));
    EXPECT_EQ(cursor_of(frame), std::pair(0, 4));
}

TEST(Screen, ListsStandBelowAndAreCut) {
    View view = plain("x");
    view.list = {"alpha  beta  gamma", "b"};
    const Frame frame = draw(view, 10, 24);
    EXPECT_EQ(rows_of(frame), (Rows{"> x", "alpha  be", "b"}));
    EXPECT_EQ(cursor_of(frame), std::pair(0, 3));
}

TEST(Screen, ColoursEndWithTheirText) {
    View view = plain("if x");
    view.has_colours = true;
    view.spans = {{0, 2, Style::Keyword}};
    const std::string row = draw(view, 40, 24).rows[0].text;
    EXPECT_EQ(row, "\x1b[1m> \x1b[0m\x1b[35mif\x1b[0m x");
    view.has_colours = false;
    EXPECT_EQ(draw(view, 40, 24).rows[0].text, "> if x");
}

TEST(Screen, NoRowIsWiderThanTheTerminal) {
    const std::string text = "for i = 1, 2 do\n\tprint('漢字 e\u0301', i)\t-- \xff\x01\nend";
    for (int columns = 4; columns < 60; ++columns) {
        for (size_t cursor = 0; cursor <= text.size(); cursor = next_character(text, cursor)) {
            const Frame frame = draw(plain(text, cursor), columns, 8);
            ASSERT_LE(frame.rows.size(), 8U);
            ASSERT_LT(frame.cursor_row, int(frame.rows.size()));
            ASSERT_LT(frame.cursor_column, columns);
            for (const Row& row : frame.rows) {
                ASSERT_LE(row.width, columns);
                ASSERT_EQ(row.width, utf8::columns(row.text)) << row.text;
            }
            if (cursor == text.size()) {
                break;
            }
        }
    }
}

TEST(Screen, WordsInColumns) {
    EXPECT_EQ(in_columns({"a", "bb", "c", "d"}, 10, 9), (Rows{"a   c", "bb  d"}));
    EXPECT_EQ(in_columns({"a", "b", "c", "d", "e"}, 4, 3), (Rows{"a", "b", "... and 3 more"}));
    EXPECT_EQ(in_columns({"a", "b", "c"}, 4, 2, true), (Rows{"a", "... and more"}));
    EXPECT_EQ(in_columns({}, 4, 3, true), Rows{"... and more"});
    EXPECT_EQ(in_columns({"longer than it all"}, 5, 3), (Rows{"longer than it all"}));
}

} // namespace
} // namespace mimicsh::shell
