// SPDX-License-Identifier: MIT
// The table of instruction forms, built from the regular structure of the encoding, and the look-up in it.
#include "object/insn.h"

#include <array>
#include <bit>
#include <initializer_list>

namespace mimicsh {

namespace {

struct OpName {
    uint8_t op;
    std::string_view name;
    IsaLevel level;
};

constexpr std::array<OpName, 12> kAluOps{{
    {op::kAdd, "add", IsaLevel::V1},
    {op::kSub, "sub", IsaLevel::V1},
    {op::kMul, "mul", IsaLevel::V1},
    {op::kDiv, "div", IsaLevel::V1},
    {op::kOr, "or", IsaLevel::V1},
    {op::kAnd, "and", IsaLevel::V1},
    {op::kLsh, "lsh", IsaLevel::V1},
    {op::kRsh, "rsh", IsaLevel::V1},
    {op::kMod, "mod", IsaLevel::V1},
    {op::kXor, "xor", IsaLevel::V1},
    {op::kMov, "mov", IsaLevel::V1},
    {op::kArsh, "arsh", IsaLevel::V1},
}};

constexpr std::array<OpName, 11> kJumpOps{{
    {op::kJeq, "jeq", IsaLevel::V1},
    {op::kJgt, "jgt", IsaLevel::V1},
    {op::kJge, "jge", IsaLevel::V1},
    {op::kJset, "jset", IsaLevel::V1},
    {op::kJne, "jne", IsaLevel::V1},
    {op::kJsgt, "jsgt", IsaLevel::V1},
    {op::kJsge, "jsge", IsaLevel::V1},
    {op::kJlt, "jlt", IsaLevel::V2},
    {op::kJle, "jle", IsaLevel::V2},
    {op::kJslt, "jslt", IsaLevel::V2},
    {op::kJsle, "jsle", IsaLevel::V2},
}};

constexpr std::array<OpName, 4> kSizes{{
    {op::kB, "b", IsaLevel::V1},
    {op::kH, "h", IsaLevel::V1},
    {op::kW, "w", IsaLevel::V1},
    {op::kDw, "dw", IsaLevel::V1},
}};

struct Width {
    int32_t bits;
    std::string_view name;
};

constexpr int32_t kAny = InsnForm::kAnyField;

/// Whether the form has a destination register; it must be 0 where it has none.
constexpr bool has_destination(const InsnForm& form) {
    switch (form.kind) {
    case InsnKind::LoadAbs:
    case InsnKind::LoadInd:
    case InsnKind::Goto:
    case InsnKind::MayGoto:
    case InsnKind::CallHelper:
    case InsnKind::CallLocal:
    case InsnKind::CallKfunc:
    case InsnKind::Exit:
        return false;
    default:
        return true;
    }
}

/// What the fields of an instruction have to be for a form, as bits of its eight bytes: few words, since
/// every instruction of every program is looked up.
struct Pattern {
    static constexpr uint16_t kNoForm = UINT16_MAX;
    uint64_t fixed = 0; ///< bits of the fields that are no operands
    uint64_t value = 0; ///< what these have to be
    uint16_t form = kNoForm;
    uint16_t next = 0; ///< of the same code, 0 = none
};

constexpr Pattern pattern_of(const InsnForm& form, uint16_t number) {
    Pattern pattern{.form = number};
    const auto fix = [&](unsigned shift, uint64_t mask, int32_t value) {
        pattern.fixed |= mask << shift;
        pattern.value |= (static_cast<uint64_t>(value) & mask) << shift;
    };
    if (!has_destination(form)) {
        fix(8, 0xf, 0);
    }
    if (form.src >= 0) {
        fix(12, 0xf, form.src);
    }
    if (form.off != kAny) {
        fix(16, 0xffff, form.off);
    }
    if (form.imm != kAny) {
        fix(32, 0xffffffff, form.imm);
    }
    return pattern;
}

/// Rows and the storage of their names, made by the compiler.
class Table {
  public:
    constexpr Table() {
        add_alu();
        add_memory();
        add_jumps();
        uint16_t more = 0;
        for (uint16_t number = 0; number < kForms; ++number) {
            Pattern* to = &first_[rows_[number].code];
            if (to->form != Pattern::kNoForm) {
                while (to->next != 0) {
                    to = &more_[to->next];
                }
                to->next = ++more;
                to = &more_[more];
            }
            *to = pattern_of(rows_[number], number);
        }
    }

    [[nodiscard]] constexpr std::span<const InsnForm> rows() const { return rows_; }
    [[nodiscard]] constexpr bool is_full() const { return count_ == kForms; }
    /// The first of the code; that of a code without forms fits everything and has no form.
    [[nodiscard]] const Pattern& first(uint8_t code) const { return first_[code]; }
    [[nodiscard]] const Pattern& more(uint16_t place) const { return more_[place]; }

