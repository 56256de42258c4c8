// SPDX-License-Identifier: MIT
#include "vm/context/context.h"

namespace mimicsh::vm {

const ContextField* ContextKind::find(int64_t offset, uint32_t access, bool writes) const {
    for (const ContextField& field : fields) {
        const int64_t inner = offset - field.offset;
        if (inner < 0 || inner + access > field.size || (offset % access) != 0) {
            continue;
        }
        const bool parts = field.narrow && (!writes || field.role == FieldRole::Bytes);
        const bool allowed = ((writes ? field.writers : field.readers) & user) != 0;
        return allowed && (access == field.size || parts) ? &field : nullptr;
    }
    return nullptr;
}

const ContextKind* context_kind(abi::ProgType type) {
    switch (type) {
    case abi::ProgType::Xdp:
        return &xdp_md_kind();
    case abi::ProgType::FlowDissector:
        return &flow_dissector_kind();
    case abi::ProgType::Memory:
        return &memory_kind();
    default:
        return sk_buff_kind(type);
    }
}

} // namespace mimicsh::vm
