// SPDX-License-Identifier: MIT
// The parser of one instruction, shared between its files. Not a public header.
#pragma once

#include <limits>
#include <span>

#include "object/asm_parser.h"

namespace mimicsh::assembler {

struct Reg {
    uint8_t number = 0;
    bool wide = true;
};

/// "u16" in front of " *)".
struct Width {
    int bits = 0;
    bool is_signed = false;

    [[nodiscard]] uint8_t size_code() const {
        return bits == 8 ? op::kB : bits == 16 ? op::kH : bits == 32 ? op::kW : op::kDw;
    }
};

struct Place {
    uint8_t base = 0;
    int64_t off = 0;
};

struct OpSign {
    std::string_view sign;
    uint8_t operation;
    int16_t off = 0;
};

struct AtomicName {
    std::string_view name;
    int32_t operation;
    int bits;   ///< 0: said by the operand's type
    bool typed; ///< operand is "(u64 *)(r1 + 0)", else "r1 + 0"
};

struct Swap {
    std::string_view name;
    int code;
    int32_t width;
};

inline constexpr int64_t kOffLow = std::numeric_limits<int16_t>::min(),
                         kOffHigh = std::numeric_limits<int16_t>::max();
inline constexpr int64_t kImmLow = std::numeric_limits<int32_t>::min(),
                         kImmHigh = std::numeric_limits<int32_t>::max();

/// r0 to r10, w0 to w10; nothing for other tokens.
[[nodiscard]] std::optional<Reg> as_register(const Token& token);

/// The names of byte swaps ("be16") and function-like atomics ("xchg_64"), for suggestions.
[[nodiscard]] std::span<const std::string_view> swap_names();
[[nodiscard]] std::span<const std::string_view> atomic_names();
/// The row of a function-like atomic ("xchg_64"), or null.
[[nodiscard]] const AtomicName* find_atomic(const Token& word);

class Parser {
  public:
    Parser(Lexer& lexer, Problem& problem) : lexer_(lexer), problem_(problem) {}
    std::optional<ParsedInsn> run();

  private:
    // Each returns false after it has filled problem_.
    bool fail(const Token& at, std::string text, std::string hint = "");
    bool unexpected(const Token& at, std::string_view wanted, std::string hint = "");
    bool expect(std::string_view sign);
    bool number(int64_t low, int64_t high, int64_t& value, std::string_view what);
    bool immediate(bool wide, int32_t& value);
    bool reg(Reg& out);
    bool wide_reg(Reg& out, std::string_view why);
    bool same_reg(Reg wanted);
    bool width(Width& out);
    bool place(Place& out, int64_t low, int64_t high);
    bool typed_place(Width& type, Place& at);
    bool access_reg(const Width& type, Reg& out);
    bool name(std::string& out);

    bool statement();
    bool keyword(const Token& word);
    bool jump_target(Reference kind);
    bool conditional();
    bool call();
    bool store();
    bool lock();
    bool store_release();
    bool assignment(const Token& first);
    bool alu(Reg dst, const Token& sign);
    bool move(Reg dst);
    bool move_number(Reg dst);
    bool cast_move(Reg dst);
    bool load(Reg dst);
    bool load_skb(Reg dst, const Width& type);
    bool special(Reg dst, const Token& word);
    bool swap(Reg dst, const Swap& row);
    bool atomic(Reg dst, const AtomicName& row);
    bool load_acquire(Reg dst);
    bool addr_cast(Reg dst);
    bool map(Reg dst);
    bool map_number(Reg dst, bool is_index);
    bool value_offset(bool& present, int64_t low, int64_t high, int64_t& value);
    bool btf_id(Reg dst);
    bool function_address(Reg dst);
    void set(int code, uint8_t dst, uint8_t src, int64_t off, int64_t imm);

    Lexer& lexer_;
    Problem& problem_;
    ParsedInsn out_;
};

} // namespace mimicsh::assembler
