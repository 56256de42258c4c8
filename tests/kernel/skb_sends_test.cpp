// SPDX-License-Identifier: MIT
// Copies that programs send, and the socket of the buffer, on both targets.
#include <algorithm>

#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

class SkbSends : public SendsParity {
  protected:
    /// Runs a program on both; what the vm says was sent has to arrive.
    void expect_copies(const char* program, const std::vector<uint64_t>& args, const ByteVec& packet,
                       const RunOptions& options = {}) {
        constexpr uint64_t kIngress = 1;
        std::vector<Fd> ears;
        for (const uint32_t interface : {kV0, kV1, kV2, kV3}) {
            ears.push_back(listen_on(interface));
        }
        set_args(args);
        run_both(program, packet, options);
        set_args(args);
        const auto result = vm_->find_program(program)->run(packet, options);
        ASSERT_TRUE(result);
        ASSERT_FALSE(result->fault);
        for (const Emitted& copy : result->emitted) {
            EXPECT_EQ(copy.kind, "clone");
            // A pair's ends follow each other: what one sends the other gets.
            const uint32_t at = (copy.flags & kIngress) != 0 ? copy.interface : copy.interface ^ 1;
            EXPECT_EQ(to_hex(next_frame(ears.at(at - kV0))), to_hex(copy.packet)) << "on " << at;
            ++copies_;
        }
        run_both(program, packet, options); // leaves the same number on both sides
    }
    size_t copies_ = 0;
};

TEST_F(SkbSends, CloneRedirect) {
    if (IsSkipped()) {
        return;
    }
    const std::vector<ByteVec> packets{frame_of(0x88b5, 60), frame_of(0x0800, 74), frame_of(0x86dd, 1400)};
    for (const ByteVec& packet : packets) {
        for (const auto& args : std::vector<std::vector<uint64_t>>{{kV0, 0, kV2, 0},
                                                                   {kV0, 1, kV0, 0},
                                                                   {kV1, 1, 99, 0},
                                                                   {99, 0, kV3, 0},
                                                                   {kV0, 2, kV0, 4},
                                                                   {0, 0, kV0, 1ull << 32},
                                                                   {1ull << 32 | kV0, 0, 0xffffffff, 1}}) {
            SCOPED_TRACE(testing::Message()
                         << "to " << args[0] << "/" << args[1] << ", " << args[2] << "/" << args[3]);
            expect_copies("clone", args, packet);
        }
        expect_copies("clone_moved", {8, 0, kV0, 0}, packet);
        expect_copies("clone_moved", {0, 20, kV0, 1}, packet);
        expect_copies("clone_moved", {64, static_cast<uint64_t>(-8), kV2, 0}, packet);
    }
    EXPECT_GT(copies_, 20u);
    RunOptions segments;
    segments.context.resize(192);
    store<uint32_t>(segments.context.data() + 176, 100); // gso_size
    expect_copies("clone", {kV0, 0, kV0, 1}, packets[0], segments);
}

/// The kernel's hash has a key of its own: what must be the same is which packets share one.
TEST_F(SkbSends, HashRecalc) {
    if (IsSkipped()) {
        return;
    }
    ByteVec there = frame_of(0x0800, 74);
    there[14] = 0x45;
    there[20] = there[21] = 0;
    there[23] = 17;
    ByteVec back = there;
    std::swap_ranges(back.begin() + 26, back.begin() + 30, back.begin() + 30);
    std::swap_ranges(back.begin() + 34, back.begin() + 36, back.begin() + 36);
    ByteVec other = there;
    other[35] ^= 1;
    ByteVec longer = there;
    longer.resize(200);
    std::vector<std::vector<uint64_t>> seen;
    for (Instance* side : {vm_.get(), kernel_.get()}) {
        auto& hashes = seen.emplace_back();
        for (const ByteVec& packet : {there, back, other, longer}) {
            set_args({7});
            const auto run = side->find_program("hash_recalc")->run(packet, {});
            ASSERT_TRUE(run);
            ASSERT_FALSE(run->fault);
            const ByteVec io = value_of(*side, ".bss");
            const auto out = [&](size_t at) { return number_at(io, kIoArgs + at); };
            EXPECT_EQ(out(0), 0u);
            EXPECT_NE(out(1), 0u);
            EXPECT_EQ(out(2), out(1));
            EXPECT_EQ(out(3), 7u);
            EXPECT_EQ(out(4), 0u);
            EXPECT_EQ(out(5), out(1));
            EXPECT_EQ(out(6), 0u);
            hashes.push_back(out(1));
        }
        EXPECT_EQ(hashes[0], hashes[1]);
        EXPECT_NE(hashes[0], hashes[2]);
        EXPECT_EQ(hashes[0], hashes[3]);
    }
}

TEST_F(WorldParity, BufferSocket) {
    if (IsSkipped()) {
        return;
    }
    open_world("parity/sends");
    ASSERT_TRUE(ready());
    for (const ByteVec& packet :
         {frame_of(0x0800, 74), frame_of(0x86dd, 90), frame_of(0x88b5, 14), frame_of(0x0806, 60)}) {
        for (const char* program : {"socket_tc", "socket_cgroup", "socket_filter"}) {
            SCOPED_TRACE(testing::Message() << program << ", " << packet.size() << " bytes");
            set_args({});
            run_both(program, packet);
            EXPECT_EQ(result(0), 1u);
        }
        for (const uint64_t flags : {0, 1}) {
            set_args({flags});
            run_both("assign", packet);
        }
    }
}

} // namespace

} // namespace mimicsh::test
