// SPDX-License-Identifier: MIT
// Comparing what the dissector found with tshark's fields.
#include "tests/unit/net/tshark_compare.h"

#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "net/dissect.h"
#include "net/dns.h"
#include "net/field_text.h"
#include "tests/unit/net/support.h"

namespace mimicsh::net {

namespace {

// One of our fields and tshark's name for it; where tshark cuts the header otherwise, the bits it takes.
struct CommonField {
    const char* protocol;
    const char* field;
    const char* tshark;
    uint16_t bit_offset = 0;
    uint16_t bit_width = 0; ///< 0: the field's own
    unsigned unit = 1;      ///< tshark's number is ours times this
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
    {"tcp", "doff", "tcp.hdr_len", 96, 4, 4},
    {"tcp", "reserved, flags", "tcp.flags", 100, 12},
    {"ip", "ihl", "ip.hdr_len", 4, 4, 4},
    {"icmp6", "id", "icmpv6.echo.identifier"},
    {"icmp6", "seq", "icmpv6.echo.sequence_number"},
    {"icmp", "id", "icmp.ident"},
    {"icmp", "seq", "icmp.seq"},
    {"routing", "len", "ipv6.routing.len"},
    {"fragment", "reserved", "ipv6.fraghdr.reserved_octet"},
    {"fragment", "reserved2", "ipv6.fraghdr.reserved_bits"},
    {"gre", "has_checksum, routing, has_key, has_seq, reserved0, version", "gre.flags_and_version", 0, 16},
    {"gre", "proto", "gre.proto"},
    {"gre", "checksum", "gre.checksum"},
    {"gre", "reserved1", "gre.offset"},
    {"gre", "key", "gre.key"},
    {"gre", "seq", "gre.sequence_number"},
    {"vxlan", "flags, reserved", "vxlan.flags", 0, 16},
    {"vxlan", "reserved", "vxlan.gbp", 16, 16},
    {"vxlan", "vni", "vxlan.vni"},
    {"vxlan", "reserved2", "vxlan.reserved8"},
    {"dns", "id", "dns.id"},
    {"dns", "qr, opcode, aa, tc, rd, ra, z, ad, cd, rcode", "dns.flags", 16, 16},
    {"dns", "qdcount", "dns.count.queries"},
    {"dns", "ancount", "dns.count.answers"},
    {"dns", "nscount", "dns.count.auth_rr"},
    {"dns", "arcount", "dns.count.add_rr"},
};

// Columns behind those of kCommon.
constexpr const char* kExtra[] = {
    "ieee8021ad.priority",
    "ieee8021ad.dei",
    "ieee8021ad.id",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
    "gre.checksum.status",
    "_ws.malformed",
    "eth.len",
    "dns.qry.name",
    "dns.qry.type",
    "dns.resp.name",
    "dns.resp.type",
    "dns.a",
    "dns.aaaa",
    "dns.cname",
    "dns.ns",
    "dns.ptr.domain_name",
    "dns.mx.preference",
    "dns.mx.mail_exchange",
    "dns.txt",
    "dns.srv.priority",
    "dns.srv.port",
    "dns.srv.target",
    "dns.soa.mname",
    "dns.soa.serial_number",
};

/// A layer of the packet, or of one that an ICMP error in it quotes.
struct Place {
    const Packet* packet;
    size_t layer;
};

uint64_t number(const Packet& packet, size_t layer, std::string_view field) {
    return std::get<uint64_t>(*packet.get(layer, field));
}

// Bytes that an ICMP error quotes, and what they begin with.
std::optional<Packet> quoted_packet(const Packet& packet) {
    if (packet.layers().empty()) {
        return std::nullopt;
    }
    const size_t last = packet.layers().size() - 1;
    const Protocol protocol = packet.layers()[last].protocol;
    if (protocol == Protocol::kIcmp) {
        const uint64_t type = number(packet, last, "type");
        const bool is_error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
        return is_error ? std::optional(dissect(packet.payload(), Protocol::kIp)) : std::nullopt;
    }
    const bool is_error = protocol == Protocol::kIcmp6 && number(packet, last, "type") >= 1 &&
                          number(packet, last, "type") <= 4;
    return is_error ? std::optional(dissect(packet.payload(), Protocol::kIp6)) : std::nullopt;
}

bool is_equal(const Packet& packet, size_t layer, const CommonField& common, const Field& field,
              const std::string& theirs) {
    if (field.kind == FieldKind::kMac || field.kind == FieldKind::kIp4 || field.kind == FieldKind::kIp6) {
        return packet.text(layer, field) == theirs;
    }
    if (field.kind == FieldKind::kOptions) {
        return to_hex(packet.header(layer).subspan(field.bit_offset / 8U)) == theirs;
    }
    const std::string text = theirs == "True" ? "1" : theirs == "False" ? "0" : theirs;
    return parse_number(text) == load_field(packet.header(layer).data(), field) * common.unit;
}

// The field that is compared: ours, or the bits that tshark takes.
Field compared_field(const CommonField& common, const ProtocolLayout& layout) {
    if (common.bit_width != 0) {
        return Field{.name = common.field,
                     .bit_offset = common.bit_offset,
                     .bit_width = common.bit_width,
                     .kind = FieldKind::kUint};
    }
    return *find_field(layout, common.field);
}

// Values in tshark's packet for one of our fields, outermost first. An 802.1ad tag has names of its own
// there, an echo has both byte orders.
std::vector<std::string> their_values(const TsharkRow& row, size_t column) {
    std::vector<std::string> values = row[column];
    const std::string_view name = kCommon[column].tshark;
    for (const char* part : {"priority", "dei", "id"}) {
        if (name == std::string("vlan.") + part) {
            const auto& outer = tshark_column(row, std::string("ieee8021ad.") + part);
            values.insert(values.begin(), outer.begin(), outer.end());
        }
    }
    if (name == "icmp.ident" || name == "icmp.seq") {
        for (size_t i = 0; i + 1 < values.size(); i++) {
            values.erase(values.begin() + static_cast<ptrdiff_t>(i) + 1);
        }
    }
    return values;
}

// Whether tshark shows the field for this header.
bool is_compared(const Place& place, const CommonField& common, const Field& field) {
    const Packet& packet = *place.packet;
    const ProtocolLayout& layout = layout_of(packet.layers()[place.layer].protocol);
    if (layout.name != common.protocol || !packet.placed(place.layer, field)) {
        return false;
    }
    const std::string_view name = common.tshark;
    if (name == "icmp.ident" || name == "icmp.seq" || name.starts_with("icmpv6.echo")) {
        const uint64_t type = number(packet, place.layer, "type");
        return type == 128 || type == 129 || ((type == 0 || type == 8) && layout.protocol == Protocol::kIcmp);
    }
    const bool is_empty = field.bit_width == 0 && packet.header(place.layer).size() == layout.header_minimum;
    // The type in an 802.1ad tag has no column of its own.
    const bool is_outer_tag =
        name == "vlan.etype" && place.layer > 0 && number(packet, place.layer - 1, "type") == 0x88a8;
    return !is_empty && !is_outer_tag;
}

void compare_fields(const std::vector<Place>& places, const TsharkRow& row, TsharkComparison& result) {
    for (size_t column = 0; column < std::size(kCommon); column++) {
        const CommonField& common = kCommon[column];
        const Field named = compared_field(common, *find_protocol(common.protocol));
        const std::vector<std::string> theirs = their_values(row, column);
        size_t nth = 0;
        for (const Place& place : places) {
            if (!is_compared(place, common, named)) {
                continue;
            }
            const Field field = *place.packet->placed(place.layer, named);
            const std::string value = nth < theirs.size() ? theirs[nth] : "nothing";
            nth++;
            result.fields++;
            if (!is_equal(*place.packet, place.layer, common, field, value)) {
                const auto bytes = to_hex(place.packet->header(place.layer));
                const bool is_quoted = place.packet != places.front().packet;
                result.differences.push_back({common.tshark, bytes, value, false, is_quoted});
            }
        }
        if (theirs.size() > nth) {
            result.differences.push_back({common.tshark, "nothing", theirs[nth], true});
        }
    }
}

/* -- DNS ------------------------------------------------------------------ */

// What tshark shows of a record's data, by its column.
void add_data(const DnsRecord& record, std::map<std::string, std::vector<std::string>>& columns) {
    std::vector<std::string> words;
    for (std::string_view rest = record.data; !rest.empty();) {
        const size_t blank = std::min(rest.find(' '), rest.size());
        words.emplace_back(rest.substr(0, blank));
        rest.remove_prefix(std::min(rest.size(), blank + 1));
    }
    const std::map<uint16_t, std::vector<const char*>> names = {
        {1, {"dns.a"}},
        {28, {"dns.aaaa"}},
        {5, {"dns.cname"}},
        {2, {"dns.ns"}},
        {12, {"dns.ptr.domain_name"}},
        {15, {"dns.mx.preference", "dns.mx.mail_exchange"}},
        {33, {"dns.srv.priority", nullptr, "dns.srv.port", "dns.srv.target"}},
        {6, {"dns.soa.mname", nullptr, "dns.soa.serial_number"}},
    };
    const auto shape = names.find(record.type);
    for (size_t i = 0; shape != names.end() && i < shape->second.size() && i < words.size(); i++) {
        if (shape->second[i] != nullptr) {
            columns[shape->second[i]].push_back(words[i] == "." ? "<Root>" : words[i]);
        }
    }
}

void compare_records(const std::vector<Place>& places, const TsharkRow& row, TsharkComparison& result) {
    std::map<std::string, std::vector<std::string>> columns;
    for (const Place& place : places) {
        if (place.packet->layers()[place.layer].protocol != Protocol::kDns) {
            continue;
        }
        const DnsSections sections = read_dns(place.packet->header(place.layer));
        for (size_t section = 0; section < kDnsSections; section++) {
            const std::string prefix = section == 0 ? "dns.qry" : "dns.resp";
            for (const DnsRecord& record : sections[section]) {
                if (section == 0 || record.type != 33) { // tshark cuts the owner of an SRV into three
                    columns[prefix + ".name"].push_back(record.name == "." ? "<Root>" : record.name);
                }
                columns[prefix + ".type"].push_back(std::to_string(record.type));
                add_data(record, columns);
            }
        }
    }
    for (const auto& [name, ours] : columns) {
        const auto& theirs = tshark_column(row, name);
        for (size_t i = 0; i < ours.size(); i++) {
            result.fields++;
            if (i >= theirs.size() || ours[i] != theirs[i]) {
                result.differences.push_back({name, ours[i], i < theirs.size() ? theirs[i] : "nothing"});
            }
        }
    }
}

/* -- Checksums ------------------------------------------------------------ */

struct ChecksumColumn {
    Protocol protocol;
    const char* status;
};
constexpr ChecksumColumn kChecksums[] = {
    {Protocol::kIp, "ip.checksum.status"},        {Protocol::kTcp, "tcp.checksum.status"},
    {Protocol::kUdp, "udp.checksum.status"},      {Protocol::kIcmp, "icmp.checksum.status"},
    {Protocol::kIcmp6, "icmpv6.checksum.status"}, {Protocol::kGre, "gre.checksum.status"},
};

// Where tshark says good (1) or bad (0), ours must say the same.
void compare_checksums(const std::vector<Place>& places, const TsharkRow& row, TsharkComparison& result) {
    for (const ChecksumColumn& checksum : kChecksums) {
        const auto& theirs = tshark_column(row, checksum.status);
        size_t nth = 0;
        for (const Place& place : places) {
            const Layer& layer = place.packet->layers()[place.layer];
            if (layer.protocol != checksum.protocol) {
                continue;
            }
            const Field& field = *layout_of(layer.protocol).with_role(FieldRole::kChecksum);
            if (!place.packet->placed(place.layer, field)) {
                continue;
            }
            const std::string status = nth < theirs.size() ? theirs[nth] : "";
            nth++;
            if (status != "0" && status != "1") {
                continue;
            }
            const auto expected = place.packet->expected_checksum(place.layer);
            const bool is_good = expected == load_field(place.packet->header(place.layer).data(), field);
            result.fields++;
            result.good_checksums += is_good ? 1 : 0;
            if (!expected || is_good != (status == "1")) {
                result.differences.push_back({checksum.status,
                                              expected ? std::to_string(*expected) : "unknown", status, false,
                                              place.packet != places.front().packet});
            }
        }
    }
}

} // namespace

std::vector<TsharkRow> tshark_rows(const std::string& path) {
    std::vector<std::string> fields;
    for (const CommonField& common : kCommon) {
        fields.emplace_back(common.tshark);
    }
    fields.insert(fields.end(), std::begin(kExtra), std::end(kExtra));
    return tshark_fields(path, fields);
}

const std::vector<std::string>& tshark_column(const TsharkRow& row, std::string_view name) {
    const auto* common = std::ranges::find(kCommon, name, &CommonField::tshark);
    const auto* extra = std::ranges::find(kExtra, name);
    EXPECT_TRUE(common != std::end(kCommon) || extra != std::end(kExtra)) << name;
    return common != std::end(kCommon) ? row[static_cast<size_t>(common - kCommon)]
                                       : row[std::size(kCommon) + static_cast<size_t>(extra - kExtra)];
}

TsharkComparison compare_with_tshark(const Packet& packet, const TsharkRow& row) {
    std::vector<Packet> packets{packet};
    while (auto quoted = quoted_packet(packets.back())) {
        packets.push_back(*std::move(quoted));
    }
    std::vector<Place> places;
    for (const Packet& part : packets) {
        for (size_t layer = 0; layer < part.layers().size(); layer++) {
            places.push_back({&part, layer});
        }
    }
    TsharkComparison result;
    compare_fields(places, row, result);
    compare_records(places, row, result);
    compare_checksums(places, row, result);
    return result;
}

std::vector<std::string> fields_without_counterpart() {
    std::vector<std::string> missing;
    for (const ProtocolLayout& layout : protocols()) {
        for (const Field& field : layout.fields) {
            const bool is_there = std::ranges::any_of(kCommon, [&](const CommonField& common) {
                const std::string list = ", " + std::string(common.field) + ",";
                return layout.name == common.protocol &&
                       list.find(", " + std::string(field.name) + ",") != std::string::npos;
            });
            if (!is_there && !field.is_view && field.kind != FieldKind::kRecords) {
                missing.push_back(std::string(layout.name) + "." + std::string(field.name));
            }
        }
    }
    return missing;
}

} // namespace mimicsh::net
