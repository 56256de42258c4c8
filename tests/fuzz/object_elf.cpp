// SPDX-License-Identifier: MIT
// Fuzz target: object files. What reads is linked against its own types, as the only kernel BTF a fuzzer can
// shape.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "object/linker.h"

using namespace mimicsh;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto object = read_elf({data, size}, "fuzz");
    if (!object) {
        return 0;
    }
    // Writing may refuse, but what it accepts must be readable: write_elf checks that itself.
    (void)write_elf(*object).has_value();
    const auto shared = std::make_shared<const Object>(std::move(*object));
    for (const uint32_t index : shared->programs()) {
        for (const auto& types : {std::shared_ptr<const Btf>(), shared->btf}) {
            const auto linked = link(shared, index, {types});
            for (uint32_t slot = 0; linked && slot < linked->insns.size(); ++slot) {
                (void)source_line(*linked, slot);
            }
        }
    }
    return 0;
}
