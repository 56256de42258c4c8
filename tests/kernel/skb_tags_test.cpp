// SPDX-License-Identifier: MIT
// Where the headers of a socket buffer are once tags have gone into the packet.
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class SkbTags : public ParityTest {};

constexpr int kVlanPush = 18, kVlanPop = 19, kAdjustRoom = 50, kLoadRelative = 68, kEcnSetCe = 97;

TEST_F(SkbTags, HeadersAfterPushesAndPops) {
    for (int pushes = 0; pushes <= 4; ++pushes) {
        for (int pops = 0; pops <= pushes; ++pops) {
            for (const int last : {kEcnSetCe, kAdjustRoom}) {
                SCOPED_TRACE(testing::Message()
                             << pushes << " pushes, " << pops << " pops, then helper " << last);
                RawObject raw;
                raw.object.functions.front().spec =
                    ProgramSpec{abi::ProgType::SchedCls, abi::AttachType::None, 0, {}};
                raw.add(mov_reg(6, 1)).load_value(7, raw.add_data(32));
                for (int i = 0; i < pushes; ++i) {
                    raw.add({mov_reg(1, 6), mov(2, 0x0081), mov(3, 100 + i), call(kVlanPush)});
                }
                for (int i = 0; i < pops; ++i) {
                    raw.add({mov_reg(1, 6), call(kVlanPop)});
                }
                for (const int start : {0, 1}) { // from the link-layer and the network header
                    raw.add({mov_reg(1, 6), mov(2, 0), mov_reg(3, 7), add(3, 8 * start), mov(4, 8),
                             mov(5, start), call(kLoadRelative)});
                }
                raw.add({mov_reg(1, 6), mov(2, 8), mov(3, 0), mov(4, 0), call(last),
                         store_reg(op::kDw, 7, 16, 0), mov(0, 1), exit_insn()});
                open(raw.share());
                ASSERT_TRUE(ready());
                ByteVec packet = packet_of(80);
                packet[14] = 0x45;
                packet[15] = 1; // ECT(1)
                run_both("main", packet);
            }
        }
    }
}

} // namespace

} // namespace mimicsh::test
