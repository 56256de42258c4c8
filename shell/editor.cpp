// SPDX-License-Identifier: MIT
// The line editor without a terminal.
#include "shell/editor.h"

#include <algorithm>
#include <utility>

#include "base/characters.h"

namespace mimicsh::shell {

using namespace utf8;

namespace {

using Kind = Key::Kind;

constexpr size_t kMaxKills = 30;
constexpr size_t kMaxUndoBytes = size_t{64} << 20;
constexpr std::string_view kTab = "    ";

bool is_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n';
}

/// Line breaks of all systems are one.
std::string with_newlines(const std::string& pasted) {
    std::string text;
    for (size_t i = 0; i < pasted.size(); ++i) {
        if (pasted[i] == '\r') {
            text += '\n';
            i += i + 1 < pasted.size() && pasted[i + 1] == '\n' ? 1 : 0;
        } else {
            text += pasted[i];
        }
    }
    return text;
}

} // namespace

// -- Places --

size_t Editor::line_begin() const {
    return cursor_ == 0 ? 0 : text_.rfind('\n', cursor_ - 1) + 1; // npos + 1 is 0
}

size_t Editor::line_end() const {
    return std::min(text_.find('\n', cursor_), text_.size());
}

size_t Editor::word_left() const {
    size_t at = cursor_;
    while (at > 0 && !is_word(text_[at - 1])) {
        --at;
    }
    while (at > 0 && is_word(text_[at - 1])) {
        --at;
    }
    return at;
}

size_t Editor::word_right() const {
    size_t at = cursor_;
    while (at < text_.size() && !is_word(text_[at])) {
        ++at;
    }
    while (at < text_.size() && is_word(text_[at])) {
        ++at;
    }
    return at;
}

size_t Editor::blank_left() const {
    size_t at = cursor_;
    while (at > 0 && is_blank(text_[at - 1])) {
        --at;
    }
    while (at > 0 && !is_blank(text_[at - 1])) {
        --at;
    }
    return at;
}

// -- Changing the text --

/// Puts `with` in the place of bytes [begin, end), and the cursor behind it; undo takes it back. Characters
/// typed one after another are one change, up to a blank; so are steps through the history.
void Editor::change(size_t begin, size_t end, std::string with) {
    const bool goes_on = now_ == last_ && !undone_.empty() && undone_.back().how == now_;
    const bool is_word = cursor_ > 0 && !is_blank(text_[cursor_ - 1]);
    const size_t cursor = cursor_;
    cursor_ = begin + with.size();
    redone_.clear();
    if (goes_on && now_ == Last::Typed && is_word) {
        text_.insert(begin, with);
        undone_.back().inserted += with;
        undo_bytes_ += with.size();
    } else if (goes_on && now_ == Last::Recalled) {
        text_ = std::move(with);
        Edit& recalled = undone_.back();
        undo_bytes_ += text_.size() - recalled.inserted.size();
        recalled.inserted = text_;
    } else {
        Edit edit{begin, text_.substr(begin, end - begin), std::move(with), cursor, now_};
        text_.replace(begin, end - begin, edit.inserted);
        undo_bytes_ += sizeof edit + edit.removed.size() + edit.inserted.size();
        undone_.push_back(std::move(edit));
    }
    forget_oldest();
}

void Editor::forget_oldest() {
    while (undo_bytes_ > kMaxUndoBytes && undone_.size() > 1) {
        const Edit& oldest = undone_.front();
        undo_bytes_ -= sizeof oldest + oldest.removed.size() + oldest.inserted.size();
        undone_.pop_front();
    }
}

void Editor::undo() {
    if (!undone_.empty()) {
        Edit edit = std::move(undone_.back());
        undone_.pop_back();
        undo_bytes_ -= sizeof edit + edit.removed.size() + edit.inserted.size();
        text_.replace(edit.begin, edit.inserted.size(), edit.removed);
        std::swap(cursor_, edit.cursor);
        redone_.push_back(std::move(edit));
    }
}

void Editor::redo() {
    if (!redone_.empty()) {
        Edit edit = std::move(redone_.back());
        redone_.pop_back();
        undo_bytes_ += sizeof edit + edit.removed.size() + edit.inserted.size();
        text_.replace(edit.begin, edit.removed.size(), edit.inserted);
        std::swap(cursor_, edit.cursor);
        undone_.push_back(std::move(edit));
    }
}

void Editor::insert(std::string_view text) {
    change(cursor_, cursor_, std::string(text));
}

void Editor::erase(size_t begin, size_t end) {
    if (begin < end) {
        change(begin, end, "");
    }
}

void Editor::replace(size_t begin, size_t end, std::string_view with) {
    now_ = Last::Other;
    change(begin, end, std::string(with));
    last_ = Last::Other;
}

