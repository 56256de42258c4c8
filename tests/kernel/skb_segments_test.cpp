// SPDX-License-Identifier: MIT
// Helpers on socket buffers that are to be cut into segments (gso_size given in the context).
#include "tests/kernel/parity.h"
#include "vm/context/sk_buff.h"

namespace mimicsh::test {

namespace {

class SkbSegments : public ParityTest {
  protected:
    /// Calls a helper with (context, r2, 0), twice, and reads what it may have changed.
    void call_twice(int helper, int64_t argument) {
        SCOPED_TRACE(testing::Message() << "helper " << helper << " with " << argument);
        RawObject raw;
        raw.object.functions.front().spec =
            ProgramSpec{abi::ProgType::SchedCls, abi::AttachType::None, 0, {}};
        raw.add(mov_reg(6, 1)).load_value(7, raw.add_data(64));
        int at = 0;
        for (int i = 0; i < 2; ++i) {
            raw.add({mov_reg(1, 6), mov(2, argument), mov(3, 0), call(helper),
                     store_reg(op::kDw, 7, 8 * at++, 0)});
            for (const int field : {vm::kSkbLen, vm::kSkbGsoSize, vm::kSkbGsoSegs}) {
                raw.add({load(op::kW, 2, 6, field), store_reg(op::kDw, 7, 8 * at++, 2)});
            }
        }
        raw.add({mov(0, 1), exit_insn()});
        open(raw.share());
        ASSERT_TRUE(ready());
        RunOptions options;
        options.context.resize(vm::kSkbSize);
        store<uint32_t>(options.context.data() + vm::kSkbGsoSize, 1000);
        store<uint32_t>(options.context.data() + vm::kSkbGsoSegs, 0xe7);
        run_both("main", packet_of(100), options);
    }
};

constexpr int kChangeProto = 31, kChangeTail = 38, kChangeHead = 43;

TEST_F(SkbSegments, ChangeTailEndsSegmentation) {
    for (const int64_t length : {60, 100, 300, 65000, 70000}) {
        call_twice(kChangeTail, length);
    }
}

TEST_F(SkbSegments, ChangeProtoGoesOn) {
    call_twice(kChangeProto, 0xdd86);
    call_twice(kChangeProto, 0x0008);
}

TEST_F(SkbSegments, ChangeHeadHasNoLimit) {
    for (const int64_t room : {0, 1, 14, 200, 65500, 70000, 200'000, 8'000'000, 0x7fffffff}) {
        call_twice(kChangeHead, room);
    }
}

/// The kernel counts headers from the buffer's start in 16 bits: behind 64 KB of room they are elsewhere.
TEST_F(SkbSegments, HeadersAreCountedIn16Bits) {
    constexpr int kLoadBytesRelative = 68, kOnStack = -8, kFromNetwork = -0x100000;
    for (const int64_t room : {65000, 65400, 66965, 70000, 131'200, 200'000}) {
        SCOPED_TRACE(testing::Message() << "room " << room);
        RawObject raw;
        raw.object.functions.front().spec =
            ProgramSpec{abi::ProgType::SchedCls, abi::AttachType::None, 0, {}};
        raw.add(mov_reg(6, 1)).load_value(7, raw.add_data(64));
        raw.add({mov_reg(1, 6), mov(2, room), mov(3, 0), call(kChangeHead), store_reg(op::kDw, 7, 0, 0)});
        int at = 1;
        for (const int offset : {0, 20, 52, 85, 90, 2000}) {
            raw.add({store_imm(op::kDw, 10, kOnStack, -1), mov_reg(1, 6), mov(2, offset), mov_reg(3, 10),
                     insn(op::kAlu64 | op::kAdd, 3, 0, 0, kOnStack), mov(4, 2), mov(5, 1),
                     call(kLoadBytesRelative), load(op::kDw, 1, 10, kOnStack),
                     insn(op::kAlu64 | op::kXor | op::kX, 0, 1, 0, 0), store_reg(op::kDw, 7, 8 * at++, 0)});
        }
        raw.add({insn(op::kLd | op::kAbs | op::kH, 0, 0, 0, kFromNetwork + 52), store_reg(op::kDw, 7, 56, 0),
                 mov(0, 1), exit_insn()});
        open(raw.share());
        ASSERT_TRUE(ready());
        RunOptions options;
        options.context.resize(vm::kSkbSize);
        store<uint32_t>(options.context.data() + vm::kSkbGsoSize, 1000);
        run_both("main", packet_of(53), options);
    }
}

} // namespace

} // namespace mimicsh::test
