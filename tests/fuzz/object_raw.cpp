// SPDX-License-Identifier: MIT
// Fuzz target: raw instructions. Byte 0 says how long func_info is, byte 1 the program type; maps are given
// for the loads that want one. What is read links or not, and a file of it reads back.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "object/linker.h"
#include "object/raw.h"

using namespace mimicsh;

namespace {

MapDef map_for(const Insn& insn) {
    MapDef def;
    def.name = insn.src == op::kMapValue || insn.src == op::kMapIdxValue ? "values" : "counts";
    def.type = abi::MapType::Array;
    def.key_size = 4;
    def.value_size = 16;
    def.max_entries = 1;
    return def;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
    if (size < 2) {
        return 0;
    }
    ByteView insns(bytes + 2, size - 2);
    RawOptions options;
    options.type = static_cast<abi::ProgType>(bytes[1] % 34);
    if (bytes[0] != 0 && bytes[0] <= insns.size()) {
        options.btf = insns.first(bytes[0]);
        options.func_info = insns.first(8);
    }
    for (uint32_t slot = 0; slot < insns.size() / sizeof(Insn); ++slot) {
        Insn insn;
        std::memcpy(&insn, insns.data() + slot * sizeof insn, sizeof insn);
        if (insn.code == op::kLddw) {
            if (insn.src != 0 && insn.src != op::kBtfId && insn.src != op::kFunc) {
                options.maps.push_back({slot, map_for(insn)});
            }
            ++slot;
        }
    }
    auto object = read_raw(insns, options);
    if (!object) {
        return 0;
    }
    if (const auto elf = write_elf(*object)) {
        (void)read_elf(*elf, "fuzz").has_value();
    }
    (void)link(std::make_shared<const Object>(std::move(*object)), 0, {}).has_value();
    return 0;
}
