// SPDX-License-Identifier: MIT
// Building packets.
#include "net/build.h"

#include <algorithm>
#include <cerrno>

namespace mimicsh::net {

namespace {

// 2001:db8::<value>, the documentation prefix.
void put_default_ip6(uint8_t* to, uint64_t value) {
    store_be(to, uint64_t{0x20010db8} << 32);
    store_be(to + 8, value);
}

Status too_long(const char* op) {
    return Error{EMSGSIZE,
                 op,
                 "the packet would be longer than " + std::to_string(kMaxBuiltPacket) + " bytes",
                 {},
                 {}};
}

Packet default_layer(const ProtocolLayout& layout) {
    ByteVec bytes(layout.header_minimum);
    for (const Field& field : layout.fields) {
        if (field.kind == FieldKind::kIp6) {
            put_default_ip6(bytes.data() + field.bit_offset / 8U, field.default_value);
        } else if (field.bit_width != 0 && !field.is_view && field.presence < 0) {
            store_field(bytes.data(), field, field.default_value);
        }
    }
    uint32_t size = layout.header_minimum;
    return Packet(std::move(bytes), {Layer{layout.protocol, 0, size, size, 0}});
}

} // namespace

Expected<Packet> build_layer(Protocol protocol, const std::vector<FieldSetting>& fields) {
    // Stacking on nothing fills lengths and checksums.
    auto packet = stack(default_layer(layout_of(protocol)), Packet());
    if (!packet) {
        return packet.error();
    }
    // In the order of the table, whatever order a Lua table gives them: a field behind the flag that removes
    // it.
    const ProtocolLayout& layout = layout_of(protocol);
    std::vector<const FieldSetting*> settings;
    for (const FieldSetting& setting : fields) {
        settings.push_back(&setting);
    }
    std::ranges::stable_sort(settings, {}, [&](const FieldSetting* setting) {
        const Field* field = find_field(layout, setting->name);
        return field != nullptr ? field_index(layout, *field) : layout.fields.size();
    });
    for (const FieldSetting* setting : settings) {
        if (Status status = packet->set(0, setting->name, setting->value); !status) {
            status.error().op = "build packet";
            return status.error();
        }
    }
    return packet;
}

Expected<Packet> stack(const Packet& below, const Packet& above) {
    if (below.size() > kMaxBuiltPacket || above.size() > kMaxBuiltPacket - below.size()) {
        return too_long("stack packets").error();
    }
    Packet packet = below;
    size_t at = packet.layers_.empty() ? packet.size() : packet.layers_.back().end;
    packet.bytes_.insert(packet.bytes_.begin() + narrow<ptrdiff_t>(at), above.bytes_.begin(),
                         above.bytes_.end());
    auto moved = static_cast<uint32_t>(above.size());
    for (Layer& layer : packet.layers_) {
        layer.end += moved;
    }
    for (Layer layer : above.layers_) {
        layer.offset += static_cast<uint32_t>(at);
        layer.end += static_cast<uint32_t>(at);
        packet.layers_.push_back(layer);
    }
    // A payload below a header would lie between two layers.
    if (!above.layers_.empty() && !below.payload().empty()) {
        return Error{EINVAL, "stack packets", "a header cannot follow a payload", {}, {}};
    }
    packet.note_ = above.note_;
    packet.fill(false);
    return packet;
}

Expected<Packet> pad(const Packet& packet, ByteView padding) {
    if (packet.size() > kMaxBuiltPacket || padding.size() > kMaxBuiltPacket - packet.size()) {
        return too_long("pad packet").error();
    }
    Packet padded = packet;
    padded.bytes_.insert(padded.bytes_.end(), padding.begin(), padding.end());
    for (Layer& layer : padded.layers_) {
        const ProtocolLayout& layout = layout_of(layer.protocol);
        if (layout.with_role(FieldRole::kLength) != nullptr || !layout.has_payload) {
            break;
        }
        layer.end = static_cast<uint32_t>(padded.size());
    }
    if (!padded.layers_.empty() && padded.layers_.back().end == padded.size()) {
        return Error{EINVAL,
                     "pad packet",
                     "no header of the packet says where its payload ends",
                     "append the bytes as payload instead",
                     {}};
    }
    return padded;
}

Expected<Packet> build(const std::vector<Part>& parts) {
    Packet packet;
    for (const Part& part : parts) {
        Expected<Packet> next = Packet();
        if (const auto* spec = std::get_if<LayerSpec>(&part)) {
            next = build_layer(spec->protocol, spec->fields);
        } else {
            next = Packet(std::get<ByteVec>(part));
        }
        if (!next) {
            return next.error();
        }
        auto stacked = stack(packet, *next);
        if (!stacked) {
            return stacked.error();
        }
        packet = *std::move(stacked);
    }
    return packet;
}

} // namespace mimicsh::net