  private:
    using Words = std::initializer_list<std::string_view>; // of a name, one behind the other

    constexpr void add(Words name, int code, int src, int32_t off, int32_t imm, InsnKind kind,
                       IsaLevel level) {
        char* const begin = names_.data() + named_;
        for (const std::string_view word : name) {
            for (const char letter : word) {
                names_[named_++] = letter;
            }
        }
        rows_[count_++] = {static_cast<uint8_t>(code),
                           static_cast<int16_t>(src),
                           off,
                           imm,
                           kind,
                           level,
                           std::string_view(begin, names_.data() + named_)};
    }

    constexpr void add_alu() {
        for (bool wide : {true, false}) {
            const std::string_view bits = wide ? "64" : "32";
            const int cls = wide ? op::kAlu64 : op::kAlu;
            for (const OpName& alu : kAluOps) {
                add({alu.name, bits, "_imm"}, cls | alu.op | op::kK, 0, 0, kAny, InsnKind::Alu, alu.level);
                add({alu.name, bits, "_reg"}, cls | alu.op | op::kX, -1, 0, 0, InsnKind::Alu, alu.level);
                if (alu.op == op::kDiv || alu.op == op::kMod) {
                    add({"s", alu.name, bits, "_imm"}, cls | alu.op | op::kK, 0, 1, kAny, InsnKind::Alu,
                        IsaLevel::V4);
                    add({"s", alu.name, bits, "_reg"}, cls | alu.op | op::kX, -1, 1, 0, InsnKind::Alu,
                        IsaLevel::V4);
                }
            }
            add({"neg", bits}, cls | op::kNeg, 0, 0, 0, InsnKind::Neg, IsaLevel::V1);
            for (const Width& width : {Width{8, "8"}, {16, "16"}, {32, "32"}}) {
                if (wide || width.bits < 32) {
                    add({"movsx", width.name, "_", bits}, cls | op::kMov | op::kX, -1, width.bits, 0,
                        InsnKind::MovSx, IsaLevel::V4);
                }
            }
        }
        for (const auto& [width, bits] : {Width{16, "16"}, {32, "32"}, {64, "64"}}) {
            add({"le", bits}, op::kAlu | op::kEnd | op::kK, 0, 0, width, InsnKind::Endian, IsaLevel::V1);
            add({"be", bits}, op::kAlu | op::kEnd | op::kX, 0, 0, width, InsnKind::Endian, IsaLevel::V1);
            add({"bswap", bits}, op::kAlu64 | op::kEnd | op::kK, 0, 0, width, InsnKind::Bswap, IsaLevel::V4);
        }
        // imm is (destination space << 16) | source space; 1 is the arena, 0 the kernel.
        add({"addr_space_cast_kernel"}, op::kAlu64 | op::kMov | op::kX, -1, 1, 1, InsnKind::AddrCast,
            IsaLevel::Arena);
        add({"addr_space_cast_user"}, op::kAlu64 | op::kMov | op::kX, -1, 1, 0x10000, InsnKind::AddrCast,
            IsaLevel::Arena);
    }

