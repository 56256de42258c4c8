// SPDX-License-Identifier: MIT
// Objects that programs allocate, in lists, trees and pointers.
#include <random>

#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

enum CountingStep : uint64_t { kCount, kPutIn, kTakeOut, kDeleteKey, kUpdateKey, kFill };
enum ListStep : uint64_t { kPushFront, kPushBack, kPopFront, kPopBack, kPut, kRemove };

class ObjectParity : public MapParity {
  protected:
    void SetUp() override {
        MapParity::SetUp();
        if (!IsSkipped()) {
            open_case("objects");
            ASSERT_TRUE(ready());
        }
    }

    void step(const std::string& program, const std::vector<uint64_t>& args) {
        std::string text = program;
        for (const uint64_t arg : args) {
            text += " " + std::to_string(arg);
        }
        SCOPED_TRACE(text);
        run(program, args);
    }
};

TEST_F(ObjectParity, Lists) {
    std::mt19937 random(1);
    for (const char* program : {"on_lists", "on_list_hash"}) {
        step(program, {kPut, 7, 1});
        for (uint64_t i = 0; i < 200; ++i) {
            step(program, {random() % 9 == 0 ? kPopFront : random() % 4, i, 1});
        }
        step(program, {kPushBack, 1000, 1});
        step(program, {kPut, 8, 1}); // frees the list
        step(program, {kPopFront, 0, 1});
        step(program, {kPushBack, 1001, 1});
        step(program, {kRemove, 0, 1});
        step(program, {kPut, 9, 1});
        step(program, {kPopBack, 0, 1});
    }
}

TEST_F(ObjectParity, Trees) {
    std::mt19937 random(1);
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 40; ++i) {
            step("tree_add", {round == 0 ? static_cast<uint64_t>(i) : random() % 64});
            for (uint64_t way = 0; i % 8 == 7 && way < 32; ++way) {
                step("tree_walk", {5, way, 0});
                step("tree_walk", {3, way, 0});
            }
        }
        for (int i = 0; i < 60; ++i) {
            step("tree_walk", {random() % 5, random() % 32, 1});
            for (uint64_t way = 0; i % 8 == 7 && way < 16; ++way) {
                step("tree_walk", {4, way, 0});
                step("tree_walk", {2, way, 0});
            }
        }
    }
}

TEST_F(ObjectParity, References) {
    for (const uint64_t key : {5, 3, 9, 3, 1}) {
        step("share", {key});
    }
    for (const uint64_t remove : {1, 0, 1, 1, 0, 1, 1, 1}) {
        step("unshare", {remove});
    }
}

TEST_F(ObjectParity, Pointers) {
    for (const char* program : {"on_pointers", "on_pointer_hash"}) {
        step(program, {1, 0, 5, 2});
        for (uint64_t i = 0; i < 4; ++i) {
            step(program, {1, i & 1, 100 + i, 0});
            step(program, {1, 1, 200 + i, 0});
        }
        step(program, {1, 1, 300, 2}); // an update frees what was there
        step(program, {1, 0, 0, 1});
        step(program, {1, 0, 6, 2});
        step(program, {1, 1, 301, 0});
        host_both(std::string(program).substr(3).c_str(), [](Map& map) {
            return outcome(map.update(bytes_of(1), ByteVec(map.info().value_size, 3), 0));
        });
        expect_same_maps();
        step(program, {1, 0, 0, 0});
    }
}

TEST_F(ObjectParity, PointersInMapsOfEveryType) {
    for (const std::string map : {"of_cpus", "of_cpus_hash", "lru", "lru_of_cpus"}) {
        const std::string program = "on_" + map;
        for (uint64_t round = 0; round < 3; ++round) { // places of deleted keys are taken again
            step(program, {1, 0, 5, 2});
            step(program, {1, 1, 100 + round, 0});
            step(program, {1, 1, 200 + round, 0});
            EXPECT_EQ(result(1), 100 + round);
            step(program, {1, 0, 300, 2}); // an update frees what was there, or does not
            step(program, {1, 1, 301, 0});
            host_both(map.c_str(), [](Map& one) {
                return outcome(one.update(bytes_of(1), ByteVec(host_value_size(one.info()), 3), 0));
            });
            expect_same_maps();
            step(program, {1, 0, 0, 0});
            step(program, {1, 1, 400, 0});
            step(program, {1, 0, 0, 1});
            host_both(map.c_str(), [](Map& one) { return outcome(one.erase(bytes_of(1))); });
        }
    }
}

