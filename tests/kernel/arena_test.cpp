// SPDX-License-Identifier: MIT
// Arenas: definitions, accesses, casts and pages, the same on both targets.
#include <chrono>
#include <thread>

#include "object/arena.h"
#include "object/asm.h"
#include "tests/kernel/map_parity.h"

namespace mimicsh::test {

namespace {

constexpr uint64_t kPage = abi::kArenaPage;
constexpr uint32_t kPages = 16;
constexpr uint64_t kFirst = abi::arena_address(kPages);

constexpr std::string_view kNoHints = ".map arena type=arena entries=16 flags=";

class ArenaParity : public MapParity {
  protected:
    /// An XDP program on an arena: r7 and r6 are the first arguments of the io block, r8 its address.
    static std::string program(const std::string& body, const std::string& arena = "1024",
                               const std::string& section = "xdp") {
        return ".section " + section + "\n.license GPL\n" + std::string(kNoHints) + arena +
               "\n.map .bss type=array key=4 value=512 entries=1 data=00\nmain:\nr9 = map[arena]\n"
               "r8 = map[.bss][0]\nr7 = *(u64 *)(r8 + 0)\nr6 = *(u64 *)(r8 + 8)\n" +
               body + "\nr0 = 2\nexit\n";
    }

    static std::shared_ptr<const Object> assembled(const std::string& text) {
        auto object = assemble(text, {});
        EXPECT_TRUE(object) << object.error().message() << "\n" << text;
        return object ? std::make_shared<const Object>(std::move(*object)) : nullptr;
    }

    void open_text(const std::string& text) {
        SCOPED_TRACE(text);
        vm_.reset();
        kernel_.reset();
        open(assembled(text));
    }

    void write(uint64_t offset, ByteView bytes, const char* map = "arena") {
        for (Instance* instance : {vm_.get(), kernel_.get()}) {
            const Status written = arena_of(*instance->find_map(map))->write_at(offset, bytes);
            EXPECT_TRUE(written) << instance->target() << ": " << written.error().message();
        }
    }

    /// Compares bytes of the arena.
    void expect_same(uint64_t offset, size_t size) {
        ByteVec here(size);
        ByteVec there(size);
        const Status read = arena_of(*vm_->find_map("arena"))->read_at(offset, here);
        const Status real = arena_of(*kernel_->find_map("arena"))->read_at(offset, there);
        ASSERT_EQ(read.has_value(), real.has_value());
        if (read) {
            EXPECT_EQ(to_hex(here), to_hex(there)) << "at offset " << offset;
        } else {
            EXPECT_EQ(read.error().code, real.error().code);
        }
    }

    /// Pages 1, 2 and 4 full of bytes that tell their place.
    void fill() {
        ByteVec bytes(2 * kPage);
        for (size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = static_cast<uint8_t>(i * 37 + i / 256 + 129);
        }
        write(kPage, bytes);
        write(4 * kPage, ByteView(bytes).first(kPage));
    }

    void expect_pages() {
        for (const uint64_t page : {1, 2, 4}) {
            expect_same(page * kPage, kPage);
        }
    }

