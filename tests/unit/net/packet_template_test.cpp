// SPDX-License-Identifier: MIT
// Varied packets against packets with the fields set one by one.
#include "net/packet_template.h"

#include <gtest/gtest.h>

#include "net/build.h"
#include "tests/unit/net/support.h"

namespace mimicsh::net {
namespace {

Packet packet_of(std::vector<std::pair<Protocol, std::vector<FieldSetting>>> layers,
                 std::string_view payload) {
    Packet packet;
    bool is_first = true;
    for (const auto& [protocol, fields] : layers) {
        const Packet layer = *build_layer(protocol, fields);
        packet = is_first ? layer : *stack(packet, layer);
        is_first = false;
    }
    return *stack(packet, Packet(ByteVec(payload.begin(), payload.end())));
}

Packet udp_packet() {
    return packet_of({{Protocol::kEth, {}},
                      {Protocol::kIp, {{"src", "10.0.0.1"}, {"dst", "10.0.0.2"}}},
                      {Protocol::kUdp, {{"sport", uint64_t{1}}, {"dport", uint64_t{2}}}}},
                     "odd");
}

ByteVec copy_of(const PacketTemplate& packet, uint64_t index) {
    ByteVec bytes = packet.bytes();
    uint64_t random = 1;
    packet.write(index, bytes, random);
    return bytes;
}

TEST(PacketTemplate, ChecksumsAreRightForEveryValueOfAField) {
    const Packet packet = udp_packet();
    const auto made = PacketTemplate::make(packet, {{.field = "udp.sport"}, {.field = "ip.tos"}});
    ASSERT_TRUE(made) << made.error().message();
    for (uint64_t i = 0; i < 65536; ++i) {
        Packet expected = packet;
        ASSERT_TRUE(expected.set(2, "sport", i));
        ASSERT_TRUE(expected.set(1, "tos", i % 256));
        ASSERT_EQ(copy_of(*made, i), expected.bytes()) << i;
    }
}

TEST(PacketTemplate, CountersStepAndStartAgain) {
    const Packet packet = udp_packet();
    const auto made = PacketTemplate::make(
        packet, {{.field = "ip.dst", .first = "10.0.0.254", .last = "10.0.1.3", .step = 4}});
    ASSERT_TRUE(made) << made.error().message();
    const char* expected[] = {"10.0.0.254", "10.0.1.2", "10.0.1.0", "10.0.0.254"};
    for (uint64_t i = 0; i < 4; ++i) {
        Packet wanted = packet;
        ASSERT_TRUE(wanted.set(1, "dst", expected[i]));
        EXPECT_EQ(copy_of(*made, i), wanted.bytes()) << i;
    }
}

TEST(PacketTemplate, MacAddressesVaryUnderAChecksumToo) {
    const Packet packet = packet_of(
        {{Protocol::kEth, {}}, {Protocol::kIp, {}}, {Protocol::kUdp, {}}, {Protocol::kEth, {}}}, "x");
    const auto made = PacketTemplate::make(
        packet, {{.field = "eth#2.src", .first = "01:ff:ff:ff:ff:f0", .last = "ff:ff:ff:ff:ff:ff"},
                 {.field = "eth.dst", .kind = Variation::Kind::kRandom, .first = "02:00:00:00:00:00"}});
    ASSERT_TRUE(made) << made.error().message();
    ByteVec bytes = made->bytes();
    uint64_t random = test_seed() | 1;
    std::set<ByteVec> seen;
    for (uint64_t i = 0; i < 1000; ++i) {
        made->write(i, bytes, random);
        Packet wanted = packet;
        ASSERT_TRUE(wanted.set(3, "src", uint64_t{0x01fffffffff0} + i));
        const ByteVec address(bytes.begin(), bytes.begin() + 6);
        ASSERT_TRUE(wanted.set(0, "dst", address));
        ASSERT_EQ(bytes, wanted.bytes()) << i;
        ASSERT_GE(address[0], 2);
        seen.insert(address);
    }
    EXPECT_EQ(seen.size(), 1000u); // two alike of 2^48 once in 500 million runs
}

TEST(PacketTemplate, RandomValuesStayInTheirRange) {
    const auto made = PacketTemplate::make(udp_packet(), {{.field = "udp.dport",
                                                           .kind = Variation::Kind::kRandom,
                                                           .first = uint64_t{7},
                                                           .last = uint64_t{9}}});
    ASSERT_TRUE(made) << made.error().message();
    ByteVec bytes = made->bytes();
    uint64_t random = test_seed() | 1;
    std::set<uint16_t> seen;
    for (uint64_t i = 0; i < 200; ++i) {
        made->write(i, bytes, random);
        seen.insert(load_be<uint16_t>(bytes.data() + made->fields()[0].offset));
    }
    EXPECT_EQ(seen, (std::set<uint16_t>{7, 8, 9}));
}

TEST(PacketTemplate, AWrongChecksumStays) {
    Packet packet = udp_packet();
    ASSERT_TRUE(packet.set(2, "checksum", uint64_t{0x1234}));
    const auto made = PacketTemplate::make(packet, {{.field = "udp.sport"}});
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_TRUE(made->checksums().empty());
    EXPECT_EQ(load_be<uint16_t>(copy_of(*made, 5).data() + 14 + 20 + 6), 0x1234);
}

TEST(PacketTemplate, FieldsThatCannotVaryAreRefused) {
    const std::pair<Variation, const char*> refused[] = {
        {{.field = "udp"}, "no such field"},
        {{.field = "udp.port"}, "udp has no such field"},
        {{.field = "nothing.port"}, "no such field"},
        {{.field = "udp#2.sport"}, "the packet has no such layer"},
        {{.field = "udp#0.sport"}, "no such field"},
        {{.field = "ip.version"}, "only whole fields"},
        {{.field = "ip.len"}, "lengths and checksums do not vary"},
        {{.field = "udp.sport", .first = uint64_t{70000}}, "70000"},
        {{.field = "udp.sport", .kind = Variation::Kind::kList}, "the list is empty"},
    };
    for (const auto& [variation, text] : refused) {
        const auto made = PacketTemplate::make(udp_packet(), {variation});
        ASSERT_FALSE(made) << variation.field;
        EXPECT_NE(made.error().text.find(text), std::string::npos) << made.error().text;
    }
}

} // namespace
} // namespace mimicsh::net
