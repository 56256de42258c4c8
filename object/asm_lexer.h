// SPDX-License-Identifier: MIT
// Tokens of one line of assembler text. Not a public header.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mimicsh::assembler {

enum class TokenKind : uint8_t {
    End,    ///< end of the line, or a comment (`;`, `#`, `//`)
    Name,   ///< letters, digits, `_ . $ @`, not starting with a digit
    Number, ///< decimal or 0x hexadecimal, without sign
    Quoted, ///< "text"; `text` holds what stands between the quotes, escapes included
    Sign,   ///< operator or bracket, the longest that fits ("s>>=")
    Bad,    ///< nothing of these; `text` says why
};

struct Token {
    TokenKind kind = TokenKind::End;
    std::string_view text;
    uint64_t number = 0;
    uint32_t column = 1; ///< of its first byte, from 1

    [[nodiscard]] bool is(std::string_view sign_or_name) const {
        return (kind == TokenKind::Sign || kind == TokenKind::Name) && text == sign_or_name;
    }
};

/// Reads a line from left to right. Copies are cheap: a copy looks ahead as far as it likes.
class Lexer {
  public:
    explicit Lexer(std::string_view line) : line_(line) {}

    [[nodiscard]] Token peek() const { return Lexer(*this).next(); }
    Token next();
    /// The bytes up to the next blank or comment, whatever they are; empty at the end.
    Token word();
    /// All that is left before a comment, without blanks around it.
    Token rest();

  private:
    void skip_blanks();
    [[nodiscard]] bool at_comment(size_t at) const;
    Token take(TokenKind kind, size_t length);
    Token number();
    Token quoted();

    std::string_view line_;
    size_t at_ = 0;
};

/// True for what the lexer reads back as one Name.
[[nodiscard]] bool is_name(std::string_view text);
/// The name itself, or quoted with escapes when it is no Name; always reads back the same.
[[nodiscard]] std::string quote_name(std::string_view name);
/// Undoes the escapes of a Quoted token (`\"`, `\\`, `\xNN`); nothing on another escape or on `\x00`.
[[nodiscard]] std::optional<std::string> unquote(std::string_view text);

} // namespace mimicsh::assembler
