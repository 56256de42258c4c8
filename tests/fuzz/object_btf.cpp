// SPDX-License-Identifier: MIT
// Fuzz target: BTF sections. Whatever parses is then asked everything a reader may ask.
#include <cstddef>
#include <cstdint>

#include "object/btf.h"

using namespace mimicsh;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto btf = Btf::parse({data, size}, "fuzz");
    if (!btf) {
        return 0;
    }
    for (uint32_t id = 0; id < btf->type_count(); ++id) {
        const BtfType& type = btf->type(id);
        (void)btf->size_of(id).has_value();
        (void)btf->align_of(id);
        (void)btf->type_name(id);
        (void)btf->find(type.name, type.kind);
        (void)btf->resolve(id);
    }
    return 0;
}
