// SPDX-License-Identifier: MIT
// Kernel functions, swept over their edges on both targets.
#include "tests/kernel/parity.h"

namespace mimicsh::test {

namespace {

class KfuncParity : public ParityTest {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            open_case("kfuncs");
            ASSERT_TRUE(ready());
        }
    }

    void sweep(const char* program, const std::vector<uint64_t>& args, size_t size = 64) {
        std::string text = program;
        for (const uint64_t arg : args) {
            text += " " + std::to_string(static_cast<int64_t>(arg));
        }
        SCOPED_TRACE(text + ", " + std::to_string(size) + " bytes");
        set_args(args);
        run_both(program, packet_of(size));
    }
};

uint64_t as_arg(int64_t value) {
    return static_cast<uint64_t>(value);
}

TEST_F(KfuncParity, IterNum) {
    constexpr int64_t kEdges[] = {
        0, 1, -1, 5, 100, INT32_MIN, INT32_MAX, INT32_MAX - 3, 8 << 20, (8 << 20) + 1};
    for (const int64_t start : kEdges) {
        for (const int64_t end : kEdges) {
            sweep("iter_num", {as_arg(start), as_arg(end), 200});
        }
    }
}

TEST_F(KfuncParity, DynptrOnPackets) {
    constexpr uint64_t kPlaces[] = {0, 1, 32, 48, 49, 56, 57, 64, 0xffffffff};
    for (const char* program : {"on_xdp", "on_frags", "on_tc", "on_cgroup"}) {
        for (const size_t size : {size_t{64}, size_t{100}, size_t{3600}, size_t{5000}}) {
            if (size > 3520 && std::string_view(program) != "on_frags") {
                continue;
            }
            for (const uint64_t place : kPlaces) {
                for (const uint64_t flags : {0, 1, 2}) {
                    sweep(program, {flags & 1, 0, 64, place, flags >> 1, place, place, flags}, size);
                }
                sweep(program, {0, 2, 60, place, 0, place, place, 0}, size);
                sweep(program, {0, 3400, 3590, place, 0, place, place + 100, 0}, size);
            }
            for (const uint64_t place : {3504, 3505, 3510, 3519, 3520, 3584, 4000}) {
                sweep(program, {0, 0, size, place, 0, place, place, 0}, size);
            }
        }
    }
}

TEST_F(KfuncParity, DynptrBounds) {
    constexpr uint64_t kEdges[] = {0, 1, 63, 64, 65, 0x7fffffff, 0xffffffff};
    for (const char* program : {"on_xdp", "on_tc", "on_memory"}) {
        for (const uint64_t start : kEdges) {
            for (const uint64_t end : kEdges) {
                sweep(program, {0, start, end, 0, 0, 0, 0, 0});
                sweep(program, {1, start, end, 0, 0, 0, 0, 0});
            }
        }
    }
}

TEST_F(KfuncParity, DynptrOnMemory) {
    for (const uint64_t place : {0, 1, 16, 47, 48, 49, 56, 57, 64}) {
        for (const uint64_t flags : {0, 1}) {
            sweep("on_memory", {0, 0, 64, place, flags, 64 - place, flags, place});
            sweep("on_memory", {0, 8, 60, place, 0, place, 0, place});
            sweep("on_memory", {1, 0, 64, place, 0, place, 0, place});
        }
    }
}

TEST_F(KfuncParity, DynptrOnRecords) {
    for (const uint64_t size :
         {0ull, 1ull, 8ull, 16ull, 17ull, 100ull, 4088ull, 4089ull, 1ull << 24, 1ull << 25}) {
        for (const uint64_t flags : {0, 1}) {
            for (const uint64_t place : {0, 1, 8, 84, 85, 4080}) {
                for (const uint64_t discard : {0, 1}) {
                    sweep("on_record", {size, flags, place, place, discard});
                }
            }
        }
    }
}

TEST_F(KfuncParity, Sections) {
    sweep("sections", {});
}

TEST_F(KfuncParity, IterBits) {
    open_case("more_kfuncs");
    ASSERT_TRUE(ready());
    ByteVec words(600 * 8);
    for (size_t i = 0; i < words.size(); ++i) {
        words[i] = i % 7 == 0 ? static_cast<uint8_t>(i * 37) : 0;
    }
    for (Instance* side : {vm_.get(), kernel_.get()}) {
        set_value(*side, ".data.words", words);
    }
    for (const uint64_t count : {0, 1, 2, 63, 64, 511, 512, 600, 0x20000001}) {
        for (const uint64_t limit : {0, 1, 5, 100}) {
            sweep("iter_bits", {count, 0, limit});
            sweep("iter_bits", {count, 1, limit});
        }
    }
}

TEST_F(KfuncParity, ResilientLocks) {
    open_case("more_kfuncs");
    ASSERT_TRUE(ready());
    for (const char* program : {"plain_locks", "irq_locks"}) {
        for (const uint64_t a : {0, 1, 2, 3}) {
            for (const uint64_t b : {0, 1, 2}) {
                sweep(program, {a, b});
            }
        }
    }
}

TEST_F(KfuncParity, Interrupts) {
    open_case("more_kfuncs");
    ASSERT_TRUE(ready());
    sweep("interrupts", {});
}

TEST_F(KfuncParity, ElementCounts) {
    open_case("more_kfuncs");
    ASSERT_TRUE(ready());
    RunOptions options;
    options.cpu = 0; // for the per-CPU map
    for (const uint64_t remove : {0, 1}) {
        for (const uint64_t key : {1, 2, 3, 1, 2, 9, 10, 11, 12, 13, 14, 1}) {
            set_args({key, remove});
            run_both("counts", packet_of(64), options);
        }
    }
}

