// SPDX-License-Identifier: MIT
// Dissecting: truncated, wrong and random packets; the captures byte for byte.
#include "net/dissect.h"

#include <gtest/gtest.h>

#include "net/build.h"
#include "net/diff.h"
#include "net/show.h"
#include "tests/unit/net/support.h"

namespace mimicsh::net {
namespace {

ByteVec http_frame() {
    auto packet =
        build({LayerSpec{Protocol::kEth}, LayerSpec{Protocol::kIp},
               LayerSpec{Protocol::kTcp, {{"options", "mss=1460,nop,wscale=7"}}}, ByteVec{'G', 'E', 'T'}});
    return packet->bytes();
}

struct CutCase {
    size_t size;
    size_t layers;
    const char* note;
};

TEST(Dissect, KeepsWhatIsThereOfATruncatedPacket) {
    const CutCase cases[] = {
        {0, 0, "eth: header needs 14 bytes, 0 are left"},
        {13, 0, "eth: header needs 14 bytes, 13 are left"},
        {14, 1, "ip: header needs 20 bytes, 0 are left"},
        {33, 1, "ip: header needs 20 bytes, 19 are left"},
        {34, 2, "tcp: header needs 20 bytes, 0 are left"},
        {60, 2, "tcp: doff gives a header of 28 bytes, 26 are left"},
        {62, 3, "ip: len promises 51 bytes, 48 are there"},
        {65, 3, ""},
    };
    ByteVec frame = http_frame();
    ASSERT_EQ(frame.size(), 65U);
    for (const CutCase& c : cases) {
        Packet packet = dissect(ByteView(frame).first(c.size));
        EXPECT_EQ(packet.layers().size(), c.layers) << c.size;
        EXPECT_EQ(packet.note(), c.note) << c.size;
        EXPECT_EQ(packet.size(), c.size);
    }
}

TEST(Dissect, RefusesHeadersThatCannotBe) {
    struct Case {
        const char* layer;
        const char* field;
        uint64_t value;
        const char* note;
    };
    const Case cases[] = {
        {"ip", "version", 5, "ip: version is 5, not 4"},
        {"ip", "ihl", 4, "ip: ihl gives a header of 16 bytes, at least 20 are needed"},
        {"ip", "ihl", 15, "ip: ihl gives a header of 60 bytes, 51 are left"},
        {"tcp", "doff", 0, "tcp: doff gives a header of 0 bytes, at least 20 are needed"},
        {"ip", "len", 19, "ip: len 19 is shorter than the header"},
        {"ip", "frag", 1, "ip: a later fragment, its payload starts in another packet"},
    };
    for (const Case& c : cases) {
        Packet packet = dissect(http_frame());
        ASSERT_TRUE(packet.set(*packet.find(find_protocol(c.layer)->protocol), c.field, c.value));
        EXPECT_EQ(dissect(packet.bytes()).note(), c.note);
    }
}

TEST(Dissect, StopsAtADepthThatNoRealPacketHas) {
    ByteVec frame = *from_hex("020000000002020000000001"
                              "8100");
    for (int i = 0; i < 1000; i++) {
        frame.insert(frame.end(), {0, 1, 0x81, 0});
    }
    Packet packet = dissect(frame);
    EXPECT_EQ(packet.layers().size(), 32U);
    EXPECT_EQ(packet.note(), "vlan: more than 32 headers");
}

TEST(Dissect, ChoosesTheFirstProtocolByLinkType) {
    EXPECT_EQ(first_protocol(1, {}), Protocol::kEth);
    EXPECT_EQ(first_protocol(101, *from_hex("45")), Protocol::kIp);
    EXPECT_EQ(first_protocol(101, *from_hex("60")), Protocol::kIp6);
    EXPECT_EQ(first_protocol(113, {}), std::nullopt);
}

// Every function that takes a packet, on one that came from outside.
void exercise(const Packet& packet) {
    size_t covered = packet.payload().size() + packet.padding().size();
    for (const Layer& layer : packet.layers()) {
        covered += layer.size;
    }
    ASSERT_EQ(covered, packet.size());
    (void)show(packet);
    (void)summary(packet);
    (void)code(packet);
    Packet wire = packet.wire();
    ASSERT_EQ(wire.size(), packet.size());
    (void)diff(packet, wire);
    ASSERT_EQ(wire.wire().bytes(), wire.bytes());
}

TEST(Dissect, SurvivesDamagedCaptures) {
    uint64_t seed = test_seed();
    std::mt19937_64 random(seed);
    SCOPED_TRACE("seed " + std::to_string(seed));
    for (const std::string& name : capture_names()) {
        for (StoredPacket& stored : read_capture(capture_path(name))) {
            for (int round = 0; round < 8; round++) {
                ByteVec bytes = stored.data;
                for (uint64_t flips = random() % 6; flips > 0; flips--) {
                    bytes[random() % std::min<size_t>(bytes.size(), 80)] = static_cast<uint8_t>(random());
                }
                bytes.resize(random() % 4 == 0 ? random() % (bytes.size() + 1) : bytes.size());
                exercise(dissect(bytes,
                                 static_cast<Protocol>(round % 2 == 0 ? 0 : random() % protocols().size())));
            }
        }
    }
}

TEST(Dissect, SettingEveryFieldToItsOwnValueChangesNothing) {
    for (const std::string& name : capture_names()) {
        for (const StoredPacket& stored : read_capture(capture_path(name))) {
            Packet packet = dissect(stored.data);
            for (size_t layer = 0; layer < packet.layers().size(); layer++) {
                for (const Field& field : layout_of(packet.layers()[layer].protocol).fields) {
                    Status status = packet.set(layer, field.name, packet.get(layer, field));
                    ASSERT_TRUE(status) << name << ": " << status.error().message();
                    ASSERT_EQ(to_hex(packet.bytes()), to_hex(stored.data)) << name << ": " << field.name;
                }
            }
        }
    }
}

TEST(Dissect, FixingARealPacketChangesNothing) {
    for (const std::string& name : capture_names()) {
        for (const StoredPacket& stored : read_capture(capture_path(name))) {
            Packet packet = dissect(stored.data);
            ASSERT_EQ(to_hex(packet.wire().bytes()), to_hex(stored.data)) << name << "\n" << show(packet);
        }
    }
}

} // namespace
} // namespace mimicsh::net
