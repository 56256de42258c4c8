// SPDX-License-Identifier: MIT
// Several emulated CPUs: replay with workers gives what one CPU gives, and interleaving shows races.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

#include "object/replay.h"
#include "tests/unit/vm/raw.h"
#include "vm/machine.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

constexpr std::string_view kCounters = R"(
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); __type(key, __u32); __type(value, __u64); } flows SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } each SEC(".maps");
struct locked { struct bpf_spin_lock lock; __u32 pad; __u64 count; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct locked); } safe SEC(".maps");
__u64 atomic_total, plain_total;
SEC("xdp") int count(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    __u32 zero = 0, key;
    __u64 one = 1, *value;
    struct locked *locked;
    if (data + 34 > end)
        return XDP_DROP;
    key = *(__u32 *)(data + 26);
    value = bpf_map_lookup_elem(&flows, &key);
    if (value)
        __sync_fetch_and_add(value, 1);
    else if (bpf_map_update_elem(&flows, &key, &one, BPF_NOEXIST)) {
        value = bpf_map_lookup_elem(&flows, &key);
        if (value)
            __sync_fetch_and_add(value, 1);
    }
    value = bpf_map_lookup_elem(&each, &zero);
    if (value)
        ++*value;
    locked = bpf_map_lookup_elem(&safe, &zero);
    if (locked) {
        bpf_spin_lock(&locked->lock);
        ++locked->count;
        bpf_spin_unlock(&locked->lock);
    }
    __sync_fetch_and_add(&atomic_total, 1);
    return key & 1 ? XDP_PASS : XDP_TX;
}
SEC("xdp") int plain(struct xdp_md *ctx) {
    ++plain_total;
    return XDP_PASS;
}
SEC("xdp") int atomic(struct xdp_md *ctx) {
    __sync_fetch_and_add(&atomic_total, 1);
    return XDP_PASS;
}
SEC("xdp") int under_lock(struct xdp_md *ctx) {
    __u32 zero = 0;
    struct locked *locked = bpf_map_lookup_elem(&safe, &zero);
    if (!locked)
        return XDP_DROP;
    bpf_spin_lock(&locked->lock);
    ++locked->count;
    bpf_spin_unlock(&locked->lock);
    return XDP_PASS;
}
struct bpf_res_spin_lock { __u32 val; };
extern int bpf_res_spin_lock(struct bpf_res_spin_lock *lock) __ksym;
extern void bpf_res_spin_unlock(struct bpf_res_spin_lock *lock) __ksym;
struct resilient { struct bpf_res_spin_lock lock; __u32 pad; __u64 count; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, struct resilient); } pair SEC(".maps");
/* Both locks, in the order that the packet says; ends with what the second lock gave. */
SEC("xdp") int crosswise(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    if (data + 1 > end)
        return XDP_DROP;
    __u32 a = *(__u8 *)data & 1, b = !a;
    struct resilient *first = bpf_map_lookup_elem(&pair, &a), *second = bpf_map_lookup_elem(&pair, &b);
    int result;
    if (!first || !second || bpf_res_spin_lock(&first->lock))
        return XDP_DROP;
    first->count++;
    result = bpf_res_spin_lock(&second->lock);
    if (!result) {
        second->count++;
        bpf_res_spin_unlock(&second->lock);
    }
    bpf_res_spin_unlock(&first->lock);
    return -result;
}
/* The first to come makes the entry; both may find none. */
SEC("xdp") int check_then_act(struct xdp_md *ctx) {
    __u32 key = 7;
    __u64 one = 1;
    if (bpf_map_lookup_elem(&flows, &key))
        return XDP_PASS;
    bpf_map_update_elem(&flows, &key, &one, BPF_ANY);
    return XDP_TX;
}
char LICENSE[] SEC("license") = "GPL";
)";

class Flows : public PacketSource {
  public:
    explicit Flows(size_t count) {
        for (size_t i = 0; i < count; ++i) {
            ByteVec packet = packet_of(64);
            packet[12] = 8;
            packet[13] = 0;
            packet[14] = 0x45;
            store<uint32_t>(packet.data() + 26, static_cast<uint32_t>(i * 7 % 200));
            packets_.push_back(std::move(packet));
        }
    }
    Status next(std::vector<ByteView>& batch, size_t limit) override {
        batch.clear();
        while (batch.size() < limit && at_ < packets_.size()) {
            batch.emplace_back(packets_[at_++]);
        }
        return {};
    }

  private:
    std::vector<ByteVec> packets_;
    size_t at_ = 0;
};

std::unique_ptr<Instance> load_counters(uint32_t cpus) {
    vm::Options options;
    options.cpus = cpus;
    auto instance =
        vm::make_target(options)->load(compile_text(std::string(kPrelude) + std::string(kCounters)), {});
    EXPECT_TRUE(instance) << instance.error().message();
    return instance ? std::move(*instance) : nullptr;
}

