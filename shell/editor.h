// SPDX-License-Identifier: MIT
// The line editor without a terminal: keys in, text and cursor out. Drawing is in screen.h, reading in
// terminal.h.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "shell/history.h"
#include "shell/keys.h"

namespace mimicsh::shell {

class Editor {
  public:
    /// What a key asks of the owner.
    enum class Event : uint8_t {
        None,      ///< the text or the cursor may have changed
        Enter,     ///< the statement is over, if it is whole: accept() or break_line()
        Complete,  ///< TAB
        Interrupt, ///< ^C
        End,       ///< ^D on an empty text
        Suspend,   ///< ^Z
        Clear,     ///< ^L: the screen
    };

    explicit Editor(History& history) : history_(history) {}

    Event handle(const Key& key);

    [[nodiscard]] const std::string& text() const { return text_; }
    [[nodiscard]] size_t cursor() const { return cursor_; }
    [[nodiscard]] bool is_searching() const { return is_searching_; }
    /// What is looked for in the history, for the prompt.
    [[nodiscard]] const std::string& search_text() const { return search_; }
    [[nodiscard]] bool is_found() const { return found_; }

    /// Takes the text away and keeps it in the history.
    std::string accept();
    /// The same without the history.
    std::string take();
    /// A line break at the cursor; with `indents` as many blanks as the line begins with follow it.
    void break_line(bool indents = true);
    /// Puts `with` where bytes [begin, end) are, and the cursor behind it.
    void replace(size_t begin, size_t end, std::string_view with);

  private:
    enum class Last : uint8_t { Other, Typed, Killed, Yanked, Recalled };
    /// `inserted` came in the place of `removed` at byte `begin`.
    struct Edit {
        size_t begin = 0;
        std::string removed;
        std::string inserted;
        size_t cursor = 0; ///< where it was before
        Last how = Last::Other;
    };
    struct Snapshot {
        std::string text;
        size_t cursor;
    };

    Event control(char code);
    void meta(char code);
    Event search(const Key& key, bool& is_over);
    void look_for(size_t before);
    void end_search(bool keep);
    void change(size_t begin, size_t end, std::string with);
    void forget_oldest();
    void insert(std::string_view text);
    void erase(size_t begin, size_t end);
    void kill(size_t begin, size_t end, bool backwards);
    void yank();
    void yank_older();
    void undo();
    void redo();
    void transpose();
    void up();
    void down();
    void recall(bool older);
    [[nodiscard]] size_t line_begin() const;
    [[nodiscard]] size_t line_end() const;
    [[nodiscard]] size_t at_column(size_t begin, int column) const;
    [[nodiscard]] size_t word_left() const;
    [[nodiscard]] size_t word_right() const;
    [[nodiscard]] size_t blank_left() const;

    History& history_;
    std::string text_;
    size_t cursor_ = 0;
    Last last_ = Last::Other;
    Last now_ = Last::Other;   ///< of the key being handled
    std::deque<Edit> undone_;  ///< what undo takes back, the latest last
    std::vector<Edit> redone_; ///< what redo does again; `cursor` is where it was behind it
    size_t undo_bytes_ = 0;    ///< of `undone_`
    std::vector<std::string> kills_;
    size_t yanked_ = 0; ///< which of them M-y follows on
    size_t yank_begin_ = 0;
    std::string draft_; ///< what was typed before the history was walked
    std::string prefix_;
    size_t recalled_ = 0;
    bool is_searching_ = false;
    bool found_ = true;
    std::string search_;
    size_t searched_ = 0;
    Snapshot before_search_{};
};

} // namespace mimicsh::shell
