// SPDX-License-Identifier: MIT
// From a seed to a case: the functions of a program, its packets.
#include "tests/difffuzz/generate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/difffuzz/function_builder.h"
#include "vm/context/sk_buff.h"

namespace mimicsh::difffuzz {

namespace {

constexpr uint32_t kMaxSubprograms = 3;
constexpr size_t kUsualMaps = 8;

/// What stands behind tail calls.
Function tail_function(const Function& main) {
    const bool on_skb = main.spec->type == abi::ProgType::SchedCls;
    Function tail;
    tail.name = "tail";
    tail.section = main.section;
    tail.spec = main.spec;
    tail.btf_id = pool_types().functions.back();
    tail.insns = {test::load(op::kW, 2, 1, on_skb ? 76 : 0), test::load(op::kW, 0, 1, on_skb ? 80 : 4),
                  test::insn(op::kAlu64 | op::kSub | op::kX, 0, 2, 0, 0), test::exit_insn()};
    return tail;
}

/// Headers that helpers on socket buffers look for: Ethernet, IPv4 or IPv6, some with wrong lengths.
void put_headers(Rng& rng, ByteVec& packet) {
    const bool v6 = rng.one_in(3);
    if (packet.size() < 14 + 40 || rng.one_in(6)) {
        return;
    }
    store_be<uint16_t>(packet.data() + 12, v6 ? 0x86dd : 0x0800);
    uint8_t* network = packet.data() + 14;
    const auto length = static_cast<uint16_t>(packet.size() - 14);
    if (v6) {
        network[0] = static_cast<uint8_t>(0x60 | (network[0] & 0xf));
        store_be<uint16_t>(network + 4, static_cast<uint16_t>(length - 40));
        network[6] = rng.one_in(2) ? 6 : 17;
    } else {
        network[0] = 0x45;
        store_be<uint16_t>(network + 2, length);
        network[9] = rng.one_in(2) ? 6 : 17;
    }
}

/// struct __sk_buff to run with: what a test run takes.
void put_context(Rng& rng, size_t length, ByteVec& context) {
    context.assign(vm::kSkbSize, 0);
    const auto put = [&](uint32_t offset, auto value) { store(context.data() + offset, value); };
    if (rng.one_in(2)) {
        put(vm::kSkbMark, static_cast<uint32_t>(rng.operand()));
        put(vm::kSkbPriority, static_cast<uint32_t>(rng.operand()));
        put(vm::kSkbTstamp, rng.operand());
        for (uint32_t at = 0; at < 20; at += 4) {
            put(vm::kSkbCb + at, static_cast<uint32_t>(rng.operand()));
        }
    }
    if (rng.one_in(4)) {
        put(vm::kSkbWireLen, static_cast<uint32_t>(length) + rng.below(1000));
        put(vm::kSkbGsoSegs, rng.below(0x10000));
        put(vm::kSkbGsoSize, static_cast<uint32_t>(rng.below(0x10000)));
        put(vm::kSkbHwtstamp, rng.operand());
    }
}

void put_input(Rng& rng, abi::ProgType type, uint32_t number, Input& input) {
    const bool on_skb = type == abi::ProgType::SchedCls;
    input.meta = rng.one_in(8) && !on_skb ? 4 * rng.below(9) : 0;
    const uint32_t length = number == 0      ? 64
                            : number < 3     ? 180 + rng.below(70)
                            : rng.one_in(6)  ? 14 + rng.below(20)
                            : rng.one_in(64) ? 1000 + rng.below(2000)
                                             : 14 + rng.below(180);
    input.packet.resize(input.meta + length);
    uint8_t* at = input.packet.data();
    uint8_t* const end = at + input.packet.size();
    Rng own = rng; // the bytes could be the generator's, as far as the compiler knows
    for (; end - at >= 8; at += 8) {
        store<uint64_t>(at, own.one_in(4) ? own.operand() : own.next());
    }
    for (; at != end; ++at) {
        *at = static_cast<uint8_t>(own.next());
    }
    rng = own;
    if (on_skb) {
        put_headers(rng, input.packet);
        put_context(rng, input.packet.size(), input.context);
    } else {
        input.context.clear();
    }
}

Signature signature_of(Rng& rng) {
    Signature signature;
    const uint32_t count = rng.below(5);
    for (uint32_t i = 0; i < count; ++i) {
        signature.args[i] = rng.one_in(4) ? Kind::Words : Kind::Scalar;
    }
    if (rng.one_in(2)) {
        std::shift_right(signature.args.begin(), signature.args.end(), 1);
        signature.args.front() = Kind::Context;
    }
    return signature;
}

} // namespace

Case generate(uint64_t seed, const Shape& shape, std::vector<Input> spare) {
    Case made;
    made.seed = seed;
    made.object = std::make_shared<Object>();
    made.object->name = made.object->origin = "seed" + std::to_string(seed);
    made.object->license = "GPL";
    made.object->btf = pool_types().btf;
    Draft draft{Rng(seed * 0x2545f4914f6cdd1d + 1), shape, made};
    Rng& rng = draft.rng;
    made.type = shape.types == Types::Xdp                   ? abi::ProgType::Xdp
                : shape.types == Types::Tc || rng.one_in(3) ? abi::ProgType::SchedCls
                                                            : abi::ProgType::Xdp;
    if (draft.on_skb()) {
        draft.note(Feature::SocketBuffer);
    }

    made.maps.reserve(kUsualMaps);
    made.object->maps.reserve(kUsualMaps);
    ByteVec& contents = made.object->maps[draft.map_index(MapId::Out)].contents;
    for (uint32_t at = kOutInput; at < kOutProbe; at += 8) {
        store<uint64_t>(contents.data() + at, rng.operand());
    }

    // Within a factor of 2 of the median, evenly on a logarithmic scale; the longest take most of the time.
    const double factor = std::exp2(static_cast<double>(rng.below(2001)) / 1000.0 - 1.0);
    auto length = static_cast<uint32_t>(std::lround(shape.length * factor));
    draft.length = length;
    uint32_t subprograms = rng.one_in(2) ? 0 : 1 + rng.below(kMaxSubprograms);
    if (length < 50) {
        subprograms = std::min(subprograms, 1u);
    }
    draft.signatures.resize(1 + subprograms);
    made.object->functions.reserve(2 + subprograms); // tail_function's, too
    made.object->functions.resize(1 + subprograms);
    for (uint32_t i = subprograms; i > 0; --i) {
        // The last one may be a callback.
        using Role = FunctionBuilder::Role;
        const uint32_t kind = i == subprograms ? rng.below(5) : 5;
        const Role role = kind < 2 ? Role::Callback : kind == 2 ? Role::EachCallback : Role::Subprogram;
        draft.callbacks |= role == Role::Callback ? 1u << i : 0;
        draft.each_callbacks |= role == Role::EachCallback ? 1u << i : 0;
        draft.signatures[i] = role == Role::Callback ? Signature{{Kind::Scalar, Kind::Words}}
                              : role == Role::EachCallback
                                  ? Signature{{Kind::Ignored, Kind::Ignored, Kind::Value, Kind::Words}}
                                  : signature_of(rng);
        const uint32_t share = std::max(12u, length / 6);
        FunctionBuilder(draft, role, i).build(share);
        length -= std::min(share, length / 2);
    }
    FunctionBuilder(draft, FunctionBuilder::Role::Program, 0).build(length);

    for (size_t i = 0; i < made.maps.size(); ++i) {
        if (made.maps[i] == MapId::Jumps) {
            made.object->maps[i].slots = {{0, static_cast<uint32_t>(made.object->functions.size())}};
            made.object->functions.push_back(tail_function(made.object->functions.front()));
        } else if (made.maps[i] == MapId::Outer) {
            made.object->maps[i].slots = {{0, draft.map_index(MapId::Inner)}};
        }
    }
    made.inputs = std::move(spare);
    made.inputs.resize(shape.packets);
    for (uint32_t i = 0; i < shape.packets; ++i) {
        put_input(rng, made.type, i, made.inputs[i]);
    }
    return made;
}

} // namespace mimicsh::difffuzz
