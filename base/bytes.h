// SPDX-License-Identifier: MIT
// Borrowed bytes, byte-order loads and stores, checked narrowing, and a bounds-checked cursor.
#pragma once

#include <bit>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mimicsh {

static_assert(std::endian::native == std::endian::little, "mimicsh is written for little-endian hosts");

using ByteView = std::span<const uint8_t>; ///< borrowed, read only
using ByteSpan = std::span<uint8_t>;       ///< borrowed, writable
using ByteVec = std::vector<uint8_t>;      ///< owned

/// Converts between integer types; the value must fit (asserted).
template <std::integral To, std::integral From>
[[nodiscard]] constexpr To narrow(From value) {
    assert(std::in_range<To>(value));
    return static_cast<To>(value);
}

/// Loads an integer of native byte order from unaligned memory that holds at least sizeof(T) bytes.
template <std::integral T>
[[nodiscard]] inline T load(const void* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <std::integral T>
inline void store(void* to, T value) {
    std::memcpy(to, &value, sizeof value);
}

[[nodiscard]] constexpr uint16_t byte_swap(uint16_t v) {
    return __builtin_bswap16(v);
}
[[nodiscard]] constexpr uint32_t byte_swap(uint32_t v) {
    return __builtin_bswap32(v);
}
[[nodiscard]] constexpr uint64_t byte_swap(uint64_t v) {
    return __builtin_bswap64(v);
}

/// Loads a big-endian (network order) unsigned integer.
template <std::unsigned_integral T>
[[nodiscard]] inline T load_be(const void* from) {
    if constexpr (sizeof(T) == 1) {
        return load<T>(from);
    } else {
        return byte_swap(load<T>(from));
    }
}

template <std::unsigned_integral T>
inline void store_be(void* to, T value) {
    if constexpr (sizeof(T) == 1) {
        store(to, value);
    } else {
        store(to, byte_swap(value));
    }
}

[[nodiscard]] inline ByteView as_bytes(std::string_view text) {
    return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

[[nodiscard]] inline std::string_view as_text(ByteView bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// bytes[offset, offset+size) or nothing when that leaves the view; sums never overflow.
[[nodiscard]] inline std::optional<ByteView> slice(ByteView bytes, uint64_t offset, uint64_t size) {
    if (offset > bytes.size() || size > bytes.size() - offset) {
        return std::nullopt;
    }
    return bytes.subspan(static_cast<size_t>(offset), static_cast<size_t>(size));
}

/// Rounds up to a multiple of a power of two; the sum must not overflow T.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T round_up(T value, T multiple) {
    return static_cast<T>((value + (multiple - 1)) & ~(multiple - 1));
}

/// Lower-case hex digits, two a byte, no separators.
[[nodiscard]] std::string to_hex(ByteView bytes);
/// Reads hex digits; blanks between bytes are skipped. Nothing on any other character or an odd digit.
[[nodiscard]] std::optional<ByteVec> from_hex(std::string_view text);

} // namespace mimicsh
