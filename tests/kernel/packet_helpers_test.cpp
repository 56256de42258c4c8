// SPDX-License-Identifier: MIT
// Helpers that move packet ends or copy packet bytes, swept over their edges on both targets.
#include <algorithm>

#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

constexpr size_t kSizes[] = {14, 15, 60, 64, 1000, 3519, 3520};
/// Above a test run's linear part: the kernel puts the rest into fragments.
constexpr size_t kFragmented[] = {3521, 4000, 7616, 7617, 9000, 20000};

uint64_t as_arg(int64_t value) {
    return static_cast<uint64_t>(value);
}

TEST_F(HelperParity, AdjustHead) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const size_t size : kSizes) {
        const auto length = static_cast<int64_t>(size);
        for (const int64_t delta :
             {int64_t{0}, int64_t{1}, int64_t{4}, int64_t{-1}, int64_t{-14}, int64_t{-215}, int64_t{-216},
              int64_t{-217}, int64_t{-256}, int64_t{-257}, length - 14, length - 13, length, length + 1,
              int64_t{INT32_MIN}, int64_t{INT32_MAX}, int64_t{1} << 32}) {
            for (const int64_t second : {int64_t{0}, int64_t{-8}, int64_t{8}}) {
                SCOPED_TRACE(testing::Message() << size << " bytes, by " << delta << " then " << second);
                set_args({as_arg(delta), as_arg(second)});
                run_both("adjust_head", packet_of(size));
            }
        }
    }
}

TEST_F(HelperParity, AdjustTail) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const size_t size : kSizes) {
        const auto length = static_cast<int64_t>(size);
        for (const int64_t delta : {int64_t{0}, int64_t{1}, int64_t{-1}, 14 - length, 13 - length, -length,
                                    -length - 1, 3520 - length, 3521 - length, 3776 - length, 4096 - length,
                                    int64_t{INT32_MIN}, int64_t{INT32_MAX}}) {
            for (const int64_t second : {int64_t{0}, int64_t{-4}, int64_t{40}}) {
                for (const char* program : {"adjust_tail", "adjust_tail_frags"}) {
                    SCOPED_TRACE(testing::Message()
                                 << program << ", " << size << " bytes, by " << delta << " then " << second);
                    set_args({as_arg(delta), as_arg(second)});
                    run_both(program, packet_of(size));
                }
            }
        }
    }
}

TEST_F(HelperParity, AdjustTailOfFragments) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const size_t size : kFragmented) {
        const auto length = static_cast<int64_t>(size);
        for (const int64_t delta : {int64_t{0}, int64_t{1}, int64_t{-1}, 3521 - length, 3520 - length,
                                    3519 - length, 14 - length, 13 - length, -length, int64_t{-4096},
                                    int64_t{-4097}, int64_t{16}, int64_t{3616}, int64_t{4096}}) {
            for (const char* program : {"adjust_tail", "adjust_tail_frags"}) {
                SCOPED_TRACE(testing::Message() << program << ", " << size << " bytes, by " << delta);
                set_args({as_arg(delta), as_arg(-4)});
                run_both(program, packet_of(size));
            }
        }
    }
}

/// A context that says the input starts with `meta` bytes of metadata.
ByteVec context_with_meta(uint32_t meta, size_t packet) {
    abi::XdpMd md;
    md.data = meta;
    md.data_end = static_cast<uint32_t>(packet);
    ByteVec bytes(sizeof md);
    std::memcpy(bytes.data(), &md, sizeof md);
    return bytes;
}

TEST_F(HelperParity, AdjustMeta) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const int64_t first : {0, 4, -4, -8, -32, -36, -216, -217, -220, -252, -256, -260, -1, -2, -6, 1}) {
        for (const int64_t second : {0, 4, 8, -4, -216}) {
            for (const int64_t head : {0, -4, 14, -212}) {
                SCOPED_TRACE(testing::Message() << "by " << first << " then " << second << ", head " << head);
                set_args({as_arg(first), as_arg(second), as_arg(head)});
                run_both("adjust_meta", packet_of(64));
            }
        }
    }
}

TEST_F(HelperParity, MetadataHasALongestLength) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const int64_t meta : {-248, -252, -256, -260, -300}) {
        SCOPED_TRACE(meta);
        set_args({as_arg(400), as_arg(meta)});
        run_both("head_then_meta", packet_of(500));
    }
}

TEST_F(HelperParity, MetadataComesInThroughTheContext) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const size_t size : {size_t{64}, size_t{300}, size_t{3520}, size_t{4000}}) {
        for (const uint32_t meta : {0u, 4u, 8u, 32u, 36u, 216u, 220u, 252u, 256u, 2u, 50u, 52u}) {
            for (const int64_t head : {0, -4, 8, -216}) {
                SCOPED_TRACE(testing::Message()
                             << size << " bytes, " << meta << " of metadata, head " << head);
                set_args({as_arg(4), as_arg(-8), as_arg(head)});
                RunOptions options;
                options.context = context_with_meta(meta, size);
                run_both("adjust_meta", packet_of(size), options);
            }
        }
    }
}

