// SPDX-License-Identifier: MIT
// Choices from the fuzzer's bytes. Every input decodes to something, so that mutations stay meaningful.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace mimicsh::fuzz {

/// Reads the input from its start; behind its end everything is 0.
class Source {
  public:
    explicit Source(ByteView bytes) : bytes_(bytes) {}

    [[nodiscard]] bool empty() const { return bytes_.empty(); }
    [[nodiscard]] uint8_t byte() { return number<uint8_t>(); }
    [[nodiscard]] bool flag() { return (byte() & 1) != 0; }
    /// True in about `percent` of random inputs; false at the input's end.
    [[nodiscard]] bool chance(uint32_t percent) { return uint32_t{255} - byte() < percent * 256 / 100; }
    /// Below `count`, which is not 0.
    [[nodiscard]] uint32_t below(size_t count) {
        const uint32_t wide = count > 256 ? number<uint16_t>() : byte();
        return wide % static_cast<uint32_t>(count);
    }
    template <typename T>
    [[nodiscard]] T number() {
        std::array<uint8_t, sizeof(T)> bytes{};
        const ByteView given = take(bytes.size());
        std::copy(given.begin(), given.end(), bytes.begin());
        return mimicsh::load<T>(bytes.data());
    }
    template <typename T, size_t N>
    [[nodiscard]] T pick(const std::array<T, N>& from) {
        return from[below(N)];
    }
    template <typename T>
    [[nodiscard]] const T& pick(std::span<const T> from) {
        return from[below(from.size())];
    }
    /// The next bytes, fewer at the input's end.
    [[nodiscard]] ByteView take(size_t size) {
        const ByteView taken = bytes_.first(std::min(size, bytes_.size()));
        bytes_ = bytes_.subspan(taken.size());
        return taken;
    }

    /// A number of the kind that breaks things.
    [[nodiscard]] uint64_t hostile() {
        static constexpr std::array<uint64_t, 40> kEdges{
            0,          1,          2,           3,          4,          7,          8,          12,
            14,         16,         20,          31,         32,         63,         64,         65,
            127,        128,        255,         256,        512,        513,        4095,       4096,
            0x7fff,     0x8000,     0xffff,      0x10000,    0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000,
            0xfffffff8, 0xffffffff, 0x100000000, 1ull << 48, 1ull << 62, 1ull << 63, ~1ull,      ~0ull};
        const uint8_t way = byte();
        if (way < 160) {
            return pick(kEdges);
        }
        if (way < 200) {
            return ~pick(kEdges) + 1;
        }
        return way < 230 ? number<uint16_t>() : number<uint64_t>();
    }

  private:
    ByteView bytes_;
};

} // namespace mimicsh::fuzz
