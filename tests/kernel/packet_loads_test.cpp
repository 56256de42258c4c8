// SPDX-License-Identifier: MIT
// BPF_LD_ABS and BPF_LD_IND on socket buffers: offsets from the packet and from its headers, past the end, in
// subprograms.
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class PacketLoads : public ParityTest {};

RawObject object_for(abi::ProgType type) {
    RawObject raw;
    raw.object.functions.front().spec = ProgramSpec{type, abi::AttachType::None, 0, {}};
    return raw;
}

constexpr std::array kTypes{abi::ProgType::SchedCls, abi::ProgType::SchedAct, abi::ProgType::SocketFilter};

TEST_F(PacketLoads, OffsetsOfAllKinds) {
    constexpr int64_t kNetwork = -0x100000, kLink = -0x200000;
    const std::vector<int64_t> offsets{0,
                                       1,
                                       13,
                                       48,
                                       59,
                                       60,
                                       61,
                                       63,
                                       64,
                                       0x7fffffff,
                                       -1,
                                       -4,
                                       -0x1000,
                                       kNetwork,
                                       kNetwork - 1,
                                       kNetwork + 20,
                                       kNetwork + 45,
                                       kNetwork + 49,
                                       kNetwork + 50,
                                       kLink,
                                       kLink - 1,
                                       kLink + 12,
                                       kLink + 60,
                                       kLink + 64,
                                       INT32_MIN};
    for (const abi::ProgType type : kTypes) {
        for (const int size : {op::kB, op::kH, op::kW}) {
            for (const int64_t offset : offsets) {
                for (const bool indirect : {false, true}) {
                    SCOPED_TRACE(testing::Message() << abi::name(type) << ", size " << size << ", offset "
                                                    << offset << (indirect ? ", indirect" : ""));
                    RawObject raw = object_for(type);
                    raw.add(mov_reg(6, 1)).load_value(7, raw.add_data(8));
                    if (indirect) {
                        raw.load_number(2, static_cast<uint64_t>(offset) - 3);
                        raw.add(insn(op::kLd | op::kInd | size, 0, 2, 0, 3));
                    } else {
                        raw.add(insn(op::kLd | op::kAbs | size, 0, 0, 0, offset));
                    }
                    raw.add({store_reg(op::kDw, 7, 0, 0), mov(0, 7), exit_insn()});
                    open(raw.share());
                    ASSERT_TRUE(ready());
                    run_both("main", packet_of(64));
                }
            }
        }
    }
}

TEST_F(PacketLoads, HighHalfOfTheIndexIsIgnored) {
    RawObject raw = object_for(abi::ProgType::SchedCls);
    raw.add(mov_reg(6, 1)).load_value(7, raw.add_data(8)).load_number(2, 0xabcd00000005);
    raw.add({insn(op::kLd | op::kInd | op::kW, 0, 2, 0, 1), store_reg(op::kDw, 7, 0, 0), exit_insn()});
    open(raw.share());
    ASSERT_TRUE(ready());
    run_both("main", packet_of(64));
}

TEST_F(PacketLoads, SubprogramReturnsZeroPastTheEnd) {
    const auto object = compile_text(std::string(kPrelude) + R"(
unsigned long long load_word(void *skb, unsigned long long offset) asm("llvm.bpf.load.word");
static __attribute__((noinline)) int at(struct __sk_buff *skb, int offset) { return load_word(skb, offset) | 1; }
SEC("tc") int main_program(struct __sk_buff *skb) {
    return at(skb, 12) * 3 + at(skb, 1000) + 5;
}
char LICENSE[] SEC("license") = "GPL";
)");
    open(object);
    ASSERT_TRUE(ready());
    run_both("main_program", packet_of(64));
}

TEST_F(PacketLoads, BothRefuse) {
    std::vector<RawObject> refused;
    for (const abi::ProgType type : {abi::ProgType::Xdp, abi::ProgType::CgroupSkb, abi::ProgType::LwtIn}) {
        refused.push_back(object_for(type));
        refused.back().add({mov_reg(6, 1), insn(op::kLd | op::kAbs | op::kB, 0, 0, 0, 0), exit_insn()});
    }
    refused.push_back(object_for(abi::ProgType::SchedCls)); // no context in r6
    refused.back().add({mov(6, 1), insn(op::kLd | op::kAbs | op::kB, 0, 0, 0, 0), exit_insn()});
    refused.push_back(object_for(abi::ProgType::SchedCls)); // a subprogram without types
    refused.back().call_function(1).add(exit_insn());
    refused.back().begin_function("sub");
    refused.back().add({mov_reg(6, 1), insn(op::kLd | op::kAbs | op::kB, 0, 0, 0, 0), exit_insn()});
    for (const RawObject& raw : refused) {
        EXPECT_FALSE(vm::make_target()->load(raw.share(), {}));
        EXPECT_FALSE(kernel_target()->load(raw.share(), {}));
    }
}

} // namespace

} // namespace mimicsh::test