/// Takes the text away and keeps it for yank; kills in a row are kept together.
void Editor::kill(size_t begin, size_t end, bool backwards) {
    if (begin >= end) {
        return;
    }
    const std::string_view killed = std::string_view(text_).substr(begin, end - begin);
    if (last_ == Last::Killed && !kills_.empty()) {
        kills_.back().insert(backwards ? 0 : kills_.back().size(), killed);
    } else {
        kills_.emplace_back(killed);
        if (kills_.size() > kMaxKills) {
            kills_.erase(kills_.begin());
        }
    }
    erase(begin, end);
    now_ = Last::Killed;
}

void Editor::yank() {
    if (!kills_.empty()) {
        yanked_ = kills_.size() - 1;
        yank_begin_ = cursor_;
        insert(kills_[yanked_]);
        now_ = Last::Yanked;
    }
}

/// In place of what was just yanked, the kill before it.
void Editor::yank_older() {
    if (last_ != Last::Yanked) {
        return;
    }
    yanked_ = yanked_ == 0 ? kills_.size() - 1 : yanked_ - 1;
    change(yank_begin_, cursor_, kills_[yanked_]);
    now_ = Last::Yanked;
}

void Editor::transpose() {
    const size_t end = cursor_ == text_.size() ? cursor_ : next_character(text_, cursor_);
    const size_t middle = previous_character(text_, end);
    const size_t begin = previous_character(text_, middle);
    if (begin < middle && middle < end) {
        change(begin, end, text_.substr(middle, end - middle) + text_.substr(begin, middle - begin));
    }
}

void Editor::break_line(bool indents) {
    now_ = Last::Other;
    const size_t begin = line_begin();
    const size_t blanks = std::min(text_.find_first_not_of(' ', begin), cursor_) - begin;
    insert("\n" + std::string(indents ? blanks : 0, ' '));
    last_ = Last::Other;
}

std::string Editor::accept() {
    history_.add(text_);
    return take();
}

std::string Editor::take() {
    undone_.clear();
    redone_.clear();
    undo_bytes_ = 0;
    cursor_ = 0;
    last_ = Last::Other;
    is_searching_ = false;
    return std::exchange(text_, {});
}

// -- History --

/// Where in the line that begins at `begin` the cursor stands when it comes from `column` of another.
size_t Editor::at_column(size_t begin, int column) const {
    const size_t end = std::min(text_.find('\n', begin), text_.size());
    size_t at = begin;
    int here = 0;
    while (at < end) {
        const size_t next = next_character(text_, at);
        here += columns(std::string_view(text_).substr(at, next - at));
        if (here > column) {
            break;
        }
        at = next;
    }
    return at;
}

/// In several lines up and down move the cursor; beyond them they walk the history.
void Editor::up() {
    const size_t begin = line_begin();
    if (begin == 0 || last_ == Last::Recalled) {
        return recall(true);
    }
    const int column = columns(std::string_view(text_).substr(begin, cursor_ - begin));
    cursor_ = at_column(begin == 1 ? 0 : text_.rfind('\n', begin - 2) + 1, column);
}

void Editor::down() {
    const size_t begin = line_begin();
    const size_t end = line_end();
    if (end == text_.size() || last_ == Last::Recalled) {
        return recall(false);
    }
    cursor_ = at_column(end + 1, columns(std::string_view(text_).substr(begin, cursor_ - begin)));
}

/// The next older or newer entry that begins with what stood before the cursor when the walk began.
void Editor::recall(bool older) {
    if (last_ != Last::Recalled) {
        draft_ = text_;
        prefix_ = text_.substr(0, cursor_);
        recalled_ = history_.size();
    }
    now_ = Last::Recalled;
    const auto found =
        older ? history_.before(recalled_, prefix_, text_) : history_.behind(recalled_, prefix_, text_);
    if (found) {
        recalled_ = *found;
        change(0, text_.size(), history_.at(*found));
    } else if (!older && recalled_ < history_.size()) {
        recalled_ = history_.size();
        change(0, text_.size(), draft_);
    }
    cursor_ = text_.size();
}

void Editor::look_for(size_t before) {
    const auto found = history_.containing(before, search_);
    found_ = found.has_value();
    if (found) {
        searched_ = *found;
        text_ = history_.at(*found);
        cursor_ = text_.find(search_);
    }
}

void Editor::end_search(bool keep) {
    is_searching_ = false;
    const Snapshot found{std::exchange(text_, std::move(before_search_.text)), cursor_};
    cursor_ = before_search_.cursor; // what undo goes back to
    if (keep && found.text != text_) {
        now_ = Last::Other;
        change(0, text_.size(), found.text);
    }
    cursor_ = keep ? found.cursor : before_search_.cursor;
}

