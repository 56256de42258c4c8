// SPDX-License-Identifier: MIT
// Parsing stores and atomic operations.
#include <array>

#include "object/asm_parser_parts.h"

namespace mimicsh::assembler {

namespace {

constexpr int32_t kFetchAdd = op::kAdd | op::kFetch, kFetchOr = op::kOr | op::kFetch,
                  kFetchAnd = op::kAnd | op::kFetch, kFetchXor = op::kXor | op::kFetch;

constexpr std::array<AtomicName, 18> kAtomics{{
    {"atomic_fetch_add", kFetchAdd, 0, true},
    {"atomic_fetch_or", kFetchOr, 0, true},
    {"atomic_fetch_and", kFetchAnd, 0, true},
    {"atomic_fetch_xor", kFetchXor, 0, true},
    {"xchg_64", op::kXchg, 64, false},
    {"xchg32_32", op::kXchg, 32, false},
    {"cmpxchg_64", op::kCmpxchg, 64, false},
    {"cmpxchg32_32", op::kCmpxchg, 32, false},
    // The kernel's spellings.
    {"atomic64_fetch_add", kFetchAdd, 64, true},
    {"atomic64_fetch_or", kFetchOr, 64, true},
    {"atomic64_fetch_and", kFetchAnd, 64, true},
    {"atomic64_fetch_xor", kFetchXor, 64, true},
    {"atomic_xchg", op::kXchg, 32, true},
    {"atomic64_xchg", op::kXchg, 64, true},
    {"atomic_cmpxchg", op::kCmpxchg, 32, true},
    {"atomic64_cmpxchg", op::kCmpxchg, 64, true},
    {"xchg_32", op::kXchg, 32, false},
    {"cmpxchg_32", op::kCmpxchg, 32, false},
}};

constexpr auto kAtomicNames = [] {
    std::array<std::string_view, kAtomics.size()> names{};
    for (size_t i = 0; i < kAtomics.size(); ++i) {
        names[i] = kAtomics[i].name;
    }
    return names;
}();

} // namespace

std::span<const std::string_view> atomic_names() {
    return kAtomicNames;
}

const AtomicName* find_atomic(const Token& word) {
    for (const AtomicName& row : kAtomics) {
        if (word.is(row.name)) {
            return &row;
        }
    }
    return nullptr;
}

// -- Stores and atomics --

/// *(u32 *)(r1 + 8) = r2 or a number; the star has been read.
bool Parser::store() {
    Width type;
    Place at;
    const Token first = lexer_.peek();
    if (!typed_place(type, at)) {
        return false;
    }
    if (type.is_signed) {
        return fail(first, "stores have no sign", "write u" + std::to_string(type.bits));
    }
    if (!expect("=")) {
        return false;
    }
    if (lexer_.peek().kind == TokenKind::Name) {
        Reg src;
        if (!access_reg(type, src)) {
            return false;
        }
        set(op::kStx | op::kMem | type.size_code(), at.base, src.number, at.off, 0);
        return true;
    }
    int32_t imm = 0;
    if (!immediate(type.bits == 64, imm)) {
        return false;
    }
    set(op::kSt | op::kMem | type.size_code(), at.base, 0, at.off, imm);
    return true;
}

/// lock *(u64 *)(r1 + 0) += r2
bool Parser::lock() {
    Width type;
    Place at;
    Reg src;
    const Token first = lexer_.peek();
    if (!expect("*") || !typed_place(type, at)) {
        return false;
    }
    const Token sign = lexer_.next();
    constexpr std::array<OpSign, 4> kOps{
        {{"+=", op::kAdd}, {"|=", op::kOr}, {"&=", op::kAnd}, {"^=", op::kXor}}};
    for (const OpSign& row : kOps) {
        if (sign.is(row.sign)) {
            if (type.is_signed || type.bits < 32) {
                return fail(first, "atomic operations work on u32 and u64");
            }
            if (!access_reg(type, src)) {
                return false;
            }
            set(op::kStx | op::kAtomic | type.size_code(), at.base, src.number, at.off, row.operation);
            return true;
        }
    }
    return unexpected(sign, "'+=', '|=', '&=' or '^='");
}

/// rN = atomic_fetch_add((u64 *)(r1 + 0), rN), rN = xchg_64(r1 + 0, rN), r0 = cmpxchg_64(r1 + 0, r0, rN)
bool Parser::atomic(Reg dst, const AtomicName& row) {
    const Token first = lexer_.peek();
    Width type{row.bits, false};
    Place at;
    if (!expect("(")) {
        return false;
    }
    if (row.typed ? !typed_place(type, at) : !place(at, kOffLow, kOffHigh)) {
        return false;
    }
    if (type.is_signed || type.bits < 32 || (row.bits != 0 && type.bits != row.bits)) {
        return fail(first, std::string(row.name) + " works on " +
                               (row.bits == 0 ? "u32 and u64" : "u" + std::to_string(row.bits)));
    }
    Reg src = dst;
    if (row.operation == op::kCmpxchg) {
        if (dst.number != 0) {
            return fail(first, "the old value of a compare-and-exchange goes to r0");
        }
        if (!expect(",") || !same_reg(dst) || !expect(",") || !access_reg(type, src)) {
            return false;
        }
    } else if (!expect(",") || !same_reg(dst)) {
        return false;
    }
    if (!dst.wide && type.bits == 64) {
        return fail(first, "64 bits do not fit w" + std::to_string(dst.number));
    }
    set(op::kStx | op::kAtomic | type.size_code(), at.base, src.number, at.off, row.operation);
    return expect(")");
}

bool Parser::load_acquire(Reg dst) {
    const Token first = lexer_.peek();
    Width type;
    Place at;
    if (!expect("(") || !typed_place(type, at) || !expect(")")) {
        return false;
    }
    if (type.is_signed || (!dst.wide && type.bits == 64)) {
        return fail(first, "the type does not fit the register");
    }
    set(op::kStx | op::kAtomic | type.size_code(), dst.number, at.base, at.off, op::kLoadAcquire);
    return true;
}

/// store_release((u64 *)(r1 + 0), r2)
bool Parser::store_release() {
    const Token first = lexer_.peek();
    Width type;
    Place at;
    Reg src;
    if (!expect("(") || !typed_place(type, at) || !expect(",") || !access_reg(type, src) || !expect(")")) {
        return false;
    }
    if (type.is_signed) {
        return fail(first, "stores have no sign", "write u" + std::to_string(type.bits));
    }
    set(op::kStx | op::kAtomic | type.size_code(), at.base, src.number, at.off, op::kStoreRelease);
    return true;
}

} // namespace mimicsh::assembler
