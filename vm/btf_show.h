// SPDX-License-Identifier: MIT
// Values as text by their type in BTF, as bpf_snprintf_btf writes them.
#pragma once

#include <string>

#include "base/bytes.h"
#include "object/btf.h"

namespace mimicsh::vm {

/// Flags of bpf_snprintf_btf.
inline constexpr uint64_t kShowCompact = 1, kShowNoName = 2, kShowRawPointers = 4, kShowZero = 8;

/// The text of the value `bytes` of a type (1 <= id < type_count), whole: the caller cuts it to its buffer.
/// Pointers other than null are shown as a hash of our own unless they are wanted raw.
[[nodiscard]] std::string show_value(const Btf& btf, uint32_t id, ByteView bytes, uint64_t flags);

} // namespace mimicsh::vm
