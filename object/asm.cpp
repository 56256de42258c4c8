// SPDX-License-Identifier: MIT
// The assembler's reading of text: lines, labels, instructions. Directives are in asm_directives.cpp, the
// object is made in asm_build.cpp.
#include "object/asm.h"

#include <algorithm>
#include <cerrno>

#include "base/excerpt.h"
#include "object/asm_parts.h"

namespace mimicsh {

namespace assembler {

namespace {

constexpr size_t kMaxText = size_t{4} << 20;

/// Control characters would make a terminal do things.
std::string printable(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        c = static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? ' ' : c;
    }
    return out;
}

/// Code in front of the first .section belongs to the type that the caller chose.
Status open_default(Source& source, const Position& at) {
    return source.scopes.empty() ? open_scope(source, source.options.type, at) : Status();
}

class Reader {
  public:
    Reader(std::string_view text, const AsmOptions& options)
        : text_(text), source_{options, {}, {}, {}, {}} {}
    Expected<Object> run();

  private:
    [[nodiscard]] Error bad(const Position& at, const std::string& text, const std::string& hint = "") const {
        return error_at(source_.options, at, text, hint);
    }
    Status check_options() const;
    Status line(Position at);
    Status add_label(const std::string& name, const Position& at);

    std::string_view text_;
    Source source_;
};

Status Reader::check_options() const {
    const AsmOptions& options = source_.options;
    if (text_.size() > kMaxText) {
        return Error{EFBIG, "assemble", options.origin + ": text larger than 4 MiB", "", ""};
    }
    for (const MapDef& map : options.maps) {
        if (map.key_btf_id != 0 || map.value_btf_id != 0) {
            return Error{EINVAL, "assemble",
                         options.origin + ": map '" + map.name + "' refers to BTF of another object", "", ""};
        }
    }
    return {};
}

Status Reader::add_label(const std::string& name, const Position& at) {
    if (auto ok = open_default(source_, at); !ok) {
        return ok;
    }
    Scope& scope = source_.scopes.back();
    const auto [known, is_new] = scope.labels.try_emplace(name, Label{scope.slots, at, false});
    if (!is_new) {
        const uint32_t line = known->second.at.line + source_.options.first_line - 1;
        return bad(at,
                   "label '" + printable(name) + "' is defined twice, first on line " + std::to_string(line));
    }
    return {};
}

/// [number:] [label:]... [instruction | directive] [comment]
Status Reader::line(Position at) {
    Lexer lexer(at.text);
    Lexer ahead = lexer;
    // Slot numbers of a listing, and the opcode that bpftool puts behind them: "12: (bf) r6 = r1".
    if (ahead.next().kind == TokenKind::Number && ahead.next().is(":")) {
        lexer = ahead;
        const std::string_view word = ahead.word().text;
        if (word.size() == 4 && word.front() == '(' && word.back() == ')') {
            lexer = ahead;
        }
    }
    while (true) {
        const Token first = lexer.peek();
        at.column = first.column;
        if (first.kind == TokenKind::End) {
            return {};
        }
        ahead = lexer;
        (void)ahead.next();
        const bool is_word = first.kind == TokenKind::Name || first.kind == TokenKind::Quoted;
        if (!is_word || !ahead.next().is(":")) {
            break;
        }
        const auto name = first.kind == TokenKind::Name ? std::string(first.text) : unquote(first.text);
        if (!name || name->empty()) {
            return bad(at, "malformed quoted name");
        }
        if (auto ok = add_label(*name, at); !ok) {
            return ok;
        }
        lexer = ahead;
    }
    const Token first = lexer.peek();
    if (first.kind == TokenKind::Name && first.text.front() == '.') {
        (void)lexer.next();
        return read_directive(source_, first, lexer, at);
    }
    Problem problem;
    auto parsed = parse_instruction(lexer, problem);
    if (!parsed) {
        at.column = problem.column;
        return bad(at, problem.text, problem.hint);
    }
    return add_statement(source_, std::move(*parsed), at);
}

Expected<Object> Reader::run() {
    if (auto ok = check_options(); !ok) {
        return ok.error();
    }
    Object& object = source_.object;
    object.name = source_.options.name;
    object.origin = source_.options.origin;
    object.license = source_.options.license;
    object.maps = source_.options.maps;
    Position at;
    for (size_t start = 0; start < text_.size();) {
        const size_t end = std::min(text_.find('\n', start), text_.size());
        at = {at.line + 1, 1, text_.substr(start, end - start)};
        if (const size_t zero = at.text.find('\0'); zero != std::string_view::npos) {
            at.column = static_cast<uint32_t>(zero + 1);
            return bad(at, "zero byte in the text");
        }
        if (auto ok = line(at); !ok) {
            return ok.error();
        }
        start = end + 1;
    }
    const bool has_code =
        std::ranges::any_of(source_.scopes, [](const Scope& scope) { return scope.slots != 0; });
    if (!has_code && object.maps.empty()) {
        return bad({1, 1, line_at(text_, 0)}, "no instruction in the text", "docs/asm.md has the language");
    }
    return build(std::move(source_));
}

} // namespace

Error error_at(const AsmOptions& options, const Position& at, const std::string& text,
               const std::string& hint, int code) {
    const uint64_t line = uint64_t{at.line} + options.first_line - 1;
    const size_t column = std::min<size_t>(at.column, at.text.size() + 1);
    const size_t before = at.line == 1 ? options.first_column - 1 : 0;
    return Error{code, "assemble",
                 options.origin + ":" + std::to_string(line) + ":" + std::to_string(column + before) + ": " +
                     printable(text),
                 hint, excerpt(line, at.text, column)};
}

Status add_statement(Source& source, ParsedInsn parsed, const Position& at) {
    if (auto ok = open_default(source, at); !ok) {
        return ok;
    }
    Scope& scope = source.scopes.back();
    const uint32_t slots = slot_count(parsed.insn);
    if (slots > abi::kMaxInsns - scope.slots) {
        return error_at(source.options, at, "more than " + std::to_string(abi::kMaxInsns) + " instructions",
                        "", E2BIG);
    }
    Position place = at;
    place.column = parsed.column;
    scope.statements.push_back({scope.slots, place, std::move(parsed)});
    scope.slots += slots;
    return {};
}

} // namespace assembler

Expected<Object> assemble(std::string_view text, const AsmOptions& options) {
    return assembler::Reader(text, options).run();
}

Expected<std::pair<Insn, Insn>> assemble_instruction(std::string_view text) {
    assembler::Lexer lexer(text);
    assembler::Problem problem;
    const auto parsed = assembler::parse_instruction(lexer, problem);
    if (!parsed) {
        return assembler::error_at({}, {1, problem.column, text}, problem.text, problem.hint);
    }
    if (parsed->reference == assembler::Reference::Call && parsed->name.starts_with("bpf_")) {
        if (const auto id = abi::helper_id(parsed->name)) {
            return std::pair{Insn{op::kJmp | op::kCall, 0, op::kCallHelper, 0, static_cast<int32_t>(*id)},
                             Insn{}};
        }
    }
    if (parsed->reference != assembler::Reference::None) {
        return assembler::error_at({}, {1, parsed->column, text},
                                   "names something that a lone instruction cannot know");
    }
    return std::pair{parsed->insn, parsed->second};
}

} // namespace mimicsh
