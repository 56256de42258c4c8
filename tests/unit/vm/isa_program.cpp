// SPDX-License-Identifier: MIT
// The cases. Expectations are written with C++ integers of the right width, not with the vm's templates.
#include "tests/unit/vm/isa_program.h"

#include <gtest/gtest.h>

#include <bit>
#include <limits>

namespace mimicsh::test {

namespace {

using Binary = std::function<uint64_t(uint64_t, uint64_t)>;

constexpr int kScratch = 16; // offset from r9

/// Result of an ALU operation in type U; the caller widens. Division by zero as RFC 9669 has it.
template <typename U>
U alu_unsigned(int operation, U x, U y) {
    using S = std::make_signed_t<U>;
    constexpr unsigned kMask = sizeof(U) * 8 - 1;
    switch (operation) {
    case op::kAdd:
        return x + y;
    case op::kSub:
        return x - y;
    case op::kMul:
        return x * y;
    case op::kDiv:
        return y == 0 ? 0 : x / y;
    case op::kMod:
        return y == 0 ? x : x % y;
    case op::kOr:
        return x | y;
    case op::kAnd:
        return x & y;
    case op::kXor:
        return x ^ y;
    case op::kLsh:
        return x << (y & kMask);
    case op::kRsh:
        return x >> (y & kMask);
    case op::kArsh:
        return static_cast<U>(static_cast<S>(x) >> (y & kMask));
    default:
        return y; // mov
    }
}

template <typename S>
S divide_signed(int operation, S x, S y) {
    if (operation == op::kDiv) {
        if (y == 0) {
            return 0;
        }
        return x == std::numeric_limits<S>::min() && y == -1 ? x : static_cast<S>(x / y);
    }
    if (y == 0) {
        return x;
    }
    return y == -1 ? 0 : static_cast<S>(x % y);
}

Binary alu_expectation(const InsnForm& form) {
    const int operation = form.code & 0xf0;
    const bool wide = (form.code & 7) == op::kAlu64;
    if (form.off == 1) {
        return [=](uint64_t a, uint64_t b) {
            return wide ? static_cast<uint64_t>(divide_signed<int64_t>(operation, static_cast<int64_t>(a),
                                                                       static_cast<int64_t>(b)))
                        : uint64_t{static_cast<uint32_t>(divide_signed<int32_t>(
                              operation, static_cast<int32_t>(a), static_cast<int32_t>(b)))};
        };
    }
    return [=](uint64_t a, uint64_t b) {
        return wide ? alu_unsigned<uint64_t>(operation, a, b)
                    : uint64_t{alu_unsigned<uint32_t>(operation, static_cast<uint32_t>(a),
                                                      static_cast<uint32_t>(b))};
    };
}

template <typename U>
bool compare(int operation, U x, U y) {
    using S = std::make_signed_t<U>;
    const auto sx = static_cast<S>(x);
    const auto sy = static_cast<S>(y);
    switch (operation) {
    case op::kJeq:
        return x == y;
    case op::kJne:
        return x != y;
    case op::kJgt:
        return x > y;
    case op::kJge:
        return x >= y;
    case op::kJlt:
        return x < y;
    case op::kJle:
        return x <= y;
    case op::kJset:
        return (x & y) != 0;
    case op::kJsgt:
        return sx > sy;
    case op::kJsge:
        return sx >= sy;
    case op::kJslt:
        return sx < sy;
    default:
        return sx <= sy;
    }
}

uint64_t extended(uint64_t value, uint32_t size) {
    switch (size) {
    case 1:
        return static_cast<uint64_t>(int64_t{static_cast<int8_t>(value)});
    case 2:
        return static_cast<uint64_t>(int64_t{static_cast<int16_t>(value)});
    default:
        return static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)});
    }
}

uint64_t truncated(uint64_t value, uint32_t size) {
    return size == 8 ? value : value & ((uint64_t{1} << (8 * size)) - 1);
}

/// `value` with its low `size` bytes, from byte `at` on, replaced by those of `part`.
uint64_t with_bytes(uint64_t value, uint64_t part, uint32_t size) {
    const uint64_t mask = size == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
    return (value & ~mask) | (part & mask);
}

uint64_t swapped(uint64_t value, int bits) {
    uint64_t result = 0;
    for (int i = 0; i < bits; i += 8) {
        result = result << 8 | (value >> i & 0xff);
    }
    return result;
}

