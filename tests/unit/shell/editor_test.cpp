// SPDX-License-Identifier: MIT
// Keys in, text and cursor out. Keys are written as a terminal sends them.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "shell/editor.h"

namespace mimicsh::shell {
namespace {

constexpr const char* kUp = "\x1b[A";
constexpr const char* kDown = "\x1b[B";
constexpr const char* kUndo = "\x1f";
constexpr const char* kRedo = "\x1b_";
constexpr const char* kBreak = "\x1b\r"; // M-ENTER

class EditorTest : public testing::Test {
  protected:
    /// With `goes_on` ENTER breaks the line, as the prompt does where a statement is not whole.
    Editor::Event type(std::string_view bytes, bool goes_on = false) {
        reader_.feed(bytes);
        auto event = Editor::Event::None;
        while (const auto key = reader_.next(true)) {
            event = editor_.handle(*key);
            if (event == Editor::Event::Enter && goes_on) {
                editor_.break_line();
            }
        }
        return event;
    }
    /// The text with the cursor as a bar.
    [[nodiscard]] std::string text() const {
        std::string text = editor_.text();
        return text.insert(editor_.cursor(), "|");
    }
    /// After keys on an empty text.
    std::string after(std::string_view bytes) {
        (void)editor_.take();
        type(bytes, true);
        return text();
    }
    void enter(const std::string& statement) {
        (void)editor_.take();
        type("\x1b[200~" + statement + "\x1b[201~");
        EXPECT_EQ(editor_.accept(), statement);
    }

