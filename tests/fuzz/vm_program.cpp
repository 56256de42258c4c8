// SPDX-License-Identifier: MIT
// Fuzz target: instruction streams. Byte 0 chooses mode and options, the rest are instruction slots; a slot
// of opcode 0xff starts a subprogram. References are made to fit, so that most streams load.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "tests/unit/vm/raw.h"
#include "vm/target.h"

using namespace mimicsh;

namespace {

constexpr size_t kMaxSlots = 512;
constexpr size_t kMaxFunctions = 6;

void add_maps(Object& object) {
    using abi::MapType;
    MapDef data = test::map_def(".bss", MapType::Array, 4, 64, 1);
    data.is_data = true;
    data.contents.resize(64);
    MapDef constants = test::map_def(".rodata", MapType::Array, 4, 16, 1, abi::kMapRdonlyProg);
    constants.is_data = constants.frozen = true;
    constants.contents.resize(16);
    MapDef jumps = test::map_def("jumps", MapType::ProgArray, 4, 4, 2);
    jumps.slots.push_back({0, 0});
    object.maps = {data,
                   constants,
                   test::map_def("array", MapType::Array, 4, 12, 3),
                   test::map_def("hash", MapType::Hash, 4, 12, 3),
                   test::map_def("lru", MapType::LruHash, 4, 8, 2),
                   test::map_def("percpu", MapType::PercpuHash, 4, 5, 2),
                   test::map_def("percpu_array", MapType::PercpuArray, 4, 8, 2),
                   jumps,
                   test::map_def("ring", MapType::Ringbuf, 0, 0, 4096)};
}

Function function_of(size_t number) {
    Function function;
    function.name = number == 0 ? "main" : "f" + std::to_string(number);
    function.section = number == 0 ? "xdp" : ".text";
    if (number == 0) {
        function.spec = ProgramSpec{abi::ProgType::Xdp, abi::AttachType::Xdp, 0, {}};
    }
    return function;
}

/// Gives a slot that names something the relocation it needs; targets are taken modulo what there is.
void refer(Function& function, const Object& object, size_t functions) {
    for (uint32_t slot = 0; slot < function.insns.size(); slot += slot_count(function.insns[slot])) {
        Insn& insn = function.insns[slot];
        const auto number = static_cast<uint32_t>(insn.imm);
        if (insn.code == op::kLddw) {
            if (slot + 1 == function.insns.size()) {
                insn = Insn{op::kAlu64 | op::kMov, 0, 0, 0, 0};
                break;
            }
            function.insns[slot + 1] = Insn{0, 0, 0, 0, function.insns[slot + 1].imm};
            if (insn.src == op::kFunc) {
                function.relocs.push_back(
                    {slot, RelocKind::FuncAddress, number % static_cast<uint32_t>(functions), 0});
            } else if (insn.src == op::kMapValue) {
                function.relocs.push_back({slot, RelocKind::MapValue, number % 2, number / 2 % 16});
            } else if (insn.src != 0) {
                insn.src = op::kMapFd;
                function.relocs.push_back(
                    {slot, RelocKind::Map, number % static_cast<uint32_t>(object.maps.size()), 0});
            }
        } else if (insn.code == (op::kJmp | op::kCall) && insn.src == op::kCallLocal) {
            function.relocs.push_back({slot, RelocKind::Call, number % static_cast<uint32_t>(functions), 0});
        }
    }
    function.insns.push_back(Insn{op::kAlu64 | op::kMov, 0, 0, 0, 2});
    function.insns.push_back(Insn{op::kJmp | op::kExit, 0, 0, 0, 0});
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
    if (size < 9) {
        return 0;
    }
    const uint8_t choice = bytes[0];
    auto object = std::make_shared<Object>();
    object->name = object->origin = "fuzz";
    object->license = "GPL";
    add_maps(*object);
    object->functions.push_back(function_of(0));
    for (size_t at = 1, slots = 0; size - at >= sizeof(Insn) && slots < kMaxSlots;
         at += sizeof(Insn), ++slots) {
        Insn insn;
        std::memcpy(&insn, bytes + at, sizeof insn);
        if (insn.code == 0xff && object->functions.size() < kMaxFunctions) {
            object->functions.push_back(function_of(object->functions.size()));
        } else {
            object->functions.back().insns.push_back(insn);
        }
    }
    for (Function& function : object->functions) {
        refer(function, *object, object->functions.size());
    }

    vm::Options options;
    options.mode = (choice & 1) != 0 ? vm::Mode::Permissive : vm::Mode::Strict;
    options.sanitize_fault = (choice & 2) != 0;
    options.budget = 2000;
    options.cpus = 2;
    auto instance = vm::make_target(options)->load(object, {});
    if (!instance) {
        return 0;
    }
    RunOptions run;
    run.trace = (choice & 4) != 0;
    ByteVec packet(14 + (choice >> 3) * 8, 0x11);
    for (int i = 0; i < 2; ++i) {
        auto result = (*instance)->programs().front()->run(packet, run);
        (void)result.has_value();
        packet.resize(3600); // the second run has fragments
    }
    (void)(*instance)->find_map("ring")->consume([](ByteView, uint32_t) {});
    return 0;
}
