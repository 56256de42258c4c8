// SPDX-License-Identifier: MIT
// prog_array: the one map whose elements are programs.
#pragma once

#include <vector>

#include "vm/maps/map.h"
#include "vm/maps/map_owner.h"

namespace mimicsh::vm {

class ProgArray final : public VmMap {
  public:
    explicit ProgArray(MapInfo info)
        : VmMap(std::move(info)), owner(info_.type), programs_(info_.max_entries) {}

    [[nodiscard]] Status put_program(uint32_t index, Program& program) override;
    [[nodiscard]] Status erase(ByteView key) override;
    /// Gives the program's id, as the kernel does (prog_fd_array_sys_lookup_elem).
    [[nodiscard]] Status lookup(ByteView key, ByteSpan value) override;
    [[nodiscard]] Expected<bool> next_key(ByteView key, ByteSpan next) override;

    /// Program in a slot; null when the slot is empty or out of range (a tail call there falls through).
    [[nodiscard]] Program* program(uint64_t index) const {
        return index < programs_.size() ? programs_[index] : nullptr;
    }

    MapOwner owner;

  private:
    std::vector<Program*> programs_;
};

} // namespace mimicsh::vm
