// SPDX-License-Identifier: MIT
// The dissector and the builder against tshark.
#include <gtest/gtest.h>

#include "net/build.h"
#include "net/dissect.h"
#include "net/field_text.h"
#include "net/show.h"
#include "tests/unit/net/support.h"

namespace mimicsh::net {
namespace {

struct CommonField {
    const char* protocol;
    const char* field;
    const char* tshark;
};

constexpr CommonField kCommon[] = {
    {"eth", "dst", "eth.dst"},
    {"eth", "src", "eth.src"},
    {"eth", "type", "eth.type"},
    {"vlan", "prio", "vlan.priority"},
    {"vlan", "dei", "vlan.dei"},
    {"vlan", "id", "vlan.id"},
    {"vlan", "type", "vlan.etype"},
    {"arp", "hwtype", "arp.hw.type"},
    {"arp", "ptype", "arp.proto.type"},
    {"arp", "hwlen", "arp.hw.size"},
    {"arp", "plen", "arp.proto.size"},
    {"arp", "op", "arp.opcode"},
    {"arp", "hwsrc", "arp.src.hw_mac"},
    {"arp", "psrc", "arp.src.proto_ipv4"},
    {"arp", "hwdst", "arp.dst.hw_mac"},
    {"arp", "pdst", "arp.dst.proto_ipv4"},
    {"ip", "tos", "ip.dsfield"},
    {"ip", "dscp", "ip.dsfield.dscp"},
    {"ip", "ecn", "ip.dsfield.ecn"},
    {"ip", "len", "ip.len"},
    {"ip", "id", "ip.id"},
    {"ip", "flags", "ip.flags"},
    {"ip", "mf", "ip.flags.mf"},
    {"ip", "frag", "ip.frag_offset"},
    {"ip", "ttl", "ip.ttl"},
    {"ip", "proto", "ip.proto"},
    {"ip", "checksum", "ip.checksum"},
    {"ip", "src", "ip.src"},
    {"ip", "dst", "ip.dst"},
    {"ip6", "version", "ipv6.version"},
    {"ip6", "tclass", "ipv6.tclass"},
    {"ip6", "flow", "ipv6.flow"},
    {"ip6", "len", "ipv6.plen"},
    {"ip6", "next", "ipv6.nxt"},
    {"ip6", "hlim", "ipv6.hlim"},
    {"ip6", "src", "ipv6.src"},
    {"ip6", "dst", "ipv6.dst"},
    {"hopopts", "next", "ipv6.hopopts.nxt"},
    {"hopopts", "len", "ipv6.hopopts.len"},
    {"dstopts", "next", "ipv6.dstopts.nxt"},
    {"dstopts", "len", "ipv6.dstopts.len"},
    {"routing", "next", "ipv6.routing.nxt"},
    {"routing", "type", "ipv6.routing.type"},
    {"routing", "left", "ipv6.routing.segleft"},
    {"fragment", "next", "ipv6.fraghdr.nxt"},
    {"fragment", "frag", "ipv6.fraghdr.offset"},
    {"fragment", "more", "ipv6.fraghdr.more"},
    {"fragment", "id", "ipv6.fraghdr.ident"},
    {"icmp", "type", "icmp.type"},
    {"icmp", "code", "icmp.code"},
    {"icmp", "checksum", "icmp.checksum"},
    {"icmp6", "type", "icmpv6.type"},
    {"icmp6", "code", "icmpv6.code"},
    {"icmp6", "checksum", "icmpv6.checksum"},
    {"udp", "sport", "udp.srcport"},
    {"udp", "dport", "udp.dstport"},
    {"udp", "len", "udp.length"},
    {"udp", "checksum", "udp.checksum"},
    {"tcp", "sport", "tcp.srcport"},
    {"tcp", "dport", "tcp.dstport"},
    {"tcp", "seq", "tcp.seq_raw"},
    {"tcp", "ack", "tcp.ack_raw"},
    {"tcp", "window", "tcp.window_size_value"},
    {"tcp", "checksum", "tcp.checksum"},
    {"tcp", "urgent", "tcp.urgent_pointer"},
    {"tcp", "options", "tcp.options"},
};

// Columns behind those of kCommon.
constexpr const char* kExtra[] = {
    "ieee8021ad.priority",
    "ieee8021ad.dei",
    "ieee8021ad.id",
    "tcp.flags",
    "icmp.ident",
    "icmp.seq",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
    "_ws.malformed",
    "ip.hdr_len",
    "tcp.hdr_len",
};

using Row = std::vector<std::vector<std::string>>;

std::vector<Row> tshark_rows(const std::string& path) {
    std::vector<std::string> fields;
    for (const CommonField& common : kCommon) {
        fields.emplace_back(common.tshark);
    }
    fields.insert(fields.end(), std::begin(kExtra), std::end(kExtra));
    return tshark_fields(path, fields);
}

const std::vector<std::string>& extra(const Row& row, std::string_view name) {
    size_t i = 0;
    while (kExtra[i] != name) {
        i++;
    }
    return row[std::size(kCommon) + i];
}

bool is_equal(const Packet& packet, size_t layer, const Field& field, const std::string& theirs) {
    if (field.kind == FieldKind::kMac || field.kind == FieldKind::kIp4 || field.kind == FieldKind::kIp6) {
        return packet.text(layer, field) == theirs;
    }
    if (field.kind == FieldKind::kOptions) {
        return to_hex(packet.header(layer).subspan(field.bit_offset / 8U)) == theirs;
    }
    std::string number = theirs == "True" ? "1" : theirs == "False" ? "0" : theirs;
    return parse_number(number) == load_field(packet.header(layer).data(), field);
}

// Values in tshark's packet for one of our fields, outermost first. An 802.1ad tag has names of its own
// there.
std::vector<std::string> their_values(const Row& row, size_t column) {
    std::vector<std::string> values = row[column];
    std::string_view name = kCommon[column].tshark;
    for (const char* part : {"priority", "dei", "id"}) {
        if (name == std::string("vlan.") + part) {
            const auto& outer = extra(row, std::string("ieee8021ad.") + part);
            values.insert(values.begin(), outer.begin(), outer.end());
        }
    }
    return values;
}

// tshark looks into the packet that an ICMP error quotes and into IPv6 fragments that are complete.
bool has_quoted_packet(const Packet& packet) {
    for (Protocol protocol : {Protocol::kIcmp, Protocol::kIcmp6}) {
        auto layer = packet.find(protocol);
        if (!layer) {
            continue;
        }
        uint64_t type = std::get<uint64_t>(*packet.get(*layer, "type"));
        if (protocol == Protocol::kIcmp ? type == 3 || type == 11 : type < 128) {
            return true;
        }
    }
    return false;
}

// Compares all common fields; returns how many were compared.
size_t compare(const Packet& packet, const Row& row, const std::string& where) {
    size_t compared = 0;
    for (size_t column = 0; column < std::size(kCommon); column++) {
        const ProtocolLayout& layout = *find_protocol(kCommon[column].protocol);
        const Field& field = *find_field(layout, kCommon[column].field);
        std::vector<std::string> theirs = their_values(row, column);
        size_t nth = 0;
        for (size_t layer = 0; layer < packet.layers().size(); layer++) {
            if (packet.layers()[layer].protocol != layout.protocol) {
                continue;
            }
            bool is_empty = field.bit_width == 0 && packet.header(layer).size() == layout.header_minimum;
            bool is_outer_tag = field.name == "type" && layout.protocol == Protocol::kVlan &&
                                packet.layers().size() > layer + 1 &&
                                packet.layers()[layer + 1].protocol == Protocol::kVlan &&
                                !extra(row, "ieee8021ad.id").empty();
            if (is_empty || is_outer_tag) {
                continue;
            }
            if (nth >= theirs.size()) {
                ADD_FAILURE() << where << ": tshark has no " << kCommon[column].tshark;
                break;
            }
            EXPECT_TRUE(is_equal(packet, layer, field, theirs[nth]))
                << where << ": " << layout.name << "." << field.name << " is " << packet.text(layer, field)
                << ", tshark says " << theirs[nth];
            nth++;
            compared++;
        }
        EXPECT_TRUE(nth == theirs.size() || has_quoted_packet(packet))
            << where << ": tshark has " << theirs.size() << " of " << kCommon[column].tshark << ", we have "
            << nth;
    }
    return compared;
}

void compare_odd_ones(const Packet& packet, const Row& row, const std::string& where) {
    if (auto tcp = packet.find(Protocol::kTcp)) {
        // tshark counts the three reserved bits as flags.
        uint64_t flags = std::get<uint64_t>(*packet.get(*tcp, "reserved")) << 9 |
                         std::get<uint64_t>(*packet.get(*tcp, "flags"));
        EXPECT_EQ(parse_number(extra(row, "tcp.flags").at(0)), flags) << where;
        EXPECT_EQ(parse_number(extra(row, "tcp.hdr_len").at(0)), packet.layers()[*tcp].size) << where;
    }
    if (auto ip = packet.find(Protocol::kIp)) {
        EXPECT_EQ(parse_number(extra(row, "ip.hdr_len").at(0)), packet.layers()[*ip].size) << where;
    }
    if (auto icmp = packet.find(Protocol::kIcmp); icmp && !has_quoted_packet(packet)) {
        // tshark gives both byte orders: as sent, then swapped.
        EXPECT_EQ(parse_number(extra(row, "icmp.ident").at(0)), std::get<uint64_t>(*packet.get(*icmp, "id")))
            << where;
        EXPECT_EQ(parse_number(extra(row, "icmp.seq").at(0)), std::get<uint64_t>(*packet.get(*icmp, "seq")))
            << where;
    }
}

struct ChecksumField {
    Protocol protocol;
    const char* status;
};
constexpr ChecksumField kChecksums[] = {
    {Protocol::kIp, "ip.checksum.status"},        {Protocol::kTcp, "tcp.checksum.status"},
    {Protocol::kUdp, "udp.checksum.status"},      {Protocol::kIcmp, "icmp.checksum.status"},
    {Protocol::kIcmp6, "icmpv6.checksum.status"},
};

// Where tshark says good (1) or bad (0), ours must say the same. Returns how many were good.
size_t compare_checksums(const Packet& packet, const Row& row, const std::string& where) {
    size_t good = 0;
    for (const ChecksumField& checksum : kChecksums) {
        auto layer = packet.find(checksum.protocol);
        const auto& status = extra(row, checksum.status);
        if (!layer || status.empty() || (status[0] != "0" && status[0] != "1")) {
            continue;
        }
        auto expected = packet.expected_checksum(*layer);
        if (!expected) {
            ADD_FAILURE() << where << ": " << checksum.status << " is known to tshark only";
            continue;
        }
        bool is_good = *expected == std::get<uint64_t>(*packet.get(*layer, "checksum"));
        EXPECT_EQ(is_good, status[0] == "1") << where << ": " << checksum.status;
        good += is_good ? 1 : 0;
    }
    return good;
}

class Tshark : public ::testing::Test {
  protected:
    void SetUp() override {
        if (!has_program("tshark")) {
            GTEST_SKIP() << "tshark is not installed";
        }
    }
};

TEST_F(Tshark, AgreesOnEveryCommonFieldOfTheCaptures) {
    size_t compared = 0;
    size_t good = 0;
    for (const std::string& name : capture_names()) {
        auto packets = read_capture(capture_path(name));
        auto rows = tshark_rows(capture_path(name));
        ASSERT_EQ(packets.size(), rows.size()) << name;
        for (size_t i = 0; i < packets.size(); i++) {
            Packet packet = dissect(packets[i].data);
            std::string where = name + " packet " + std::to_string(i + 1);
            compared += compare(packet, rows[i], where);
            compare_odd_ones(packet, rows[i], where);
            good += compare_checksums(packet, rows[i], where);
        }
    }
    // Guards against a comparison that compares nothing.
    EXPECT_GT(compared, 2500U);
    EXPECT_GT(good, 200U);
    RecordProperty("fields", static_cast<int>(compared));
}

FieldValue random_value(std::mt19937_64& random, const Field& field) {
    if (field.kind == FieldKind::kMac || field.kind == FieldKind::kIp4 || field.kind == FieldKind::kIp6) {
        ByteVec bytes(field.bit_width / 8U);
        for (uint8_t& byte : bytes) {
            byte = static_cast<uint8_t>(random());
        }
        bytes[0] &= 0x1e; // neither multicast nor a reserved network
        return bytes;
    }
    return random() & ((uint64_t{1} << field.bit_width) - 1);
}

// Fields that may hold anything without making the packet malformed or changing what tshark dissects.
constexpr std::pair<Protocol, const char*> kFree[] = {
    {Protocol::kEth, "dst"},    {Protocol::kEth, "src"},    {Protocol::kVlan, "prio"},
    {Protocol::kVlan, "dei"},   {Protocol::kVlan, "id"},    {Protocol::kIp, "tos"},
    {Protocol::kIp, "id"},      {Protocol::kIp, "ttl"},     {Protocol::kIp, "src"},
    {Protocol::kIp, "dst"},     {Protocol::kIp6, "tclass"}, {Protocol::kIp6, "flow"},
    {Protocol::kIp6, "hlim"},   {Protocol::kIp6, "src"},    {Protocol::kIp6, "dst"},
    {Protocol::kArp, "hwsrc"},  {Protocol::kArp, "psrc"},   {Protocol::kArp, "pdst"},
    {Protocol::kTcp, "seq"},    {Protocol::kTcp, "ack"},    {Protocol::kTcp, "window"},
    {Protocol::kTcp, "urgent"}, {Protocol::kIcmp, "id"},    {Protocol::kIcmp, "seq"},
    {Protocol::kIcmp6, "id"},   {Protocol::kIcmp6, "seq"},
};

Packet random_packet(std::mt19937_64& random, const std::vector<Part>& shape, size_t payload_size) {
    std::vector<Part> parts = shape;
    for (Part& part : parts) {
        auto& spec = std::get<LayerSpec>(part);
        for (auto [protocol, name] : kFree) {
            if (protocol == spec.protocol && random() % 2 == 0) {
                spec.fields.push_back({name, random_value(random, *find_field(layout_of(protocol), name))});
            }
        }
    }
    ByteVec payload(payload_size);
    for (uint8_t& byte : payload) {
        byte = static_cast<uint8_t>(random());
    }
    if (shape.size() < 2 || std::get<LayerSpec>(shape.back()).protocol != Protocol::kArp) {
        parts.emplace_back(payload);
    }
    auto packet = build(parts);
    EXPECT_TRUE(packet) << packet.error().message();
    return packet ? *packet : Packet();
}

TEST_F(Tshark, FindsNothingWrongWithBuiltPackets) {
    const LayerSpec eth{Protocol::kEth};
    const LayerSpec vlan{Protocol::kVlan};
    const LayerSpec ip{Protocol::kIp};
    const LayerSpec ip6{Protocol::kIp6};
    const LayerSpec udp{Protocol::kUdp, {{"dport", uint64_t{40000}}, {"sport", uint64_t{40001}}}};
    const LayerSpec tcp{Protocol::kTcp,
                        {{"dport", uint64_t{40000}}, {"sport", uint64_t{40001}}, {"flags", "ack"}}};
    const LayerSpec syn{Protocol::kTcp,
                        {{"dport", uint64_t{40000}},
                         {"options", "mss=1460,sackok,timestamp=7:0,nop,wscale=7,nop,nop,sack=1:2"}}};
    const LayerSpec stop{Protocol::kRouting,
                         {{"type", uint64_t{2}},
                          {"left", uint64_t{1}},
                          {"data", *from_hex("0000000020010db8000000000000000000000099")}}};
    const std::vector<std::vector<Part>> shapes = {
        {eth, LayerSpec{Protocol::kArp}},
        {eth, ip, udp},
        {eth, ip, tcp},
        {eth, ip, syn},
        {eth, ip, LayerSpec{Protocol::kIcmp}},
        {eth, vlan, ip, udp},
        {eth, LayerSpec{Protocol::kIp, {{"options", "ra=0"}}}, udp},
        {eth, LayerSpec{Protocol::kIp, {{"options", "nop,rr=04c0000201,eol"}}}, tcp},
        {eth, ip6, udp},
        {eth, ip6, syn},
        {eth, ip6, LayerSpec{Protocol::kIcmp6}},
        {eth, ip6, LayerSpec{Protocol::kHopOpts, {{"options", "ra=0,padn"}}}, udp},
        {eth, ip6, LayerSpec{Protocol::kDstOpts, {{"options", "padn=00000000"}}}, tcp},
        {eth, ip6, stop, udp},
        {eth, ip6, LayerSpec{Protocol::kFragment, {{"id", uint64_t{77}}}}, udp},
    };
    uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    std::vector<StoredPacket> stored;
    for (int round = 0; round < 8; round++) {
        for (const auto& shape : shapes) {
            stored.push_back(
                {random_packet(random, shape, random() % 200 + 1).bytes(), stored.size(), 0, 0, {}});
        }
    }
    TempDir dir;
    ASSERT_NO_FATAL_FAILURE(write_capture(dir.file("built.pcap"), stored, CaptureFormat::kPcapNanoseconds));
    auto rows = tshark_rows(dir.file("built.pcap"));
    ASSERT_EQ(rows.size(), stored.size());
    size_t good = 0;
    for (size_t i = 0; i < rows.size(); i++) {
        std::string where = "seed " + std::to_string(seed) + " packet " + std::to_string(i) + "\n";
        Packet packet = dissect(stored[i].data);
        EXPECT_EQ(packet.note(), "") << where;
        EXPECT_TRUE(extra(rows[i], "_ws.malformed").empty()) << where << show(packet);
        compare(packet, rows[i], where);
        compare_odd_ones(packet, rows[i], where);
        good += compare_checksums(packet, rows[i], where);
        for (const ChecksumField& checksum : kChecksums) {
            const auto& status = extra(rows[i], checksum.status);
            EXPECT_TRUE(status.empty() || status[0] == "1") << where << checksum.status << "\n"
                                                            << show(packet);
        }
    }
    EXPECT_GT(good, stored.size());
}

} // namespace
} // namespace mimicsh::net