class Cases {
  public:
    Cases() {
        for (const InsnForm& form : insn_forms()) {
            add_form(form);
        }
    }
    std::vector<IsaCase> take() { return std::move(cases_); }

  private:
    void put(const InsnForm& form, const std::string& detail, std::vector<Insn> body, Binary expected) {
        cases_.push_back({std::string(form.mnemonic) + detail, &form, std::move(body), std::move(expected)});
    }

    void add_form(const InsnForm& form) {
        switch (form.kind) {
        case InsnKind::Alu:
            return add_alu(form);
        case InsnKind::Neg: {
            const bool wide = (form.code & 7) == op::kAlu64;
            return put(form, "", {insn(form.code, 1, 0, 0, 0)},
                       [=](uint64_t a, uint64_t) { return wide ? ~a + 1 : truncated(~a + 1, 4); });
        }
        case InsnKind::MovSx: {
            const bool wide = (form.code & 7) == op::kAlu64;
            const auto size = static_cast<uint32_t>(form.off / 8);
            return put(form, "", {insn(form.code, 1, 2, form.off, 0)}, [=](uint64_t, uint64_t b) {
                return wide ? extended(b, size) : truncated(extended(b, size), 4);
            });
        }
        case InsnKind::Endian:
        case InsnKind::Bswap: {
            const int bits = form.imm;
            const bool swaps = form.kind == InsnKind::Bswap || (form.code & op::kX) != 0;
            return put(form, "", {insn(form.code, 1, 0, 0, bits)}, [=](uint64_t a, uint64_t) {
                return swaps ? swapped(a, bits) : truncated(a, static_cast<uint32_t>(bits / 8));
            });
        }
        case InsnKind::Load:
        case InsnKind::LoadSx:
        case InsnKind::LoadAcquire:
            return add_load(form);
        case InsnKind::StoreReg:
        case InsnKind::StoreImm:
        case InsnKind::StoreRelease:
            return add_store(form);
        case InsnKind::Atomic:
            return add_atomic(form);
        case InsnKind::LoadImm64:
            if (form.src == 0) {
                for (const uint64_t value : edge_operands()) {
                    put(form, " " + std::to_string(value),
                        {insn(op::kLddw, 1, 0, 0, static_cast<int32_t>(value)),
                         insn(0, 0, 0, 0, static_cast<int32_t>(value >> 32))},
                        [=](uint64_t, uint64_t) { return value; });
                }
            }
            return;
        case InsnKind::Jump:
            return add_jump(form);
        case InsnKind::Goto:
            // Over a poisoning instruction, and back over one.
            return put(form, "", {go(form, 2), mov(1, 7), go(form, 1), go(form, -3)},
                       [](uint64_t, uint64_t) { return uint64_t{7}; });
        case InsnKind::MayGoto:
            // Ten turns, far below the kernel's limit: it is taken only when that is used up.
            return put(form, "",
                       {mov(1, 0), mov(3, 10), insn(form.code, 0, 0, 3, 0), add(1, 1), add(3, -1),
                        jump_if(op::kJne, 3, 0, -4)},
                       [](uint64_t, uint64_t) { return uint64_t{10}; });
        default:
            return;
        }
    }

    static Insn go(const InsnForm& form, int distance) {
        return form.code == (op::kJmp32 | op::kJa) ? insn(form.code, 0, 0, 0, distance)
                                                   : insn(form.code, 0, 0, distance, 0);
    }

    static std::vector<int32_t> immediates() {
        return {0,    1,      2,      7,          31,
                32,   63,     64,     255,        256,
                1000, 0x7fff, 0x8000, 0x7fffffff, -0x7fffffff - 1,
                -1,   -2,     -128,   -0x8000,    -1000003};
    }

    void add_alu(const InsnForm& form) {
        const int operation = form.code & 0xf0;
        const Binary expected = alu_expectation(form);
        if ((form.code & op::kX) != 0) {
            const int off = form.off == InsnForm::kAnyField ? 0 : form.off;
            put(form, "", {insn(form.code, 1, 2, off, 0)}, expected);
            put(form, " same", {insn(form.code, 1, 1, off, 0)},
                [=](uint64_t a, uint64_t) { return expected(a, a); });
            return;
        }
        const int width = (form.code & 7) == op::kAlu64 ? 64 : 32;
        const bool shifts = operation == op::kLsh || operation == op::kRsh || operation == op::kArsh;
        const bool divides = operation == op::kDiv || operation == op::kMod;
        for (const int32_t imm : immediates()) {
            if ((shifts && (imm < 0 || imm >= width)) || (divides && imm == 0)) {
                continue; // refused at load; the refusals test them
            }
            const int off = form.off == InsnForm::kAnyField ? 0 : form.off;
            put(form, " " + std::to_string(imm), {insn(form.code, 1, 0, off, imm)},
                [=](uint64_t a, uint64_t) { return expected(a, static_cast<uint64_t>(int64_t{imm})); });
        }
    }

