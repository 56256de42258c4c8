// SPDX-License-Identifier: MIT
// Programs in the values of device and CPU maps: which are taken, on both targets, and what they do.
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class MapTargets : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            open_case("targets");
            ASSERT_TRUE(ready());
        }
    }
    static ByteVec bytes_of(uint32_t number) {
        ByteVec bytes(4);
        store(bytes.data(), number);
        return bytes;
    }
    /// The error of putting a program, and the target that is there afterwards.
    static std::string put(Instance& side, const std::string& map, uint32_t key, uint32_t target,
                           const std::string& program, uint64_t flags) {
        Map& into = *side.find_map(map);
        const Status done = into.put_target(bytes_of(key), target, *side.find_program(program), flags);
        ByteVec value(8);
        const Status found = into.lookup(bytes_of(key), value);
        return (done ? "put" : done.error().code_name()) + ", " +
               (found ? std::to_string(mimicsh::load<uint32_t>(value.data())) : found.error().code_name());
    }
};

TEST_F(MapTargets, ProgramsAreTakenOrRefused) {
    for (const std::string map : {"dev", "dev_hash", "cpu"}) {
        for (const std::string program : {"out", "out_frags", "in", "plain", "other"}) {
            for (const uint32_t key : {0u, 1u, 4u, 9u, 1u}) {
                for (const uint32_t target : {1u, 0u, 0x7ffffff0u, 20000u}) {
                    for (const uint64_t flags : {0, 1, 2, 3}) {
                        EXPECT_EQ(put(*vm_, map, key, target, program, flags),
                                  put(*kernel_, map, key, target, program, flags))
                            << map << "[" << key << "] = " << target << " with " << program << ", flags "
                            << flags;
                    }
                }
            }
        }
    }
}

/// A test run of the kernel stops at the redirect; what follows is the emulator's alone.
TEST_F(MapTargets, ProgramsRunOnWhatIsSentThere) {
    ASSERT_EQ(put(*vm_, "dev", 2, 1, "out", 0), "put, 1");
    ASSERT_EQ(put(*vm_, "cpu", 0, 64, "in", 0), "put, 64");
    const ByteVec packet = packet_of(64);
    const auto run = [&](const char* program, const std::vector<uint64_t>& args) {
        set_args(args);
        auto result = vm_->find_program(program)->run(packet, {});
        EXPECT_TRUE(result && !result->fault && result->redirect);
        return std::move(*result);
    };
    RunResult result = run("to_dev", {2, 14});
    ASSERT_TRUE(result.redirect->second);
    EXPECT_EQ(result.redirect->second->program, "out");
    EXPECT_EQ(result.redirect->second->ret, 2u);
    EXPECT_EQ(result.packet.size(), 50u);
    EXPECT_EQ(result.redirect->second->packet.size(), 54u);
    EXPECT_EQ(result.redirect->second->packet[0], 0x42);
    const ByteVec io = value_of(*vm_, ".bss");
    EXPECT_EQ(number_at(io, kIoArgs), 50u);
    EXPECT_EQ(number_at(io, kIoArgs + 3), 1u);
    EXPECT_EQ(number_at(io, kIoArgs + 4), 1u);
    EXPECT_EQ(number_at(io, kIoArgs + 6), 0u);
    result = run("to_cpu", {0, 0});
    ASSERT_TRUE(result.redirect->second);
    EXPECT_EQ(result.redirect->second->ret, 1u);
    EXPECT_EQ(result.redirect->second->packet, packet);
    ASSERT_TRUE(vm_->find_map("dev")->update(bytes_of(2), ByteVec{1, 0, 0, 0, 0, 0, 0, 0}, 0));
    EXPECT_FALSE(run("to_dev", {2, 0}).redirect->second);
    for (const char* program : {"out", "in", "out_frags"}) {
        run_both_apart_from_maps(program, packet);
    }
}

} // namespace

} // namespace mimicsh::test
