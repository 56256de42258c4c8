// SPDX-License-Identifier: MIT
// What every register and stack slot of a function under construction holds, at the place that is generated.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace mimicsh::difffuzz {

enum class Kind : uint8_t {
    None,      ///< not to be read
    Scalar,    ///< a number
    Context,   ///< the context, unmoved
    Packet,    ///< [low, high) from here is proven
    PacketEnd, ///< data_end
    Value,     ///< map value, [low, high) from here is inside
    Words,     ///< somebody else's stack: whole 8-byte words, initialised, in [low, high)
    Ignored,   ///< argument that is not looked at
};
inline constexpr size_t kKinds = 8;

struct Place {
    constexpr Place(Kind a_kind = Kind::None, int32_t a_low = 0, int32_t a_high = 0, bool is_aligned = true)
        : kind(a_kind), aligned(is_aligned), low(a_low), high(a_high) {}

    Kind kind;
    bool aligned; ///< address a multiple of 8, as atomics and stacks ask for
    int32_t low;
    int32_t high;
};
static_assert(sizeof(Place) == 12); // states are copied often

inline constexpr int kMaxSlots = 14;

/// Sets of registers and of slots are masks with a bit for each, so that questions take no loops whose end
/// depends on random numbers.
class State {
  public:
    // -- Registers --
    [[nodiscard]] const Place& at(int reg) const { return regs_[static_cast<size_t>(reg)]; }
    void set(int reg, const Place& place) {
        Place& old = regs_[static_cast<size_t>(reg)];
        of_kind(old.kind) &= static_cast<uint16_t>(~(1u << reg));
        of_kind(place.kind) |= static_cast<uint16_t>(1u << reg);
        old = place;
    }
    /// Nothing is known any more of registers in the mask.
    void forget(uint32_t regs) {
        for (; regs != 0; regs &= regs - 1) {
            set(std::countr_zero(regs), {});
        }
    }
    [[nodiscard]] uint32_t having(Kind kind) const { return kinds_[static_cast<size_t>(kind)]; }
    /// Registers with anything but numbers.
    [[nodiscard]] uint32_t pointers() const { return kRegs & ~(having(Kind::None) | having(Kind::Scalar)); }
    /// Registers through which memory can be reached.
    [[nodiscard]] uint32_t bases() const;

    // -- Slots: eight bytes of the own stack --
    /// Slots that may be read as numbers and have all bytes in `mask` written.
    [[nodiscard]] uint32_t numbers(uint8_t mask) const {
        uint32_t slots = ~(spilled_ | busy_);
        for (size_t byte = 0; byte < written_.size(); ++byte) {
            slots &= (mask >> byte & 1) != 0 ? written_[byte] : ~0u;
        }
        return slots;
    }
    [[nodiscard]] uint32_t spilled() const { return spilled_; }
    [[nodiscard]] uint32_t busy() const { return busy_; } ///< hold an iterator or a dynptr
    [[nodiscard]] const Place& spilled(int slot) const { return spills_[static_cast<size_t>(slot)]; }
    void spill(int slot, const Place& place) {
        for (uint16_t& slots : written_) {
            slots &= static_cast<uint16_t>(~(1u << slot));
        }
        spilled_ |= 1u << slot;
        spills_[static_cast<size_t>(slot)] = place;
    }
    /// Bytes in `mask` become numbers.
    void write(int slot, uint8_t mask) {
        for (size_t byte = 0; byte < written_.size(); ++byte) {
            written_[byte] |= static_cast<uint16_t>((mask >> byte & 1) << slot);
        }
    }
    void fill(int slot) {
        spilled_ &= ~(1u << slot);
        for (uint16_t& slots : written_) {
            slots |= static_cast<uint16_t>(1u << slot);
        }
    }
    void set_busy(int slot, bool busy) { busy_ = (busy_ & ~(1u << slot)) | uint32_t{busy} << slot; }

    // -- All --
    void forget_packet();
    /// From here on holds what does so here and there.
    void meet(const State& other);

  private:
    static constexpr uint32_t kRegs = 0x3ff;
    [[nodiscard]] uint16_t& of_kind(Kind kind) { return kinds_[static_cast<size_t>(kind)]; }

    std::array<Place, 10> regs_;
    std::array<uint16_t, kKinds> kinds_{kRegs}; ///< registers by what they hold
    std::array<uint16_t, 8> written_{};         ///< slots by byte
    uint32_t spilled_ = 0;                      ///< slots with a pointer
    uint32_t busy_ = 0;
    std::array<Place, kMaxSlots> spills_; ///< of `spilled_`
};

/// Bit `n` of those that a mask has.
[[nodiscard]] inline int bit_of(uint32_t mask, uint32_t n) {
    for (; n > 0; --n) {
        mask &= mask - 1;
    }
    return std::countr_zero(mask);
}
/// The first of a mask of `count` bits from bit `first` on, all the way round; -1 = none.
[[nodiscard]] inline int first_from(uint32_t mask, int first, int count) {
    if (mask == 0) {
        return -1;
    }
    const int found = first + std::countr_zero((mask | mask << count) >> first);
    return found < count ? found : found - count;
}

} // namespace mimicsh::difffuzz
