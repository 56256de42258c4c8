// SPDX-License-Identifier: MIT
// Maps on both targets: through helpers and through the host's calls, errors included.
#include <random>
#include <set>

#include "base/cpus.h"
#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

TEST_F(HelperParity, MapHelpers) {
    // Random operations on a small key space; the seed makes a failure come again.
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    open_case("maps");
    ASSERT_TRUE(ready());
    const std::string programs[] = {"on_hash",        "on_lazy_hash",        "on_array",
                                    "on_percpu_hash", "on_lazy_percpu_hash", "on_percpu_array"};
    for (int i = 0; i < 1500; ++i) {
        RunOptions options;
        options.cpu = static_cast<uint32_t>(random() % possible_cpus());
        const uint64_t flags = random() % 4 == 0 ? random() % 4 : 0;
        set_args({random() % 6, random() % 7, random(), flags});
        run_both(programs[random() % 6], packet_of(64), options);
        ASSERT_FALSE(HasFailure()) << "seed " << seed << ", operation " << i;
    }
}

TEST_F(MapParity, Hash) {
    edges("on_hash");
    edges("on_lazy_hash");
}

TEST_F(MapParity, Array) {
    edges("on_array");
}

TEST_F(MapParity, PercpuHash) {
    edges("on_percpu_hash");
    edges("on_lazy_percpu_hash");
}

TEST_F(MapParity, PercpuArray) {
    edges("on_percpu_array");
}

TEST_F(HelperParity, PercpuLookup) {
    open_case("maps");
    ASSERT_TRUE(ready());
    for (const char* program : {"cpu_of_percpu_hash", "cpu_of_percpu_array"}) {
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            for (const char* name : {"percpu_hash", "percpu_array"}) {
                ByteVec values(host_value_size(side->find_map(name)->info()));
                for (size_t i = 0; i < values.size(); ++i) {
                    values[i] = static_cast<uint8_t>(i);
                }
                set_value(*side, name, values, 2);
            }
        }
        for (const uint64_t cpu : {uint64_t{0}, uint64_t{1}, uint64_t{possible_cpus()} - 1,
                                   uint64_t{possible_cpus()}, uint64_t{1023}, uint64_t{0xffffffff}}) {
            for (const uint64_t key : {0u, 2u, 4u}) {
                SCOPED_TRACE(testing::Message() << program << " cpu " << cpu << " key " << key);
                set_args({cpu, key, 0x5555 + cpu});
                run_both(program, packet_of(64));
            }
        }
    }
}

TEST_F(MapParity, LruKeepsRecentKeys) {
    open_case("maps");
    ASSERT_TRUE(ready());
    // Which old key goes is the kernel's approximation; what both must do is in the results: no update fails,
    // and the key that is looked at all the time stays.
    for (const std::string name : {"lru", "lru_percpu"}) {
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            SCOPED_TRACE(testing::Message() << name << " on " << side->target());
            set_args({0, 250, 0});
            RunOptions options;
            options.cpu = 0;
            const auto result = side->find_program("fill_" + name)->run(packet_of(64), options);
            ASSERT_TRUE(result) << result.error().message();
            ASSERT_FALSE(result->fault) << result->fault->report;
            EXPECT_EQ(number_at(value_of(*side, ".bss"), kIoArgs), 0u) << "updates that failed";
            Map& lru = *side->find_map(name);
            ByteVec value(host_value_size(lru.info()));
            size_t present = 0;
            for (uint32_t key = 0; key < 250; ++key) {
                present += lru.lookup(bytes_of(key), value) ? 1 : 0;
            }
            EXPECT_LE(present, 100u);
            EXPECT_GE(present, 60u);
            for (const uint32_t recent : {245u, 249u}) {
                EXPECT_TRUE(lru.lookup(bytes_of(recent), value)) << recent;
            }
            for (const uint32_t old : {1u, 50u}) {
                EXPECT_FALSE(lru.lookup(bytes_of(old), value)) << old;
            }
        }
    }
}

TEST_F(MapParity, LruIsExactOnTheEmulator) {
    open_case("maps");
    ASSERT_TRUE(ready());
    set_args({0, 250, 0});
    ASSERT_TRUE(vm_->find_program("fill_lru")->run(packet_of(64), {}));
    EXPECT_EQ(number_at(value_of(*vm_, ".bss"), kIoArgs + 1), 250u) << "the watched key never went";
    ByteVec value(8);
    for (uint32_t key = 0; key < 250; ++key) {
        const bool expected = key == 0 || key >= 151;
        EXPECT_EQ(vm_->find_map("lru")->lookup(bytes_of(key), value).has_value(), expected) << key;
    }
}

