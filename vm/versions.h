// SPDX-License-Identifier: MIT
// Since which of the kernel versions that can be chosen each thing is there. Linux 6.18 is measured; 6.1
// and 6.12 are read from the sources of Debian's packages (linux-source-6.1 6.1.192,
// linux-source-6.12 6.12.117), with what was backported to them.
#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "object/abi.h"
#include "object/insn.h"
#include "object/value_fields.h"
#include "vm/target.h"

namespace mimicsh::vm {

inline constexpr KernelVersion kKernelVersions[] = {KernelVersion::V6_1, KernelVersion::V6_12,
                                                    KernelVersion::V6_18};

/// "6.1", "6.12", "6.18".
[[nodiscard]] std::string_view name(KernelVersion version);
[[nodiscard]] std::optional<KernelVersion> kernel_version(std::string_view name);

/// Of a helper that the newest kernel lets programs of the type call.
[[nodiscard]] KernelVersion since_helper(abi::ProgType type, uint32_t id);
/// The earliest of all program types.
[[nodiscard]] KernelVersion since_helper(uint32_t id);
/// Of what the newest kernel lets the helper be called on.
[[nodiscard]] KernelVersion since_helper_on_map(uint32_t id, abi::MapType type);
[[nodiscard]] KernelVersion since_map(abi::MapType type);
struct KfuncVersion {
    std::string_view name;
    KernelVersion since = KernelVersion::V6_18;
};
/// A row for each emulated kernel function.
[[nodiscard]] std::span<const KfuncVersion> kfunc_versions();
[[nodiscard]] KernelVersion since_kfunc(std::string_view name);
/// Nothing for a form that no version has.
[[nodiscard]] inline std::optional<KernelVersion> since_insn(const InsnForm& form) {
    using enum KernelVersion;
    constexpr std::optional<KernelVersion> kSince[] = {
        V6_1,         // IsaLevel::V1
        V6_1,         // V2
        V6_1,         // V3
        V6_12,        // V4
        V6_12,        // MayGoto
        V6_18,        // LoadAcquire
        V6_12,        // Arena
        std::nullopt, // Future
    };
    static_assert(std::size(kSince) == static_cast<size_t>(IsaLevel::Future) + 1);
    return kSince[static_cast<size_t>(form.level)];
}
struct FieldVersion {
    HiddenField::Kind kind = HiddenField::Kind::Refcount;
    std::string_view name; ///< in C
    KernelVersion since = KernelVersion::V6_1;
};
/// Fields of map values that belong to the kernel.
[[nodiscard]] std::span<const FieldVersion> field_versions();

/// Flags of a helper's argument that older kernels answer with -EINVAL.
struct LaterFlags {
    uint32_t helper = 0;
    uint32_t argument = 0; ///< from 0
    uint64_t bits = 0;
    KernelVersion since = KernelVersion::V6_1;
    std::string_view names;
};
[[nodiscard]] std::span<const LaterFlags> later_flags();
/// The row of a helper that a version has without the flags, or null.
[[nodiscard]] const LaterFlags* missing_flags(uint32_t helper, KernelVersion version);

/// "there since Linux 6.12, not in 6.1": the end of a refusal.
[[nodiscard]] std::string since_text(KernelVersion since, KernelVersion chosen);

} // namespace mimicsh::vm
