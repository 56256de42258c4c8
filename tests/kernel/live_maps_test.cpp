// SPDX-License-Identifier: MIT
// Programs of the vm on maps of the kernel: what they get back and leave behind is what the kernel's own
// programs do.
#include <atomic>
#include <random>
#include <thread>

#include "kernel/differences.h"
#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

/// The emulator's maps are those of a kernel instance of their own, as far as they can be; the reference is
/// another instance.
class LiveMapParity : public MapParity {
  protected:
    Expected<std::unique_ptr<Instance>> load_on_vm(const std::shared_ptr<const Object>& object,
                                                   const vm::Options& options) override {
        auto on_vm = MapParity::load_on_vm(object, options);
        auto behind = kernel_target()->load(object, {});
        if (!on_vm || !behind) {
            return std::move(on_vm ? behind : on_vm);
        }
        behind_ = std::move(*behind);
        for (size_t i = 0; i < object->maps.size(); ++i) {
            if (!object->maps[i].is_data && (*on_vm)->back_map(i, *behind_->maps()[i])) {
                backed_.insert(object->maps[i].name);
            }
        }
        return on_vm;
    }

    /// Contents of a map as text, in the order of keys.
    static std::string contents(Map& map) {
        std::string text;
        for (const auto& [key, value] : kernel::entries_of(map, text)) {
            text += to_hex(key) + ": " + to_hex(value) + "\n";
        }
        return text;
    }

    std::unique_ptr<Instance> behind_;
    std::set<std::string> backed_;
};

TEST_F(LiveMapParity, HashesAndArrays) {
    edges("on_hash");
    edges("on_lazy_hash");
    edges("on_array");
    EXPECT_EQ(backed_, (std::set<std::string>{"array", "hash", "lazy_hash", "lru"}));
}

TEST_F(LiveMapParity, RandomOperations) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    open_case("maps");
    ASSERT_TRUE(ready());
    const std::string programs[] = {"on_hash", "on_lazy_hash", "on_array"};
    for (int i = 0; i < 1500; ++i) {
        const uint64_t flags = random() % 4 == 0 ? random() % 4 : 0;
        operate(programs[random() % 3], random() % 6, random() % 7, random(), flags);
        ASSERT_FALSE(HasFailure()) << "seed " << seed << ", operation " << i;
    }
}

TEST_F(LiveMapParity, QueuesAndBloomFilters) {
    queues();
    bloom_filters();
    EXPECT_TRUE(backed_.contains("queue") && backed_.contains("stack") && backed_.contains("bloom"));
}

TEST_F(LiveMapParity, Walks) {
    walks({"array", "hash"}); // writing back to an LRU map may evict
    EXPECT_TRUE(backed_.contains("hash") && backed_.contains("array"));
}

TEST_F(LiveMapParity, LpmTriesTakeNoStores) {
    open_case("tables");
    ASSERT_TRUE(ready() && backed_.contains("lpm"));
    set_args({1, 0, 0, 5, 0});
    ASSERT_TRUE(vm_->find_program("on_lpm")->run(packet_of(64), {}));
    set_args({0, 32, 1, 5});
    const auto stored = vm_->find_program("on_lpm")->run(packet_of(64), {});
    ASSERT_TRUE(stored && stored->fault);
    EXPECT_EQ(stored->fault->kind, FaultKind::Permission);
    EXPECT_NE(stored->fault->hint.find("update the entry by its key"), std::string::npos);
}

TEST_F(LiveMapParity, LpmTries) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    open_case("tables");
    ASSERT_TRUE(ready() && backed_.contains("lpm"));
    const uint32_t addresses[] = {0, 0x01, 0x0180, 0x800180, 0xff0180, 0xffffffff};
    const uint32_t lengths[] = {0, 1, 8, 9, 16, 24, 32, 33};
    for (int i = 0; i < 800; ++i) { // all but the operation that stores to what it found
        run("on_lpm", {1 + random() % 3, lengths[random() % std::size(lengths)],
                       addresses[random() % std::size(addresses)], random(), random() % 3});
        ASSERT_FALSE(HasFailure()) << "seed " << seed << ", operation " << i;
    }
}

TEST_F(LiveMapParity, KernelAndVmTakeTurnsOnOneMap) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    open_case("maps");
    ASSERT_TRUE(ready());
    const std::string programs[] = {"on_hash", "on_lazy_hash", "on_array"};
    for (int i = 0; i < 600; ++i) {
        const size_t which = random() % 3;
        set_args({random() % 6, random() % 7, random(), random() % 3});
        set_value(*behind_, ".bss", value_of(*kernel_, ".bss"));
        Instance* turn = random() % 2 == 0 ? vm_.get() : behind_.get();
        const auto real = kernel_->find_program(programs[which])->run(packet_of(64), {});
        const auto shared = turn->find_program(programs[which])->run(packet_of(64), {});
        ASSERT_TRUE(real && shared);
        ASSERT_FALSE(shared->fault) << shared->fault->report;
        ASSERT_EQ(to_hex(value_of(*turn, ".bss")), to_hex(value_of(*kernel_, ".bss")))
            << "seed " << seed << ", operation " << i;
        for (const std::string name : {"hash", "lazy_hash", "array"}) {
            ASSERT_EQ(contents(*behind_->find_map(name)), contents(*kernel_->find_map(name)))
                << name << ", seed " << seed << ", operation " << i;
        }
    }
}

