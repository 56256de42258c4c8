// SPDX-License-Identifier: MIT
// Inputs that differ by nature, aligned: a copy of an object whose calls for time, random numbers and the CPU
// take the next value of a list instead, so that two targets can be compared on the same inputs.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "object/object.h"
#include "object/target.h"

namespace mimicsh {

/// Helpers without arguments whose results no two runs share: the clocks, jiffies64, get_prandom_u32,
/// get_smp_processor_id, get_numa_node_id.
[[nodiscard]] bool is_input_call(uint32_t helper);

/// One such call in the object that was aligned.
struct InputSite {
    uint32_t function = 0; ///< index in the object
    uint32_t insn = 0;     ///< slot within that function
    uint32_t helper = 0;
};

struct AlignOptions {
    uint32_t values_per_site = 512; ///< values that a site can be given at a time, 1 to 65536
};

/// The copy. Functions and maps keep their indices; one map and one subprogram stand behind them. Every such
/// call makes its function a slot longer, the call chain there one frame deeper, and the stack that counts
/// for the chain 32 bytes larger. The kernel's verifier knows less of a value than of the call's result: that
/// a CPU's number is small, for one.
struct AlignedObject {
    std::shared_ptr<const Object> object; ///< the original when nothing had to be changed
    std::vector<InputSite> sites;         ///< by key of the map; empty when the object has no such calls
    uint32_t map = 0;                     ///< index of the map of values, when there are sites
};

/// EINVAL: bad options. E2BIG: a jump does not reach over what was added.
[[nodiscard]] Expected<AlignedObject> align_inputs(std::shared_ptr<const Object> object,
                                                   const AlignOptions& options = {});

/// Gives every site its values of one run, the first again; those of the run before are forgotten. `values`
/// is the map of values in an instance of the copy; `calls` come from a run of the original. ENOSPC: more
/// values for a site than it can be given.
[[nodiscard]] Status give_inputs(const AlignedObject& aligned, Map& values, std::span<const InputCall> calls);

/// The same on the bytes of that map, value behind value; EINVAL when they are too few.
[[nodiscard]] Status put_inputs(const AlignedObject& aligned, std::span<const InputCall> calls,
                                ByteSpan values);

/// How many calls since the last give_inputs found no value left; these got 0.
[[nodiscard]] Expected<uint64_t> inputs_missing(const AlignedObject& aligned, Map& values);

} // namespace mimicsh
