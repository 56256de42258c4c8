// SPDX-License-Identifier: MIT
// Helpers on socket buffers, swept over their edges on both targets.
#include <algorithm>

#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class SkbHelpers : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            open_case("skb");
            ASSERT_TRUE(ready());
        }
    }

    void sweep(const char* program, const std::vector<uint64_t>& args, const ByteVec& packet) {
        std::string text = program;
        for (const uint64_t arg : args) {
            text += " " + std::to_string(static_cast<int64_t>(arg));
        }
        SCOPED_TRACE(text + ", " + std::to_string(packet.size()) + " bytes of " +
                     to_hex(ByteView(packet).subspan(12, 2)));
        set_args(args);
        run_both(program, packet);
    }
};

ByteVec frame(uint16_t ethertype, size_t size) {
    ByteVec bytes = packet_of(size);
    store_be(bytes.data() + 12, ethertype);
    return bytes;
}

/// An Ethernet frame with tags in front of an IPv4 packet.
ByteVec tagged(const std::vector<uint16_t>& tags, uint16_t inner, size_t size) {
    ByteVec bytes = packet_of(size);
    size_t at = 12;
    for (const uint16_t tag : tags) {
        store_be(bytes.data() + at, tag);
        store_be(bytes.data() + at + 2, static_cast<uint16_t>(0x1064 + at));
        at += 4;
    }
    store_be(bytes.data() + at, inner);
    return bytes;
}

uint64_t as_arg(int64_t value) {
    return static_cast<uint64_t>(value);
}

const std::vector<ByteVec>& frames() {
    static const std::vector<ByteVec> kFrames{frame(0x0800, 74), frame(0x86dd, 90), frame(0x0806, 60),
                                              frame(0x0800, 34), frame(0x86dd, 54), frame(0x88b5, 14)};
    return kFrames;
}

constexpr uint64_t kVlan = 0x0081, kVlanAd = 0xa888; ///< in network order, as programs give them

TEST_F(SkbHelpers, StoreBytes) {
    for (const ByteVec& packet : frames()) {
        const auto size = static_cast<int64_t>(packet.size());
        for (const int64_t offset : {int64_t{0}, int64_t{1}, size - 8, size - 7, size, int64_t{0x7fffffff},
                                     int64_t{0x80000000}, int64_t{-1}}) {
            for (const uint64_t length : {1, 8, 31}) {
                for (const uint64_t flags : {0, 1, 2, 3, 4}) {
                    sweep("store_bytes", {as_arg(offset), length, flags}, packet);
                }
            }
        }
    }
}

TEST_F(SkbHelpers, LoadBytes) {
    for (const char* program : {"load_bytes", "load_bytes_filter", "load_bytes_cgroup"}) {
        for (const ByteVec& packet : frames()) {
            const auto size = static_cast<int64_t>(packet.size());
            for (const int64_t offset : {int64_t{0}, int64_t{3}, size - 8, size - 21, size - 7, size,
                                         int64_t{0xffff}, int64_t{0x10000}, int64_t{-14}, int64_t{-1}}) {
                for (const uint64_t length : {1, 8, 31}) {
                    for (const uint64_t start : {0, 1, 2}) {
                        sweep(program, {as_arg(offset), length, start}, packet);
                    }
                }
            }
        }
    }
}

TEST_F(SkbHelpers, Checksums) {
    constexpr uint64_t kValues[] = {0, 1, 0xffff, 0x1234, 0x8000, 0xffffffff, 0x12345678, 0x10000};
    for (const char* program : {"l3_csum", "l4_csum"}) {
        for (const uint64_t flags : {0x00, 0x02, 0x04, 0x01, 0x08, 0x10, 0x12, 0x14, 0x20, 0x22, 0x24, 0x62,
                                     0x64, 0x80, 0x94, 0x100}) {
            for (const uint64_t from : kValues) {
                for (const uint64_t to : kValues) {
                    sweep(program, {24, from, to, flags}, frames()[0]);
                }
            }
            for (const int64_t offset : {0, 1, 23, 72, 73, 74, 0xffff, 0x10000, -2}) {
                sweep(program, {as_arg(offset), 0, 0x1234, flags}, frames()[0]);
            }
        }
        ByteVec zero = frames()[0];
        std::fill(zero.begin() + 20, zero.end(), 0);
        for (const uint64_t flags : {0x00, 0x20, 0x60, 0x22, 0x62, 0x64}) {
            sweep(program, {24, 0, 0xffff, flags}, zero);
            sweep(program, {24, 0, 0, flags}, zero);
        }
    }
}

