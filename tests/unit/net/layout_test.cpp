// SPDX-License-Identifier: MIT
// Invariants that the dissector and builder rely on, for every entry of the table.
#include "net/layout.h"

#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/fd.h"
#include "tests/paths.h"

namespace mimicsh::net {
namespace {

TEST(Layout, StandsInTheOrderOfTheEnum) {
    for (size_t i = 0; i < protocols().size(); i++) {
        EXPECT_EQ(static_cast<size_t>(protocols()[i].protocol), i);
        EXPECT_EQ(find_protocol(protocols()[i].name), &protocols()[i]);
    }
    EXPECT_EQ(find_protocol("nothing"), nullptr);
}

TEST(Layout, FieldsCoverTheHeaderOnceWithoutGaps) {
    for (const ProtocolLayout& layout : protocols()) {
        unsigned next_bit = 0;
        unsigned required_bits = 0;
        std::vector<unsigned> optional_bits;
        for (const Field& field : layout.fields) {
            if (field.is_view) {
                continue;
            }
            EXPECT_EQ(field.bit_offset, next_bit) << layout.name << "." << field.name;
            next_bit = field.bit_offset + field.bit_width;
            if (field.presence < 0) {
                EXPECT_EQ(required_bits, field.bit_offset)
                    << field.name << " stands behind an optional field";
                required_bits = next_bit;
            } else {
                optional_bits.push_back(field.bit_width);
            }
        }
        // Optional fields lie behind the minimum, in whole bytes.
        std::erase_if(optional_bits, [](unsigned bits) { return bits % 8 == 0; });
        EXPECT_TRUE(optional_bits.empty()) << layout.name;
        // A rest field begins where the header may end; for extension headers it is part of the minimum.
        bool has_rest = layout.fields.back().bit_width == 0;
        EXPECT_TRUE(required_bits == layout.header_minimum * 8U ||
                    (has_rest && required_bits < layout.header_minimum * 8U))
            << layout.name;
    }
}

TEST(Layout, FieldsFitTheMaskOfExplicitFieldsAndTheHeader) {
    for (const ProtocolLayout& layout : protocols()) {
        EXPECT_LE(layout.fields.size(), 32U) << layout.name;
        for (const Field& field : layout.fields) {
            EXPECT_TRUE(field.presence >= 0 ||
                        field.bit_offset + field.bit_width <= layout.header_minimum * 8U)
                << field.name;
            bool is_bytes = field.kind == FieldKind::kMac || field.kind == FieldKind::kIp4 ||
                            field.kind == FieldKind::kIp6 || field.bit_width == 0;
            EXPECT_TRUE(!is_bytes || field.bit_offset % 8 == 0) << field.name;
            EXPECT_TRUE(is_bytes || field.bit_width <= 32) << field.name << ": Lua numbers hold 32 bits";
        }
    }
}

TEST(Layout, NamesAreUniqueWithinAProtocol) {
    for (const ProtocolLayout& layout : protocols()) {
        std::set<std::string_view> names;
        for (const Field& field : layout.fields) {
            EXPECT_TRUE(names.insert(field.name).second) << layout.name << "." << field.name;
            EXPECT_TRUE(field.also.empty() || names.insert(field.also).second)
                << layout.name << "." << field.also;
            EXPECT_EQ(find_field(layout, field.name), &field);
            EXPECT_TRUE(field.also.empty() || find_field(layout, field.also) == &field);
        }
        EXPECT_EQ(find_field(layout, ""), nullptr);
    }
}

TEST(Layout, LengthAndRestFieldsComeTogether) {
    for (const ProtocolLayout& layout : protocols()) {
        bool has_rest = layout.fields.back().bit_width == 0;
        const bool has_length = layout.with_role(FieldRole::kHeaderLength) != nullptr;
        EXPECT_EQ(has_rest, has_length || layout.measure != nullptr) << layout.name;
        EXPECT_EQ(has_length, layout.header_unit != 0) << layout.name;
    }
}

struct BitCase {
    unsigned offset;
    unsigned width;
    uint64_t value;
    const char* bytes; // all other bits set
};

TEST(Layout, StoresExactlyTheBitsOfAField) {
    const BitCase cases[] = {
        {0, 4, 0, "0fffffffffffffff"},         {4, 4, 5, "f5ffffffffffffff"},
        {12, 20, 0x12345, "fff12345ffffffff"}, {3, 13, 0x0aaa, "eaaaffffffffffff"},
        {7, 9, 0x002, "fe02ffffffffffff"},     {0, 48, 0x020000000001, "020000000001ffff"},
        {31, 1, 0, "fffffffeffffffff"},        {0, 64, 0x0123456789abcdef, "0123456789abcdef"},
    };
    for (const BitCase& c : cases) {
        Field field{.name = "x",
                    .bit_offset = static_cast<uint16_t>(c.offset),
                    .bit_width = static_cast<uint16_t>(c.width),
                    .kind = FieldKind::kUint};
        ByteVec bytes(8, 0xff);
        store_field(bytes.data(), field, c.value);
        EXPECT_EQ(to_hex(bytes), c.bytes);
        EXPECT_EQ(load_field(bytes.data(), field), c.value);
    }
}

TEST(Layout, LittleEndianFieldsSwapWholeBytes) {
    Field field{
        .name = "x", .bit_offset = 8, .bit_width = 32, .kind = FieldKind::kUint, .order = ByteOrder::kLittle};
    ByteVec bytes(6, 0);
    store_field(bytes.data(), field, 0x01020304);
    EXPECT_EQ(to_hex(bytes), "000403020100");
    EXPECT_EQ(load_field(bytes.data(), field), 0x01020304U);
}

TEST(Layout, EveryFieldIsInTheDocumentation) {
    ByteVec page = *read_file(test::in_tree("docs/net.md"), "read");
    std::string text(as_text(page));
    for (const ProtocolLayout& layout : protocols()) {
        size_t from = text.find("| `" + std::string(layout.name) + "` |");
        ASSERT_NE(from, std::string::npos) << layout.name;
        std::string row = text.substr(from, text.find('\n', from) - from);
        for (const Field& field : layout.fields) {
            std::string name = field.is_view ? "*" + std::string(field.name) + "*" : std::string(field.name);
            name += field.also.empty() ? "" : " (" + std::string(field.also) + ")";
            bool is_listed = row.find(" " + name + ",") != std::string::npos ||
                             row.find(" " + name + " |") != std::string::npos;
            EXPECT_TRUE(is_listed) << layout.name << ": " << name;
        }
        for (const OptionLayout& option : layout.options) {
            EXPECT_NE(row.find(" " + std::string(option.name)), std::string::npos) << option.name;
        }
    }
}

TEST(Layout, EveryFieldHasAMeaningAndEveryHeaderASource) {
    for (const ProtocolLayout& layout : protocols()) {
        EXPECT_TRUE(layout.source.starts_with("RFC ") || layout.source.starts_with("IEEE ")) << layout.name;
        for (const Field& field : layout.fields) {
            EXPECT_GE(field.meaning.size(), 4U) << layout.name << "." << field.name;
            EXPECT_LE(field.meaning.size(), 60U) << layout.name << "." << field.name;
        }
    }
}

} // namespace
} // namespace mimicsh::net
