// SPDX-License-Identifier: MIT
// Parsing what is assigned to a register.
#include <array>

#include "object/asm_hints.h"
#include "object/asm_parser_parts.h"

namespace mimicsh::assembler {

namespace {

constexpr std::array<OpSign, 13> kAluSigns{{
    {"+=", op::kAdd},
    {"-=", op::kSub},
    {"*=", op::kMul},
    {"/=", op::kDiv},
    {"%=", op::kMod},
    {"s/=", op::kDiv, 1},
    {"s%=", op::kMod, 1},
    {"|=", op::kOr},
    {"&=", op::kAnd},
    {"^=", op::kXor},
    {"<<=", op::kLsh},
    {">>=", op::kRsh},
    {"s>>=", op::kArsh},
}};

constexpr std::array<Swap, 9> kSwaps{{
    {"le16", op::kAlu | op::kEnd | op::kK, 16},
    {"le32", op::kAlu | op::kEnd | op::kK, 32},
    {"le64", op::kAlu | op::kEnd | op::kK, 64},
    {"be16", op::kAlu | op::kEnd | op::kX, 16},
    {"be32", op::kAlu | op::kEnd | op::kX, 32},
    {"be64", op::kAlu | op::kEnd | op::kX, 64},
    {"bswap16", op::kAlu64 | op::kEnd | op::kK, 16},
    {"bswap32", op::kAlu64 | op::kEnd | op::kK, 32},
    {"bswap64", op::kAlu64 | op::kEnd | op::kK, 64},
}};

constexpr auto kSwapNames = [] {
    std::array<std::string_view, kSwaps.size()> names{};
    for (size_t i = 0; i < kSwaps.size(); ++i) {
        names[i] = kSwaps[i].name;
    }
    return names;
}();

} // namespace

std::span<const std::string_view> swap_names() {
    return kSwapNames;
}

// -- Assignments --

bool Parser::alu(Reg dst, const Token& sign) {
    for (const OpSign& row : kAluSigns) {
        if (!sign.is(row.sign)) {
            continue;
        }
        const int code = (dst.wide ? op::kAlu64 : op::kAlu) | row.operation;
        const Token operand = lexer_.peek();
        if (const auto src = as_register(operand)) {
            (void)lexer_.next();
            if (src->wide != dst.wide) {
                return fail(operand, "both operands are r or both are w");
            }
            set(code | op::kX, dst.number, src->number, row.off, 0);
            return true;
        }
        int32_t imm = 0;
        if (!immediate(dst.wide, imm)) {
            return false;
        }
        set(code | op::kK, dst.number, 0, row.off, imm);
        return true;
    }
    return unexpected(sign, "'=' or an operator such as '+='",
                      sign.is("==")                  ? "one '=' assigns"
                      : sign.is("+") || sign.is("-") ? "write 'r1 += 1'"
                                                     : "");
}

/// A 32-bit immediate, or 64 bits when "ll" follows.
bool Parser::move_number(Reg dst) {
    Lexer ahead = lexer_;
    Token token = ahead.next();
    const bool negative = token.is("-");
    if (negative || token.is("+")) {
        token = ahead.next();
    }
    const Token mark = ahead.next();
    if (token.kind != TokenKind::Number || !mark.is("ll")) {
        int32_t imm = 0;
        if (!immediate(dst.wide, imm)) {
            return false;
        }
        set((dst.wide ? op::kAlu64 : op::kAlu) | op::kMov | op::kK, dst.number, 0, 0, imm);
        return true;
    }
    if (!dst.wide) {
        return fail(mark, "64 bits do not fit w" + std::to_string(dst.number));
    }
    if (negative && token.number > uint64_t{1} << 63) {
        return fail(token, "number does not fit 64 bits");
    }
    lexer_ = ahead;
    const uint64_t value = negative ? uint64_t{0} - token.number : token.number;
    set(op::kLddw, dst.number, 0, 0, static_cast<int32_t>(static_cast<uint32_t>(value)));
    out_.second.imm = static_cast<int32_t>(static_cast<uint32_t>(value >> 32));
    return true;
}

/// r1 = (s8)r2
bool Parser::cast_move(Reg dst) {
    (void)lexer_.next();
    const Token type = lexer_.next();
    const int bits = type.is("s8") ? 8 : type.is("s16") ? 16 : type.is("s32") ? 32 : 0;
    if (bits == 0 || (bits == 32 && !dst.wide)) {
        return unexpected(type, dst.wide ? "s8, s16 or s32" : "s8 or s16",
                          lexer_.peek().is("*") ? "a load begins with a star: *(u32 *)(r1 + 8)" : "");
    }
    if (!expect(")")) {
        return false;
    }
    const Token at = lexer_.peek();
    Reg src;
    if (!reg(src)) {
        return false;
    }
    if (src.wide != dst.wide) {
        return fail(at, "both operands are r or both are w");
    }
    set((dst.wide ? op::kAlu64 : op::kAlu) | op::kMov | op::kX, dst.number, src.number, bits, 0);
    return true;
}

/// *(u32 *)(r1 + 8), *(u32 *)skb[14]; the star has been read.
bool Parser::load(Reg dst) {
    Width type;
    const Token first = lexer_.peek();
    if (!expect("(") || !width(type)) {
        return false;
    }
    if ((type.bits == 64 && (type.is_signed || !dst.wide)) || (type.is_signed && !dst.wide)) {
        return fail(first, type.is_signed ? "loads with sign go to r registers, from 8, 16 or 32 bits"
                                          : "64 bits do not fit w" + std::to_string(dst.number));
    }
    if (lexer_.peek().is("skb")) {
        return load_skb(dst, type);
    }
    Place at;
    if (!expect("(") || !place(at, kOffLow, kOffHigh) || !expect(")")) {
        return false;
    }
    set(op::kLdx | (type.is_signed ? op::kMemSx : op::kMem) | type.size_code(), dst.number, at.base, at.off,
        0);
    return true;
}

bool Parser::load_skb(Reg dst, const Width& type) {
    const Token first = lexer_.next();
    if (dst.number != 0 || type.is_signed || type.bits == 64) {
        return fail(first, "loads through skb go to r0, from u8, u16 or u32");
    }
    if (!expect("[")) {
        return false;
    }
    if (as_register(lexer_.peek())) {
        Place at;
        if (!place(at, kImmLow, kImmHigh)) {
            return false;
        }
        set(op::kLd | op::kInd | type.size_code(), 0, at.base, 0, at.off);
    } else {
        int32_t imm = 0;
        if (!immediate(false, imm)) {
            return false;
        }
        set(op::kLd | op::kAbs | type.size_code(), 0, 0, 0, imm);
    }
    return expect("]");
}

bool Parser::swap(Reg dst, const Swap& row) {
    set(row.code, dst.number, 0, 0, row.width);
    const Token at = lexer_.peek();
    return dst.wide ? same_reg(dst) : fail(at, "byte swaps work on r registers");
}

bool Parser::addr_cast(Reg dst) {
    Reg src;
    int64_t to = 0, from = 0;
    if (!expect("(") || !wide_reg(src, "address") || !expect(",") ||
        !number(0, 0xffff, to, "address space") || !expect(",") ||
        !number(0, 0xffff, from, "address space") || !expect(")")) {
        return false;
    }
    set(op::kAlu64 | op::kMov | op::kX, dst.number, src.number, 1, to << 16 | from);
    return true;
}

/// "[0] + 8" behind a map, if it is there.
bool Parser::value_offset(bool& present, int64_t low, int64_t high, int64_t& value) {
    present = lexer_.peek().is("[");
    int64_t zero = 0;
    if (!present) {
        return true;
    }
    if (!expect("[") || !number(0, 0, zero, "element") || !expect("]")) {
        return false;
    }
    const Token sign = lexer_.peek();
    return (!sign.is("+") && !sign.is("-")) || number(low, high, value, "offset");
}

/// map[name], map[name][0] + 8
bool Parser::map(Reg dst) {
    bool is_value = false;
    int64_t offset = 0;
    if (!expect("[")) {
        return false;
    }
    out_.column = lexer_.peek().column;
    if (!name(out_.name) || !expect("]") ||
        !value_offset(is_value, 0, std::numeric_limits<uint32_t>::max(), offset)) {
        return false;
    }
    set(op::kLddw, dst.number, is_value ? op::kMapValue : op::kMapFd, 0, 0);
    out_.reference = is_value ? Reference::MapValue : Reference::Map;
    out_.offset = static_cast<uint32_t>(offset);
    return true;
}

/// map_fd[3], map_fd[3][0] + 8, map_idx[0]: what names a descriptor, not a map of the object.
bool Parser::map_number(Reg dst, bool is_index) {
    bool is_value = false;
    int64_t which = 0, offset = 0;
    if (!expect("[") || !number(kImmLow, kImmHigh, which, "map number") || !expect("]") ||
        !value_offset(is_value, kImmLow, kImmHigh, offset)) {
        return false;
    }
    const uint8_t plain = is_index ? op::kMapIdx : op::kMapFd;
    const uint8_t value = is_index ? op::kMapIdxValue : op::kMapValue;
    set(op::kLddw, dst.number, is_value ? value : plain, 0, which);
    out_.second.imm = static_cast<int32_t>(offset);
    return true;
}

/// btf_id[77] fd 0
bool Parser::btf_id(Reg dst) {
    int64_t id = 0, fd = 0;
    if (!expect("[") || !number(kImmLow, kImmHigh, id, "BTF id") || !expect("]") || !expect("fd") ||
        !number(kImmLow, kImmHigh, fd, "BTF descriptor")) {
        return false;
    }
    set(op::kLddw, dst.number, op::kBtfId, 0, id);
    out_.second.imm = static_cast<int32_t>(fd);
    return true;
}

bool Parser::function_address(Reg dst) {
    const Token token = lexer_.peek();
    out_.column = token.column;
    set(op::kLddw, dst.number, op::kFunc, 0, 0);
    if (!token.is("+") && !token.is("-")) {
        out_.reference = Reference::Function;
        return name(out_.name);
    }
    int64_t by = 0;
    if (!number(kImmLow, kImmHigh, by, "distance")) {
        return false;
    }
    out_.insn.imm = static_cast<int32_t>(by);
    return true;
}

bool Parser::special(Reg dst, const Token& word) {
    for (const Swap& row : kSwaps) {
        if (word.is(row.name)) {
            return swap(dst, row);
        }
    }
    if (const AtomicName* row = find_atomic(word)) {
        return atomic(dst, *row);
    }
    if (word.is("load_acquire")) {
        return load_acquire(dst);
    }
    const bool known = word.is("addr_space_cast") || word.is("map") || word.is("map_fd") ||
                       word.is("map_idx") || word.is("btf_id") || word.is("func") || word.is("extern");
    if (!known) {
        return unexpected(word, "register, number, memory access or map[name]", hint_for_value(word.text));
    }
    if (!dst.wide) {
        return fail(word, std::string(word.text) + " gives 64 bits, which do not fit w" +
                              std::to_string(dst.number));
    }
    if (word.is("extern")) {
        set(op::kLddw, dst.number, 0, 0, 0);
        out_.reference = Reference::Extern;
        out_.column = lexer_.peek().column;
        return name(out_.name);
    }
    return word.is("addr_space_cast") ? addr_cast(dst)
           : word.is("map")           ? map(dst)
           : word.is("map_fd")        ? map_number(dst, false)
           : word.is("map_idx")       ? map_number(dst, true)
           : word.is("btf_id")        ? btf_id(dst)
                                      : function_address(dst);
}

/// What stands behind "rN =".
bool Parser::move(Reg dst) {
    const Token token = lexer_.peek();
    if (token.is("(")) {
        return cast_move(dst);
    }
    if (token.is("*")) {
        (void)lexer_.next();
        return load(dst);
    }
    if (token.kind == TokenKind::Number || token.is("+")) {
        return move_number(dst);
    }
    const uint8_t cls = dst.wide ? op::kAlu64 : op::kAlu;
    if (token.is("-")) {
        Lexer ahead = lexer_;
        (void)ahead.next();
        if (ahead.peek().kind == TokenKind::Number) {
            return move_number(dst);
        }
        lexer_ = ahead;
        set(cls | op::kNeg, dst.number, 0, 0, 0);
        return same_reg(dst);
    }
    (void)lexer_.next();
    if (const auto src = as_register(token)) {
        if (src->wide != dst.wide) {
            return fail(token, "both operands are r or both are w", "'w1 = w2' clears the upper half of r1");
        }
        set(cls | op::kMov | op::kX, dst.number, src->number, 0, 0);
        return true;
    }
    return special(dst, token);
}

} // namespace mimicsh::assembler
