// SPDX-License-Identifier: MIT
// Programs that would have emulated CPUs wait for each other for ever, or use what belongs to another.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

/// Raises a flag when its time is over: what waits for ever ends there, and the test fails.
class Watchdog {
  public:
    explicit Watchdog(std::chrono::seconds patience)
        : thread_([this, patience] {
              std::unique_lock lock(mutex_);
              over = !done_.wait_for(lock, patience, [this] { return is_done_; });
          }) {}
    ~Watchdog() {
        {
            const std::lock_guard lock(mutex_);
            is_done_ = true;
        }
        done_.notify_all();
        thread_.join();
    }
    std::atomic<bool> over = false;

  private:
    std::mutex mutex_;
    std::condition_variable done_;
    bool is_done_ = false;
    std::thread thread_;
};

constexpr std::chrono::seconds kPatience{120};

constexpr const char* kLocked = R"(
struct locked { struct bpf_spin_lock lock; __u32 count; };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct locked);
} safe SEC(".maps");
static struct locked *the_lock(void)
{
    __u32 key = 0;

    return bpf_map_lookup_elem(&safe, &key);
}
)";

std::unique_ptr<Instance> load_text(const std::string& text, uint32_t cpus = 2) {
    vm::Options options;
    options.cpus = cpus;
    options.mode = vm::Mode::Permissive;
    auto instance = vm::make_target(options)->load(compile_text(std::string(kPrelude) + text), {});
    EXPECT_TRUE(instance) << instance.error().message();
    return instance ? std::move(*instance) : nullptr;
}

/// Runs packets of many flows on two workers; how many were run.
size_t run_on_workers(Program& program, size_t count, const std::atomic<bool>& stop) {
    std::vector<ByteVec> packets(count, packet_of(64));
    std::vector<BatchItem> items(count);
    for (size_t i = 0; i < count; ++i) {
        store<uint32_t>(packets[i].data(), static_cast<uint32_t>(i)); // part of an Ethernet address,
        store<uint16_t>(packets[i].data() + 12, 0xffff);              // which tells flows apart here
        items[i].in = packets[i];
    }
    BatchOptions options;
    options.workers = 2;
    options.stop = &stop;
    const auto done = program.run_batch(items, options);
    EXPECT_TRUE(done) << done.error().message();
    return done ? *done : 0;
}

RaceOptions race_options(const ByteVec& packet, const std::atomic<bool>& stop) {
    RaceOptions options;
    options.packets = {packet, packet};
    options.runs = 50;
    options.stop = &stop;
    return options;
}

TEST(HostileCpus, ALockThatAnExceptionCallbackKeepsIsGivenUp) {
    const auto instance = load_text(std::string(kLocked) + R"(
extern void bpf_throw(__u64 cookie) __ksym;
__noinline int keeps(__u64 cookie)
{
    struct locked *locked = the_lock();

    if (locked)
        bpf_spin_lock(&locked->lock);
    return 0;
}
SEC("tc") __attribute__((btf_decl_tag("exception_callback:keeps"))) int prog(struct __sk_buff *ctx)
{
    bpf_throw(0);
    return 2;
}
)");
    ASSERT_NE(instance, nullptr);
    const Watchdog watchdog(kPatience);
    EXPECT_EQ(run_on_workers(*instance->programs().front(), 200, watchdog.over), 200u);
    const ByteVec packet = packet_of(64);
    const auto report = instance->programs().front()->race(race_options(packet, watchdog.over));
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_FALSE(report->interrupted);
    EXPECT_FALSE(watchdog.over);
}

TEST(HostileCpus, CallbacksOfAWalkWaitForLocksWithoutHoldingTheMaps) {
    const auto instance = load_text(std::string(kLocked) + R"(
static long each(void *map, __u32 *key, struct locked *value, void *ctx)
{
    bpf_spin_lock(&value->lock);
    value->count++;
    bpf_spin_unlock(&value->lock);
    return 0;
}
SEC("tc") int prog(struct __sk_buff *ctx)
{
    struct locked *locked = the_lock();

    if (!locked)
        return 1;
    bpf_for_each_map_elem(&safe, each, NULL, 0);
    bpf_spin_lock(&locked->lock);
    for (int i = 0; i < 50; i++)
        the_lock(); /* wants the maps while it has the lock */
    locked->count++;
    bpf_spin_unlock(&locked->lock);
    return 2;
}
)");
    ASSERT_NE(instance, nullptr);
    const Watchdog watchdog(kPatience);
    EXPECT_EQ(run_on_workers(*instance->programs().front(), 20000, watchdog.over), 20000u);
    EXPECT_FALSE(watchdog.over);
    EXPECT_EQ(mimicsh::load<uint32_t>(value_of(*instance, "safe").data() + 4), 40000u);
}

TEST(HostileCpus, WhatOneCpuOwnsIsNotRaced) {
    const char* const values[] = {
        "struct bpf_timer timer;",
        "struct bpf_spin_lock lock; struct bpf_list_head head "
        "__attribute__((btf_decl_tag(\"contains:item:node\")));",
    };
    for (const char* const value : values) {
        const auto instance = load_text(std::string(R"(
struct bpf_list_head { __u64 __opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 __opaque[3]; } __attribute__((aligned(8)));
struct item { struct bpf_list_node node; };
struct value { )") + value + R"( };
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct value);
} owned SEC(".maps");
SEC("tc") int prog(struct __sk_buff *ctx)
{
    __u32 key = 0;

    return bpf_map_lookup_elem(&owned, &key) ? 2 : 1;
}
)");
        ASSERT_NE(instance, nullptr);
        const std::atomic<bool> stop = false;
        const ByteVec packet = packet_of(64);
        const auto report = instance->programs().front()->race(race_options(packet, stop));
        ASSERT_FALSE(report) << value;
        EXPECT_EQ(report.error().code, ENOTSUP) << report.error().message();
    }
}

} // namespace

} // namespace mimicsh::test
