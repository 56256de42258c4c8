// SPDX-License-Identifier: MIT
// Headers inside headers: GRE with its optional fields, VXLAN, IP in IP.
#include <gtest/gtest.h>

#include "net/build.h"
#include "net/dissect.h"
#include "net/show.h"

namespace mimicsh::net {
namespace {

Packet built(const std::vector<Part>& parts) {
    auto packet = build(parts);
    EXPECT_TRUE(packet) << packet.error().message();
    return packet ? *packet : Packet();
}

std::string gre_bytes(const std::vector<FieldSetting>& fields) {
    return to_hex(built({LayerSpec{Protocol::kGre, fields}}).bytes());
}

TEST(Gre, OptionalFieldsAppearInTheOrderOfTheRfc) {
    EXPECT_EQ(gre_bytes({}), "000088b5");
    EXPECT_EQ(gre_bytes({{"key", uint64_t{0x11223344}}}), "200088b511223344");
    EXPECT_EQ(gre_bytes({{"seq", uint64_t{7}}}), "100088b500000007");
    EXPECT_EQ(gre_bytes({{"seq", uint64_t{7}}, {"key", uint64_t{5}}}), "300088b50000000500000007");
    EXPECT_EQ(gre_bytes({{"has_checksum", uint64_t{1}}, {"seq", uint64_t{7}}}), "900088b5e742000000000007");
    EXPECT_EQ(gre_bytes({{"checksum", uint64_t{0x1234}}, {"has_key", uint64_t{1}}}),
              "a00088b51234000000000000");
}

TEST(Gre, FieldsComeAndGoAndTheOthersKeepTheirValues) {
    Packet packet = built({LayerSpec{Protocol::kIp},
                           LayerSpec{Protocol::kGre, {{"key", uint64_t{1}}, {"seq", uint64_t{2}}}},
                           LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp}, ByteVec{1, 2, 3}});
    ASSERT_TRUE(packet.set(1, "has_checksum", uint64_t{1}));
    EXPECT_EQ(packet.size(), 20U + 16 + 20 + 8 + 3);
    EXPECT_EQ(packet.get(1, "key").value(), FieldValue(uint64_t{1}));
    EXPECT_EQ(packet.get(1, "seq").value(), FieldValue(uint64_t{2}));
    EXPECT_EQ(packet.expected_checksum(1), std::get<uint64_t>(packet.get(1, "checksum").value()));
    ASSERT_TRUE(packet.set(1, "key", ByteVec()));
    EXPECT_EQ(packet.get(1, "key").value(), FieldValue(ByteVec()));
    EXPECT_EQ(packet.get(1, "seq").value(), FieldValue(uint64_t{2}));
    EXPECT_EQ(packet.get(0, "len").value(), FieldValue(uint64_t{20 + 12 + 20 + 8 + 3}));
    EXPECT_EQ(packet, packet.wire());
    EXPECT_EQ(dissect(packet.bytes(), Protocol::kIp).layers().size(), 4U);
    auto wide = packet.set(1, "key", uint64_t{1} << 32);
    EXPECT_EQ(wide.error().text, "gre.key: 4294967296 is out of range 0..4294967295");
}

TEST(Gre, OtherVersionsAndSourceRoutesArePayload) {
    EXPECT_EQ(dissect(*from_hex("3001880b00000000"), Protocol::kGre).note(), "gre: version is 1, not 0");
    EXPECT_EQ(dissect(*from_hex("4000080000000000"), Protocol::kGre).note(), "gre: routing is 1, not 0");
    EXPECT_EQ(dissect(*from_hex("b0000800000000000000"), Protocol::kGre).note(),
              "gre: flags gives a header of 16 bytes, 10 are left");
}

TEST(Tunnels, NextHeadersFollowWhatIsStacked) {
    const LayerSpec eth{Protocol::kEth};
    const LayerSpec ip{Protocol::kIp};
    const LayerSpec ip6{Protocol::kIp6};
    const LayerSpec udp{Protocol::kUdp};
    const LayerSpec gre{Protocol::kGre};
    const std::vector<std::vector<Part>> shapes = {
        {eth, ip, udp, LayerSpec{Protocol::kVxlan}, eth, ip, udp, ByteVec{1}},
        {eth, ip6, udp, LayerSpec{Protocol::kVxlan}, eth, ip6, udp, ByteVec{1}},
        {eth, ip, gre, ip6, udp, ByteVec{1}},
        {eth, ip6, gre, eth, ip, gre, ip, udp},
        {eth, ip, ip, udp},
        {eth, ip, ip6, udp},
        {eth, ip6, ip6, ip, udp},
    };
    for (const auto& shape : shapes) {
        Packet packet = built(shape);
        Packet again = dissect(packet.bytes());
        EXPECT_EQ(summary(again), summary(packet));
        EXPECT_EQ(again.note(), "");
        EXPECT_EQ(again.layers().size() + (again.payload().empty() ? 0 : 1), shape.size()) << summary(again);
        EXPECT_EQ(again.wire(), packet);
    }
}

TEST(Tunnels, PortsPromiseNothing) {
    auto parse = [](uint64_t sport, uint64_t dport, size_t size) {
        auto packet =
            build({LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp, {{"sport", sport}, {"dport", dport}}},
                   ByteVec(size, 0)});
        return dissect(packet->bytes(), Protocol::kIp);
    };
    EXPECT_EQ(parse(1024, 4789, 22).layers().size(), 4U);
    EXPECT_EQ(parse(4789, 1024, 22).layers().size(), 4U);
    EXPECT_EQ(parse(1024, 1025, 22).layers().size(), 2U);
    EXPECT_EQ(parse(1024, 4789, 7).layers().size(), 2U);
    EXPECT_EQ(parse(1024, 4789, 7).note(), "");
}

TEST(Tunnels, AWrittenPortStays) {
    Packet reply =
        built({LayerSpec{Protocol::kUdp, {{"sport", uint64_t{4789}}}}, LayerSpec{Protocol::kVxlan}});
    EXPECT_EQ(reply.get(0, "dport").value(), FieldValue(uint64_t{9}));
    Packet other =
        built({LayerSpec{Protocol::kUdp, {{"dport", uint64_t{8472}}}}, LayerSpec{Protocol::kVxlan}});
    EXPECT_EQ(other.get(0, "dport").value(), FieldValue(uint64_t{8472}));
}

TEST(Tunnels, AnOuterChecksumOfZeroStaysOverIpv4WhateverIsInside) {
    Packet packet =
        built({LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp, {{"checksum", uint64_t{0}}}},
               LayerSpec{Protocol::kVxlan}, LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp6}});
    EXPECT_EQ(packet.wire().get(1, "checksum").value(), FieldValue(uint64_t{0}));
}

TEST(Tunnels, CodeSaysOnlyWhatIsNotFilled) {
    Packet packet = built({LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp}, LayerSpec{Protocol::kVxlan},
                           LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp},
                           LayerSpec{Protocol::kGre, {{"has_checksum", uint64_t{1}}, {"key", uint64_t{5}}}},
                           LayerSpec{Protocol::kIp6}});
    EXPECT_EQ(code(packet), "pkt.ip{}/pkt.udp{}/pkt.vxlan{}/pkt.eth{}/pkt.ip{}/"
                            "pkt.gre{has_checksum=1, key=0x00000005}/pkt.ip6{}");
}

} // namespace
} // namespace mimicsh::net
