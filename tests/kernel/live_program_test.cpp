// SPDX-License-Identifier: MIT
// The program that varies live frames, run by the emulator, against the template it is made from.
#include "kernel/live_frames.h"

#include <gtest/gtest.h>

#include "net/build.h"
#include "object/asm.h"
#include "vm/target.h"

namespace mimicsh::test {
namespace {

using net::Protocol;
using net::Variation;

net::Packet packet_with(Protocol transport) {
    const auto ip = net::stack(*net::build_layer(Protocol::kEth, {}), *net::build_layer(Protocol::kIp, {}));
    const auto whole = net::stack(*ip, *net::build_layer(transport, {}));
    return *net::stack(*whole, net::Packet(ByteVec{1, 2, 3}));
}

std::unique_ptr<Instance> load_on_vm(const net::PacketTemplate& packet) {
    auto object = assemble(kernel::live_program(packet, 7), {});
    EXPECT_TRUE(object) << object.error().message();
    auto instance = vm::make_target()->load(std::make_shared<const Object>(std::move(*object)), {});
    EXPECT_TRUE(instance) << instance.error().message();
    return std::move(*instance);
}

/// Runs the program `copies` times, each on what the last run left, as the kernel reuses its pages.
void expect_same(const net::Packet& packet, const std::vector<Variation>& variations, uint64_t copies) {
    const auto made = net::PacketTemplate::make(packet, variations);
    ASSERT_TRUE(made) << made.error().message();
    const auto instance = load_on_vm(*made);
    for (size_t i = 0; i < made->fields().size(); ++i) {
        const auto& list = made->fields()[i].list;
        for (uint32_t k = 0; k < list.size(); ++k) {
            auto* map = instance->find_map("list" + std::to_string(i));
            ASSERT_TRUE(map->update(ByteView(reinterpret_cast<const uint8_t*>(&k), 4),
                                    ByteView(reinterpret_cast<const uint8_t*>(&list[k]), 8), 0));
        }
    }
    ByteVec bytes = made->bytes();
    ByteVec expected = made->bytes();
    uint64_t random = 1;
    for (uint64_t i = 0; i < copies; ++i) {
        const auto result = instance->programs().front()->run(bytes, {});
        ASSERT_TRUE(result) << result.error().message();
        ASSERT_FALSE(result->fault) << result->fault->report;
        ASSERT_EQ(result->ret, 4u); // XDP_REDIRECT
        ASSERT_EQ(result->redirect->index, 7u);
        bytes = result->packet;
        made->write(i, expected, random);
        ASSERT_EQ(bytes, expected) << "copy " << i;
    }
}

TEST(LiveProgram, VariesFieldsAsTheTemplateDoes) {
    for (const Protocol transport : {Protocol::kUdp, Protocol::kTcp}) {
        const std::string name(net::layout_of(transport).name);
        expect_same(
            packet_with(transport),
            {{.field = name + ".sport", .first = uint64_t{65000}},
             {.field = "ip.src", .first = "255.255.255.0", .last = "255.255.255.255", .step = 77},
             {.field = "ip.ttl", .step = 3},
             {.field = "ip.tos"},
             {.field = "ip.dst", .kind = Variation::Kind::kList, .list = {"10.0.0.1", "192.168.255.255"}},
             {.field = name + ".dport", .kind = Variation::Kind::kList, .list = {uint64_t{1}}}},
            3000);
    }
}

TEST(LiveProgram, VariesMacAddressesUnderAChecksumToo) {
    net::Packet packet = *net::build_layer(Protocol::kEth, {});
    for (const Protocol next : {Protocol::kIp, Protocol::kUdp, Protocol::kEth, Protocol::kIp}) {
        packet = *net::stack(packet, *net::build_layer(next, {}));
    }
    const std::vector<Variation> variations{{.field = "eth.src", .first = "02:00:ff:ff:ff:f0"},
                                            {.field = "eth.dst",
                                             .kind = Variation::Kind::kList,
                                             .list = {"02:00:00:00:00:07", "ff:ff:ff:ff:ff:ff"}},
                                            {.field = "eth#2.src",
                                             .first = "00:00:ff:ff:00:00",
                                             .last = "ff:ff:ff:ff:ff:ff",
                                             .step = 4'000'000'007},
                                            {.field = "eth#2.dst",
                                             .kind = Variation::Kind::kList,
                                             .list = {"ff:ff:ff:ff:ff:ff", "00:ff:ff:ff:ff:ff"}}};
    const auto made = net::PacketTemplate::make(packet, variations);
    ASSERT_TRUE(made) << made.error().message();
    ASSERT_EQ(made->checksums().size(), 1u); // the outer UDP header's
    expect_same(packet, variations, 70000);
}

TEST(LiveProgram, FillsInEveryChecksumOfAPort) {
    expect_same(packet_with(Protocol::kUdp), {{.field = "udp.sport"}}, 65537);
}

TEST(LiveProgram, ATemplateWithoutVariationsIsSentAsItIs) {
    expect_same(packet_with(Protocol::kUdp), {}, 3);
}

} // namespace
} // namespace mimicsh::test
