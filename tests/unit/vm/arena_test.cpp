// SPDX-License-Identifier: MIT
// Arenas by themselves: warnings, the memory limit, runs that are taken back, and hostile programs. What
// they do like the kernel's is tested in tests/kernel/arena_test.cpp.
#include <gtest/gtest.h>

#include "object/arena.h"
#include "object/asm.h"
#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

constexpr uint64_t kPage = abi::kArenaPage;

/// Programs that may do anything, sleep included; r8 is the io block, r7 and r6 its first words.
class Arenas : public testing::Test {
  protected:
    Arenas() { options_.mode = vm::Mode::Permissive; }

    static std::string text(const std::string& body, uint32_t pages) {
        return ".section xdp\n.license GPL\n.map arena type=arena flags=1024 entries=" +
               std::to_string(pages) +
               "\n.map .bss type=array key=4 value=512 entries=1 data=00\n"
               ".extern bpf_arena_alloc_pages kfunc\n.extern bpf_arena_free_pages kfunc\n"
               ".extern bpf_arena_reserve_pages kfunc\n"
               "main:\nr9 = map[arena]\nr8 = map[.bss][0]\nr7 = *(u64 *)(r8 + 0)\nr6 = *(u64 *)(r8 + 8)\n" +
               body + "r0 = 2\nexit\n";
    }

    Status load(const std::string& body, uint32_t pages = 16) {
        auto object = assemble(text(body, pages), {});
        if (!object) {
            return object.error();
        }
        auto loaded = vm::make_target(options_)->load(std::make_shared<const Object>(std::move(*object)), {});
        if (!loaded) {
            return loaded.error();
        }
        instance_ = std::move(*loaded);
        return {};
    }

    RunResult run(const std::vector<uint64_t>& args) {
        ByteVec io(512);
        for (size_t i = 0; i < args.size(); ++i) {
            mimicsh::store(io.data() + 8 * i, args[i]);
        }
        set_value(*instance_, ".bss", io);
        auto result = instance_->programs().front()->run(packet_of(64), {});
        EXPECT_TRUE(result) << (result ? "" : result.error().message());
        return result ? std::move(*result) : RunResult{};
    }

    [[nodiscard]] uint64_t word(size_t at) { return number_at(value_of(*instance_, ".bss"), at); }
    [[nodiscard]] ArenaBytes& arena() { return *arena_of(*instance_->find_map("arena")); }

    vm::Options options_;
    std::unique_ptr<Instance> instance_;
};

const std::string kAlloc = "r1 = r9\nr2 = r7\nr3 = r6\nr4 = -1\nr5 = 0\ncall bpf_arena_alloc_pages\n"
                           "*(u64 *)(r8 + 64) = r0\n";
const std::string kFree = "r1 = r9\nr2 = r7\nr3 = r6\ncall bpf_arena_free_pages\n";
const std::string kReserve =
    "r1 = r9\nr2 = r7\nr3 = r6\ncall bpf_arena_reserve_pages\n*(u64 *)(r8 + 72) = r0\n";
const std::string kCast = "r1 = addr_space_cast(r7, 0x0, 0x1)\n";

TEST_F(Arenas, AbsentPagesAreWarnings) {
    const std::string body = kCast + "r2 = *(u32 *)(r1 + 8)\n*(u16 *)(r1 - 4) = 1\n"
                                     "lock *(u64 *)(r1 + 0) += r6\n";
    ASSERT_TRUE(load(body));
    const RunResult result = run({arena().address() + 2 * kPage});
    ASSERT_EQ(result.warnings.size(), 3u);
    EXPECT_EQ(result.warnings[0].cause,
              "read of 4 bytes at arena arena+8200, where no page is allocated: it gives 0");
    EXPECT_EQ(result.warnings[1].cause,
              "write of 2 bytes at arena arena+8188, where no page is allocated: the kernel skips it");
    EXPECT_EQ(
        result.warnings[2].cause,
        "atomic operation on 8 bytes at arena arena+8192, where no page is allocated: the kernel skips it");
    EXPECT_NE(result.warnings[0].source.line, 0u);
    const RunResult outside = run({arena().address() - 8});
    ASSERT_EQ(outside.warnings.size(), 3u);
    EXPECT_EQ(outside.warnings[0].cause,
              "read of 4 bytes at arena arena+0, where no page is allocated: it gives 0");
    EXPECT_EQ(outside.warnings[1].cause,
              "write of 2 bytes at arena arena-12, outside the arena: the kernel skips it");
    options_.sanitize_fault = true;
    ASSERT_TRUE(load(body));
    const RunResult fault = run({arena().address() - 12});
    ASSERT_TRUE(fault.fault);
    EXPECT_EQ(fault.fault->cause, "read of 4 bytes at arena arena-4, outside the arena: it gives 0");
}

