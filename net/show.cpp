// SPDX-License-Identifier: MIT
// Packets as text.
#include "net/show.h"

#include <algorithm>
#include <cstdio>

#include "net/build.h"
#include "net/field_text.h"

namespace mimicsh::net {

namespace {

std::string hex_text(uint64_t value, int digits) {
    char text[24];
    std::snprintf(text, sizeof text, "%0*llx", digits, static_cast<unsigned long long>(value));
    return text;
}

} // namespace

/* -- Tree, line, hexdump -------------------------------------------------- */

namespace {

/// Sets the byte at a place of a dump apart.
using BytePaint = std::function<std::string(size_t place, const std::string& text)>;

std::string dump(ByteView bytes, size_t per_line, const BytePaint& paint) {
    std::string text;
    for (size_t row = 0; row < bytes.size(); row += per_line) {
        ByteView line = bytes.subspan(row, std::min(per_line, bytes.size() - row));
        std::string readable;
        text += hex_text(row, 4) + " ";
        for (size_t i = 0; i < per_line; i++) {
            text += i == 8 ? "  " : " ";
            if (i >= line.size()) {
                text += "  ";
                continue;
            }
            const std::string letter(1, line[i] >= 0x20 && line[i] < 0x7f ? static_cast<char>(line[i]) : '.');
            text += paint(row + i, hex_text(line[i], 2));
            readable += paint(row + i, letter);
        }
        text += "  " + readable + '\n';
    }
    return text;
}

std::string unpainted(size_t /*part*/, const std::string& text) {
    return text;
}

/// A run of bytes that belong together, from `begin` up to `end`.
struct DumpPart {
    std::string name;
    size_t begin = 0;
    size_t end = 0;
};

std::vector<DumpPart> parts_of(const Packet& packet) {
    std::vector<DumpPart> parts;
    for (const Layer& layer : packet.layers()) {
        parts.push_back(
            {std::string(layout_of(layer.protocol).name), layer.offset, layer.offset + layer.size});
    }
    const size_t padding = packet.size() - packet.padding().size();
    parts.push_back({"payload", padding - packet.payload().size(), padding});
    parts.push_back({"padding", padding, packet.size()});
    return parts;
}

} // namespace

std::string hexdump(ByteView bytes, size_t per_line) {
    return dump(bytes, per_line, unpainted);
}

std::string hexdump(const Packet& packet, const DumpOptions& options) {
    const Paint paint = options.paint ? options.paint : unpainted;
    const std::vector<DumpPart> parts = parts_of(packet);
    const size_t shown = std::min(options.limit, packet.size());
    size_t part = 0;
    std::string text = dump(ByteView(packet.bytes()).first(shown), options.per_line,
                            [&](size_t place, const std::string& piece) {
                                while (place >= parts[part].end) {
                                    part++;
                                }
                                return paint(part, piece);
                            });
    if (shown < packet.size()) {
        text += "... " + std::to_string(packet.size() - shown) + " more bytes\n";
    }
    std::string legend;
    for (size_t i = 0; i < parts.size(); i++) {
        if (parts[i].begin < parts[i].end) {
            legend += (legend.empty() ? "" : "  ") + paint(i, parts[i].name) + " " +
                      std::to_string(parts[i].begin) + "-" + std::to_string(parts[i].end - 1);
        }
    }
    return text + (legend.empty() ? "" : legend + "\n");
}

namespace {

std::string checksum_remark(const Packet& packet, size_t layer, const Field& field) {
    const ProtocolLayout& layout = layout_of(packet.layers()[layer].protocol);
    auto expected = packet.expected_checksum(layer);
    uint64_t value = load_field(packet.header(layer).data(), field);
    if (!expected || *expected == value) {
        return "";
    }
    if (value == 0 && layout.checksum_optional && !packet.is_over_ip6(layer)) {
        return " (not computed)";
    }
    return " (wrong, should be 0x" + hex_text(*expected, 4) + ")";
}

std::string indented(const std::string& lines) {
    std::string text = "  ";
    for (char c : lines) {
        text += c;
        text += c == '\n' ? "  " : "";
    }
    text.resize(text.size() - 2);
    return text;
}

} // namespace

std::string show(const Packet& packet, const ShowOptions& options) {
    const Paint paint = options.paint ? options.paint : unpainted;
    std::string text;
    for (size_t i = 0; i < packet.layers().size(); i++) {
        const ProtocolLayout& layout = layout_of(packet.layers()[i].protocol);
        text += paint(i, std::string(layout.name)) + ": " + std::string(layout.title) + ", " +
                std::to_string(packet.layers()[i].size) + " bytes\n";
        for (const Field& field : layout.fields) {
            std::string value = packet.text(i, field);
            if (field.is_view || value.empty()) {
                continue;
            }
            if (field.role == FieldRole::kChecksum) {
                value += checksum_remark(packet, i, field);
            }
            text += "  " + std::string(field.name) +
                    std::string(10 - std::min<size_t>(field.name.size(), 9), ' ') + value + "\n";
        }
    }
    auto add_bytes = [&](size_t part, const char* what, ByteView bytes) {
        if (options.has_bytes && !bytes.empty()) {
            text += paint(part, what) + ": " + std::to_string(bytes.size()) + " bytes\n" +
                    indented(hexdump(bytes));
        }
    };
    add_bytes(packet.layers().size(), "payload", packet.payload());
    add_bytes(packet.layers().size() + 1, "padding", packet.padding());
    if (!packet.note().empty()) {
        text += "note: " + packet.note() + "\n";
    }
    return text;
}

std::string summary(const Packet& packet) {
    std::string text;
    auto add = [&](const std::string& part) { text += (text.empty() ? "" : " / ") + part; };
    for (size_t i = 0; i < packet.layers().size(); i++) {
        const ProtocolLayout& layout = layout_of(packet.layers()[i].protocol);
        std::string part(layout.name);
        for (std::string_view words = layout.summary; !words.empty();) {
            std::string_view word = words.substr(0, words.find(' '));
            words.remove_prefix(std::min(words.size(), word.size() + 1));
            const Field* field = find_field(layout, word);
            std::string value = field != nullptr ? packet.text(i, *field) : std::string(word);
            part += value.empty() ? "" : " " + value;
        }
        add(part);
    }
    if (!packet.payload().empty() || packet.layers().empty()) {
        add(std::to_string(packet.payload().size()) + " bytes");
    }
    return text;
}

/* -- Lua source ----------------------------------------------------------- */

namespace {

std::string lua_string(ByteView bytes) {
    std::string text = "\"";
    for (uint8_t byte : bytes) {
        if (byte == '"' || byte == '\\') {
            text += '\\';
            text += static_cast<char>(byte);
        } else if (byte == '\n') {
            text += "\\n";
        } else if (byte >= 0x20 && byte < 0x7f) {
            text += static_cast<char>(byte);
        } else { // always three digits, so that a digit may follow
            std::string digits = std::to_string(byte);
            text += '\\' + std::string(3 - digits.size(), '0') + digits;
        }
    }
    return text + "\"";
}

std::string lua_value(const Field& field, const FieldValue& value) {
    if (const auto* number = std::get_if<uint64_t>(&value)) {
        if (field.kind == FieldKind::kHex) {
            return "0x" + hex_text(*number, (field.bit_width + 3) / 4);
        }
        if (field.kind == FieldKind::kFlags) {
            std::string names = value_text(field, *number);
            return names.starts_with("0x") ? names : "\"" + names + "\"";
        }
        return std::to_string(*number);
    }
    if (const auto* bytes = std::get_if<ByteVec>(&value)) {
        return lua_string(*bytes);
    }
    return lua_string(as_bytes(std::get<std::string>(value)));
}

bool is_filled(const Field& field) {
    return field.role == FieldRole::kHeaderLength || field.role == FieldRole::kLength ||
           field.role == FieldRole::kNextHeader || field.role == FieldRole::kChecksum ||
           field.role == FieldRole::kRecordCount;
}

// A port that the builder writes for the header that follows.
bool is_filled_port(const Packet& packet, size_t layer, const Field& field) {
    if (field.role != FieldRole::kNextPort || layer + 1 == packet.layers().size()) {
        return false;
    }
    const ProtocolLayout& layout = layout_of(packet.layers()[layer].protocol);
    const uint8_t* header = packet.header(layer).data();
    const Protocol above = packet.layers()[layer + 1].protocol;
    return find_next(layout, load_field(header, field)) == above &&
           find_next(layout, load_field(header, *layout.with_role(FieldRole::kOtherPort))) != above;
}

// A flag that the optional field written out sets anyway, or an optional field that is 0 as its flag makes
// it.
bool is_implied(const Packet& packet, size_t layer, const Field& field) {
    const FieldValue value = packet.get(layer, field);
    if (field.presence >= 0) {
        return value == FieldValue(uint64_t{0}) || value == FieldValue(ByteVec());
    }
    return std::ranges::any_of(layout_of(packet.layers()[layer].protocol).fields, [&](const Field& other) {
        return other.presence >= 0 && other.presence == field.bit_offset && !is_filled(other) &&
               !is_implied(packet, layer, other);
    });
}

std::vector<LayerSpec> specs_with_plain_fields(const Packet& packet) {
    std::vector<LayerSpec> specs;
    for (size_t i = 0; i < packet.layers().size(); i++) {
        Protocol protocol = packet.layers()[i].protocol;
        LayerSpec spec{protocol};
        auto plain = build_layer(protocol);
        for (const Field& field : layout_of(protocol).fields) {
            bool is_skipped = field.is_view || is_filled(field) || !plain ||
                              is_filled_port(packet, i, field) || is_implied(packet, i, field);
            if (!is_skipped && plain->get(0, field) != packet.get(i, field)) {
                spec.fields.push_back({std::string(field.name), packet.get(i, field)});
            }
        }
        specs.push_back(std::move(spec));
    }
    return specs;
}

Expected<Packet> rebuild(const std::vector<LayerSpec>& specs, const Packet& like) {
    std::vector<Part> parts(specs.begin(), specs.end());
    parts.emplace_back(ByteVec(like.payload().begin(), like.payload().end()));
    auto packet = build(parts);
    return packet && !like.padding().empty() ? pad(*packet, like.padding()) : packet;
}

// Adds the filled fields whose value the builder would not have chosen. Fails when the layers do not line up.
bool add_filled_fields(std::vector<LayerSpec>& specs, const Packet& built, const Packet& packet) {
    if (built.layers().size() != packet.layers().size()) {
        return false;
    }
    for (size_t i = 0; i < specs.size(); i++) {
        if (built.layers()[i].size != packet.layers()[i].size) {
            return false;
        }
        for (const Field& field : layout_of(specs[i].protocol).fields) {
            if (is_filled(field) && built.get(i, field) != packet.get(i, field)) {
                specs[i].fields.push_back({std::string(field.name), packet.get(i, field)});
            }
        }
    }
    return true;
}

std::string as_parse_call(const Packet& packet) {
    std::string first;
    if (!packet.layers().empty() && packet.layers()[0].protocol != Protocol::kEth) {
        first = ", \"" + std::string(layout_of(packet.layers()[0].protocol).name) + "\"";
    }
    return "pkt.parse(" + lua_string(packet.bytes()) + first + ")";
}

} // namespace

std::string code(const Packet& packet) {
    std::vector<LayerSpec> specs = specs_with_plain_fields(packet);
    auto built = rebuild(specs, packet);
    // A filled field that is written out can change another (a length the checksum covers), so look twice.
    for (int round = 0; round < 3 && built && !(*built == packet); round++) {
        if (!add_filled_fields(specs, *built, packet)) {
            break;
        }
        built = rebuild(specs, packet);
    }
    if (specs.empty() || !built || !(*built == packet)) {
        return as_parse_call(packet);
    }
    std::string text;
    for (const LayerSpec& spec : specs) {
        const ProtocolLayout& layout = layout_of(spec.protocol);
        text += (text.empty() ? "pkt." : "/pkt.") + std::string(layout.name) + "{";
        for (size_t i = 0; i < spec.fields.size(); i++) {
            const FieldSetting& setting = spec.fields[i];
            text += (i == 0 ? "" : ", ") + setting.name + "=" +
                    lua_value(*find_field(layout, setting.name), setting.value);
        }
        text += "}";
    }
    if (!packet.payload().empty()) {
        text += "/" + lua_string(packet.payload());
    }
    if (!packet.padding().empty()) {
        text = "(" + text + "):pad(" + lua_string(packet.padding()) + ")";
    }
    return text;
}

} // namespace mimicsh::net
