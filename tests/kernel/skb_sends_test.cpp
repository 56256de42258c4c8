// SPDX-License-Identifier: MIT
// Copies that programs send, headers that they put in front, and the socket of the buffer, on both targets.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

constexpr uint32_t kV0 = 10, kV1 = 11, kV2 = 12, kV3 = 13;

/// Everything that arrives on one interface.
Fd listen_on(uint32_t interface) {
    Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    EXPECT_TRUE(fd.valid());
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(interface);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
}

/// The next frame that came in and that no interface of the namespace made by itself; empty at the deadline.
ByteVec next_frame(const Fd& fd) {
    constexpr int kDeadline = 60'000;
    for (;;) {
        pollfd one{fd.get(), POLLIN, 0};
        if (poll(&one, 1, kDeadline) != 1) {
            return {};
        }
        ByteVec bytes(20000);
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        const ssize_t got =
            recvfrom(fd.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
        const bool own = bytes[6] == 2 && bytes[10] == 0;
        if (got > 0 && from.sll_pkttype != PACKET_OUTGOING && !own) {
            bytes.resize(static_cast<size_t>(got));
            return bytes;
        }
    }
}

class SkbSends : public WorldParity {
  protected:
    void SetUp() override {
        WorldParity::SetUp();
        if (!IsSkipped()) {
            open_world("parity/sends");
            ASSERT_TRUE(ready());
        }
    }
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

ByteVec frame(uint16_t ethertype, size_t size) {
    ByteVec bytes = packet_of(size);
    store_be(bytes.data() + 12, ethertype);
    return bytes;
}

TEST_F(SkbSends, CloneRedirect) {
    if (IsSkipped()) {
        return;
    }
    const std::vector<ByteVec> packets{frame(0x88b5, 60), frame(0x0800, 74), frame(0x86dd, 1400)};
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

TEST_F(SkbSends, LwtPushEncap) {
    if (IsSkipped()) {
        return;
    }
    size_t pushed = 0;
    for (const uint8_t first : std::initializer_list<uint8_t>{0x45, 0x46, 0x4f, 0x60, 0x50, 0x40}) {
        for (const uint16_t check : std::initializer_list<uint16_t>{0, 0x1234}) {
            ByteVec headers = packet_of(512);
            headers[0] = first;
            store_be(headers.data() + 10, check);
            for (Instance* side : {vm_.get(), kernel_.get()}) {
                set_value(*side, ".data.headers", headers);
            }
            for (const uint64_t size : {1, 19, 20, 23, 24, 28, 39, 40, 48, 60, 256, 257, 511}) {
                for (const ByteVec& packet : {frame(0x0800, 74), frame(0x86dd, 90), frame(0x88b5, 14)}) {
                    SCOPED_TRACE(testing::Message() << unsigned{first} << ", check " << check << ", " << size
                                                    << " bytes before " << packet.size());
                    set_args({2, size});
                    run_both("push_in", packet);
                    pushed += result(0) == 0 ? 1 : 0;
                }
            }
        }
    }
    EXPECT_GT(pushed, 100u);
    for (const uint64_t type : {3, 4, 255}) {
        set_args({type, 40});
        run_both("push_in", frame(0x0800, 74));
    }
}

/// The kernel's hash has a key of its own: what must be the same is which packets share one.
TEST_F(SkbSends, HashRecalc) {
    if (IsSkipped()) {
        return;
    }
    ByteVec there = frame(0x0800, 74);
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
         {frame(0x0800, 74), frame(0x86dd, 90), frame(0x88b5, 14), frame(0x0806, 60)}) {
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
