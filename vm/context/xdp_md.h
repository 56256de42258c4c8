// SPDX-License-Identifier: MIT
// The XDP context as programs see it: struct xdp_md with typed fields (net/core/filter.c,
// xdp_is_valid_access).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "object/abi.h"

namespace mimicsh::vm {

enum class FieldRole : uint8_t { PacketStart, PacketEnd, PacketMeta, Number };

/// One field of a context. All of struct xdp_md's are 4 bytes wide and read only; loading a packet field
/// yields a full guest pointer, as the kernel's rewriting does.
struct ContextField {
    std::string_view name;
    uint32_t offset = 0;
    uint32_t size = 0;
    FieldRole role = FieldRole::Number;
    uint8_t index = 0; ///< place in Machine::context
};

[[nodiscard]] std::span<const ContextField> xdp_md_fields();
/// Field that an access of that offset and size names, or null; only whole fields can be loaded.
[[nodiscard]] const ContextField* find_field(std::span<const ContextField> fields, int64_t offset,
                                             uint32_t size);

} // namespace mimicsh::vm
