// SPDX-License-Identifier: MIT
// Conntrack kernel functions on both targets, in a network namespace of the test's own.
#include <cstdlib>
#include <sstream>

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

TEST_F(WorldParity, ConntrackFields) {
    if (IsSkipped()) {
        return;
    }
    open_world("parity/conntrack", world_with(R"("conntrack": [])").c_str());
    ASSERT_TRUE(ready());
    size_t shown = 0;
    const auto ask = [&](const std::string& program, const ByteVec& tuple, const std::vector<uint64_t>& args,
                         const Opts& opts = {}) {
        SCOPED_TRACE(testing::Message()
                     << program << " " << to_hex(tuple).substr(0, 24) << ", mark " << args[0]
                     << (args.size() > 3 ? ", ends " : "") << (args.size() > 3 ? args[1] : 0));
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            set_value(*side, ".data.tuple", tuple);
            set_value(*side, ".data.options", bytes_of_opts(opts));
        }
        set_args(args);
        run_both(program, packet_of(64));
        shown += result(0);
    };
    const auto translate_to = [&](const char* source, const char* destination) {
        ByteVec addresses(32);
        const ByteVec from = bytes_of(source);
        const ByteVec to = bytes_of(destination);
        std::copy(from.begin(), from.end(), addresses.begin());
        std::copy(to.begin(), to.end(), addresses.begin() + 16);
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            set_value(*side, ".data.addresses", addresses);
        }
    };
    constexpr uint64_t kMinute = 60'000;
    translate_to("10.2.0.1", "10.2.0.2");
    uint16_t port = 3000;
    for (const char* program : {"translate_xdp", "translate_tc"}) {
        for (const uint64_t ends : {0, 1, 2, 3}) {
            for (const uint64_t to_port : {0ull, 1ull, 4242ull, 0xffffull, 0xffffffffull, 0x10007ull}) {
                ask(program, tuple_of("10.0.0.5", ++port, "10.0.0.1", 80),
                    {port, ends, to_port, to_port + 1, kMinute});
                for (const char* look : {"show_xdp", "show_tc"}) {
                    ask(look, tuple_of("10.0.0.5", port, "10.0.0.1", 80), {port + 1u});
                    ask(look, tuple_of("10.0.0.1", 80, "10.0.0.5", port), {port + 2u});
                    ask(look, tuple_of("10.2.0.2", 80, "10.2.0.1", port), {port + 3u});
                    ask(look, tuple_of("10.2.0.2", 4243, "10.2.0.1", 4242), {port + 4u});
                }
            }
        }
    }
    // The address that is there already, and one source to two destinations: the second keeps the mapping.
    translate_to("10.0.0.5", "10.0.0.1");
    ask("translate_tc", tuple_of("10.0.0.5", 200, "10.0.0.1", 80), {1, 3, 0, 0, kMinute});
    translate_to("10.3.0.1", "10.3.0.2");
    ask("translate_tc", tuple_of("10.0.0.6", 201, "10.0.0.1", 80), {1, 1, 777, 0, kMinute});
    ask("translate_tc", tuple_of("10.0.0.6", 201, "10.0.0.9", 80), {1, 1, 0, 0, kMinute});
    ask("translate_tc", tuple_of("10.0.0.6", 201, "10.0.0.9", 80), {1, 3, 0, 0, kMinute}); // there already
    ask("translate_tc", tuple_of("10.0.0.7", 201, "10.0.0.9", 80), {1, 1, 777, 0, kMinute}, {-1, 6, 9, 1, 0});
    ask("show_tc", tuple_of("10.0.0.7", 201, "10.0.0.9", 80), {5}, {-1, 6, 9, 1, 0});
    translate_to("2001:db8::77", "2001:db8::78");
    ask("translate_tc_ip6", tuple_of("2001:db8::5", 300, "2001:db8::1", 53), {9, 3, 99, 0, kMinute});
    ask("show_tc_ip6", tuple_of("2001:db8::78", 53, "2001:db8::77", 99), {10});
    EXPECT_GT(shown, 150u);
}

TEST_F(WorldParity, XfrmStates) {
    if (IsSkipped()) {
        return;
    }
    // States that wait for their keys: those with keys need algorithms that not every kernel has.
    constexpr const char* kStates =
        "src 10.0.0.1 dst 10.0.0.2 proto esp reqid 7 mode tunnel min 0x100 max 0x100\n"
        "src 10.0.0.1 dst 10.0.0.2 proto ah reqid 9 mode tunnel mark 0x10 mask 0xf0 min 0x200 max 0x200\n"
        "src 2001:db8::1 dst 2001:db8::2 proto ah reqid 8 mode transport min 5 max 5\n";
    std::istringstream lines(kStates);
    for (std::string line; std::getline(lines, line);) {
        if (std::system(("ip xfrm state allocspi " + line + " > /dev/null 2>&1").c_str()) != 0) {
            GTEST_SKIP() << "ip xfrm state allocspi does not work here";
        }
    }
    open_world("parity/xfrm_state", world_with(R"("xfrm_states": [
        {"source": "10.0.0.1", "destination": "10.0.0.2", "proto": "esp", "spi": 256, "reqid": 7,
         "fields": {"props.mode": 1}},
        {"source": "10.0.0.1", "destination": "10.0.0.2", "proto": "ah", "spi": 512, "reqid": 9, "mark": 16,
         "mask": 240, "fields": {"props.mode": 1}},
        {"source": "2001:db8::1", "destination": "2001:db8::2", "proto": "ah", "spi": 5, "reqid": 8,
         "fields": {"props.mode": 0}}])")
                                        .c_str());
    ASSERT_TRUE(ready());
    size_t found = 0;
    for (const char* program : {"find_state", "find_state_short", "find_state_long"}) {
        for (const char* address : {"10.0.0.2", "10.0.0.1", "2001:db8::2"}) {
            for (const uint64_t spi : {5, 256, 512}) {
                for (const uint64_t protocol : {50, 51}) {
                    for (const uint64_t mark : {0, 0x10, 0x31f}) {
                        for (const uint64_t netns : {0xffffffffu, 0xfffffffeu, 0u}) {
                            const ByteVec bytes = bytes_of(address);
                            ByteVec padded = bytes;
                            padded.resize(16);
                            SCOPED_TRACE(testing::Message() << program << " " << address << " " << spi << " "
                                                            << protocol << " " << mark << " " << netns);
                            set_args({netns, mark, spi, protocol, bytes.size() == 4 ? 2u : 10u,
                                      number_at(padded, 0), number_at(padded, 1)});
                            run_both(program, packet_of(64));
                            found += result(0);
                        }
                    }
                }
            }
        }
    }
    EXPECT_EQ(found, 8u);
}

} // namespace

} // namespace mimicsh::test
