// SPDX-License-Identifier: MIT
// From a seed to a case: the pool of maps, the functions of a program, its packets.
#include "tests/difffuzz/generate.h"

#include <cmath>

#include "tests/difffuzz/function_builder.h"

namespace mimicsh::difffuzz {

using abi::MapType;
using test::map_def;

namespace {

constexpr uint32_t kMaxSubprograms = 3;

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
    };
    pool[0].is_data = true;
    pool[0].contents.resize(kOutSize);
    return pool;
}

constexpr std::array kPresets{
    Preset{MapId::Hash, {0}, {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa}},
    Preset{MapId::Hash, {1}, {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0x80, 1}},
    Preset{MapId::WideHash, {2}, {1, 2, 3, 4, 5, 6, 7, 0x88}},
};

/// What stands behind tail calls.
Function tail_function() {
    Function tail;
    tail.name = "tail";
    tail.section = "xdp";
    tail.spec = ProgramSpec{abi::ProgType::Xdp, abi::AttachType::Xdp, 0, {}};
    tail.insns = {test::load(op::kW, 2, 1, 0), test::load(op::kW, 0, 1, 4),
                  test::insn(op::kAlu64 | op::kSub | op::kX, 0, 2, 0, 0), test::exit_insn()};
    return tail;
}

Input input_of(Rng& rng, uint32_t number) {
    Input input;
    input.meta = rng.one_in(8) ? 4 * rng.below(9) : 0;
    const uint32_t length = number == 0      ? 64
                            : number < 3     ? 180 + rng.below(70)
                            : rng.one_in(6)  ? 14 + rng.below(20)
                            : rng.one_in(64) ? 1000 + rng.below(2000)
                                             : 14 + rng.below(180);
    input.packet.resize(input.meta + length);
    size_t at = 0;
    for (; at + 8 <= input.packet.size(); at += 8) {
        store<uint64_t>(input.packet.data() + at, rng.one_in(4) ? rng.operand() : rng.next());
    }
    for (; at < input.packet.size(); ++at) {
        input.packet[at] = static_cast<uint8_t>(rng.next());
    }
    return input;
}

Signature signature_of(Rng& rng) {
    Signature signature;
    for (uint32_t i = rng.below(5); i > 0; --i) {
        signature.args.push_back(rng.one_in(4) ? Kind::Words : Kind::Scalar);
    }
    if (rng.one_in(2)) {
        signature.args.insert(signature.args.begin(), Kind::Context);
    }
    return signature;
}

} // namespace

const MapDef& pool_map(MapId id) {
    static const std::array<MapDef, kMapCount> kPool = make_pool();
    return kPool[static_cast<size_t>(id)];
}

std::span<const Preset> presets() {
    return kPresets;
}

Case generate(uint64_t seed, const Shape& shape) {
    Case made;
    made.seed = seed;
    made.object = std::make_shared<Object>();
    made.object->name = made.object->origin = "seed" + std::to_string(seed);
    made.object->license = "GPL";
    Draft draft{Rng(seed * 0x2545f4914f6cdd1d + 1), shape, made};
    Rng& rng = draft.rng;

    ByteVec& contents = made.object->maps[draft.map_index(MapId::Out)].contents;
    for (uint32_t at = kOutInput; at < kOutSize; at += 8) {
        store<uint64_t>(contents.data() + at, rng.operand());
    }

    // Within a factor of 2.8 of the median, evenly on a logarithmic scale.
    const double factor = std::exp2(static_cast<double>(rng.below(3001)) / 1000.0 - 1.5);
    auto length = static_cast<uint32_t>(std::lround(shape.length * factor));
    uint32_t subprograms = rng.one_in(2) ? 0 : 1 + rng.below(kMaxSubprograms);
    if (length < 50) {
        subprograms = std::min(subprograms, 1u);
    }
    draft.signatures.resize(1 + subprograms);
    made.object->functions.resize(1 + subprograms);
    for (uint32_t i = subprograms; i > 0; --i) {
        // The last one may be a callback of bpf_loop.
        const bool callback = i == subprograms && rng.one_in(3);
        draft.callbacks |= callback ? 1u << i : 0;
        draft.signatures[i] = callback ? Signature{{Kind::Scalar, Kind::Words}} : signature_of(rng);
        const uint32_t share = std::max(12u, length / 6);
        FunctionBuilder(draft, callback ? FunctionBuilder::Role::Callback : FunctionBuilder::Role::Subprogram,
                        i)
            .build(share);
        length -= std::min(share, length / 2);
    }
    FunctionBuilder(draft, FunctionBuilder::Role::Program, 0).build(length);

    for (size_t i = 0; i < made.maps.size(); ++i) {
        if (made.maps[i] == MapId::Jumps) {
            made.object->maps[i].slots = {{0, static_cast<uint32_t>(made.object->functions.size())}};
            made.object->functions.push_back(tail_function());
        }
    }
    for (uint32_t i = 0; i < shape.packets; ++i) {
        made.inputs.push_back(input_of(rng, i));
    }
    return made;
}

} // namespace mimicsh::difffuzz