TEST_F(HelperParity, LoadStoreBytes) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const size_t size :
         {size_t{14}, size_t{64}, size_t{600}, size_t{3520}, size_t{4000}, size_t{9000}}) {
        for (const uint64_t length : {1u, 4u, 14u, 64u, 511u}) {
            const auto end = static_cast<int64_t>(size) - static_cast<int64_t>(length);
            for (const int64_t offset :
                 {int64_t{0}, int64_t{1}, int64_t{10}, end, end - 1, end + 1, static_cast<int64_t>(size),
                  int64_t{3520} - 2, int64_t{0xffff}, int64_t{0x10000}, int64_t{0xffffffff}}) {
                for (const char* program : {"load_bytes", "store_bytes"}) {
                    SCOPED_TRACE(testing::Message()
                                 << program << ", " << size << " bytes, " << length << " at " << offset);
                    set_args({as_arg(offset), length});
                    run_both(program, packet_of(size));
                }
            }
        }
    }
}

TEST_F(HelperParity, Redirect) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const uint64_t flags : {0ull, 1ull, 2ull, 8ull, ~0ull}) {
        set_args({1, flags});
        const RunResult there = run_both("redirect", packet_of(64));
        EXPECT_EQ(there.ret, flags == 0 ? abi::kXdpRedirect : abi::kXdpAborted);
    }
}

TEST_F(HelperParity, RepeatedRunsKeepThePacket) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const uint32_t repeat : {1u, 2u, 5u, 60u}) {
        for (const int64_t delta : {0, -4, 3}) {
            SCOPED_TRACE(testing::Message() << repeat << " runs, head by " << delta);
            set_args({as_arg(delta)});
            RunOptions options;
            options.repeat = repeat;
            run_both("count_up", packet_of(64), options);
        }
    }
}

TEST_F(HelperParity, ContextFieldsAndVerdicts) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const uint64_t verdict : {0ull, 1ull, 4ull, 5ull, 0xffffffffull, 0x1'0000'0002ull}) {
        for (const size_t size : {size_t{14}, size_t{3520}, size_t{3521}, size_t{5000}}) {
            SCOPED_TRACE(testing::Message() << "verdict " << verdict << ", " << size << " bytes");
            set_args({verdict});
            run_both("fields", packet_of(size));
        }
    }
}

TEST_F(HelperParity, ContextSaysHowMuchIsLinear) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const uint32_t meta : {0u, 8u, 216u}) {
        for (const uint32_t linear :
             {0u, 1u, 8u, 13u, 14u, 15u, 22u, 216u, 229u, 230u, 300u, 599u, 600u, 601u}) {
            for (const char* program : {"fields", "adjust_tail_frags", "load_bytes"}) {
                SCOPED_TRACE(testing::Message() << program << " meta " << meta << " linear " << linear);
                set_args({3, 40});
                RunOptions options;
                abi::XdpMd md{meta, linear, 0, 1, 0, 0};
                options.context.resize(sizeof md);
                std::memcpy(options.context.data(), &md, sizeof md);
                run_both(program, packet_of(600), options);
            }
        }
    }
}

TEST_F(HelperParity, InputsThatATestRunRefuses) {
    open_case("packet");
    ASSERT_TRUE(ready());
    for (const size_t size :
         {size_t{0}, size_t{1}, size_t{13}, size_t{14}, size_t{73152}, size_t{73153}, size_t{80000}}) {
        SCOPED_TRACE(testing::Message() << size << " bytes");
        set_args({2});
        run_both("fields", packet_of(size));
    }
    struct Case {
        const char* what;
        abi::XdpMd md;
    };
    for (const Case& one :
         {Case{"data_meta", {0, 64, 4, 1, 0, 0}}, Case{"data_end short", {0, 60, 0, 1, 0, 0}},
          Case{"data_end long", {0, 68, 0, 1, 0, 0}}, Case{"no ifindex, a queue", {0, 64, 0, 0, 1, 0}},
          Case{"egress", {0, 64, 0, 1, 0, 1}}, Case{"queue 0", {0, 64, 0, 1, 0, 0}},
          Case{"data above data_end", {68, 64, 0, 1, 0, 0}}, Case{"all metadata", {64, 64, 0, 1, 0, 0}}}) {
        SCOPED_TRACE(one.what);
        set_args({2});
        RunOptions options;
        options.context.resize(sizeof one.md);
        std::memcpy(options.context.data(), &one.md, sizeof one.md);
        run_both("fields", packet_of(64), options);
    }
}

} // namespace

} // namespace mimicsh::test
