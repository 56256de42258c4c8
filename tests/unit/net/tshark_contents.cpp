// SPDX-License-Identifier: MIT
// What options, routing data and DNS records hold, by tshark's names; part of tshark_compare.
#include <algorithm>
#include <cstdio>

#include "net/dns.h"
#include "net/dns_text.h"
#include "net/field_text.h"
#include "tests/unit/net/tshark_compare.h"

namespace mimicsh::net {

namespace {

using Values = std::vector<OurValue>;

void add_number(Values& values, const char* name, uint32_t place, std::string_view text,
                bool is_optional = false) {
    values.push_back({name, place, std::string(text), ValueForm::kNumber});
    values.back().is_optional = is_optional;
}

void add_bytes(Values& values, const char* name, uint32_t place, std::string_view hex,
               bool is_optional = false) {
    values.push_back({name, place, std::string(hex), ValueForm::kBytes});
    values.back().is_optional = is_optional;
}

std::vector<std::string_view> parts_of(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const size_t end = std::min(text.find(separator), text.size());
        parts.push_back(text.substr(0, end));
        text.remove_prefix(std::min(text.size(), end + 1));
    }
    return parts;
}

/* -- Options --------------------------------------------------------------- */

struct OptionName {
    Protocol protocol;
    unsigned kind;
    const char* tshark;
    unsigned width; ///< of the numbers in a list whose names alternate (tshark, other); 0: bytes
    const char* other = nullptr;
    bool has_head = false; ///< tshark's field begins with kind and length
};
constexpr OptionName kOptionNames[] = {
    {Protocol::kIp, 7, "ip.options.record_route", 0, nullptr, true},
    {Protocol::kIp, 68, "ip.options.timestamp", 0, nullptr, true},
    {Protocol::kIp, 130, "ip.options.security", 0, nullptr, true},
    {Protocol::kIp, 131, "ip.options.route", 0, nullptr, true},
    {Protocol::kIp, 137, "ip.options.source_route", 0, nullptr, true},
    {Protocol::kIp, 148, "ip.opt.ra", 2},
    {Protocol::kTcp, 2, "tcp.options.mss_val", 2},
    {Protocol::kTcp, 3, "tcp.options.wscale.shift", 1},
    {Protocol::kTcp, 5, "tcp.options.sack_le", 4, "tcp.options.sack_re"},
    {Protocol::kTcp, 8, "tcp.options.timestamp.tsval", 4, "tcp.options.timestamp.tsecr"},
    {Protocol::kTcp, 34, "tcp.options.tfo.cookie", 0},
    {Protocol::kTcp, 253, "tcp.options.experimental", 0, nullptr, true},
    {Protocol::kTcp, 254, "tcp.options.experimental", 0, nullptr, true},
    {Protocol::kHopOpts, 1, "ipv6.opt.padn", 0},
    {Protocol::kHopOpts, 5, "ipv6.opt.router_alert", 2},
    {Protocol::kHopOpts, 0xc2, "ipv6.opt.jumbo", 4},
    {Protocol::kHopOpts, 0xc9, "ipv6.opt.mipv6.home_address", 0},
};

struct OptionHead {
    Protocol protocol;
    const char* kind;
    const char* length;
};
constexpr OptionHead kOptionHeads[] = {
    {Protocol::kIp, "ip.opt.type", "ip.opt.len"},
    {Protocol::kTcp, "tcp.option_kind", "tcp.option_len"},
    {Protocol::kHopOpts, "ipv6.opt.type", "ipv6.opt.length"},
};

void add_option_data(const OptionName& name, std::string_view data, size_t size, uint32_t place,
                     Values& values) {
    if (name.width != 0) {
        const char* names[] = {name.tshark, name.other != nullptr ? name.other : name.tshark};
        const auto numbers = parts_of(data, ':');
        for (size_t i = 0; i < numbers.size(); i++) {
            add_number(values, names[i % 2], place + 2 + static_cast<uint32_t>(i) * name.width, numbers[i]);
        }
    } else if (name.has_head) {
        const uint8_t head[] = {static_cast<uint8_t>(name.kind), static_cast<uint8_t>(size)};
        add_bytes(values, name.tshark, place, to_hex(head) + std::string(data));
    } else if (!data.empty()) {
        add_bytes(values, name.tshark, place + 2, data);
    }
}

// The options as the text that Lua shows says them.
void add_options(const ProtocolLayout& layout, std::string_view text, uint32_t place, Values& values) {
    const Protocol names = layout.protocol == Protocol::kDstOpts ? Protocol::kHopOpts : layout.protocol;
    const OptionHead& head = *std::ranges::find(kOptionHeads, names, &OptionHead::protocol);
    bool is_ended = false;
    for (const std::string_view part : parts_of(text, ',')) {
        const size_t sign = std::min(part.find('='), part.size());
        const std::string_view name = part.substr(0, sign);
        const std::string_view data = part.substr(std::min(part.size(), sign + 1));
        if (name == "raw" && is_ended) {
            return;
        }
        if (name == "raw") { // no option: tshark shows how it begins
            add_number(values, head.kind, place,
                       std::to_string(*parse_number("0x" + std::string(data.substr(0, 2)))));
            if (data.size() >= 4) {
                const uint64_t length = *parse_number("0x" + std::string(data.substr(2, 2)));
                add_number(values, head.length, place + 1, std::to_string(length));
            }
            return;
        }
        const auto option = std::ranges::find(layout.options, name, &OptionLayout::name);
        const bool is_named = option != layout.options.end();
        const auto kind = is_named ? option->kind : static_cast<unsigned>(*parse_number(name));
        const bool is_optional = names == Protocol::kIp && !is_named; // tshark has no fields for such
        add_number(values, head.kind, place, std::to_string(kind), is_optional);
        if (is_named && option->is_single) {
            if (names == Protocol::kIp && kind == 0) { // tshark ends there, as RFC 791 does
                return;
            }
            is_ended = kind == 0;
            place++;
            continue;
        }
        const bool has_numbers = is_named && option->width != 0;
        const size_t bytes = has_numbers ? parts_of(data, ':').size() * option->width : data.size() / 2;
        const size_t length = bytes + (layout.option_length_has_head ? 2 : 0);
        add_number(values, head.length, place + 1, std::to_string(length), is_optional);
        const auto* row = std::ranges::find_if(kOptionNames, [&](const OptionName& each) {
            return each.protocol == names && each.kind == kind && (each.width == 0 || has_numbers);
        });
        if (row != std::end(kOptionNames)) {
            add_option_data(*row, data, length, place, values);
        }
        place += 2 + static_cast<uint32_t>(bytes);
    }
}

/* -- Routing data ---------------------------------------------------------- */

// Types 0 (RFC 2460) and 2 (RFC 6275) have a reserved word before their addresses.
void add_routing_data(uint64_t type, const std::string& hex, uint32_t place, Values& values) {
    constexpr size_t kWord = 8;
    constexpr size_t kAddress = 32;
    if (type != 0 && type != 2) {
        const bool is_known = type < 7; // tshark takes these apart
        add_bytes(values, "ipv6.routing.unknown_data", place, hex, is_known);
        return;
    }
    add_bytes(values, type == 0 ? "ipv6.routing.src.reserved" : "ipv6.routing.mipv6.reserved", place,
              hex.substr(0, kWord));
    const char* address = type == 0 ? "ipv6.routing.src.addr" : "ipv6.routing.mipv6.home_address";
    const size_t end = type == 0 ? hex.size() : std::min(hex.size(), kWord + kAddress); // type 2 has one
    for (size_t at = kWord; at + kAddress <= end; at += kAddress) {
        add_bytes(values, address, place + static_cast<uint32_t>(at / 2), hex.substr(at, kAddress));
    }
}

/* -- DNS ------------------------------------------------------------------- */

// Bytes of a label as tshark shows them, but for those outside ASCII.
std::string tshark_label(std::string_view label) {
    constexpr std::string_view kControls = "\a\b\t\n\v\f\r";
    std::string shown;
    for (const char c : label) {
        const auto byte = static_cast<uint8_t>(c);
        const size_t control = kControls.find(c);
        if (control != std::string_view::npos) {
            shown += {'\\', "abtnvfr"[control]};
        } else if (byte < 0x20 || byte == 0x7f) {
            char octal[8];
            std::snprintf(octal, sizeof octal, "\\%03o", byte);
            shown += octal;
        } else {
            shown += c;
        }
    }
    return shown;
}

// A name as tshark shows it.
std::string tshark_name(std::string_view text) {
    const auto labels = parse_dns_name(text);
    std::string shown;
    for (size_t i = 0; labels && i < labels->size(); i++) {
        shown += (i == 0 ? "" : ".") + tshark_label((*labels)[i]);
    }
    return !labels || labels->empty() ? "<Root>" : shown;
}

void add_name(Values& values, const char* name, uint32_t place, std::string_view text) {
    values.push_back({name, place, tshark_name(text), ValueForm::kText});
}

// Bytes of the name at `at` of a message, without what a pointer points at.
uint32_t name_size(ByteView message, uint32_t at) {
    const uint32_t from = at;
    while (message[at] != 0 && message[at] < 0xc0) {
        at += 1U + message[at];
    }
    return at + (message[at] == 0 ? 1 : 2) - from;
}

// The owner of an SRV is shown in three: what is before its first two dots, and the rest (RFC 2782).
void add_service(Values& values, uint32_t place, std::string_view text) {
    std::string rest = tshark_name(text);
    for (const char* name : {"dns.srv.service", "dns.srv.proto"}) {
        const size_t dot = rest.find('.');
        if (dot == std::string::npos) {
            values.push_back({name, place, rest, ValueForm::kText});
            return;
        }
        values.push_back({name, place, rest.substr(0, dot), ValueForm::kText});
        rest.erase(0, dot + 1);
    }
    values.push_back({"dns.srv.name", place, rest, ValueForm::kText});
}

struct DataName {
    uint16_t type;
    std::vector<const char*> items; ///< tshark's names
};

// An item of a record's data: `letter` as in dns_shape.
uint32_t item_size(ByteView message, uint32_t at, char letter) {
    switch (letter) {
    case 'N':
    case 'n':
        return name_size(message, at);
    case 'a':
        return 4;
    case 'q':
        return 16;
    case 's':
        return 1U + message[at];
    default:
        return letter == 'b' ? 1 : letter == 'h' ? 2 : 4;
    }
}

void add_item(Values& values, const char* name, uint32_t place, std::string_view word, char letter) {
    if (letter == 'N' || letter == 'n') {
        add_name(values, name, place, word);
    } else if (letter == 's') {
        const std::string bytes = parse_dns_string(word).value_or("");
        add_bytes(values, name, place + 1, to_hex(as_bytes(bytes)));
    } else if (letter == 'a' || letter == 'q') {
        values.push_back({name, place, std::string(word), ValueForm::kText});
    } else {
        add_number(values, name, place, word);
    }
}

void add_data(Values& values, ByteView message, uint32_t at, uint32_t base, const DnsRecord& record) {
    static const std::vector<DataName> kNames = {
        {1, {"dns.a"}},
        {2, {"dns.ns"}},
        {5, {"dns.cname"}},
        {6,
         {"dns.soa.mname", "dns.soa.rname", "dns.soa.serial_number", "dns.soa.refresh_interval",
          "dns.soa.retry_interval", "dns.soa.expire_limit", "dns.soa.minimum_ttl"}},
        {12, {"dns.ptr.domain_name"}},
        {13, {"dns.hinfo.cpu", "dns.hinfo.os"}},
        {15, {"dns.mx.preference", "dns.mx.mail_exchange"}},
        {16, {"dns.txt"}},
        {28, {"dns.aaaa"}},
        {33, {"dns.srv.priority", "dns.srv.weight", "dns.srv.port", "dns.srv.target"}},
        {39, {"dns.dname"}},
        {99, {"dns.spf"}},
    };
    const std::vector<std::string_view> words = dns_words(record.data);
    const std::string_view shape = dns_shape(record.type);
    const auto names = std::ranges::find(kNames, record.type, &DataName::type);
    if (names == kNames.end() || words.empty() || words[0] == "\\#") {
        if (words.size() == 3) { // tshark takes some types apart
            add_bytes(values, "dns.data", base + at, words[2], true);
        }
        return;
    }
    for (size_t i = 0; i < words.size(); i++) {
        const char letter = shape[std::min(i, shape.size() - 1)];
        const char* name = names->items[std::min(i, names->items.size() - 1)];
        add_item(values, name, base + at, words[i], letter);
        at += item_size(message, at, letter);
    }
}

// Class and TTL of an OPT record are others' (RFC 6891).
void add_head(Values& values, const DnsRecord& record, uint32_t place, bool is_question) {
    const bool is_opt = !is_question && record.type == 41;
    add_number(values, is_question ? "dns.qry.type" : "dns.resp.type", place, std::to_string(record.type));
    add_number(values,
               is_question ? "dns.qry.class"
               : is_opt    ? "dns.rr.udp_payload_size"
                           : "dns.resp.class",
               place + 2, std::to_string(record.klass));
    if (is_opt) {
        add_number(values, "dns.resp.ext_rcode", place + 4, std::to_string(record.ttl >> 24));
        add_number(values, "dns.resp.edns0_version", place + 5, std::to_string(record.ttl >> 16 & 0xff));
        add_number(values, "dns.resp.z", place + 6, std::to_string(record.ttl & 0xffff));
    } else if (!is_question) {
        add_number(values, "dns.resp.ttl", place + 4, std::to_string(record.ttl));
    }
}

void add_records(ByteView message, uint32_t base, Values& values) {
    uint32_t at = 12;
    const DnsSections sections = read_dns(message);
    for (size_t section = 0; section < kDnsSections; section++) {
        const bool is_question = section == 0;
        for (const DnsRecord& record : sections[section]) {
            if (!is_question && record.type == 33) {
                add_service(values, base + at, record.name);
            } else {
                add_name(values, is_question ? "dns.qry.name" : "dns.resp.name", base + at, record.name);
            }
            at += name_size(message, at);
            add_head(values, record, base + at, is_question);
            if (is_question) {
                at += 4;
                continue;
            }
            const uint32_t size = static_cast<uint32_t>(message[at + 8]) << 8 | message[at + 9];
            add_number(values, "dns.resp.len", base + at + 8, std::to_string(size));
            add_data(values, message, at + 10, base, record);
            at += 10 + size;
        }
    }
}

constexpr std::string_view kContents[] = {
    "ip.opt.type",
    "ip.opt.len",
    "ip.opt.ra",
    "ip.options.record_route",
    "ip.options.timestamp",
    "ip.options.security",
    "ip.options.route",
    "ip.options.source_route",
    "tcp.option_kind",
    "tcp.option_len",
    "tcp.options",
    "tcp.options.mss_val",
    "tcp.options.wscale.shift",
    "tcp.options.sack_le",
    "tcp.options.sack_re",
    "tcp.options.timestamp.tsval",
    "tcp.options.timestamp.tsecr",
    "tcp.options.tfo.cookie",
    "tcp.options.experimental",
    "ipv6.opt.type",
    "ipv6.opt.length",
    "ipv6.opt.padn",
    "ipv6.opt.router_alert",
    "ipv6.opt.jumbo",
    "ipv6.opt.mipv6.home_address",
    "ipv6.routing.src.reserved",
    "ipv6.routing.src.addr",
    "ipv6.routing.mipv6.reserved",
    "ipv6.routing.mipv6.home_address",
    "ipv6.routing.unknown_data",
    "dns.qry.name",
    "dns.qry.type",
    "dns.qry.class",
    "dns.resp.name",
    "dns.resp.type",
    "dns.resp.class",
    "dns.resp.ttl",
    "dns.resp.len",
    "dns.rr.udp_payload_size",
    "dns.resp.ext_rcode",
    "dns.resp.edns0_version",
    "dns.resp.z",
    "dns.srv.service",
    "dns.srv.proto",
    "dns.srv.name",
    "dns.a",
    "dns.ns",
    "dns.cname",
    "dns.soa.mname",
    "dns.soa.rname",
    "dns.soa.serial_number",
    "dns.soa.refresh_interval",
    "dns.soa.retry_interval",
    "dns.soa.expire_limit",
    "dns.soa.minimum_ttl",
    "dns.ptr.domain_name",
    "dns.hinfo.cpu",
    "dns.hinfo.os",
    "dns.mx.preference",
    "dns.mx.mail_exchange",
    "dns.txt",
    "dns.aaaa",
    "dns.srv.priority",
    "dns.srv.weight",
    "dns.srv.port",
    "dns.srv.target",
    "dns.dname",
    "dns.spf",
    "dns.data",
};

} // namespace

bool is_content(std::string_view name) {
    return std::ranges::find(kContents, name) != std::end(kContents);
}

void add_contents(const Packet& packet, size_t layer, uint32_t place, std::vector<OurValue>& values) {
    const ProtocolLayout& layout = layout_of(packet.layers()[layer].protocol);
    const ByteView header = packet.header(layer);
    if (!layout.options.empty()) {
        const Field& options = *find_field(layout, "options");
        const uint32_t at =
            place + (layout.protocol == Protocol::kIp || layout.protocol == Protocol::kTcp ? 20U : 2U);
        const std::string text = packet.text(layer, options);
        if (layout.protocol == Protocol::kTcp && header.size() > 20) {
            add_bytes(values, "tcp.options", at, to_hex(header.subspan(20)));
        }
        add_options(layout, text, at, values);
    } else if (layout.protocol == Protocol::kRouting) {
        const auto data = packet.get(layer, *find_field(layout, "data"));
        add_routing_data(header[2], to_hex(std::get<ByteVec>(data)), place + 4, values);
    } else if (layout.protocol == Protocol::kDns) {
        add_records(header, place, values);
    }
}

} // namespace mimicsh::net
