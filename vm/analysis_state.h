// SPDX-License-Identifier: MIT
// What the analysis knows at one place of a program: kinds of values in registers and spill slots, and
// whether a lock is held.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "object/abi.h"

namespace mimicsh::vm::flow {

/// What a register or a stack slot holds.
enum class Kind : uint8_t {
    Uninit,
    Unknown,   ///< anything
    Scalar,    ///< value = number of a known constant, kVaries when it is not known
    MaybeEnd,  ///< data_end on some way here, something else on another; harmless until it is used
    MaybeNull, ///< a pointer that nothing was compared with NULL yet; value = 1 + slot that gave it, kVaries
    Context,
    Stack, ///< own frame; value = offset in it, kNoOffset when it varies
    PacketData,
    PacketMeta,
    PacketEnd,
    MapObject, ///< value = map index
    MapValue,  ///< value = number of a place in read-only data, kVaries elsewhere
    Arena,     ///< pointer to the program's arena, of 32 bits
    Callback,  ///< value = first slot of the function, 0 when it varies
};

constexpr int32_t kVaries = 0;
constexpr int32_t kNoOffset = INT32_MIN;

/// Whether the program holds a lock.
enum class Lock : uint8_t { Free, Maybe, Held };

/// `Value{}` is uninitialised in the program's sense; a Value that is only declared has no content.
struct Value {
    Kind kind;
    int32_t value;
    friend bool operator==(const Value&, const Value&) = default;
};

constexpr bool is_pointer(Kind kind) {
    return kind >= Kind::Context && kind < Kind::Arena;
}

constexpr bool is_packet(Kind kind) {
    return kind == Kind::PacketData || kind == Kind::PacketMeta || kind == Kind::PacketEnd;
}

constexpr bool may_be_end(Kind kind) {
    return kind == Kind::PacketEnd || kind == Kind::MaybeEnd;
}

/// Kinds of all registers and of the spill slots of the frame. Most programs use few of the 64 slots, so
/// those below the lowest in use are not looked at; they are unknown.
class State {
  public:
    static constexpr uint32_t kSlots = abi::kStackSize / 8;

    State() = default;
    State(const State& other) { *this = other; }
    State& operator=(const State& other) {
        regs = other.regs;
        lock = other.lock;
        lowest_ = other.lowest_;
        std::copy(other.spills_.begin() + lowest_, other.spills_.end(), spills_.begin() + lowest_);
        return *this;
    }

    [[nodiscard]] Value spill(uint32_t slot) const { return slot < lowest_ ? kUnknown : spills_[slot]; }
    void set_spill(uint32_t slot, Value value) {
        while (lowest_ > slot) {
            spills_[--lowest_] = kUnknown;
        }
        spills_[slot] = value;
    }
    /// Calls `visit` with every register and spill slot that something is known of.
    template <typename Visit>
    void for_each(const Visit& visit) {
        std::ranges::for_each(regs, visit);
        std::ranges::for_each(spills(), visit);
    }
    [[nodiscard]] std::span<Value> spills() { return std::span(spills_).subspan(lowest_); }
    void forget_spills() { lowest_ = kSlots; }

    /// Joins another state in; true when that changed something. What is alike stays as it is.
    template <typename Join>
    bool merge(const State& other, const Join& join) {
        bool changed = false;
        const auto merge_one = [&](Value& mine, Value theirs) {
            if (mine == theirs) {
                return;
            }
            const Value both = join(mine, theirs);
            changed |= both != mine;
            mine = both;
        };
        for (size_t i = 0; i < regs.size(); ++i) {
            merge_one(regs[i], other.regs[i]);
        }
        for (uint32_t slot = std::min(lowest_, other.lowest_); slot < kSlots; ++slot) {
            const Value mine = spill(slot);
            const Value theirs = other.spill(slot);
            if (const Value both = mine == theirs ? mine : join(mine, theirs); both != mine) {
                set_spill(slot, both);
                changed = true;
            }
        }
        if (lock != other.lock && lock != Lock::Maybe) {
            lock = Lock::Maybe;
            changed = true;
        }
        return changed;
    }

    std::array<Value, 11> regs{};
    Lock lock = Lock::Free;

  private:
    static constexpr Value kUnknown{Kind::Unknown, 0};
    std::array<Value, kSlots> spills_; ///< from lowest_ on
    uint32_t lowest_ = kSlots;
};

} // namespace mimicsh::vm::flow
