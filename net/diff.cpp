// SPDX-License-Identifier: MIT
// Comparing packets.
#include "net/diff.h"

#include <algorithm>

namespace mimicsh::net {

namespace {

// Beyond this many ranges the last one covers the rest.
constexpr size_t kMaxRanges = 16;

size_t nth_of_protocol(const Packet& packet, size_t layer) {
    size_t nth = 0;
    for (size_t i = 0; i < layer; i++) {
        nth += packet.layers()[i].protocol == packet.layers()[layer].protocol ? 1 : 0;
    }
    return nth;
}

std::string layer_name(const Packet& packet, size_t layer) {
    std::string name(layout_of(packet.layers()[layer].protocol).name);
    size_t nth = nth_of_protocol(packet, layer);
    return nth == 0 ? name : name + "#" + std::to_string(nth + 1);
}

void diff_fields(const Packet& before, size_t a, const Packet& after, size_t b,
                 std::vector<FieldDifference>& out) {
    for (const Field& field : layout_of(before.layers()[a].protocol).fields) {
        if (field.is_view) {
            continue;
        }
        std::string old_text = before.text(a, field);
        std::string new_text = after.text(b, field);
        if (old_text != new_text) {
            out.push_back({layer_name(before, a), std::string(field.name), old_text, new_text});
        }
    }
}

std::string range_name(const std::string& what, size_t first, size_t last) {
    return what + "[" + std::to_string(first) + ".." + std::to_string(last) + "]";
}

void diff_bytes(const std::string& what, ByteView before, ByteView after, std::vector<FieldDifference>& out) {
    size_t common = std::min(before.size(), after.size());
    size_t ranges = 0;
    for (size_t i = 0; i < common; i++) {
        if (before[i] == after[i]) {
            continue;
        }
        size_t first = i;
        if (++ranges == kMaxRanges) {
            i = common;
        }
        while (i < common && before[i] != after[i]) {
            i++;
        }
        out.push_back({"packet", range_name(what, first, i - 1), to_hex(before.subspan(first, i - first)),
                       to_hex(after.subspan(first, i - first))});
    }
    ByteView longer = before.size() > after.size() ? before : after;
    if (longer.size() > common) {
        std::string tail = to_hex(longer.subspan(common));
        bool is_gone = before.size() > after.size();
        out.push_back({"packet", range_name(what, common, longer.size() - 1), is_gone ? tail : "",
                       is_gone ? "" : tail});
    }
}

} // namespace

std::vector<FieldDifference> diff(const Packet& before, const Packet& after) {
    std::vector<FieldDifference> out;
    if (before == after) {
        return out;
    }
    for (size_t a = 0; a < before.layers().size(); a++) {
        auto b = after.find(before.layers()[a].protocol, nth_of_protocol(before, a));
        if (b) {
            diff_fields(before, a, after, *b, out);
        } else {
            out.push_back({layer_name(before, a), "header", to_hex(before.header(a)), ""});
        }
    }
    for (size_t b = 0; b < after.layers().size(); b++) {
        if (!before.find(after.layers()[b].protocol, nth_of_protocol(after, b))) {
            out.push_back({layer_name(after, b), "header", "", to_hex(after.header(b))});
        }
    }
    diff_bytes("payload", before.payload(), after.payload(), out);
    diff_bytes("padding", before.padding(), after.padding(), out);
    if (before.size() != after.size()) {
        out.push_back({"packet", "length", std::to_string(before.size()), std::to_string(after.size())});
    }
    if (out.empty()) { // the same headers in another order
        diff_bytes("bytes", before.bytes(), after.bytes(), out);
    }
    return out;
}

} // namespace mimicsh::net