uint64_t sum_of(Instance& instance, const std::string& map) {
    const ByteVec bytes = value_of(instance, map);
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.size() / 8; ++i) {
        sum += number_at(bytes, i);
    }
    return sum;
}

TEST(Workers, CountWhatOneCpuCounts) {
    constexpr size_t kPackets = 40000;
    std::map<std::string, uint64_t> verdicts[2];
    std::map<ByteVec, ByteVec> flows[2];
    for (const uint32_t workers : {1u, 4u}) {
        auto instance = load_counters(4);
        ASSERT_NE(instance, nullptr);
        Flows source(kPackets);
        ReplayOptions options;
        options.workers = workers;
        std::vector<std::string> seen;
        options.on_packet = [&](uint64_t, std::string_view verdict, ByteView out) {
            EXPECT_EQ(out.size(), 64u);
            seen.emplace_back(verdict);
            return Status{};
        };
        const auto report = replay(*instance, *instance->find_program("count"), source, options);
        ASSERT_TRUE(report) << report.error().message();
        EXPECT_EQ(report->packets, kPackets);
        EXPECT_EQ(seen.size(), kPackets);
        EXPECT_FALSE(report->first_fault);
        const size_t at = workers == 1 ? 0 : 1;
        verdicts[at] = report->verdicts;
        MapCursor cursor;
        ByteVec keys;
        ByteVec values;
        const auto entries = instance->find_map("flows")->next_batch(cursor, keys, values, 10000);
        ASSERT_TRUE(entries);
        for (size_t i = 0; i < *entries; ++i) {
            flows[at][ByteVec(keys.begin() + static_cast<ptrdiff_t>(4 * i),
                              keys.begin() + static_cast<ptrdiff_t>(4 * i + 4))] =
                ByteVec(values.begin() + static_cast<ptrdiff_t>(8 * i),
                        values.begin() + static_cast<ptrdiff_t>(8 * i + 8));
        }
        EXPECT_EQ(sum_of(*instance, "each"), kPackets);
        EXPECT_EQ(number_at(value_of(*instance, "safe"), 1), kPackets);
        EXPECT_EQ(number_at(value_of(*instance, ".bss"), 0), kPackets);
        if (workers > 1) {
            const ByteVec each = value_of(*instance, "each");
            for (size_t cpu = 0; cpu < 4; ++cpu) {
                EXPECT_GT(number_at(each, cpu), 0u) << "CPU " << cpu << " did nothing";
            }
        }
    }
    EXPECT_EQ(verdicts[0], verdicts[1]);
    EXPECT_EQ(flows[0], flows[1]);
    EXPECT_EQ(flows[0].size(), 200u);
}

TEST(Workers, AreRefusedWhereTheyCannotShare) {
    auto instance = load_counters(2);
    ASSERT_NE(instance, nullptr);
    BatchOptions options;
    options.workers = 3;
    const ByteVec packet = packet_of(64);
    std::vector<BatchItem> items(1);
    items[0].in = packet;
    const auto done = instance->find_program("count")->run_batch(items, options);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, EINVAL);
    EXPECT_NE(done.error().message().find("3 workers, the vm has 2 CPUs"), std::string::npos)
        << done.error().message();
}

TEST(Workers, HelpersOfTheEmbedderStayOnTheirThread) {
    vm::Options options;
    options.cpus = 2;
    options.helpers[5] = {};
    auto instance =
        vm::make_target(options)->load(compile_text(std::string(kPrelude) + std::string(kCounters)), {});
    ASSERT_TRUE(instance) << instance.error().message();
    const ByteVec packet = packet_of(64);
    std::vector<BatchItem> items(1);
    items[0].in = packet;
    BatchOptions batch;
    batch.workers = 2;
    Program& program = *(*instance)->find_program("atomic");
    const auto done = program.run_batch(items, batch);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ENOTSUP);
    RaceOptions race;
    race.packets = {packet, packet};
    const auto report = program.race(race);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, ENOTSUP);
}

/// Each emulated CPU would have a table of its own.
TEST(Workers, NoProgramThatKeepsConnectionsIsShared) {
    constexpr std::string_view kLookup = R"(
char LICENSE[] SEC("license") = "GPL";
struct nf_conn;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size,
                                         void *opts, __u32 opts_size) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
SEC("xdp") int look(struct xdp_md *ctx) {
    struct bpf_sock_tuple tuple = {};
    __u64 options[2] = {};
    struct nf_conn *ct = bpf_xdp_ct_lookup(ctx, &tuple, sizeof(tuple.ipv4), options, sizeof(options));
    if (ct)
        bpf_ct_release(ct);
    return XDP_PASS;
}
)";
    vm::Options options;
    options.cpus = 2;
    auto instance =
        vm::make_target(options)->load(compile_text(std::string(kPrelude) + std::string(kLookup)), {});
    ASSERT_TRUE(instance) << instance.error().message();
    Program& program = *(*instance)->find_program("look");
    const ByteVec packet = packet_of(64);
    std::vector<BatchItem> items(1);
    items[0].in = packet;
    BatchOptions batch;
    batch.workers = 2;
    RaceOptions race;
    race.packets = {packet, packet};
    const auto done = program.run_batch(items, batch);
    const auto report = program.race(race);
    ASSERT_FALSE(done || report);
    for (const Error& error : {done.error(), report.error()}) {
        EXPECT_EQ(error.code, ENOTSUP);
        EXPECT_NE(error.message().find("bpf_xdp_ct_lookup has a table that emulated CPUs do not share"),
                  std::string::npos)
            << error.message();
    }
}

