// SPDX-License-Identifier: MIT
// Bytes of a terminal to keys: UTF-8, control characters, the escape sequences of xterm and its kin,
// bracketed paste.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mimicsh::shell {

struct Key {
    enum class Kind : uint8_t {
        Text,    ///< one character, or invalid bytes
        Paste,   ///< all of a bracketed paste
        Control, ///< `code` is 'A' for ^A; '?' for DEL
        Meta,    ///< `code` is the character behind ESC
        Up,
        Down,
        Left,
        Right,
        WordLeft,
        WordRight,
        Home,
        End,
        Delete,
        WordDelete, ///< control and delete
        PageUp,
        PageDown,
        Escape, ///< alone
        None,   ///< a sequence that means nothing here
    };
    Kind kind = Kind::None;
    char code = 0;
    std::string text{};
};

class KeyReader {
  public:
    void feed(std::string_view bytes);
    /// The next whole key. With `is_over` nothing more follows for now, so that a lone ESC is one.
    [[nodiscard]] std::optional<Key> next(bool is_over = false);
    [[nodiscard]] bool has_more() const { return taken_ < pending_.size(); }
    /// Bytes that may be the beginning of a key.
    [[nodiscard]] bool is_waiting() const { return has_more() && !is_pasting_; }

  private:
    std::optional<Key> paste();
    std::optional<Key> escape(bool is_over);
    std::optional<Key> text(bool is_over);
    Key take(size_t bytes, Key key);
    [[nodiscard]] std::string_view rest() const { return std::string_view(pending_).substr(taken_); }

    std::string pending_;
    size_t taken_ = 0; ///< bytes of `pending_`
    std::string pasted_;
    bool is_pasting_ = false;
};

} // namespace mimicsh::shell
