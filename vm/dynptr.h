// SPDX-License-Identifier: MIT
// Dynamic pointers (kernel/bpf/helpers.c): bounded views of memory, a ring-buffer record or the packet. The
// program's 16 bytes of stack hold only a number; the view itself is the machine's.
#pragma once

#include <cstdint>

namespace mimicsh::vm {

struct Dynptr {
    enum class Kind : uint8_t { Null, Memory, Record, Packet };
    Kind kind = Kind::Null;
    bool read_only = false;
    uint64_t address = 0; ///< of the memory's or record's byte 0
    uint32_t offset = 0;
    uint32_t size = 0;
};

inline constexpr uint32_t kDynptrBytes = 16;
inline constexpr uint64_t kDynptrMaxSize = (uint64_t{1} << 24) - 1;
/// What the stack holds of the machine's dynptr `i`: this in the high half, i in the low one; 0 for null.
inline constexpr uint32_t kDynptrTag = 0x6d79'6e64;

} // namespace mimicsh::vm
