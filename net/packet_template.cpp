// SPDX-License-Identifier: MIT
// Varied packets: fields by name to places and numbers, checksums by the values that their fields add.
#include "net/packet_template.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace mimicsh::net {

namespace {

constexpr const char* kOp = "traffic.send";

Error bad(const std::string& field, const std::string& reason) {
    return Error{EINVAL, kOp, "vary " + field + ": " + reason, {}, {}};
}

/// A field by its name, in a layer of the packet.
struct Place {
    size_t layer = 0;
    const Field* field = nullptr;
    size_t offset = 0;
    size_t width = 0;
};

Expected<Place> find_place(const Packet& packet, const std::string& name) {
    const size_t dot = name.find('.');
    const std::string_view text(name);
    const std::string_view layer_name = text.substr(0, std::min(dot, text.find('#')));
    size_t nth = 1;
    if (const size_t mark = text.find('#'); mark < dot) {
        (void)std::from_chars(text.data() + mark + 1, text.data() + std::min(dot, text.size()), nth);
    }
    const auto* layout = find_protocol(layer_name);
    if (dot == std::string::npos || layout == nullptr || nth == 0) {
        return bad(name, "no such field (layer.field, like udp.sport)");
    }
    const auto layer = packet.find(layout->protocol, nth - 1);
    if (!layer) {
        return bad(name, "the packet has no such layer");
    }
    const auto* field = find_field(*layout, text.substr(dot + 1));
    if (field == nullptr) {
        return bad(name, std::string(layout->name) + " has no such field");
    }
    const uint16_t bits = field->bit_width;
    const auto placed = packet.placed(*layer, *field);
    if (!placed) {
        return bad(name, "the header has no such field now");
    }
    if ((bits != 8 && bits != 16 && bits != 32 && bits != 48) || field->bit_offset % 8 != 0 ||
        field->order != ByteOrder::kBig) {
        return bad(name, "only whole fields of 8, 16, 32 and 48 bits vary");
    }
    return Place{*layer, field, packet.layers()[*layer].offset + placed->bit_offset / 8u, bits / 8u};
}

uint64_t load_number(const uint8_t* from, size_t width) {
    uint64_t value = 0;
    for (size_t i = 0; i < width; ++i) {
        value = value << 8 | from[i];
    }
    return value;
}

void store_number(uint8_t* to, size_t width, uint64_t value) {
    for (size_t i = width; i-- > 0; value >>= 8) {
        to[i] = static_cast<uint8_t>(value);
    }
}

/// A value of the field as a number.
Expected<uint64_t> to_number(const Packet& packet, const Place& place, const std::string& name,
                             const FieldValue& value) {
    Packet copy = packet;
    if (auto ok = copy.set(place.layer, place.field->name, value); !ok) {
        return bad(name, ok.error().text);
    }
    return load_number(copy.bytes().data() + place.offset, place.width);
}

Expected<VariedField> to_field(const Packet& packet, const Place& place, const Variation& variation) {
    VariedField varied{place.offset, place.width, variation.kind};
    varied.step = variation.step;
    if (variation.kind == Variation::Kind::kList) {
        for (const FieldValue& value : variation.list) {
            const auto number = to_number(packet, place, variation.field, value);
            if (!number) {
                return number.error();
            }
            varied.list.push_back(*number);
        }
        if (varied.list.empty()) {
            return bad(variation.field, "the list is empty");
        }
        return varied;
    }
    const uint64_t most = (uint64_t{1} << (8 * place.width)) - 1;
    const auto first = to_number(packet, place, variation.field, variation.first.value_or(uint64_t{0}));
    const auto last = to_number(packet, place, variation.field, variation.last.value_or(most));
    if (!first || !last) {
        return first ? last.error() : first.error();
    }
    if (*first > *last) {
        return bad(variation.field, "from is above to");
    }
    varied.first = *first;
    varied.span = *last - *first + 1;
    return varied;
}

/// What a field's value adds to a sum that starts at an even or odd distance to it.
uint32_t addend(uint64_t value, size_t width, bool is_odd) {
    const uint64_t sum = width == 1 ? value << 8 : (value >> 32) + (value >> 16 & 0xffff) + (value & 0xffff);
    const auto folded = static_cast<uint32_t>((sum & 0xffff) + (sum >> 16));
    return is_odd ? byte_swap(static_cast<uint16_t>((folded & 0xffff) + (folded >> 16))) : folded;
}

uint16_t finish(uint64_t sum, bool zero_is_ones) {
    while (sum > 0xffff) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    const auto checksum = static_cast<uint16_t>(~sum);
    return checksum == 0 && zero_is_ones ? 0xffff : checksum;
}

/// The checksum field of a layer that is right now; nothing when it has none or is not.
const Field* right_checksum(const Packet& packet, size_t layer) {
    const auto& layout = layout_of(packet.layers()[layer].protocol);
    const auto* field = layout.with_role(FieldRole::kChecksum);
    const auto expected = packet.expected_checksum(layer);
    if (field == nullptr || !expected) {
        return nullptr;
    }
    const uint8_t* place = packet.bytes().data() + packet.layers()[layer].offset + field->bit_offset / 8;
    return load_be<uint16_t>(place) == *expected ? field : nullptr;
}

/// The packet with these bytes: same layers, other contents.
Packet with_bytes(const Packet& packet, const ByteVec& bytes) {
    return {bytes, packet.layers()};
}

} // namespace

