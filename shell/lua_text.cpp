// SPDX-License-Identifier: MIT
// Lua as it is typed.
#include "shell/lua_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>

namespace mimicsh::shell {

namespace {

using Kind = LuaToken::Kind;

constexpr std::array<std::string_view, 22> kKeywords{
    "and", "break", "do",  "else", "elseif", "end",    "false",  "for",  "function", "goto",  "if",
    "in",  "local", "nil", "not",  "or",     "repeat", "return", "then", "true",     "until", "while"};

/// Signs of more than one character, the longest first.
constexpr std::array<std::string_view, 7> kLongSigns{"...", "..", "==", "~=", "<=", ">=", "::"};

bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_line_break(char c) {
    return c == '\n' || c == '\r';
}

bool is_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}

    std::vector<LuaToken> run() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (is_space(c)) {
                ++at_;
                continue;
            }
            LuaToken token{Kind::Sign, at_, 0};
            read(token, c);
            token.end = at_;
            tokens_.push_back(token);
        }
        return std::move(tokens_);
    }

  private:
    [[nodiscard]] char peek(size_t ahead) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }

    void read(LuaToken& token, char c) {
        if (c == '-' && peek(1) == '-') {
            token.kind = Kind::Comment;
            at_ += 2;
            if (!long_bracket(token)) {
                at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
            }
        } else if (c == '"' || c == '\'') {
            token.kind = Kind::String;
            quoted(token, c);
        } else if (c == '[' && (peek(1) == '[' || peek(1) == '=')) {
            token.kind = Kind::String;
            if (!long_bracket(token)) {
                token.kind = Kind::Sign;
                ++at_;
            }
        } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
            token.kind = Kind::Number;
            number();
        } else if (is_name(c)) {
            while (at_ < text_.size() && is_name(text_[at_])) {
                ++at_;
            }
            const std::string_view word = text_.substr(token.begin, at_ - token.begin);
            token.kind = std::ranges::find(kKeywords, word) != kKeywords.end() ? Kind::Keyword : Kind::Name;
        } else {
            const auto* sign = std::ranges::find_if(
                kLongSigns, [this](std::string_view known) { return text_.substr(at_).starts_with(known); });
            at_ += sign != kLongSigns.end() ? sign->size() : 1;
        }
    }

    /// [[...]] and [==[...]==] from here; false when this is none.
    bool long_bracket(LuaToken& token) {
        if (peek(0) != '[') {
            return false;
        }
        size_t level = 0;
        while (peek(1 + level) == '=') {
            ++level;
        }
        if (peek(1 + level) != '[') {
            return false;
        }
        const std::string close = "]" + std::string(level, '=') + "]";
        const size_t end = text_.find(close, at_ + level + 2);
        token.is_open = end == std::string_view::npos;
        at_ = token.is_open ? text_.size() : end + close.size();
        return true;
    }

    void quoted(LuaToken& token, char quote) {
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] == '\\') {
                ++at_;
                // \z goes on behind the blanks; a line break in DOS form is one.
                const bool skips = peek(0) == 'z';
                at_ += peek(0) == '\r' && peek(1) == '\n' ? 1 : 0;
                while (skips && is_space(peek(1))) {
                    ++at_;
                }
            } else if (text_[at_] == quote) {
                ++at_;
                return;
            } else if (is_line_break(text_[at_])) {
                break;
            }
        }
        at_ = std::min(at_, text_.size());
        token.is_open = true;
    }

    void number() {
        const bool is_hex = peek(0) == '0' && (peek(1) == 'x' || peek(1) == 'X');
        while (at_ < text_.size()) {
            const char c = text_[at_];
            const char before = at_ > 0 ? text_[at_ - 1] : '\0';
            const bool signs_exponent = (c == '-' || c == '+') && (before | ' ') == (is_hex ? 'p' : 'e');
            if (!is_name(c) && c != '.' && !signs_exponent) {
                return;
            }
            ++at_;
        }
    }

    std::string_view text_;
    size_t at_ = 0;
    std::vector<LuaToken> tokens_;
};

class Colours {
  public:
    Colours(std::string_view text, const std::function<bool(std::string_view)>& is_global)
        : text_(text), is_global_(is_global), tokens_(lua_tokens(text)) {
        find_locals();
    }

    std::vector<Span> run(size_t cursor) {
        std::vector<Span> spans;
        const auto match = matching(cursor);
        for (size_t i = 0; i < tokens_.size(); ++i) {
            const LuaToken& token = tokens_[i];
            const bool is_match = match && (i == match->first || i == match->second);
            const Style style = is_match ? Style::Match : style_of(i);
            if (style != Style::Plain) {
                spans.push_back({token.begin, token.end, style});
            }
        }
        return spans;
    }

  private:
    [[nodiscard]] std::string_view word(size_t i) const {
        return i < tokens_.size() ? text_.substr(tokens_[i].begin, tokens_[i].end - tokens_[i].begin)
                                  : std::string_view();
    }

