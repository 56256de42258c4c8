// SPDX-License-Identifier: MIT
// Building: defaults, stacking, explicit wrong values.
#include "net/build.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "net/dissect.h"

namespace mimicsh::net {
namespace {

uint64_t number(const Packet& packet, size_t layer, const char* field) {
    auto value = packet.get(layer, field);
    return value ? std::get<uint64_t>(*value) : UINT64_MAX;
}

TEST(Build, StackingNamesTheProtocolAbove) {
    struct Case {
        std::vector<Protocol> layers;
        const char* field;
        uint64_t value; // of the first layer
    };
    const Case cases[] = {
        {{Protocol::kEth, Protocol::kIp}, "type", 0x0800},
        {{Protocol::kEth, Protocol::kIp6}, "type", 0x86dd},
        {{Protocol::kEth, Protocol::kArp}, "type", 0x0806},
        {{Protocol::kEth, Protocol::kVlan, Protocol::kIp}, "type", 0x8100},
        {{Protocol::kVlan, Protocol::kIp}, "type", 0x0800},
        {{Protocol::kIp, Protocol::kUdp}, "proto", 17},
        {{Protocol::kIp, Protocol::kTcp}, "proto", 6},
        {{Protocol::kIp, Protocol::kIcmp}, "proto", 1},
        {{Protocol::kIp6, Protocol::kIcmp6}, "next", 58},
        {{Protocol::kIp6, Protocol::kHopOpts, Protocol::kUdp}, "next", 0},
        {{Protocol::kHopOpts, Protocol::kUdp}, "next", 17},
        {{Protocol::kFragment, Protocol::kTcp}, "next", 6},
    };
    for (const Case& c : cases) {
        std::vector<Part> parts;
        for (Protocol protocol : c.layers) {
            parts.emplace_back(LayerSpec{protocol});
        }
        auto packet = build(parts);
        ASSERT_TRUE(packet);
        EXPECT_EQ(number(*packet, 0, c.field), c.value) << layout_of(c.layers[1]).name;
        Packet found = dissect(packet->bytes(), c.layers[0]);
        ASSERT_EQ(found.layers().size(), c.layers.size());
        EXPECT_EQ(found.layers().back().protocol, c.layers.back());
    }
}

TEST(Build, KeepsWrongValuesAsWrittenAndWireMakesThemRight) {
    auto packet = build({LayerSpec{Protocol::kEth},
                         LayerSpec{Protocol::kIp, {{"len", uint64_t{20}}, {"checksum", uint64_t{0xdead}}}},
                         LayerSpec{Protocol::kUdp, {{"len", uint64_t{999}}}}, ByteVec{1, 2, 3}});
    ASSERT_TRUE(packet);
    EXPECT_EQ(number(*packet, 1, "len"), 20U);
    EXPECT_EQ(number(*packet, 1, "checksum"), 0xdeadU);
    EXPECT_EQ(number(*packet, 2, "len"), 999U);
    Packet wire = packet->wire();
    EXPECT_EQ(number(wire, 1, "len"), 31U);
    EXPECT_EQ(number(wire, 1, "checksum"), wire.expected_checksum(1));
    EXPECT_EQ(number(wire, 2, "len"), 11U);
    EXPECT_EQ(number(wire, 2, "checksum"), wire.expected_checksum(2));
}

TEST(Build, ExplicitNextHeaderStays) {
    auto packet = build({LayerSpec{Protocol::kEth, {{"type", uint64_t{0x88a8}}}}, LayerSpec{Protocol::kVlan},
                         LayerSpec{Protocol::kVlan}, LayerSpec{Protocol::kIp}});
    ASSERT_TRUE(packet);
    EXPECT_EQ(number(*packet, 0, "type"), 0x88a8U);
    EXPECT_EQ(number(*packet, 1, "type"), 0x8100U);
    EXPECT_EQ(number(*packet, 2, "type"), 0x0800U);
}

TEST(Build, StackingIsAssociative) {
    auto eth = build_layer(Protocol::kEth);
    auto ip = build_layer(Protocol::kIp, {{"options", "ra=0"}});
    auto udp = build_layer(Protocol::kUdp);
    ASSERT_TRUE(eth && ip && udp);
    Packet data(ByteVec{1, 2, 3, 4, 5});
    auto from_left = stack(*stack(*stack(*eth, *ip), *udp), data);
    auto from_right = stack(*eth, *stack(*ip, *stack(*udp, data)));
    ASSERT_TRUE(from_left && from_right);
    EXPECT_EQ(to_hex(from_left->bytes()), to_hex(from_right->bytes()));
    EXPECT_EQ(from_left->wire().bytes(), from_left->bytes());
}

TEST(Build, UdpChecksumThatComputesToZeroIsSentAsOnes) {
    // The last word makes the sum complete: found by asking for the checksum of the packet without it.
    auto packet = build({LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp}, ByteVec{0, 0}});
    ASSERT_TRUE(packet);
    auto rest = static_cast<uint16_t>(number(*packet, 1, "checksum"));
    ByteVec word(2);
    store_be(word.data(), rest);
    ASSERT_TRUE(packet->set_payload(word));
    EXPECT_EQ(number(*packet, 1, "checksum"), 0xffffU);
}

TEST(Build, RefusesUnknownFieldsHeadersOverPayloadAndHugePackets) {
    auto unknown = build_layer(Protocol::kIp, {{"color", uint64_t{1}}});
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().message(), "build packet: ip.color: no such field");
    EXPECT_NE(unknown.error().hint.find(" ttl "), std::string::npos);

    auto over_payload = build({ByteVec{1}, LayerSpec{Protocol::kIp}});
    ASSERT_FALSE(over_payload);
    EXPECT_EQ(over_payload.error().message(), "stack packets: a header cannot follow a payload");

    auto huge = build({LayerSpec{Protocol::kIp}, ByteVec(kMaxBuiltPacket)});
    ASSERT_FALSE(huge);
    EXPECT_EQ(huge.error().code, EMSGSIZE);
}

TEST(Build, PaddingNeedsAHeaderThatKnowsItsLength) {
    auto arp = build({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kArp}});
    auto padded = pad(*arp, ByteVec(18));
    ASSERT_TRUE(padded);
    EXPECT_EQ(padded->padding().size(), 18U);
    EXPECT_EQ(dissect(padded->bytes()).padding().size(), 18U);
    EXPECT_FALSE(pad(*build_layer(Protocol::kEth), ByteVec(4)));
}

TEST(Build, LengthsBeyondTheFieldBecomeZero) {
    auto packet = build({LayerSpec{Protocol::kIp6}, LayerSpec{Protocol::kUdp}, ByteVec(70000)});
    ASSERT_TRUE(packet);
    EXPECT_EQ(number(*packet, 0, "len"), 0U);
    EXPECT_EQ(dissect(packet->bytes(), Protocol::kIp6).payload().size(), 70000U);
}

} // namespace
} // namespace mimicsh::net
