// SPDX-License-Identifier: MIT
// Map types beyond arrays and hashes, on both targets: what programs get back, what the host sees.
#include <random>

#include "base/cpus.h"
#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

void MapParity::queues() {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    open_case("tables");
    ASSERT_TRUE(ready());
    for (int i = 0; i < 1200; ++i) {
        const char* map_name = random() % 2 == 0 ? "queue" : "stack";
        const uint64_t flags = random() % 3 == 0 ? random() % 8 : random() % 2 * abi::kExist;
        if (random() % 2 == 0) {
            run(std::string("on_") + map_name, {random() % 3, random(), flags});
        } else {
            ByteVec value(12, static_cast<uint8_t>(random()));
            const uint64_t choice = random() % 6;
            host_both(map_name, [&](Map& map) {
                ByteVec next;
                switch (choice) {
                case 0:
                case 1:
                    return outcome(map.update({}, value, flags));
                case 2:
                    return outcome(map.take({}, value), value);
                case 3:
                    return outcome(map.lookup({}, value), value);
                case 4:
                    return outcome(map.erase({}));
                default: {
                    const auto more = map.next_key({}, next);
                    return more ? std::to_string(*more) : more.error().code_name();
                }
                }
            });
        }
        ASSERT_FALSE(HasFailure()) << "seed " << seed << ", operation " << i << " on " << map_name;
    }
}

void MapParity::bloom_filters() {
    open_case("tables");
    ASSERT_TRUE(ready());
    for (uint64_t number = 0; number < 30; ++number) {
        for (const uint64_t flags : {0, 1, 2, 4}) {
            run("on_bloom", {0, number * 3, flags});
        }
        run("on_bloom", {1, number * 3});
        run("on_bloom", {1, number * 3 + 1000});
    }
    for (uint32_t number = 0; number < 8; ++number) {
        for (int choice = 0; choice < 5; ++choice) {
            ByteVec value(12);
            store(value.data(), number);
            store(value.data() + 4, 2);
            store(value.data() + 8, 3);
            host_both("bloom", [&](Map& map) {
                ByteVec next;
                const auto more = map.next_key({}, next);
                return choice == 0   ? outcome(map.update({}, value, number % 3))
                       : choice == 1 ? outcome(map.take({}, value))
                       : choice == 2 ? outcome(map.erase({}))
                       : choice == 3 ? outcome(map.lookup({}, value), value)
                                     : (more ? std::to_string(*more) : more.error().code_name());
            });
        }
    }
}

void MapParity::walks(std::initializer_list<const char*> maps) {
    open_case("tables");
    ASSERT_TRUE(ready());
    for (const char* map : maps) {
        const std::string program = std::string("walk_") + map;
        const bool is_array = std::string(map).ends_with("array");
        run(program, {0, 0, 0});
        for (uint32_t i = 0; i < 5; ++i) {
            const uint32_t key = is_array ? i : i * 7 + 1;
            host_both(map, [&](Map& one) {
                const ByteVec value(host_value_size(one.info()), static_cast<uint8_t>(i));
                return outcome(one.update({reinterpret_cast<const uint8_t*>(&key), 4}, value, 0));
            });
        }
        for (uint32_t cpu = 0; cpu < std::min(possible_cpus(), 2u); ++cpu) {
            run(program, {0, 0, 0}, cpu);
        }
        run(program, {0, 1, 0});
        if (is_array) { // the order of the others is each target's own
            run(program, {3, 0, 0});
            run(program, {8, 0, 0});
        } else {
            run(program, {0, 0, 1});
            run(program, {0, 0, 0});
        }
    }
}

