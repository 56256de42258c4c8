// SPDX-License-Identifier: MIT
// pcapng written block by block: byte orders, time resolutions, sections, blocks to pass over, damage.
#include <functional>

#include <gtest/gtest.h>

#include "tests/unit/net/support.h"

namespace mimicsh::net {
namespace {

/// Puts blocks together in either byte order, independently of the writer.
class BlockMaker {
  public:
    explicit BlockMaker(bool is_swapped = false) : is_swapped_(is_swapped) {}

    static void append(ByteVec& to, std::initializer_list<ByteVec> parts) {
        for (const ByteVec& part : parts) {
            to.insert(to.end(), part.begin(), part.end());
        }
    }
    [[nodiscard]] ByteVec u16(uint16_t value) const { return number(is_swapped_ ? byte_swap(value) : value); }
    [[nodiscard]] ByteVec u32(uint32_t value) const { return number(is_swapped_ ? byte_swap(value) : value); }
    [[nodiscard]] ByteVec u64(uint64_t value) const { return number(is_swapped_ ? byte_swap(value) : value); }

    [[nodiscard]] ByteVec block(uint32_t type, ByteVec body) const {
        body.resize((body.size() + 3) / 4 * 4);
        auto length = static_cast<uint32_t>(body.size() + 12);
        ByteVec bytes;
        append(bytes, {u32(type), u32(length), body, u32(length)});
        return bytes;
    }
    [[nodiscard]] ByteVec option(uint16_t code, const ByteVec& value) const {
        ByteVec bytes;
        append(bytes, {u16(code), u16(static_cast<uint16_t>(value.size())), value});
        bytes.resize((bytes.size() + 3) / 4 * 4);
        return bytes;
    }
    [[nodiscard]] ByteVec section() const {
        ByteVec body;
        append(body, {u32(0x1a2b3c4d), u16(1), u16(0), u64(UINT64_MAX)});
        return block(0x0a0d0d0a, body);
    }
    [[nodiscard]] ByteVec interface(const ByteVec& options = {}, uint32_t snaplen = 0) const {
        ByteVec body;
        append(body, {u16(1), u16(0), u32(snaplen), options});
        return block(1, body);
    }
    [[nodiscard]] ByteVec packet(uint32_t interface, uint64_t ticks, const ByteVec& data,
                                 const ByteVec& options = {}) const {
        ByteVec body;
        auto size = static_cast<uint32_t>(data.size());
        append(body, {u32(interface), u32(static_cast<uint32_t>(ticks >> 32)),
                      u32(static_cast<uint32_t>(ticks)), u32(size), u32(size + 1), data});
        body.resize((body.size() + 3) / 4 * 4);
        append(body, {options});
        return block(6, body);
    }

