// SPDX-License-Identifier: MIT
// Random guest addresses and sizes as loads, stores, atomics and helper arguments: never outside what the run
// owns. AddressSanitizer is the judge; without it the test still shows that runs end.
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/vm/raw.h"
#include "vm/support.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

class Spans : public testing::Test {
  protected:
    Spans() : seed_(std::random_device{}()), random_(seed_) {
        std::printf("seed %llu\n", static_cast<unsigned long long>(seed_));
    }

    uint64_t pick(uint64_t limit) { return random_() % limit; }

    /// Addresses around every region's edges, small numbers, and anything.
    uint64_t address() {
        const uint64_t handle = pick(16) == 0 ? pick(400) : pick(2) == 0 ? pick(6) : 270 + pick(24);
        static constexpr int64_t kNear[] = {0,   1,   4,   8,   12,  14,  16,  20,  24,   64,
                                            255, 256, 270, 320, 504, 511, 512, 513, 4096, 4104};
        const auto offset = static_cast<uint32_t>(0x40000000 + kNear[pick(std::size(kNear))] +
                                                  static_cast<int64_t>(pick(9)) - 4);
        switch (pick(8)) {
        case 0:
            return random_();
        case 1:
            return pick(0x20000);
        case 2:
            return handle << 32 | static_cast<uint32_t>(random_());
        default:
            return handle << 32 | offset;
        }
    }

    uint64_t size() {
        static constexpr uint64_t kSizes[] = {0,   1,   2,    4,      8,       12,         16,         64,
                                              255, 512, 4096, 0xffff, 0x10000, 0x7fffffff, 0xffffffff, ~0ull};
        return pick(8) == 0 ? random_() : kSizes[pick(std::size(kSizes))];
    }

    /// An object with one map of each type, and its "main" as `body` makes it.
    template <typename Body>
    std::unique_ptr<Instance> load(Body body) {
        using abi::MapType;
        RawObject raw;
        raw.add_data(128);
        raw.add_map(map_def("array", MapType::Array, 4, 12, 3));
        raw.add_map(map_def("hash", MapType::Hash, 4, 12, 3));
        raw.add_map(map_def("lru", MapType::LruHash, 8, 8, 3));
        raw.add_map(map_def("percpu", MapType::PercpuHash, 4, 5, 3));
        raw.add_map(map_def("percpu_array", MapType::PercpuArray, 4, 16, 2));
        raw.add_map(map_def("jumps", MapType::ProgArray, 4, 4, 2));
        raw.add_map(map_def("ring", MapType::Ringbuf, 0, 0, 4096));
        MapDef constants = map_def(".rodata", MapType::Array, 4, 16, 1, abi::kMapRdonlyProg);
        constants.is_data = constants.frozen = true;
        constants.contents.resize(16);
        raw.add_map(std::move(constants));
        body(raw);
        vm::Options options;
        options.mode = vm::Mode::Permissive;
        options.budget = 20000;
        options.sanitize_fault = pick(4) == 0;
        auto instance = vm::make_target(options)->load(raw.share(), {});
        if (!instance) {
            ADD_FAILURE() << instance.error().message();
            return nullptr;
        }
        return std::move(*instance);
    }

    uint64_t seed_;
    std::mt19937_64 random_;
};

TEST_F(Spans, HelperArgumentsNeverReachOutside) {
    size_t faults = 0;
    size_t returns = 0;
    for (const vm::HelperRow& helper : vm::helper_rows()) {
        // One program per helper: the arguments come from the data section, which the host fills anew each
        // time.
        const auto instance = load([&](RawObject& raw) {
            raw.load_value(9, 0);
            for (int reg = 1; reg <= 5; ++reg) {
                raw.add(mimicsh::test::load(op::kDw, reg, 9, 8 * reg));
            }
            raw.add({call(helper.id), mov(0, 2), exit_insn()});
            raw.begin_function("callback");
            raw.add({mov(0, 0), exit_insn()});
        });
        ASSERT_NE(instance, nullptr);
        for (int i = 0; i < 3000; ++i) {
            ByteVec data(128);
            for (size_t reg = 1; reg <= 5; ++reg) {
                // Argument 1 is often the context or a map, so that helpers get past their first check.
                const uint64_t good = pick(2) == 0 ? 0x140000000 : (274 + pick(24)) << 32 | 0x40000000;
                const uint64_t value = reg == 1 && pick(4) != 0 ? good : pick(3) == 0 ? size() : address();
                store(data.data() + 8 * reg, value);
            }
            set_value(*instance, ".bss", data);
            RunOptions options;
            options.trace = i % 50 == 0;
            const auto result = instance->programs().front()->run(packet_of(14 + pick(100)), options);
            ASSERT_TRUE(result) << result.error().message();
            ++(result->fault ? faults : returns);
        }
    }
    EXPECT_GT(faults, 1000u);
    EXPECT_GT(returns, 1000u);
}

TEST_F(Spans, LoadsAndStoresNeverReachOutside) {
    static constexpr int kSizes[] = {op::kB, op::kH, op::kW, op::kDw};
    size_t faults = 0;
    size_t returns = 0;
    for (int kind = 0; kind < 5; ++kind) {
        for (const int width : kSizes) {
            if (kind == 4 && (width == op::kB || width == op::kH)) {
                continue; // atomics have 4 or 8 bytes
            }
            const auto off = static_cast<int>(pick(65536)) - 32768;
            const auto instance = load([&](RawObject& raw) {
                raw.load_value(9, 0).add({mimicsh::test::load(op::kDw, 1, 9, 8), mov(0, 2)});
                switch (kind) {
                case 0:
                    raw.add(mimicsh::test::load(width, 2, 1, off));
                    break;
                case 1:
                    raw.add(store_reg(width, 1, off, 0));
                    break;
                case 2:
                    raw.add(store_imm(width, 1, off, 0x55));
                    break;
                case 3:
                    raw.add(width == op::kDw ? mimicsh::test::load(width, 2, 1, off)
                                             : insn(op::kLdx | op::kMemSx | width, 2, 1, off, 0));
                    break;
                default:
                    raw.add(insn(op::kStx | op::kAtomic | width, 1, 0, off, op::kAdd | op::kFetch));
                    break;
                }
                raw.add(exit_insn());
            });
            ASSERT_NE(instance, nullptr);
            for (int i = 0; i < 5000; ++i) {
                ByteVec data(128);
                store(data.data() + 8, address() - static_cast<uint64_t>(int64_t{off}));
                set_value(*instance, ".bss", data);
                const auto result = instance->programs().front()->run(packet_of(14 + pick(100)), {});
                ASSERT_TRUE(result) << result.error().message();
                ++(result->fault ? faults : returns);
            }
        }
    }
    EXPECT_GT(faults, 1000u);
    EXPECT_GT(returns, 1000u);
}

} // namespace

} // namespace mimicsh::test