namespace {

ByteVec prefix_key(uint32_t length, uint32_t address) {
    ByteVec key(8);
    store(key.data(), length);
    store(key.data() + 4, address);
    return key;
}

/// Keys in the order of a walk, one line each.
std::string walk_of(Map& map) {
    std::string text;
    ByteVec key;
    ByteVec next(map.info().key_size);
    for (int i = 0; i < 100; ++i) {
        const auto more = map.next_key(key, next);
        if (!more) {
            return text + more.error().code_name();
        }
        if (!*more) {
            break;
        }
        text += to_hex(next) + "\n";
        key = next;
    }
    return text;
}

TEST_F(MapParity, LpmTrie) {
    const uint64_t seed = std::random_device{}();
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    std::mt19937_64 random(seed);
    open_case("tables");
    ASSERT_TRUE(ready());
    // Few addresses and lengths, so that prefixes cover each other and the map of six entries fills up.
    const uint32_t addresses[] = {0, 0x01, 0x0180, 0x800180, 0xff0180, 0x010180, 0x80, 0xffffffff};
    const uint32_t lengths[] = {0, 1, 7, 8, 9, 16, 17, 23, 24, 25, 31, 32, 33, 0xffffffff};
    for (int i = 0; i < 1500; ++i) {
        const uint32_t address = addresses[random() % std::size(addresses)];
        const uint32_t length = lengths[random() % std::size(lengths)];
        const uint64_t flags = random() % 3 == 0 ? random() % 5 : 0;
        if (random() % 3 == 0) {
            const ByteVec key = prefix_key(length, address);
            ByteVec value(8, static_cast<uint8_t>(random()));
            const uint64_t choice = random() % 5;
            host_both("lpm", [&](Map& map) {
                switch (choice) {
                case 0:
                    return outcome(map.update(key, value, flags));
                case 1:
                    return outcome(map.erase(key));
                case 2:
                    return outcome(map.take(key, value));
                case 3: {
                    ByteVec next(8);
                    const auto more = map.next_key(key, next);
                    return more ? std::to_string(*more) + to_hex(next) : more.error().code_name();
                }
                default:
                    return outcome(map.lookup(key, value), value);
                }
            });
        } else {
            run("on_lpm", {random() % 4, length, address, random(), flags});
        }
        host_both("lpm", walk_of);
        ASSERT_FALSE(HasFailure()) << "seed " << seed << ", operation " << i;
    }
}

TEST_F(MapParity, Queue) {
    queues();
}

TEST_F(MapParity, BloomFilter) {
    bloom_filters();
}

TEST_F(MapParity, ForEach) {
    walks({"array", "percpu_array", "hash", "percpu_hash", "lru", "lru_percpu"});
}

TEST_F(MapParity, PerfEvents) {
    open_case("events");
    ASSERT_TRUE(ready());
    constexpr uint64_t kCurrent = 0xffffffff;
    // The first run finds nobody listening; comparing the maps after it starts that.
    // Padding is zero as long as the kernel's buffer is new; later it is what an earlier record left.
    for (const char* program : {"emit", "emit_skb"}) {
        for (const uint64_t of_packet : {0, 1, 64}) {
            for (const uint64_t size : {0, 1, 4, 7, 12, 13}) {
                run(program, {kCurrent | of_packet << 32, size, 2});
            }
        }
    }
    for (const char* program : {"emit", "emit_skb"}) {
        for (const uint64_t index : {kCurrent, uint64_t{0}, uint64_t{1}, uint64_t{possible_cpus()}}) {
            for (const uint64_t of_packet : {0, 1, 5, 64, 65, 3000, 0xfffff}) {
                for (const uint64_t base : {0, 5, 12, 700, 4080}) {
                    const uint64_t size = base + (12 - (base + of_packet) % 8) % 8;
                    SCOPED_TRACE(testing::Message() << program << " index " << index << ", " << of_packet
                                                    << " bytes of the packet, record of " << size);
                    run(program, {index | of_packet << 32, size, 2});
                }
            }
        }
        for (const uint64_t flags : {1ull << 52, 1ull << 63}) {
            run(program, {kCurrent | flags, 12, 1});
        }
        for (uint32_t cpu = 0; cpu < std::min(possible_cpus(), 2u); ++cpu) {
            run(program, {kCurrent, 12, 3}, cpu);
            run(program, {1, 12, 3}, cpu);
        }
        // Fills the buffer; the loss is told with the first record that fits again.
        run(program, {kCurrent, 4004, 100});
        EXPECT_EQ(result(0), static_cast<uint64_t>(-ENOSPC));
        run(program, {kCurrent, 12, 1});
        run(program, {kCurrent, 3004, 120});
        run(program, {kCurrent, 204, 2});
    }
    EXPECT_GT(kernel_->find_map("events")->lost(), 0u);
    for (const uint32_t key : {0u, 0u, 77u}) {
        host_both("events", [&](Map& map) {
            ByteVec value(4);
            return outcome(map.erase(bytes_of(key))) + outcome(map.lookup(bytes_of(key), value)) +
                   walk_of(map);
        });
    }
    run("emit", {kCurrent, 12, 1});
}

TEST_F(MapParity, MapsOfMaps) {
    open_case("inner");
    ASSERT_TRUE(ready());
    const auto try_all = [&](const char* outer) {
        for (const uint64_t key : {0, 1, 2, 3, 7}) {
            for (const uint64_t within : {0, 1, 2}) {
                for (const uint64_t flags : {0, 1, 2}) {
                    run(std::string("on_") + outer, {key, within, 1000 + key, flags});
                }
            }
        }
    };
    for (const char* outer : {"by_index", "by_key"}) {
        try_all(outer);
        for (const char* inner : {"first", "second", "longer", "other", "by_index", "second"}) {
            for (const uint32_t key : {0u, 1u, 2u, 3u}) {
                for (const uint64_t flags : {1u, 2u, 0u, 3u}) {
                    SCOPED_TRACE(testing::Message()
                                 << outer << "[" << key << "] = " << inner << ", flags " << flags);
                    std::string outcomes[2];
                    Instance* sides[] = {vm_.get(), kernel_.get()};
                    for (size_t i = 0; i < 2; ++i) {
                        Map& map = *sides[i]->find_map(outer);
                        ByteVec value(4);
                        outcomes[i] = outcome(map.put_map(bytes_of(key), *sides[i]->find_map(inner), flags)) +
                                      " " + std::to_string(map.lookup(bytes_of(key), value).has_value());
                    }
                    EXPECT_EQ(outcomes[0], outcomes[1]);
                }
            }
            try_all(outer);
        }
        for (const uint32_t key : {1u, 1u, 0u, 9u}) {
            host_both(outer, [&](Map& map) {
                ByteVec value(4);
                return outcome(map.erase(bytes_of(key))) + " " + outcome(map.lookup(bytes_of(key), value)) +
                       " " + outcome(map.take(bytes_of(key), value));
            });
            try_all(outer);
        }
    }
}

TEST_F(MapParity, RedirectMaps) {
    open_case("inner");
    ASSERT_TRUE(ready());
    constexpr uint32_t kLoopback = 1, kNoInterface = 0x7ffffff0;
    for (const std::string name : {"dev", "dev_value", "dev_hash", "cpu", "xsk"}) {
        for (const uint32_t key : {0u, 1u, 2u, 5u, 9u, 4u, 13u, 1u}) {
            for (const uint32_t target : {kLoopback, 0u, kNoInterface, 20000u, kLoopback}) {
                for (const uint64_t flags : {2u, 0u, 1u, 3u, 8u}) {
                    SCOPED_TRACE(testing::Message()
                                 << name << "[" << key << "] = " << target << ", flags " << flags);
                    host_both(name.c_str(), [&](Map& map) {
                        ByteVec value(map.info().value_size);
                        store(value.data(), target);
                        // A number that is no socket is refused by the kernel alone.
                        const std::string updated =
                            name == "xsk" ? "" : outcome(map.update(bytes_of(key), value, flags));
                        const Status found = map.lookup(bytes_of(key), value);
                        return updated + " " + outcome(found, ByteView(value).first(4)) + "\n" + walk_of(map);
                    });
                }
            }
            for (const uint64_t wanted :
                 {uint64_t{key}, uint64_t{3}, uint64_t{1} << 32 | key, ~uint64_t{0}}) {
                for (const uint64_t flags :
                     {0ull, 1ull, 2ull, 3ull, 4ull, 8ull, 16ull, 24ull, 27ull, 32ull, ~0ull}) {
                    run("to_" + name, {wanted, flags});
                }
                if (name == "dev" || name == "dev_hash" || name == "xsk") {
                    run("look_at_" + name, {wanted});
                }
            }
        }
        for (const uint32_t key : {1u, 1u, 5u, 77u, 0u}) {
            host_both(name.c_str(),
                      [&](Map& map) { return outcome(map.erase(bytes_of(key))) + walk_of(map); });
        }
    }
}

TEST_F(MapParity, RedirectsAreInTheResult) {
    open_case("inner");
    ASSERT_TRUE(ready());
    const uint32_t key = 2;
    const ByteVec value{1, 0, 0, 0};
    ASSERT_TRUE(vm_->find_map("dev")->update(bytes_of(key), value, 0));
    set_args({key, 2});
    auto result = vm_->find_program("to_dev")->run(packet_of(64), {});
    ASSERT_TRUE(result && result->redirect);
    EXPECT_EQ(result->redirect->kind, "devmap");
    EXPECT_EQ(result->redirect->map, "dev");
    EXPECT_EQ(result->redirect->index, key);
    set_args({key + 1, 2});
    result = vm_->find_program("to_dev")->run(packet_of(64), {});
    EXPECT_TRUE(result && !result->redirect);
}

TEST_F(MapParity, XskmapSlots) {
    open_case("inner");
    ASSERT_TRUE(ready());
    const uint32_t key = 1;
    set_args({key, 2});
    auto result = vm_->find_program("to_xsk")->run(packet_of(64), {});
    EXPECT_TRUE(result && result->ret == abi::kXdpPass);
    ASSERT_TRUE(vm_->find_map("xsk")->update(bytes_of(key), ByteVec(4), 0));
    set_args({key, 2});
    result = vm_->find_program("to_xsk")->run(packet_of(64), {});
    EXPECT_TRUE(result && result->ret == abi::kXdpRedirect);
    host_both("xsk", [&](Map& map) { return outcome(map.erase(bytes_of(key))); });
}

TEST_F(MapParity, SpinLocks) {
    open_case("locks");
    ASSERT_TRUE(ready());
    for (const std::string map : {"lock_array", "lock_hash", "timer_array", "timer_hash", "timer_lru"}) {
        for (const uint32_t key : {0u, 1u, 2u, 5u, 1u}) {
            for (const uint64_t flags : {0ull, 1ull, 2ull, 4ull, 5ull, 6ull, 7ull, 8ull}) {
                SCOPED_TRACE(testing::Message() << map << " key " << key << " flags " << flags);
                run("on_" + map, {key, 100 + flags, flags, 0});
                run("on_" + map, {key, 100 + flags, flags, 1});
                host_both(map.c_str(), [&](Map& one) {
                    // What lies in the kernel's fields is neither taken over nor shown.
                    ByteVec value(one.info().value_size, static_cast<uint8_t>(0x11 + flags));
                    const std::string updated = outcome(one.update(bytes_of(key), value, flags));
                    const Status found = one.lookup(bytes_of(key), value);
                    return updated + " " + outcome(found, value);
                });
                run("on_" + map, {key, 1, 0, 0});
            }
        }
    }
}

TEST_F(MapParity, DefinitionsThatAreTaken) {
    using abi::MapType;
    size_t taken = 0;
    for (const MapType type :
         {MapType::Hash, MapType::Array, MapType::PercpuHash, MapType::PercpuArray, MapType::LruHash,
          MapType::LruPercpuHash, MapType::LpmTrie, MapType::Queue, MapType::BloomFilter, MapType::Ringbuf,
          MapType::ProgArray, MapType::PerfEventArray, MapType::Devmap, MapType::Cpumap, MapType::Xskmap}) {
        for (const uint32_t key : {0u, 4u, 8u}) {
            for (uint32_t flags = 0; flags <= 1u << 14; flags = flags < 16 ? flags + 1 : flags * 2) {
                for (const uint32_t entries : {0u, 4u, 4096u, 0xffffffffu}) {
                    const bool huge = entries > 4096;
                    for (const uint64_t extra : {0, 1}) {
                        if (huge && (type != MapType::Hash || (flags & abi::kMapNoPrealloc) == 0)) {
                            continue; // it would be made
                        }
                        if (type == MapType::Cpumap && entries == 4096) {
                            continue; // how many CPUs there can be is the kernel's choice
                        }
                        MapDef def =
                            map_def("m", type, key, type == MapType::Ringbuf ? 0 : 4, entries, flags);
                        def.extra = extra;
                        RawObject raw;
                        raw.load_map(1, raw.add_map(def)).add({mov(0, 2), exit_insn()});
                        const auto object = raw.share();
                        const auto here = vm::make_target()->load(object, {});
                        const auto there = kernel_target()->load(object, {});
                        SCOPED_TRACE(testing::Message()
                                     << abi::name(type) << " key " << key << ", flags " << flags << ", "
                                     << entries << " entries, extra " << extra);
                        ASSERT_EQ(here.has_value(), there.has_value());
                        EXPECT_EQ(here ? "" : here.error().code_name(),
                                  there ? "" : there.error().code_name());
                        taken += here ? 1 : 0;
                    }
                }
            }
        }
    }
    EXPECT_GT(taken, 200u);
}

TEST_F(MapParity, TakeLooksUpAndDeletes) {
    open_case("tables");
    ASSERT_TRUE(ready());
    for (const char* map : {"array", "percpu_array", "hash", "percpu_hash", "lru", "lru_percpu"}) {
        for (const uint32_t key : {1u, 2u, 1u}) {
            host_both(map, [&](Map& one) {
                ByteVec value(host_value_size(one.info()), 5);
                const ByteView bytes(reinterpret_cast<const uint8_t*>(&key), 4);
                const std::string updated = outcome(one.update(bytes, value, 0));
                const std::string taken = outcome(one.take(bytes, value), value);
                return updated + ", " + taken + ", " + outcome(one.take(bytes, value));
            });
        }
    }
}

} // namespace

} // namespace mimicsh::test
