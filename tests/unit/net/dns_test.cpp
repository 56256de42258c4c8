// SPDX-License-Identifier: MIT
// DNS messages: text to bytes and back, compressed names, hostile bytes.
#include "net/dns.h"

#include <gtest/gtest.h>

#include "net/build.h"
#include "net/dissect.h"
#include "net/show.h"

namespace mimicsh::net {
namespace {

std::string text_of(const Packet& packet, const char* field) {
    auto layer = packet.find(Protocol::kDns);
    return layer ? std::get<std::string>(*packet.get(*layer, field)) : "no dns";
}

Packet parse_message(const std::string& hex) {
    return dissect(*from_hex(hex), Protocol::kDns);
}

TEST(Dns, AQueryHasTheBytesOfTheRfc) {
    auto packet = build_layer(Protocol::kDns, {{"id", uint64_t{0xbeef}}, {"questions", "www.example.com A"}});
    ASSERT_TRUE(packet) << packet.error().message();
    EXPECT_EQ(to_hex(packet->bytes()), "beef010000010000000000000377777707657861"
                                       "6d706c6503636f6d0000010001");
}

TEST(Dns, NamesAreCompressedAgainstEarlierOnes) {
    auto packet =
        build_layer(Protocol::kDns, {{"qr", uint64_t{1}},
                                     {"questions", "www.a.org A"},
                                     {"answers", "www.a.org 60 CNAME b.a.org, b.a.org 60 A 192.0.2.1"}});
    ASSERT_TRUE(packet) << packet.error().message();
    EXPECT_EQ(to_hex(packet->bytes()).substr(24), "03777777016103"
                                                  "6f72670000010001"
                                                  "c00c000500010000003c0004"
                                                  "0162c010"
                                                  "c027000100010000003c0004c0000201");
    EXPECT_EQ(text_of(*packet, "answers"), "www.a.org 60 CNAME b.a.org, b.a.org 60 A 192.0.2.1");
}

TEST(Dns, EveryKnownTypeReadsBackAsItWasWritten) {
    const std::string records[] = {
        "a.b 300 A 192.0.2.1",
        "a.b 300 AAAA 2001:db8::1",
        ". 0 NS ns.a.b",
        "a.b 1 MX 10 mail.a.b",
        "a.b 1 SOA ns.a.b admin.a.b 1 2 3 4 5",
        "a.b 1 TXT \"one\" \"two, \\\"three\\\" \\007\"",
        "_sip._udp.a.b 1 SRV 1 2 5060 sip.a.b",
        "4.3.2.1.in-addr.arpa 1 PTR a.b",
        "a\\.b.c\\ d.\\255 1 CNAME .",
        ". 0 CLASS4096 OPT",
        "a.b 1 TYPE65280 \\# 3 010203",
        "a.b 1 CH TXT \"\"",
        "a.b 1 A \\# 3 010203",
        "a.b 1 A \\# 0",
    };
    for (const std::string& record : records) {
        auto packet =
            build_layer(Protocol::kDns, {{"answers", record}, {"additional", record + ", " + record}});
        ASSERT_TRUE(packet) << packet.error().message();
        Packet again = dissect(packet->bytes(), Protocol::kDns);
        EXPECT_EQ(text_of(again, "answers"), record);
        EXPECT_EQ(text_of(again, "additional"), record + ", " + record);
        EXPECT_EQ(again.get(0, "arcount").value(), FieldValue(uint64_t{2}));
        EXPECT_TRUE(again.payload().empty());
    }
}

TEST(Dns, WrongTextIsRefusedWithTheRecord) {
    const std::pair<const char*, const char*> wrong[] = {
        {"a.b 300 A 192.0.2", "'a.b 300 A 192.0.2' is no record"},
        {"a..b A 192.0.2.1", "'a..b A 192.0.2.1' is no record"},
        {"a.b MX 65536 c", "is no record"},
        {"a.b A", "is no record"},
        {"a.b A 192.0.2.1 9", "is no record"},
        {"a.b B 1", "is no record"},
        {"a.b TYPE7 \\# 2 01", "is no record"},
        {"a.b 4294967296 A 192.0.2.1", "is no record"},
        {"a.b A 192.0.2.1,, c A 192.0.2.1", "'' is no record"},
    };
    for (const auto& [text, reason] : wrong) {
        auto packet = build_layer(Protocol::kDns, {{"answers", text}});
        ASSERT_FALSE(packet) << text;
        EXPECT_NE(packet.error().text.find(reason), std::string::npos) << packet.error().text;
    }
    EXPECT_FALSE(build_layer(Protocol::kDns, {{"questions", "a.b 300 A"}}));
    EXPECT_FALSE(build_layer(Protocol::kDns, {{"questions", std::string(64, 'a') + " A"}}));
    EXPECT_TRUE(build_layer(Protocol::kDns, {{"questions", std::string(63, 'a') + " A"}}));
    EXPECT_FALSE(build_layer(Protocol::kDns, {{"id", uint64_t{65536}}}));
}

TEST(Dns, CountsFollowTheirSectionUnlessWritten) {
    Packet packet = *build_layer(Protocol::kDns, {{"qdcount", uint64_t{9}}, {"answers", "a A 192.0.2.1"}});
    EXPECT_EQ(packet.get(0, "qdcount").value(), FieldValue(uint64_t{9}));
    EXPECT_EQ(packet.get(0, "ancount").value(), FieldValue(uint64_t{1}));
    Packet parsed = dissect(build_layer(Protocol::kDns, {{"questions", "a A"}})->bytes(), Protocol::kDns);
    ASSERT_TRUE(parsed.set(0, "questions", "a A, b A"));
    EXPECT_EQ(parsed.get(0, "qdcount").value(), FieldValue(uint64_t{2}));
}

TEST(Dns, LoopsAndReservedBitsAreNoMessage) {
    const std::string head = "000001000001000000000000";
    for (const char* name : {
             "c00c",     // itself
             "c00e",     // forwards
             "0161c00c", // its own start
             "c000",     // into the header
             "41",       // reserved bits
             "80",       // reserved bits
         }) {
        Packet packet = parse_message(head + name + "00010001");
        EXPECT_TRUE(packet.layers().empty()) << name;
        EXPECT_EQ(packet.note(), "dns: not a message") << name;
    }
    // The second name points at a label of 8 bytes that runs over its pointer.
    const std::string two = "000001000002000000000000"
                            "010800"
                            "00010001";
    EXPECT_TRUE(parse_message(two + "c00d" + "00010001").layers().empty());
    EXPECT_EQ(parse_message(two + "c00c" + "00010001").layers().size(), 1U);
    std::string longest;
    for (int i = 0; i < 127; i++) {
        longest += "0161";
    }
    EXPECT_EQ(parse_message(head + longest + "0000010001").layers().size(), 1U);
    EXPECT_EQ(parse_message(head + "0161" + longest + "0000010001").layers().size(), 0U);
}

TEST(Dns, AMessageThatWasCutOffEndsBeforeTheFirstRecordThatIsNotWhole) {
    Packet whole = *build_layer(Protocol::kDns,
                                {{"questions", "a.b A"}, {"answers", "a.b 1 A 192.0.2.1, c 1 A 192.0.2.2"}});
    for (size_t size = 0; size <= whole.size(); size++) {
        Packet cut = dissect(ByteView(whole.bytes()).first(size), Protocol::kDns);
        ASSERT_EQ(cut.layers().empty(), size < 12) << size;
        if (size >= 12) {
            EXPECT_EQ(cut.layers()[0].size + cut.payload().size(), size);
            EXPECT_EQ(text_of(cut, "questions"), size < 21 ? "" : "a.b A");
        }
    }
}

TEST(Dns, FollowsUdpAndItsPorts) {
    auto packet = build({LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp},
                         LayerSpec{Protocol::kDns, {{"questions", "a.b AAAA"}}}});
    ASSERT_TRUE(packet);
    EXPECT_EQ(packet->get(1, "dport").value(), FieldValue(uint64_t{53}));
    EXPECT_EQ(summary(*packet), "ip 192.0.2.1 > 192.0.2.2 / udp 1024 > 53 / dns a.b AAAA");
    EXPECT_EQ(code(*packet), "pkt.ip{}/pkt.udp{}/pkt.dns{questions=\"a.b AAAA\"}");
    EXPECT_EQ(dissect(packet->bytes(), Protocol::kIp), *packet);
    ASSERT_TRUE(packet->set(2, "answers", "a.b 1 AAAA ::1"));
    EXPECT_EQ(packet->get(1, "len").value(), FieldValue(uint64_t{packet->size() - 20}));
    EXPECT_EQ(packet->wire(), *packet);
}

} // namespace
} // namespace mimicsh::net