constexpr std::string_view kCounters = R"(
struct counts { __u64 atomic; __u32 small; __u32 pad; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __uint(map_flags, BPF_F_MMAPABLE);
         __type(key, __u32); __type(value, struct counts); } shared SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __uint(map_flags, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG);
         __type(key, __u32); __type(value, __u64); } config SEC(".maps");
SEC("xdp") int count(struct xdp_md *ctx) {
    __u32 key = 2;
    struct counts *counts = bpf_map_lookup_elem(&shared, &key);
    __u64 *step = bpf_map_lookup_elem(&config, &(__u32){0});
    if (!counts || !step)
        return XDP_DROP;
    __sync_fetch_and_add(&counts->atomic, *step);
    __sync_fetch_and_add(&counts->small, 1);
    return XDP_PASS;
}
char LICENSE[] SEC("license") = "GPL";
)";

TEST_F(LiveMapParity, AtomicsOnSharedMemoryLoseNothing) {
    open(compile_text(std::string(kPrelude) + std::string(kCounters)));
    ASSERT_TRUE(ready());
    ASSERT_EQ(backed_, (std::set<std::string>{"config", "shared"}));
    const uint32_t zero = 0, key = 2;
    ByteVec step(8);
    store(step.data(), uint64_t{3});
    ASSERT_TRUE(vm_->find_map("config")->update(bytes_of(zero), step, 0));
    const ByteVec packet = packet_of(64);
    RunOptions options;
    options.repeat = 10'000;
    RunOptions on_another = options;
    on_another.cpu = possible_cpus() - 1;
    const OnFirstCpu here;
    uint64_t runs = 0;
    std::atomic<bool> ends = false;
    std::thread other([&] {
        while (!ends && behind_->find_program("count")->run(packet, on_another)) {
            runs += options.repeat;
        }
    });
    for (int i = 0; i < 50; ++i) {
        const auto result = vm_->find_program("count")->run(packet, options);
        EXPECT_TRUE(result && !result->fault);
    }
    ends = true;
    other.join();
    EXPECT_GT(runs, 0u);
    runs += uint64_t{50} * options.repeat;
    ByteVec value(16);
    ASSERT_TRUE(behind_->find_map("shared")->lookup(bytes_of(key), value));
    EXPECT_EQ(number_at(value, 0), 3 * runs);
    EXPECT_EQ(static_cast<uint32_t>(number_at(value, 1)), static_cast<uint32_t>(runs));
}

TEST_F(LiveMapParity, AFrozenMapIsReadButNotWritten) {
    open_case("maps");
    ASSERT_TRUE(ready());
    const uint32_t key = 1;
    ASSERT_TRUE(behind_->find_map("hash")->update(bytes_of(key), ByteVec(8, 1), 0));
    ASSERT_TRUE(behind_->find_map("hash")->freeze());
    for (const uint64_t operation : {kUpdate, kDelete, kLookUp, kAtomic}) {
        set_args({operation, key, 5, 0});
        const auto result = vm_->find_program("on_hash")->run(packet_of(64), {});
        ASSERT_TRUE(result);
        ASSERT_TRUE(result->fault) << "operation " << operation;
        EXPECT_NE(result->fault->cause.find("map is read only"), std::string::npos) << result->fault->cause;
    }
    EXPECT_EQ(contents(*behind_->find_map("hash")), "01000000: 0101010101010101\n");
}

TEST_F(LiveMapParity, AMapStaysWhenItsInstanceGoes) {
    open_case("maps");
    ASSERT_TRUE(ready());
    behind_.reset();
    operate("on_hash", kUpdate, 1, 10);
    operate("on_hash", kLookUp, 1, 5);
    operate("on_array", kAtomic, 3, 7);
}

TEST_F(LiveMapParity, KernelInstancesShareMapsToo) {
    const auto object = compile_case("parity/maps.bpf.c");
    auto first = kernel_target()->load(object, {});
    ASSERT_TRUE(first) << first.error().message();
    LoadOptions load;
    load.maps["hash"] = (*first)->find_map("hash");
    auto second = kernel_target()->load(object, load);
    ASSERT_TRUE(second) << second.error().message();
    const uint32_t key = 3;
    ASSERT_TRUE((*first)->find_map("hash")->update(bytes_of(key), ByteVec(8, 4), 0));
    ASSERT_TRUE((*first)->find_map("array")->update(bytes_of(key), ByteVec(8, 4), 0));
    EXPECT_EQ(contents(*(*second)->find_map("hash")), "03000000: 0404040404040404\n");
    EXPECT_NE(contents(*(*second)->find_map("array")), contents(*(*first)->find_map("array")));
    for (const std::string name : {"array", "lazy_hash", "lru"}) {
        load.maps = {{name, (*first)->find_map("hash")}};
        for (const auto& refused :
             {kernel_target()->load(object, load), vm::make_target()->load(object, load)}) {
            ASSERT_FALSE(refused) << name;
            EXPECT_EQ(refused.error().code_name(), "EINVAL");
        }
    }
    load.maps = {{"nowhere", (*first)->find_map("hash")}};
    EXPECT_FALSE(kernel_target()->load(object, load));
    load.maps = {{".bss", (*first)->find_map("hash")}};
    EXPECT_FALSE(kernel_target()->load(object, load));
}

} // namespace

} // namespace mimicsh::test
