// SPDX-License-Identifier: MIT
// strtol, strtoul and strncmp (kernel/bpf/helpers.c, lib/kstrtox.c).
#include <algorithm>
#include <cerrno>

#include "vm/helpers/helpers.h"

namespace mimicsh::vm {

namespace {

constexpr size_t kMaxDigits = 63; // char str[64] of __bpf_strtoull

constexpr bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0xa0; // the kernel's table counts the hard space
}

/// Value of a digit, or a number above every base.
constexpr uint32_t digit_value(uint8_t c) {
    const uint8_t lower = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10u : 99u;
}

struct Parsed {
    int64_t consumed = 0; ///< or a negative errno
    uint64_t value = 0;
    bool negative = false;
};

/// Digits of `text` in `base` (0 = by prefix); the length includes the prefix.
Parsed parse_digits(std::string_view text, uint32_t base) {
    const auto at = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
    const bool hex_prefix = at(0) == '0' && (at(1) | 0x20) == 'x';
    if (base == 0) {
        base = at(0) != '0' ? 10 : hex_prefix && digit_value(at(2)) < 16 ? 16 : 8;
    }
    const size_t prefix = base == 16 && hex_prefix ? 2 : 0;
    Parsed result;
    size_t digits = 0;
    bool overflow = false;
    for (; digit_value(at(prefix + digits)) < base; ++digits) {
        const uint64_t digit = digit_value(at(prefix + digits));
        overflow = overflow || result.value > (UINT64_MAX - digit) / base;
        result.value = result.value * base + digit;
    }
    result.consumed = overflow ? -ERANGE : digits == 0 ? -EINVAL : static_cast<int64_t>(prefix + digits);
    return result;
}

Parsed parse(std::string_view text, uint64_t flags) {
    constexpr uint64_t kBaseMask = 31;
    const auto base = static_cast<uint32_t>(flags & kBaseMask);
    Parsed result;
    result.consumed = -EINVAL;
    if (text.empty() || (flags & ~kBaseMask) != 0 || (base != 0 && base != 8 && base != 10 && base != 16)) {
        return result;
    }
    size_t at = 0;
    while (at < text.size() && is_space(static_cast<uint8_t>(text[at]))) {
        ++at;
    }
    const bool negative = at < text.size() && text[at] == '-';
    at += negative ? 1 : 0;
    if (at == text.size()) {
        return result;
    }
    result = parse_digits(text.substr(at, kMaxDigits), base);
    result.negative = negative;
    result.consumed += result.consumed > 0 ? static_cast<int64_t>(at) : 0;
    return result;
}

/// Parses the text argument; the result is `consumed`, with *out set or left at 0.
uint64_t convert(Machine& machine, const uint64_t* args, bool is_signed) {
    const uint8_t* bytes = machine.span(args[0], args[1], Access::Read, "text");
    if (bytes == nullptr) {
        return 0;
    }
    Parsed parsed = parse(as_text({bytes, args[1]}), args[2]);
    uint8_t* out = machine.span(args[3], 8, Access::Write, "result");
    if (out == nullptr) {
        return 0;
    }
    if (parsed.consumed >= 0 && is_signed) {
        parsed.value = parsed.negative ? -parsed.value : parsed.value;
        const auto number = static_cast<int64_t>(parsed.value);
        if (parsed.negative ? number > 0 : number < 0) {
            parsed.consumed = -ERANGE;
        }
    } else if (parsed.consumed >= 0 && parsed.negative) {
        parsed.consumed = -EINVAL;
    }
    mimicsh::store<uint64_t>(out, parsed.consumed < 0 ? 0 : parsed.value);
    return errno_result(parsed.consumed);
}

} // namespace

uint64_t helper_strtol(Machine& machine, const uint64_t* args) {
    return convert(machine, args, true);
}

uint64_t helper_strtoul(Machine& machine, const uint64_t* args) {
    return convert(machine, args, false);
}

uint64_t helper_strncmp(Machine& machine, const uint64_t* args) {
    const auto size = static_cast<uint32_t>(args[1]);
    const uint8_t* first = machine.span(args[0], size, Access::Read, "first string");
    for (uint32_t i = 0; first != nullptr && i < size; ++i) {
        const uint8_t* second = machine.span(args[2] + i, 1, Access::Read, "second string");
        if (second == nullptr) {
            return 0;
        }
        if (first[i] != *second) {
            return first[i] < *second ? errno_result(-1) : 1;
        }
        if (*second == 0) {
            break;
        }
    }
    return 0;
}

} // namespace mimicsh::vm