TEST_F(Arenas, PagesFitTheMemoryLimit) {
    options_.memory_limit = 1 << 20;
    ASSERT_TRUE(load(kAlloc, 1 << 20));
    run({0, 200});
    EXPECT_EQ(word(8), arena().address());
    const RunResult result = run({0, 100});
    ASSERT_TRUE(result.fault);
    EXPECT_EQ(result.fault->kind, FaultKind::Budget);
    EXPECT_NE(result.fault->cause.find("memory limit"), std::string::npos) << result.fault->cause;
    const Status written = arena().write_at(kPage * 300, ByteVec(100 * kPage));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, ENOMEM) << written.error().message();
}

/// A run that faults is made again for its report, from the state before it: what it leaves must not show
/// that.
TEST_F(Arenas, FaultingRunsLeaveWhatOthersLeave) {
    const std::string history = kAlloc +
                                "r7 = r0\nr1 = addr_space_cast(r7, 0x0, 0x1)\n*(u64 *)(r1 + 8) = 5\n"
                                "r6 = 1\nr7 += 4096\n" +
                                kFree + "r7 += 8192\nr6 = 3\n" + kFree + "r7 = 0\nr6 = 2\n" + kAlloc +
                                "r7 += -4096\n" + kReserve;
    const std::string faulting =
        "r3 = *(u64 *)(r8 + 16)\nif r3 == 0 goto end\nr3 = 0\nr3 = *(u64 *)(r3 + 0)\nend:\n";
    std::vector<uint64_t> placed[2];
    for (const uint64_t faults : {0, 1}) {
        ASSERT_TRUE(load(history + faulting, 64));
        for (const uint64_t pages : {7, 3, 9, 4}) {
            const RunResult result = run({0, pages, faults});
            EXPECT_EQ(result.fault.has_value(), faults == 1);
            placed[faults].push_back(word(8));
            ByteVec bytes(64 * kPage);
            ASSERT_TRUE(arena().read_at(0, ByteSpan(bytes).first(16)));
            placed[faults].push_back(mimicsh::load<uint64_t>(bytes.data() + 8));
        }
        for (int i = 0; i < 20; ++i) {
            run({0, 1, 0});
            placed[faults].push_back(word(8));
        }
    }
    EXPECT_EQ(placed[0], placed[1]);
}

TEST_F(Arenas, HostileArguments) {
    const std::vector<std::string> bodies = {
        kAlloc, kFree, kReserve,
        kCast + "r2 = *(u64 *)(r1 + 32767)\n*(u64 *)(r1 - 32768) = r6\nr6 = xchg_64(r1 + 1, r6)\n"
                "r0 = 0\nr0 = cmpxchg_64(r1 + 7, r0, r6)\n*(u8 *)(r1 + 0) = 1\n"};
    std::string body;
    for (size_t i = 0; i < bodies.size(); ++i) {
        const std::string next = "next" + std::to_string(i);
        body += "r3 = *(u64 *)(r8 + 16)\nif r3 != " + std::to_string(i) + " goto " + next + "\n" + bodies[i] +
                next + ":\n";
    }
    for (const uint32_t pages : {1u, 3u, 1u << 20}) {
        ASSERT_TRUE(load(body, pages));
        const uint64_t first = arena().address();
        const uint64_t addresses[] = {0,
                                      1,
                                      first,
                                      first - kPage,
                                      first - 2 * kPage,
                                      first + (pages - 1) * kPage,
                                      first + pages * kPage,
                                      first + 4,
                                      uint64_t{UINT32_MAX},
                                      ~uint64_t{0},
                                      ~uint64_t{0} - 4095,
                                      uint64_t{1} << 63};
        const uint64_t counts[] = {0, 1, 2, 100, 1 << 16, 1u << 20, UINT32_MAX, ~uint64_t{0}};
        for (int round = 0; round < 2; ++round) {
            for (const uint64_t address : addresses) {
                for (const uint64_t count : counts) {
                    for (size_t what = 0; what < bodies.size(); ++what) {
                        const RunResult result = run({address, count, what});
                        EXPECT_TRUE(!result.fault || result.fault->kind == FaultKind::Budget)
                            << result.fault->report;
                    }
                }
            }
        }
        ByteVec bytes(8);
        EXPECT_FALSE(arena().read_at(pages * kPage - 7, bytes));
        EXPECT_FALSE(arena().read_at(~uint64_t{0}, bytes));
    }
}

/// Functions of the kernel look at the map they are given.
TEST_F(Arenas, OtherMapsAreNoArenas) {
    ASSERT_TRUE(load("r1 = r10\nr2 = 0\nr3 = 1\ncall bpf_arena_free_pages\n"));
    const RunResult result = run({0});
    ASSERT_TRUE(result.fault);
    EXPECT_EQ(result.fault->kind, FaultKind::BadCall);
}

} // namespace

} // namespace mimicsh::test
