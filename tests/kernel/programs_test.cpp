// SPDX-License-Identifier: MIT
// Programs of tests/cases/programs that need time to pass or a table of connections, on both targets.
#include <chrono>
#include <map>
#include <thread>

#include "tests/kernel/packets.h"
#include "tests/kernel/program_packets.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

class ProgramParity : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        ASSERT_TRUE(cpu_.pinned());
    }

  private:
    OnFirstCpu cpu_;
};

/// Real time is not compared, only how often the timers fire: a bucket that has run dry is full before the
/// next packet, on both sides after as many steps.
TEST_F(ProgramParity, BucketsAreRefilledByTheirTimers) {
    if (IsSkipped()) {
        return;
    }
    open(compile_case("programs/refilled_bucket.bpf.c"));
    ASSERT_TRUE(ready());
    constexpr uint64_t kInterval = 50'000, kSteps = 4;
    ByteVec interval(8);
    store(interval.data(), kInterval);
    set_value(*vm_, ".data", interval);
    set_value(*kernel_, ".data", interval);
    const auto steps = [](Instance& side) { return number_at(value_of(side, ".bss"), 0); };
    std::map<uint32_t, size_t> verdicts;
    uint64_t fired = 0;
    const std::vector<ByteVec> once = program_packets();
    std::vector<ByteVec> packets = once;
    packets.insert(packets.end(), once.begin(), once.end());
    for (const ByteVec& packet : packets) {
        SCOPED_TRACE(to_hex(packet));
        const uint32_t verdict = run_both_apart_from_maps("refilled_bucket", packet).ret;
        ++verdicts[verdict];
        if (verdict == abi::kXdpDrop) {
            const auto advanced = vm_->advance(kSteps * kInterval);
            ASSERT_TRUE(advanced) << advanced.error().message();
            EXPECT_TRUE(advanced->faults.empty());
            EXPECT_GE(advanced->callbacks, 1u);
            fired += advanced->callbacks;
            const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
            while (steps(*kernel_) < fired && std::chrono::steady_clock::now() < deadline) {
                std::this_thread::yield();
            }
        }
        expect_same_maps();
        ASSERT_EQ(steps(*kernel_), fired);
        ASSERT_EQ(steps(*vm_), fired);
    }
    EXPECT_GE(verdicts[abi::kXdpPass], 20u);
    EXPECT_GE(verdicts[abi::kXdpDrop], 20u);
    EXPECT_GE(fired, 50u);
}

/// The same frame from the other end: addresses and ports of a plain IPv4 packet exchanged.
ByteVec answer_to(ByteVec packet) {
    if (packet.size() >= 38) {
        std::swap_ranges(packet.begin() + 26, packet.begin() + 30, packet.begin() + 30);
        std::swap_ranges(packet.begin() + 34, packet.begin() + 36, packet.begin() + 36);
    }
    return packet;
}

TEST_F(WorldParity, ConnectionGateLetsAnswersThrough) {
    if (IsSkipped()) {
        return;
    }
    open_world("programs/connection_gate", world_with(R"("conntrack": [])").c_str());
    ASSERT_TRUE(ready());
    size_t strangers = 0, answers = 0, echoes = 0;
    for (const ByteVec& packet : program_packets()) {
        SCOPED_TRACE(to_hex(packet));
        const ByteVec answer = answer_to(packet);
        strangers += run_both("arrive", answer).ret == abi::kXdpDrop ? 1 : 0;
        run_both("leave", packet);
        answers += run_both("arrive", answer).ret == abi::kXdpPass ? 1 : 0;
        run_both("leave", packet); // known, and answered
        echoes += run_both("arrive", packet).ret == abi::kXdpDrop ? 1 : 0;
    }
    EXPECT_GE(strangers, 20u);
    EXPECT_GE(answers, 20u);
    EXPECT_GE(echoes, 20u);
    const ByteVec counts = value_of(*kernel_, ".bss");
    for (size_t at = 0; at < 6; ++at) { // opened, known, answers, strangers, echoes, errors
        const auto count = static_cast<uint32_t>(number_at(counts, at / 2) >> (at % 2 * 32));
        EXPECT_EQ(count >= 20, at < 5) << "counter " << at << " is " << count;
    }
}

} // namespace

} // namespace mimicsh::test
