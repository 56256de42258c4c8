// SPDX-License-Identifier: MIT
// Parsing instructions: the inverse of object/disasm.cpp, and the spellings of llvm-objdump, bpftool and the
// verifier log where they differ. Here: operands, jumps, calls, and what instruction a line holds.
#include "object/asm_parser_parts.h"

#include <array>

#include "base/similar.h"
#include "object/asm_hints.h"

namespace mimicsh::assembler {

namespace {

constexpr std::array<OpSign, 11> kJumpSigns{{
    {"==", op::kJeq},
    {"!=", op::kJne},
    {">", op::kJgt},
    {">=", op::kJge},
    {"<", op::kJlt},
    {"<=", op::kJle},
    {"&", op::kJset},
    {"s>", op::kJsgt},
    {"s>=", op::kJsge},
    {"s<", op::kJslt},
    {"s<=", op::kJsle},
}};

} // namespace

std::optional<Reg> as_register(const Token& token) {
    if (token.kind != TokenKind::Name || token.text.size() < 2 || token.text.size() > 3 ||
        (token.text[0] != 'r' && token.text[0] != 'w')) {
        return std::nullopt;
    }
    uint32_t number = 0;
    for (const char c : token.text.substr(1)) {
        if (c < '0' || c > '9') {
            return std::nullopt;
        }
        number = number * 10 + static_cast<uint32_t>(c - '0');
    }
    if (number > 10 || (token.text[1] == '0' && token.text.size() > 2)) {
        return std::nullopt;
    }
    return Reg{static_cast<uint8_t>(number), token.text[0] == 'r'};
}

// -- Pieces --

bool Parser::fail(const Token& at, std::string text, std::string hint) {
    problem_ = {at.column, std::move(text), std::move(hint)};
    return false;
}

bool Parser::unexpected(const Token& at, std::string_view wanted, std::string hint) {
    const std::string expected = "expected " + std::string(wanted);
    switch (at.kind) {
    case TokenKind::End:
        return fail(at, expected + " before the end of the line");
    case TokenKind::Bad:
        return fail(at, std::string(at.text));
    default:
        return fail(at, expected + ", got '" + std::string(at.text.substr(0, 64)) + "'", std::move(hint));
    }
}

bool Parser::expect(std::string_view sign) {
    const Token token = lexer_.next();
    return token.is(sign) ||
           unexpected(token, "'" + std::string(sign) + "'",
                      token.kind == TokenKind::Name ? did_you_mean(token.text, {sign}) : "");
}

/// [+|-] digits within low..high.
bool Parser::number(int64_t low, int64_t high, int64_t& value, std::string_view what) {
    Token token = lexer_.next();
    const Token first = token;
    const bool negative = token.is("-");
    if (negative || token.is("+")) {
        token = lexer_.next();
    }
    if (token.kind != TokenKind::Number) {
        return unexpected(token, what);
    }
    const uint64_t limit = negative ? uint64_t{0} - static_cast<uint64_t>(low) : static_cast<uint64_t>(high);
    if ((negative && low > 0) || token.number > limit) {
        return fail(first, std::string(what) + " " + (negative ? "-" : "") + std::string(token.text) +
                               " is outside " + std::to_string(low) + " to " + std::to_string(high));
    }
    value = static_cast<int64_t>(negative ? uint64_t{0} - token.number : token.number);
    return true;
}

/// Immediates are sign-extended to 64 bits, so only 32-bit operations may write one as unsigned.
bool Parser::immediate(bool wide, int32_t& value) {
    int64_t parsed = 0;
    if (!number(kImmLow, wide ? kImmHigh : std::numeric_limits<uint32_t>::max(), parsed, "immediate")) {
        if (wide && problem_.text.find("outside") != std::string::npos) {
            problem_.hint = "immediates are signed 32-bit numbers; load a wider one with 'rN = VALUE ll'";
        }
        return false;
    }
    value = static_cast<int32_t>(static_cast<uint32_t>(parsed));
    return true;
}

bool Parser::reg(Reg& out) {
    const Token token = lexer_.next();
    const auto found = as_register(token);
    if (!found) {
        return unexpected(token, "register (r0 to r10, w0 to w10)",
                          token.kind == TokenKind::Name ? hint_for_register(token.text) : "");
    }
    out = *found;
    return true;
}

bool Parser::wide_reg(Reg& out, std::string_view why) {
    const Token at = lexer_.peek();
    if (!reg(out)) {
        return false;
    }
    return out.wide ||
           fail(at, std::string(why) + " is a 64-bit register", "write r" + std::to_string(out.number));
}

bool Parser::same_reg(Reg wanted) {
    const Token at = lexer_.peek();
    Reg found;
    if (!reg(found)) {
        return false;
    }
    return (found.number == wanted.number && found.wide == wanted.wide) ||
           fail(at, "register here is the one that is assigned, " + std::string(wanted.wide ? "r" : "w") +
                        std::to_string(wanted.number));
}

/// "u32 *)", the opening bracket has been read.
bool Parser::width(Width& out) {
    const Token token = lexer_.next();
    constexpr std::array<std::string_view, 4> kBits{"8", "16", "32", "64"};
    out = {};
    if (token.kind == TokenKind::Name && (token.text[0] == 'u' || token.text[0] == 's')) {
        for (size_t i = 0; i < kBits.size(); ++i) {
            if (token.text.substr(1) == kBits[i]) {
                out = {8 << i, token.text[0] == 's'};
            }
        }
    }
    if (out.bits == 0) {
        return unexpected(token, "type (u8 to u64, s8 to s32)", "memory is written *(u32 *)(r1 + 8)");
    }
    return expect("*") && expect(")");
}

/// "r1", "r1 + 8", "r1 - 8".
bool Parser::place(Place& out, int64_t low, int64_t high) {
    Reg base;
    if (!wide_reg(base, "address")) {
        return false;
    }
    out = {base.number, 0};
    const Token sign = lexer_.peek();
    if (!sign.is("+") && !sign.is("-")) {
        return true;
    }
    return number(low, high, out.off, "offset");
}

/// "(u64 *)(r1 + 8)".
bool Parser::typed_place(Width& type, Place& at) {
    return expect("(") && width(type) && expect("(") && place(at, kOffLow, kOffHigh) && expect(")");
}

/// The register of a load, store or atomic: w is allowed where no more than 32 bits move.
bool Parser::access_reg(const Width& type, Reg& out) {
    const Token at = lexer_.peek();
    if (!reg(out)) {
        return false;
    }
    return out.wide || type.bits <= 32 || fail(at, "64 bits do not fit w" + std::to_string(out.number));
}

bool Parser::name(std::string& out) {
    const Token token = lexer_.next();
    if (token.kind == TokenKind::Quoted) {
        auto text = unquote(token.text);
        if (!text || text->empty()) {
            return fail(token, "malformed quoted name");
        }
        out = std::move(*text);
        return true;
    }
    if (token.kind != TokenKind::Name) {
        return unexpected(token, "name");
    }
    out = token.text;
    return true;
}

void Parser::set(int code, uint8_t dst, uint8_t src, int64_t off, int64_t imm) {
    out_.insn.code = static_cast<uint8_t>(code);
    out_.insn.dst = dst & 0xf;
    out_.insn.src = src & 0xf;
    out_.insn.off = static_cast<int16_t>(off);
    out_.insn.imm = static_cast<int32_t>(imm);
}

// -- Jumps and calls --

bool Parser::jump_target(Reference kind) {
    Token token = lexer_.peek();
    out_.column = token.column;
    if (token.is("pc")) {
        Lexer ahead = lexer_;
        (void)ahead.next();
        if (ahead.peek().is("+") || ahead.peek().is("-")) {
            lexer_ = ahead;
            token = lexer_.peek();
        }
    }
    if (token.kind == TokenKind::Number) {
        return fail(token, "jump distance without a sign", "write 'goto +3' or the name of a label");
    }
    if (!token.is("+") && !token.is("-")) {
        out_.reference = kind;
        return name(out_.name);
    }
    int64_t by = 0;
    const bool is_long = kind == Reference::LongJump;
    if (!number(is_long ? kImmLow : kOffLow, is_long ? kImmHigh : kOffHigh, by, "jump distance")) {
        return false;
    }
    if (is_long) {
        out_.insn.imm = static_cast<int32_t>(by);
    } else {
        out_.insn.off = static_cast<int16_t>(by);
    }
    // llvm-objdump names the place it computed: "<main+0x18>".
    if (lexer_.peek().is("<")) {
        (void)lexer_.rest();
    }
    return true;
}

bool Parser::conditional() {
    Reg dst;
    const bool has_bracket = lexer_.peek().is("(");
    if (!reg(dst)) {
        problem_.hint =
            has_bracket ? "a condition stands without brackets: if r1 == 0 goto LABEL" : problem_.hint;
        return false;
    }
    const Token sign = lexer_.next();
    const OpSign* row = nullptr;
    for (const OpSign& candidate : kJumpSigns) {
        if (sign.is(candidate.sign)) {
            row = &candidate;
        }
    }
    if (row == nullptr) {
        return unexpected(sign, "comparison", hint_for_comparison(sign.text));
    }
    const int code = (dst.wide ? op::kJmp : op::kJmp32) | row->operation;
    const Token operand = lexer_.peek();
    if (const auto src = as_register(operand)) {
        (void)lexer_.next();
        if (src->wide != dst.wide) {
            return fail(operand, "both sides of a comparison are r or both are w");
        }
        set(code | op::kX, dst.number, src->number, 0, 0);
    } else {
        int32_t imm = 0;
        if (!immediate(dst.wide, imm)) {
            return false;
        }
        set(code | op::kK, dst.number, 0, 0, imm);
    }
    return expect("goto") && jump_target(Reference::Jump);
}

bool Parser::call() {
    const Token token = lexer_.peek();
    out_.column = token.column;
    set(op::kJmp | op::kCall, 0, op::kCallHelper, 0, 0);
    int64_t value = 0;
    if (token.kind == TokenKind::Number || token.is("-")) {
        if (!number(kImmLow, kImmHigh, value, "helper number")) {
            return false;
        }
        out_.insn.imm = static_cast<int32_t>(value);
        return true;
    }
    Lexer ahead = lexer_;
    (void)ahead.next();
    const Token after = ahead.peek();
    if (token.is("pc") && (after.is("+") || after.is("-"))) {
        lexer_ = ahead;
        if (!number(kImmLow, kImmHigh, value, "call distance")) {
            return false;
        }
        set(op::kJmp | op::kCall, 0, op::kCallLocal, 0, value);
        return true;
    }
    if (token.is("kfunc") && (after.kind == TokenKind::Number || after.is("-"))) {
        lexer_ = ahead;
        int64_t slot = 0;
        if (!number(kImmLow, kImmHigh, value, "BTF id") || !expect("fd") ||
            !number(kOffLow, kOffHigh, slot, "BTF slot")) {
            return false;
        }
        set(op::kJmp | op::kCall, 0, op::kCallKfunc, slot, value);
        return true;
    }
    out_.reference = Reference::Call;
    return name(out_.name);
}

// -- Statements --

bool Parser::assignment(const Token& first) {
    const auto dst = as_register(first);
    if (!dst) {
        const bool looks_like_one = first.text.size() > 1 && (first.text[0] == 'r' || first.text[0] == 'w') &&
                                    first.text[1] >= '0' && first.text[1] <= '9';
        const std::string hint = hint_for_statement(first.text);
        return looks_like_one
                   ? fail(first, "no register '" + std::string(first.text.substr(0, 64)) + "'", hint)
                   : unexpected(first, "instruction", hint);
    }
    const Token sign = lexer_.next();
    return sign.is("=") ? move(*dst) : alu(*dst, sign);
}

bool Parser::keyword(const Token& word) {
    if (word.is("exit")) {
        set(op::kJmp | op::kExit, 0, 0, 0, 0);
        return true;
    }
    if (word.is("goto")) {
        set(op::kJmp | op::kJa, 0, 0, 0, 0);
        return jump_target(Reference::Jump);
    }
    if (word.is("gotol")) {
        set(op::kJmp32 | op::kJa, 0, 0, 0, 0);
        return jump_target(Reference::LongJump);
    }
    if (word.is("may_goto")) {
        set(op::kJmp | op::kJcond, 0, 0, 0, 0);
        return jump_target(Reference::Jump);
    }
    if (word.is("if")) {
        return conditional();
    }
    if (word.is("call")) {
        return call();
    }
    if (word.is("lock")) {
        return lock();
    }
    if (word.is("store_release")) {
        return store_release();
    }
    Reg target;
    const bool is_call = word.is("callx");
    if (!is_call && !word.is("gotox")) {
        return assignment(word);
    }
    if (!wide_reg(target, "address")) {
        return false;
    }
    set(op::kJmp | (is_call ? op::kCall : op::kJa) | op::kX, target.number, 0, 0, 0);
    return true;
}

bool Parser::statement() {
    const Token first = lexer_.next();
    out_.column = first.column;
    const bool done = first.is("*")                   ? store()
                      : first.kind == TokenKind::Name ? keyword(first)
                                                      : unexpected(first, "instruction");
    if (!done) {
        return false;
    }
    const Token after = lexer_.next();
    if (after.kind != TokenKind::End) {
        return unexpected(after, "end of the line", hint_for_rest(after.text));
    }
    return classify(out_.insn) != nullptr || fail(first, "there is no such instruction");
}

std::optional<ParsedInsn> Parser::run() {
    return statement() ? std::optional(std::move(out_)) : std::nullopt;
}

std::optional<ParsedInsn> parse_instruction(Lexer& lexer, Problem& problem) {
    return Parser(lexer, problem).run();
}

} // namespace mimicsh::assembler
