// SPDX-License-Identifier: MIT
// The field table of struct xdp_md.
#include "vm/context/xdp_md.h"

#include <array>

namespace mimicsh::vm {

std::span<const ContextField> xdp_md_fields() {
    static constexpr std::array<ContextField, 6> kFields{{
        {"data", 0, 4, FieldRole::PacketStart, 0},
        {"data_end", 4, 4, FieldRole::PacketEnd, 1},
        {"data_meta", 8, 4, FieldRole::PacketMeta, 2},
        {"ingress_ifindex", 12, 4, FieldRole::Number, 3},
        {"rx_queue_index", 16, 4, FieldRole::Number, 4},
        {"egress_ifindex", 20, 4, FieldRole::Number, 5},
    }};
    return kFields;
}

const ContextField* find_field(std::span<const ContextField> fields, int64_t offset, uint32_t size) {
    for (const ContextField& field : fields) {
        if (field.offset == offset && field.size == size) {
            return &field;
        }
    }
    return nullptr;
}

} // namespace mimicsh::vm
