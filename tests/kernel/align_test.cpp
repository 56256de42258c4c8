// SPDX-License-Identifier: MIT
// Programs whose inputs differ by nature, on both targets with the emulator's inputs.
#include "object/align.h"

#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class AlignParity : public ParityTest {
  protected:
    /// Runs every program of tests/cases/parity/inputs.bpf.c several times in a row.
    void run_all(const vm::Options& options) {
        open_aligned(compile_case("parity/inputs.bpf.c"), options);
        ASSERT_TRUE(ready());
        EXPECT_GE(aligned_.sites.size(), 12u);
        for (int round = 0; round < 20 && !HasFailure(); ++round) {
            for (Program* program : vm_->programs()) {
                SCOPED_TRACE(testing::Message() << program->name() << ", round " << round);
                run_both(program->name(), packet_of(64));
            }
        }
    }
};

TEST_F(AlignParity, CallsInSubprogramsLoopsCallbacksAndTailCalls) {
    for (const uint64_t seed : {1u, 2u, 77u}) {
        vm::Options options;
        options.seed = seed;
        options.clock_ns = 1'700'000'000'123'456'789 + seed;
        options.cpu = 1;
        options.cpus = 4;
        run_all(options);
    }
}

TEST_F(AlignParity, RepeatedRuns) {
    open_aligned(compile_case("parity/inputs.bpf.c"), {});
    ASSERT_TRUE(ready());
    RunOptions options;
    options.repeat = 7;
    for (Program* program : vm_->programs()) {
        SCOPED_TRACE(program->name());
        run_both(program->name(), packet_of(64), options);
    }
}

TEST_F(AlignParity, EveryCallOfTheList) {
    const std::vector<uint32_t> helpers{5, 7, 8, 42, 118, 125, 160, 208};
    RawObject raw;
    raw.add(mov(6, 0));
    for (const uint32_t helper : helpers) {
        EXPECT_TRUE(is_input_call(helper));
        raw.add({call(helper), insn(op::kAlu64 | op::kMul, 6, 0, 0, 33),
                 insn(op::kAlu64 | op::kXor | op::kX, 6, 0, 0, 0)});
    }
    raw.load_value(1, raw.add_data(8)).add({store_reg(op::kDw, 1, 0, 6), mov(0, 1), exit_insn()});
    vm::World world;
    world.numa_node = 3;
    vm::Options options;
    options.world = std::make_shared<const vm::World>(world);
    open_aligned(raw.share(), options);
    ASSERT_TRUE(ready());
    EXPECT_EQ(aligned_.sites.size(), helpers.size());
    run_both("main", packet_of(64));
}

/// The kernel asks more often than the emulator did: it gets 0, and that is counted.
TEST_F(AlignParity, ExhaustedValuesAreZeroAndCounted) {
    RawObject raw;
    const uint32_t data = raw.add_data(16);
    raw.add({call(5), mov_reg(6, 0), mov(0, 1)}).load_value(1, data);
    raw.add({store_reg(op::kDw, 1, 0, 6), exit_insn()});
    open_aligned(raw.share(), {});
    ASSERT_TRUE(ready());
    Map& values = *kernel_->maps()[aligned_.map];
    const std::vector<InputCall> two{{0, 0, 5, 11}, {0, 0, 5, 22}};
    ASSERT_TRUE(give_inputs(aligned_, values, two));
    for (const uint64_t expected : {11u, 22u, 0u, 0u}) {
        ASSERT_TRUE(kernel_->programs().front()->run(packet_of(64), {}));
        EXPECT_EQ(number_at(value_of(*kernel_, ".bss"), 0), expected);
    }
    const auto missing = inputs_missing(aligned_, values);
    ASSERT_TRUE(missing);
    EXPECT_EQ(*missing, 2u);
    ASSERT_TRUE(give_inputs(aligned_, values, two));
    EXPECT_EQ(*inputs_missing(aligned_, values), 0u);
}

} // namespace

} // namespace mimicsh::test
