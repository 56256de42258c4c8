// SPDX-License-Identifier: MIT
// Where two ways meet, and where the packet may have moved.
#include "tests/difffuzz/state.h"

namespace mimicsh::difffuzz {

namespace {

/// What two places of one kind have in common.
Place common(const Place& a, const Place& b) {
    return {a.kind, std::max(a.low, b.low), std::min(a.high, b.high), a.aligned && b.aligned};
}

} // namespace

uint32_t State::bases() const {
    uint32_t found = 0;
    uint32_t regs = having(Kind::Packet) | having(Kind::Value) | having(Kind::Words);
    for (; regs != 0; regs &= regs - 1) {
        const int reg = std::countr_zero(regs);
        found |= uint32_t{at(reg).low < at(reg).high} << reg;
    }
    return found;
}

void State::forget_packet() {
    forget(having(Kind::Packet) | having(Kind::PacketEnd));
    for (uint32_t slots = spilled_; slots != 0; slots &= slots - 1) {
        const Kind kind = spilled(std::countr_zero(slots)).kind;
        if (kind == Kind::Packet || kind == Kind::PacketEnd) {
            spilled_ &= ~(slots & -slots);
        }
    }
}

void State::meet(const State& other) {
    uint32_t alike = 0;
    for (size_t kind = 0; kind < kKinds; ++kind) {
        alike |= kinds_[kind] & other.kinds_[kind];
    }
    forget(kRegs & ~alike);
    for (uint32_t regs = pointers(); regs != 0; regs &= regs - 1) {
        const auto reg = static_cast<size_t>(std::countr_zero(regs));
        regs_[reg] = common(regs_[reg], other.regs_[reg]);
    }
    for (size_t byte = 0; byte < written_.size(); ++byte) {
        written_[byte] &= other.written_[byte];
    }
    spilled_ &= other.spilled_;
    for (uint32_t slots = spilled_; slots != 0; slots &= slots - 1) {
        const auto slot = static_cast<size_t>(std::countr_zero(slots));
        if (spills_[slot].kind == other.spills_[slot].kind) {
            spills_[slot] = common(spills_[slot], other.spills_[slot]);
        } else {
            spilled_ &= ~(slots & -slots);
        }
    }
}

} // namespace mimicsh::difffuzz
