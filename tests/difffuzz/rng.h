// SPDX-License-Identifier: MIT
// Random numbers of one case: the same for a seed on every machine and compiler.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace mimicsh::difffuzz {

/// splitmix64: good enough for choices, one word of state, no set-up.
class Rng {
  public:
    explicit Rng(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        state_ += kStep;
        return mixed(state_);
    }
    /// A number in [0, limit); limit must not be 0.
    uint32_t below(uint32_t limit) { return scaled(next(), limit); }
    /// A number in [low, high].
    int32_t between(int32_t low, int32_t high) {
        return low + static_cast<int32_t>(below(static_cast<uint32_t>(high - low) + 1));
    }
    bool one_in(uint32_t n) { return below(n) == 0; }
    template <typename T>
    const T& pick(std::span<const T> from) {
        return from[below(static_cast<uint32_t>(from.size()))];
    }
    template <typename T, size_t N>
    const T& pick(const std::array<T, N>& from) {
        return from[below(static_cast<uint32_t>(N))];
    }

    /// A 64-bit operand: half of them at the edges of the widths that instructions work in. The same as
    /// `one_in(2) ? pick(kEdges) : next() >> below(64)`, without a branch that nobody can predict.
    uint64_t operand() {
        static constexpr std::array<uint64_t, 20> kEdges{
            0,          1,          2,          7,           0x7f,
            0x80,       0xff,       0x7fff,     0x8000,      0xffff,
            0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, ~0ull,
            ~0ull - 1,  1ull << 63, ~0ull >> 1, 31,          0xffffffff80000000};
        const uint64_t second = mixed(state_ + 2 * kStep);
        const uint64_t other = second >> scaled(mixed(state_ + 3 * kStep), 64);
        const uint64_t edge = kEdges[scaled(second, kEdges.size())];
        const uint64_t is_edge = scaled(next(), 2) - uint64_t{1}; // a mask
        state_ += kStep + (kStep & ~is_edge);
        return (edge & is_edge) | (other & ~is_edge);
    }
    int32_t immediate() { return static_cast<int32_t>(static_cast<uint32_t>(operand())); }

  private:
    static constexpr uint64_t kStep = 0x9e3779b97f4a7c15;
    static constexpr uint64_t mixed(uint64_t at) {
        at = (at ^ (at >> 30)) * 0xbf58476d1ce4e5b9;
        at = (at ^ (at >> 27)) * 0x94d049bb133111eb;
        return at ^ (at >> 31);
    }
    static constexpr uint32_t scaled(uint64_t number, uint32_t limit) {
        return static_cast<uint32_t>((number >> 32) * limit >> 32);
    }

    uint64_t state_;
};

} // namespace mimicsh::difffuzz
