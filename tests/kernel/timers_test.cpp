// SPDX-License-Identifier: MIT
// Timers and work queues of map values: what calls return, and how often callbacks run.
#include <chrono>
#include <thread>

#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

enum Step : uint64_t { kInit, kSet, kStart, kCancel, kPut, kRemove, kLook };
constexpr uint64_t kHour = 3'600'000'000'000;

class TimerParity : public MapParity {
  protected:
    void SetUp() override {
        MapParity::SetUp();
        if (!IsSkipped()) {
            open_case("timers");
            ASSERT_TRUE(ready());
        }
    }

    void step(const std::string& program, Step what, uint64_t key, uint64_t value = 0, uint64_t flags = 0) {
        SCOPED_TRACE(testing::Message() << program << " step " << what << " key " << key << " value " << value
                                        << " flags " << flags);
        run(program, {what, key, value, flags});
    }

    /// Starts what may fire on the kernel before the maps are looked at.
    void launch(const std::string& program, uint64_t key, uint64_t ns = 0, uint64_t flags = 0) {
        set_args({kStart, key, ns, flags});
        run_both_apart_from_maps(program, packet_of(64));
    }

    /// Lets `fired` callbacks happen on both sides and compares what they left.
    void expect_fired(uint64_t fired, uint64_t ns) {
        const auto advanced = vm_->advance(ns);
        ASSERT_TRUE(advanced) << advanced.error().message();
        for (const Fault& fault : advanced->faults) {
            ADD_FAILURE() << fault.report;
        }
        EXPECT_EQ(number_at(value_of(*vm_, ".bss.seen"), 0), fired);
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (number_at(value_of(*kernel_, ".bss.seen"), 0) < fired &&
               std::chrono::steady_clock::now() < deadline) {
            std::this_thread::yield();
        }
        expect_same_maps();
    }

    void begin(const std::string& program, uint64_t key, uint64_t callback, uint64_t restarts = 0) {
        step(program, kPut, key, restarts);
        step(program, kInit, key, 1);
        step(program, kSet, key, callback);
    }
};

TEST_F(TimerParity, ReturnCodes) {
    for (const char* program : {"on_timer_array", "on_timer_hash", "on_timer_lru"}) {
        step(program, kPut, 1);
        for (const Step what : {kCancel, kStart, kSet}) {
            step(program, what, 1);
        }
        for (uint64_t clock = 0; clock <= 17; ++clock) {
            step(program, kPut, 1); // forgets the timer
            step(program, kInit, 1, clock);
            step(program, kCancel, 1);
        }
        step(program, kPut, 1);
        step(program, kInit, 1, 1ull << 32 | 1);
        for (int i = 0; i < 2; ++i) {
            step(program, kInit, 1, 1);
        }
        step(program, kStart, 1, kHour); // no callback
        step(program, kCancel, 1);
        step(program, kSet, 1);
        step(program, kCancel, 1); // not started
        step(program, kStart, 1, kHour);
        step(program, kSet, 1);
        for (const uint64_t flags : {0, 1, 2, 3, 4, 8}) {
            step(program, kStart, 1, flags == 1 || flags == 3 ? kHour * 100'000 : kHour, flags);
        }
        for (int i = 0; i < 2; ++i) {
            step(program, kCancel, 1);
        }
        step(program, kStart, 1, kHour);
        step(program, kSet, 1);
        step(program, kStart, 1, kHour);
        for (const uint64_t flags : {0, 1, 2, 4}) {
            step(program, kPut, 1, 5, flags);
            step(program, kCancel, 1);
            step(program, kInit, 1, 1);
            step(program, kSet, 1);
            step(program, kStart, 1, kHour);
        }
        step(program, kRemove, 1);
        step(program, kPut, 1);
        step(program, kCancel, 1);
    }
}

TEST_F(TimerParity, HostChangesEndTimers) {
    for (const char* map : {"timer_array", "timer_hash", "timer_lru"}) {
        const std::string program = std::string("on_") + map;
        begin(program, 1, 0);
        step(program, kStart, 1, kHour);
        host_both(map, [](Map& side) {
            const ByteVec value(side.info().value_size, 1);
            return outcome(side.update(bytes_of(1), value, 0));
        });
        expect_same_maps();
        step(program, kCancel, 1);
        begin(program, 1, 0);
        step(program, kStart, 1, kHour);
        host_both(map, [](Map& side) { return outcome(side.erase(bytes_of(1))); });
        step(program, kPut, 1);
        step(program, kCancel, 1);
    }
}

TEST_F(TimerParity, Firing) {
    uint64_t fired = 0;
    for (const char* program : {"on_timer_array", "on_timer_hash", "on_timer_lru"}) {
        for (const uint64_t key : {0, 1, 2}) {
            begin(program, key, 0);
        }
        launch(program, 2, 0);
        expect_fired(fired += 1, 0);
        launch(program, 1, 3'000'000);
        expect_fired(fired += 1, 3'000'000);
        step(program, kCancel, 1);
        step(program, kStart, 1, 1); // cancelled: no callback any more
        begin(program, 3, 1, 5);
        launch(program, 3, 100);
        expect_fired(fired += 6, 1'000'000);
        launch(program, 3, 1, 1);
        expect_fired(fired += 1, 0);
        if (program != std::string("on_timer_array")) {
            begin(program, 1, 2);
            launch(program, 1, 10, 2);
            expect_fired(fired += 1, 10);
            step(program, kLook, 1);
        }
    }
}

TEST_F(TimerParity, Workqueues) {
    uint64_t fired = 0;
    for (const char* program : {"on_work_array", "on_work_hash"}) {
        step(program, kPut, 1);
        step(program, kSet, 1);
        step(program, kStart, 1);
        step(program, kInit, 1, 1);
        for (int i = 0; i < 2; ++i) {
            step(program, kInit, 1);
        }
        step(program, kStart, 1);
        step(program, kSet, 1, 1);
        step(program, kSet, 1);
        step(program, kStart, 1, 1);
        launch(program, 1);
        expect_fired(fired += 1, 0);
        step(program, kPut, 1);
        step(program, kStart, 1);
        step(program, kRemove, 1);
    }
}

TEST_F(TimerParity, TheKernelsClockIsItsOwn) {
    const auto advanced = kernel_->advance(1);
    ASSERT_FALSE(advanced);
    EXPECT_EQ(advanced.error().code, ENOTSUP);
}

} // namespace

} // namespace mimicsh::test
