// SPDX-License-Identifier: MIT
// Fields of packets: reading, writing, refusing, filling.
#include "net/packet.h"

#include <cerrno>

#include <gtest/gtest.h>

#include "net/build.h"
#include "net/dissect.h"

namespace mimicsh::net {
namespace {

Packet make(const std::vector<Part>& parts) {
    auto packet = build(parts);
    EXPECT_TRUE(packet) << packet.error().message();
    return packet ? *packet : Packet();
}

ByteVec payload(std::string_view text) {
    ByteView bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
}

Packet tcp_packet() {
    return make(
        {LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kTcp}, payload("hello")});
}

size_t layer_of(const Packet& packet, std::string_view name) {
    return *packet.find(find_protocol(name)->protocol);
}

struct SetCase {
    const char* layer;
    const char* field;
    FieldValue value;
    FieldValue read_back;
};

TEST(Packet, ReadsBackWhatWasSet) {
    const SetCase cases[] = {
        {"eth", "dst", "ff:FF:ff:ff:ff:ff", "ff:ff:ff:ff:ff:ff"},
        {"eth", "src", uint64_t{0x010203040506}, "01:02:03:04:05:06"},
        {"eth", "src", ByteVec{1, 2, 3, 4, 5, 6}, "01:02:03:04:05:06"},
        {"eth", "type", "arp", uint64_t{0x0806}},
        {"ip", "src", "10.1.2.3", "10.1.2.3"},
        {"ip", "dst", uint64_t{0x7f000001}, "127.0.0.1"},
        {"ip", "proto", "udp", uint64_t{17}},
        {"ip", "protocol", uint64_t{255}, uint64_t{255}},
        {"ip", "ttl", "0x10", uint64_t{16}},
        {"ip", "flags", "df,mf", uint64_t{3}},
        {"ip", "frag", uint64_t{8191}, uint64_t{8191}},
        {"ip", "dscp", uint64_t{46}, uint64_t{46}},
        {"ip", "options", "ra=0,nop", "ra=0,nop,eol,eol,eol"},
        {"tcp", "flags", "syn|ack", uint64_t{0x12}},
        {"tcp", "flags", "none", uint64_t{0}},
        {"tcp", "seq", uint64_t{0xffffffff}, uint64_t{0xffffffff}},
        {"tcp", "options", "mss=1460,sackok,timestamp=1:2,nop,wscale=7",
         "mss=1460,sackok,timestamp=1:2,nop,wscale=7"},
        {"tcp", "options", "253=abcd", "253=abcd"},
        {"tcp", "options", "nop,eol,eol,raw=0501", "nop,eol,eol,raw=0501000000"},
        {"ip", "options", "eol,nop", "eol,raw=010000"},
        {"tcp", "options", ByteVec{2, 9, 1, 2}, "raw=02090102"},
    };
    for (const SetCase& c : cases) {
        Packet packet = tcp_packet();
        size_t layer = layer_of(packet, c.layer);
        Status status = packet.set(layer, c.field, c.value);
        ASSERT_TRUE(status) << status.error().message();
        auto value = packet.get(layer, c.field);
        ASSERT_TRUE(value);
        EXPECT_TRUE(*value == c.read_back) << c.layer << "." << c.field;
    }
}

struct RefusedCase {
    const char* layer;
    const char* field;
    FieldValue value;
    const char* message;
};

TEST(Packet, RefusesValuesThatDoNotFitAndSaysWhy) {
    const RefusedCase cases[] = {
        {"ip", "ttl", uint64_t{256}, "set field: ip.ttl: 256 is out of range 0..255"},
        {"ip", "frag", uint64_t{8192}, "set field: ip.frag: 8192 is out of range 0..8191"},
        {"tcp", "dport", uint64_t{65536}, "set field: tcp.dport: 65536 is out of range 0..65535"},
        {"tcp", "dport", "http", "set field: tcp.dport: 'http' is not a value of this field"},
        {"ip", "src", "10.0.0", "set field: ip.src: '10.0.0' is not an IPv4 address"},
        {"eth", "dst", "1:2:3:4:5:6", "set field: eth.dst: '1:2:3:4:5:6' is not a MAC address"},
        {"eth", "dst", "01:02:03:04:05:06:07",
         "set field: eth.dst: '01:02:03:04:05:06:07' is not a MAC address"},
        {"eth", "src", ByteVec{1, 2}, "set field: eth.src: 2 bytes, the field has 6"},
        {"tcp", "flags", "syn,what", "set field: tcp.flags: 'syn,what' is not a value of this field"},
        {"tcp", "options", "mss=65536", "set field: tcp.options: 'mss=65536' is not an option list"},
        {"tcp", "options", ByteVec(41), "set field: tcp.options: 41 bytes, the header has room for 40"},
        {"tcp", "options", uint64_t{1}, "set field: tcp.options: a number is not accepted here"},
        {"tcp", "color", uint64_t{1}, "set field: tcp.color: no such field"},
    };
    for (const RefusedCase& c : cases) {
        Packet packet = tcp_packet();
        ByteVec before = packet.bytes();
        Status status = packet.set(layer_of(packet, c.layer), c.field, c.value);
        ASSERT_FALSE(status) << c.message;
        EXPECT_EQ(status.error().message(), c.message);
        EXPECT_EQ(status.error().code, EINVAL);
        EXPECT_EQ(packet.bytes(), before);
    }
}

TEST(Packet, RefusesALayerThatIsNotThere) {
    Packet packet = tcp_packet();
    auto value = packet.get(3, "ttl");
    ASSERT_FALSE(value);
    EXPECT_EQ(value.error().code, ENOENT);
    EXPECT_EQ(value.error().message(), "get field: layer 3: the packet has 3");
    EXPECT_FALSE(packet.set(SIZE_MAX, "ttl", uint64_t{1}));
}

TEST(Packet, KeepsChecksumsRightWhileTheyAreNotWritten) {
    Packet packet = tcp_packet();
    ASSERT_TRUE(packet.set(1, "ttl", uint64_t{3}));
    ASSERT_TRUE(packet.set(2, "options", "mss=1460,nop,wscale=7"));
    ASSERT_TRUE(packet.set_payload(as_bytes("longer than before")));
    EXPECT_EQ(packet.wire().bytes(), packet.bytes());
    EXPECT_EQ(std::get<uint64_t>(*packet.get(1, "len")), packet.size() - 14);
    EXPECT_EQ(std::get<uint64_t>(*packet.get(2, "doff")), 7U);
    EXPECT_EQ(as_text(packet.payload()), "longer than before");
}

TEST(Packet, LeavesADissectedPacketAsItIsUntilItIsFixed) {
    Packet packet = dissect(tcp_packet().bytes());
    uint64_t old_sum = std::get<uint64_t>(*packet.get(1, "checksum"));
    ASSERT_TRUE(packet.set(1, "ttl", uint64_t{3}));
    EXPECT_EQ(std::get<uint64_t>(*packet.get(1, "checksum")), old_sum);
    EXPECT_NE(packet.expected_checksum(1), old_sum);
    packet.fix();
    EXPECT_EQ(std::get<uint64_t>(*packet.get(1, "checksum")), packet.expected_checksum(1));
}

TEST(Packet, FixKeepsWhatTheSenderMeantToLeaveOut) {
    Packet packet = dissect(
        make({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp}, payload("x")})
            .bytes());
    ASSERT_TRUE(packet.set(2, "checksum", uint64_t{0}));
    packet.fix();
    EXPECT_EQ(std::get<uint64_t>(*packet.get(2, "checksum")), 0U);

