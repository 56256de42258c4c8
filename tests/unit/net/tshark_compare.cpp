// SPDX-License-Identifier: MIT
// Comparing what the dissector found with what tshark shows at the same place.
#include "tests/unit/net/tshark_compare.h"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "net/dissect.h"
#include "net/field_text.h"

namespace mimicsh::net {

namespace {

/* -- The table ------------------------------------------------------------- */

// One of our fields and where tshark shows it. Places and widths are written out, as the RFCs have them: a
// wrong one in the layout table is a difference.
struct CommonField {
    const char* protocol;
    const char* field;
    const char* tshark;
    int at;             ///< byte of tshark's field in the header; kOptional: behind the fields before it
    unsigned shift = 0; ///< of tshark's number, which is cut to `width` bits (0: all) and divided by `unit`
    unsigned width = 0;
    unsigned unit = 1;
    unsigned our_shift = 0; ///< of our number, which is cut to `our_width` bits (0: all)
    unsigned our_width = 0;
};
constexpr int kOptional = -1;

constexpr CommonField kCommon[] = {
    {"eth", "dst", "eth.dst", 0},
    {"eth", "src", "eth.src", 6},
    {"eth", "type", "eth.type", 12},
    {"vlan", "prio", "vlan.priority", 0},
    {"vlan", "dei", "vlan.dei", 0},
    {"vlan", "id", "vlan.id", 0},
    {"vlan", "type", "vlan.etype", 2},
    {"arp", "hwtype", "arp.hw.type", 0},
    {"arp", "ptype", "arp.proto.type", 2},
    {"arp", "hwlen", "arp.hw.size", 4},
    {"arp", "plen", "arp.proto.size", 5},
    {"arp", "op", "arp.opcode", 6},
    {"arp", "hwsrc", "arp.src.hw_mac", 8},
    {"arp", "psrc", "arp.src.proto_ipv4", 14},
    {"arp", "hwdst", "arp.dst.hw_mac", 18},
    {"arp", "pdst", "arp.dst.proto_ipv4", 24},
    {"ip", "version", "ip.version", 0},
    {"ip", "ihl", "ip.hdr_len", 0, 0, 0, 4},
    {"ip", "tos", "ip.dsfield", 1},
    {"ip", "dscp", "ip.dsfield.dscp", 1},
    {"ip", "ecn", "ip.dsfield.ecn", 1},
    {"ip", "len", "ip.len", 2},
    {"ip", "id", "ip.id", 4},
    {"ip", "flags", "ip.flags", 6},
    {"ip", "mf", "ip.flags.mf", 6},
    {"ip", "frag", "ip.frag_offset", 6},
    {"ip", "ttl", "ip.ttl", 8},
    {"ip", "proto", "ip.proto", 9},
    {"ip", "checksum", "ip.checksum", 10},
    {"ip", "src", "ip.src", 12},
    {"ip", "dst", "ip.dst", 16},
    {"ip6", "version", "ipv6.version", 0},
    {"ip6", "tclass", "ipv6.tclass", 0},
    {"ip6", "dscp", "ipv6.tclass.dscp", 0},
    {"ip6", "ecn", "ipv6.tclass.ecn", 0},
    {"ip6", "flow", "ipv6.flow", 1},
    {"ip6", "len", "ipv6.plen", 4},
    {"ip6", "next", "ipv6.nxt", 6},
    {"ip6", "hlim", "ipv6.hlim", 7},
    {"ip6", "src", "ipv6.src", 8},
    {"ip6", "dst", "ipv6.dst", 24},
    {"hopopts", "next", "ipv6.hopopts.nxt", 0},
    {"hopopts", "len", "ipv6.hopopts.len", 1},
    {"dstopts", "next", "ipv6.dstopts.nxt", 0},
    {"dstopts", "len", "ipv6.dstopts.len", 1},
    {"routing", "next", "ipv6.routing.nxt", 0},
    {"routing", "len", "ipv6.routing.len", 1},
    {"routing", "type", "ipv6.routing.type", 2},
    {"routing", "left", "ipv6.routing.segleft", 3},
    {"fragment", "next", "ipv6.fraghdr.nxt", 0},
    {"fragment", "reserved", "ipv6.fraghdr.reserved_octet", 1},
    {"fragment", "frag", "ipv6.fraghdr.offset", 2},
    {"fragment", "reserved2", "ipv6.fraghdr.reserved_bits", 2},
    {"fragment", "more", "ipv6.fraghdr.more", 2},
    {"fragment", "id", "ipv6.fraghdr.ident", 4},
    {"icmp", "type", "icmp.type", 0},
    {"icmp", "code", "icmp.code", 1},
    {"icmp", "checksum", "icmp.checksum", 2},
    {"icmp", "id", "icmp.ident", 4},
    {"icmp", "seq", "icmp.seq", 6},
    {"icmp", "mtu", "icmp.mtu", 6},
    {"icmp", "gateway", "icmp.redir_gw", 4},
    {"icmp6", "type", "icmpv6.type", 0},
    {"icmp6", "code", "icmpv6.code", 1},
    {"icmp6", "checksum", "icmpv6.checksum", 2},
    {"icmp6", "id", "icmpv6.echo.identifier", 4},
    {"icmp6", "seq", "icmpv6.echo.sequence_number", 6},
    {"icmp6", "mtu", "icmpv6.mtu", 4},
    {"udp", "sport", "udp.srcport", 0},
    {"udp", "dport", "udp.dstport", 2},
    {"udp", "len", "udp.length", 4},
    {"udp", "checksum", "udp.checksum", 6},
    {"tcp", "sport", "tcp.srcport", 0},
    {"tcp", "dport", "tcp.dstport", 2},
    {"tcp", "seq", "tcp.seq", 4},
    {"tcp", "ack", "tcp.ack", 8},
    {"tcp", "doff", "tcp.hdr_len", 12, 0, 0, 4},
    {"tcp", "reserved", "tcp.flags", 12, 9, 3},
    {"tcp", "flags", "tcp.flags", 12, 0, 9},
    {"tcp", "window", "tcp.window_size_value", 14},
    {"tcp", "checksum", "tcp.checksum", 16},
    {"tcp", "urgent", "tcp.urgent_pointer", 18},
    {"gre", "has_checksum", "gre.flags.checksum", 0},
    {"gre", "routing", "gre.flags.routing", 0},
    {"gre", "has_key", "gre.flags.key", 0},
    {"gre", "has_seq", "gre.flags.sequence_number", 0},
    {"gre", "reserved0", "gre.flags_and_version", 0, 3, 9},
    {"gre", "version", "gre.flags.version", 0},
    {"gre", "proto", "gre.proto", 2},
    {"gre", "checksum", "gre.checksum", kOptional},
    {"gre", "reserved1", "gre.offset", kOptional},
    {"gre", "key", "gre.key", kOptional},
    {"gre", "seq", "gre.sequence_number", kOptional},
    {"vxlan", "flags", "vxlan.flags", 0, 8, 8},
    {"vxlan", "reserved", "vxlan.flags", 0, 0, 8, 1, 16},
    {"vxlan", "reserved", "vxlan.gbp", 2, 0, 16, 1, 0, 16},
    {"vxlan", "vni", "vxlan.vni", 4},
    {"vxlan", "reserved2", "vxlan.reserved8", 7},
    {"dns", "id", "dns.id", 0},
    {"dns", "qr", "dns.flags", 2, 15, 1},
    {"dns", "opcode", "dns.flags", 2, 11, 4},
    {"dns", "aa", "dns.flags", 2, 10, 1},
    {"dns", "tc", "dns.flags", 2, 9, 1},
    {"dns", "rd", "dns.flags", 2, 8, 1},
    {"dns", "ra", "dns.flags", 2, 7, 1},
    {"dns", "z", "dns.flags", 2, 6, 1},
    {"dns", "ad", "dns.flags", 2, 5, 1},
    {"dns", "cd", "dns.flags", 2, 4, 1},
    {"dns", "rcode", "dns.flags", 2, 0, 4},
    {"dns", "flags", "dns.flags", 2},
    {"dns", "qdcount", "dns.count.queries", 4},
    {"dns", "ancount", "dns.count.answers", 6},
    {"dns", "nscount", "dns.count.auth_rr", 8},
    {"dns", "arcount", "dns.count.add_rr", 10},
};

struct ChecksumStatus {
    Protocol protocol;
    const char* tshark;
    int at;
};
constexpr ChecksumStatus kChecksums[] = {
    {Protocol::kIp, "ip.checksum.status", 10},       {Protocol::kTcp, "tcp.checksum.status", 16},
    {Protocol::kUdp, "udp.checksum.status", 6},      {Protocol::kIcmp, "icmp.checksum.status", 2},
    {Protocol::kIcmp6, "icmpv6.checksum.status", 2}, {Protocol::kGre, "gre.checksum.status", 4},
};

/* -- Our values ------------------------------------------------------------ */

uint64_t mask_of(unsigned width) {
    return width == 0 ? UINT64_MAX : (uint64_t{1} << width) - 1;
}

uint64_t number(const Packet& packet, size_t layer, std::string_view field) {
    return std::get<uint64_t>(*packet.get(layer, field));
}

// tshark shows id and sequence number, MTU and gateway of an ICMP message where its type has them.
bool is_shown(const Packet& packet, size_t layer, std::string_view name) {
    if (name == "icmp.ident" || name == "icmp.seq") {
        const uint64_t type = number(packet, layer, "type");
        const bool is_extended = (type == 42 || type == 43) && name == "icmp.ident"; // RFC 8335
        return type == 0 || type == 8 || (type >= 13 && type <= 18) || is_extended;
    }
    if (name.starts_with("icmpv6.echo")) {
        const uint64_t type = number(packet, layer, "type");
        const bool is_extended = (type == 160 || type == 161) && name.ends_with("identifier");
        return type == 128 || type == 129 || is_extended;
    }
    if (name == "icmp.mtu") {
        return number(packet, layer, "type") == 3 && number(packet, layer, "code") == 4;
    }
    if (name == "arp.dst.proto_ipv4") {
        return number(packet, layer, "op") != 7; // an error code in DRARP
    }
    if (name == "icmp.redir_gw") {
        return number(packet, layer, "type") == 5;
    }
    return name != "icmpv6.mtu" || number(packet, layer, "type") == 2;
}

// GRE's words are there in this order when bits 0, 2 and 3 say so (RFC 2784, RFC 2890).
uint32_t optional_place(ByteView header, std::string_view field) {
    const uint32_t sum = (header[0] & 0x80) != 0 ? 4 : 0;
    const uint32_t key = (header[0] & 0x20) != 0 ? 4 : 0;
    return field == "checksum" ? 4 : field == "reserved1" ? 6 : field == "key" ? 4 + sum : 4 + sum + key;
}

void add_fields(const Packet& packet, size_t layer, uint32_t place, std::vector<OurValue>& values) {
    const ProtocolLayout& layout = layout_of(packet.layers()[layer].protocol);
    for (const CommonField& common : kCommon) {
        const Field* field = layout.name == common.protocol ? find_field(layout, common.field) : nullptr;
        if (field == nullptr || !packet.placed(layer, *field) || !is_shown(packet, layer, common.tshark)) {
            continue;
        }
        const uint32_t at = common.at == kOptional ? optional_place(packet.header(layer), common.field)
                                                   : static_cast<uint32_t>(common.at);
        const FieldValue value = packet.get(layer, *field);
        OurValue ours{common.tshark, place + at,   {},         ValueForm::kText,
                      common.shift,  common.width, common.unit};
        if (const auto* bits = std::get_if<uint64_t>(&value)) {
            ours.form = ValueForm::kNumber;
            ours.text = std::to_string(*bits >> common.our_shift & mask_of(common.our_width));
        } else {
            ours.text = std::get<std::string>(value);
        }
        values.push_back(std::move(ours));
    }
}

void add_checksum(const Packet& packet, size_t layer, uint32_t place, std::vector<OurValue>& values) {
    const Protocol protocol = packet.layers()[layer].protocol;
    const auto* row = std::ranges::find(kChecksums, protocol, &ChecksumStatus::protocol);
    if (row == std::end(kChecksums)) {
        return;
    }
    const auto field = packet.placed(layer, *layout_of(protocol).with_role(FieldRole::kChecksum));
    if (!field) {
        return;
    }
    const auto expected = packet.expected_checksum(layer);
    const bool is_good = expected == load_field(packet.header(layer).data(), *field);
    values.push_back({row->tshark, place + static_cast<uint32_t>(row->at),
                      !expected ? "unknown"
                      : is_good ? "1"
                                : "0",
                      ValueForm::kStatus});
}

std::vector<OurValue> our_values(const std::vector<FramePart>& parts) {
    std::vector<OurValue> values;
    for (const FramePart& part : parts) {
        for (size_t layer = 0; layer < part.packet.layers().size(); layer++) {
            const uint32_t place = part.base + part.packet.layers()[layer].offset;
            add_fields(part.packet, layer, place, values);
            add_checksum(part.packet, layer, place, values);
            add_contents(part.packet, layer, place, values);
        }
    }
    return values;
}

/* -- Comparing ------------------------------------------------------------- */

// tshark's value in the form of ours.
std::string their_text(const TsharkField& theirs, const OurValue& ours) {
    if (ours.form == ValueForm::kText || ours.form == ValueForm::kStatus) {
        return theirs.show;
    }
    if (ours.form == ValueForm::kBytes) {
        return theirs.bytes;
    }
    const auto value = parse_number(theirs.show == "True" ? "1" : theirs.show == "False" ? "0" : theirs.show);
    if (!value) {
        return theirs.show;
    }
    const uint64_t cut = *value >> ours.shift & mask_of(ours.width);
    return cut % ours.unit == 0 ? std::to_string(cut / ours.unit) : theirs.show;
}

bool is_status(std::string_view name) {
    return std::ranges::find(kChecksums, name, &ChecksumStatus::tshark) != std::end(kChecksums);
}

bool is_compared(std::string_view name) {
    return std::ranges::find(kCommon, name, &CommonField::tshark) != std::end(kCommon) || is_content(name);
}

// tshark gives the tag of 802.1ad names of its own, calls a type below 1536 a length, and has other names
// for addresses in ARP that are not Ethernet's and IPv4's.
std::string common_name(std::string_view name) {
    constexpr std::pair<std::string_view, std::string_view> kNames[] = {
        {"ieee8021ad.priority", "vlan.priority"},
        {"ieee8021ad.dei", "vlan.dei"},
        {"ieee8021ad.id", "vlan.id"},
        {"ieee8021ah.etype", "vlan.etype"},
        {"eth.len", "eth.type"},
        {"vlan.len", "vlan.etype"},
        {"arp.src.hw", "arp.src.hw_mac"},
        {"arp.dst.hw", "arp.dst.hw_mac"},
        {"arp.src.proto", "arp.src.proto_ipv4"},
        {"arp.dst.proto", "arp.dst.proto_ipv4"},
        {"dns.count.zones", "dns.count.queries"},
        {"dns.count.prerequisites", "dns.count.answers"},
        {"dns.count.updates", "dns.count.auth_rr"},
    };
    const auto* pair = std::ranges::find(kNames, name, &std::pair<std::string_view, std::string_view>::first);
    return std::string(pair != std::end(kNames) ? pair->second : name);
}

} // namespace

std::ostream& operator<<(std::ostream& out, const FieldDiffers& difference) {
    const bool is_missing = difference.kind == DifferenceKind::kMissing;
    const bool is_surplus = difference.kind == DifferenceKind::kSurplus;
    return out << "byte " << difference.place << ": " << difference.name << " is "
               << (is_surplus ? "nothing" : difference.ours) << ", tshark says "
               << (is_missing ? "nothing" : difference.theirs);
}

std::optional<HeaderPlace> place_in_header(std::string_view name) {
    const auto* row = std::ranges::find(kCommon, name, &CommonField::tshark);
    if (row == std::end(kCommon) || row->at == kOptional) {
        return std::nullopt;
    }
    return HeaderPlace{find_protocol(row->protocol)->protocol, static_cast<uint32_t>(row->at)};
}

std::vector<FramePart> frame_parts(ByteView frame) {
    std::vector<FramePart> parts{{dissect(frame), 0}};
    while (!parts.back().packet.layers().empty()) {
        const Packet& packet = parts.back().packet;
        const size_t last = packet.layers().size() - 1;
        const Protocol protocol = packet.layers()[last].protocol;
        const uint64_t type =
            protocol == Protocol::kIcmp || protocol == Protocol::kIcmp6 ? number(packet, last, "type") : 0;
        const bool is_error4 =
            protocol == Protocol::kIcmp && (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
        const bool is_error6 = protocol == Protocol::kIcmp6 && type >= 1 && type <= 4;
        if (!is_error4 && !is_error6) {
            break;
        }
        const uint32_t base = parts.back().base + packet.layers()[last].offset + packet.layers()[last].size;
        parts.push_back({dissect(packet.payload(), is_error4 ? Protocol::kIp : Protocol::kIp6), base});
    }
    return parts;
}

std::vector<TsharkPacket> tshark_rows(const std::string& path) {
    auto packets = tshark_packets(path, [](std::string_view name) {
        return is_compared(common_name(name)) || is_status(name) || name == "_ws.malformed" ||
               name.starts_with("ip.bogus") || name.starts_with("ipv6.bogus") ||
               name == "tcp.bogus_header_length" || name == "ipv6.invalid_header";
    });
    for (TsharkPacket& packet : packets) {
        std::erase_if(packet, [](const TsharkField& field) {
            return field.size == 0 &&
                   (field.name.starts_with("ipv6.opt") || field.name.starts_with("tcp.opt"));
        });
        for (TsharkField& field : packet) {
            if (field.name.ends_with(".proto") && field.size == 4) {
                field.show = ip4_text(*from_hex(field.bytes));
            }
            field.name = common_name(field.name);
        }
    }
    return packets;
}

TsharkComparison compare_with_tshark(const std::vector<FramePart>& parts, const TsharkPacket& theirs) {
    std::multimap<std::pair<std::string_view, uint32_t>, size_t> known;
    for (size_t i = 0; i < theirs.size(); i++) {
        known.emplace(std::pair(std::string_view(theirs[i].name), theirs[i].place), i);
    }
    std::vector<bool> is_used(theirs.size());
    TsharkComparison result;
    for (const OurValue& ours : our_values(parts)) {
        const auto [from, to] = known.equal_range({ours.name, ours.place});
        std::string text;
        bool is_equal = false;
        for (auto at = from; at != to && !is_equal; ++at) {
            is_used[at->second] = true;
            text = their_text(theirs[at->second], ours);
            is_equal = text == ours.text;
        }
        if ((ours.is_optional && from == to) ||
            (ours.form == ValueForm::kStatus && text != "0" && text != "1")) {
            continue;
        }
        result.fields++;
        result.good_checksums += ours.form == ValueForm::kStatus && is_equal && text == "1" ? 1 : 0;
        if (!is_equal) {
            result.differences.push_back({from == to ? DifferenceKind::kMissing : DifferenceKind::kValue,
                                          ours.name, ours.place, ours.text, text});
        }
    }
    for (size_t i = 0; i < theirs.size(); i++) {
        if (!is_used[i] && is_compared(theirs[i].name)) {
            result.differences.push_back(
                {DifferenceKind::kSurplus, theirs[i].name, theirs[i].place, {}, theirs[i].show});
        }
    }
    return result;
}

std::vector<std::string> fields_without_counterpart() {
    std::vector<std::string> missing;
    for (const ProtocolLayout& layout : protocols()) {
        for (const Field& field : layout.fields) {
            const bool is_there = std::ranges::any_of(kCommon, [&](const CommonField& common) {
                return layout.name == common.protocol && field.name == common.field;
            });
            const bool has_contents = field.bit_width == 0;
            const bool is_rest = field.name == "rest"; // id and seq in one
            if (!is_there && !has_contents && !is_rest) {
                missing.push_back(std::string(layout.name) + "." + std::string(field.name));
            }
        }
    }
    return missing;
}

} // namespace mimicsh::net
