// SPDX-License-Identifier: MIT
// struct sk_buff and struct xdp_buff behind the context, on both targets.
#include <cstring>

#include "tests/kernel/world_parity.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

std::unique_ptr<Instance> alone(Target& target) {
    auto object = compile_case("parity/kernel_context.bpf.c");
    auto instance =
        object == nullptr ? Expected<std::unique_ptr<Instance>>(Error{}) : target.load(object, {});
    return instance ? std::move(*instance) : nullptr;
}

TEST_F(WorldParity, KernelContext) {
    if (IsSkipped()) {
        return;
    }
    // What only the running kernel can say: where its buffers end, and its name for the namespace.
    auto asked = alone(*kernel_target());
    ASSERT_NE(asked, nullptr);
    const auto ask = [&](const char* program, size_t at) {
        EXPECT_TRUE(asked->find_program(program)->run(packet_of(64), {}));
        return std::to_string(number_at(value_of(*asked, ".bss"), kIoArgs + at));
    };
    const std::string end = ask("of_kernel", 0);
    const std::string size = ask("of_kernel", 1);
    const std::string cookie = ask("of_skb", 24);
    open_world("parity/kernel_context",
               world_with(R"("netns_cookie": )" + cookie + R"(, "kernel": {"sk_buff": {"end": )" + end +
                          R"(, "truesize": )" + size + "}}")
                   .c_str());
    ASSERT_TRUE(ready());
    for (const size_t length : {14u, 60u, 1000u, 3000u, 5000u}) {
        for (const auto& [index, queue, meta] :
             std::vector<std::array<uint32_t, 3>>{{0, 0, 0}, {10, 0, 0}, {12, 0, 8}}) {
            SCOPED_TRACE(testing::Message() << length << " bytes on " << index);
            abi::XdpMd md;
            md.data = length < 60 ? 0 : meta;
            md.ingress_ifindex = index;
            md.rx_queue_index = queue;
            RunOptions options;
            options.context.resize(sizeof md);
            std::memcpy(options.context.data(), &md, sizeof md);
            if (length <= 3000) {
                run_both("of_xdp", packet_of(length), options);
                EXPECT_EQ(result(8) + result(9), 2u);
            }
        }
    }
    set_args({1, 2, 3, 4, 0, 6});
    for (const size_t length : {60u, 61u, 1500u}) {
        for (const auto& [vlan, inner] : std::vector<std::array<uint64_t, 2>>{{0, 0}, {7, 0}, {7, 9}}) {
            SCOPED_TRACE(testing::Message() << length << " bytes, VLAN " << vlan << ", " << inner);
            set_args({0x12345678, 0x9abcdef0, 3, 0x7fff, vlan, 0x11223344, inner});
            run_both("of_skb", packet_of(length));
            EXPECT_EQ(result(7), 0x12345678u);
            EXPECT_EQ(result(20), 1u); // lo
        }
    }
    set_args({});
    run_both("of_kernel", packet_of(64));
    run_both("of_shared_info", packet_of(64));
    ByteVec context(192);
    store(context.data() + 40, uint32_t{12});  // ifindex
    store(context.data() + 164, uint32_t{3});  // gso_segs
    store(context.data() + 176, uint32_t{88}); // gso_size
    RunOptions options;
    options.context = context;
    run_both("of_shared_info", packet_of(64), options);
    EXPECT_EQ(result(1), 88u);
    run_both("of_skb", packet_of(64), options);
    EXPECT_EQ(result(20), 12u);
}

} // namespace

} // namespace mimicsh::test
