// SPDX-License-Identifier: MIT
// Multi-buffer XDP packets and what the card says, on both targets.
#include <cstring>

#include "tests/kernel/parity.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

class XdpFrags : public ParityTest {
  protected:
    void sweep(const char* program, const std::vector<uint64_t>& args, size_t size,
               const RunOptions& options = {}) {
        std::string text = program;
        for (const uint64_t arg : args) {
            text += " " + std::to_string(static_cast<int64_t>(arg));
        }
        SCOPED_TRACE(text + ", " + std::to_string(size) + " bytes");
        set_args(args);
        run_both(program, packet_of(size), options);
    }
};

uint64_t as_arg(int64_t value) {
    return static_cast<uint64_t>(value);
}

/// Says how much of the input is metadata and how much is linear.
RunOptions laid_out(uint32_t meta, uint32_t linear) {
    abi::XdpMd md;
    md.data = meta;
    md.data_end = linear;
    RunOptions options;
    options.context.resize(sizeof md);
    std::memcpy(options.context.data(), &md, sizeof md);
    return options;
}

TEST_F(XdpFrags, PullData) {
    open_case("frags");
    ASSERT_TRUE(ready());
    for (const size_t size : {64, 3520, 3521, 3736, 3737, 7616, 7617, 9000, 20000}) {
        const auto length = static_cast<int64_t>(size);
        for (const int64_t first : {int64_t{0}, int64_t{64}, int64_t{3520}, int64_t{3521}, int64_t{3600},
                                    int64_t{3736}, int64_t{3737}, length, length + 1, int64_t{-1}}) {
            for (const int64_t tail :
                 {int64_t{0}, int64_t{-20}, int64_t{100}, int64_t{4000}, 14 - length, int64_t{INT32_MIN}}) {
                for (const int64_t head : {0, -16, 1000}) {
                    for (const char* program : {"pull", "pull_plain"}) {
                        sweep(program,
                              {as_arg(first), as_arg(tail), as_arg(head), as_arg(first + 50), as_arg(-tail)},
                              size);
                    }
                }
            }
        }
    }
}

TEST_F(XdpFrags, PullDataOfShortLinearParts) {
    open_case("frags");
    ASSERT_TRUE(ready());
    for (const uint32_t linear : {14u, 64u, 100u, 1000u}) {
        for (const uint32_t meta : {0u, 8u, 32u}) {
            for (const int64_t wanted : {14, 64, 101, 1000, 3000, 3520, 3736, 3737, 5000, 9000}) {
                for (const int64_t tail : {0, -3000, 50, 3000}) {
                    sweep("pull", {as_arg(wanted), as_arg(tail), 0, as_arg(wanted + 4000), as_arg(tail)},
                          9000, laid_out(meta, linear + meta));
                }
            }
        }
    }
}

TEST_F(XdpFrags, ViewsAndCopiesAcross) {
    open_case("frags");
    ASSERT_TRUE(ready());
    constexpr uint64_t kPlaces[] = {0,    100,  3500, 3505, 3519, 3520, 3521, 3600,
                                    7600, 7601, 7615, 7616, 8984, 8985, 9000, 0xffff};
    for (const uint64_t pull : {0, 3600, 3700}) {
        for (const uint64_t place : kPlaces) {
            for (const uint64_t other : kPlaces) {
                sweep("views", {pull, place, other, other + 1, place + 20}, 9000);
            }
        }
    }
    for (const uint64_t place : {65519, 65520, 65534, 65535, 65536, 69984}) {
        sweep("views", {0, place, place, place, place - 40}, 70000);
    }
}

TEST_F(XdpFrags, SkbMetadata) {
    open_case("frags");
    ASSERT_TRUE(ready());
    for (const uint64_t flags : {0, 1}) {
        for (const uint64_t offset : {0, 1, 8}) {
            for (const uint64_t how : {0, 1, 2}) {
                sweep("meta", {flags, offset, how}, 64);
            }
        }
    }
}

/// The kernel binds such programs to a card, which a test run does not have.
TEST_F(XdpFrags, CardMetadata) {
    const auto object = compile_case("parity/card.bpf.c");
    const auto refused = kernel_target()->load(object, {});
    ASSERT_FALSE(refused);
    EXPECT_NE((refused.error().text + refused.error().log).find("device-bound"), std::string::npos);
    const auto answers = [&](const char* text) {
        std::vector<int64_t> out;
        const auto world = vm::parse_world(text);
        EXPECT_TRUE(world) << world.error().message();
        vm::Options options;
        options.world = *world;
        auto instance = vm::make_target(options)->load(object, {});
        EXPECT_TRUE(instance) << instance.error().message();
        const auto run = (*instance)->find_program("card")->run(packet_of(64), {});
        EXPECT_TRUE(run && !run->fault);
        for (size_t i = 0; i < 8; ++i) {
            out.push_back(static_cast<int64_t>(number_at(value_of(**instance, ".bss"), kIoArgs + i)));
        }
        return out;
    };
    EXPECT_EQ(answers("{}"), (std::vector<int64_t>{-95, 0, -95, 0, 0, -95, 0, 0}));
    EXPECT_EQ(answers(R"({"rx": {}})"), (std::vector<int64_t>{-61, 0, -61, 0, 0, -61, 0, 0}));
    EXPECT_EQ(answers(R"({"rx": {"timestamp": 5, "hash": 6, "hash_type": 9, "vlan_tci": 100}})"),
              (std::vector<int64_t>{0, 5, 0, 6, 9, 0, 0x0081, 100}));
}

} // namespace

} // namespace mimicsh::test