    constexpr void add_memory() {
        for (const OpName& size : kSizes) {
            add({"ldx", size.name}, op::kLdx | op::kMem | size.op, -1, kAny, 0, InsnKind::Load, IsaLevel::V1);
            add({"st", size.name}, op::kSt | op::kMem | size.op, 0, kAny, kAny, InsnKind::StoreImm,
                IsaLevel::V1);
            add({"stx", size.name}, op::kStx | op::kMem | size.op, -1, kAny, 0, InsnKind::StoreReg,
                IsaLevel::V1);
            if (size.op != op::kDw) {
                add({"ldsx", size.name}, op::kLdx | op::kMemSx | size.op, -1, kAny, 0, InsnKind::LoadSx,
                    IsaLevel::V4);
                add({"ldabs", size.name}, op::kLd | op::kAbs | size.op, 0, 0, kAny, InsnKind::LoadAbs,
                    IsaLevel::V1);
                add({"ldind", size.name}, op::kLd | op::kInd | size.op, -1, 0, kAny, InsnKind::LoadInd,
                    IsaLevel::V1);
            }
            add({"load_acquire_", size.name}, op::kStx | op::kAtomic | size.op, -1, kAny, op::kLoadAcquire,
                InsnKind::LoadAcquire, IsaLevel::LoadAcquire);
            add({"store_release_", size.name}, op::kStx | op::kAtomic | size.op, -1, kAny, op::kStoreRelease,
                InsnKind::StoreRelease, IsaLevel::LoadAcquire);
        }
        for (int size : {op::kW, op::kDw}) {
            const std::string_view bits = size == op::kW ? "32" : "64";
            const int code = op::kStx | op::kAtomic | size;
            for (auto [value, name] : {std::pair{int32_t{op::kAdd}, "add"},
                                       {int32_t{op::kOr}, "or"},
                                       {int32_t{op::kAnd}, "and"},
                                       {int32_t{op::kXor}, "xor"}}) {
                // Plain atomic add is the old XADD and needs no newer CPU level; the rest came with v3.
                add({"atomic_", name, bits}, code, -1, kAny, value, InsnKind::Atomic,
                    value == op::kAdd ? IsaLevel::V1 : IsaLevel::V3);
                add({"atomic_fetch_", name, bits}, code, -1, kAny, value | op::kFetch, InsnKind::Atomic,
                    IsaLevel::V3);
            }
            add({"xchg", bits}, code, -1, kAny, op::kXchg, InsnKind::Atomic, IsaLevel::V3);
            add({"cmpxchg", bits}, code, -1, kAny, op::kCmpxchg, InsnKind::Atomic, IsaLevel::V3);
        }
        constexpr std::array<std::string_view, 7> kLddw{
            "lddw",      "lddw_map_fd",  "lddw_map_value",    "lddw_btf_id",
            "lddw_func", "lddw_map_idx", "lddw_map_idx_value"};
        for (int src = 0; src < static_cast<int>(kLddw.size()); ++src) {
            add({kLddw[static_cast<size_t>(src)]}, op::kLddw, src, 0, kAny, InsnKind::LoadImm64,
                IsaLevel::V1);
        }
    }

    constexpr void add_jumps() {
        for (bool wide : {true, false}) {
            const int cls = wide ? op::kJmp : op::kJmp32;
            const std::string_view bits = wide ? "64" : "32";
            for (const OpName& jump : kJumpOps) {
                const IsaLevel level = wide ? jump.level : IsaLevel::V3;
                add({jump.name, bits, "_imm"}, cls | jump.op | op::kK, 0, kAny, kAny, InsnKind::Jump, level);
                add({jump.name, bits, "_reg"}, cls | jump.op | op::kX, -1, kAny, 0, InsnKind::Jump, level);
            }
        }
        add({"ja"}, op::kJmp | op::kJa, 0, kAny, 0, InsnKind::Goto, IsaLevel::V1);
        add({"gotol"}, op::kJmp32 | op::kJa, 0, 0, kAny, InsnKind::Goto, IsaLevel::V4);
        add({"may_goto"}, op::kJmp | op::kJcond, 0, kAny, 0, InsnKind::MayGoto, IsaLevel::MayGoto);
        add({"call_helper"}, op::kJmp | op::kCall, op::kCallHelper, 0, kAny, InsnKind::CallHelper,
            IsaLevel::V1);
        add({"call_local"}, op::kJmp | op::kCall, op::kCallLocal, 0, kAny, InsnKind::CallLocal, IsaLevel::V1);
        add({"call_kfunc"}, op::kJmp | op::kCall, op::kCallKfunc, kAny, kAny, InsnKind::CallKfunc,
            IsaLevel::V1);
        add({"callx"}, op::kJmp | op::kCall | op::kX, 0, 0, 0, InsnKind::CallReg, IsaLevel::Future);
        add({"gotox"}, op::kJmp | op::kJa | op::kX, 0, 0, 0, InsnKind::GotoReg, IsaLevel::Future);
        add({"exit"}, op::kJmp | op::kExit, 0, 0, 0, InsnKind::Exit, IsaLevel::V1);
    }

    static constexpr size_t kForms = 183;

    std::array<InsnForm, kForms> rows_{};
    size_t count_ = 0;
    std::array<char, 2048> names_{};
    size_t named_ = 0;
    std::array<Pattern, 256> first_{};       // by code
    std::array<Pattern, kForms + 1> more_{}; // from 1
};

constexpr Table kTable;
static_assert(kTable.is_full());

} // namespace

std::span<const InsnForm> insn_forms() {
    return kTable.rows();
}

const InsnForm* classify(const Insn& insn) {
    if (insn.dst > 10 || insn.src > 10) {
        return nullptr;
    }
    const auto bits = std::bit_cast<uint64_t>(insn);
    const Pattern* pattern = &kTable.first(insn.code);
    while ((bits & pattern->fixed) != pattern->value) {
        if (pattern->next == 0) {
            return nullptr;
        }
        pattern = &kTable.more(pattern->next);
    }
    return pattern->form == Pattern::kNoForm ? nullptr : &kTable.rows()[pattern->form];
}

} // namespace mimicsh
