// SPDX-License-Identifier: MIT
// cgroup_array: cgroups that helpers ask about.
#pragma once

#include <optional>
#include <vector>

#include "vm/maps/map.h"

namespace mimicsh::vm {

/// The host puts the low 32 bits of a cgroup's id where the kernel takes a descriptor.
class CgroupArray final : public VmMap {
  public:
    explicit CgroupArray(MapInfo info) : VmMap(std::move(info)), cgroups_(info_.max_entries) {}

    [[nodiscard]] Status update(ByteView key, ByteView value, uint64_t flags) override;
    [[nodiscard]] Status erase(ByteView key) override;
    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;

    /// The cgroup in a slot below max_entries, nothing when the slot is empty.
    [[nodiscard]] std::optional<uint32_t> cgroup(uint32_t index) const { return cgroups_[index]; }

  private:
    [[nodiscard]] Error out_of_range(const char* op, uint32_t index) const;

    std::vector<std::optional<uint32_t>> cgroups_;
};

} // namespace mimicsh::vm
