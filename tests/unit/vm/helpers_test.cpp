// SPDX-License-Identifier: MIT
// Helpers that differ from the kernel by nature: clock, random numbers, printed text; and determinism as a
// whole.
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

std::unique_ptr<Instance> load_on_vm(const std::shared_ptr<const Object>& object,
                                     const vm::Options& options = {}) {
    if (object == nullptr) {
        return nullptr;
    }
    auto instance = vm::make_target(options)->load(object, {});
    if (!instance) {
        ADD_FAILURE() << instance.error().message();
        return nullptr;
    }
    return std::move(*instance);
}

RunResult run(Instance& instance, const std::string& program, const RunOptions& options = {}) {
    auto result = instance.find_program(program)->run(packet_of(64), options);
    if (!result || result->fault) {
        ADD_FAILURE() << (result ? result->fault->report : result.error().message());
        return {};
    }
    return std::move(*result);
}

/// r0's 64 bits after a call of a helper without arguments, n times.
std::vector<uint64_t> answers(int64_t helper, size_t count, const vm::Options& options) {
    RawObject raw;
    const uint32_t data = raw.add_data(static_cast<uint32_t>(8 * count));
    raw.load_value(9, data);
    for (size_t i = 0; i < count; ++i) {
        raw.add({call(helper), store_reg(op::kDw, 9, static_cast<int>(8 * i), 0)});
    }
    raw.add({mov(0, 2), exit_insn()});
    const auto instance = load_on_vm(raw.share(), options);
    if (instance == nullptr) {
        return {};
    }
    run(*instance, "main");
    const ByteVec bytes = value_of(*instance, ".bss");
    std::vector<uint64_t> numbers;
    for (size_t i = 0; i < count; ++i) {
        numbers.push_back(number_at(bytes, i));
    }
    return numbers;
}

TEST(Helpers, ClockIsVirtual) {
    vm::Options options;
    options.clock_ns = 12'345'678'901;
    for (const int64_t helper : {5, 125, 160, 208}) {
        EXPECT_EQ(answers(helper, 3, options), std::vector<uint64_t>(3, options.clock_ns)) << helper;
    }
    EXPECT_EQ(answers(118, 2, options), std::vector<uint64_t>(2, options.clock_ns / 4'000'000));
}

TEST(Helpers, RandomIsSeeded) {
    vm::Options one;
    one.seed = 7;
    vm::Options other;
    other.seed = 8;
    const auto first = answers(7, 64, one);
    EXPECT_EQ(first, answers(7, 64, one));
    EXPECT_NE(first, answers(7, 64, other));
    const std::set<uint64_t> distinct(first.begin(), first.end());
    EXPECT_GT(distinct.size(), 60u);
    for (const uint64_t number : first) {
        EXPECT_EQ(number >> 32, 0u);
    }
}

TEST(Helpers, TracePrintkFormats) {
    const auto instance = load_on_vm(compile_case("parity/helpers.bpf.c"));
    ASSERT_NE(instance, nullptr);
    struct Case {
        uint64_t format;
        std::vector<uint64_t> args;
        const char* text;
    };
    for (const Case& one : {
             Case{0, {}, "plain"},
             Case{2, {uint64_t(-5)}, "-5"},
             Case{3, {uint64_t(-1), uint64_t(-1), 0xabc}, "-1 4294967295 abc"},
             Case{4, {uint64_t(-1), uint64_t(-1), 0xffffffffffull}, "-1 18446744073709551615 ffffffffff"},
             Case{6, {1, 2, 3}, "1|    2|3    "},
             Case{7, {uint64_t(-42), 0xbeef, 0xbeef}, "-0042 0000beef BEEF"},
             Case{8, {}, "xyz"},
             Case{9, {}, "100%"},
             Case{22, {}, "tab\tand\nline"},
             Case{27, {5, 6}, " 5|+6"},
             Case{28, {uint64_t(-7), 0xff}, "                  -7|ff                  |"},
             Case{32, {}, "         q|"},
         }) {
        ByteVec io(64 * 8);
        mimicsh::store(io.data(), one.format);
        for (size_t i = 0; i < one.args.size(); ++i) {
            mimicsh::store(io.data() + 8 * (i + 1), one.args[i]);
        }
        set_value(*instance, ".bss", io);
        const RunResult result = run(*instance, "print");
        ASSERT_EQ(result.log.size(), 1u) << "format " << one.format;
        EXPECT_EQ(result.log[0], one.text);
    }
}

