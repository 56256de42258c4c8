// SPDX-License-Identifier: MIT
// The conntrack table by itself: what finds an entry, how long it lives, what a full table loses, taking
// back.
#include <gtest/gtest.h>

#include "object/replay.h"
#include "tests/unit/vm/raw.h"
#include "vm/conntrack.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

using vm::ConntrackTable;
using vm::World;

constexpr uint32_t kAssured = 4;
constexpr uint64_t kMs = 1'000'000;

World::Connection connection(uint16_t port, uint32_t timeout_ms = 1000, uint32_t status = 0) {
    World::Connection one;
    one.protocol = 6;
    one.original = {{{false, {10, 0, 0, 1}}, port}, {{false, {10, 0, 0, 2}}, 80}};
    one.reply = {one.original.destination, one.original.source};
    one.timeout_ms = timeout_ms;
    one.status = status;
    return one;
}

ConntrackTable::Key key(uint16_t port) {
    const World::Connection one = connection(port);
    return {one.original, one.protocol, 0, 3};
}

/// A new entry in the table; its number.
uint32_t put(ConntrackTable& table, const World::Connection& one, uint64_t clock = 0) {
    const auto number = table.add(one, clock, {});
    EXPECT_TRUE(number);
    EXPECT_TRUE(table.insert(number.value_or(0), clock));
    return number.value_or(0);
}

ConntrackTable table_of(uint32_t limit) {
    World world;
    world.conntrack_max = limit;
    ConntrackTable table;
    table.load(world, 0);
    return table;
}

TEST(Conntrack, EntriesLiveForTheirJiffies) {
    struct Case {
        uint32_t timeout_ms;
        uint64_t last_ms, gone_ms; ///< after insertion
    };
    constexpr uint64_t kForever = uint64_t{INT32_MAX} * 4;
    for (const Case& one :
         {Case{1000, 999, 1000}, Case{1001, 1003, 1004}, Case{1, 3, 4}, Case{4, 3, 4},
          Case{0x7fffffff, 0x7ffffffb, 0x80000000}, Case{0x80000000, kForever - 1, kForever},
          Case{0xffffffff, kForever - 1, kForever}}) {
        ConntrackTable table = table_of(10);
        constexpr uint64_t kBegin = 5000 * kMs;
        (void)put(table, connection(1, one.timeout_ms), kBegin);
        EXPECT_TRUE(table.find(key(1), kBegin + one.last_ms * kMs)) << one.timeout_ms;
        EXPECT_FALSE(table.find(key(1), kBegin + one.gone_ms * kMs)) << one.timeout_ms;
    }
}

TEST(Conntrack, ReplaysDoNotGrowWithoutBound) {
    ConntrackTable table = table_of(1000);
    for (uint32_t i = 0; i < 20'000; ++i) {
        (void)put(table, connection(static_cast<uint16_t>(i), 100), i * kMs);
        table.begin_run();
        ASSERT_LE(table.size(), 105u) << i;
    }
}

TEST(Conntrack, AFullTableLosesTheOldestThatNothingAssures) {
    ConntrackTable table = table_of(3);
    (void)put(table, connection(1, 1000, kAssured));
    const uint32_t held = put(table, connection(2));
    (void)put(table, connection(3));
    const auto more = table.add(connection(4), 0, std::vector<uint32_t>{held});
    ASSERT_TRUE(more);
    EXPECT_TRUE(table.find(key(1), 0) && table.find(key(2), 0));
    EXPECT_FALSE(table.find(key(3), 0));
    // It is not in the table yet, so it stays; the other is no longer held.
    EXPECT_TRUE(table.add(connection(5), 0, {}));
    EXPECT_FALSE(table.find(key(2), 0));
    EXPECT_FALSE(table.add(connection(6), 0, {}));
    EXPECT_EQ(table.size(), 3u);
    // Time makes room, too.
    EXPECT_TRUE(table.add(connection(6), 1000 * kMs, {}));
    EXPECT_FALSE(table.find(key(1), 1000 * kMs));
}

TEST(Conntrack, OneOfTwoEntriesWithTheSameTupleIsTaken) {
    ConntrackTable table = table_of(10);
    (void)put(table, connection(1));
    const auto again = table.add(connection(1), 0, {});
    ASSERT_TRUE(again);
    EXPECT_FALSE(table.insert(*again, 0));
    World::Connection back = connection(1);
    std::swap(back.original, back.reply);
    const auto reverse = table.add(back, 0, {});
    ASSERT_TRUE(reverse);
    EXPECT_FALSE(table.insert(*reverse, 0));
    EXPECT_EQ(table.size(), 1u);
}

