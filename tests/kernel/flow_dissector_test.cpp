// SPDX-License-Identifier: MIT
// Flow dissectors on both targets: keys, return values, what their test run refuses.
#include <cerrno>

#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class FlowDissector : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            open_case("flow");
            ASSERT_TRUE(ready());
        }
    }
};

constexpr size_t kKeys = 56, kFlags = 48;

TEST_F(FlowDissector, KeysAndVerdicts) {
    for (const ByteVec& packet : {frame_of(0x0800, 14), frame_of(0x0800, 60), frame_of(0x86dd, 1500),
                                  frame_of(0, 4096), frame_of(0x8100, 38)}) {
        for (const uint64_t verdict : {0ull, 1ull, 2ull, 129ull, 0xffffffffull}) {
            set_args({verdict});
            const RunResult result = run_both("show", packet);
            EXPECT_EQ(result.packet.size(), kKeys);
        }
        set_args({});
        run_both("parse", packet);
        for (const uint64_t offset : {0, 14, 60, 0xffff, 0x10000}) {
            set_args({offset});
            run_both("load_bytes", packet);
        }
    }
}

TEST_F(FlowDissector, RightsOfAccess) {
    size_t allowed = 0;
    for (int offset = 0; offset <= 192; ++offset) {
        for (const int size : {op::kB, op::kH, op::kW, op::kDw}) {
            for (const bool writes : {false, true}) {
                RawObject raw;
                raw.object.functions.front().spec =
                    ProgramSpec{abi::ProgType::FlowDissector, abi::AttachType::FlowDissector, 0, {}};
                raw.add(writes ? store_imm(size, 1, offset, 0) : load(size, 2, 1, offset));
                raw.add({mov(0, 0), exit_insn()});
                const auto object = raw.share();
                const bool here = vm::make_target()->load(object, {}).has_value();
                const bool there = kernel_target()->load(object, {}).has_value();
                allowed += there ? 1 : 0;
                EXPECT_EQ(here, there)
                    << (writes ? "store" : "load") << " of code " << size << " at " << offset;
            }
        }
    }
    EXPECT_EQ(allowed, 3u);
}

TEST_F(FlowDissector, OffsetsAreClamped) {
    for (const uint64_t network : {0, 13, 14, 20, 60, 61, 0xffff}) {
        for (const uint64_t transport : {0, 14, 19, 34, 60, 61, 0xffff}) {
            set_args({network, transport, 1, 0x0102030405060708, 0x1122, 7, 0x12345});
            run_both("change", frame_of(0x0800, 60));
        }
    }
    RunOptions often;
    often.repeat = 3;
    set_args({20, 30, 1, 2, 3, 4, 5});
    run_both("change", frame_of(0x0800, 60), often);
    run_both("show", frame_of(0x0800, 60), often);
}

TEST_F(FlowDissector, TestRunTakesFlagsOnly) {
    for (size_t at = 0; at < kKeys; ++at) {
        RunOptions options;
        options.context.resize(kKeys);
        options.context[at] = 1;
        set_args({});
        run_both("show", frame_of(0x0800, 60), options);
        run_both("change", frame_of(0x0800, 60), options);
    }
    for (const size_t size : {0, 1, 13, 14, 4095, 4096, 4097, 9000}) {
        set_args({});
        run_both("show", size < 14 ? ByteVec(size) : frame_of(0x0800, size));
    }
    RunOptions zero;
    zero.context.resize(kKeys);
    const RunResult result = run_both("show", frame_of(0x0800, 60), zero);
    EXPECT_EQ(result.context.size(), kKeys);
    EXPECT_EQ(verdict_name(abi::ProgType::FlowDissector, 129), "CONTINUE");
    static_assert(kFlags < kKeys);
}

} // namespace

} // namespace mimicsh::test
