// SPDX-License-Identifier: MIT
// Assembled programs on both targets: what newer kernels added to the instruction set, which clang 14 cannot
// write, means the same in the emulator and in the kernel.
#include <gtest/gtest.h>

#include <sys/utsname.h>

#include <cstdio>
#include <memory>

#include "kernel/features.h"
#include "kernel/target.h"
#include "object/asm.h"
#include "vm/target.h"

namespace mimicsh {
namespace {

struct Case {
    const char* name;
    int since; ///< kernel that has it, as major * 100 + minor
    const char* text;
    uint32_t ret;
};

constexpr int kV4 = 606, kMayGoto = 609, kAcquire = 615;

const Case kCases[] = {
    {"MovSignExtends8", kV4, "r1 = 0x1ff\nr0 = (s8)r1\nr0 >>= 32", 0xffffffff},
    {"MovSignExtends16", kV4, "r1 = 0x18000\nr0 = (s16)r1", 0xffff8000},
    {"MovSignExtends32", kV4, "r1 = 0x80000000 ll\nr0 = (s32)r1\nr0 >>= 32", 0xffffffff},
    {"NarrowMovClearsTheUpperHalf", kV4, "r0 = -1\nr1 = 0x80\nw0 = (s8)w1\nr0 >>= 32", 0},
    {"NarrowMovSignExtends16", kV4, "r1 = 0x8001\nw0 = (s16)w1", 0xffff8001},
    {"SignedDivision", kV4, "r0 = -7\nr1 = 2\nr0 s/= r1", static_cast<uint32_t>(-3)},
    {"SignedDivisionByImmediate", kV4, "r0 = 7\nr0 s/= -2", static_cast<uint32_t>(-3)},
    {"NarrowSignedDivision", kV4, "w0 = -9\nw0 s/= 2\n", static_cast<uint32_t>(-4)},
    {"SignedDivisionByZero", kV4, "r0 = -7\nr1 = 0\nr0 s/= r1", 0},
    {"SignedModulo", kV4, "r0 = -7\nr0 s%= 3", static_cast<uint32_t>(-1)},
    {"NarrowSignedModulo", kV4, "w0 = -7\nw1 = 4\nw0 s%= w1", static_cast<uint32_t>(-3)},
    {"SignedModuloByZero", kV4, "r0 = -7\nr1 = 0\nr0 s%= r1", static_cast<uint32_t>(-7)},
    {"Swap16", kV4, "r0 = 0x11223344\nr0 = bswap16 r0", 0x4433},
    {"Swap32", kV4, "r0 = 0x11223344\nr0 = bswap32 r0", 0x44332211},
    {"Swap64", kV4, "r0 = 0x1122334455667788 ll\nr0 = bswap64 r0", 0x44332211},
    {"SignedLoad8", kV4, "*(u64 *)(r10 - 8) = 0x80\nr0 = *(s8 *)(r10 - 8)\nr0 >>= 8", 0xffffffff},
    {"SignedLoad16", kV4, "*(u64 *)(r10 - 8) = 0x8000\nr0 = *(s16 *)(r10 - 8)", 0xffff8000},
    {"SignedLoad32", kV4, "*(u64 *)(r10 - 8) = -2\nr0 = *(s32 *)(r10 - 8)\nr0 >>= 32", 0xffffffff},
    {"LongGoto", kV4, "r0 = 1\ngotol over\nback: r0 = 7\ngotol out\nover: gotol back\nout:", 7},
    {"MayGoto", kMayGoto, "r0 = 0\nagain: may_goto out\nr0 += 1\nif r0 != 5 goto again\nout:", 5},
    {"LoadAcquire8", kAcquire, "*(u64 *)(r10 - 8) = 0x1fe\nr1 = r10\nr0 = load_acquire((u8 *)(r1 - 8))",
     0xfe},
    {"LoadAcquire16", kAcquire, "*(u64 *)(r10 - 8) = 0x1fffe\nr0 = load_acquire((u16 *)(r10 - 8))", 0xfffe},
    {"LoadAcquire32", kAcquire, "*(u64 *)(r10 - 8) = -1\nr0 = load_acquire((u32 *)(r10 - 8))\nr0 >>= 32", 0},
    {"LoadAcquire64", kAcquire, "*(u64 *)(r10 - 8) = -1\nr0 = load_acquire((u64 *)(r10 - 8))\nr0 >>= 32",
     0xffffffff},
    {"StoreRelease8", kAcquire,
     "*(u64 *)(r10 - 8) = 0\nr1 = 0x1ff\nstore_release((u8 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)", 0xff},
    {"StoreRelease16", kAcquire,
     "*(u64 *)(r10 - 8) = 0\nr1 = -1\nstore_release((u16 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)", 0xffff},
    {"StoreRelease32", kAcquire,
     "*(u64 *)(r10 - 8) = 0\nr1 = -1\nstore_release((u32 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)\nr0 >>= 32",
     0},
    {"StoreRelease64", kAcquire,
     "r1 = -1\nstore_release((u64 *)(r10 - 8), r1)\nr0 = *(u64 *)(r10 - 8)\nr0 >>= 32", 0xffffffff},
    {"AtomicFetchAdd", 512, "*(u64 *)(r10 - 8) = 40\nr0 = 2\nr0 = atomic_fetch_add((u64 *)(r10 - 8), r0)",
     40},
    {"AtomicFetchXor32", 512,
     "*(u64 *)(r10 - 8) = 0xf0\nw1 = 0xff\nw1 = atomic_fetch_xor((u32 *)(r10 - 8), w1)\nr0 = *(u64 *)(r10 - "
     "8)",
     0x0f},
    {"AtomicOrAnd", 512,
     "*(u64 *)(r10 - 8) = 1\nr1 = 6\nlock *(u64 *)(r10 - 8) |= r1\nr1 = 3\nlock *(u64 *)(r10 - 8) &= r1\n"
     "r0 = *(u64 *)(r10 - 8)",
     3},
    {"Exchange", 512, "*(u64 *)(r10 - 8) = 9\nr0 = 2\nr0 = xchg_64(r10 - 8, r0)", 9},
    {"CompareAndExchange", 512,
     "*(u64 *)(r10 - 8) = 5\nr0 = 5\nr1 = 8\nr0 = cmpxchg_64(r10 - 8, r0, r1)\nr0 = *(u64 *)(r10 - 8)", 8},
    {"CompareAndExchange32Fails", 512,
     "*(u64 *)(r10 - 8) = 5\nw0 = 4\nw1 = 8\nw0 = cmpxchg32_32(r10 - 8, w0, w1)", 5},
    {"Subprogram", 416, "r1 = 20\ncall twice\nr0 += 2\nexit\ntwice: r0 = r1\nr0 += r1", 42},
    {"Callback", 513,
     "*(u64 *)(r10 - 8) = 0\nr1 = 10\nr2 = func step\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop\n"
     "r0 = *(u64 *)(r10 - 8)\nexit\nstep: r3 = *(u64 *)(r2 + 0)\nr3 += r1\n*(u64 *)(r2 + 0) = r3\nr0 = 0",
     45},
    {"MapLookup", 416,
     ".map counts type=array key=u32 value=u64 entries=2\n"
     "*(u32 *)(r10 - 4) = 1\nr1 = map[counts]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n"
     "if r0 == 0 goto out\nr1 = 3\nlock *(u64 *)(r0 + 0) += r1\nr0 = *(u64 *)(r0 + 0)\nout:",
     3},
    {"DataAddress", 502,
     ".map .rodata type=array key=4 value=8 entries=1 flags=128 frozen data=0000002a\nr1 = map[.rodata][0] + "
     "3\n"
     "r0 = *(u8 *)(r1 + 0)",
     42},
};

int kernel_version() {
    utsname info{};
    int major = 0, minor = 0;
    if (uname(&info) != 0 || std::sscanf(info.release, "%d.%d", &major, &minor) != 2) {
        return 0;
    }
    return major * 100 + minor;
}

/// Name and fault or return value, so that both targets compare in one look.
std::string run(Target& target, const std::shared_ptr<const Object>& object) {
    auto instance = target.load(object, {});
    if (!instance) {
        return instance.error().message() + "\n" + instance.error().log;
    }
    const ByteVec packet(64, 0);
    const auto result = (*instance)->programs().at(0)->run(packet, {});
    if (!result) {
        return result.error().message();
    }
    return result->fault ? result->fault->report : std::to_string(result->ret);
}

class Assembled : public testing::TestWithParam<Case> {
  protected:
    static std::shared_ptr<const Object> object() {
        auto made = assemble(std::string(GetParam().text) + "\nexit\n", {});
        EXPECT_TRUE(made) << made.error().message() << "\n" << made.error().log;
        return made ? std::make_shared<const Object>(std::move(*made)) : nullptr;
    }
};

TEST_P(Assembled, RunsInTheVm) {
    const auto made = object();
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(run(*vm::make_target(), made), std::to_string(GetParam().ret));
}

TEST_P(Assembled, RunsInTheKernel) {
    if (const auto usable = kernel::usable(); !usable) {
        GTEST_SKIP() << usable.error().message();
    }
    if (kernel_version() < GetParam().since) {
        GTEST_SKIP() << "this kernel does not have it yet";
    }
    const auto made = object();
    ASSERT_NE(made, nullptr);
    EXPECT_EQ(run(*kernel::make_target(), made), std::to_string(GetParam().ret));
}

INSTANTIATE_TEST_SUITE_P(Programs, Assembled, testing::ValuesIn(kCases),
                         [](const auto& param) { return std::string(param.param.name); });

/// The verifier's log quotes the assembler text through the line records.
TEST(AssembledRefused, VerifierLogShowsAssemblerLines) {
    if (const auto usable = kernel::usable(); !usable) {
        GTEST_SKIP() << usable.error().message();
    }
    AsmOptions options;
    options.origin = "script.lua";
    auto made = assemble("r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0) ; no check\nexit\n", options);
    ASSERT_TRUE(made) << made.error().message();
    auto instance = kernel::make_target()->load(std::make_shared<const Object>(std::move(*made)), {});
    ASSERT_FALSE(instance);
    EXPECT_NE((instance.error().message() + instance.error().log).find("no check"), std::string::npos)
        << instance.error().message() << instance.error().log;
}

} // namespace
} // namespace mimicsh
