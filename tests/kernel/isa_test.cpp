// SPDX-License-Identifier: MIT
// Instructions on both targets: every form on edge operands, and random arithmetic.
#include <chrono>
#include <random>

#include "tests/kernel/parity.h"
#include "tests/unit/vm/isa_program.h"

namespace mimicsh::test {

namespace {

class IsaParity : public ParityTest {};

TEST_F(IsaParity, FormsComputeWhatTheKernelComputes) {
    const auto& cases = isa_cases();
    open(isa_object(cases));
    ASSERT_TRUE(ready());
    for (const uint64_t a : edge_operands()) {
        for (const uint64_t b : edge_operands()) {
            const auto here = run_isa(*vm_, a, b, cases.size());
            const auto there = run_isa(*kernel_, a, b, cases.size());
            ASSERT_EQ(here.size(), there.size());
            for (size_t i = 0; i < here.size(); ++i) {
                ASSERT_EQ(here[i], there[i]) << cases[i].name << std::hex << " a=0x" << a << " b=0x" << b;
            }
        }
    }
}

// Number of turns in r9: r1 points to the stack in the first and to a map's value in the later ones, or the
// other way round. What is known of r1 where the turns meet is neither.
TEST_F(IsaParity, OneInstructionReachesTwoKindsOfMemory) {
    for (const bool stack_first : {true, false}) {
        RawObject raw;
        const uint32_t data = raw.add_data(16);
        store(raw.object.maps[0].contents.data(), uint64_t{5});
        const auto point_to = [&](bool stack) {
            if (stack) {
                raw.add({mov_reg(1, 10), add(1, -16)});
            } else {
                raw.load_value(1, data);
            }
        };
        raw.add({store_imm(op::kDw, 10, -16, 7), mov(9, 2), mov(0, 0)});
        point_to(stack_first);
        const auto head = static_cast<int>(raw.object.functions[0].insns.size());
        raw.add({load(op::kDw, 2, 1, 0), insn(op::kAlu64 | op::kMul, 0, 0, 0, 10),
                 insn(op::kAlu64 | op::kAdd | op::kX, 0, 2, 0, 0), store_imm(op::kDw, 1, 0, 3)});
        point_to(!stack_first);
        raw.add(add(9, -1));
        const int back = head - static_cast<int>(raw.object.functions[0].insns.size()) - 1;
        raw.add({insn(op::kJmp | op::kJne, 9, 0, back, 0), exit_insn()});
        open(raw.share());
        ASSERT_TRUE(ready());
        EXPECT_EQ(run_both("main", packet_of(64)).ret, stack_first ? 75u : 57u);
    }
}

// -- Random programs --

/// Straight-line arithmetic over r0-r8 with loads, stores and jumps forward mixed in, which is what the
/// emulator fuses in pairs. Registers start from the data section and end there.
class RandomProgram {
  public:
    explicit RandomProgram(uint64_t seed) : random_(seed) {}

    std::shared_ptr<const Object> make(int length) {
        RawObject raw;
        const uint32_t data = raw.add_data(kSize);
        // Not with BPF_F_TEST_RND_HI32: Linux 6.18 then puts garbage into upper halves that are read later,
        // behind 16 and 32-bit unconditional swaps and 64-bit signed divisions among others.
        for (size_t i = 0; i < kSize; i += 8) {
            store(raw.object.maps[0].contents.data() + i, number());
        }
        raw.load_value(9, data);
        for (int reg = 0; reg <= 8; ++reg) {
            raw.add(load(op::kDw, reg, 9, 8 * reg));
        }
        for (int slot = -64; slot < 0; slot += 8) {
            raw.add(store_reg(op::kDw, 10, slot, pick(9)));
        }
        for (int i = 0; i < length; ++i) {
            step(raw);
        }
        for (int reg = 0; reg <= 8; ++reg) {
            raw.add(store_reg(op::kDw, 9, 80 + 8 * reg, reg));
        }
        raw.add({mov(0, abi::kXdpPass), exit_insn()});
        return raw.share();
    }

    static constexpr uint32_t kSize = 256;

  private:
    int pick(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }

    uint64_t number() {
        const auto& edges = edge_operands();
        return pick(2) == 0 ? edges[static_cast<size_t>(pick(static_cast<int>(edges.size())))] : random_();
    }