TEST(Helpers, RefusedFormatsPrintNothing) {
    const auto instance = load_on_vm(compile_case("parity/helpers.bpf.c"));
    ASSERT_NE(instance, nullptr);
    for (const uint64_t format : {10u, 12u, 13u, 15u, 16u, 17u, 19u, 20u, 21u, 24u, 29u, 31u, 33u}) {
        ByteVec io(64 * 8);
        mimicsh::store(io.data(), format);
        set_value(*instance, ".bss", io);
        EXPECT_TRUE(run(*instance, "print").log.empty()) << format;
    }
}

TEST(Helpers, AddressesPrintAsAddresses) {
    const auto instance = load_on_vm(compile_case("parity/helpers.bpf.c"));
    ASSERT_NE(instance, nullptr);
    ByteVec io(64 * 8);
    for (size_t i = 0; i < 16; ++i) {
        io[8 + i] = static_cast<uint8_t>(0x10 + i);
    }
    set_value(*instance, ".bss", io);
    const RunResult result = run(*instance, "print_addresses");
    ASSERT_EQ(result.log.size(), 3u);
    EXPECT_EQ(result.log[0], "16.17.18.19 016.017.018.019");
    EXPECT_EQ(result.log[1], "1011:1213:1415:1617:1819:1a1b:1c1d:1e1f 101112131415161718191a1b1c1d1e1f");
}

// -- Determinism --

/// Everything that a history of runs shows, as text.
std::string history(const vm::Options& options) {
    const auto object = compile_text(std::string(kPrelude) + R"(
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); } seen SEC(".maps");
SEC("xdp") int filter(struct xdp_md *ctx)
{
	__u32 key = bpf_get_prandom_u32() & 31;
	__u64 value = bpf_ktime_get_ns() + bpf_get_prandom_u32();
	bpf_map_update_elem(&seen, &key, &value, BPF_ANY);
	return bpf_get_prandom_u32() % 5;
}
char LICENSE[] SEC("license") = "GPL";
)");
    const auto instance = load_on_vm(object, options);
    std::string text;
    for (int i = 0; instance != nullptr && i < 200; ++i) {
        text += std::to_string(run(*instance, "filter").ret);
    }
    MapCursor cursor;
    while (instance != nullptr && !cursor.done) {
        ByteVec keys;
        ByteVec values;
        if (!instance->find_map("seen")->next_batch(cursor, keys, values, 10)) {
            break;
        }
        text += " " + to_hex(keys) + "=" + to_hex(values); // the order of the walk belongs to it
    }
    return text;
}

TEST(Determinism, SameSeedGivesTheSameBytes) {
    vm::Options options;
    const std::string first = history(options);
    EXPECT_EQ(history(options), first);
    options.seed = 2;
    EXPECT_NE(history(options), first);
}

TEST(Determinism, GuestAddressesAreTheSameInEveryInstance) {
    // A program that shows a pointer shows the same one each time: no host address is ever visible.
    const auto object = compile_text(std::string(kPrelude) + R"(
__u64 shown[4];
SEC("xdp") int filter(struct xdp_md *ctx)
{
	__u64 local = 1;
	shown[0] = (__u64)ctx;
	shown[1] = (__u64)&local;
	shown[2] = (__u64)&shown;
	shown[3] = (__u64)(long)ctx->data;
	asm volatile("" :: "r"(&local) : "memory");
	return 2;
}
char LICENSE[] SEC("license") = "GPL";
)");
    ByteVec before;
    for (int i = 0; i < 3; ++i) {
        const auto instance = load_on_vm(object);
        ASSERT_NE(instance, nullptr);
        run(*instance, "filter");
        const ByteVec now = value_of(*instance, ".bss");
        EXPECT_TRUE(before.empty() || before == now);
        before = now;
    }
}

} // namespace

} // namespace mimicsh::test
