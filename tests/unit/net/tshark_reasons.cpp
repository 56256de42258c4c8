// SPDX-License-Identifier: MIT
// Why tshark may say something else than the dissector about a damaged packet. Each reason is looked for in
// the bytes, with the RFCs' numbers written out: what the dissector believes is no reason.
#include "tests/unit/net/tshark_reasons.h"

#include <algorithm>
#include <utility>

namespace mimicsh::net {

namespace {

uint32_t word16(ByteView bytes, size_t at) {
    return static_cast<uint32_t>(bytes[at]) << 8 | bytes[at + 1];
}

/* -- Where the dissector stops --------------------------------------------- */

struct Stop {
    uint32_t place = 0; ///< in the frame
    ByteView rest;      ///< from there to where the headers before end
};

Stop stop_of(ByteView frame, const std::vector<FramePart>& parts) {
    const FramePart& part = parts.back();
    uint32_t place = 0;
    auto end = static_cast<uint32_t>(part.packet.size());
    if (!part.packet.layers().empty()) {
        const Layer& last = part.packet.layers().back();
        place = last.offset + last.size;
        end = last.end;
    }
    return {part.base + place, frame.subspan(part.base + place, end - place)};
}

struct HeaderSize {
    Protocol protocol;
    size_t minimum;
};
constexpr HeaderSize kMinimums[] = {
    {Protocol::kEth, 14},    {Protocol::kVlan, 4},    {Protocol::kArp, 28},    {Protocol::kIp, 20},
    {Protocol::kIp6, 40},    {Protocol::kHopOpts, 8}, {Protocol::kRouting, 8}, {Protocol::kFragment, 8},
    {Protocol::kDstOpts, 8}, {Protocol::kIcmp, 8},    {Protocol::kIcmp6, 8},   {Protocol::kUdp, 8},
    {Protocol::kTcp, 20},    {Protocol::kGre, 4},     {Protocol::kVxlan, 8},   {Protocol::kDns, 12},
};

// The size that a whole fixed part states.
size_t stated_size(Protocol protocol, ByteView bytes) {
    switch (protocol) {
    case Protocol::kIp:
        return (bytes[0] & 0x0fU) * 4;
    case Protocol::kTcp:
        return (bytes[12] >> 4U) * 4;
    case Protocol::kHopOpts:
    case Protocol::kRouting:
    case Protocol::kDstOpts:
        return (bytes[1] + 1U) * 8;
    case Protocol::kGre:
        return 4U + ((bytes[0] & 0x80U) != 0 ? 4U : 0U) + ((bytes[0] & 0x20U) != 0 ? 4U : 0U) +
               ((bytes[0] & 0x10U) != 0 ? 4U : 0U);
    default:
        return std::ranges::find(kMinimums, protocol, &HeaderSize::protocol)->minimum;
    }
}

// Why these bytes are no whole header of the protocol that tshark shows them as; empty where they are one.
std::string_view why_no_header(Protocol protocol, ByteView bytes) {
    const size_t minimum = std::ranges::find(kMinimums, protocol, &HeaderSize::protocol)->minimum;
    const bool is_ip = protocol == Protocol::kIp || protocol == Protocol::kIp6;
    if (is_ip && bytes[0] >> 4U != (protocol == Protocol::kIp ? 4 : 6)) {
        return "other version";
    }
    if (bytes.size() < minimum) {
        return "cut header";
    }
    if (protocol == Protocol::kGre && (bytes[0] & 0x40U) + (bytes[1] & 0x07U) != 0) {
        return "other version";
    }
    if (protocol == Protocol::kArp && (bytes[4] != 6 || bytes[5] != 4)) {
        return "other addresses";
    }
    const size_t size = stated_size(protocol, bytes);
    return size < minimum ? "impossible header length" : size > bytes.size() ? "cut header" : "";
}

/* -- DNS ------------------------------------------------------------------- */

enum class Walk : uint8_t { kWhole, kCut, kWrong };

// Steps over the name at `at`. Wrong are names above 255 bytes, reserved length bits, and pointers that do
// not go back to labels before them (RFC 1035 section 4.1.4).
Walk skip_name(ByteView message, size_t& at) {
    size_t here = at;
    size_t begin = at;
    size_t limit = message.size();
    size_t size = 1;
    bool is_away = false;
    while (here < limit && message[here] != 0) {
        const size_t head = message[here];
        if (head >= 0xc0) {
            if (here + 2 > limit) {
                break;
            }
            const size_t target = word16(message, here) & 0x3fffU;
            at = is_away ? at : here + 2;
            is_away = true;
            if (target < 12 || target >= begin) {
                return Walk::kWrong;
            }
            limit = here;
            begin = here = target;
        } else {
            size += head + 1;
            here += head + 1;
            if (head >= 0x40 || size > 255) {
                return Walk::kWrong;
            }
        }
    }
    if (here >= limit || message[here] != 0) {
        return is_away ? Walk::kWrong : Walk::kCut;
    }
    at = is_away ? at : here + 1;
    return Walk::kWhole;
}

Walk skip_record(ByteView message, size_t& at, bool is_question) {
    size_t here = at;
    if (const Walk walk = skip_name(message, here); walk != Walk::kWhole) {
        return walk;
    }
    const size_t head = is_question ? 4 : 10;
    if (here + head > message.size()) {
        return Walk::kCut;
    }
    here += head + (is_question ? 0 : word16(message, here + 8));
    if (here > message.size()) {
        return Walk::kCut;
    }
    at = here;
    return Walk::kWhole;
}

// How the records of a message end, and where the last whole one does.
Walk skip_message(ByteView message, size_t& at) {
    at = 12;
    for (size_t section = 0; section < 4; section++) {
        for (size_t left = word16(message, 4 + 2 * section); left > 0; left--) {
            if (const Walk walk = skip_record(message, at, section == 0); walk != Walk::kWhole) {
                return walk;
            }
        }
    }
    return Walk::kWhole;
}

/* -- What tshark alone shows ----------------------------------------------- */

// Records behind the message that we have: one is not whole.
std::string_view why_no_record(ByteView message, size_t size) {
    size_t end = 0;
    return skip_message(message, end) == Walk::kCut && end == size ? "cut record" : "";
}

// Whether the last header says that IPv4 follows.
bool names_ip4(ByteView frame, const std::vector<FramePart>& parts) {
    const std::vector<Layer>& layers = parts.back().packet.layers();
    if (layers.empty()) { // quoted by ICMP
        return parts.size() > 1 && parts[parts.size() - 2].packet.layers().back().protocol == Protocol::kIcmp;
    }
    const ByteView header = frame.subspan(parts.back().base + layers.back().offset, layers.back().size);
    switch (layers.back().protocol) {
    case Protocol::kEth:
    case Protocol::kVlan:
        return word16(header, header.size() - 2) == 0x0800;
    case Protocol::kGre:
        return word16(header, 2) == 0x0800;
    case Protocol::kIp:
        return header[9] == 4;
    case Protocol::kIp6:
        return header[6] == 4;
    default:
        return header[0] == 4; // an extension header
    }
}

std::string_view why_surplus(ByteView frame, const std::vector<FramePart>& parts, const TsharkPacket& theirs,
                             const FieldDiffers& difference) {
    const Stop stop = stop_of(frame, parts);
    if (difference.place < stop.place || stop.rest.empty()) {
        return {};
    }
    const std::vector<Layer>& layers = parts.back().packet.layers();
    if (!layers.empty() && layers.back().protocol == Protocol::kDns) {
        const Layer& dns = layers.back();
        return why_no_record(frame.subspan(parts.back().base + dns.offset, dns.end - dns.offset), dns.size);
    }
    const auto header = std::ranges::find_if(theirs, [&](const TsharkField& field) {
        const auto place = place_in_header(field.name);
        return place && field.place == stop.place + place->at;
    });
    if (!layers.empty() && layers.back().protocol == Protocol::kTcp) {
        const ByteView tcp = frame.subspan(parts.back().base + layers.back().offset, 4);
        const bool is_dns = word16(tcp, 0) == 53 || word16(tcp, 2) == 53;
        return is_dns && difference.name.starts_with("dns.") ? "DNS over TCP" : "";
    }
    if (header == theirs.end()) {
        return {};
    }
    const Protocol protocol = place_in_header(header->name)->protocol;
    const bool is_extension = protocol == Protocol::kHopOpts || protocol == Protocol::kRouting ||
                              protocol == Protocol::kFragment || protocol == Protocol::kDstOpts;
    if (is_extension && !layers.empty() && layers.back().protocol == Protocol::kIp) {
        return "extension below IPv4";
    }
    if (protocol == Protocol::kIp6 && names_ip4(frame, parts)) {
        return "other version";
    }
    const std::string_view reason = why_no_header(protocol, stop.rest);
    size_t end = 0;
    const bool is_wrong =
        reason.empty() && protocol == Protocol::kDns && skip_message(stop.rest, end) == Walk::kWrong;
    return is_wrong ? "no name" : reason;
}

/* -- What tshark gives up at ----------------------------------------------- */

// Bytes that make no sense: tshark takes them, or all behind them, otherwise.
struct Trouble {
    std::string_view name;
    size_t begin = 0;
    size_t end = 0;
    bool is_record = false; ///< tshark reads on behind the record's end
};
using Troubles = std::vector<Trouble>;

struct OptionLength {
    Protocol protocol;
    unsigned kind;
    size_t length;   ///< with kind and length byte
    size_t step = 0; ///< further bytes come in such steps
};
constexpr OptionLength kOptionLengths[] = {
    {Protocol::kIp, 7, 3, 4},      {Protocol::kIp, 68, 4, 4},      {Protocol::kIp, 130, 11},
    {Protocol::kIp, 131, 3, 4},    {Protocol::kIp, 137, 3, 4},     {Protocol::kIp, 148, 4},
    {Protocol::kTcp, 2, 4},        {Protocol::kTcp, 3, 3},         {Protocol::kTcp, 4, 2},
    {Protocol::kTcp, 5, 10, 8},    {Protocol::kTcp, 8, 10},        {Protocol::kHopOpts, 5, 4},
    {Protocol::kHopOpts, 0xc2, 6}, {Protocol::kHopOpts, 0xc9, 18},
};

void add_options(ByteView frame, Protocol protocol, size_t at, size_t end, Troubles& troubles,
                 bool is_hop = false) {
    const bool is_ip6 = protocol == Protocol::kHopOpts;
    while (at < end) {
        const unsigned kind = frame[at];
        if (kind == 0 || (kind == 1 && !is_ip6)) {
            if (kind == 0 && protocol == Protocol::kIp) {
                return;
            }
            at++;
            continue;
        }
        const size_t length = at + 1 < end ? frame[at + 1] + (is_ip6 ? 2U : 0U) : 0;
        if (length < 2 || at + length > end) {
            troubles.push_back(
                {"option beyond its header", at, std::max(end, at + std::max<size_t>(length, 2))});
            return;
        }
        const auto* row = std::ranges::find_if(kOptionLengths, [&](const OptionLength& each) {
            return each.protocol == protocol && each.kind == kind;
        });
        const bool is_known = row != std::end(kOptionLengths);
        const size_t more = is_known && length >= row->length ? length - row->length : 0;
        if (is_known && (length < row->length || (row->step == 0 ? more != 0 : more % row->step != 0))) {
            troubles.push_back({"option of another length", at, is_ip6 ? end + 1 : at + length});
        }
        if (is_hop && kind == 0xc9) { // a home address belongs to destination options
            troubles.push_back({"option in another header", at, at});
        }
        if (!is_known && !(is_ip6 && kind == 1)) {
            troubles.push_back({"option of another kind", at, is_ip6 ? end + 1 : at + length});
        }
        at += length;
    }
}

struct RecordShape {
    unsigned type;
    size_t before; ///< bytes before the names
    size_t names;
    size_t after;
};
constexpr RecordShape kShapes[] = {
    {1, 4, 0, 0},  {2, 0, 1, 0},   {5, 0, 1, 0},  {6, 0, 2, 20}, {12, 0, 1, 0},
    {15, 2, 1, 0}, {28, 16, 0, 0}, {33, 6, 1, 0}, {39, 0, 1, 0},
};

bool has_strings(unsigned type) {
    return type == 13 || type == 16 || type == 99;
}

bool has_shape(unsigned type) {
    return has_strings(type) || std::ranges::find(kShapes, type, &RecordShape::type) != std::end(kShapes);
}

// Whether a record's data is of its type's shape.
bool is_of_shape(ByteView message, size_t at, size_t end, unsigned type) {
    if (has_strings(type)) {
        const size_t begin = at;
        while (at < end) {
            at += 1U + message[at];
        }
        return at == end && begin < end;
    }
    const auto* shape = std::ranges::find(kShapes, type, &RecordShape::type);
    if (shape == std::end(kShapes)) {
        return true;
    }
    at += shape->before;
    for (size_t i = 0; i < shape->names; i++) {
        if (at >= end || skip_name(message, at) != Walk::kWhole) {
            return false;
        }
    }
    return at + shape->after == end;
}

void add_records(ByteView frame, size_t begin, size_t end, Troubles& troubles) {
    const ByteView message = frame.subspan(begin, end - begin);
    size_t at = 12;
    for (size_t section = 0; section < 4; section++) {
        for (size_t left = word16(message, 4 + 2 * section); left > 0; left--) {
            size_t name = at;
            if (skip_record(message, at, section == 0) != Walk::kWhole) {
                return;
            }
            (void)skip_name(message, name);
            const size_t data = name + 10;
            if (section != 0 && !is_of_shape(message, data, at, word16(message, name))) {
                troubles.push_back({"data of another shape", begin + data, begin + at, true});
            } else if (section != 0 && !has_shape(word16(message, name))) {
                troubles.push_back({"data of another type", begin + data, begin + at, true});
            }
        }
    }
}

Troubles find_troubles(ByteView frame, const std::vector<FramePart>& parts) {
    Troubles troubles;
    for (const FramePart& part : parts) {
        Protocol below = Protocol::kEth;
        for (const Layer& layer : part.packet.layers()) {
            const size_t at = part.base + layer.offset;
            const size_t end = at + layer.size;
            const bool is_in_gre = std::exchange(below, layer.protocol) == Protocol::kGre;
            switch (layer.protocol) {
            case Protocol::kEth:
                if (word16(frame, at + 12) > 1500 && word16(frame, at + 12) < 1536) {
                    troubles.push_back({"neither type nor length", at + 12, end});
                }
                break;
            case Protocol::kVlan:
                if (is_in_gre) {
                    troubles.push_back({"tag in GRE", at, frame.size()});
                }
                break;
            case Protocol::kArp:
                if (word16(frame, at) == 19) {
                    troubles.push_back({"ARP over ATM", at, end});
                }
                break;
            case Protocol::kIp:
                if (word16(frame, at + 2) < layer.size && word16(frame, at + 2) != 0) {
                    troubles.push_back({"impossible length", at + 4, frame.size()});
                }
                add_options(frame, Protocol::kIp, at + 20, end, troubles);
                break;
            case Protocol::kTcp:
                add_options(frame, Protocol::kTcp, at + 20, end, troubles);
                break;
            case Protocol::kIp6:
                if (word16(frame, at + 4) == 0) {
                    troubles.push_back({"length 0", end, frame.size()});
                }
                break;
            case Protocol::kUdp:
                if (word16(frame, at + 4) < 8) {
                    troubles.push_back({"impossible length", at + 6, frame.size()});
                }
                break;
            case Protocol::kHopOpts:
            case Protocol::kDstOpts:
                add_options(frame, Protocol::kHopOpts, at + 2, end, troubles,
                            layer.protocol == Protocol::kHopOpts);
                break;
            case Protocol::kDns:
                add_records(frame, at, end, troubles);
                break;
            default:
                break;
            }
        }
    }
    return troubles;
}

bool is_data_of_record(std::string_view name) {
    const bool is_type = name == "dns.resp.type"; // in bitmaps too
    return is_type || (name.starts_with("dns.") && is_content(name) && !name.starts_with("dns.qry") &&
                       !name.starts_with("dns.resp") && !name.starts_with("dns.rr"));
}

std::string_view why_trouble(ByteView frame, const std::vector<FramePart>& parts, const TsharkPacket& theirs,
                             const FieldDiffers& difference) {
    const bool is_malformed = std::ranges::find(theirs, "_ws.malformed", &TsharkField::name) != theirs.end();
    for (const Trouble& trouble : find_troubles(frame, parts)) {
        const bool is_inside = difference.place >= trouble.begin && difference.place < trouble.end;
        // tshark gave up: it shows nothing behind.
        const bool is_behind = difference.kind == DifferenceKind::kMissing &&
                               difference.place >= trouble.end && is_malformed &&
                               std::ranges::none_of(theirs, [&](const TsharkField& field) {
                                   return field.place >= std::max<size_t>(trouble.end, 1) &&
                                          !field.name.starts_with("ipv6.opt") &&
                                          !(trouble.is_record && is_data_of_record(field.name));
                               });
        const bool is_read_on = trouble.is_record && difference.kind == DifferenceKind::kSurplus &&
                                difference.place >= trouble.end && is_data_of_record(difference.name);
        if (is_inside || is_behind || is_read_on) {
            return trouble.name;
        }
    }
    return {};
}

/* -- Checksums ------------------------------------------------------------- */

// Whether a length before `place` promises more bytes than there are.
bool is_cut(ByteView frame, const std::vector<FramePart>& parts, uint32_t place) {
    size_t outer = frame.size();
    for (const FramePart& part : parts) {
        for (const Layer& layer : part.packet.layers()) {
            const size_t at = part.base + layer.offset;
            if (at > place) {
                return false;
            }
            const size_t length = layer.protocol == Protocol::kIp    ? word16(frame, at + 2)
                                  : layer.protocol == Protocol::kIp6 ? word16(frame, at + 4)
                                  : layer.protocol == Protocol::kUdp ? word16(frame, at + 4)
                                                                     : 0;
            const size_t end = at + length + (layer.protocol == Protocol::kIp6 ? 40 : 0);
            if (length != 0 && end > outer) {
                return true;
            }
            outer = length >= layer.size || (layer.protocol == Protocol::kIp6 && length != 0) ? end : outer;
        }
    }
    return false;
}

/* -- Other values ---------------------------------------------------------- */

std::string_view why_other_value(ByteView frame, const std::vector<FramePart>& parts,
                                 const TsharkPacket& theirs, const FieldDiffers& difference) {
    constexpr std::string_view kHome = "ipv6.opt.mipv6.home_address";
    const bool has_home = std::ranges::find(theirs, kHome, &TsharkField::name) != theirs.end();
    if (difference.name.starts_with("dns.")) {
        const bool is_outside =
            std::ranges::any_of(difference.ours, [](char c) { return static_cast<uint8_t>(c) >= 0x80; });
        const bool is_c_string = difference.ours.starts_with("\\000") && difference.theirs == "<Root>";
        return is_outside ? "name outside ASCII" : is_c_string ? "name with a zero byte" : "";
    }
    if (difference.name == "ip.len") {
        return difference.ours == "0" ? "length 0" : "";
    }
    for (const Trouble& trouble : find_troubles(frame, parts)) {
        const bool is_inside = difference.place >= trouble.begin && difference.place < trouble.end;
        const bool is_behind = difference.place >= trouble.begin;
        const bool is_option = trouble.name.starts_with("option");
        const bool is_status = difference.name.ends_with(".status");
        if (is_option && ((is_inside && is_content(difference.name)) ||
                          (is_behind && is_status && has_home))) { // as source of the pseudo header
            return trouble.name;
        }
    }
    return {};
}

// tshark takes the destination from a source route (RFC 791).
bool has_source_route(ByteView frame, const std::vector<FramePart>& parts, uint32_t place) {
    for (const FramePart& part : parts) {
        for (const Layer& layer : part.packet.layers()) {
            const size_t at = part.base + layer.offset;
            if (layer.protocol != Protocol::kIp || place < at || place >= at + layer.size) {
                continue;
            }
            for (size_t option = at + 20; option < at + layer.size && frame[option] != 0;) {
                if (frame[option] == 131 || frame[option] == 137) {
                    return true;
                }
                option += frame[option] == 1 ? 1 : std::max<size_t>(frame[option + 1], 2);
            }
        }
    }
    return false;
}

} // namespace

std::string_view reason_of(ByteView frame, const std::vector<FramePart>& parts, const TsharkPacket& theirs,
                           const FieldDiffers& difference) {
    if (difference.ours == "unknown") {
        return is_cut(frame, parts, difference.place) ? "checksum of missing bytes" : "";
    }
    if (difference.kind == DifferenceKind::kValue) {
        return why_other_value(frame, parts, theirs, difference);
    }
    const bool is_service = difference.name == "dns.srv.proto" || difference.name == "dns.srv.name";
    if (is_service && std::ranges::any_of(theirs, [&](const TsharkField& field) {
            return field.name == "dns.srv.service" && field.place == difference.place &&
                   field.show == "<Root>";
        })) {
        return "name with a zero byte";
    }
    if (difference.name == "ip.dst" && has_source_route(frame, parts, difference.place)) {
        return "source route";
    }
    const std::string_view trouble = why_trouble(frame, parts, theirs, difference);
    const bool is_surplus = difference.kind == DifferenceKind::kSurplus;
    return !trouble.empty() || !is_surplus ? trouble : why_surplus(frame, parts, theirs, difference);
}

} // namespace mimicsh::net
