// SPDX-License-Identifier: MIT
// Maps that somebody else's map backs: when what programs store gets there, what is lost, what is refused.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

// -- A hash or array as the kernel might have it, with a second writer --

struct Shared {
    MapInfo info;
    std::map<ByteVec, ByteVec> entries;
    std::function<void()> before_lookup; ///< what others do to the entries meanwhile
    std::vector<std::string> calls;
    int refusal = 0; ///< errno of updates
};

class OtherMap final : public Map {
  public:
    explicit OtherMap(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
    const MapInfo& info() const override { return shared_->info; }
    Status lookup(ByteView key, ByteSpan value) override {
        shared_->calls.emplace_back("look up");
        if (shared_->before_lookup) {
            shared_->before_lookup();
        }
        const auto found = shared_->entries.find({key.begin(), key.end()});
        if (found == shared_->entries.end()) {
            return refuse(ENOENT);
        }
        std::ranges::copy(found->second, value.begin());
        return {};
    }
    Status update(ByteView key, ByteView value, uint64_t flags) override {
        shared_->calls.emplace_back("update");
        const ByteVec wanted(key.begin(), key.end());
        if (shared_->refusal != 0 || (flags == abi::kExist && !shared_->entries.contains(wanted))) {
            return refuse(shared_->refusal != 0 ? shared_->refusal : ENOENT);
        }
        shared_->entries[wanted].assign(value.begin(), value.end());
        return {};
    }
    Status erase(ByteView key) override {
        return shared_->entries.erase({key.begin(), key.end()}) != 0 ? Status{} : refuse(ENOENT);
    }
    Expected<size_t> next_batch(MapCursor& cursor, ByteVec& keys, ByteVec& values, size_t) override {
        for (const auto& [key, value] : shared_->entries) {
            keys.insert(keys.end(), key.begin(), key.end());
            values.insert(values.end(), value.begin(), value.end());
        }
        cursor.done = true;
        return shared_->entries.size();
    }
    Expected<std::unique_ptr<Map>> share() const override {
        return std::unique_ptr<Map>(std::make_unique<OtherMap>(shared_));
    }
    Status take(ByteView, ByteSpan) override { return refuse(ENOTSUP); }
    Expected<bool> next_key(ByteView, ByteSpan) override { return refuse(ENOTSUP); }
    Status freeze() override { return refuse(ENOTSUP); }
    Status put_program(uint32_t, Program&) override { return refuse(ENOTSUP); }
    Status put_map(ByteView, Map&, uint64_t) override { return refuse(ENOTSUP); }
    Status listen() override { return refuse(ENOTSUP); }
    Expected<size_t> consume(const RecordFn&) override { return refuse(ENOTSUP); }
    Status send(ByteView) override { return refuse(ENOTSUP); }

  private:
    static Error refuse(int code) { return errno_error(code, "other map", "it"); }
    std::shared_ptr<Shared> shared_;
};

// -- Programs --

constexpr std::string_view kPrograms = R"(
struct counts { __u32 plain; __u32 other; __u64 atomic; };
struct table { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 100000); __type(key, __u32); __type(value, struct counts); };
struct table flows SEC(".maps"), own SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 1); __type(key, __u32); __array(values, struct table); }
    outer SEC(".maps") = { .values = { &flows } };