    void step(RawObject& raw) {
        const int kind = pick(20);
        if (kind < 13) {
            raw.add(arithmetic());
        } else if (kind < 18) {
            static constexpr int kSizes[] = {op::kB, op::kH, op::kW, op::kDw};
            const int size = kSizes[pick(4)];
            const bool on_stack = pick(2) == 0;
            const int base = on_stack ? 10 : 9;
            const int at = on_stack ? -64 + 8 * pick(8) : 160 + 8 * pick(8);
            if (pick(2) == 0) {
                raw.add(load(size, pick(9), base, at));
            } else {
                raw.add(store_reg(size, base, at, pick(9)));
            }
        } else {
            // Over one instruction: both ways meet again at once, so that the verifier need not explode.
            static constexpr int kJumps[] = {op::kJeq,  op::kJne,  op::kJgt,  op::kJge,  op::kJlt, op::kJle,
                                             op::kJset, op::kJsgt, op::kJsge, op::kJslt, op::kJsle};
            const int compare = kJumps[pick(11)] | (pick(2) == 0 ? op::kJmp : op::kJmp32);
            const bool by_register = pick(2) == 0;
            raw.add(insn(compare | (by_register ? op::kX : op::kK), pick(9), by_register ? pick(9) : 0, 1,
                         by_register ? 0 : static_cast<int32_t>(number())));
            raw.add(arithmetic());
        }
    }

    Insn arithmetic() {
        static constexpr int kOps[] = {op::kAdd, op::kSub, op::kMul, op::kDiv, op::kOr,  op::kAnd,
                                       op::kXor, op::kMov, op::kLsh, op::kRsh, op::kMod, op::kArsh};
        const bool wide = pick(2) == 0;
        const int cls = wide ? op::kAlu64 : op::kAlu;
        const int dst = pick(9);
        if (pick(12) == 0) {
            return other(cls, dst, wide);
        }
        const int operation = kOps[pick(12)];
        const bool divides = operation == op::kDiv || operation == op::kMod;
        const int off = divides && pick(2) == 0 ? 1 : 0;
        if (pick(2) == 0) {
            return insn(cls | operation | op::kX, dst, pick(9), off, 0);
        }
        auto imm = static_cast<int32_t>(number());
        const bool shifts = operation == op::kLsh || operation == op::kRsh || operation == op::kArsh;
        if (shifts) {
            imm = pick(wide ? 64 : 32);
        } else if (divides && imm == 0) {
            imm = -1;
        }
        return insn(cls | operation | op::kK, dst, 0, off, imm);
    }

    Insn other(int cls, int dst, bool wide) {
        const int widths[] = {16, 32, 64};
        switch (pick(4)) {
        case 0:
            return insn(cls | op::kNeg, dst, 0, 0, 0);
        case 1:
            return insn(cls | op::kMov | op::kX, dst, pick(9), pick(2) == 0 ? 8 : wide ? 32 : 16, 0);
        case 2:
            return insn(op::kAlu | op::kEnd | (pick(2) == 0 ? op::kX : op::kK), dst, 0, 0, widths[pick(3)]);
        default:
            return insn(op::kAlu64 | op::kEnd, dst, 0, 0, widths[pick(3)]);
        }
    }

    std::mt19937_64 random_;
};

TEST_F(IsaParity, RandomArithmeticAgrees) {
    const char* given = std::getenv("MIMICSH_TEST_SEED");
    const uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
    constexpr uint64_t kPrograms = 2000;
    std::printf("seed %llu (MIMICSH_TEST_SEED), %llu programs\n", static_cast<unsigned long long>(first),
                static_cast<unsigned long long>(kPrograms));
    for (uint64_t i = 0; i < kPrograms; ++i) {
        open(RandomProgram(first + i).make(60));
        ASSERT_TRUE(ready());
        const ByteVec start = value_of(*vm_, ".bss");
        run_both("main", packet_of(64));
        const ByteVec fast = value_of(*vm_, ".bss");
        set_value(*vm_, ".bss", start);
        RunOptions traced;
        traced.trace = true;
        const auto again = vm_->programs().front()->run(packet_of(64), traced);
        ASSERT_TRUE(again) << again.error().message();
        EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(fast)) << "traced against fast";
        ASSERT_FALSE(HasFailure()) << "MIMICSH_TEST_SEED=" << first + i << " makes this program the first\n"
                                   << again->trace;
    }
}

} // namespace

} // namespace mimicsh::test
