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
        state_ += 0x9e3779b97f4a7c15;
        uint64_t mixed = state_;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        return mixed ^ (mixed >> 31);
    }
    /// A number in [0, limit); limit must not be 0.
    uint32_t below(uint32_t limit) { return static_cast<uint32_t>((next() >> 32) * limit >> 32); }
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

    /// A 64-bit operand: half of them at the edges of the widths that instructions work in.
    uint64_t operand() {
        static constexpr std::array<uint64_t, 20> kEdges{
            0,          1,          2,          7,           0x7f,
            0x80,       0xff,       0x7fff,     0x8000,      0xffff,
            0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, ~0ull,
            ~0ull - 1,  1ull << 63, ~0ull >> 1, 31,          0xffffffff80000000};
        return one_in(2) ? pick(kEdges) : next() >> below(64);
    }
    int32_t immediate() { return static_cast<int32_t>(static_cast<uint32_t>(operand())); }

  private:
    uint64_t state_;
};

} // namespace mimicsh::difffuzz
