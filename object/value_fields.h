// SPDX-License-Identifier: MIT
// Fields of map values that belong to the kernel: locks, timers, pointers to its objects.
#pragma once

#include <cstdint>
#include <string_view>
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
        TaskWork,
        Kptr,
        PercpuKptr,
        UntrustedKptr,
        UserPtr,
        ListHead,
        ListNode,
        RbRoot,
        RbNode,
        Refcount,
    };
    Kind kind = Kind::Refcount;
    uint32_t offset = 0; ///< in the value
    uint32_t size = 0;
};

/// Whether a field points to an object that a program allocated.
[[nodiscard]] constexpr bool is_pointer(const HiddenField& field) {
    return field.kind == HiddenField::Kind::Kptr || field.kind == HiddenField::Kind::PercpuKptr;
}

/// Whether programs may load a field of a map value, whole: those that are pointers (check_map_access,
/// kernel/bpf/verifier.c). The others are for helpers and kernel functions alone.
[[nodiscard]] constexpr bool is_loadable(const HiddenField& field) {
    return is_pointer(field) || field.kind == HiddenField::Kind::UntrustedKptr ||
           field.kind == HiddenField::Kind::UserPtr;
}

/// What the kernel calls such a field: "bpf_timer", "kptr".
[[nodiscard]] std::string_view name(HiddenField::Kind kind);

/// Whether values of maps of the type may have such a field (map_check_btf, kernel/bpf/syscall.c). With one
/// that its type cannot have, a map is made without types.
[[nodiscard]] bool can_have(abi::MapType type, HiddenField::Kind kind);

/// The hidden fields of a map's values by their BTF, sorted by offset (btf_parse_fields, kernel/bpf/btf.c):
/// none where the kernel takes the value for plain bytes.
[[nodiscard]] std::vector<HiddenField> hidden_fields(const Object& object, const MapDef& map);

/// Those of any type of an object's BTF that takes `size` bytes.
[[nodiscard]] std::vector<HiddenField> hidden_fields_of(const Btf& btf, uint32_t type_id, uint32_t size);

} // namespace mimicsh
