// SPDX-License-Identifier: MIT
// Which programs fit together in a map that holds programs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "object/linker.h"

namespace mimicsh::vm {

/// The first program that uses the map, or is put into it, fixes for all others what kind of program they are
/// (bpf_prog_map_compatible in kernel/bpf/core.c): type, whether it takes fragments, the storage of its
/// cgroup, in a prog array the expected attach type too.
class MapOwner {
  public:
    explicit MapOwner(abi::MapType map) : map_(map) {}

    /// How the program is unlike the map's owner; empty when it is like it, or becomes it.
    [[nodiscard]] std::string claim(const LinkedProgram& program);

  private:
    struct Kind {
        std::string program; ///< that came first
        abi::ProgType type = abi::ProgType::Unspec;
        uint32_t attach_type = 0;
        bool takes_fragments = false;
        /// Index of the map in the object: shared storage, storage per CPU.
        std::array<std::optional<uint32_t>, 2> storages;
    };
    [[nodiscard]] static Kind kind_of(const LinkedProgram& program);

    abi::MapType map_;
    std::optional<Kind> owner_;
};

} // namespace mimicsh::vm