TEST_F(SkbHelpers, ChecksumState) {
    sweep("csum_state", {0, 1, 0, 1, 0, 2, 0, 3}, frames()[0]);
    sweep("csum_state", {1, 1, 1, 1, 1, 0, 2, 0}, frames()[0]);
    sweep("csum_state", {2, 0, 3, 0, 4, 1, 3, 0}, frames()[0]);
}

TEST_F(SkbHelpers, VlanTags) {
    const std::vector<ByteVec> packets{
        frame(0x0800, 74),
        frame(0x88b5, 14),
        frame(0x8100, 14),
        tagged({0x8100}, 0x0800, 60),
        tagged({0x88a8, 0x8100}, 0x0800, 60),
        tagged({0x88a8, 0x8100, 0x8100}, 0x86dd, 60),
        tagged({0x8100}, 0x0100, 60),
        tagged({0x8100}, 0x0800, 18),
    };
    const uint64_t push = kVlan << 32 | 0x64, push_ad = kVlanAd << 32 | 0x123,
                   push_other = uint64_t{8} << 32 | 5;
    const std::vector<std::vector<uint64_t>> orders{{0, 0, 0, 0, 0},
                                                    {push, 0, 0, 0, 0},
                                                    {push, push, push, 0, 0},
                                                    {push_ad, push, 0, 0, push},
                                                    {push_other, push_ad, push, push, push},
                                                    {0, push, push_ad, 0, push}};
    for (const ByteVec& packet : packets) {
        for (const auto& order : orders) {
            sweep("vlan", order, packet);
        }
    }
}

TEST_F(SkbHelpers, ChangeProto) {
    for (const ByteVec& packet : frames()) {
        for (const uint64_t to : {0x0008, 0xdd86, 0x0608}) {
            for (const uint64_t flags : {0, 1}) {
                for (const uint64_t back : {0x0008, 0xdd86}) {
                    sweep("change_proto", {to, flags, back}, packet);
                }
            }
        }
    }
}

TEST_F(SkbHelpers, ChangeType) {
    for (uint64_t type = 0; type < 9; ++type) {
        sweep("change_type", {type}, frames()[0]);
    }
}

TEST_F(SkbHelpers, ChangeTail) {
    for (const ByteVec& packet : frames()) {
        for (const int64_t length :
             {0, 13, 14, 15, 20, 60, 74, 75, 1500, 4000, 16063, 16064, 16065, 70000, -1}) {
            for (const uint64_t flags : {0, 1}) {
                sweep("change_tail", {as_arg(length), flags, 0, 0, 64, kVlan}, packet);
            }
        }
    }
}

TEST_F(SkbHelpers, ChangeHead) {
    for (const ByteVec& packet : frames()) {
        for (const int64_t room : {0, 1, 14, 64, 65, 1500, 15974, 15990, 15991, 16050, 70000, -1}) {
            for (const uint64_t flags : {0, 1}) {
                for (const uint64_t tail : {30, 100, 13}) {
                    sweep("change_head", {as_arg(room), flags, 0, 0, tail, kVlanAd}, packet);
                }
            }
        }
    }
}

TEST_F(SkbHelpers, PullData) {
    for (const ByteVec& packet : frames()) {
        for (const int64_t length : {0, 1, 14, 34, 54, 60, 74, 75, 90, 91, 5000, -1}) {
            sweep("pull_data", {as_arg(length), 0, 0, 0, 64, kVlan}, packet);
        }
    }
}

