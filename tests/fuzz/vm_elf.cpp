// SPDX-License-Identifier: MIT
// Fuzz target: ELF objects with damage, loaded and run. The last 64 bytes choose options, runs and host
// calls.
#include <algorithm>

#include "tests/fuzz/vm_exercise.h"

using namespace mimicsh;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
    const size_t choices = std::min<size_t>(size, 64);
    fuzz::Source source({bytes + size - choices, choices});
    const vm::Options options = fuzz::choose_options(source);
    auto object = read_elf({bytes, size}, "fuzz");
    if (!object) {
        return 0;
    }
    fuzz::add_witness(*object);
    fuzz::exercise(std::make_shared<Object>(std::move(*object)), options, source);
    return 0;
}
