// SPDX-License-Identifier: MIT
// Fields of map values that belong to the kernel: locks, timers, pointers to its objects.
#pragma once

#include <cstdint>
#include <vector>

#include "object/object.h"

namespace mimicsh {

/// A field that host copies show as zero and that updates leave alone.
struct HiddenField {
    enum class Kind : uint8_t {
        SpinLock,
        ResSpinLock,
        Timer,
        Workqueue,
        Kptr,
        PercpuKptr,
        ListHead,
        ListNode,
        RbRoot,
        RbNode,
        Refcount,
        Other,
    };
    Kind kind = Kind::Other;
    uint32_t offset = 0; ///< in the value
    uint32_t size = 0;
};

/// Whether a field points to an object that a program allocated.
[[nodiscard]] constexpr bool is_pointer(const HiddenField& field) {
    return field.kind == HiddenField::Kind::Kptr || field.kind == HiddenField::Kind::PercpuKptr;
}

/// The hidden fields of a map's values by their BTF, sorted by offset (btf_parse_fields, kernel/bpf/btf.c).
/// Only types with one value per entry have them.
[[nodiscard]] std::vector<HiddenField> hidden_fields(const Object& object, const MapDef& map);

/// Those of any type of an object's BTF that takes `size` bytes.
[[nodiscard]] std::vector<HiddenField> hidden_fields_of(const Btf& btf, uint32_t type_id, uint32_t size);

} // namespace mimicsh
