// SPDX-License-Identifier: MIT
// Conntrack kernel functions on both targets, in a network namespace of the test's own.
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

struct Opts {
    int32_t netns = -1;
    uint8_t protocol = 6;
    uint16_t zone = 0;
    uint8_t zone_direction = 0;
    uint8_t reserved = 0;
};

ByteVec bytes_of_opts(const Opts& opts) {
    ByteVec bytes(16);
    store(bytes.data(), opts.netns);
    bytes[8] = opts.protocol;
    bytes[9] = 7;
    store(bytes.data() + 10, opts.zone);
    bytes[12] = opts.zone_direction;
    bytes[14] = opts.reserved;
    return bytes;
}

ByteVec tuple_of(const char* source, uint16_t source_port, const char* destination, uint16_t port) {
    ByteVec tuple(64);
    const ByteVec from = bytes_of(source);
    const ByteVec to = bytes_of(destination);
    std::copy(from.begin(), from.end(), tuple.begin());
    std::copy(to.begin(), to.end(), tuple.begin() + static_cast<ptrdiff_t>(from.size()));
    store_be(tuple.data() + 2 * from.size(), source_port);
    store_be(tuple.data() + 2 * from.size() + 2, port);
    return tuple;
}

TEST_F(WorldParity, Conntrack) {
    if (IsSkipped()) {
        return;
    }
    open_world("parity/conntrack", world_with(R"("conntrack": [])").c_str());
    ASSERT_TRUE(ready());
    constexpr uint64_t kMinute = 60'000;
    size_t found = 0;
    const auto ask = [&](const std::string& program, const ByteVec& tuple, const Opts& opts,
                         const std::vector<uint64_t>& args) {
        SCOPED_TRACE(testing::Message()
                     << program << " netns " << opts.netns << ", protocol " << unsigned{opts.protocol}
                     << ", zone " << opts.zone << "/" << unsigned{opts.zone_direction} << ", reserved "
                     << unsigned{opts.reserved} << ", " << to_hex(tuple).substr(0, 24) << ", status "
                     << args[0]);
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            set_value(*side, ".data.tuple", tuple);
            set_value(*side, ".data.options", bytes_of_opts(opts));
        }
        set_args(args);
        run_both(program, packet_of(64));
        found += result(0);
    };
    const ByteVec there = tuple_of("10.0.0.5", 1000, "10.0.0.1", 80);
    const ByteVec back = tuple_of("10.0.0.1", 80, "10.0.0.5", 1000);
    const ByteVec other = tuple_of("10.0.0.6", 1000, "10.0.0.1", 80);
    const std::vector<Opts> kOpts{{},
                                  {-1, 17, 0, 0, 0},
                                  {-1, 1, 0, 0, 0},
                                  {-2, 6, 0, 0, 0},
                                  {-2, 1, 0, 0, 0},
                                  {0, 6, 0, 0, 0},
                                  {5, 6, 0, 0, 0},
                                  {5, 1, 0, 0, 0},
                                  {-1, 6, 7, 0, 0},
                                  {-1, 6, 7, 1, 0},
                                  {-1, 6, 7, 2, 0},
                                  {-1, 6, 7, 3, 0},
                                  {-1, 6, 0, 0, 1}};
    const auto look_everywhere = [&](uint64_t status) {
        for (const char* program :
             {"look_xdp", "look_xdp_old", "look_xdp_other", "look_xdp_short", "look_tc"}) {
            for (const ByteVec& tuple : {there, back, other}) {
                for (const Opts& opts : kOpts) {
                    ask(program, tuple, opts, {status, kMinute});
                }
            }
        }
    };
    look_everywhere(8);
    EXPECT_EQ(found, 0u);
    for (const char* program : {"add_xdp", "add_xdp_old", "add_xdp_other", "add_tc"}) {
        for (const Opts& opts : kOpts) {
            ask(program, there, opts, {0, kMinute, 8});
            ask(program, back, opts, {0, kMinute, 8});
        }
        look_everywhere(8);
    }
    const ByteVec there6 = tuple_of("2001:db8::5", 1000, "2001:db8::1", 53);
    for (const uint64_t status : {0u, 2u, 4u, 6u, 8u, 1u, 0x200u, 0x400u, 0x30u, 0x800u, 0xffffffffu}) {
        for (const uint64_t later : {8u, 10u, 14u, 0u, 12u, 0x208u, 0x408u, 9u}) {
            const auto port = static_cast<uint16_t>(2000 + found);
            ask("add_tc", tuple_of("10.0.0.7", port, "10.0.0.1", 80), {}, {status, kMinute, later});
            for (const uint64_t last : {8u, 14u, 0x40eu, 10u}) {
                ask("look_tc", tuple_of("10.0.0.1", 80, "10.0.0.7", port), {}, {last, kMinute});
            }
        }
    }
    ask("look_tc_ip6", there6, {}, {8, kMinute});
    ask("add_tc_ip6", there6, {}, {0, kMinute, 10});
    ask("look_tc_ip6", there6, {}, {10, kMinute});
    ask("look_tc_ip6", tuple_of("2001:db8::1", 53, "2001:db8::5", 1000), {}, {14, kMinute});
    // An entry without time left is not found.
    ask("look_tc", back, {}, {8, 0});
    ask("look_tc", back, {}, {8, kMinute});
    EXPECT_GT(found, 100u);
}

} // namespace

} // namespace mimicsh::test
