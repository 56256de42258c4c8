// SPDX-License-Identifier: MIT
// Helpers on text, on both targets.
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

/// Puts a text in front of 0x5a bytes into section .data.text of both sides.
void set_text(Instance& vm, Instance& kernel, std::string_view text) {
    ByteVec bytes(128, 0x5a);
    std::copy(text.begin(), text.end(), bytes.begin());
    set_value(vm, ".data.text", bytes);
    set_value(kernel, ".data.text", bytes);
}

TEST_F(HelperParity, Strtol) {
    using namespace std::string_view_literals;
    open_case("strings");
    ASSERT_TRUE(ready());
    const std::string digits(100, '1');
    for (const std::string_view text : {"0"sv,
                                        "1"sv,
                                        "-1"sv,
                                        "+1"sv,
                                        "--1"sv,
                                        "- 1"sv,
                                        "12345"sv,
                                        "0x1f"sv,
                                        "0X1F"sv,
                                        "0x"sv,
                                        "0xg"sv,
                                        "x1"sv,
                                        "017"sv,
                                        "08"sv,
                                        "0b1"sv,
                                        " \t\n\v\f\r42"sv,
                                        "\xa0"
                                        "42"sv,
                                        "42 "sv,
                                        "42z"sv,
                                        "abc"sv,
                                        "FFff"sv,
                                        "9223372036854775807"sv,
                                        "9223372036854775808"sv,
                                        "-9223372036854775808"sv,
                                        "-9223372036854775809"sv,
                                        "18446744073709551615"sv,
                                        "18446744073709551616"sv,
                                        "0xffffffffffffffff"sv,
                                        "0x10000000000000000"sv,
                                        "-0"sv,
                                        "-"sv,
                                        " "sv,
                                        "   -7"sv,
                                        "1777777777777777777777"sv,
                                        "2000000000000000000000"sv,
                                        "1\0002"sv,
                                        std::string_view(digits),
                                        "-0x8000000000000000"sv,
                                        "0x-1"sv,
                                        "\x80\xff"sv}) {
        for (const uint64_t flags : {0ull, 8ull, 10ull, 16ull, 2ull, 36ull, 31ull, 42ull, 1ull << 32}) {
            for (const size_t cut : {size_t{0}, size_t{1}}) {
                SCOPED_TRACE(testing::Message() << '"' << text << "\" less " << cut << ", flags " << flags);
                set_text(*vm_, *kernel_, text);
                set_args({text.size() - cut, flags});
                run_both("number", packet_of(64));
            }
        }
    }
    // 63 digits are looked at, whatever is behind them.
    set_text(*vm_, *kernel_, std::string(70, '0') + "7");
    for (const uint64_t length : {62u, 63u, 64u, 71u, 72u}) {
        set_args({length, 10});
        run_both("number", packet_of(64));
    }
}

TEST_F(HelperParity, Strncmp) {
    using namespace std::string_view_literals;
    open_case("strings");
    ASSERT_TRUE(ready());
    for (const std::string_view text : {"\0"sv, "filter\0"sv, "filters\0"sv, "filtes"sv, "fil"sv, "Filter"sv,
                                        "\xff\0"sv, "\x80"sv, "filter\0x"sv}) {
        for (uint64_t length = 1; length < 12; ++length) {
            SCOPED_TRACE(testing::Message() << '"' << text << "\" up to " << length);
            set_text(*vm_, *kernel_, text);
            set_args({length});
            run_both("compare", packet_of(64));
        }
    }
}

TEST_F(HelperParity, Snprintf) {
    open_case("strings");
    ASSERT_TRUE(ready());
    for (uint64_t format = 0; format <= 18; ++format) {
        for (const uint64_t size : {0u, 1u, 2u, 7u, 40u, 127u}) {
            for (const uint64_t value : {0ull, 65ull, ~0ull, 0x8000000000000000ull, 0x123456789abcdefull}) {
                SCOPED_TRACE(testing::Message() << "format " << format << ", size " << size << ", " << value);
                const ByteVec fresh(128, 0x5a);
                set_value(*vm_, ".data.out", fresh);
                set_value(*kernel_, ".data.out", fresh);
                set_args({format, size, value, value + 1, value ^ 0xffff});
                run_both("print", packet_of(64));
            }
        }
    }
}

} // namespace

} // namespace mimicsh::test
