// SPDX-License-Identifier: MIT
// Many entries of one map deleted, or looked up and deleted. A map of any target will do; one of the kernel
// takes few calls for it.
#pragma once

#include "object/target.h"

namespace mimicsh::kernel {

/// Deletes keys, back to back, up to the first that `erase` fails for: the error is that one's, and `done`
/// says how many were deleted (BPF_MAP_DELETE_BATCH).
[[nodiscard]] Status erase_batch(Map& map, ByteView keys, size_t& done);

/// Looks up and deletes up to `limit` entries, whichever come first, and appends them (keys and host values
/// back to back); returns the count. ENOTSUP for types other than hash, lru_hash and their per-CPU forms
/// (BPF_MAP_LOOKUP_AND_DELETE_BATCH).
[[nodiscard]] Expected<size_t> take_batch(Map& map, ByteVec& keys, ByteVec& values, size_t limit);

} // namespace mimicsh::kernel