    void run(const std::vector<uint64_t>& args) {
        SCOPED_TRACE(testing::Message() << std::hex << args[0] << " " << args[1]);
        set_args(args);
        run_both("main", packet_of(64));
    }
};

const std::string kToKernel = "r1 = addr_space_cast(r7, 0x0, 0x1)\n";

/// Where an access may go: pages that are there, their edges, absent ones, what wraps, and halves that do not
/// count.
std::vector<uint64_t> places() {
    std::vector<uint64_t> all;
    for (const uint64_t page : {0, 1, 2, 3, 4, 5, 15, 16}) {
        for (const int64_t by : {-9, -8, -5, -4, -3, -2, -1, 0, 1, 3, 8}) {
            all.push_back(kFirst + page * kPage + static_cast<uint64_t>(by));
        }
    }
    const uint64_t inside = kFirst + kPage + 64;
    for (const uint64_t other :
         {uint64_t{0}, uint64_t{8}, uint64_t{0xfffffff8}, uint64_t{0xffffffff}, inside & UINT32_MAX,
          (inside & UINT32_MAX) | uint64_t{7} << 32, inside | uint64_t{0xff} << 56}) {
        all.push_back(other);
    }
    return all;
}

TEST_F(ArenaParity, Memory) {
    open_text(program(kToKernel + R"(
r2 = *(u8 *)(r1 + 0)
*(u64 *)(r8 + 64) = r2
r2 = *(u16 *)(r1 + 0)
*(u64 *)(r8 + 72) = r2
r2 = *(u32 *)(r1 + 0)
*(u64 *)(r8 + 80) = r2
r2 = *(u64 *)(r1 + 0)
*(u64 *)(r8 + 88) = r2
r2 = *(s8 *)(r1 + 0)
*(u64 *)(r8 + 96) = r2
r2 = *(s16 *)(r1 + 0)
*(u64 *)(r8 + 104) = r2
r2 = *(s32 *)(r1 + 0)
*(u64 *)(r8 + 112) = r2
r2 = *(u64 *)(r1 + 32760)
*(u64 *)(r8 + 120) = r2
r2 = *(u64 *)(r1 - 32768)
*(u64 *)(r8 + 128) = r2
r1 = *(u32 *)(r1 + 4)
*(u64 *)(r8 + 136) = r1
)"));
    ASSERT_TRUE(ready());
    fill();
    for (const uint64_t place : places()) {
        run({place, 0});
    }
    expect_pages();
}

TEST_F(ArenaParity, Stores) {
    for (const std::string size : {"u8", "u16", "u32", "u64"}) {
        open_text(program(kToKernel + "*(" + size + " *)(r1 + 0) = r6\nr1 += 100\n*(" + size +
                          " *)(r1 - 3) = -77\n*(" + size + " *)(r1 + 20) = r1\n"));
        ASSERT_TRUE(ready());
        fill();
        for (const uint64_t place : places()) {
            run({place, 0x8877665544332211 + place});
        }
        expect_pages();
    }
}

TEST_F(ArenaParity, Atomics) {
    const std::vector<std::string> operations = {
        "lock *(u64 *)(r1 + 0) += r6",
        "lock *(u32 *)(r1 + 0) += w6",
        "lock *(u64 *)(r1 + 0) |= r6",
        "lock *(u32 *)(r1 + 0) &= w6",
        "lock *(u64 *)(r1 + 0) ^= r6",
        "r6 = atomic_fetch_add((u64 *)(r1 + 0), r6)",
        "w6 = atomic_fetch_add((u32 *)(r1 + 0), w6)",
        "r6 = xchg_64(r1 + 0, r6)",
        "w6 = xchg32_32(r1 + 0, w6)",
        "r0 = cmpxchg_64(r1 + 0, r0, r6)",
        "w0 = cmpxchg32_32(r1 + 0, w0, w6)",
        "r6 = load_acquire((u8 *)(r1 + 0))",
        "r6 = load_acquire((u16 *)(r1 + 0))",
        "r6 = load_acquire((u32 *)(r1 + 0))",
        "r6 = load_acquire((u64 *)(r1 + 0))",
        "store_release((u8 *)(r1 + 0), r6)",
        "store_release((u16 *)(r1 + 0), r6)",
        "store_release((u32 *)(r1 + 0), r6)",
        "store_release((u64 *)(r1 + 0), r6)",
    };
    for (const std::string& operation : operations) {
        open_text(program(kToKernel + "r0 = *(u64 *)(r8 + 16)\n" + operation +
                          "\n*(u64 *)(r8 + 64) = r6\n*(u64 *)(r8 + 72) = r0\n*(u64 *)(r8 + 80) = r1\n"));
        ASSERT_TRUE(ready()) << operation;
        SCOPED_TRACE(operation);
        fill();
        for (const uint64_t place : places()) {
            if (place % 64 > 56) {
                continue; // a locked access that crosses cache lines stops some machines
            }
            ByteVec was(8);
            const uint64_t offset = place - kFirst;
            if (offset / kPage == 1) {
                ASSERT_TRUE(arena_of(*vm_->find_map("arena"))->read_at(offset, was));
            }
            run({place, 0xf0f1f2f3f4f5f6f7 + place, 5});
            run({place, 0x0102030405060708, mimicsh::load<uint64_t>(was.data())});
        }
        expect_pages();
    }
}

TEST_F(ArenaParity, Arithmetic) {
    const std::vector<std::string> operations = {
        "r6 += r1\nr1 = r6",
        "r6 -= r1\nr1 = r6",
        "w6 ^= w1\nr1 = r6",
        "r6 <<= r1\nr1 = r6\nr1 += -5",
        "r6 += r1\nr1 = *(u64 *)(r6 - 8)",
        "r1 += r6",
        "r1 -= r6",
        "r1 *= r6",
        "r1 /= r6",
        "r1 %= r6",
        "r1 |= r6",
        "r1 &= r6",
        "r1 ^= r6",
        "r1 <<= r6",
        "r1 >>= r6",
        "r1 s>>= r6",
        "w1 += w6",
        "w1 -= w6",
        "w1 &= w6",
        "r1 += -8",
        "r1 -= 1",
        "r1 &= -4096",
        "r1 <<= 31",
        "r1 s>>= 31",
        "r1 s>>= 3",
        "r1 ^= -1",
        "r1 |= 15",
        "r1 *= -3",
        "r1 = -r1",
        "r1 = bswap64 r1",
        "r1 = be16 r1",
        "r1 s/= r6",
        "r1 s%= r6",
        "w1 = w1",
        "r2 = r1\nr1 -= r2",
        "r2 = r1\nr2 += r6\nr1 = r2",
        "w2 = w1\nr2 -= r6\nr1 = r2",
        "r1 = (s32)r1",
    };
    for (const std::string& operation : operations) {
        open_text(program(kToKernel + operation + "\n*(u64 *)(r8 + 64) = r1\n"));
        if (!ready()) {
            continue;
        }
        SCOPED_TRACE(operation);
        for (const uint64_t value : {kFirst, kFirst + kPage + 3, uint64_t{0}, uint64_t{1}, ~uint64_t{0},
                                     uint64_t{0x80000000}, uint64_t{0xffffffff}}) {
            for (const uint64_t by : {uint64_t{0}, uint64_t{1}, uint64_t{8}, uint64_t{31}, uint64_t{33},
                                      ~uint64_t{0}, uint64_t{0x80000000}, uint64_t{0x123456789}}) {
                run({value, by});
            }
        }
    }
}

TEST_F(ArenaParity, Casts) {
    const std::string body = R"(
r1 = addr_space_cast(r7, 0x1, 0x0)
*(u64 *)(r8 + 64) = r1
r7 = addr_space_cast(r7, 0x1, 0x0)
*(u64 *)(r8 + 72) = r7
r2 = addr_space_cast(r6, 0x0, 0x1)
*(u64 *)(r8 + 80) = r2
r2 = addr_space_cast(r2, 0x1, 0x0)
*(u64 *)(r8 + 88) = r2
r6 = addr_space_cast(r6, 0x0, 0x1)
*(u64 *)(r8 + 96) = r6
)";
    // By flags and addresses: none, its own, BPF_F_NO_USER_CONV, one with no upper half, one at the end of
    // it.
    for (const std::string arena : {"1024", "1024 extra=0x7e0012340000", "0x40400", "1024 extra=0x7000000",
                                    "1024 extra=0x1ffff0000", "0x20400"}) {
        open_text(program(body, arena));
        ASSERT_TRUE(ready());
        for (const uint64_t value : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, ~uint64_t{0}, kFirst,
                                     uint64_t{0x1234567890abcdef}, uint64_t{0xffffffff}}) {
            run({value, value});
            run({value, ~value});
        }
    }
}

/// What neither loads: the emulator's reason, on which the kernel's verdict is asked.
TEST_F(ArenaParity, Refusals) {
    const std::string second = ".map other type=arena entries=4 flags=1024\n";
    struct Case {
        std::string text;
        const char* reason;
    };
    const Case cases[] = {
        {program(kToKernel + "r6 = atomic_fetch_and((u64 *)(r1 + 0), r6)"), "x86 has no instruction"},
        {program(kToKernel + "r6 = atomic_fetch_or((u64 *)(r1 + 0), r6)"), "x86 has no instruction"},
        {program(kToKernel + "w6 = atomic_fetch_xor((u32 *)(r1 + 0), w6)"), "x86 has no instruction"},
        {program("r1 = addr_space_cast(r7, 0x1, 0x0)\nr1 = *(u64 *)(r1 + 0)"), "is a number"},
        {program("r1 = r9\nr2 = r10\nr2 += -8\n*(u64 *)(r2 + 0) = 0\ncall bpf_map_lookup_elem"),
         "cannot be called on arena"},
        {program(second + "r1 = map[other]"), "a second arena"},
        {".section xdp\n.license GPL\nmain:\nr1 = 0\nr1 = addr_space_cast(r1, 0x0, 0x1)\nr0 = 2\nexit\n",
         "uses no arena"},
        {program(".extern bpf_arena_alloc_pages kfunc\nr1 = r9\nr2 = 0\nr3 = 1\nr4 = -1\nr5 = 0\n"
                 "call bpf_arena_alloc_pages"),
         "may sleep"},
        {program(".extern bpf_arena_free_pages kfunc\nr1 = r9\nr2 = r7\nr3 = 1\ncall bpf_arena_free_pages"),
         "may sleep"},
    };
    for (const Case& one : cases) {
        SCOPED_TRACE(one.text);
        const auto object = assembled(one.text);
        ASSERT_NE(object, nullptr);
        const auto here = vm::make_target({})->load(object, {});
        const auto there = kernel_target()->load(object, {});
        EXPECT_FALSE(there) << "the kernel takes it";
        ASSERT_FALSE(here) << (there ? "" : there.error().log);
        EXPECT_NE(here.error().message().find(one.reason), std::string::npos) << here.error().message();
        if (!there) {
            EXPECT_NE(there.error().code, 0) << there.error().log;
        }
    }
}

TEST_F(ArenaParity, Definitions) {
    struct Shape {
        uint32_t key, value, entries, flags;
        uint64_t extra;
    };
    constexpr uint32_t kMap = abi::kMapMmapable;
    std::vector<Shape> shapes = {
        {0, 0, 1, kMap, 0},
        {0, 0, 0, kMap, 0},
        {4, 0, 1, kMap, 0},
        {0, 4, 1, kMap, 0},
        {0, 0, 1, 0, 0},
        {0, 0, 1u << 20, kMap, 0},
        {0, 0, (1u << 20) + 1, kMap, 0},
        {0, 0, UINT32_MAX, kMap, 0},
        {0, 0, 1, kMap, 1},
        {0, 0, 1, kMap, 0x1000},
        {0, 0, 1, kMap, 0xfffff000},
        {0, 0, 2, kMap, 0xfffff000},
        {0, 0, 2, kMap, 0x123ffffe000},
        {0, 0, 3, kMap, 0x123ffffe000},
        {0, 0, 1u << 20, kMap, 0x100000000},
        {0, 0, 1u << 20, kMap, 0x100001000},
        {0, 0, 1, kMap, ~uint64_t{0xfff}},
    };
    for (uint32_t bit = 0; bit < 32; ++bit) {
        if (const uint32_t flag = 1u << bit; flag != kMap) {
            shapes.push_back({0, 0, 1, kMap | flag, 0});
        }
    }
    size_t loaded = 0;
    for (const Shape& shape : shapes) {
        SCOPED_TRACE(testing::Message() << shape.key << " " << shape.value << " " << shape.entries << " 0x"
                                        << std::hex << shape.flags << " 0x" << shape.extra);
        RawObject raw;
        MapDef def =
            map_def("arena", abi::MapType::Arena, shape.key, shape.value, shape.entries, shape.flags);
        def.extra = shape.extra;
        raw.add_map(def);
        raw.add(mov(0, 2)).add(exit_insn());
        const auto here = vm::make_target({})->load(raw.share(), {});
        const auto there = kernel_target()->load(raw.share(), {});
        EXPECT_EQ(here ? 0 : here.error().code, there ? 0 : there.error().code)
            << (here ? "" : here.error().message()) << " / " << (there ? "" : there.error().message());
        loaded += there ? 1 : 0;
    }
    EXPECT_GE(loaded, 8u);
}

TEST_F(ArenaParity, HostCalls) {
    open_text(program(""));
    ASSERT_TRUE(ready());
    uint8_t nothing[8] = {};
    Map& here = *vm_->find_map("arena");
    Map& there = *kernel_->find_map("arena");
    ArenaBytes& bytes = *arena_of(here);
    ArenaBytes& real_bytes = *arena_of(there);
    const auto same = [](const Status& mine, const Status& real) {
        ASSERT_FALSE(mine);
        ASSERT_FALSE(real);
        EXPECT_EQ(mine.error().code, real.error().code)
            << mine.error().message() << " / " << real.error().message();
    };
    same(here.lookup({}, {}), there.lookup({}, {}));
    same(here.update({}, {}, 0), there.update({}, {}, 0));
    same(here.erase({}), there.erase({}));
    same(here.take({}, {}), there.take({}, {}));
    const auto next = here.next_key({}, {});
    const auto real = there.next_key({}, {});
    ASSERT_FALSE(next);
    ASSERT_FALSE(real);
    EXPECT_EQ(next.error().code, real.error().code);
    same(bytes.read_at(kPages * kPage, ByteSpan(nothing)),
         real_bytes.read_at(kPages * kPage, ByteSpan(nothing)));
    same(bytes.write_at(kPages * kPage - 7, ByteView(nothing)),
         real_bytes.write_at(kPages * kPage - 7, ByteView(nothing)));
    same(bytes.read_at(UINT64_MAX - 3, ByteSpan(nothing)),
         real_bytes.read_at(UINT64_MAX - 3, ByteSpan(nothing)));
    EXPECT_TRUE(bytes.read_at(kPages * kPage, {}));
    EXPECT_TRUE(real_bytes.read_at(kPages * kPage, {}));
    expect_same(0, kPages * kPage);

    EXPECT_TRUE(here.freeze());
    EXPECT_TRUE(there.freeze());
    same(bytes.write_at(0, ByteView(nothing)), real_bytes.write_at(0, ByteView(nothing)));
    expect_same(kPage, kPage);

    open_text(program("", "0x20400")); // BPF_F_SEGV_ON_FAULT
    ASSERT_TRUE(ready());
    expect_same(kPage, 8);
    same(arena_of(*vm_->find_map("arena"))->write_at(0, ByteView(nothing)),
         arena_of(*kernel_->find_map("arena"))->write_at(0, ByteView(nothing)));
}

// -- Programs in C (tests/cases/parity/arena.bpf.c) --

constexpr uint32_t kCasePages = 32;
constexpr uint64_t kCaseFirst = abi::arena_address(kCasePages);

TEST_F(ArenaParity, ListsInPages) {
    open_case("arena");
    ASSERT_TRUE(ready());
    write(0, ByteVec(kPage));
    for (const char* program : {"list_xdp", "list_tc"}) {
        for (const uint64_t count : {1, 0, 8, 5}) {
            set_args({kCaseFirst, 1000 * count, count});
            run_both(program, packet_of(64));
        }
        set_args({kCaseFirst & UINT32_MAX, 77, 3});
        run_both(program, packet_of(64));
        set_args({kCaseFirst + 7 * kPage, 77, 3}); // an absent page
        run_both(program, packet_of(64));
    }
    expect_same(0, kPage);
}

TEST_F(ArenaParity, PointersAreSpilledAndGiven) {
    open_case("arena");
    ASSERT_TRUE(ready());
    ByteVec words(2 * kPage);
    for (size_t i = 0; i < words.size(); ++i) {
        words[i] = static_cast<uint8_t>(i * 7);
    }
    write(kPage, words);
    for (const uint64_t at : {kCaseFirst + kPage, kCaseFirst + 2 * kPage - 20, kCaseFirst + 3 * kPage - 100,
                              kCaseFirst, uint64_t{0}}) {
        for (const uint64_t count : {0, 1, 64}) {
            set_args({at, count});
            run_both("spilled", packet_of(64));
        }
    }
    expect_same(kPage, 2 * kPage);
}

enum Step : uint64_t { kAlloc = 1, kFree, kReserve, kStore, kLoad };

struct PageStep {
    uint64_t what, address, count;
};

class ArenaPages : public ArenaParity {
  protected:
    static constexpr size_t kSteps = 24;

