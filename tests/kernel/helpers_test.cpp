// SPDX-License-Identifier: MIT
// Helpers that do not touch the packet, on both targets.
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

TEST_F(HelperParity, CsumDiff) {
    open_case("helpers");
    ASSERT_TRUE(ready());
    for (const uint8_t fill : {uint8_t{0}, uint8_t{0xff}, uint8_t{0x5b}}) {
        ByteVec bytes(1024, fill);
        for (size_t i = 0; fill == 0x5b && i < bytes.size(); ++i) {
            bytes[i] = static_cast<uint8_t>(i * 37 + (i >> 3));
        }
        set_value(*vm_, ".data.bytes", bytes);
        set_value(*kernel_, ".data.bytes", bytes);
        for (const uint64_t from : {0u, 4u, 8u, 20u, 64u, 508u, 2u, 7u}) {
            for (const uint64_t to : {0u, 4u, 12u, 40u, 508u, 3u}) {
                for (const uint64_t seed : {0u, 1u, 0xffffu, 0x10000u, 0xffffffffu, 0x80000000u}) {
                    SCOPED_TRACE(testing::Message() << from << " bytes from, " << to << " to, seed " << seed);
                    set_args({from, to, seed});
                    run_both("csum", packet_of(64));
                }
            }
        }
    }
}

TEST_F(HelperParity, Loop) {
    open_case("helpers");
    ASSERT_TRUE(ready());
    for (const uint64_t count : {0ull, 1ull, 2ull, 10ull, 5000ull, (1ull << 23) + 1, 0xffffffffull}) {
        for (const uint64_t stop_at : {0ull, 1ull, 9ull, 1ull << 40}) {
            for (const uint64_t flags : {0ull, 1ull}) {
                SCOPED_TRACE(testing::Message()
                             << count << " turns, stop at " << stop_at << ", flags " << flags);
                set_args({count, stop_at, count & 63, flags});
                run_both("loop", packet_of(64));
            }
        }
    }
    // The limit itself.
    set_args({1ull << 23, 1ull << 40, 0, 0});
    run_both("loop", packet_of(64));
    EXPECT_EQ(result(0), 1ull << 23);
}

TEST_F(HelperParity, CpuId) {
    vm::Options options;
    open(compile_case("parity/helpers.bpf.c"), options);
    ASSERT_TRUE(ready());
    for (const uint32_t cpu : {0u, 1u}) {
        set_args({});
        RunOptions run;
        run.cpu = cpu;
        run_both("cpu", packet_of(64), run);
        EXPECT_EQ(result(0), cpu);
    }
}

TEST_F(HelperParity, TimeAndRandomnessShowTheSameShape) {
    open_case("helpers");
    ASSERT_TRUE(ready());
    set_args({});
    run_both("moving", packet_of(64));
    for (size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(result(i), 1u) << i;
    }
    EXPECT_EQ(result(5), 0u);
}

TEST_F(HelperParity, TracePrintkLengthsAndRefusals) {
    open_case("helpers");
    ASSERT_TRUE(ready());
    for (uint64_t format = 0; format <= 100; format = format == 36 ? 100 : format + 1) {
        for (const uint64_t value : {0ull, 1ull, 0xffffffffull, 0x8000000000000000ull}) {
            SCOPED_TRACE(testing::Message() << "format " << format << ", value " << value);
            set_args({format, value, value + 7, ~value});
            run_both("print", packet_of(64));
            EXPECT_NE(result(0), 4711u);
        }
    }
    set_args({0, 0x0102030405060708, 0xfffefdfcfbfaf9f8, 3, 4, 5});
    run_both("print_addresses", packet_of(64));
    run_both("print_many", packet_of(64));
}

TEST_F(HelperParity, TailCalls) {
    open_case("tail");
    ASSERT_TRUE(ready());
    set_args({});
    run_both("again", packet_of(64));
    EXPECT_EQ(result(0), abi::kMaxTailCalls + 1);
    for (const uint64_t slot : {0ull, 1ull, 2ull, 3ull, 5ull, 6ull, 0xffffffffull, 1ull << 32}) {
        for (const uint64_t inner : {0ull, 1ull, 2ull, 3ull, 6ull}) {
            for (const char* program : {"choose", "from_subprogram", "after_move"}) {
                SCOPED_TRACE(testing::Message() << program << " slot " << slot << ", inner " << inner);
                set_args({slot, inner});
                run_both(program, packet_of(64));
            }
        }
    }
}

