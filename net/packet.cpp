// SPDX-License-Identifier: MIT
// Packets: reading and writing fields.
#include "net/packet.h"

#include <algorithm>
#include <cerrno>

#include "net/dns.h"
#include "net/field_text.h"

namespace mimicsh::net {

namespace {

std::string field_names(const ProtocolLayout& layout) {
    std::string names = "fields:";
    for (const Field& field : layout.fields) {
        names += " " + std::string(field.name);
    }
    return names;
}

Error bad_value(const ProtocolLayout& layout, const Field& field, const std::string& reason,
                std::string hint = {}) {
    return Error{EINVAL,
                 "set field",
                 std::string(layout.name) + "." + std::string(field.name) + ": " + reason,
                 std::move(hint),
                 {}};
}

// What the user may write, for the hint of a refused text.
std::string accepted_text(const ProtocolLayout& layout, const Field& field) {
    std::string names;
    if (field.kind == FieldKind::kOptions) {
        for (const OptionLayout& option : layout.options) {
            names += (names.empty() ? "options: " : " ") + std::string(option.name);
        }
        return names + ", NUMBER=HEX, raw=HEX";
    }
    for (const NamedValue& named : field.names) {
        names += (names.empty() ? "a number or " : " ") + std::string(named.name);
    }
    return names;
}

ByteView field_bytes(ByteView header, const Field& field) {
    size_t first = std::min<size_t>(field.bit_offset / 8U, header.size());
    size_t size = field.bit_width == 0 ? header.size() - first : field.bit_width / 8U;
    return header.subspan(first, std::min(size, header.size() - first));
}

bool is_number(const Field& field) {
    return field.kind == FieldKind::kUint || field.kind == FieldKind::kHex || field.kind == FieldKind::kFlags;
}

} // namespace

/* -- Layers --------------------------------------------------------------- */

Packet::Packet(ByteVec bytes, std::vector<Layer> layers, std::string note)
    : bytes_(std::move(bytes)), layers_(std::move(layers)), note_(std::move(note)) {}

ByteView Packet::payload() const {
    if (layers_.empty()) {
        return bytes_;
    }
    const Layer& last = layers_.back();
    return ByteView(bytes_).subspan(last.offset + last.size, last.end - last.offset - last.size);
}

ByteView Packet::padding() const {
    return layers_.empty() ? ByteView() : ByteView(bytes_).subspan(layers_.back().end);
}

std::optional<size_t> Packet::find(Protocol protocol, size_t nth) const {
    for (size_t i = 0; i < layers_.size(); i++) {
        if (layers_[i].protocol == protocol && nth-- == 0) {
            return i;
        }
    }
    return std::nullopt;
}

ByteView Packet::header(size_t layer) const {
    if (layer >= layers_.size()) {
        return {};
    }
    return ByteView(bytes_).subspan(layers_[layer].offset, layers_[layer].size);
}

Expected<const Field*> Packet::lookup(size_t layer, std::string_view name, const char* op) const {
    if (layer >= layers_.size()) {
        return Error{ENOENT,
                     op,
                     "layer " + std::to_string(layer) + ": the packet has " + std::to_string(layers_.size()),
                     {},
                     {}};
    }
    const ProtocolLayout& layout = layout_of(layers_[layer].protocol);
    const Field* field = find_field(layout, name);
    if (field == nullptr) {
        return Error{EINVAL,
                     op,
                     std::string(layout.name) + "." + std::string(name) + ": no such field",
                     field_names(layout),
                     {}};
    }
    return field;
}

/* -- Reading -------------------------------------------------------------- */

Expected<FieldValue> Packet::get(size_t layer, std::string_view name) const {
    auto field = lookup(layer, name, "get field");
    if (!field) {
        return field.error();
    }
    return get(layer, **field);
}

std::optional<Field> Packet::placed(size_t layer, const Field& field) const {
    return place_field(layout_of(layers_[layer].protocol), header(layer).data(), field);
}

FieldValue Packet::get(size_t layer, const Field& field) const {
    if (is_number(field)) {
        auto place = placed(layer, field);
        return place ? FieldValue(load_field(header(layer).data(), *place)) : FieldValue(ByteVec());
    }
    ByteView bytes = field_bytes(header(layer), field);
    if (field.kind == FieldKind::kBytes) {
        return ByteVec(bytes.begin(), bytes.end());
    }
    return text(layer, field);
}

std::string Packet::text(size_t layer, const Field& field) const {
    ByteView bytes = field_bytes(header(layer), field);
    switch (field.kind) {
    case FieldKind::kMac:
        return mac_text(bytes);
    case FieldKind::kIp4:
        return ip4_text(bytes);
    case FieldKind::kIp6:
        return ip6_text(bytes);
    case FieldKind::kBytes:
        return to_hex(bytes);
    case FieldKind::kOptions:
        return options_text(layout_of(layers_[layer].protocol), bytes);
    case FieldKind::kRecords:
        return dns_text(read_dns(header(layer))[field.section], field.section == 0);
    case FieldKind::kUint:
    case FieldKind::kHex:
    case FieldKind::kFlags:
        break;
    }
    auto place = placed(layer, field);
    return place ? value_text(field, load_field(header(layer).data(), *place)) : "";
}

/* -- Writing -------------------------------------------------------------- */

namespace {

Expected<ByteVec> encode_number(const ProtocolLayout& layout, const Field& field, uint64_t value) {
    unsigned width = field.bit_width;
    if (width < 64 && value >> width != 0) {
        uint64_t most = (uint64_t{1} << width) - 1;
        return bad_value(layout, field,
                         std::to_string(value) + " is out of range 0.." + std::to_string(most));
    }
    ByteVec bytes(8);
    store_be(bytes.data(), value);
    return ByteVec(bytes.end() - (width + 7) / 8, bytes.end());
}

} // namespace

// The value as bytes: big-endian numbers of (bit_width + 7) / 8 bytes, addresses, options without padding.
Expected<ByteVec> Packet::encode(const ProtocolLayout& layout, const Field& field,
                                 const FieldValue& value) const {
    size_t size = (field.bit_width + 7U) / 8;
    bool is_variable = field.kind == FieldKind::kOptions || field.kind == FieldKind::kBytes;
    if (const auto* number = std::get_if<uint64_t>(&value)) {
        if (is_variable || field.kind == FieldKind::kIp6) {
            return bad_value(layout, field, "a number is not accepted here");
        }
        return encode_number(layout, field, *number);
    }
    if (const auto* bytes = std::get_if<ByteVec>(&value)) {
        if (is_variable) {
            return *bytes;
        }
        if (bytes->size() != size) {
            return bad_value(layout, field,
                             std::to_string(bytes->size()) + " bytes, the field has " + std::to_string(size));
        }
        if (!is_number(field)) {
            return *bytes;
        }
        uint64_t number = 0;
        for (uint8_t byte : *bytes) {
            number = number << 8 | byte;
        }
        return encode_number(layout, field, number);
    }
    const std::string& text = std::get<std::string>(value);
    if (field.kind == FieldKind::kBytes) {
        ByteView bytes = as_bytes(text);
        return ByteVec(bytes.begin(), bytes.end());
    }
    std::optional<ByteVec> parsed;
    if (field.kind == FieldKind::kOptions) {
        parsed = parse_options(layout, text);
    } else if (!is_number(field)) {
        parsed = parse_address(field.kind, text);
    } else if (auto number = parse_value(field, text)) {
        return encode_number(layout, field, *number);
    }
    if (!parsed) {
        const char* what = field.kind == FieldKind::kOptions ? "an option list"
                           : field.kind == FieldKind::kMac   ? "a MAC address"
                           : field.kind == FieldKind::kIp4   ? "an IPv4 address"
                           : field.kind == FieldKind::kIp6   ? "an IPv6 address"
                                                             : "a value of this field";
        return bad_value(layout, field, "'" + text.substr(0, 80) + "' is not " + what,
                         accepted_text(layout, field));
    }
    return *std::move(parsed);
}

namespace {

bool is_nothing(const FieldValue& value) {
    const auto* bytes = std::get_if<ByteVec>(&value);
    const auto* text = std::get_if<std::string>(&value);
    return (bytes != nullptr && bytes->empty()) || (text != nullptr && text->empty());
}

bool is_presence_flag(const ProtocolLayout& layout, const Field& flag) {
    return std::ranges::any_of(layout.fields, [&](const Field& field) {
        return field.presence >= 0 && field.presence == flag.bit_offset && flag.bit_width == 1;
    });
}

} // namespace

Status Packet::set(size_t layer, std::string_view name, const FieldValue& value) {
    auto found = lookup(layer, name, "set field");
    if (!found) {
        return found.error();
    }
    const Field& field = **found;
    const ProtocolLayout& layout = layout_of(layers_[layer].protocol);
    if (field.presence >= 0 && is_nothing(value)) {
        set_presence(layer, static_cast<unsigned>(field.presence), false);
        fill(false);
        return {};
    }
    if (field.kind == FieldKind::kRecords) {
        return set_records(layer, field, value);
    }
    auto encoded = encode(layout, field, value);
    if (!encoded) {
        return encoded.error();
    }
    size_t first = field.bit_offset / 8U;
    if (field.bit_width == 0) {
        const Field& length = *layout.with_role(FieldRole::kHeaderLength);
        size_t most = layout.header_base + layout.header_unit * ((size_t{1} << length.bit_width) - 1);
        size_t size = layout.header_minimum;
        if (first + encoded->size() > size) {
            size += round_up<size_t>(first + encoded->size() - size, layout.header_unit);
        }
        if (size > most) {
            return bad_value(layout, field,
                             std::to_string(encoded->size()) + " bytes, the header has room for " +
                                 std::to_string(most - first));
        }
        set_rest(layer, field, *encoded, size);
    } else if (is_number(field)) {
        uint64_t number = 0;
        for (uint8_t byte : *encoded) {
            number = number << 8 | byte;
        }
        if (is_presence_flag(layout, field)) {
            set_presence(layer, field.bit_offset, number != 0);
        } else if (field.presence >= 0 && !placed(layer, field)) {
            set_presence(layer, static_cast<unsigned>(field.presence), true);
        }
        store_field(bytes_.data() + layers_[layer].offset, *placed(layer, field), number);
    } else {
        std::copy(encoded->begin(), encoded->end(),
                  bytes_.begin() + layers_[layer].offset + narrow<ptrdiff_t>(first));
    }
    layers_[layer].explicit_fields |= uint32_t{1} << field_index(layout, field);
    fill(false);
    return {};
}

Status Packet::set_payload(ByteView payload) {
    size_t old_size = this->payload().size();
    if (payload.size() > kMaxBuiltPacket || bytes_.size() - old_size + payload.size() > kMaxBuiltPacket) {
        return Error{EMSGSIZE,
                     "set payload",
                     "the packet would be longer than " + std::to_string(kMaxBuiltPacket) + " bytes",
                     {},
                     {}};
    }
    ByteVec copy(payload.begin(), payload.end()); // may be a view of this very packet
    auto at = bytes_.begin() + (layers_.empty() ? 0 : layers_.back().offset + layers_.back().size);
    at = bytes_.erase(at, at + narrow<ptrdiff_t>(old_size));
    bytes_.insert(at, copy.begin(), copy.end());
    for (Layer& layer : layers_) {
        layer.end = static_cast<uint32_t>(layer.end - old_size + copy.size());
    }
    fill(false);
    return {};
}

// Writes the rest of a header that gets this size; what is missing is 0.
void Packet::set_rest(size_t layer, const Field& field, ByteView bytes, size_t new_size) {
    resize_header(layer, new_size);
    auto at = bytes_.begin() + layers_[layer].offset + field.bit_offset / 8;
    auto end = std::copy(bytes.begin(), bytes.end(), at);
    std::fill(end, bytes_.begin() + layers_[layer].offset + layers_[layer].size, uint8_t{0});
}

// The whole message is written anew, as names of later records point into earlier ones; what a section holds
// already changes nothing, however its names are compressed.
Status Packet::set_records(size_t layer, const Field& field, const FieldValue& value) {
    const ProtocolLayout& layout = layout_of(layers_[layer].protocol);
    const auto* bytes = std::get_if<ByteVec>(&value);
    const auto* words = std::get_if<std::string>(&value);
    if (bytes == nullptr && words == nullptr) {
        return bad_value(layout, field, "a number is not accepted here");
    }
    const std::string written = words != nullptr ? *words : std::string(as_text(*bytes));
    const bool is_question = field.section == 0;
    auto records = parse_dns(written, is_question);
    if (!records) {
        return bad_value(layout, field, records.error().text);
    }
    DnsSections sections = read_dns(header(layer));
    if (sections[field.section] == *records) {
        return {};
    }
    const size_t count = records->size();
    sections[field.section] = *std::move(records);
    auto message = write_dns(header(layer), sections);
    if (!message) {
        return bad_value(layout, field, message.error().text, message.error().hint);
    }
    set_rest(layer, field, ByteView(*message).subspan(layout.header_minimum), message->size());
    for (const Field& other : layout.fields) {
        const bool is_written = (layers_[layer].explicit_fields >> field_index(layout, other) & 1) != 0;
        if (other.role == FieldRole::kRecordCount && other.section == field.section && !is_written) {
            store_field(bytes_.data() + layers_[layer].offset, other, count);
        }
    }
    fill(false);
    return {};
}

// Optional fields appear as 0 and take their value with them when they go; the others keep theirs.
void Packet::set_presence(size_t layer, unsigned flag_bit, bool is_on) {
    const ProtocolLayout& layout = layout_of(layers_[layer].protocol);
    std::vector<std::pair<const Field*, uint64_t>> kept;
    for (const Field& field : layout.fields) {
        if (auto place = placed(layer, field); place && field.presence >= 0) {
            kept.emplace_back(&field, load_field(header(layer).data(), *place));
        }
        if (field.presence == static_cast<int>(flag_bit) && !is_on) {
            layers_[layer].explicit_fields &= ~(uint32_t{1} << field_index(layout, field));
        }
    }
    uint8_t& flags = bytes_[layers_[layer].offset + flag_bit / 8];
    auto mask = static_cast<uint8_t>(0x80U >> flag_bit % 8);
    flags = static_cast<uint8_t>(is_on ? flags | mask : flags & ~mask);
    resize_header(layer, header_size_by_flags(layout, bytes_.data() + layers_[layer].offset));
    uint8_t* start = bytes_.data() + layers_[layer].offset;
    std::fill(start + layout.header_minimum, start + layers_[layer].size, uint8_t{0});
    for (const auto& [field, value] : kept) {
        if (auto place = placed(layer, *field)) {
            store_field(start, *place, value);
        }
    }
}

// Grows or shrinks a header at its end; what follows moves.
void Packet::resize_header(size_t layer, size_t new_size) {
    size_t old_size = layers_[layer].size;
    auto at = bytes_.begin() + layers_[layer].offset;
    if (new_size > old_size) {
        bytes_.insert(at + narrow<ptrdiff_t>(old_size), new_size - old_size, uint8_t{0});
    } else {
        bytes_.erase(at + narrow<ptrdiff_t>(new_size), at + narrow<ptrdiff_t>(old_size));
    }
    auto moved = static_cast<uint32_t>(new_size - old_size); // wraps for a smaller header, as the sums do
    layers_[layer].size = static_cast<uint32_t>(new_size);
    for (size_t i = 0; i < layers_.size(); i++) {
        layers_[i].end += moved;
        if (i > layer) {
            layers_[i].offset += moved;
        }
    }
}

} // namespace mimicsh::net