    void add_jump(const InsnForm& form) {
        const int operation = form.code & 0xf0;
        const bool wide = (form.code & 7) == op::kJmp;
        const auto taken = [=](uint64_t a, uint64_t b) {
            return uint64_t{
                wide ? compare<uint64_t>(operation, a, b)
                     : compare<uint32_t>(operation, static_cast<uint32_t>(a), static_cast<uint32_t>(b))};
        };
        const auto bodies = [&](const std::string& detail, int src, int32_t imm, const Binary& expected) {
            put(form, detail + " forward",
                {mov_reg(3, 1), mov(1, 1), insn(form.code, 3, src, 1, imm), mov(1, 0)}, expected);
            put(form, detail + " backward",
                {mov_reg(3, 1), mov(1, 0), jump(2), mov(1, 1), jump(1), insn(form.code, 3, src, -3, imm)},
                expected);
        };
        if ((form.code & op::kX) != 0) {
            bodies("", 2, 0, taken);
            return;
        }
        for (const int32_t imm : {0, 1, 7, 64, 0x7fffffff, -0x7fffffff - 1, -1, -2, 0x8000}) {
            bodies(" " + std::to_string(imm), 0, imm,
                   [=](uint64_t a, uint64_t) { return taken(a, static_cast<uint64_t>(int64_t{imm})); });
        }
    }

    void add_load(const InsnForm& form) {
        const uint32_t size = access_size(form.code);
        const bool is_signed = form.kind == InsnKind::LoadSx;
        const auto value = [=](uint64_t v) { return is_signed ? extended(v, size) : truncated(v, size); };
        const int imm = form.imm == InsnForm::kAnyField ? 0 : form.imm;
        put(form, " map", {store_reg(op::kDw, 9, kScratch, 1), insn(form.code, 1, 9, kScratch, imm)},
            [=](uint64_t a, uint64_t) { return value(a); });
        put(form, " stack", {store_reg(op::kDw, 10, -8, 1), insn(form.code, 1, 10, -8, imm)},
            [=](uint64_t a, uint64_t) { return value(a); });
        if (size < 8) {
            put(form, " second half",
                {store_reg(op::kDw, 9, kScratch, 1), insn(form.code, 1, 9, kScratch + 4, imm)},
                [=](uint64_t a, uint64_t) { return value(a >> 32); });
            put(form, " over itself",
                {store_reg(op::kDw, 9, kScratch, 1), mov_reg(3, 9), insn(form.code, 3, 3, kScratch, imm),
                 mov_reg(1, 3)},
                [=](uint64_t a, uint64_t) { return value(a); });
        }
    }

    void add_store(const InsnForm& form) {
        const uint32_t size = access_size(form.code);
        const auto bodies = [&](const std::string& detail, int src, int32_t imm, const Binary& stored) {
            const Binary expected = [=](uint64_t a, uint64_t b) { return with_bytes(a, stored(a, b), size); };
            put(form, detail + " map",
                {store_reg(op::kDw, 9, kScratch, 1), insn(form.code, 9, src, kScratch, imm),
                 load(op::kDw, 1, 9, kScratch)},
                expected);
            put(form, detail + " stack",
                {store_reg(op::kDw, 10, -16, 1), insn(form.code, 10, src, -16, imm),
                 load(op::kDw, 1, 10, -16)},
                expected);
        };
        if (form.kind != InsnKind::StoreImm) {
            bodies("", 2, form.imm == InsnForm::kAnyField ? 0 : form.imm,
                   [](uint64_t, uint64_t b) { return b; });
            return;
        }
        for (const int32_t imm : {0, 1, -1, 0x12345678, -0x7fffffff - 1}) {
            bodies(" " + std::to_string(imm), 0, imm,
                   [=](uint64_t, uint64_t) { return static_cast<uint64_t>(int64_t{imm}); });
        }
    }

