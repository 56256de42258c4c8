// SPDX-License-Identifier: MIT
// Statements of programs on socket buffers: fields of the context, helpers that change the buffer, packet
// loads; and what the two kinds of context have in common.
#include <algorithm>

#include "tests/difffuzz/function_builder.h"
#include "vm/context/context.h"

namespace mimicsh::difffuzz {

using test::insn;

namespace {

enum Helper : int32_t {
    kStoreBytes = 9,
    kL3Csum = 10,
    kL4Csum = 11,
    kVlanPush = 18,
    kVlanPop = 19,
    kLoadBytes = 26,
    kChangeProto = 31,
    kChangeType = 32,
    kChangeTail = 38,
    kPullData = 39,
    kCsumUpdate = 40,
    kSetHashInvalid = 41,
    kChangeHead = 43,
    kSetHash = 48,
    kAdjustRoom = 50,
    kLoadRelative = 68,
    kEcnSetCe = 97,
    kCsumLevel = 135,
    kSetTstamp = 192,
};

int size_code(uint32_t bytes) {
    return bytes == 1 ? op::kB : bytes == 2 ? op::kH : bytes == 4 ? op::kW : op::kDw;
}

} // namespace

/// After a helper that may have moved the packet: no pointer into it is good any more.
void FunctionBuilder::packet_changed() {
    draft_.note(Feature::PacketHelper);
    draft_.signatures[index_].moves_packet = true;
    forget_caller_saved();
    forget_packet();
}

/// A number of the context, read whole or in part, or written.
void FunctionBuilder::context_field() {
    const vm::ContextKind* kind = vm::context_kind(draft_.result.type);
    const vm::ContextField& field = rng_.pick(kind->fields);
    if (field.role <= vm::FieldRole::PacketMeta || field.name == "egress_ifindex" || field.name == "sk" ||
        (field.readers & kind->user) == 0) {
        return packet_length();
    }
    const uint32_t whole = field.size == 8 ? 8 : std::min<uint32_t>(field.size, 4);
    const uint32_t part = field.narrow && rng_.one_in(3) ? whole >> rng_.between(1, 2) : whole;
    const uint32_t bytes = std::max(part, 1u);
    const auto at = static_cast<int>(field.offset + bytes * rng_.below(field.size / bytes));
    const int from = find(Kind::Scalar);
    if ((field.writers & kind->user) != 0 && from >= 0 && rng_.one_in(2)) {
        const bool any_part = field.role == vm::FieldRole::Bytes;
        emit(test::store_reg(size_code(any_part ? bytes : whole), context_, any_part ? at : int{field.offset},
                             from));
        return;
    }
    const int to = any_target();
    emit(test::load(size_code(bytes), to, context_, at));
    set(to, {Kind::Scalar});
}

/// BPF_LD_ABS and BPF_LD_IND.
void FunctionBuilder::packet_load() {
    if (context_ != 6 || role_ != Role::Program || held_ > 0 || rng_.one_in(2)) {
        return context_field();
    }
    constexpr int32_t kNetwork = -0x100000, kLink = -0x200000;
    const int size = std::array{op::kB, op::kH, op::kW}[rng_.below(3)];
    const int32_t base = rng_.one_in(4) ? kNetwork : rng_.one_in(4) ? kLink : 0;
    const int index = find(Kind::Scalar, pinned_);
    if (index >= 0 && rng_.one_in(2)) {
        emit(insn(op::kAlu64 | op::kAnd, index, 0, 0, 15));
        emit(insn(op::kLd | op::kInd | size, 0, index, 0, base + rng_.between(0, 20)));
    } else {
        emit(insn(op::kLd | op::kAbs | size, 0, 0, 0, base + rng_.between(-1, 60)));
    }
    forget_caller_saved();
}

/// Bytes between packet and stack.
void FunctionBuilder::skb_bytes() {
    const uint32_t kind = rng_.below(3);
    const int low = kind == 2 && loops_ > 0 ? -1 : init_run(2);
    if (low < 0) {
        return context_field();
    }
    const int offset = find(Kind::Scalar, pinned_);
    if (offset >= 0 && rng_.one_in(2)) {
        emit(insn(op::kAlu64 | op::kAnd, offset, 0, 0, rng_.one_in(2) ? 127 : 31));
        emit(test::mov_reg(2, offset));
    } else {
        emit(test::mov(2, rng_.between(0, 70)));
    }
    emit(test::mov_reg(1, context_));
    stack_argument(3, low);
    emit(test::mov(4, rng_.between(1, 16)));
    if (kind == 0) {
        emit(test::call(kLoadBytes));
    } else if (kind == 1) {
        emit(test::mov(5, rng_.between(0, 1))); // from the link-layer or the network header
        emit(test::call(kLoadRelative));
    } else {
        emit(test::mov(5, rng_.one_in(8) ? 4 : rng_.between(0, 3)));
        emit(test::call(kStoreBytes));
        return packet_changed();
    }
    draft_.note(Feature::PacketHelper);
    forget_caller_saved();
}

/// bpf_l3_csum_replace and bpf_l4_csum_replace.
void FunctionBuilder::skb_checksum() {
    const bool l4 = rng_.one_in(2);
    const int value = find(Kind::Scalar, 0x1e);
    emit(value >= 0 ? test::mov_reg(4, value) : test::mov(4, rng_.immediate()));
    const int32_t width = rng_.one_in(6) ? 0 : 2 << rng_.below(2);
    emit(width == 0 && !rng_.one_in(4) ? test::mov(3, 0) : test::mov(3, rng_.immediate()));
    emit(test::mov(5, (l4 ? rng_.pick(std::array{0, 0x10, 0x20, 0x40, 0x30, 0x80}) : 0) | width));
    emit(test::mov(2, rng_.one_in(3) ? rng_.between(0, 80) : rng_.pick(std::array{24, 34, 40, 50, 36})));
    emit(test::mov_reg(1, context_));
    emit(test::call(l4 ? kL4Csum : kL3Csum));
    packet_changed();
}

/// Length, room and protocol of the buffer.
void FunctionBuilder::skb_room() {
    const int number = find(Kind::Scalar, pinned_ | 0x1e);
    const auto length = [&](int32_t mask, int32_t from, int32_t to) {
        if (number >= 0 && rng_.one_in(2)) {
            emit(insn(op::kAlu64 | op::kAnd, number, 0, 0, mask));
            emit(test::mov_reg(2, number));
        } else {
            emit(test::mov(2, rng_.between(from, to)));
        }
    };
    switch (rng_.below(5)) {
    case 0:
        length(255, 0, rng_.one_in(10) ? 70000 : 400);
        emit(test::mov(3, rng_.one_in(12) ? 1 : 0));
        emit(test::mov_reg(1, context_));
        emit(test::call(kChangeTail));
        break;
    case 1:
        length(63, 0, rng_.one_in(10) ? 70000 : 80);
        emit(test::mov(3, rng_.one_in(12) ? 1 : 0));
        emit(test::mov_reg(1, context_));
        emit(test::call(kChangeHead));
        break;
    case 2:
        length(255, 0, 300);
        emit(test::mov_reg(1, context_));
        emit(test::call(kPullData));
        break;
    case 3: {
        emit(test::mov(2, 4 * rng_.between(-12, 12)));
        emit(test::mov(3, rng_.one_in(10) ? 2 : rng_.between(0, 1)));
        // Without bits 3 and 4 (UDP, GRE) an encapsulation has no type; 0x100 is "no reset of the checksum".
        emit(test::mov(
            4, rng_.one_in(2) ? 0 : rng_.pick(std::array{1, 2, 4, 6, 8, 10, 18, 32, 64, 66, 128, 512})));
        emit(test::mov_reg(1, context_));
        emit(test::call(kAdjustRoom));
        break;
    }
    default:
        emit(test::mov(2, rng_.one_in(6) ? rng_.immediate() : rng_.one_in(2) ? 0x0008 : 0xdd86));
        emit(test::mov(3, rng_.one_in(12) ? 1 : 0));
        emit(test::mov_reg(1, context_));
        emit(test::call(kChangeProto));
        break;
    }
    packet_changed();
}

/// Helpers that change the buffer or what belongs to it.
void FunctionBuilder::skb_call() {
    const int number = find(Kind::Scalar, 0x1e);
    const auto argument = [&](int reg) {
        emit(number >= 0 && rng_.one_in(2) ? test::mov_reg(reg, number) : test::mov(reg, rng_.immediate()));
    };
    const uint32_t kind = rng_.below(loops_ > 0 ? 6 : 14);
    switch (kind) {
    case 0:
        emit(test::mov(2, rng_.between(0, 5)));
        emit(test::mov_reg(1, context_));
        emit(test::call(kChangeType));
        break;
    case 1:
        argument(2);
        emit(test::mov_reg(1, context_));
        emit(test::call(kCsumUpdate));
        break;
    case 2:
        emit(test::mov_reg(1, context_));
        emit(test::call(kSetHashInvalid));
        break;
    case 3:
        argument(2);
        emit(test::mov_reg(1, context_));
        emit(test::call(kSetHash));
        break;
    case 4:
        emit(test::mov(2, rng_.between(0, 4)));
        emit(test::mov_reg(1, context_));
        emit(test::call(kCsumLevel));
        break;
    case 5:
        argument(2);
        emit(test::mov(3, rng_.between(0, 2)));
        emit(test::mov_reg(1, context_));
        emit(test::call(kSetTstamp));
        break;
    case 6:
        emit(test::mov_reg(1, context_));
        emit(test::call(kEcnSetCe));
        return packet_changed();
    case 7:
        argument(3);
        emit(test::mov(2, rng_.one_in(4) ? rng_.immediate() : rng_.one_in(2) ? 0x0081 : 0xa888));
        emit(test::mov_reg(1, context_));
        emit(test::call(kVlanPush));
        return packet_changed();
    case 8:
        emit(test::mov_reg(1, context_));
        emit(test::call(kVlanPop));
        return packet_changed();
    case 9:
    case 10:
        return skb_checksum();
    default:
        return skb_room();
    }
    draft_.note(Feature::PacketHelper);
    forget_caller_saved();
}

} // namespace mimicsh::difffuzz