Expected<PacketTemplate> PacketTemplate::make(const Packet& packet,
                                              const std::vector<Variation>& variations) {
    PacketTemplate made;
    made.bytes_ = packet.bytes();
    for (const Variation& variation : variations) {
        const auto place = find_place(packet, variation.field);
        if (!place) {
            return place.error();
        }
        if (place->field->role == FieldRole::kChecksum || place->field->role == FieldRole::kLength ||
            place->field->role == FieldRole::kHeaderLength) {
            return bad(variation.field, "lengths and checksums do not vary");
        }
        const auto field = to_field(packet, *place, variation);
        if (!field) {
            return field.error();
        }
        std::fill_n(made.bytes_.begin() + static_cast<ptrdiff_t>(field->offset), field->width, uint8_t{0});
        made.fields_.push_back(*field);
    }
    const Packet zeros = with_bytes(packet, made.bytes_);
    for (size_t layer = 0; layer < packet.layers().size(); ++layer) {
        const Field* field = right_checksum(packet, layer);
        if (field == nullptr) {
            continue;
        }
        const auto& layout = layout_of(packet.layers()[layer].protocol);
        const size_t start = packet.layers()[layer].offset;
        VariedChecksum checksum{start + field->bit_offset / 8u, 0, {}, start, layout.checksum_optional};
        const uint16_t without = zeros.expected_checksum(layer).value_or(0);
        for (size_t i = 0; i < made.fields_.size(); ++i) {
            // Whether it is covered shows when it changes: 1 in its last byte adds something that is not 0.
            ByteVec probe = made.bytes_;
            probe[made.fields_[i].offset + made.fields_[i].width - 1] = 1;
            if (with_bytes(packet, probe).expected_checksum(layer) != without) {
                checksum.fields.push_back(i);
            }
        }
        checksum.base = static_cast<uint16_t>(~without);
        if (!checksum.fields.empty()) {
            made.checksums_.push_back(std::move(checksum));
        }
    }
    return made;
}

void PacketTemplate::write(uint64_t index, ByteSpan into, uint64_t& random) const {
    std::vector<uint64_t> values(fields_.size());
    for (size_t i = 0; i < fields_.size(); ++i) {
        const VariedField& field = fields_[i];
        if (field.kind == Variation::Kind::kList) {
            values[i] = field.list[index % field.list.size()];
        } else if (field.kind == Variation::Kind::kCounter) {
            values[i] = field.first + index * field.step % field.span;
        } else {
            random ^= random << 13; // xorshift64
            random ^= random >> 7;
            random ^= random << 17;
            const uint64_t drawn = field.width > 4 ? random : random >> 32;
            values[i] = field.first + drawn % field.span;
        }
        store_number(into.data() + field.offset, field.width, values[i]);
    }
    for (const VariedChecksum& checksum : checksums_) {
        uint64_t sum = checksum.base;
        for (const size_t i : checksum.fields) {
            const bool is_odd = (fields_[i].offset - checksum.start) % 2 != 0;
            sum += addend(values[i], fields_[i].width, is_odd);
        }
        store_be(into.data() + checksum.offset, finish(sum, checksum.zero_is_ones));
    }
}

} // namespace mimicsh::net