RaceReport race_of(const std::string& program) {
    auto instance = load_counters(2);
    const ByteVec packet = packet_of(64);
    const ByteVec before = value_of(*instance, ".bss");
    RaceOptions options;
    options.packets = {packet, packet};
    const auto report = instance->find_program(program)->race(options);
    EXPECT_TRUE(report) << report.error().message();
    EXPECT_EQ(value_of(*instance, ".bss"), before) << "the maps are put back";
    return report ? *report : RaceReport{};
}

uint64_t races(const RaceReport& report) {
    uint64_t count = 0;
    for (const RaceOutcome& outcome : report.outcomes) {
        count += outcome.serial ? 0 : outcome.count;
    }
    return count;
}

TEST(Race, PlainCountersLoseUpdates) {
    const RaceReport report = race_of("plain");
    EXPECT_EQ(report.runs, 100u);
    EXPECT_GT(races(report), 5u);
    ASSERT_FALSE(report.outcomes.empty());
    for (const RaceOutcome& outcome : report.outcomes) {
        EXPECT_EQ(outcome.serial, outcome.difference.empty());
        if (!outcome.serial) {
            EXPECT_NE(outcome.difference.find("map .bss"), std::string::npos) << outcome.difference;
        }
    }
    // The same seeds come to the same.
    const RaceReport again = race_of("plain");
    ASSERT_EQ(again.outcomes.size(), report.outcomes.size());
    for (size_t i = 0; i < again.outcomes.size(); ++i) {
        EXPECT_EQ(again.outcomes[i].count, report.outcomes[i].count);
        EXPECT_EQ(again.outcomes[i].seed, report.outcomes[i].seed);
    }
}

TEST(Race, AtomicsAndLocksLoseNothing) {
    EXPECT_EQ(races(race_of("atomic")), 0u);
    EXPECT_EQ(races(race_of("under_lock")), 0u);
}

TEST(Race, CrosswiseResilientLocksFindTheDeadlock) {
    auto instance = load_counters(2);
    const ByteVec one(64, 0);
    const ByteVec other(64, 1);
    RaceOptions options;
    options.packets = {one, other};
    const auto report = instance->find_program("crosswise")->race(options);
    ASSERT_TRUE(report) << report.error().message();
    constexpr uint32_t kDeadlock = 35; // EDEADLK
    bool met = false;
    for (const RaceOutcome& outcome : report->outcomes) {
        const auto given_up = std::ranges::count(outcome.ret, kDeadlock);
        EXPECT_EQ(std::ranges::count(outcome.ret, 0u) + given_up, 2);
        EXPECT_LE(given_up, 1) << "only who closes the circle gives up";
        met = met || given_up == 1;
        EXPECT_EQ(outcome.serial, given_up == 0);
    }
    EXPECT_TRUE(met) << "no run in which each held one";
}

/// The kernel looks one step far; a longer circle ends by its time.
TEST(Race, CirclesOfThreeCpusTimeOut) {
    const auto cpu = [] { return std::make_unique<vm::Machine>(vm::Options(), 1, 8); };
    const std::array<std::unique_ptr<vm::Machine>, 3> cpus{cpu(), cpu(), cpu()};
    const char locks[3] = {};
    int last = 1;
    vm::CpuGroup* group = nullptr;
    // Who waits lets the next one go on.
    vm::CpuGroup all([&](const vm::Machine& waiting) {
        if (&waiting == cpus[0].get()) {
            EXPECT_EQ(group->acquire_resilient(*cpus[1], &locks[2]), 0);
            group->release(&locks[1]);
        } else {
            last = group->acquire_resilient(*cpus[2], &locks[0]);
            group->release(&locks[2]);
        }
    });
    group = &all;
    for (size_t i = 0; i < 3; ++i) {
        ASSERT_EQ(all.acquire_resilient(*cpus[i], &locks[i]), 0);
    }
    EXPECT_EQ(all.acquire_resilient(*cpus[0], &locks[1]), 0);
    EXPECT_EQ(last, -ETIMEDOUT);
}

TEST(Race, CheckThenActIsSeenByVerdicts) {
    const RaceReport report = race_of("check_then_act");
    EXPECT_GT(races(report), 0u);
    bool both = false;
    for (const RaceOutcome& outcome : report.outcomes) {
        both = both || (!outcome.serial && outcome.ret == std::array{3u, 3u});
    }
    EXPECT_TRUE(both) << "no run in which both found no entry";
}

} // namespace

} // namespace mimicsh::test
