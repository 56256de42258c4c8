// SPDX-License-Identifier: MIT
// Packets as text, and differences between packets.
#include "net/show.h"

#include <gtest/gtest.h>

#include "net/build.h"
#include "net/diff.h"
#include "net/dissect.h"

namespace mimicsh::net {
namespace {

Packet dns_query() {
    auto packet =
        build({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp, {{"ttl", uint64_t{3}}}},
               LayerSpec{Protocol::kUdp, {{"dport", uint64_t{53}}}}, ByteVec{'h', 'i', 0, '"', '1'}});
    return *packet;
}

TEST(Show, PrintsOneLinePerField) {
    Packet packet = dns_query();
    ASSERT_TRUE(packet.set(1, "checksum", uint64_t{1}));
    EXPECT_EQ(show(packet), "eth: Ethernet, 14 bytes\n"
                            "  dst       02:00:00:00:00:02\n"
                            "  src       02:00:00:00:00:01\n"
                            "  type      0x0800 (ip)\n"
                            "ip: IPv4, 20 bytes\n"
                            "  version   4\n"
                            "  ihl       5\n"
                            "  tos       0x00\n"
                            "  len       33\n"
                            "  id        0\n"
                            "  flags     none\n"
                            "  frag      0\n"
                            "  ttl       3\n"
                            "  proto     17 (udp)\n"
                            "  checksum  0x0001 (wrong, should be 0x33c9)\n"
                            "  src       192.0.2.1\n"
                            "  dst       192.0.2.2\n"
                            "udp: UDP, 8 bytes\n"
                            "  sport     1024\n"
                            "  dport     53\n"
                            "  len       13\n"
                            "  checksum  " +
                                packet.text(2, *find_field(layout_of(Protocol::kUdp), "checksum")) +
                                "\n"
                                "payload: 5 bytes\n"
                                "  0000  68 69 00 22 31                                    hi.\"1\n");
}

TEST(Show, SummaryIsOneLine) {
    EXPECT_EQ(summary(dns_query()), "eth / ip 192.0.2.1 > 192.0.2.2 / udp 1024 > 53 / 5 bytes");
    auto syn = build({LayerSpec{Protocol::kIp6}, LayerSpec{Protocol::kTcp}});
    EXPECT_EQ(summary(*syn), "ip6 2001:db8::1 > 2001:db8::2 / tcp 1024 > 80 syn");
    auto arp = build({LayerSpec{Protocol::kArp}});
    EXPECT_EQ(summary(*arp), "arp 1 (request) 192.0.2.1 > 192.0.2.2");
}

TEST(Code, LeavesOutWhatTheBuilderWouldChoose) {
    EXPECT_EQ(code(dissect(dns_query().bytes())),
              "pkt.eth{}/pkt.ip{ttl=3}/pkt.udp{dport=53}/\"hi\\000\\\"1\"");
}

TEST(Code, WritesFilledFieldsOnlyWhereTheyAreWrong) {
    Packet packet = dns_query();
    ASSERT_TRUE(packet.set(1, "checksum", uint64_t{1}));
    EXPECT_EQ(code(dissect(packet.bytes())),
              "pkt.eth{}/pkt.ip{ttl=3, checksum=0x0001}/pkt.udp{dport=53}/\"hi\\000\\\"1\"");
}

TEST(Code, WritesOptionsFlagsAndPadding) {
    auto packet = build({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp},
                         LayerSpec{Protocol::kTcp, {{"flags", "syn,ack"}, {"options", "mss=1460"}}}});
    auto padded = pad(*packet, ByteVec(2));
    EXPECT_EQ(code(dissect(padded->bytes())),
              "(pkt.eth{}/pkt.ip{}/pkt.tcp{flags=\"syn,ack\", options=\"mss=1460\"}):pad(\"\\000\\000\")");
}

TEST(Code, FallsBackToBytes) {
    EXPECT_EQ(code(Packet(ByteVec{1, 200})), "pkt.parse(\"\\001\\200\")");
}

TEST(Hexdump, HasOneLinePerSixteenBytes) {
    EXPECT_EQ(hexdump({}), "");
    ByteVec bytes(17, 'A');
    EXPECT_EQ(hexdump(bytes), "0000  41 41 41 41 41 41 41 41  41 41 41 41 41 41 41 41  AAAAAAAAAAAAAAAA\n"
                              "0010  41                                                A\n");
}

std::string text_of(const std::vector<FieldDifference>& differences) {
    std::string text;
    for (const FieldDifference& d : differences) {
        text += d.layer + "." + d.field + ": " + d.before + " -> " + d.after + "\n";
    }
    return text;
}

TEST(Diff, NamesFieldsAndPayloadRanges) {
    Packet before = dissect(dns_query().bytes());
    Packet after = before;
    EXPECT_EQ(text_of(diff(before, after)), "");
    ASSERT_TRUE(after.set(1, "dst", "192.0.2.9"));
    ASSERT_TRUE(after.set(2, "dport", uint64_t{54}));
    ASSERT_TRUE(after.set_payload(as_bytes("hiXX1tail")));
    EXPECT_EQ(text_of(diff(before, after)), "ip.dst: 192.0.2.2 -> 192.0.2.9\n"
                                            "udp.dport: 53 -> 54\n"
                                            "packet.payload[2..3]: 0022 -> 5858\n"
                                            "packet.payload[5..8]:  -> 7461696c\n"
                                            "packet.length: 47 -> 51\n");
}

TEST(Diff, NamesHeadersThatCameOrWent) {
    auto tagged = build({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kVlan}, LayerSpec{Protocol::kVlan},
                         LayerSpec{Protocol::kArp}});
    auto plain = build({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kVlan}, LayerSpec{Protocol::kArp}});
    EXPECT_EQ(text_of(diff(*tagged, *plain)), "vlan.type: 0x8100 (vlan) -> 0x0806 (arp)\n"
                                              "vlan#2.header: 00010806 -> \n"
                                              "packet.length: 50 -> 46\n");
}

} // namespace
} // namespace mimicsh::net