    /// Lets the work queue take steps on both sides, and compares what they gave.
    void take(const std::vector<PageStep>& steps) {
        ASSERT_LE(steps.size(), kSteps);
        ByteVec script(kSteps * 32 + 8);
        for (size_t i = 0; i < steps.size(); ++i) {
            mimicsh::store(script.data() + 32 * i, steps[i].what);
            mimicsh::store(script.data() + 32 * i + 8, steps[i].address);
            mimicsh::store(script.data() + 32 * i + 16, steps[i].count);
        }
        set_value(*vm_, ".bss.script", script);
        set_value(*kernel_, ".bss.script", script);
        set_args({1});
        run_both_apart_from_maps("pages", packet_of(64));
        const auto advanced = vm_->advance(0);
        ASSERT_TRUE(advanced) << advanced.error().message();
        for (const Fault& fault : advanced->faults) {
            ADD_FAILURE() << fault.report;
        }
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (number_at(value_of(*kernel_, ".bss.script"), 4 * kSteps) == 0 &&
               std::chrono::steady_clock::now() < deadline) {
            std::this_thread::yield();
        }
        const ByteVec here = value_of(*vm_, ".bss.script");
        const ByteVec there = value_of(*kernel_, ".bss.script");
        EXPECT_EQ(number_at(there, 4 * kSteps), 1u);
        for (size_t i = 0; i < steps.size(); ++i) {
            EXPECT_EQ(number_at(here, 4 * i + 3), number_at(there, 4 * i + 3))
                << "step " << i << ": " << steps[i].what << " 0x" << std::hex << steps[i].address << " "
                << steps[i].count;
        }
    }
};

TEST_F(ArenaPages, Edges) {
    open_case("arena");
    ASSERT_TRUE(ready());
    const uint64_t first = kCaseFirst;
    take({{kAlloc, 0, 1},
          {kAlloc, 0, 0},
          {kAlloc, 0, 33},
          {kAlloc, 0, uint64_t{1} << 32},
          {kAlloc, first + 1, 1},
          {kAlloc, first, 1},
          {kAlloc, first + kPage, 31},
          {kAlloc, 0, 1},
          {kFree, first + 3 * kPage + 17, 2},
          {kAlloc, 0, 3},
          {kAlloc, 0, 2},
          {kFree, first + 31 * kPage, 100},
          {kFree, 0, 1},
          {kFree, first, 0},
          {kReserve, first + 31 * kPage, 1},
          {kAlloc, first + 31 * kPage, 1},
          {kReserve, first + 31 * kPage, 1},
          {kReserve, first + 31 * kPage, 2},
          {kReserve, first + 1, 1},
          {kReserve, first + 32 * kPage, 0},
          {kReserve, first + 32 * kPage, 1},
          {kReserve, first - kPage, 1},
          {kReserve, 0, 1},
          {kFree, first + 31 * kPage, 1}});
    // What was stored is gone with its page.
    take({{kAlloc, 0, 1},
          {kStore, first + 31 * kPage, 4711},
          {kLoad, first + 31 * kPage, 0},
          {kFree, first + 31 * kPage, 1},
          {kLoad, first + 31 * kPage, 0},
          {kAlloc, first + 31 * kPage, 1},
          {kLoad, first + 31 * kPage, 0},
          {kLoad, first + 31 * kPage + 4092, 0},
          {kStore, first + 31 * kPage - 4, 0x1122334455667788},
          {kLoad, first + 31 * kPage - 4, 0}});
}

/// Where pages come from after any history: the same ranges are found in the same order.
TEST_F(ArenaPages, Placement) {
    for (const uint64_t seed : {11, 12, 13}) {
        SCOPED_TRACE(seed);
        vm_.reset();
        kernel_.reset();
        open_case("arena");
        ASSERT_TRUE(ready());
        uint64_t state = seed * 0x9e3779b97f4a7c15;
        const auto below = [&](uint64_t limit) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            return (state >> 13) % limit;
        };
        for (int round = 0; round < 12; ++round) {
            std::vector<PageStep> steps;
            for (size_t i = 0; i < kSteps; ++i) {
                const uint64_t what = 1 + below(5);
                const uint64_t address = kCaseFirst + below(kCasePages) * kPage;
                const bool anywhere = what == kAlloc && below(3) != 0;
                steps.push_back({what, anywhere ? 0 : address,
                                 what == kStore ? state : 1 + below(below(4) == 0 ? 12 : 3)});
            }
            take(steps);
        }
    }
}

} // namespace

} // namespace mimicsh::test
