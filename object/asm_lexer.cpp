// SPDX-License-Identifier: MIT
// Cutting a line of assembler text into tokens.
#include "object/asm_lexer.h"

#include <array>

#include "base/bytes.h"

namespace mimicsh::assembler {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool starts_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$' || c == '@';
}

bool continues_name(char c) {
    return starts_name(c) || is_digit(c);
}

int hex_digit(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Longest first, so that the first match is the right one.
constexpr std::array<std::string_view, 37> kSigns{
    "s>>=", ">>=", "<<=", "s>=", "s<=", "s/=", "s%=", "s>", "s<", "==", "!=", ">=", "<=",
    "+=",   "-=",  "*=",  "/=",  "%=",  "|=",  "&=",  "^=", "=",  ">",  "<",  "&",  "+",
    "-",    "*",   "(",   ")",   "[",   "]",   ",",   ":",  "|",  "^",  "/",
};

} // namespace

bool Lexer::at_comment(size_t at) const {
    return line_[at] == ';' || line_[at] == '#' || line_.substr(at, 2) == "//";
}

void Lexer::skip_blanks() {
    while (at_ < line_.size() && (line_[at_] == ' ' || line_[at_] == '\t' || line_[at_] == '\r')) {
        ++at_;
    }
}

Token Lexer::take(TokenKind kind, size_t length) {
    Token token{kind, line_.substr(at_, length), 0, static_cast<uint32_t>(at_ + 1)};
    at_ += length;
    return token;
}

Token Lexer::number() {
    const bool hex = line_.substr(at_, 2) == "0x" || line_.substr(at_, 2) == "0X";
    const uint64_t base = hex ? 16 : 10;
    size_t end = at_ + (hex ? 2 : 0);
    const size_t first = end;
    uint64_t value = 0;
    bool fits = true;
    for (; end < line_.size(); ++end) {
        const int digit = hex_digit(line_[end]);
        if (digit < 0 || digit >= static_cast<int>(base)) {
            break;
        }
        fits = fits && value <= (UINT64_MAX - static_cast<uint64_t>(digit)) / base;
        value = value * base + static_cast<uint64_t>(digit);
    }
    const bool wide_mark =
        line_.substr(end, 2) == "ll" && (end + 2 == line_.size() || !continues_name(line_[end + 2]));
    const bool glued = end < line_.size() && continues_name(line_[end]) && !wide_mark;
    Token token = take(TokenKind::Number, end - at_);
    token.number = value;
    if (end == first || glued || !fits) {
        token.kind = TokenKind::Bad;
        token.text = fits ? "malformed number" : "number does not fit 64 bits";
    }
    return token;
}

Token Lexer::quoted() {
    size_t end = at_ + 1;
    while (end < line_.size() && line_[end] != '"') {
        end += line_[end] == '\\' ? 2 : 1;
    }
    if (end >= line_.size()) {
        Token token = take(TokenKind::Bad, line_.size() - at_);
        token.text = "quote without an end";
        return token;
    }
    Token token = take(TokenKind::Quoted, end + 1 - at_);
    token.text = token.text.substr(1, token.text.size() - 2);
    return token;
}

Token Lexer::next() {
    skip_blanks();
    if (at_ >= line_.size() || at_comment(at_)) {
        return {TokenKind::End, {}, 0, static_cast<uint32_t>(at_ + 1)};
    }
    for (const std::string_view sign : kSigns) {
        if (line_.substr(at_).starts_with(sign)) {
            return take(TokenKind::Sign, sign.size());
        }
    }
    if (is_digit(line_[at_])) {
        return number();
    }
    if (line_[at_] == '"') {
        return quoted();
    }
    if (starts_name(line_[at_])) {
        size_t end = at_;
        while (end < line_.size() && continues_name(line_[end])) {
            ++end;
        }
        return take(TokenKind::Name, end - at_);
    }
    Token token = take(TokenKind::Bad, 1);
    token.text = "unexpected character";
    return token;
}

Token Lexer::word() {
    skip_blanks();
    size_t end = at_;
    while (end < line_.size() && line_[end] != ' ' && line_[end] != '\t' && line_[end] != '\r' &&
           !at_comment(end)) {
        ++end;
    }
    return take(end == at_ ? TokenKind::End : TokenKind::Name, end - at_);
}

Token Lexer::rest() {
    skip_blanks();
    size_t end = at_;
    size_t last = at_;
    for (; end < line_.size() && !at_comment(end); ++end) {
        if (line_[end] != ' ' && line_[end] != '\t' && line_[end] != '\r') {
            last = end + 1;
        }
    }
    Token token = take(last == at_ ? TokenKind::End : TokenKind::Name, last - at_);
    at_ = end;
    return token;
}

bool is_name(std::string_view text) {
    if (text.empty() || !starts_name(text.front())) {
        return false;
    }
    for (const char c : text) {
        if (!continues_name(c)) {
            return false;
        }
    }
    return true;
}

std::string quote_name(std::string_view name) {
    if (is_name(name)) {
        return std::string(name);
    }
    std::string out = "\"";
    for (const char c : name) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c >= ' ' && c <= '~') {
            out += c;
        } else {
            out += "\\x" + to_hex({reinterpret_cast<const uint8_t*>(&c), 1});
        }
    }
    return out + "\"";
}

std::optional<std::string> unquote(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            out += text[i];
            continue;
        }
        const char kind = i + 1 < text.size() ? text[i + 1] : '\0';
        const int high = kind == 'x' && i + 3 < text.size() ? hex_digit(text[i + 2]) : -1;
        const int low = high >= 0 ? hex_digit(text[i + 3]) : -1;
        if (kind == '"' || kind == '\\') {
            out += kind;
            i += 1;
        } else if (low >= 0 && high + low > 0) { // no NUL: names end up in C strings
            out += static_cast<char>(high * 16 + low);
            i += 3;
        } else {
            return std::nullopt;
        }
    }
    return out;
}

} // namespace mimicsh::assembler
