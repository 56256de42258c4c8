// SPDX-License-Identifier: MIT
// The fast checksum against a plain one.
#include "net/checksum.h"

#include <gtest/gtest.h>

#include "tests/unit/net/support.h"

namespace mimicsh::net {
namespace {

// RFC 1071 word by word, as its text has it.
uint16_t plain_checksum(ByteView bytes) {
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes.size(); i += 2) {
        sum += static_cast<uint64_t>(bytes[i] << 8 | (i + 1 < bytes.size() ? bytes[i + 1] : 0));
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return static_cast<uint16_t>(~sum);
}

ByteVec random_bytes(std::mt19937_64& random, size_t size) {
    ByteVec bytes(size);
    for (uint8_t& byte : bytes) {
        byte = static_cast<uint8_t>(random());
    }
    return bytes;
}

TEST(Checksum, EqualsPlainSumAtEveryLengthAndAlignment) {
    uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    ByteVec bytes = random_bytes(random, 2100);
    for (size_t offset = 0; offset < 8; offset++) {
        for (size_t size = 0; size <= 300; size++) {
            ByteView view = ByteView(bytes).subspan(offset, size);
            ASSERT_EQ(checksum(view), plain_checksum(view)) << "seed " << seed << " size " << size;
        }
        ByteView view = ByteView(bytes).subspan(offset, 2000 + offset);
        ASSERT_EQ(checksum(view), plain_checksum(view)) << "seed " << seed;
    }
}

TEST(Checksum, CarriesThroughBytesThatAreAllOnes) {
    for (size_t size : {2U, 8U, 16U, 64U, 1500U, 65535U}) {
        ByteVec bytes(size, 0xff);
        EXPECT_EQ(checksum(bytes), plain_checksum(bytes)) << size;
    }
}

TEST(Checksum, EqualsTheExampleOfRfc1071) {
    EXPECT_EQ(checksum(*from_hex("0001f203f4f5f6f7")), 0x220d);
}

TEST(Checksum, AddsUpInEvenPieces) {
    std::mt19937_64 random(test_seed());
    ByteVec bytes = random_bytes(random, 101);
    for (size_t cut = 0; cut <= 100; cut += 2) {
        ChecksumSum sum = checksum_add(0, ByteView(bytes).first(cut));
        EXPECT_EQ(checksum_finish(checksum_add(sum, ByteView(bytes).subspan(cut))), plain_checksum(bytes));
    }
}

TEST(Checksum, UpdateEqualsComputingAnew) {
    uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    for (int round = 0; round < 20000; round++) {
        ByteVec bytes = random_bytes(random, 20);
        if (round % 4 == 0) { // words of all zeros and all ones are where the equations differ
            std::fill(bytes.begin() + 4, bytes.begin() + 12, round % 8 == 0 ? 0x00 : 0xff);
        }
        uint16_t old_sum = plain_checksum(bytes);
        size_t at = random() % 9 * 2;
        uint32_t before = load_be<uint32_t>(bytes.data() + at);
        auto after = static_cast<uint32_t>(random());
        store_be(bytes.data() + at, after);
        ASSERT_EQ(checksum_update(old_sum, before, after), plain_checksum(bytes)) << "seed " << seed;
        auto word = static_cast<uint16_t>(random());
        uint16_t updated = checksum_update(plain_checksum(bytes), load_be<uint16_t>(bytes.data() + at), word);
        store_be(bytes.data() + at, word);
        ASSERT_EQ(updated, plain_checksum(bytes)) << "seed " << seed;
    }
}

TEST(Checksum, PseudoHeaderHasTheWordsOfTheRfc) {
    ByteVec src = *from_hex("c0000201");
    ByteVec dst = *from_hex("c0000202");
    ByteVec flat = *from_hex("c0000201c000020200060014");
    EXPECT_EQ(checksum_finish(pseudo_header_sum(src, dst, 6, 20)), plain_checksum(flat));
}

} // namespace
} // namespace mimicsh::net
