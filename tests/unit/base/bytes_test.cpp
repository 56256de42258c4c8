// SPDX-License-Identifier: MIT
// Slicing, byte order and hex text.
#include "base/bytes.h"

#include <gtest/gtest.h>

namespace mimicsh {
namespace {

TEST(Bytes, SliceRefusesWhatLeavesTheView) {
    ByteVec bytes{1, 2, 3, 4};
    ASSERT_TRUE(slice(bytes, 4, 0));
    EXPECT_EQ(slice(bytes, 1, 2)->front(), 2);
    EXPECT_FALSE(slice(bytes, 5, 0));
    EXPECT_FALSE(slice(bytes, 2, 3));
    EXPECT_FALSE(slice(bytes, UINT64_MAX, 2));
    EXPECT_FALSE(slice(bytes, 2, UINT64_MAX));
}

TEST(Bytes, BigEndianLoadsAndStoresAreInverse) {
    uint8_t bytes[8] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
    EXPECT_EQ(load_be<uint16_t>(bytes + 1), 0x0203);
    EXPECT_EQ(load_be<uint32_t>(bytes), 0x01020304u);
    EXPECT_EQ(load_be<uint64_t>(bytes), 0x0102030405060708u);
    store_be<uint32_t>(bytes + 3, 0xa1b2c3d4);
    EXPECT_EQ(load_be<uint32_t>(bytes + 3), 0xa1b2c3d4u);
}

TEST(Bytes, HexRoundTripsAndRefusesNonsense) {
    ByteVec bytes{0x00, 0xff, 0x1a};
    EXPECT_EQ(to_hex(bytes), "00ff1a");
    EXPECT_EQ(from_hex("00 FF\n1a"), bytes);
    EXPECT_FALSE(from_hex("0"));
    EXPECT_FALSE(from_hex("0 0"));
    EXPECT_FALSE(from_hex("zz"));
}

} // namespace
} // namespace mimicsh
