// SPDX-License-Identifier: MIT
// The pool of maps and types.
#include "tests/difffuzz/pool.h"

#include <cstring>

#include "object/btf_edit.h"
#include "tests/unit/vm/raw.h"

namespace mimicsh::difffuzz {

using abi::MapType;
using test::map_def;

namespace {

constexpr std::string_view kWord = "12ab";
constexpr uint32_t kTextSize = 128, kFirstFormat = 8;

/// Formats lie one behind the other, each with its end.
constexpr auto kFormats = [] {
    std::array<Format, 8> all{{{"%d %u", 0, 2},
                               {"%llx", 0, 1},
                               {"%5d|%-5d", 0, 2},
                               {"%08x%%", 0, 1},
                               {"plain", 0, 0},
                               {"%lld %lu", 0, 2},
                               {"%c%X", 0, 2},
                               {"%i", 0, 1}}};
    uint32_t at = kFirstFormat;
    for (Format& format : all) {
        format.offset = at;
        at += static_cast<uint32_t>(format.text.size()) + 1;
    }
    return all;
}();
static_assert(kFormats.back().offset + 3 <= kTextSize);

std::array<MapDef, kMapCount> make_pool() {
    std::array<MapDef, kMapCount> pool{
        map_def("out", MapType::Array, 4, kOutSize, 1, abi::kMapMmapable),
        map_def("array", MapType::Array, 4, 16, 4, abi::kMapMmapable),
        map_def("hash", MapType::Hash, 4, 16, 8),
        map_def("wide_hash", MapType::Hash, 8, 8, 4, abi::kMapNoPrealloc),
        map_def("percpu_array", MapType::PercpuArray, 4, 16, 2),
        map_def("percpu_hash", MapType::PercpuHash, 4, 8, 4),
        map_def("jumps", MapType::ProgArray, 4, 4, 2),
        map_def("ring", MapType::Ringbuf, 0, 0, 4096),
        map_def("lpm", MapType::LpmTrie, 8, 8, 8, abi::kMapNoPrealloc),
        map_def("lru", MapType::LruHash, 4, 16, 1024),
        map_def("queue", MapType::Queue, 0, 8, 3),
        map_def("stack", MapType::Stack, 0, 8, 3),
        map_def("bloom", MapType::BloomFilter, 0, 8, 4096),
        map_def("inner", MapType::Array, 4, 16, 4, abi::kMapMmapable),
        map_def("outer", MapType::ArrayOfMaps, 4, 4, 2),
        map_def("locked", MapType::Array, 4, kLockedSize, 2),
        map_def(".rodata", MapType::Array, 4, kTextSize, 1, abi::kMapRdonlyProg),
        map_def(".inputs", MapType::Array, 4, 24 + 8 * kInputValues, kInputSites, abi::kMapMmapable),
    };
    const auto at = [&](MapId id) -> MapDef& { return pool[static_cast<size_t>(id)]; };
    at(MapId::Out).is_data = true;
    at(MapId::Out).contents.resize(kOutSize);
    at(MapId::Outer).inner = std::make_shared<MapDef>(at(MapId::Inner));
    at(MapId::Locked).key_btf_id = pool_types().number;
    at(MapId::Locked).value_btf_id = pool_types().locked;
    MapDef& text = at(MapId::Text);
    text.is_data = text.frozen = true;
    text.contents.resize(kTextSize);
    std::memcpy(text.contents.data() + kTextWord, kWord.data(), kWord.size());
    for (const Format& format : kFormats) {
        std::memcpy(text.contents.data() + format.offset, format.text.data(), format.text.size());
    }
    return pool;
}

/// Sorted by map.
constexpr std::array kPresets{
    Preset{MapId::Hash, {0}, {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa}},
    Preset{MapId::Hash, {1}, {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80, 1}},
    Preset{MapId::WideHash, {2}, {1, 2, 3, 4, 5, 6, 7, 0x88}},
    Preset{MapId::Lpm, {0}, {0xd0, 0xd1}},
    Preset{MapId::Lpm, {7, 0, 0, 0, 2}, {0xd2, 0xd3, 0, 0, 0, 0, 0, 0x80}},
    Preset{MapId::Lpm, {8, 0, 0, 0, 3}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    Preset{MapId::Lru, {1}, {0x21, 0x43, 0x65, 0x87, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
    Preset{MapId::Queue, {}, {0x71, 0x72}},
    Preset{MapId::Stack, {}, {0x73, 0x74}},
};

PoolTypes make_types() {
    PoolTypes types;
    BtfEditor editor;
    types.number = editor.find_or_add_int();
    types.prototype = editor.add_type({0, btf_raw::make_info(BtfKind::FuncProto, 0), types.number});
    for (size_t i = 0; i < types.functions.size(); ++i) {
        const uint32_t text = editor.add_string("f" + std::to_string(i));
        types.functions[i] = editor.add_type({text, btf_raw::make_info(BtfKind::Func, 0), types.prototype});
    }
    const uint32_t lock =
        editor.add_type({editor.add_string("bpf_spin_lock"), btf_raw::make_info(BtfKind::Struct, 1), 4,
                         editor.add_string("val"), types.number, 0});
    types.locked = editor.add_type({editor.add_string("locked"), btf_raw::make_info(BtfKind::Struct, 1),
                                    kLockedSize, editor.add_string("lock"), lock, 0});
    auto btf = Btf::parse(editor.finish(), "pool");
    assert(btf);
    types.btf = std::make_shared<const Btf>(std::move(*btf));
    return types;
}

} // namespace

const MapDef& pool_map(MapId id) {
    static const std::array<MapDef, kMapCount> kPool = make_pool();
    return kPool[static_cast<size_t>(id)];
}

std::span<const Format> formats() {
    return kFormats;
}

std::span<const Preset> presets(MapId map) {
    static constexpr auto kEnds = [] { // by map: where its presets end
        std::array<uint8_t, kMapCount> ends{};
        uint8_t at = 0;
        for (size_t id = 0; id < ends.size(); ++id) {
            while (at < kPresets.size() && static_cast<size_t>(kPresets[at].map) == id) {
                ++at;
            }
            ends[id] = at;
        }
        assert(at == kPresets.size());
        return ends;
    }();
    const auto id = static_cast<size_t>(map);
    const size_t begin = id == 0 ? 0 : kEnds[id - 1];
    return std::span(kPresets).subspan(begin, kEnds[id] - begin);
}

const PoolTypes& pool_types() {
    static const PoolTypes kTypes = make_types();
    return kTypes;
}

} // namespace mimicsh::difffuzz