    /// Names that the text itself declares, wherever they hold.
    void find_locals() {
        for (size_t i = 0; i < tokens_.size(); ++i) {
            const std::string_view here = word(i);
            if (here == "local" || here == "for") {
                size_t at = i + 1 + (word(i + 1) == "function" ? 1 : 0);
                for (; at < tokens_.size() && (tokens_[at].kind == Kind::Name || word(at) == ","); ++at) {
                    locals_.insert(word(at));
                }
            } else if (here == "function") {
                size_t at = i + 1;
                while (at < tokens_.size() && word(at) != "(") {
                    locals_.insert(word(at) == ":" ? "self" : word(at));
                    ++at;
                }
                for (++at; at < tokens_.size() && word(at) != ")"; ++at) {
                    locals_.insert(word(at));
                }
            }
        }
    }

    [[nodiscard]] Style style_of(size_t i) const {
        switch (tokens_[i].kind) {
        case Kind::Keyword:
            return Style::Keyword;
        case Kind::String:
            return Style::String;
        case Kind::Number:
            return Style::Number;
        case Kind::Comment:
            return Style::Comment;
        case Kind::Name: {
            const std::string_view before = i > 0 ? word(i - 1) : std::string_view();
            const bool is_field = before == "." || before == ":" || word(i + 1) == "=";
            const bool is_label = before == "goto" || before == "::";
            return !is_field && !is_label && !locals_.contains(word(i)) && !is_global_(word(i))
                       ? Style::Unknown
                       : Style::Plain;
        }
        default:
            return Style::Plain;
        }
    }

    /// The bracket at the cursor, or in front of it, and its partner.
    [[nodiscard]] std::optional<std::pair<size_t, size_t>> matching(size_t cursor) const {
        constexpr std::string_view kOpen = "([{";
        constexpr std::string_view kClose = ")]}";
        std::vector<size_t> open;
        std::optional<std::pair<size_t, size_t>> behind;
        for (size_t i = 0; i < tokens_.size(); ++i) {
            if (tokens_[i].kind != Kind::Sign || tokens_[i].end - tokens_[i].begin != 1) {
                continue;
            }
            const char sign = text_[tokens_[i].begin];
            if (kOpen.find(sign) != std::string_view::npos) {
                open.push_back(i);
            } else if (const size_t which = kClose.find(sign); which != std::string_view::npos) {
                if (open.empty() || text_[tokens_[open.back()].begin] != kOpen[which]) {
                    return std::nullopt;
                }
                const std::pair pair{open.back(), i};
                open.pop_back();
                const size_t begin = tokens_[pair.first].begin;
                const size_t end = tokens_[pair.second].begin;
                if (begin == cursor || end == cursor) {
                    return pair;
                }
                if (begin + 1 == cursor || end + 1 == cursor) {
                    behind = pair;
                }
            }
        }
        return behind;
    }

    std::string_view text_;
    const std::function<bool(std::string_view)>& is_global_;
    std::vector<LuaToken> tokens_;
    std::set<std::string_view> locals_;
};

} // namespace

std::vector<LuaToken> lua_tokens(std::string_view text) {
    return Reader(text).run();
}

std::vector<Span> lua_colours(std::string_view text, size_t cursor,
                              const std::function<bool(std::string_view)>& is_global) {
    return Colours(text, is_global).run(cursor);
}

int OpenText::depth_of(std::string_view word, LuaToken::Kind kind) {
    constexpr std::array<std::string_view, 7> kOpen{"(", "[", "{", "do", "function", "if", "repeat"};
    constexpr std::array<std::string_view, 5> kClose{")", "]", "}", "end", "until"};
    if (kind != Kind::Sign && kind != Kind::Keyword) {
        return 0;
    }
    return std::ranges::find(kOpen, word) != kOpen.end()     ? 1
           : std::ranges::find(kClose, word) != kClose.end() ? -1
                                                             : 0;
}

bool OpenText::is_open(std::string_view text) {
    if (!text.starts_with(seen_)) {
        seen_.clear();
        depth_ = 0;
    }
    const std::string_view rest = text.substr(seen_.size());
    const auto tokens = lua_tokens(rest);
    // The last line break that no token goes over.
    size_t lines = rest.rfind('\n') + 1; // npos + 1 is 0
    for (size_t i = tokens.size(); i > 0 && tokens[i - 1].end > lines && lines > 0; --i) {
        if (tokens[i - 1].begin < lines) {
            lines = rest.substr(0, tokens[i - 1].begin).rfind('\n') + 1;
        }
    }
    int depth = depth_;
    for (const LuaToken& token : tokens) {
        depth += depth_of(rest.substr(token.begin, token.end - token.begin), token.kind);
        if (token.end <= lines) {
            depth_ = depth;
        }
    }
    seen_ += rest.substr(0, lines);
    const bool is_long = !tokens.empty() && tokens.back().is_open &&
                         (rest[tokens.back().begin] == '[' || rest[tokens.back().begin] == '-');
    return depth > 0 || is_long;
}

} // namespace mimicsh::shell