/// An update under the lock of the value is made in place, and leaves what a hash's value owns.
TEST_F(ObjectParity, PointersBesideALock) {
    for (const std::string map : {"guarded", "guarded_hash"}) {
        const std::string program = "on_" + map;
        step(program, {1, 1, 5, 2});
        for (const uint64_t flags : {abi::kLock, abi::kAny, abi::kLock | abi::kExist}) {
            step(program, {1, 1, 100, 0, flags});
            step(program, {1, 1, 200, 2, flags});
            step(program, {1, 1, 300, 0, flags});
            EXPECT_EQ(result(1), 200u);
            host_both(map.c_str(), [&](Map& one) {
                return outcome(one.update(bytes_of(1), ByteVec(host_value_size(one.info()), 3), flags));
            });
            expect_same_maps();
            step(program, {1, 0, 0, 0});
        }
    }
}

TEST_F(ObjectParity, PointersAreReadInPlace) {
    for (const std::string map : {"pointers", "pointer_hash"}) {
        step("read_" + map, {0, 0}); // nothing there
        step("on_" + map, {0, 1, 41, 2});
        step("read_" + map, {0, 1});
        step("read_" + map, {0, 1});
        step("read_" + map, {0, 0});
        step("on_" + map, {0, 1, 77, 0});
        step("read_" + map, {0, 0});
    }
}

TEST_F(ObjectParity, PercpuObjects) {
    ASSERT_GE(possible_cpus(), 2u);
    for (const char* program : {"on_counting", "on_counting_hash"}) {
        step(program, {kCount, 0, 0, 1});
        step(program, {kUpdateKey, 0, 0, 7});
        for (uint64_t round = 0; round < 3; ++round) {
            step(program, {kPutIn, 0, 0, 0});
            step(program, {kFill, 0, 0, 10 + 100 * round});
            for (const uint64_t cpu : {0ull, 1ull, 0ull, 1ull, 1ull, 9999ull, 1ull << 32}) {
                step(program, {kCount, 0, cpu, 3});
            }
            EXPECT_EQ(result(1), 16 + 100 * round); // CPU 0 for the third time
        }
        step(program, {kTakeOut, 0, 1, 0});
        step(program, {kTakeOut, 0, 1, 0}); // nothing left
        step(program, {kPutIn, 0, 0, 0});
        step(program, {kUpdateKey, 0, 0, 8}); // frees the object
        step(program, {kCount, 0, 0, 1});
        step(program, {kPutIn, 0, 0, 0});
        step(program, {kDeleteKey, 0, 0, 0});
    }
}

TEST_F(ObjectParity, Locks) {
    for (const uint64_t number : {0, 1, 77}) {
        step("lock_object", {number, 0});
        step("lock_object", {number, 1});
    }
}

/// Lists and trees beside a bpf_res_spin_lock. The kernel warns once when it does not free them, so this is
/// no case of the whole corpus, and nothing for kernels that stop at warnings.
class ResilientObjects : public ObjectParity {
  protected:
    void SetUp() override {
        MapParity::SetUp();
        if (!IsSkipped() && stops_at_warnings()) {
            GTEST_SKIP() << "kernel.panic_on_warn is set";
        }
        if (!IsSkipped()) {
            open(compile_case("parity/res_lists.c"));
            ASSERT_TRUE(ready());
        }
    }
};

TEST_F(ResilientObjects, Lists) {
    std::mt19937 random(1);
    for (const char* program : {"on_array", "on_hash"}) {
        step(program, {kPut, 7, 1});
        for (uint64_t i = 0; i < 40; ++i) {
            step(program, {random() % 4, i, 1});
        }
        step(program, {kPushBack, 1000, 1});
        step(program, {kPut, 8, 1}); // an array keeps the list
        step(program, {kPopFront, 0, 1});
        EXPECT_EQ(result(3) == 0, program == std::string("on_hash"));
    }
}

TEST_F(ResilientObjects, UnderSeveralLocks) {
    for (const uint64_t number : {1, 2, 3}) {
        step("on_array", {kPushBack, number, 0});
    }
    for (const auto& [from, to] : {std::pair{0, 1}, {0, 1}, {1, 0}, {1, 1}, {0, 7}, {0, 1}, {0, 1}, {0, 1}}) {
        step("move", {static_cast<uint64_t>(from), static_cast<uint64_t>(to)});
    }
    for (int i = 0; i < 4; ++i) {
        step("on_array", {kPopFront, 0, 1});
    }
}

TEST_F(ResilientObjects, Trees) {
    for (const uint64_t key : {5, 3, 9, 3, 1, 7}) {
        step("on_tree", {key, key % 3});
    }
}

TEST_F(ResilientObjects, InObjects) {
    for (const uint64_t number : {0, 1, 77}) {
        step("in_object", {number, 0});
        step("in_object", {number, 1});
        EXPECT_EQ(result(1), number + 1);
    }
}

} // namespace

} // namespace mimicsh::test