struct { __u64 limit, seen; } io;
SEC("xdp") int store(struct xdp_md *ctx) {
    __u32 key = 1;
    struct counts *counts = bpf_map_lookup_elem(&flows, &key);
    if (!counts)
        return XDP_DROP;
    counts->plain = 7;
    return XDP_PASS;
}
SEC("xdp") int store_and_look(struct xdp_md *ctx) {
    __u32 key = 1, other = 2;
    struct counts *counts = bpf_map_lookup_elem(&flows, &key);
    if (!counts)
        return XDP_DROP;
    counts->plain = 7;
    bpf_map_lookup_elem(&flows, &other);
    counts->other = 8;
    return XDP_PASS;
}
SEC("xdp") int add(struct xdp_md *ctx) {
    __u32 key = 1;
    struct counts *counts = bpf_map_lookup_elem(&flows, &key);
    if (!counts)
        return XDP_DROP;
    io.seen = __sync_fetch_and_add(&counts->atomic, 1);
    return XDP_PASS;
}
SEC("xdp") int store_and_fail(struct xdp_md *ctx) {
    __u32 key = 1;
    struct counts *counts = bpf_map_lookup_elem(&flows, &key);
    if (!counts)
        return XDP_DROP;
    counts->plain = 7;
    return *((volatile __u8 *)(long)ctx->data + 3000);
}
SEC("xdp") int through_outer(struct xdp_md *ctx) {
    __u32 zero = 0, key = 1;
    void *inner = bpf_map_lookup_elem(&outer, &zero);
    struct counts *counts = inner ? bpf_map_lookup_elem(inner, &key) : 0;
    if (!counts)
        return XDP_DROP;
    counts->other = 9;
    return XDP_PASS;
}
static long look(__u32 index, void *unused) {
    struct counts *counts = bpf_map_lookup_elem(&flows, &index);
    if (counts)
        io.seen++;
    return 0;
}
SEC("xdp") int look_at_many(struct xdp_md *ctx) {
    bpf_loop(io.limit, look, 0, 0);
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
)";

ByteVec key_of(uint32_t number) {
    ByteVec key(4);
    store(key.data(), number);
    return key;
}

ByteVec counts_of(uint32_t plain, uint32_t other, uint64_t atomic) {
    ByteVec value(16);
    store(value.data(), plain);
    store(value.data() + 4, other);
    store(value.data() + 8, atomic);
    return value;
}

