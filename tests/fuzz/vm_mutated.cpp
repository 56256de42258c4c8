// SPDX-License-Identifier: MIT
// Fuzz target: compiled programs of the tests with changes, then runs and host calls.
#include "tests/fuzz/vm_exercise.h"
#include "tests/fuzz/vm_maker.h"

using namespace mimicsh;

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    (void)fuzz::compiled_cases();
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
    fuzz::Source source({bytes, size});
    const vm::Options options = fuzz::choose_options(source);
    auto object = std::make_shared<Object>(fuzz::mutate_case(source));
    if (source.chance(15)) {
        if (auto raw = fuzz::through_raw(source, *object)) {
            *object = std::move(*raw);
        }
    }
    fuzz::add_witness(*object);
    fuzz::exercise(std::move(object), options, source);
    return 0;
}
