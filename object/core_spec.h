// SPDX-License-Identifier: MIT
// CO-RE accesses as paths through types, and how two types' paths are matched. Used by core_relo.cpp only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "object/btf.h"

namespace mimicsh::core {

/// enum bpf_core_relo_kind.
enum Kind : uint32_t {
    kFieldByteOffset = 0,
    kFieldByteSize,
    kFieldExists,
    kFieldSigned,
    kFieldLshift,
    kFieldRshift,
    kTypeIdLocal,
    kTypeIdTarget,
    kTypeExists,
    kTypeSize,
    kEnumvalExists,
    kEnumvalValue,
    kTypeMatches,
    kKindCount,
};

[[nodiscard]] constexpr bool is_field(uint32_t kind) {
    return kind <= kFieldRshift;
}
[[nodiscard]] constexpr bool is_enumval(uint32_t kind) {
    return kind == kEnumvalExists || kind == kEnumvalValue;
}
[[nodiscard]] constexpr bool is_type(uint32_t kind) {
    return kind < kKindCount && !is_field(kind) && !is_enumval(kind);
}

/// One named step of a path, or an array index (empty name). `type` has no modifiers.
struct Step {
    uint32_t type = 0;
    uint32_t index = 0;
    std::string_view name;
};

/// A path: "0:1:2" resolved in one BTF. Steps through anonymous members are left out, their offsets are in.
struct Spec {
    const Btf* btf = nullptr;
    uint32_t root = 0; ///< as the relocation names it, modifiers included
    std::vector<Step> steps;
    uint64_t bit_offset = 0;
};

/// Steps that one matching may take; hostile types can refer to each other in exponentially many ways.
struct Budget {
    uint32_t left = 200'000;
    [[nodiscard]] bool take() { return left != 0 && left-- != 0; }
};

inline constexpr size_t kMaxSteps = 64; ///< BPF_CORE_SPEC_MAX_LEN

/// Resolves an access string in the program's own types.
[[nodiscard]] Expected<Spec> parse_spec(const Btf& btf, uint32_t root, const std::string& access,
                                        uint32_t kind);

/// Finds the same path in a candidate type. 1 found, 0 not there, negative errno.
[[nodiscard]] int match_spec(const Spec& local, const Btf& target, uint32_t candidate, uint32_t kind,
                             Spec& out);

/// Loose comparison for type-exists, -size and -id relocations. 1, 0, or negative errno.
[[nodiscard]] int types_compatible(const Btf& a, uint32_t a_id, const Btf& b, uint32_t b_id, int level,
                                   Budget& budget);
/// Exact comparison for type-matches relocations: every local member must have an equal one.
[[nodiscard]] int types_match(const Btf& local, uint32_t local_id, const Btf& target, uint32_t target_id,
                              bool behind_pointer, int level, Budget& budget);

/// Same kind, or both kinds of enum.
[[nodiscard]] bool same_kind(BtfKind a, BtfKind b);

[[nodiscard]] constexpr bool is_enum(BtfKind kind) {
    return kind == BtfKind::Enum || kind == BtfKind::Enum64;
}
[[nodiscard]] constexpr bool is_composite(BtfKind kind) {
    return kind == BtfKind::Struct || kind == BtfKind::Union;
}

inline constexpr int kMaxLevel = 32;

} // namespace mimicsh::core