// -- Calls from the host --

/// One host call on a map, as text, so that a whole history can be compared.
std::string host_call(Map& map, uint64_t choice, uint32_t key, uint64_t number, uint64_t flags) {
    ByteVec value(host_value_size(map.info()));
    for (size_t i = 0; i < value.size(); ++i) {
        value[i] = static_cast<uint8_t>(number >> (i % 8 * 8));
    }
    switch (choice) {
    case 0: {
        const std::string text = outcome(map.lookup(bytes_of(key), value));
        return "look up " + text + (text == "ok " ? to_hex(value) : "");
    }
    case 1:
        return "update " + outcome(map.update(bytes_of(key), value, flags));
    case 2:
        return "delete " + outcome(map.erase(bytes_of(key)));
    case 3:
        return "short key " + outcome(map.update(bytes_of(key).first(3), value, flags));
    case 4:
        return "short value " + outcome(map.update(bytes_of(key), ByteView(value).first(7), flags));
    default:
        return "short look-up " + outcome(map.lookup(bytes_of(key), ByteSpan(value).first(7)));
    }
}

TEST_F(MapParity, HostCallsReturnTheSameErrors) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    open_case("maps");
    ASSERT_TRUE(ready());
    const std::vector<Map*> here = vm_->maps();
    const std::vector<Map*> there = kernel_->maps();
    const uint64_t all_flags[] = {0, 0, 0, 1, 2, 3, 4, 5, 8, 16, ~0ull};
    for (size_t i = 0; i < here.size(); ++i) {
        if (here[i]->info().key_size != 4 || here[i]->info().value_size != 8 ||
            here[i]->info().name.starts_with("lru")) {
            continue; // an LRU map's victims are the kernel's choice; its errors are a hash's
        }
        for (int step = 0; step < 400; ++step) {
            const uint64_t choice = random() % 8;
            const auto key = static_cast<uint32_t>(random() % 7);
            const uint64_t number = random();
            const uint64_t flags = all_flags[random() % std::size(all_flags)];
            ASSERT_EQ(host_call(*here[i], choice % 6, key, number, flags),
                      host_call(*there[i], choice % 6, key, number, flags))
                << here[i]->info().name << " step " << step << " key " << key << " flags " << flags
                << " seed " << seed;
        }
    }
    expect_same_maps();
}

TEST_F(MapParity, WalksVisitEveryKeyOnce) {
    open_case("maps");
    ASSERT_TRUE(ready());
    for (Instance* side : {vm_.get(), kernel_.get()}) {
        for (Map* map : side->maps()) {
            if (map->info().key_size != 4 || map->info().value_size != 8) {
                continue;
            }
            ByteVec value(host_value_size(map->info()));
            for (uint32_t key = 0; key < 4; ++key) {
                ASSERT_TRUE(map->update(bytes_of(key), value, abi::kAny)) << map->info().name;
            }
            std::multiset<ByteVec> keys;
            ByteVec key;
            ByteVec next(4);
            for (int i = 0; i < 10; ++i) {
                const auto more = map->next_key(key, next);
                ASSERT_TRUE(more) << more.error().message();
                if (!*more) {
                    break;
                }
                keys.insert(next);
                key = next;
            }
            EXPECT_EQ(keys.size(), 4u) << side->target() << " " << map->info().name;
            EXPECT_EQ(std::set<ByteVec>(keys.begin(), keys.end()).size(), 4u);
            // A key that is not there starts the walk again; on both.
            const uint32_t absent = 99;
            const auto more = map->next_key(bytes_of(absent), next);
            ASSERT_TRUE(more) << more.error().message();
            EXPECT_TRUE(*more) << side->target() << " " << map->info().name;
        }
    }
}

TEST_F(MapParity, FrozenMapsTakeNoHostWrites) {
    open_case("maps");
    ASSERT_TRUE(ready());
    for (Instance* side : {vm_.get(), kernel_.get()}) {
        Map& map = *side->find_map("hash");
        ASSERT_TRUE(map.freeze());
        const ByteVec value(8);
        const uint32_t key = 1;
        EXPECT_EQ(outcome(map.update(bytes_of(key), value, 0)), "EPERM") << side->target();
        EXPECT_EQ(outcome(map.erase(bytes_of(key))), "EPERM") << side->target();
        EXPECT_EQ(outcome(map.freeze()), "EPERM") << side->target();
    }
    operate("on_hash", kUpdate, 1, 5); // programs still may
}