TEST_F(KfuncParity, Streams) {
    open_case("more_kfuncs");
    ASSERT_TRUE(ready());
    for (const uint64_t stream : {0ull, 1ull, 2ull, 3ull, 1ull << 32 | 1, ~0ull}) {
        sweep("streams", {stream});
    }
}

TEST_F(KfuncParity, Strings) {
    const std::vector<std::string> texts{"",
                                         "a",
                                         "b",
                                         "ab",
                                         "abc",
                                         "hello world",
                                         "world",
                                         "lo",
                                         "llo w",
                                         "\x80\x7f",
                                         "\xff",
                                         "fifteen letters",
                                         "Hello wORld",
                                         "AB",
                                         "\xc4\xd7",
                                         "\xe4\xf7",
                                         "\xe4\xd7",
                                         "@[`{"};
    for (const std::string& a : texts) {
        for (const std::string& b : texts) {
            for (const char c : {'a', 'l', '\0', 'z', '\x80'}) {
                for (const uint64_t n : {0, 1, 2, 5, 11, 15, 16}) {
                    set_args({static_cast<uint64_t>(c), n});
                    ByteVec both(32);
                    std::copy(a.begin(), a.end(), both.begin());
                    std::copy(b.begin(), b.end(), both.begin() + 16);
                    set_value(*vm_, ".data.texts", both);
                    set_value(*kernel_, ".data.texts", both);
                    SCOPED_TRACE("'" + a + "' '" + b + "' " + c + " " + std::to_string(n));
                    run_both("strings", packet_of(64));
                }
            }
        }
    }
}

/// All single characters against all, in one text each.
TEST_F(KfuncParity, StringsFoldEveryCharacter) {
    set_args({0, 0});
    for (unsigned a = 1; a < 256; ++a) {
        for (const unsigned b : {a, a ^ 0x20U, a + 0x20U, 255U - a, 0xdfU, 0xd7U, 0x5bU}) {
            ByteVec both(32);
            both[0] = static_cast<uint8_t>(a);
            both[16] = static_cast<uint8_t>(b);
            set_value(*vm_, ".data.texts", both);
            set_value(*kernel_, ".data.texts", both);
            SCOPED_TRACE(testing::Message() << a << " " << (b & 0xff));
            run_both("strings", packet_of(64));
        }
    }
}

/// Copies and fills between views of packets, values and records.
class DynptrMoves : public KfuncParity {
  protected:
    void SetUp() override {
        ParityTest::SetUp();
        if (!IsSkipped()) {
            open_case("dynptr_moves");
            ASSERT_TRUE(ready());
        }
    }
    /// The same with values that tell every place.
    void move(const std::string& program, const std::vector<uint64_t>& args, size_t size) {
        ByteVec values(1400);
        for (size_t i = 0; i < values.size(); ++i) {
            values[i] = static_cast<uint8_t>(i * 7 + i / 256);
        }
        set_value(*vm_, ".data.memory", values);
        set_value(*kernel_, ".data.memory", values);
        sweep(program.c_str(), args, size);
    }
    /// The sizes of packets that a program of the name is run on.
    static std::vector<size_t> sizes(const std::string& on) {
        return on == "frags" ? std::vector<size_t>{64, 3520, 5000, 9000} : std::vector<size_t>{64, 900, 3400};
    }
};

TEST_F(DynptrMoves, Copies) {
    constexpr uint64_t kPlaces[] = {0, 1, 63, 400, 1400, 3500, 7600, 0xffffffff};
    for (const std::string on : {"xdp", "frags", "tc", "cgroup"}) {
        for (const size_t size : sizes(on)) {
            for (uint64_t sides = 0; sides < 16; ++sides) {
                for (const uint64_t to : kPlaces) {
                    for (const uint64_t from : {to, to + 1, uint64_t{0}, uint64_t{3516}}) {
                        for (const uint64_t bytes : {0, 1, 8, 256, 257, 1000}) {
                            move("copy_on_" + on, {sides, to, from, bytes, 0, size}, size);
                        }
                    }
                }
                move("copy_on_" + on, {sides, 10, 20, 40, 14, 60}, size);
                move("copy_on_" + on, {sides, 10, 20, 0xffffffff, 14, 60}, size);
                move("copy_on_" + on, {sides, 5, 5, 400, 100, size - 50}, size);
            }
        }
    }
}

TEST_F(DynptrMoves, Fills) {
    for (const std::string on : {"xdp", "frags", "tc", "cgroup"}) {
        for (const size_t size : sizes(on)) {
            for (uint64_t side = 0; side < 4; ++side) {
                for (const uint64_t at : {0, 1, 63, 400, 1399, 1400, 3519, 7600}) {
                    for (const uint64_t bytes : {0, 1, 255, 256, 257, 1000, 1400, 4000}) {
                        move("fill_on_" + on, {side, at, at * 0x101 + 0xa7, bytes, 0, size}, size);
                        move("fill_on_" + on, {side, at, 0, bytes, 13, size - 1}, size);
                    }
                }
                move("fill_on_" + on, {side, 0xffffffff, 1, 2, 0, size}, size);
                move("fill_on_" + on, {side, 2, 1, 0xffffffff, 0, size}, size);
            }
        }
    }
}

TEST_F(DynptrMoves, BehindTheEndOfACutPacket) {
    for (const uint64_t length : {14, 40, 64, 100, 600}) {
        for (const uint64_t at : {0, 8, 14, 40, 300, 599}) {
            for (const uint64_t bytes : {0, 1, 24, 300}) {
                move("cut_and_copy", {length, at, bytes}, 600);
            }
        }
    }
}

} // namespace

} // namespace mimicsh::test