    History history_;
    Editor editor_{history_};
    KeyReader reader_;
};

TEST_F(EditorTest, Typing) {
    EXPECT_EQ(after("abc"), "abc|");
    EXPECT_EQ(after("abc\1x"), "x|abc");
    EXPECT_EQ(after("abc\1\5x"), "abcx|");
    EXPECT_EQ(after("abc\2\2\x7f"), "|bc");
    EXPECT_EQ(after("abc\1\4"), "|bc");
    EXPECT_EQ(after("abc\1\x1b[3~\6x"), "bx|c");
    EXPECT_EQ(after("\x7f\x7f\2\6"), "|");
}

TEST_F(EditorTest, CursorMovesOverWholeCharacters) {
    EXPECT_EQ(after("a漢b\2\2"), "a|漢b");
    EXPECT_EQ(after("ae\u0301b\2\2"), "a|e\u0301b") << "an accent goes with its letter";
    EXPECT_EQ(after("ae\u0301b\2\x7f"), "a|b");
    EXPECT_EQ(after("漢字\x7f"), "漢|");
    EXPECT_EQ(after("a\xff"
                    "b\2\2"),
              "a|\xff"
              "b")
        << "an invalid byte is one";
}

TEST_F(EditorTest, Words) {
    EXPECT_EQ(after("maps.flows[1]\x1b"
                    "b"),
              "maps.flows[|1]");
    EXPECT_EQ(after("maps.flows[1]\x1b"
                    "b\x1b"
                    "b"),
              "maps.|flows[1]");
    EXPECT_EQ(after("maps.flows\1\x1b"
                    "f"),
              "maps|.flows");
    EXPECT_EQ(after("maps.flows\1\x1b[1;5C\x1b[1;5C\x1b[1;5D"), "maps.|flows");
}

TEST_F(EditorTest, KillsAndYanks) {
    EXPECT_EQ(after("one two\1\x0b\x19\x19"), "one twoone two|");
    EXPECT_EQ(after("one two\x17\x17\x19"), "one two|") << "kills in a row are one";
    EXPECT_EQ(after("one two\1\x1b"
                    "d\x1b"
                    "d\x19"),
              "one two|");
    EXPECT_EQ(after("a.b c.d\x17\x15"), "|") << "^W goes to a blank, ^U to the line's begin";
    EXPECT_EQ(after("a.b c.d\x1b\x7f"), "a.b c.|");
    EXPECT_EQ(after("first\x15second\x15x\x19"), "xsecond|");
    EXPECT_EQ(after("first\x15 second\x15x\x19\x1by"), "xfirst|");
    EXPECT_EQ(after("x\x1by"), "x|") << "M-y only after a yank";
    EXPECT_EQ(after("a\nb\x1b[A\x0b"), "a|b") << "at the end of a line ^K joins";
}

TEST_F(EditorTest, UndoTakesWordsAndRedoBringsThemBack) {
    EXPECT_EQ(after(std::string("one two") + kUndo), "one |");
    EXPECT_EQ(after(std::string("one two") + kUndo + kUndo), "|");
    EXPECT_EQ(after(std::string("one two") + kUndo + kUndo + kUndo), "|");
    EXPECT_EQ(after(std::string("one two") + kUndo + kUndo + kRedo), "one |");
    EXPECT_EQ(after(std::string("one two") + kUndo + kUndo + kRedo + kRedo + kRedo), "one two|");
    EXPECT_EQ(after(std::string("one two\x17") + kUndo), "one two|");
    EXPECT_EQ(after(std::string("ab") + kUndo + "c" + kRedo), "c|") << "a change forgets what was undone";
    EXPECT_EQ(after(std::string("ab\2x") + kUndo), "a|b") << "a move ends the group";
    EXPECT_EQ(after(std::string("\x1b[200~a b c\x1b[201~") + kUndo), "|") << "a paste is one change";
}

TEST_F(EditorTest, UndoTakesTheHistoryBack) {
    enter("alpha");
    enter("beta");
    EXPECT_EQ(after(std::string("dra") + kDown + "\x15" + kUp + kUp + kUndo), "|")
        << "all steps are one change";
    EXPECT_EQ(after(std::string("al") + kUp + "x" + kUndo), "alpha|");
    EXPECT_EQ(after(std::string("al") + kUp + "x" + kUndo + kUndo), "al|");
    EXPECT_EQ(after(std::string("al") + kUp + kUndo + kRedo), "alpha|");
    EXPECT_EQ(after(std::string("dra\x12") + "bet\5" + kUndo), "dra|");
    EXPECT_EQ(after(std::string("dra\x12") + "bet\5" + kUndo + kRedo), "beta|");
    EXPECT_EQ(after(std::string("dra\x12") + "bet\7" + kUndo), "|");
}

TEST_F(EditorTest, UndoGoesAllTheWayBackAndRedoAllTheWayForth) {
    enter("for i = 1, 2 do\n    print(i)\nend");
    enter("x = { 漢, 字 }");
    const std::vector<std::string> keys{
        "a",    "b ",        "漢",    "\xff", "\x7f",     "\4",  "\x17", "\x0b",
        "\x15", "\x19",      "\x1by", "\x14", "\x1b\x7f", kUp,   kDown,  "\r",
        "\1",   "\x12i\x12", "\5",    "\2",   "\6",       kUndo, kRedo,  "\x1b[200~p\nq\x1b[201~"};
    uint32_t seed = 3;
    for (int round = 0; round < 300; ++round) {
        (void)editor_.take();
        for (int i = 0; i < 200; ++i) {
            seed = seed * 1664525 + 1013904223;
            type(keys[(seed >> 16) % keys.size()], true);
        }
        type("\5"); // a search is over
        const std::string final = editor_.text();
        for (int i = 0; i < 400; ++i) {
            type(kUndo);
        }
        ASSERT_EQ(editor_.text(), "") << "round " << round;
        for (int i = 0; i < 400; ++i) {
            type(kRedo);
        }
        if (!final.empty()) {
            ASSERT_NE(editor_.text(), "");
        }
        for (int i = 0; i < 400; ++i) {
            type(kUndo);
        }
        ASSERT_EQ(editor_.text(), "") << "round " << round;
    }
}

TEST_F(EditorTest, Transpose) {
    EXPECT_EQ(after("ab\x14"), "ba|");
    EXPECT_EQ(after("abc\2\x14"), "acb|");
    EXPECT_EQ(after("a漢\x14"), "漢a|");
    EXPECT_EQ(after("a\x14"), "a|");
    EXPECT_EQ(after("\x14"), "|");
}

TEST_F(EditorTest, UpAndDownInSeveralLines) {
    EXPECT_EQ(after(std::string("abcd\nef\nghij") + kUp), "abcd\nef|\nghij");
    EXPECT_EQ(after(std::string("abcd\nef\nghi") + kUp + kUp), "ab|cd\nef\nghi");
    EXPECT_EQ(after(std::string("abcd\nef") + kUp + kDown), "abcd\nef|");
    EXPECT_EQ(after(std::string("漢字\nabc") + kUp), "漢|字\nabc") << "columns count, not characters";
    EXPECT_EQ(after(std::string("ab\n\ncd") + kUp), "ab\n|\ncd");
    EXPECT_EQ(after("ab\ncd\1x\x1b<y\x1b>z"), "y"
                                              "ab\nx"
                                              "cdz|");
}

TEST_F(EditorTest, HistoryIsWalkedByWhatWasTyped) {
    enter("alpha");
    enter("beta");
    enter("alps");
    EXPECT_EQ(after(kUp), "alps|");
    EXPECT_EQ(after(std::string(kUp) + kUp + kUp), "alpha|");
    EXPECT_EQ(after(std::string(kUp) + kUp + kUp + kUp), "alpha|") << "the oldest stays";
    EXPECT_EQ(after(std::string("al") + kUp + kUp), "alpha|");
    EXPECT_EQ(after(std::string("al") + kUp + kUp + kDown + kDown), "al|") << "what was typed comes back";
    EXPECT_EQ(after(std::string("zz") + kUp), "zz|");
    enter("for i = 1, 2 do\n    print(i)\nend");
    EXPECT_EQ(after(std::string(kUp) + kUp), "alps|") << "a statement of several lines is one entry";
}

TEST_F(EditorTest, HistoryIsSearchedBackwards) {
    enter("print 'old'");
    enter("print 'new'");
    enter("other");
    EXPECT_EQ(after("\x12pri"), "|print 'new'");
    EXPECT_TRUE(editor_.is_searching());
    EXPECT_EQ(editor_.search_text(), "pri");
    EXPECT_EQ(after("\x12pri\x12"), "|print 'old'");
    EXPECT_EQ(after("\x12new\5"), "print 'new'|") << "a key that moves takes the line";
    EXPECT_FALSE(editor_.is_searching());
    EXPECT_EQ(after("typed\x12new\7"), "typed|") << "^G gives back what was typed";
    EXPECT_EQ(after("typed\x12new\3"), "typed|");
    EXPECT_EQ(after("\x12newx"), "print '|new'") << "the last that was found stays";
    EXPECT_FALSE(editor_.is_found());
    type("\x7f");
    EXPECT_TRUE(editor_.is_found());
    (void)editor_.take();
    EXPECT_EQ(type("\x12old\r"), Editor::Event::Enter);
    EXPECT_EQ(editor_.text(), "print 'old'");
    EXPECT_EQ(after("\x12new\x12\x12\x12"), "print '|new'");
}

TEST_F(EditorTest, PastesKeepTabsAndAnyLineBreaks) {
    EXPECT_EQ(after("\x1b[200~a\tb\r\nc\rd\ne\x1b[201~"), "a\tb\nc\nd\ne|");
}

TEST_F(EditorTest, NewLinesAreIndentedLikeTheLineBefore) {
    EXPECT_EQ(after("  a\nb"), "  a\n  b|");
    EXPECT_EQ(after("    \1\n"), "\n|    ") << "no deeper than the cursor";
    EXPECT_EQ(after(std::string("do\n\ta") + kBreak + "b"), "do\n    a\n    b|") << "TAB on blanks indents";
}

TEST_F(EditorTest, KeysForTheOwner) {
    EXPECT_EQ(type("\4"), Editor::Event::End);
    EXPECT_EQ(type("x\3"), Editor::Event::Interrupt);
    EXPECT_EQ(type("\t"), Editor::Event::Complete);
    EXPECT_EQ(type("\x1a"), Editor::Event::Suspend);
    EXPECT_EQ(type("\x0c"), Editor::Event::Clear);
    EXPECT_EQ(type("\r"), Editor::Event::Enter);
    EXPECT_EQ(type("\4"), Editor::Event::None) << "^D deletes in a text";
    EXPECT_EQ(text(), "x|");
}

TEST_F(EditorTest, ReplaceIsOneChange) {
    type("print(pk");
    editor_.replace(6, 8, "pkt");
    EXPECT_EQ(text(), "print(pkt|");
    type(kUndo);
    EXPECT_EQ(text(), "print(pk|");
}

TEST_F(EditorTest, AnyBytesAreTaken) {
    uint32_t seed = 1;
    std::string bytes;
    for (int i = 0; i < 200'000; ++i) {
        seed = seed * 1664525 + 1013904223;
        // Control characters and escapes often.
        const auto byte = static_cast<char>(seed >> 24);
        bytes += (seed >> 20 & 3) == 0 ? static_cast<char>(byte & 31) : byte;
        if (bytes.size() == 64) {
            type(bytes);
            bytes.clear();
            ASSERT_LE(editor_.cursor(), editor_.text().size());
            if (editor_.text().size() > 4'000) {
                (void)editor_.accept();
            }
        }
    }
    EXPECT_EQ(after("\7\x1b[201~fine"), "fine|");
}

} // namespace
} // namespace mimicsh::shell
