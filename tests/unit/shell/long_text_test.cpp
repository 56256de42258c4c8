// SPDX-License-Identifier: MIT
// A million bytes in one line, and a hundred thousand lines: taken whole, and in time that grows with their
// length only. Quadratic ways take minutes for any of these.
#include <ctime>
#include <string>

#include <gtest/gtest.h>

#include "shell/editor.h"
#include "shell/screen.h"

namespace mimicsh::shell {
namespace {

constexpr size_t kMillion = 1'000'000;
constexpr size_t kChunk = 4096; ///< a terminal hands out no more at a time
constexpr double kSeconds = 20; ///< of the processor, sanitizers included; less than 5 without

class LongText : public testing::Test {
  protected:
    LongText() = default;
    ~LongText() override { EXPECT_LT(static_cast<double>(std::clock() - begin_) / CLOCKS_PER_SEC, kSeconds); }
    LongText(const LongText&) = delete;
    LongText& operator=(const LongText&) = delete;

    /// As the prompt does: keys of what has come, then a frame.
    void type(std::string_view bytes) {
        for (size_t at = 0; at < bytes.size(); at += kChunk) {
            reader_.feed(bytes.substr(at, kChunk));
            while (const auto key = reader_.next()) {
                if (editor_.handle(*key) == Editor::Event::Enter) {
                    editor_.break_line();
                }
            }
            show();
        }
    }
    void show() {
        View view;
        view.prompt = "mimicsh> ";
        view.more_prompt = "     ..> ";
        view.text = editor_.text();
        view.cursor = editor_.cursor();
        frame_ = draw(view, 80, 24);
    }
    /// A key many times, a frame after each 100.
    void press(std::string_view key, size_t times) {
        for (size_t i = 0; i < times; ++i) {
            reader_.feed(key);
            while (const auto next = reader_.next()) {
                editor_.handle(*next);
            }
            if (i % 100 == 0) {
                show();
            }
        }
    }

    History history_;
    Editor editor_{history_};
    Frame frame_;

  private:
    KeyReader reader_;
    std::clock_t begin_ = std::clock();
};

std::string words() {
    std::string text;
    while (text.size() < kMillion) {
        text += "word" + std::to_string(text.size() % 977) + " ";
    }
    return text;
}

TEST_F(LongText, WordsByKeystrokes) {
    const std::string text = words();
    type(text);
    EXPECT_EQ(editor_.text(), text);
    EXPECT_EQ(frame_.rows.size(), 24U);
    EXPECT_EQ(frame_.cursor_row, 23);
    EXPECT_EQ(frame_.cursor_column, static_cast<int>((text.size() + 9) % 80));
}

TEST_F(LongText, WordsByKeystrokesInFront) {
    const std::string text = words();
    type("\x1b[200~" + text + "\x1b[201~");
    press("\1", 1);
    type(text.substr(0, 10'000));
    EXPECT_EQ(editor_.text(), text.substr(0, 10'000) + text);
}

TEST_F(LongText, OnePaste) {
    const std::string text = words();
    type("\x1b[200~" + text + "\x1b[201~");
    EXPECT_EQ(editor_.text(), text);
    EXPECT_EQ(editor_.accept(), text);
    press("\x1b[A", 1);
    EXPECT_EQ(editor_.text(), text) << "the history has it";
    press("\x12", 1);
    const std::string word = text.substr(text.size() - 8);
    type(word);
    EXPECT_EQ(editor_.cursor(), text.find(word));
}

TEST_F(LongText, TakenBackKeyByKey) {
    type(words().substr(0, 50'000));
    press("\x7f", 20'000);
    EXPECT_EQ(editor_.text(), words().substr(0, 30'000));
    press("\x1f", 20'000);
    EXPECT_EQ(editor_.text(), words().substr(0, 50'000)) << "each was a change";
    press("\x1f", 50'000);
    EXPECT_EQ(editor_.text(), "");
    press("\x1b_", 100'000);
    EXPECT_EQ(editor_.text(), words().substr(0, 30'000));
}

TEST_F(LongText, WideCharactersAndInvalidBytes) {
    std::string text;
    while (text.size() < kMillion) {
        text += "漢字 \xff\xc3(é";
    }
    type(text);
    EXPECT_EQ(editor_.text(), text);
    press("\x1b[D", 1'000);
    press("\x1b[C", 1'000);
    EXPECT_EQ(editor_.cursor(), text.size());
}

TEST_F(LongText, UpAndDownBetweenLongLines) {
    const std::string line(kMillion, 'x');
    type("\x1b[200~" + line + "\n" + line + "\x1b[201~");
    press("\x1b[A", 1);
    EXPECT_EQ(editor_.cursor(), line.size());
    press("\x1b[B", 1);
    EXPECT_EQ(editor_.cursor(), 2 * line.size() + 1);
}

TEST_F(LongText, ManyLines) {
    std::string text;
    for (int i = 0; i < 100'000; ++i) {
        text += "x = " + std::to_string(i) + "\n";
    }
    type("\x1b[200~" + text + "\x1b[201~");
    EXPECT_EQ(editor_.text(), text);
    press("\x1b[A", 5'000);
    press("\x0b", 5'000); // ^K: lines and their breaks, kept as one
    press("\x19", 1);
    EXPECT_EQ(editor_.text(), text);
    (void)editor_.take();
    type(text); // the same by keystrokes, ENTER for each line
    EXPECT_EQ(editor_.text(), text);
}

} // namespace
} // namespace mimicsh::shell