    ASSERT_TRUE(
        packet.set(1, "flags", "mf")); // a first fragment: length and checksum belong to the whole packet
    ASSERT_TRUE(packet.set(2, "len", uint64_t{4000}));
    ASSERT_TRUE(packet.set(2, "checksum", uint64_t{0xbeef}));
    packet.fix();
    EXPECT_EQ(std::get<uint64_t>(*packet.get(2, "len")), 4000U);
    EXPECT_EQ(std::get<uint64_t>(*packet.get(2, "checksum")), 0xbeefU);
}

TEST(Packet, FixDoesNotCountEthernetPadding) {
    Packet packet = make({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp}, LayerSpec{Protocol::kUdp}});
    auto padded = pad(packet, ByteVec(18, 0));
    ASSERT_TRUE(padded);
    Packet again = dissect(padded->bytes());
    EXPECT_EQ(again.payload().size(), 0U);
    EXPECT_EQ(again.padding().size(), 18U);
    EXPECT_EQ(again.wire().bytes(), padded->bytes());
}

// The highest number of a field of at most 64 bits.
uint64_t most(const Field& field) {
    return field.bit_width >= 64 ? UINT64_MAX : (uint64_t{1} << field.bit_width) - 1;
}

uint64_t as_number(const Packet& packet, const Field& field) {
    return load_field(packet.header(0).data(), packet.placed(0, field).value_or(field));
}

TEST(Packet, EveryNumberTakesItsRangeAndNothingAboveIt) {
    size_t walked = 0;
    for (const ProtocolLayout& layout : protocols()) {
        for (const Field& field : layout.fields) {
            if (field.bit_width == 0 || field.bit_width > 64) {
                continue;
            }
            const std::string name(field.name);
            const std::string where = std::string(layout.name) + "." + name;
            Packet packet = *build_layer(layout.protocol);
            for (const uint64_t value : {most(field), uint64_t{0}, uint64_t{1}, most(field)}) {
                ASSERT_TRUE(packet.set(0, name, value)) << where;
                EXPECT_EQ(as_number(packet, field), value) << where;
                const auto built = build_layer(layout.protocol, {{name, value}});
                ASSERT_TRUE(built) << where;
                EXPECT_EQ(as_number(*built, field), value) << where;
            }
            const Status refused = packet.set(0, name, most(field) + 1);
            ASSERT_FALSE(refused) << where;
            EXPECT_EQ(refused.error().code, EINVAL) << where;
            EXPECT_NE(refused.error().message().find(where + ": " + std::to_string(most(field) + 1) +
                                                     " is out of range 0.." + std::to_string(most(field))),
                      std::string::npos)
                << refused.error().message();
            EXPECT_FALSE(build_layer(layout.protocol, {{name, most(field) + 1}})) << where;
            EXPECT_EQ(as_number(packet, field), most(field)) << where << " after a refusal";
            walked++;
        }
    }
    EXPECT_GT(walked, 100U);
}

} // namespace
} // namespace mimicsh::net