TEST_F(HelperParity, Ringbuf) {
    struct Step {
        const char* program;
        std::vector<uint64_t> args;
    };
    const std::vector<std::vector<Step>> runs{
        {{"output", {0, 0}}, {"output", {1, 0}}, {"output", {8, 1}}, {"output", {9, 2}}, {"output", {16, 3}}},
        {{"output", {16, 4}}, {"output", {16, ~0ull}}, {"output", {4095, 0}}, {"output", {4088, 0}}},
        {{"output", {4080, 0}}, {"output", {4079, 0}}},
        {{"output", {2000, 0}}, {"output", {2000, 0}}, {"output", {2000, 0}}, {"output", {60, 0}}},
        {{"reserve", {0, 0, 0}}, {"reserve", {1, 0, 1}}, {"reserve", {2, 1, 0}}, {"reserve", {3, 0, 2}}},
        {{"reserve", {3, 1, 3}}, {"reserve", {3, 0, 0}}, {"reserve", {2, 0, 0}}},
        {{"two", {0}}, {"two", {1}}, {"output", {100, 0}}},
    };
    open_case("ringbuf");
    ASSERT_TRUE(ready());
    // With and without the host taking records in between: run_both compares and so consumes.
    for (const auto& run : runs) {
        for (const Step& step : run) {
            SCOPED_TRACE(testing::Message() << step.program << " " << step.args.front());
            set_args(step.args);
            run_both(step.program, packet_of(64));
        }
    }
    for (uint64_t size = 0; size < 10; ++size) {
        for (const uint64_t flags : {0ull, 1ull}) {
            SCOPED_TRACE(testing::Message() << "reservation " << size << ", flags " << flags);
            set_args({size, 0, flags});
            run_both("try_reserve", packet_of(64));
        }
    }
}

/// A record that runs over the end is found again at the start of the ring, by those that read before they
/// write and those that write only a part.
TEST_F(HelperParity, RingbufIsOneRing) {
    open(compile_text(std::string(kPrelude) + R"(
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
__u64 runs, seen;
SEC("xdp") int lap(struct xdp_md *ctx) {
	__u64 *record = bpf_ringbuf_reserve(&ring, 1000, 0);
	if (!record) return 0;
	runs++;
	for (int i = 0; i < 125; i++) seen = seen * 31 + record[i];
	for (int i = 0; i < 125; i += 3) record[i] = runs * 1000 + i;
	if (runs % 3 == 0) bpf_ringbuf_discard(record, 0); else bpf_ringbuf_submit(record, 0);
	if (runs % 5 == 0) bpf_ringbuf_output(&ring, &seen, sizeof(seen), 0);
	return seen & 3;
}
char LICENSE[] SEC("license") = "GPL";
)"));
    ASSERT_TRUE(ready());
    for (int run = 0; run < 60; ++run) {
        SCOPED_TRACE(run);
        run_both("lap", packet_of(64));
    }
    EXPECT_NE(number_at(value_of(*kernel_, ".bss"), 1), 0u) << "nothing was found again";
}

TEST_F(HelperParity, RingbufFillsUp) {
    open_case("ringbuf");
    ASSERT_TRUE(ready());
    // Nothing is consumed here, so that the ring fills and every answer counts.
    for (int i = 0; i < 80; ++i) {
        set_args({static_cast<uint64_t>(i % 4 == 3 ? 3 : i % 3), static_cast<uint64_t>(i % 5 == 0), 0});
        const char* program = i % 2 == 0 ? "reserve" : "two";
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            const auto result = side->find_program(program)->run(packet_of(64), {});
            ASSERT_TRUE(result) << result.error().message();
            ASSERT_FALSE(result->fault) << result->fault->report;
        }
        ASSERT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss"))) << "run " << i;
    }
    expect_same_maps();
}

} // namespace

} // namespace mimicsh::test
