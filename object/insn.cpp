// SPDX-License-Identifier: MIT
// The table of instruction forms, built from the regular structure of the encoding, and the look-up in it.
#include "object/insn.h"

#include <array>
#include <deque>
#include <string>
#include <vector>

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

constexpr int32_t kAny = InsnForm::kAnyField;

/// Whether the form has a destination register; it must be 0 where it has none.
bool has_destination(const InsnForm& form) {
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

/// What the fields of an instruction have to be for a form: small, since every instruction of every program
/// is looked up.
struct Pattern {
    explicit Pattern(const InsnForm& of)
        : src(of.src), has_dst(has_destination(of)), off(of.off), imm(of.imm), form(&of) {}

    [[nodiscard]] bool matches(const Insn& insn) const {
        return (src >= 0 ? insn.src == src : insn.src <= 10) && (off == kAny || insn.off == off) &&
               (imm == kAny || insn.imm == imm) && (has_dst ? insn.dst <= 10 : insn.dst == 0);
    }

    int16_t src;
    bool has_dst;
    int32_t off;
    int32_t imm;
    const InsnForm* form;
};

/// Rows and the storage of their names; built once, on first use.
class Table {
  public:
    Table() {
        add_alu();
        add_memory();
        add_jumps();
        for (size_t code = 0; code < 256; ++code) {
            for (const InsnForm& row : rows_) {
                if (row.code == code) {
                    patterns_.emplace_back(row);
                }
            }
            ends_[code] = static_cast<uint16_t>(patterns_.size());
        }
    }

    [[nodiscard]] std::span<const InsnForm> rows() const { return rows_; }
    [[nodiscard]] std::span<const Pattern> with_code(uint8_t code) const {
        const size_t begin = code == 0 ? 0 : ends_[code - size_t{1}];
        return std::span(patterns_).subspan(begin, ends_[code] - begin);
    }

  private:
    void add(std::string name, int code, int src, int32_t off, int32_t imm, InsnKind kind, IsaLevel level) {
        names_.push_back(std::move(name));
        rows_.push_back(
            {static_cast<uint8_t>(code), static_cast<int16_t>(src), off, imm, kind, level, names_.back()});
    }

    void add_alu() {
        for (bool wide : {true, false}) {
            const std::string bits = wide ? "64" : "32";
            const int cls = wide ? op::kAlu64 : op::kAlu;
            for (const OpName& alu : kAluOps) {
                const std::string name = std::string(alu.name) + bits;
                add(name + "_imm", cls | alu.op | op::kK, 0, 0, kAny, InsnKind::Alu, alu.level);
                add(name + "_reg", cls | alu.op | op::kX, -1, 0, 0, InsnKind::Alu, alu.level);
                if (alu.op == op::kDiv || alu.op == op::kMod) {
                    add("s" + name + "_imm", cls | alu.op | op::kK, 0, 1, kAny, InsnKind::Alu, IsaLevel::V4);
                    add("s" + name + "_reg", cls | alu.op | op::kX, -1, 1, 0, InsnKind::Alu, IsaLevel::V4);
                }
            }
            add("neg" + bits, cls | op::kNeg, 0, 0, 0, InsnKind::Neg, IsaLevel::V1);
            for (int32_t width : {8, 16, 32}) {
                if (wide || width < 32) {
                    add("movsx" + std::to_string(width) + "_" + bits, cls | op::kMov | op::kX, -1, width, 0,
                        InsnKind::MovSx, IsaLevel::V4);
                }
            }
        }
        for (int32_t width : {16, 32, 64}) {
            const std::string bits = std::to_string(width);
            add("le" + bits, op::kAlu | op::kEnd | op::kK, 0, 0, width, InsnKind::Endian, IsaLevel::V1);
            add("be" + bits, op::kAlu | op::kEnd | op::kX, 0, 0, width, InsnKind::Endian, IsaLevel::V1);
            add("bswap" + bits, op::kAlu64 | op::kEnd | op::kK, 0, 0, width, InsnKind::Bswap, IsaLevel::V4);
        }
        // imm is (destination space << 16) | source space; 1 is the arena, 0 the kernel.
        add("addr_space_cast_kernel", op::kAlu64 | op::kMov | op::kX, -1, 1, 1, InsnKind::AddrCast,
            IsaLevel::Arena);
        add("addr_space_cast_user", op::kAlu64 | op::kMov | op::kX, -1, 1, 0x10000, InsnKind::AddrCast,
            IsaLevel::Arena);
    }

    void add_memory() {
        for (const OpName& size : kSizes) {
            const std::string name(size.name);
            add("ldx" + name, op::kLdx | op::kMem | size.op, -1, kAny, 0, InsnKind::Load, IsaLevel::V1);
            add("st" + name, op::kSt | op::kMem | size.op, 0, kAny, kAny, InsnKind::StoreImm, IsaLevel::V1);
            add("stx" + name, op::kStx | op::kMem | size.op, -1, kAny, 0, InsnKind::StoreReg, IsaLevel::V1);
            if (size.op != op::kDw) {
                add("ldsx" + name, op::kLdx | op::kMemSx | size.op, -1, kAny, 0, InsnKind::LoadSx,
                    IsaLevel::V4);
                add("ldabs" + name, op::kLd | op::kAbs | size.op, 0, 0, kAny, InsnKind::LoadAbs,
                    IsaLevel::V1);
                add("ldind" + name, op::kLd | op::kInd | size.op, -1, 0, kAny, InsnKind::LoadInd,
                    IsaLevel::V1);
            }
            add("load_acquire_" + name, op::kStx | op::kAtomic | size.op, -1, kAny, op::kLoadAcquire,
                InsnKind::LoadAcquire, IsaLevel::LoadAcquire);
            add("store_release_" + name, op::kStx | op::kAtomic | size.op, -1, kAny, op::kStoreRelease,
                InsnKind::StoreRelease, IsaLevel::LoadAcquire);
        }
        for (int size : {op::kW, op::kDw}) {
            const std::string bits = size == op::kW ? "32" : "64";
            const int code = op::kStx | op::kAtomic | size;
            for (auto [value, name] : {std::pair{int32_t{op::kAdd}, "add"},
                                       {int32_t{op::kOr}, "or"},
                                       {int32_t{op::kAnd}, "and"},
                                       {int32_t{op::kXor}, "xor"}}) {
                // Plain atomic add is the old XADD and needs no newer CPU level; the rest came with v3.
                add("atomic_" + std::string(name) + bits, code, -1, kAny, value, InsnKind::Atomic,
                    value == op::kAdd ? IsaLevel::V1 : IsaLevel::V3);
                add("atomic_fetch_" + std::string(name) + bits, code, -1, kAny, value | op::kFetch,
                    InsnKind::Atomic, IsaLevel::V3);
            }
            add("xchg" + bits, code, -1, kAny, op::kXchg, InsnKind::Atomic, IsaLevel::V3);
            add("cmpxchg" + bits, code, -1, kAny, op::kCmpxchg, InsnKind::Atomic, IsaLevel::V3);
        }
        constexpr std::array<std::string_view, 7> kLddw{
            "lddw",      "lddw_map_fd",  "lddw_map_value",    "lddw_btf_id",
            "lddw_func", "lddw_map_idx", "lddw_map_idx_value"};
        for (int src = 0; src < static_cast<int>(kLddw.size()); ++src) {
            add(std::string(kLddw[static_cast<size_t>(src)]), op::kLddw, src, 0, kAny, InsnKind::LoadImm64,
                IsaLevel::V1);
        }
    }

    void add_jumps() {
        for (bool wide : {true, false}) {
            const int cls = wide ? op::kJmp : op::kJmp32;
            for (const OpName& jump : kJumpOps) {
                const std::string name = std::string(jump.name) + (wide ? "64" : "32");
                const IsaLevel level = wide ? jump.level : IsaLevel::V3;
                add(name + "_imm", cls | jump.op | op::kK, 0, kAny, kAny, InsnKind::Jump, level);
                add(name + "_reg", cls | jump.op | op::kX, -1, kAny, 0, InsnKind::Jump, level);
            }
        }
        add("ja", op::kJmp | op::kJa, 0, kAny, 0, InsnKind::Goto, IsaLevel::V1);
        add("gotol", op::kJmp32 | op::kJa, 0, 0, kAny, InsnKind::Goto, IsaLevel::V4);
        add("may_goto", op::kJmp | op::kJcond, 0, kAny, 0, InsnKind::MayGoto, IsaLevel::MayGoto);
        add("call_helper", op::kJmp | op::kCall, op::kCallHelper, 0, kAny, InsnKind::CallHelper,
            IsaLevel::V1);
        add("call_local", op::kJmp | op::kCall, op::kCallLocal, 0, kAny, InsnKind::CallLocal, IsaLevel::V1);
        add("call_kfunc", op::kJmp | op::kCall, op::kCallKfunc, kAny, kAny, InsnKind::CallKfunc,
            IsaLevel::V1);
        add("callx", op::kJmp | op::kCall | op::kX, 0, 0, 0, InsnKind::CallReg, IsaLevel::Future);
        add("gotox", op::kJmp | op::kJa | op::kX, 0, 0, 0, InsnKind::GotoReg, IsaLevel::Future);
        add("exit", op::kJmp | op::kExit, 0, 0, 0, InsnKind::Exit, IsaLevel::V1);
    }

    std::vector<InsnForm> rows_;
    std::deque<std::string> names_;
    std::vector<Pattern> patterns_;    // by code
    std::array<uint16_t, 256> ends_{}; // by code: where its patterns end
};

const Table& table() {
    static const Table instance;
    return instance;
}

} // namespace

std::span<const InsnForm> insn_forms() {
    return table().rows();
}

const InsnForm* classify(const Insn& insn) {
    for (const Pattern& pattern : table().with_code(insn.code)) {
        if (pattern.matches(insn)) {
            return pattern.form;
        }
    }
    return nullptr;
}

} // namespace mimicsh
