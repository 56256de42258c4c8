// SPDX-License-Identifier: MIT
// Dissecting by the layout table.
#include "net/dissect.h"

#include <algorithm>

#include "net/pcap_file.h"

namespace mimicsh::net {

namespace {

// Tags can be stacked without end; no real packet comes near this.
constexpr size_t kMaxLayers = 32;

struct Walk {
    ByteView bytes;
    std::vector<Layer> layers;
    std::string note;
};

void stop(Walk& walk, const ProtocolLayout& layout, const std::string& reason) {
    walk.note = std::string(layout.name) + ": " + reason;
}

std::string of_bytes(size_t size) {
    return std::to_string(size) + " bytes";
}

// All fields of parsed bytes but counts of records: they follow what is written into their section.
uint32_t explicit_fields(const ProtocolLayout& layout) {
    uint32_t mask = UINT32_MAX;
    if (layout.measure == nullptr) {
        return mask;
    }
    for (const Field& field : layout.fields) {
        mask &=
            field.role == FieldRole::kRecordCount ? ~(uint32_t{1} << field_index(layout, field)) : UINT32_MAX;
    }
    return mask;
}

// The size of a header by its length field, its presence flags or its contents.
uint64_t stated_size(const ProtocolLayout& layout, ByteView rest) {
    if (layout.measure != nullptr) {
        return layout.measure(rest);
    }
    const Field* field = layout.with_role(FieldRole::kHeaderLength);
    return field != nullptr ? load_field(rest.data(), *field) * layout.header_unit + layout.header_base
                            : header_size_by_flags(layout, rest.data());
}

// The header's size if these bytes can be this protocol, else 0 with a note.
uint32_t header_size(Walk& walk, const ProtocolLayout& layout, ByteView rest) {
    if (rest.size() < layout.header_minimum) {
        stop(walk, layout,
             "header needs " + of_bytes(layout.header_minimum) + ", " + std::to_string(rest.size()) +
                 " are left");
        return 0;
    }
    for (const Field& field : layout.fields) {
        if (field.role == FieldRole::kFixed && load_field(rest.data(), field) != field.default_value) {
            stop(walk, layout,
                 std::string(field.name) + " is " + std::to_string(load_field(rest.data(), field)) +
                     ", not " + std::to_string(field.default_value));
            return 0;
        }
    }
    const Field* field = layout.with_role(FieldRole::kHeaderLength);
    uint64_t size = stated_size(layout, rest);
    if (size == 0 && layout.measure != nullptr) {
        stop(walk, layout, "not a message");
        return 0;
    }
    if (size < layout.header_minimum || size > rest.size()) {
        stop(walk, layout,
             std::string(field != nullptr ? field->name : "flags") + " gives a header of " + of_bytes(size) +
                 (size < layout.header_minimum
                      ? ", at least " + std::to_string(layout.header_minimum) + " are needed"
                      : ", " + std::to_string(rest.size()) + " are left"));
        return 0;
    }
    return static_cast<uint32_t>(size);
}

// Where the layer's payload ends: as its length field says if that is possible, else where the outer one
// ends.
uint32_t payload_end(Walk& walk, const ProtocolLayout& layout, uint32_t offset, uint32_t size,
                     uint32_t outer_end) {
    if (!layout.has_payload) {
        return offset + size;
    }
    const Field* field = layout.with_role(FieldRole::kLength);
    uint64_t length = field != nullptr ? load_field(walk.bytes.data() + offset, *field) : 0;
    if (length == 0) { // no length field, or a jumbo packet
        return outer_end;
    }
    uint64_t end = offset + length + layout.length_base;
    if (end < uint64_t{offset} + size) {
        stop(walk, layout,
             std::string(field->name) + " " + std::to_string(length) + " is shorter than the header");
        return outer_end;
    }
    if (end > outer_end) {
        stop(walk, layout,
             std::string(field->name) + " promises " + of_bytes(end - offset) + ", " +
                 std::to_string(outer_end - offset) + " are there");
        return outer_end;
    }
    return static_cast<uint32_t>(end);
}

std::optional<Protocol> next_protocol(Walk& walk, const ProtocolLayout& layout, const uint8_t* header) {
    const Field* fragment = layout.with_role(FieldRole::kFragment);
    if (fragment != nullptr && load_field(header, *fragment) != 0) {
        stop(walk, layout, "a later fragment, its payload starts in another packet");
        return std::nullopt;
    }
    if (const Field* port = layout.with_role(FieldRole::kNextPort)) {
        uint64_t one = load_field(header, *port);
        uint64_t other = load_field(header, *layout.with_role(FieldRole::kOtherPort));
        auto next = find_next(layout, std::min(one, other));
        return next ? next : find_next(layout, std::max(one, other));
    }
    const Field* field = layout.with_role(FieldRole::kNextHeader);
    return field != nullptr ? find_next(layout, load_field(header, *field)) : layout.always_next;
}

} // namespace

Packet dissect(ByteView bytes, Protocol first) {
    bytes = bytes.first(std::min<size_t>(bytes.size(), UINT32_MAX / 2));
    Walk walk{bytes, {}, {}};
    walk.layers.reserve(4);
    std::optional<Protocol> next = first;
    auto end = static_cast<uint32_t>(bytes.size());
    uint32_t offset = 0;
    while (next) {
        const ProtocolLayout& layout = layout_of(*next);
        if (walk.layers.size() == kMaxLayers) {
            stop(walk, layout, "more than " + std::to_string(kMaxLayers) + " headers");
            break;
        }
        uint32_t size = header_size(walk, layout, bytes.subspan(offset, end - offset));
        if (size == 0) {
            const bool is_guess =
                !walk.layers.empty() &&
                layout_of(walk.layers.back().protocol).with_role(FieldRole::kNextPort) != nullptr;
            walk.note = is_guess ? std::string() : walk.note; // a port promises nothing
            break;
        }
        end = payload_end(walk, layout, offset, size, end);
        walk.layers.push_back({*next, offset, size, end, explicit_fields(layout)});
        next = next_protocol(walk, layout, bytes.data() + offset);
        offset += size;
    }
    return Packet(ByteVec(bytes.begin(), bytes.end()), std::move(walk.layers), std::move(walk.note));
}

std::optional<Protocol> first_protocol(uint32_t link_type, ByteView packet) {
    constexpr uint32_t kLinkIp4 = 228;
    constexpr uint32_t kLinkIp6 = 229;
    switch (link_type) {
    case kLinkEthernet:
        return Protocol::kEth;
    case kLinkIp4:
        return Protocol::kIp;
    case kLinkIp6:
        return Protocol::kIp6;
    case kLinkRaw:
        return !packet.empty() && packet[0] >> 4 == 6 ? Protocol::kIp6 : Protocol::kIp;
    default:
        return std::nullopt;
    }
}

} // namespace mimicsh::net
