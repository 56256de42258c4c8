// SPDX-License-Identifier: MIT
// Packets: filling in next headers, lengths and checksums.
#include "net/packet.h"

#include "net/checksum.h"

namespace mimicsh::net {

uint64_t Packet::role_value(size_t layer, FieldRole role) const {
    const Field* field = layout_of(layers_[layer].protocol).with_role(role);
    return field != nullptr ? load_field(header(layer).data(), *field) : 0;
}

bool Packet::is_inside_fragment(size_t layer) const {
    for (size_t i = 0; i < layer; i++) {
        if (role_value(i, FieldRole::kFragment) != 0 || role_value(i, FieldRole::kMore) != 0) {
            return true;
        }
    }
    return false;
}

/* -- Next headers and lengths --------------------------------------------- */

// The next header's number, or the port that names it where neither port does yet.
void Packet::fill_next(size_t layer) {
    const ProtocolLayout& layout = layout_of(layers_[layer].protocol);
    const Protocol above = layers_[layer + 1].protocol;
    const Field* field = layout.with_role(FieldRole::kNextHeader);
    if (const Field* port = layout.with_role(FieldRole::kNextPort)) {
        const bool is_named = find_next(layout, role_value(layer, FieldRole::kOtherPort)) == above;
        field = is_named ? nullptr : port;
    }
    if (field == nullptr || (layers_[layer].explicit_fields >> field_index(layout, *field) & 1) != 0) {
        return;
    }
    for (const NextHeader& next : layout.next) {
        if (next.protocol == above) {
            store_field(bytes_.data() + layers_[layer].offset, *field, next.value);
            return;
        }
    }
}

void Packet::fill_lengths(bool is_forced) {
    for (size_t i = 0; i < layers_.size(); i++) {
        const Layer& layer = layers_[i];
        const ProtocolLayout& layout = layout_of(layer.protocol);
        uint8_t* header = bytes_.data() + layer.offset;
        auto is_explicit = [&](const Field& field) {
            return (layer.explicit_fields >> field_index(layout, field) & 1) != 0;
        };
        if (i + 1 < layers_.size()) {
            fill_next(i);
        }
        if (const Field* field = layout.with_role(FieldRole::kHeaderLength);
            field != nullptr && (is_forced || !is_explicit(*field))) {
            store_field(header, *field, (layer.size - layout.header_base) / layout.header_unit);
        }
        if (const Field* field = layout.with_role(FieldRole::kLength);
            field != nullptr && (!is_explicit(*field) || (is_forced && !is_inside_fragment(i)))) {
            uint64_t length = layer.end - layer.offset - layout.length_base;
            // Longer than the field can say: 0, as the kernel writes for jumbo packets.
            store_field(header, *field, length >> field->bit_width == 0 ? length : 0);
        }
    }
}

/* -- Checksums ------------------------------------------------------------ */

namespace {

// The destination that the pseudo header means: the last stop of a source route that is not used up.
ByteView final_destination(const Packet& packet, size_t ip, size_t transport) {
    ByteView header = packet.header(ip);
    if (packet.layers()[ip].protocol == Protocol::kIp) {
        for (size_t at = 20; at < header.size() && header[at] != 0;) {
            size_t size = header[at] == 1 ? 1 : at + 1 < header.size() ? header[at + 1] : 0;
            if (size == 0 || size > header.size() - at) {
                break;
            }
            bool is_route = (header[at] == 131 || header[at] == 137) && size >= 7 && size % 4 == 3;
            if (is_route && header[at + 2] >= 4 && header[at + 2] % 4 == 0 && header[at + 2] <= size) {
                return header.subspan(at + size - 4, 4);
            }
            at += size;
        }
        return header.subspan(16, 4);
    }
    for (size_t i = ip + 1; i < transport; i++) {
        ByteView route = packet.header(i);
        if (packet.layers()[i].protocol != Protocol::kRouting || route[3] == 0 || route.size() < 24) {
            continue;
        }
        if (route[2] == 4) { // segment routing lists the last stop first
            return route.subspan(8, 16);
        }
        if (route[2] == 0 || route[2] == 2) {
            return route.last(16);
        }
    }
    return header.subspan(24, 16);
}

// The source that it means: the home address of a mobile node that is away (RFC 6275 section 6.3).
ByteView original_source(const Packet& packet, size_t ip, size_t transport) {
    ByteView header = packet.header(ip);
    if (packet.layers()[ip].protocol == Protocol::kIp) {
        return header.subspan(12, 4);
    }
    for (size_t i = ip + 1; i < transport; i++) {
        ByteView options = packet.header(i);
        if (packet.layers()[i].protocol != Protocol::kDstOpts) {
            continue;
        }
        for (size_t at = 2; at + 1 < options.size();) {
            constexpr uint8_t kHomeAddress = 0xc9;
            if (options[at] == kHomeAddress && options[at + 1] == 16 && options.size() - at >= 18) {
                return options.subspan(at + 2, 16);
            }
            at += options[at] == 0 ? 1 : 2U + options[at + 1];
        }
    }
    return header.subspan(8, 16);
}

} // namespace

std::optional<uint64_t> Packet::pseudo_sum(size_t layer, uint32_t length) const {
    uint8_t number = layout_of(layers_[layer].protocol).ip_number;
    auto ip = ip_below(layer);
    if (!ip) {
        return std::nullopt;
    }
    return pseudo_header_sum(original_source(*this, *ip, layer), final_destination(*this, *ip, layer), number,
                             length);
}

std::optional<size_t> Packet::ip_below(size_t layer) const {
    for (size_t ip = layer; ip-- > 0;) {
        if (layers_[ip].protocol == Protocol::kIp || layers_[ip].protocol == Protocol::kIp6) {
            return ip;
        }
    }
    return std::nullopt;
}

bool Packet::is_over_ip6(size_t layer) const {
    auto ip = ip_below(layer);
    return ip && layers_[*ip].protocol == Protocol::kIp6;
}

std::optional<uint16_t> Packet::compute_checksum(size_t index) const {
    const Layer& layer = layers_[index];
    const ProtocolLayout& layout = layout_of(layer.protocol);
    const Field* field = layout.with_role(FieldRole::kChecksum);
    if (field == nullptr || layout.checksum == ChecksumRule::kNone || !placed(index, *field)) {
        return std::nullopt;
    }
    uint64_t sum = 0;
    uint32_t size = layer.size;
    if (layout.checksum != ChecksumRule::kHeader) {
        if (is_inside_fragment(index)) {
            return std::nullopt;
        }
        size = layer.end - layer.offset;
    }
    if (layout.checksum == ChecksumRule::kPseudo) {
        auto pseudo = pseudo_sum(index, size);
        if (!pseudo) {
            return std::nullopt;
        }
        sum = *pseudo;
    }
    ByteView covered = ByteView(bytes_).subspan(layer.offset, size);
    size_t at = field->bit_offset / 8U;
    sum = checksum_add(sum, covered.first(at)); // checksum fields lie at even offsets
    uint16_t value = checksum_finish(checksum_add(sum, covered.subspan(at + 2)));
    return value == 0 && layout.checksum_optional ? uint16_t{0xffff} : value;
}

std::optional<uint16_t> Packet::expected_checksum(size_t index) const {
    if (index >= layers_.size()) {
        return std::nullopt;
    }
    if (layout_of(layers_[index].protocol).checksum != ChecksumRule::kHeader) {
        for (size_t i = 0; i <= index; i++) {
            uint64_t length = role_value(i, FieldRole::kLength);
            const Layer& layer = layers_[i];
            if (length != 0 && layer.offset + layout_of(layer.protocol).length_base + length != layer.end) {
                return std::nullopt;
            }
        }
    }
    return compute_checksum(index);
}

void Packet::fill_checksums(bool is_forced) {
    // From the inside out: a checksum over data covers the headers in it.
    for (size_t i = layers_.size(); i-- > 0;) {
        const ProtocolLayout& layout = layout_of(layers_[i].protocol);
        const Field* field = layout.with_role(FieldRole::kChecksum);
        if (field == nullptr) {
            continue;
        }
        bool is_explicit = (layers_[i].explicit_fields >> field_index(layout, *field) & 1) != 0;
        if (is_explicit && !is_forced) {
            continue;
        }
        uint8_t* header = bytes_.data() + layers_[i].offset;
        if (is_explicit && layout.checksum_optional && load_field(header, *field) == 0 && !is_over_ip6(i)) {
            continue;
        }
        if (auto value = compute_checksum(i)) {
            store_field(header, *field, *value);
        }
    }
}

void Packet::fill(bool is_forced) {
    fill_lengths(is_forced);
    fill_checksums(is_forced);
}

void Packet::fix() {
    fill(true);
}

Packet Packet::wire() const {
    Packet fixed = *this;
    fixed.fix();
    return fixed;
}

} // namespace mimicsh::net