// -- Creation --

TEST_F(MapParity, DefinitionsAreRefusedAlike) {
    using abi::MapType;
    struct Case {
        MapType type;
        uint32_t key, value, entries, flags;
    };
    for (const Case& one : {
             Case{MapType::Array, 4, 8, 1, 0},
             Case{MapType::Array, 8, 8, 1, 0},
             Case{MapType::Array, 4, 0, 1, 0},
             Case{MapType::Array, 4, 8, 0, 0},
             Case{MapType::Array, 4, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::Array, 4, 8, 1, abi::kMapMmapable},
             Case{MapType::Array, 4, 8, 1, abi::kMapRdonlyProg | abi::kMapWronlyProg},
             Case{MapType::Array, 4, 8, 1, abi::kMapRdonly | abi::kMapWronly},
             Case{MapType::PercpuArray, 4, 8, 1, abi::kMapMmapable},
             Case{MapType::PercpuArray, 4, 32768, 1, 0},
             Case{MapType::PercpuArray, 4, 32769, 1, 0},
             Case{MapType::Hash, 0, 8, 1, 0},
             Case{MapType::Hash, 512, 8, 1, 0},
             Case{MapType::Hash, 513, 8, 1, 0},
             Case{MapType::Hash, 4, 0, 1, 0},
             Case{MapType::Hash, 4, 8, 0, 0},
             Case{MapType::Hash, 4, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::Hash, 4, 8, 1, abi::kMapZeroSeed},
             Case{MapType::Hash, 4, 8, 1, abi::kMapNoCommonLru},
             Case{MapType::Hash, 4, 8, 1, abi::kMapMmapable},
             Case{MapType::Hash, 4, 8, 1, 1u << 30},
             Case{MapType::LruHash, 4, 8, 16, abi::kMapNoPrealloc},
             Case{MapType::LruHash, 4, 8, 16, abi::kMapNoCommonLru},
             Case{MapType::PercpuHash, 4, 32768, 1, 0},
             Case{MapType::PercpuHash, 4, 40000, 1, 0},
             Case{MapType::PerfEventArray, 4, 4, 1, 0},
             Case{MapType::PerfEventArray, 4, 4, 0, 0},
             Case{MapType::PerfEventArray, 4, 8, 1, 0},
             Case{MapType::PerfEventArray, 4, 4, 1, abi::kMapRdonlyProg},
             Case{MapType::PerfEventArray, 4, 4, 1, abi::kMapRdonly},
             Case{MapType::ProgArray, 4, 4, 1, abi::kMapRdonlyProg},
             Case{MapType::ProgArray, 4, 4, 1, 0},
             Case{MapType::ProgArray, 4, 8, 1, 0},
             Case{MapType::ProgArray, 4, 4, 0, 0},
             Case{MapType::LruPercpuHash, 4, 8, 16, 0},
             Case{MapType::LruPercpuHash, 4, 8, 16, abi::kMapNoPrealloc},
             Case{MapType::LruPercpuHash, 4, 32769, 16, 0},
             Case{MapType::LpmTrie, 8, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::LpmTrie, 8, 8, 1, 0},
             Case{MapType::LpmTrie, 8, 8, 0, abi::kMapNoPrealloc},
             Case{MapType::LpmTrie, 8, 0, 1, abi::kMapNoPrealloc},
             Case{MapType::LpmTrie, 4, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::LpmTrie, 5, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::LpmTrie, 260, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::LpmTrie, 261, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::LpmTrie, 8, 8, 1, abi::kMapNoPrealloc | abi::kMapZeroSeed},
             Case{MapType::LpmTrie, 8, 8, 1, abi::kMapNoPrealloc | abi::kMapRdonlyProg},
             Case{MapType::Queue, 0, 8, 1, 0},
             Case{MapType::Queue, 4, 8, 1, 0},
             Case{MapType::Queue, 0, 0, 1, 0},
             Case{MapType::Queue, 0, 8, 0, 0},
             Case{MapType::Queue, 0, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::Queue, 0, 8, 1, abi::kMapRdonly},
             Case{MapType::Stack, 0, 1, 3, 0},
             Case{MapType::Stack, 0, 8, 1, abi::kMapRdonlyProg | abi::kMapWronlyProg},
             Case{MapType::BloomFilter, 0, 8, 1, 0},
             Case{MapType::BloomFilter, 4, 8, 1, 0},
             Case{MapType::BloomFilter, 0, 0, 1, 0},
             Case{MapType::BloomFilter, 0, 8, 0, 0},
             Case{MapType::BloomFilter, 0, 8, 1, abi::kMapZeroSeed},
             Case{MapType::BloomFilter, 0, 8, 1, abi::kMapNoPrealloc},
             Case{MapType::Devmap, 4, 4, 1, 0},
             Case{MapType::Devmap, 4, 8, 1, 0},
             Case{MapType::Devmap, 4, 12, 1, 0},
             Case{MapType::Devmap, 8, 4, 1, 0},
             Case{MapType::Devmap, 4, 4, 0, 0},
             Case{MapType::Devmap, 4, 4, 1, abi::kMapRdonlyProg},
             Case{MapType::DevmapHash, 4, 4, 1, 0},
             Case{MapType::DevmapHash, 4, 4, 0, 0},
             Case{MapType::DevmapHash, 4, 4, 1, abi::kMapNoPrealloc},
             Case{MapType::Cpumap, 4, 4, 1, 0},
             Case{MapType::Cpumap, 4, 8, 1, 0},
             Case{MapType::Cpumap, 4, 4, 100000, 0},
             Case{MapType::Cpumap, 4, 4, 1, abi::kMapRdonly},
             Case{MapType::Xskmap, 4, 4, 1, 0},
             Case{MapType::Xskmap, 4, 8, 1, 0},
             Case{MapType::Xskmap, 4, 4, 1, abi::kMapRdonlyProg},
             Case{MapType::Ringbuf, 0, 0, 4096, 0},
             Case{MapType::Ringbuf, 0, 0, 4095, 0},
             Case{MapType::Ringbuf, 0, 0, 2048, 0},
             Case{MapType::Ringbuf, 0, 0, 12288, 0},
             Case{MapType::Ringbuf, 0, 0, 0, 0},
             Case{MapType::Ringbuf, 4, 0, 4096, 0},
             Case{MapType::Ringbuf, 0, 0, 4096, abi::kMapRdonlyProg},
         }) {
        RawObject raw;
        raw.add_map(map_def("tried", one.type, one.key, one.value, one.entries, one.flags));
        raw.add({mov(0, 2), exit_insn()});
        const auto object = raw.share();
        const auto here = vm::make_target()->load(object, {});
        const auto there = kernel_target()->load(object, {});
        const std::string what = std::string(abi::name(one.type)) + " " + std::to_string(one.key) + " " +
                                 std::to_string(one.value) + " " + std::to_string(one.entries) + " flags " +
                                 std::to_string(one.flags);
        EXPECT_EQ(here ? "ok" : here.error().code_name(), there ? "ok" : there.error().code_name())
            << what << ": " << (here ? "" : here.error().message());
    }
}