/// A key while the history is searched; not `is_over` when the key itself is still to be handled.
Editor::Event Editor::search(const Key& key, bool& is_over) {
    is_over = true;
    if (key.kind == Kind::Text || key.kind == Kind::Paste) {
        search_ += key.text;
        look_for(std::min(searched_ + 1, history_.size()));
        return Event::None;
    }
    if (key.kind == Kind::Escape || (key.kind == Kind::Control && (key.code == 'G' || key.code == 'C'))) {
        end_search(false);
        return Event::None;
    }
    if (key.kind == Kind::Control && key.code == 'R') {
        look_for(searched_);
        return Event::None;
    }
    if (key.kind == Kind::Control && (key.code == '?' || key.code == 'H')) {
        search_.resize(previous_character(search_, search_.size()));
        look_for(history_.size());
        return Event::None;
    }
    end_search(true);
    is_over = false;
    return Event::None;
}

// -- Keys --

Editor::Event Editor::control(char code) {
    switch (code) {
    case 'A':
        cursor_ = line_begin();
        break;
    case 'B':
        cursor_ = previous_character(text_, cursor_);
        break;
    case 'C':
        return Event::Interrupt;
    case 'D':
        if (text_.empty()) {
            return Event::End;
        }
        erase(cursor_, next_character(text_, cursor_));
        break;
    case 'E':
        cursor_ = line_end();
        break;
    case 'F':
        cursor_ = next_character(text_, cursor_);
        break;
    case 'H':
    case '?':
        erase(previous_character(text_, cursor_), cursor_);
        break;
    case 'I':
        if (text_.find_first_not_of(' ', line_begin()) >= cursor_) {
            insert(kTab);
            break;
        }
        return Event::Complete;
    case 'K':
        kill(cursor_, line_end() == cursor_ ? std::min(cursor_ + 1, text_.size()) : line_end(), false);
        break;
    case 'L':
        return Event::Clear;
    case 'J': // what ENTER was while a statement ran and the terminal was not ours
    case 'M':
        return Event::Enter;
    case 'N':
        down();
        break;
    case 'P':
        up();
        break;
    case 'R':
        before_search_ = {text_, cursor_};
        is_searching_ = true;
        found_ = true;
        search_.clear();
        searched_ = history_.size();
        break;
    case 'T':
        transpose();
        break;
    case 'U':
        kill(line_begin(), cursor_, true);
        break;
    case 'W':
        kill(blank_left(), cursor_, true);
        break;
    case 'Y':
        yank();
        break;
    case 'Z':
        return Event::Suspend;
    case '_':
        undo();
        break;
    default:
        break;
    }
    return Event::None;
}

void Editor::meta(char code) {
    switch (code) {
    case 'b':
        cursor_ = word_left();
        break;
    case 'f':
        cursor_ = word_right();
        break;
    case 'd':
        kill(cursor_, word_right(), false);
        break;
    case '\x7f':
    case '\b':
        kill(word_left(), cursor_, true);
        break;
    case 'y':
        yank_older();
        break;
    case '_':
        redo();
        break;
    case '\r':
    case '\n':
        break_line();
        break;
    case '<':
        cursor_ = 0;
        break;
    case '>':
        cursor_ = text_.size();
        break;
    default:
        break;
    }
}

Editor::Event Editor::handle(const Key& key) {
    if (is_searching_) {
        bool is_over = false;
        const Event event = search(key, is_over);
        if (is_over) {
            return event;
        }
    }
    now_ = Last::Other;
    Event event = Event::None;
    switch (key.kind) {
    case Kind::Text:
        now_ = Last::Typed;
        insert(key.text);
        break;
    case Kind::Paste:
        insert(with_newlines(key.text));
        break;
    case Kind::Control:
        event = control(key.code);
        break;
    case Kind::Meta:
        meta(key.code);
        break;
    case Kind::Up:
        up();
        break;
    case Kind::Down:
        down();
        break;
    case Kind::Left:
        cursor_ = previous_character(text_, cursor_);
        break;
    case Kind::Right:
        cursor_ = next_character(text_, cursor_);
        break;
    case Kind::WordLeft:
        cursor_ = word_left();
        break;
    case Kind::WordRight:
        cursor_ = word_right();
        break;
    case Kind::Home:
        cursor_ = line_begin();
        break;
    case Kind::End:
        cursor_ = line_end();
        break;
    case Kind::Delete:
        erase(cursor_, next_character(text_, cursor_));
        break;
    case Kind::WordDelete:
        kill(cursor_, word_right(), false);
        break;
    default:
        break;
    }
    last_ = now_;
    return event;
}

} // namespace mimicsh::shell