class LiveMap : public testing::Test {
  protected:
    void SetUp() override {
        object_ = compile_text(std::string(kPrelude) + std::string(kPrograms));
        ASSERT_NE(object_, nullptr);
        shared_->info = {"flows", abi::MapType::Hash, 4, 16, 100'000, 0, 1, 42};
        shared_->entries[key_of(1)] = counts_of(1, 2, 3);
        vm::Options options;
        options.cpus = 2;
        auto made = vm::make_target(options)->load(object_, {});
        ASSERT_TRUE(made) << made.error().message();
        inst_ = std::move(*made);
    }

    [[nodiscard]] Status back(const std::string& name = "flows") {
        const auto def = std::ranges::find(object_->maps, name, &MapDef::name);
        return inst_->back_map(static_cast<size_t>(def - object_->maps.begin()), OtherMap(shared_));
    }
    RunResult run(const std::string& program) {
        shared_->calls.clear();
        auto result = inst_->find_program(program)->run(packet_of(64), {});
        EXPECT_TRUE(result);
        return result ? std::move(*result) : RunResult{};
    }
    [[nodiscard]] std::string value() { return to_hex(shared_->entries[key_of(1)]); }

    std::shared_ptr<const Object> object_;
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
    std::unique_ptr<Instance> inst_;
};

TEST_F(LiveMap, BytesThatWereStoredAreWrittenOverWhatOthersWroteMeanwhile) {
    ASSERT_TRUE(back());
    int lookups = 0;
    shared_->before_lookup = [&] {
        if (++lookups == 2) { // after the program's own
            shared_->entries[key_of(1)] = counts_of(100, 200, 300);
        }
    };
    const RunResult result = run("store");
    ASSERT_FALSE(result.fault) << result.fault->report;
    EXPECT_EQ(value(), to_hex(counts_of(7, 200, 300)));
    EXPECT_EQ(shared_->calls, (std::vector<std::string>{"look up", "look up", "update"}));
}

TEST_F(LiveMap, StoresAreWrittenBeforeTheNextOperationOnTheMap) {
    ASSERT_TRUE(back());
    const RunResult result = run("store_and_look");
    ASSERT_FALSE(result.fault) << result.fault->report;
    EXPECT_EQ(shared_->calls,
              (std::vector<std::string>{"look up", "look up", "update", "look up", "look up", "update"}));
    EXPECT_EQ(value(), to_hex(counts_of(7, 8, 3)));
}

TEST_F(LiveMap, AtomicsReadAgainFirst) {
    ASSERT_TRUE(back());
    int lookups = 0;
    shared_->before_lookup = [&] {
        if (++lookups == 2) {
            shared_->entries[key_of(1)] = counts_of(1, 2, 50);
        }
    };
    ASSERT_FALSE(run("add").fault);
    EXPECT_EQ(value(), to_hex(counts_of(1, 2, 51)));
    EXPECT_EQ(number_at(value_of(*inst_, ".bss"), 1), 50u);
}

TEST_F(LiveMap, AStoreToAnEntryThatOthersDeletedIsLost) {
    ASSERT_TRUE(back());
    int lookups = 0;
    shared_->before_lookup = [&] {
        if (++lookups == 2) {
            shared_->entries.clear();
        }
    };
    const RunResult result = run("store");
    EXPECT_FALSE(result.fault);
    EXPECT_TRUE(shared_->entries.empty());
}

TEST_F(LiveMap, WhatNoHelperCouldReturnEndsTheRun) {
    ASSERT_TRUE(back());
    shared_->refusal = EACCES;
    const RunResult result = run("store");
    ASSERT_TRUE(result.fault);
    EXPECT_NE(result.fault->cause.find("map flows of the kernel: "), std::string::npos)
        << result.fault->cause;
}

TEST_F(LiveMap, AFaultingRunIsNotMadeAgain) {
    ASSERT_TRUE(back());
    const RunResult result = run("store_and_fail");
    ASSERT_TRUE(result.fault);
    EXPECT_EQ(result.fault->kind, FaultKind::OutOfBounds);
    EXPECT_EQ(shared_->calls, (std::vector<std::string>{"look up", "look up", "update"}));
    EXPECT_EQ(value(), to_hex(counts_of(7, 2, 3)));
}

TEST_F(LiveMap, MapsOfMapsLeadToIt) {
    ASSERT_TRUE(run("through_outer").ret == abi::kXdpDrop);
    ASSERT_TRUE(back());
    EXPECT_EQ(run("through_outer").ret, abi::kXdpPass);
    EXPECT_EQ(value(), to_hex(counts_of(1, 9, 3)));
    EXPECT_EQ(inst_->find_map("flows")->info().live_id, 42u);
    EXPECT_EQ(inst_->find_map("own")->info().live_id, 0u);
}

TEST_F(LiveMap, ARunLooksAtSoManyKeysOnly) {
    ASSERT_TRUE(back());
    for (uint32_t i = 0; i < 65'537; ++i) {
        shared_->entries[key_of(i)] = counts_of(i, 0, 0);
    }
    for (const uint32_t limit : {65'536u, 65'537u, 65'536u}) {
        ByteVec data(16);
        store(data.data(), uint64_t{limit});
        set_value(*inst_, ".bss", data);
        const RunResult result = run("look_at_many");
        EXPECT_EQ(result.fault.has_value(), limit == 65'537) << limit;
        EXPECT_EQ(number_at(value_of(*inst_, ".bss"), 1), 65'536u);
        if (result.fault) {
            EXPECT_NE(result.fault->cause.find("65536 keys"), std::string::npos) << result.fault->cause;
        }
    }
}

TEST_F(LiveMap, SeveralCpusAreRefused) {
    ASSERT_TRUE(back());
    const ByteVec packet = packet_of(64);
    std::vector<BatchItem> items(2);
    items[0].in = items[1].in = packet;
    BatchOptions options;
    options.workers = 2;
    const auto replayed = inst_->find_program("store")->run_batch(items, options);
    ASSERT_FALSE(replayed);
    EXPECT_NE(replayed.error().text.find("map flows cannot be shared between CPUs: it is the kernel's"),
              std::string::npos)
        << replayed.error().text;
    RaceOptions race;
    race.packets = {packet, packet};
    EXPECT_FALSE(inst_->find_program("store")->race(race));
}

TEST_F(LiveMap, OtherShapesAreRefusedByName) {
    const MapInfo good = shared_->info;
    const auto refused = [&](const char* text) {
        const Status done = back();
        shared_->info = good;
        EXPECT_FALSE(done) << text;
        EXPECT_NE(done.error().message().find(text), std::string::npos) << done.error().message();
        EXPECT_EQ(done.error().code, EINVAL);
    };
    shared_->info.type = abi::MapType::LruHash;
    refused("is of type lru_hash, the object declares hash");
    shared_->info.key_size = 8;
    refused("has key size 8 where the object declares 4");
    shared_->info.value_size = 8;
    refused("has value size 8 where the object declares 16");
    shared_->info.max_entries = 7;
    refused("has max_entries 7 where the object declares 100000");
    shared_->info.flags = abi::kMapNoPrealloc;
    refused("has flags 1 where the object declares 0");
    EXPECT_EQ(inst_->find_map("flows")->info().live_id, 0u);
    EXPECT_TRUE(back());
}

TEST_F(LiveMap, TypesThatCannotBeBackedAreRefusedByName) {
    using abi::MapType;
    const std::vector<MapDef> defs = {
        map_def("no", MapType::PercpuArray, 4, 8, 1),
        map_def("no", MapType::PercpuHash, 4, 8, 1),
        map_def("no", MapType::LruPercpuHash, 4, 8, 1),
        map_def("no", MapType::ProgArray, 4, 4, 1),
        map_def("no", MapType::PerfEventArray, 4, 4, 1),
        map_def("no", MapType::CgroupArray, 4, 4, 1),
        map_def("no", MapType::Devmap, 4, 4, 1),
        map_def("no", MapType::DevmapHash, 4, 4, 1),
        map_def("no", MapType::Cpumap, 4, 4, 1),
        map_def("no", MapType::Xskmap, 4, 4, 1),
        map_def("no", MapType::Sockmap, 4, 4, 1),
        map_def("no", MapType::Sockhash, 4, 4, 1),
        map_def("no", MapType::Ringbuf, 0, 0, 4096),
        map_def("no", MapType::UserRingbuf, 0, 0, 4096),
        map_def("no", MapType::Hash, 4, 8, 1, abi::kMapRdonly),
        map_def("no", MapType::Hash, 4, 8, 1, abi::kMapWronly),
    };
    for (const MapDef& def : defs) {
        RawObject raw;
        raw.add_map(def);
        raw.add({mov(0, 2), exit_insn()});
        auto shared = std::make_shared<Shared>();
        shared->info = {"no", def.type, def.key_size, def.value_size, def.max_entries, def.flags, 1, 1};
        const OtherMap other(shared);
        LoadOptions load;
        load.maps["no"] = &other;
        const auto refused = vm::make_target()->load(raw.share(), load);
        ASSERT_FALSE(refused) << abi::name(def.type);
        EXPECT_EQ(refused.error().code, ENOTSUP) << refused.error().message();
        EXPECT_NE(refused.error().text.find("no: "), std::string::npos) << refused.error().message();
    }
}

TEST_F(LiveMap, ValuesWithLocksAreRefused) {
    const auto object = compile_text(std::string(kPrelude) + R"(
struct locked { struct bpf_spin_lock lock; __u32 count; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, struct locked); } safe SEC(".maps");
SEC("xdp") int pass(struct xdp_md *ctx) { return bpf_map_lookup_elem(&safe, &(__u32){0}) ? XDP_PASS : XDP_DROP; }
char LICENSE[] SEC("license") = "GPL";
)");
    ASSERT_NE(object, nullptr);
    shared_->info = {"safe", abi::MapType::Array, 4, 8, 1, 0, 1, 1};
    const OtherMap other(shared_);
    LoadOptions load;
    load.maps["safe"] = &other;
    const auto refused = vm::make_target()->load(object, load);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().text.find("safe: values with locks"), std::string::npos)
        << refused.error().text;
}

} // namespace

} // namespace mimicsh::test
