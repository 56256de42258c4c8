// SPDX-License-Identifier: MIT
// What decides whether a program loads, beyond single instructions: branches that read-only data leaves out,
// the stack of a call chain; and packet loads, which only some types may use.
#include <array>

#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

using abi::ProgType;

class LoadRules : public ParityTest {
  protected:
    /// Whether each target loads the object.
    static std::pair<bool, bool> loads(const std::shared_ptr<const Object>& object,
                                       const LoadOptions& options = {}) {
        const auto here = vm::make_target()->load(object, options);
        const auto there = kernel_target()->load(object, options);
        return {here.has_value(), there.has_value()};
    }
};

constexpr std::string_view kSwitched = R"(
const volatile __u32 level;
const volatile struct { __u32 unused; __u8 flags; } config;
SEC("xdp") int prog(struct xdp_md *ctx) {
    int verdict = 2;
    if (level)
        verdict = bpf_skb_pull_data((void *)ctx, 0);
    if ((config.flags & 4) && level < 7)
        verdict = bpf_get_socket_uid((void *)ctx);
    return verdict;
}
)";

TEST_F(LoadRules, WhatReadOnlyDataLeavesOutIsNotLookedAt) {
    const auto object = compile_text(std::string(kPrelude) + std::string(kSwitched));
    ASSERT_NE(object, nullptr);
    open(object);
    ASSERT_TRUE(ready());
    run_both("prog", packet_of(64));
    const MapDef* data = object->find_map(".rodata");
    ASSERT_NE(data, nullptr);
    ASSERT_GE(data->value_size, 9u);
    for (uint32_t at = 0; at < data->value_size; ++at) {
        LoadOptions options;
        options.data[".rodata"] = ByteVec(data->value_size);
        options.data[".rodata"][at] = 4;
        const auto [here, there] = loads(object, options);
        EXPECT_EQ(here, there) << "byte " << at << " is 4";
    }
    LoadOptions level;
    level.data[".rodata"] = ByteVec(data->value_size, 1);
    EXPECT_EQ(loads(object, level), (std::pair{false, false}));
}

TEST_F(LoadRules, FramesAreRoundedUpTogether) {
    size_t accepted = 0;
    for (const int caller : {8, 241, 480, 481, 488, 496, 497, 504, 512}) {
        for (const int callee : {0, 1, 8, 16, 17, 32, 33, 256, 272, 512}) {
            RawObject raw;
            raw.add(store_imm(op::kB, 10, -caller, 1)).call_function(1).add({mov(0, 2), exit_insn()});
            raw.begin_function("callee");
            if (callee != 0) {
                raw.add(store_imm(op::kB, 10, -callee, 1));
            }
            raw.add({mov(0, 0), exit_insn()});
            const auto [here, there] = loads(raw.share());
            EXPECT_EQ(here, there) << caller << " bytes call " << callee;
            accepted += there ? 1 : 0;
        }
    }
    EXPECT_GE(accepted, 20u);
    EXPECT_LE(accepted, 70u);
}

/// A program that returns what one packet load gives.
std::shared_ptr<const Object> packet_load(ProgType type, int mode, int size, int index, int imm) {
    RawObject raw;
    raw.object.functions.front().spec = ProgramSpec{type, abi::AttachType::None, 0, {}};
    raw.add({mov_reg(6, 1), mov(2, index), insn(op::kLd | mode | size, 0, mode == op::kInd ? 2 : 0, 0, imm),
             exit_insn()});
    return raw.share();
}

TEST_F(LoadRules, PacketLoadsCountFromDataAndFromHeaders) {
    constexpr int kNetwork = -0x100000, kMac = -0x200000;
    const ByteVec packet = packet_of(64);
    for (const ProgType type : {ProgType::SocketFilter, ProgType::SchedCls, ProgType::SchedAct}) {
        for (const int size : {op::kB, op::kH, op::kW}) {
            for (const int offset : {0,
                                     1,
                                     13,
                                     46,
                                     50,
                                     60,
                                     61,
                                     62,
                                     63,
                                     64,
                                     INT32_MAX,
                                     -1,
                                     -4,
                                     -0x1000,
                                     kNetwork,
                                     kNetwork + 1,
                                     kNetwork + 49,
                                     kNetwork + 50,
                                     kNetwork - 1,
                                     kMac,
                                     kMac + 12,
                                     kMac + 60,
                                     kMac + 63,
                                     kMac + 64,
                                     kMac - 1,
                                     INT32_MIN}) {
                SCOPED_TRACE(testing::Message()
                             << abi::name(type) << " size " << size << " offset " << offset);
                open(packet_load(type, op::kAbs, size, 0, offset));
                ASSERT_TRUE(ready());
                run_both("main", packet);
                open(packet_load(type, op::kInd, size, 7,
                                 static_cast<int>(static_cast<uint32_t>(offset) - 7)));
                ASSERT_TRUE(ready());
                run_both("main", packet);
            }
        }
    }
}

TEST_F(LoadRules, PacketLoadsAreForFiltersAndClassifiers) {
    for (const ProgType type : {ProgType::Xdp, ProgType::CgroupSkb, ProgType::LwtIn, ProgType::LwtOut,
                                ProgType::LwtXmit, ProgType::SchedCls}) {
        const auto [here, there] = loads(packet_load(type, op::kAbs, op::kB, 0, 0));
        EXPECT_EQ(here, there) << abi::name(type);
    }
    RawObject raw;
    raw.object.functions.front().spec = ProgramSpec{ProgType::SchedCls, abi::AttachType::None, 0, {}};
    raw.add({mov(6, 0), insn(op::kLd | op::kAbs | op::kB, 0, 0, 0, 0), exit_insn()});
    EXPECT_EQ(loads(raw.share()), (std::pair{false, false}));
}

} // namespace

} // namespace mimicsh::test
