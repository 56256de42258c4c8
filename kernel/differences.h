// SPDX-License-Identifier: MIT
// What two runs, and the maps of two instances, differ in, as text for people.
#pragma once

#include <map>
#include <string>

#include "base/bytes.h"
#include "object/target.h"

namespace mimicsh::kernel {

/// Return value, packet and context of a run on the vm and of one in the kernel; a fault of the vm's is a
/// difference. Empty when there is none.
[[nodiscard]] std::string run_differences(const RunResult& here, const RunResult& there);

/// All entries of a map; `error` says what stopped the walk.
[[nodiscard]] std::map<ByteVec, ByteVec> entries_of(Map& map, std::string& error);

/// Contents of all maps of the vm's instance and the kernel's, records included (which this consumes); prog
/// arrays, queues, stacks and filters aside, and maps of the kernel's behind the vm's (the values of aligned
/// inputs). Empty when they are the same.
[[nodiscard]] std::string map_differences(Instance& here, Instance& there);

} // namespace mimicsh::kernel