    /// What an atomic of `size` bytes leaves in memory that held `old`.
    static uint64_t atomic_result(int32_t operation, uint64_t old, uint64_t operand, uint64_t r0,
                                  uint32_t size) {
        switch (operation) {
        case op::kAdd:
        case op::kAdd | op::kFetch:
            return with_bytes(old, old + operand, size);
        case op::kOr:
        case op::kOr | op::kFetch:
            return with_bytes(old, old | operand, size);
        case op::kAnd:
        case op::kAnd | op::kFetch:
            return with_bytes(old, old & operand, size);
        case op::kXor:
        case op::kXor | op::kFetch:
            return with_bytes(old, old ^ operand, size);
        case op::kXchg:
            return with_bytes(old, operand, size);
        default:
            return truncated(old, size) == truncated(r0, size) ? with_bytes(old, operand, size) : old;
        }
    }

    void add_atomic(const InsnForm& form) {
        const uint32_t size = access_size(form.code);
        const int32_t operation = form.imm;
        for (const bool on_stack : {false, true}) {
            const int base = on_stack ? 10 : 9;
            const int off = on_stack ? -24 : kScratch;
            for (const bool matches : {true, false}) {
                if (!matches && operation != op::kCmpxchg) {
                    continue;
                }
                // r0 is what cmpxchg compares with: a, or b which is rarely equal to it.
                const std::vector<Insn> start{store_reg(op::kDw, base, off, 1), mov_reg(0, matches ? 1 : 2),
                                              insn(form.code, base, 2, off, operation)};
                const std::string detail =
                    std::string(on_stack ? " stack" : " map") + (matches ? "" : " other");
                auto body = start;
                body.push_back(load(op::kDw, 1, base, off));
                put(form, detail + " memory", std::move(body), [=](uint64_t a, uint64_t b) {
                    return atomic_result(operation, a, b, matches ? a : b, size);
                });
                if ((operation & op::kFetch) != 0) {
                    body = start;
                    body.push_back(mov_reg(1, operation == op::kCmpxchg ? 0 : 2));
                    put(form, detail + " fetched", std::move(body),
                        [=](uint64_t a, uint64_t) { return truncated(a, size); });
                }
            }
        }
    }

    std::vector<IsaCase> cases_;
};

} // namespace

const std::vector<uint64_t>& edge_operands() {
    static const std::vector<uint64_t> kEdges{0,
                                              1,
                                              2,
                                              7,
                                              31,
                                              32,
                                              63,
                                              64,
                                              0x7f,
                                              0x80,
                                              0xff,
                                              0x8000,
                                              0xffff,
                                              0x7fffffff,
                                              0x80000000,
                                              0xffffffff,
                                              0x100000000,
                                              0x7fffffffffffffff,
                                              uint64_t{1} << 63,
                                              ~uint64_t{0},
                                              ~uint64_t{0} - 1,
                                              0xffffffff80000000,
                                              0x0123456789abcdef,
                                              0xfedcba9876543210};
    return kEdges;
}

const std::vector<IsaCase>& isa_cases() {
    static const std::vector<IsaCase> kCases = Cases().take();
    return kCases;
}

std::shared_ptr<const Object> isa_object(const std::vector<IsaCase>& cases) {
    RawObject raw;
    const uint32_t data = raw.add_data(kIsaResults + 8 * static_cast<uint32_t>(cases.size()));
    raw.load_value(9, data);
    for (size_t i = 0; i < cases.size(); ++i) {
        raw.add({load(op::kDw, 1, 9, 0), load(op::kDw, 2, 9, 8)});
        raw.add(cases[i].body);
        raw.add(store_reg(op::kDw, 9, static_cast<int>(kIsaResults + 8 * i), 1));
    }
    raw.add({mov(0, abi::kXdpPass), exit_insn()});
    return raw.share();
}

std::vector<uint64_t> run_isa(Instance& instance, uint64_t a, uint64_t b, size_t count,
                              const RunOptions& options) {
    ByteVec data(kIsaResults + 8 * count);
    mimicsh::store(data.data(), a);
    mimicsh::store(data.data() + 8, b);
    set_value(instance, ".bss", data);
    const auto result = instance.programs().front()->run(packet_of(64), options);
    if (!result || result->fault || result->ret != abi::kXdpPass) {
        ADD_FAILURE() << (!result         ? result.error().message()
                          : result->fault ? result->fault->report
                                          : "wrong verdict");
        return {};
    }
    data = value_of(instance, ".bss");
    std::vector<uint64_t> results;
    for (size_t i = 0; i < count; ++i) {
        results.push_back(number_at(data, kIsaResults / 8 + i));
    }
    return results;
}

} // namespace mimicsh::test