TEST_F(MapParity, InnerMapsAreRefusedAlike) {
    using abi::MapType;
    for (const MapType outer : {MapType::ArrayOfMaps, MapType::HashOfMaps}) {
        for (const MapDef& inner : {
                 map_def("inner", MapType::Array, 4, 8, 1),
                 map_def("inner", MapType::Hash, 4, 8, 1, abi::kMapNoPrealloc),
                 map_def("inner", MapType::LpmTrie, 8, 8, 1, abi::kMapNoPrealloc),
                 map_def("inner", MapType::LpmTrie, 8, 8, 1, 0),
                 map_def("inner", MapType::ProgArray, 4, 4, 1),
                 map_def("inner", MapType::PerfEventArray, 4, 4, 1),
                 map_def("inner", MapType::Queue, 0, 4, 1),
                 map_def("inner", MapType::Ringbuf, 0, 0, 4096),
                 map_def("inner", MapType::BloomFilter, 0, 4, 1),
             }) {
            for (const uint32_t key_size : {4u, 8u, 0u}) {
                for (const uint32_t flags : {0u, abi::kMapNoPrealloc, abi::kMapRdonlyProg}) {
                    RawObject raw;
                    MapDef def = map_def("outer", outer, key_size, 4, 2, flags);
                    def.inner = std::make_shared<MapDef>(inner);
                    raw.add_map(def);
                    raw.add({mov(0, 2), exit_insn()});
                    const auto object = raw.share();
                    const auto here = vm::make_target()->load(object, {});
                    const auto there = kernel_target()->load(object, {});
                    EXPECT_EQ(here ? "ok" : here.error().code_name(),
                              there ? "ok" : there.error().code_name())
                        << abi::name(outer) << " of " << abi::name(inner.type) << ", keys of " << key_size
                        << ", flags " << flags << ": " << (here ? "" : here.error().message());
                }
            }
        }
    }
}

} // namespace

} // namespace mimicsh::test
