// SPDX-License-Identifier: MIT
// Compiled objects, changed; maps of any shape; what makes a broken function loadable again.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "object/clang.h"
#include "object/insn.h"
#include "tests/fuzz/vm_maker.h"
#include "tests/paths.h"
#include "tests/unit/vm/raw.h"
#include "vm/kfuncs/kfuncs.h"
#include "vm/support.h"

namespace mimicsh::fuzz {

std::span<const Object> compiled_cases() {
    static const std::vector<Object> all = [] {
        std::vector<std::filesystem::path> files;
        for (const auto& entry : std::filesystem::directory_iterator(test::in_tree("tests/cases/parity"))) {
            if (entry.path().string().ends_with(".bpf.c")) {
                files.push_back(entry.path());
            }
        }
        std::sort(files.begin(), files.end());
        std::vector<Object> objects;
        for (const auto& file : files) {
            CompileOptions options;
            options.file = file.string();
            options.cache_dir = test::in_tree("build/bpf-cache");
            auto object = compile(options);
            if (!object) {
                std::fprintf(stderr, "%s\n%s\n", object.error().message().c_str(),
                             object.error().log.c_str());
                std::abort();
            }
            objects.push_back(std::move(*object));
        }
        return objects;
    }();
    return all;
}

MapDef make_map(Source& source, size_t number) {
    using abi::MapType;
    static constexpr std::array<MapType, 26> kTypes{
        MapType::Array,         MapType::Hash,          MapType::PercpuArray,    MapType::PercpuHash,
        MapType::LruHash,       MapType::LruPercpuHash, MapType::LpmTrie,        MapType::ArrayOfMaps,
        MapType::HashOfMaps,    MapType::ProgArray,     MapType::PerfEventArray, MapType::Devmap,
        MapType::DevmapHash,    MapType::Cpumap,        MapType::Xskmap,         MapType::Queue,
        MapType::Stack,         MapType::Ringbuf,       MapType::UserRingbuf,    MapType::BloomFilter,
        MapType::CgroupArray,   MapType::SkStorage,     MapType::Sockmap,        MapType::Sockhash,
        MapType::CgroupStorage, MapType::TaskStorage};
    static constexpr std::array<uint32_t, 24> kSizes{4,  8,  1,  2,  3,  5,  7,   9,   12,  15,  16,   17,
                                                     31, 32, 33, 63, 64, 65, 100, 255, 256, 257, 1025, 4097};
    static constexpr std::array<uint32_t, 8> kEntries{2, 1, 3, 4, 7, 8, 64, 1000};
    using V = std::array<uint32_t, 6>;
    MapDef def;
    def.name = "m" + std::to_string(number);
    def.type = source.pick(kTypes);
    def.key_size = 4;
    def.value_size = source.pick(kSizes);
    def.max_entries = source.pick(kEntries);
    switch (def.type) {
    case MapType::Hash:
    case MapType::PercpuHash:
        def.flags = source.flag() ? abi::kMapNoPrealloc : 0;
        [[fallthrough]];
    case MapType::LruHash:
    case MapType::LruPercpuHash:
    case MapType::Sockhash:
        def.key_size = source.pick(kSizes);
        break;
    case MapType::LpmTrie:
        def.key_size = 4 + 1 + source.below(16);
        def.flags = abi::kMapNoPrealloc;
        break;
    case MapType::ArrayOfMaps:
    case MapType::HashOfMaps:
        def.value_size = 4;
        def.inner =
            std::make_shared<MapDef>(test::map_def("inner", source.flag() ? MapType::Array : MapType::Hash, 4,
                                                   source.pick(kSizes), source.pick(kEntries)));
        break;
    case MapType::Queue:
    case MapType::Stack:
    case MapType::BloomFilter:
        def.key_size = 0;
        def.extra = def.type == MapType::BloomFilter ? source.below(16) : 0;
        break;
    case MapType::Ringbuf:
    case MapType::UserRingbuf:
        def.key_size = def.value_size = 0;
        def.max_entries = 4096u << source.below(3);
        break;
    case MapType::ProgArray:
    case MapType::PerfEventArray:
    case MapType::CgroupArray:
    case MapType::Xskmap:
        def.value_size = 4;
        break;
    case MapType::Devmap:
    case MapType::DevmapHash:
    case MapType::Cpumap:
    case MapType::Sockmap:
        def.value_size = source.pick(V{4, 8, 4, 8, 4, 8});
        break;
    case MapType::SkStorage:
    case MapType::TaskStorage:
        def.max_entries = 0;
        def.flags = abi::kMapNoPrealloc;
        break;
    case MapType::CgroupStorage:
        def.key_size = 16;
        def.max_entries = 0;
        break;
    default:
        break;
    }
    if (source.chance(4)) {
        def.max_entries = static_cast<uint32_t>(source.hostile());
    }
    if (source.chance(4)) {
        def.value_size = static_cast<uint32_t>(source.hostile());
    }
    if (source.chance(4)) {
        def.key_size = static_cast<uint32_t>(source.hostile());
    }
    if (source.chance(6)) {
        def.flags ^= 1u << source.below(13);
    }
    return def;
}

void repair(Object& object, Function& function) {
    auto& insns = function.insns;
    if (insns.size() > 1 && insns[insns.size() - 2].code != op::kLddw && insns.back().code == op::kLddw) {
        insns.back() = Insn{op::kJmp | op::kExit, 0, 0, 0, 0};
    }
    std::vector<bool> starts(insns.size() + 1, false);
    for (uint32_t slot = 0; slot < insns.size(); slot += slot_count(insns[slot])) {
        starts[slot] = true;
        if (insns[slot].code == op::kLddw && slot + 1 < insns.size()) {
            insns[slot + 1] = Insn{0, 0, 0, 0, insns[slot + 1].imm};
        }
    }
    std::erase_if(function.relocs, [&](const Relocation& reloc) {
        if (reloc.insn >= insns.size() || !starts[reloc.insn]) {
            return true;
        }
        const Insn& insn = insns[reloc.insn];
        const bool is_call = insn.code == (op::kJmp | op::kCall);
        const bool wants_call = reloc.kind == RelocKind::Call;
        return !(is_call ? wants_call || reloc.kind == RelocKind::Extern
                         : insn.code == op::kLddw && !wants_call);
    });
    const auto has_reloc = [&](uint32_t slot) {
        return std::ranges::find(function.relocs, slot, &Relocation::insn) != function.relocs.end();
    };
    for (uint32_t slot = 0; slot < insns.size(); slot += slot_count(insns[slot])) {
        Insn& insn = insns[slot];
        const bool is_call = insn.code == (op::kJmp | op::kCall);
        if (insn.code == op::kLddw && insn.src != 0 && !has_reloc(slot)) {
            insn.src = 0;
        }
        if (is_call && insn.src != 0 && !has_reloc(slot)) {
            insn.src = 0;
        }
        const bool jumps = ((insn.code & 7) == op::kJmp || (insn.code & 7) == op::kJmp32) && !is_call &&
                           (insn.code & 0xf0) != op::kCall && (insn.code & 0xf0) != op::kExit;
        const bool is_long = insn.code == (op::kJmp32 | op::kJa);
        const int64_t target = int64_t{slot} + 1 + (is_long ? insn.imm : insn.off);
        if (jumps && (target < 0 || target >= static_cast<int64_t>(insns.size()) ||
                      !starts[static_cast<size_t>(target)])) {
            insn.off = 0;
            insn.imm = is_long ? 0 : insn.imm;
        }
    }
    std::erase_if(function.core_relocs, [&](const CoreRelocation& relo) {
        return relo.insn >= insns.size() || !starts[relo.insn];
    });
    for (Relocation& reloc : function.relocs) {
        const size_t limit = reloc.kind == RelocKind::Extern ? object.externs.size()
                             : reloc.kind == RelocKind::Map || reloc.kind == RelocKind::MapValue
                                 ? object.maps.size()
                                 : object.functions.size();
        reloc.target %= static_cast<uint32_t>(std::max<size_t>(limit, 1));
        if (reloc.kind == RelocKind::MapValue) {
            reloc.offset %= std::max(object.maps[reloc.target].value_size, 1u);
        }
    }
}

namespace {

void mutate_insn(Source& source, Object& object, Function& function) {
    const uint32_t slot = source.below(function.insns.size());
    Insn& insn = function.insns[slot];
    switch (source.below(10)) {
    case 0:
    case 1:
        insn.imm = static_cast<int32_t>(source.hostile());
        break;
    case 2:
        insn.off = static_cast<int16_t>(source.chance(60) ? insn.off + static_cast<int8_t>(source.byte())
                                                          : static_cast<int16_t>(source.hostile()));
        break;
    case 3:
        insn.dst = source.byte() % 11 & 0xf;
        break;
    case 4:
        if (insn.code != (op::kJmp | op::kCall)) {
            insn.src = source.byte() % 11 & 0xf;
        }
        break;
    case 5:
        if (insn.code != op::kLddw) {
            insn.code = source.pick(insn_forms()).code;
        }
        break;
    case 6: // another helper
        if (insn.code == (op::kJmp | op::kCall) && insn.src == 0) {
            insn.imm = static_cast<int32_t>(source.pick(vm::helper_rows()).id);
        }
        break;
    case 7:
        if (!function.relocs.empty()) {
            Relocation& reloc = function.relocs[source.below(function.relocs.size())];
            reloc.target = source.byte();
            reloc.offset = source.byte();
        }
        break;
    case 8: // leave it out
        if (insn.code != op::kLddw && insn.code != 0) {
            insn = Insn{op::kJmp | op::kJa, 0, 0, 0, 0};
        }
        break;
    default: // another kernel function of the same kind of call
        if (!object.externs.empty()) {
            ExternDef& wanted = object.externs[source.below(object.externs.size())];
            if (wanted.kind == ExternKind::Kfunc) {
                wanted.name = source.pick(vm::kfunc_rows()).name;
            }
        }
    }
}

void mutate_map(Source& source, const Object& object, MapDef& map) {
    switch (source.below(6)) {
    case 0:
        if (!map.is_data) {
            map.value_size = static_cast<uint32_t>(source.hostile());
        }
        break;
    case 1:
        map.max_entries = static_cast<uint32_t>(source.hostile());
        break;
    case 2:
        map.key_size = static_cast<uint32_t>(source.hostile());
        break;
    case 3:
        map.flags ^= 1u << source.below(14);
        break;
    case 4: {
        const MapDef other = make_map(source, 0);
        map.type = other.type;
        map.inner = other.inner;
        break;
    }
    default:
        map.value_btf_id = object.btf ? source.below(object.btf->type_count() + 1) : 0;
    }
}

} // namespace

Object mutate_case(Source& source) {
    Object object = compiled_cases()[source.below(compiled_cases().size())];
    for (uint32_t left = source.below(12); left != 0; --left) {
        const uint32_t what = source.below(20);
        if (what < 16 || object.maps.empty()) {
            mutate_insn(source, object, object.functions[source.below(object.functions.size())]);
        } else if (what < 18) {
            mutate_map(source, object, object.maps[source.below(object.maps.size())]);
        } else {
            const auto programs = object.programs();
            static constexpr std::array<abi::ProgType, 8> kTypes{
                abi::ProgType::Xdp,           abi::ProgType::SchedCls, abi::ProgType::SocketFilter,
                abi::ProgType::CgroupSkb,     abi::ProgType::LwtXmit,  abi::ProgType::LwtIn,
                abi::ProgType::FlowDissector, abi::ProgType::Memory};
            object.functions[programs[source.below(programs.size())]].spec->type = source.pick(kTypes);
        }
    }
    if (source.chance(30)) {
        change_types(source, object);
    }
    for (Function& function : object.functions) {
        repair(object, function);
    }
    if (source.chance(8)) {
        break_references(source, object);
    }
    return object;
}

} // namespace mimicsh::fuzz