  private:
    template <typename T>
    static ByteVec number(T value) {
        ByteVec bytes(sizeof value);
        store(bytes.data(), value);
        return bytes;
    }
    bool is_swapped_;
};

ByteVec join(std::initializer_list<ByteVec> parts) {
    ByteVec all;
    BlockMaker::append(all, parts);
    return all;
}

ReadResult read_bytes(const ByteVec& bytes) {
    auto reader = PcapReader::from_bytes(bytes, "x");
    if (!reader) {
        return {{}, reader.error()};
    }
    return read_all(**reader);
}

TEST(Pcapng, ReadsBothByteOrdersAndComments) {
    for (bool is_swapped : {false, true}) {
        BlockMaker make(is_swapped);
        ByteVec comment = make.option(1, {'h', 'e', 'l', 'l', 'o'});
        ReadResult result =
            read_bytes(join({make.section(), make.interface(),
                             make.packet(0, 0x0005'0000'0000'0001 / 1, {1, 2, 3, 4, 5}, comment)}));
        ASSERT_EQ(result.packets.size(), 1U) << result.error.message();
        EXPECT_EQ(result.packets[0].data, (ByteVec{1, 2, 3, 4, 5}));
        EXPECT_EQ(result.packets[0].orig_len, 6U);
        EXPECT_EQ(result.packets[0].comment, "hello");
        EXPECT_EQ(result.packets[0].time_ns, 0x0005'0000'0000'0001ULL * 1000);
    }
}

struct ResolutionCase {
    uint8_t tsresol;
    uint64_t ticks;
    uint64_t time_ns;
};

TEST(Pcapng, ConvertsTimeResolutions) {
    const ResolutionCase cases[] = {
        {0, 7, 7'000'000'000},
        {3, 1500, 1'500'000'000},
        {6, 1'500'000, 1'500'000'000},
        {9, 123'456'789'012, 123'456'789'012},
        {12, 1'999, 1},
        {28, UINT64_MAX, 1},
        {127, UINT64_MAX, 0},
        {0x80 | 10, 1536, 1'500'000'000},
        {0x80 | 32, uint64_t{3} << 31, 1'500'000'000},
        {0x80 | 127, UINT64_MAX, 0},
    };
    BlockMaker make;
    for (const ResolutionCase& c : cases) {
        ReadResult result = read_bytes(join(
            {make.section(), make.interface(make.option(9, {c.tsresol})), make.packet(0, c.ticks, {1})}));
        ASSERT_EQ(result.packets.size(), 1U);
        EXPECT_EQ(result.packets[0].time_ns, c.time_ns) << int{c.tsresol};
    }
    ReadResult moved = read_bytes(
        join({make.section(), make.interface(make.option(14, make.u64(100))), make.packet(0, 1, {1})}));
    ASSERT_EQ(moved.packets.size(), 1U);
    EXPECT_EQ(moved.packets[0].time_ns, 100'000'001'000U);
}

TEST(Pcapng, SectionsCountTheirInterfacesAnew) {
    BlockMaker little(false);
    BlockMaker big(true);
    ByteVec bytes = join({little.section(), little.interface(little.option(2, {'a'})),
                          little.packet(0, 1, {1}), big.section(), big.interface(big.option(2, {'b'})),
                          big.interface(big.option(2, {'c'})), big.packet(1, 2, {2})});
    auto reader = PcapReader::from_bytes(bytes, "x");
    ASSERT_TRUE(reader);
    ReadResult result = read_all(**reader);
    ASSERT_EQ(result.packets.size(), 2U) << result.error.message();
    EXPECT_EQ(result.packets[0].interface, 0U);
    EXPECT_EQ(result.packets[1].interface, 2U);
    ASSERT_EQ((*reader)->interfaces().size(), 3U);
    EXPECT_EQ((*reader)->interfaces()[2].name, "c");
}

TEST(Pcapng, ReadsSimpleAndOldPacketBlocks) {
    BlockMaker make;
    ByteVec simple = join({make.u32(100), {1, 2, 3, 4, 5, 6, 7, 8}});
    ByteVec old =
        join({make.u16(0), make.u16(0), make.u32(0), make.u32(5), make.u32(2), make.u32(3), {9, 8, 0, 0}});
    ReadResult result =
        read_bytes(join({make.section(), make.interface({}, 6), make.block(3, simple), make.block(2, old)}));
    ASSERT_EQ(result.packets.size(), 2U) << result.error.message();
    EXPECT_EQ(result.packets[0].data, (ByteVec{1, 2, 3, 4, 5, 6}));
    EXPECT_EQ(result.packets[0].orig_len, 100U);
    EXPECT_EQ(result.packets[1].data, (ByteVec{9, 8}));
    EXPECT_EQ(result.packets[1].time_ns, 5000U);
}

TEST(Pcapng, PassesOverBlocksItDoesNotKnowHoweverLong) {
    BlockMaker make;
    TempDir dir;
    ByteVec bytes =
        join({make.section(), make.interface(), make.packet(0, 1, {1}), make.block(4, ByteVec(100)),
              make.block(0x80001234, ByteVec(5 << 20)), make.packet(0, 2, {2})});
    ASSERT_TRUE(write_file(dir.file("x"), bytes, "write"));
    EXPECT_EQ(read_capture(dir.file("x")).size(), 2U);
    EXPECT_EQ(read_bytes(bytes).packets.size(), 2U);
    bytes.resize(bytes.size() - 100'000);
    bytes.resize(5 << 20); // the long block is cut off
    ReadResult result = read_bytes(bytes);
    EXPECT_EQ(result.packets.size(), 1U);
    EXPECT_NE(result.error.text.find("file ends after"), std::string::npos) << result.error.text;
}

struct DamageCase {
    const char* what;
    std::function<ByteVec(const BlockMaker&)> bytes;
    const char* text;
};

TEST(Pcapng, NamesTheOffsetAndTheDamage) {
    const DamageCase cases[] = {
        {"order magic",
         [](const BlockMaker&) {
             return *from_hex("0a0d0d0a1c0000000000000000000000"
                              "0000000000000000");
         },
         "x: offset 8: bad byte-order magic in a section header"},
        {"length no multiple of four",
         [](const BlockMaker& m) {
             return join({m.section(), m.u32(6), m.u32(33), ByteVec(40)});
         },
         "x: offset 28: block length 33 is not a multiple of 4 between 12 and 1048576"},
        {"length zero",
         [](const BlockMaker& m) {
             return join({m.section(), m.u32(77), m.u32(0), ByteVec(40)});
         },
         "x: offset 28: block length 0 is not a multiple of 4 between 12 and 16777216"},
        {"absurd length",
         [](const BlockMaker& m) {
             return join({m.section(), m.u32(6), m.u32(0x7ffffffc), ByteVec(40)});
         },
         "x: offset 28: block length 2147483644 is not a multiple of 4 between 12 and 1048576"},
        {"lengths differ",
         [](const BlockMaker& m) {
             return join({m.section(), m.u32(77), m.u32(16), m.u32(0), m.u32(20), ByteVec(40)});
         },
         "x: offset 28: the two lengths of a block differ (16 and 20)"},
        {"no interface",
         [](const BlockMaker& m) {
             return join({m.section(), m.packet(0, 0, {1})});
         },
         "x: offset 28: packet of interface 0, but the section has described 0"},
        {"interface of another section",
         [](const BlockMaker& m) {
             return join({m.section(), m.interface(), m.section(), m.packet(0, 0, {1})});
         },
         "x: offset 76: packet of interface 0, but the section has described 0"},
        {"captured length",
         [](const BlockMaker& m) {
             return join({m.section(), m.interface(),
                          m.block(6, join({m.u32(0), m.u32(0), m.u32(0), m.u32(9), m.u32(9), ByteVec(8)}))});
         },
         "x: offset 48: captured length 9 does not fit into its block"},
        {"simple packet",
         [](const BlockMaker& m) {
             return join({m.section(), m.interface(), m.block(3, join({m.u32(9), ByteVec(8)}))});
         },
         "x: offset 48: packet of 9 bytes does not fit into its block"},
        {"short section", [](const BlockMaker& m) { return m.block(0x0a0d0d0a, m.u32(0x1a2b3c4d)); }, ""},
        {"short interface",
         [](const BlockMaker& m) {
             return join({m.section(), m.block(1, m.u32(1))});
         },
         "x: offset 28: interface block is too short"},
        {"version",
         [](const BlockMaker& m) {
             return m.block(0x0a0d0d0a, join({m.u32(0x1a2b3c4d), m.u16(2), m.u16(0), m.u64(0)}));
         },
         "x: offset 0: pcapng version 2 is not supported"},
    };
    for (const DamageCase& c : cases) {
        for (bool is_swapped : {false, true}) {
            ReadResult result = read_bytes(c.bytes(BlockMaker(is_swapped)));
            EXPECT_TRUE(result.packets.empty()) << c.what;
            EXPECT_FALSE(result.error.text.empty()) << c.what;
            if (*c.text != '\0' && !is_swapped) {
                EXPECT_EQ(result.error.text, c.text) << c.what;
            }
        }
    }
}

} // namespace
} // namespace mimicsh::net