TEST_F(SkbHelpers, AdjustRoom) {
    const std::vector<uint64_t> kFlags{0,
                                       1 << 0,
                                       1 << 1,
                                       1 << 2,
                                       (1 << 1) | (1 << 2),
                                       (1 << 1) | (1 << 3),
                                       (1 << 2) | (1 << 4),
                                       (1 << 1) | (1 << 3) | (1 << 4),
                                       1 << 3,
                                       1 << 5,
                                       (1 << 1) | (1 << 6),
                                       (1 << 1) | (1 << 6) | uint64_t{14} << 56,
                                       (1 << 2) | uint64_t{4} << 56,
                                       1 << 7,
                                       1 << 8,
                                       (1 << 7) | (1 << 8),
                                       (1 << 7) | (1 << 1),
                                       1 << 9,
                                       uint64_t{1} << 40};
    for (const ByteVec& packet : frames()) {
        for (const int64_t by :
             {0, 4, 8, 13, 14, 20, 28, 40, 50, 4095, 4096, -1, -4, -8, -14, -20, -34, -40, -60, -4096}) {
            for (const uint64_t mode : {0, 1, 2}) {
                for (const uint64_t flags : kFlags) {
                    sweep("adjust_room", {as_arg(by), mode, flags, 0, 64, kVlan}, packet);
                }
            }
        }
    }
    for (const uint64_t first : kFlags) {
        for (const uint64_t second : kFlags) {
            sweep("adjust_twice", {28, 1, first, as_arg(-28), 1, second}, frames()[0]);
            sweep("adjust_twice", {40, 1, first, 20, 0, second}, frames()[0]);
        }
    }
}

TEST_F(SkbHelpers, WhatWasCutOffIsStillInTheBuffer) {
    for (const ByteVec& packet : frames()) {
        for (uint64_t length = 14; length < packet.size(); length += 3) {
            for (const int64_t by :
                 {4, 20, 64}) { // no further than the headroom: what a new buffer has is unknown
                sweep("cut_and_grow", {length, as_arg(by), 0}, packet);
                sweep("cut_and_grow", {length, as_arg(by), 1}, packet);
            }
        }
    }
}

TEST_F(SkbHelpers, TransportAtTheNetworkHeaderStaysThere) {
    for (const uint64_t encap : {1 << 1 | 1 << 3, 1 << 1 | 1 << 4, 1 << 2 | 1 << 4}) {
        const int64_t header = (encap & 2) != 0 ? 20 : 40;
        for (const int64_t less : {header - 1, header, header + 1}) {
            for (const int64_t by : {-8, 8, 20, 70}) {
                for (const uint64_t mode : {0, 1}) {
                    for (uint64_t length = 0; length < 120; length += 5) {
                        sweep("encap_and_back",
                              {8, encap, as_arg(-less), 1 << 7, as_arg(by), mode, 0, length}, frames()[0]);
                    }
                }
            }
        }
    }
}

TEST_F(SkbHelpers, EcnSetCe) {
    std::vector<ByteVec> packets = frames();
    packets.push_back(tagged({0x8100}, 0x0800, 60));
    packets.push_back(tagged({0x88a8, 0x8100}, 0x86dd, 74));
    packets.push_back(tagged({0x8100}, 0x86dd, 50));
    for (const char* program : {"ecn", "ecn_cgroup"}) {
        for (ByteVec packet : packets) {
            for (int bits = 0; packet.size() > 16 && bits < 8; ++bits) {
                const int shift = packet[12] == 0x86 ? 4 : 0;
                packet[15] = static_cast<uint8_t>(bits << shift);
                for (const uint16_t check : std::initializer_list<uint16_t>{0, 1, 0xffff, 0xfffe, 0x1234}) {
                    if (packet.size() > 26) {
                        store_be(packet.data() + 24, check);
                    }
                    sweep(program, {}, packet);
                }
            }
        }
    }
}

TEST_F(SkbHelpers, Hash) {
    sweep("hash", {0x12345678}, frames()[0]);
    sweep("hash", {0}, frames()[0]);
}

TEST_F(SkbHelpers, Tstamp) {
    for (const ByteVec& packet : frames()) {
        for (const uint64_t stamp : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 40}) {
            for (const uint64_t type : {0, 1, 2, 3}) {
                sweep("tstamp", {stamp, type}, packet);
            }
        }
    }
}

TEST_F(SkbHelpers, Redirects) {
    for (const uint64_t flags : {0, 1, 2, 4}) {
        for (const uint64_t interface : {0, 1, 99999}) {
            sweep("redirects", {flags, interface}, frames()[0]);
        }
    }
}

} // namespace

} // namespace mimicsh::test