TEST(Conntrack, WhatIsNotInsertedEndsWithItsRun) {
    ConntrackTable table = table_of(2);
    (void)put(table, connection(1, 1000, kAssured));
    for (uint32_t i = 0; i < 5; ++i) {
        ASSERT_TRUE(table.add(connection(2), 0, {})) << i;
        EXPECT_FALSE(table.add(connection(3), 0, {})) << i;
        table.begin_run();
        EXPECT_EQ(table.size(), 1u);
    }
}

TEST(Conntrack, ChangesOfARunAreTakenBack) {
    ConntrackTable table = table_of(2);
    const uint32_t first = put(table, connection(1));
    (void)put(table, connection(2));
    table.begin_run();
    table.change(first).status |= kAssured;
    table.set_timeout(first, 5, 0);
    const auto number = table.add(connection(3), 0, {}); // the second goes
    ASSERT_TRUE(number && table.insert(*number, 0));
    ASSERT_FALSE(table.find(key(2), 0));
    table.rewind();
    EXPECT_EQ(table.size(), 2u);
    EXPECT_TRUE(table.find(key(1), 999 * kMs) && table.find(key(2), 0));
    EXPECT_FALSE(table.find(key(3), 0));
    EXPECT_EQ(table[first].status, 8u);
    EXPECT_EQ(table.add(connection(3), 0, {}), number);
}

constexpr std::string_view kProgram = R"(
struct nf_conn { unsigned long status; };
struct options { __s32 netns_id; __s32 error; __u8 l4proto, dir; __u16 zone; __u8 zone_dir, reserved[3]; };
extern struct nf_conn *bpf_xdp_ct_alloc(struct xdp_md *, struct bpf_sock_tuple *, __u32, struct options *, __u32) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn *) __ksym;
extern void bpf_ct_set_timeout(struct nf_conn *, __u32) __ksym;
extern int bpf_ct_change_status(struct nf_conn *, __u32) __ksym;
extern void bpf_ct_release(struct nf_conn *) __ksym;
struct { __u32 status, error, made; } io;
char LICENSE[] SEC("license") = "GPL";
SEC("xdp") int connect(struct xdp_md *ctx) {
    struct bpf_sock_tuple tuple = {};
    struct options options = { .netns_id = -1, .l4proto = 17 };
    struct nf_conn *ct;
    tuple.ipv4.saddr = io.made;
    ct = bpf_xdp_ct_alloc(ctx, &tuple, sizeof(tuple.ipv4), &options, sizeof(options));
    if (!ct) {
        io.error = -options.error;
        return XDP_DROP;
    }
    bpf_ct_set_timeout(ct, 60000);
    ct = bpf_ct_insert_entry(ct);
    if (!ct)
        return XDP_ABORTED;
    io.made++;
    bpf_ct_change_status(ct, 8 | io.status);
    bpf_ct_release(ct);
    return XDP_PASS;
})";

/// The program on a vm with a table of three entries; `status` is what it gives its entries.
std::unique_ptr<Instance> connector(uint32_t status) {
    vm::Options options;
    options.world = vm::parse_world(R"({"conntrack": [], "conntrack_max": 3})").value();
    auto instance =
        vm::make_target(options)->load(compile_text(std::string(kPrelude) + std::string(kProgram)), {});
    EXPECT_TRUE(instance) << (instance ? "" : instance.error().message());
    ByteVec data(12);
    store(data.data(), status);
    set_value(**instance, ".bss", data);
    return std::move(*instance);
}

TEST(Conntrack, ProgramsAreToldThatTheTableIsFull) {
    const ByteVec packet = packet_of(64);
    std::vector<BatchItem> items(10);
    for (BatchItem& item : items) {
        item.in = packet;
    }
    for (const uint32_t status : {0u, kAssured}) {
        auto instance = connector(status);
        ASSERT_TRUE(instance->programs().front()->run_batch(items, {}));
        for (size_t i = 0; i < items.size(); ++i) {
            EXPECT_EQ(items[i].ret, status == 0 || i < 3 ? 2u : 1u) << i;
        }
        EXPECT_EQ(mimicsh::load<uint32_t>(value_of(*instance, ".bss").data() + 4), status == 0 ? 0u : ENOMEM);
        ASSERT_TRUE(instance->advance(60'000 * kMs));
        ASSERT_TRUE(instance->programs().front()->run_batch(std::span(items).first(1), {}));
        EXPECT_EQ(items[0].ret, 2u);
    }
}

TEST(Conntrack, WorkersDoNotShareTheTable) {
    auto instance = connector(0);
    const ByteVec packet = packet_of(64);
    std::vector<BatchItem> items(2);
    items[0].in = items[1].in = packet;
    BatchOptions options;
    options.workers = 2;
    const auto done = instance->programs().front()->run_batch(items, options);
    ASSERT_FALSE(done);
    EXPECT_NE(done.error().message().find("table that emulated CPUs do not share"), std::string::npos)
        << done.error().message();
}

} // namespace

} // namespace mimicsh::test
