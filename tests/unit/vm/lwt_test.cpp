// SPDX-License-Identifier: MIT
// bpf_lwt_push_encap on the way out. bpf_lwt_push_ip_encap (net/core/lwt_bpf.c) does there what it does on
// the way in, but for the room it takes: from the route's device, which the buffers of a test run do not
// have, so that the kernel would follow a pointer to nothing. So these programs never come near a kernel: the
// way in, which LwtParity.PushEncap compares with it, stands for what the kernel does.
#include <gtest/gtest.h>

#include "tests/unit/vm/raw.h"
#include "vm/target.h"

namespace mimicsh::test {

namespace {

constexpr std::string_view kPrograms = R"(char LICENSE[] SEC("license") = "GPL";
struct { __u32 type, size; __s64 first; __u32 length, protocol, hash; __s32 loaded; __u8 bytes[64]; __s64 second;
         __u32 longer; } io;
__u8 headers[512] SEC(".data.headers") = {1};
static __always_inline int push(struct __sk_buff *skb)
{
    __u32 size = io.size;
    if (size == 0 || size > 511)
        return 0;
    io.first = bpf_lwt_push_encap(skb, io.type, headers, size);
    io.length = skb->len;
    io.protocol = skb->protocol;
    io.hash = skb->hash;
    io.loaded = bpf_skb_load_bytes(skb, 0, io.bytes, sizeof(io.bytes));
    io.second = bpf_lwt_push_encap(skb, io.type, headers, size);
    io.longer = skb->len;
    return 0;
}
SEC("lwt_in") int in(struct __sk_buff *skb) { return push(skb); }
SEC("lwt_xmit") int out(struct __sk_buff *skb) { return push(skb); }
SEC("lwt_in") int often(struct __sk_buff *skb)
{
    for (int i = 0; i < 20000; i++)
        io.first = bpf_lwt_push_encap(skb, 2, headers, 256);
    io.length = skb->len;
    return 0;
}
)";

class Lwt : public testing::Test {
  protected:
    void SetUp() override {
        const auto object = compile_text(std::string(kPrelude) + std::string(kPrograms));
        ASSERT_NE(object, nullptr);
        auto loaded = vm::make_target()->load(object, {});
        ASSERT_TRUE(loaded) << loaded.error().message();
        instance_ = std::move(*loaded);
    }
    /// Everything that a run shows, as text; `error` becomes what the first call returned.
    std::string run(const char* program, const ByteVec& packet, uint32_t type, uint32_t size,
                    int64_t& error) {
        ByteVec io(value_of(*instance_, ".bss").size());
        store(io.data(), type);
        store(io.data() + 4, size);
        set_value(*instance_, ".bss", io);
        const auto result = instance_->find_program(program)->run(packet, {});
        if (!result || result->fault) {
            return result ? result->fault->cause : result.error().message();
        }
        io = value_of(*instance_, ".bss");
        error = mimicsh::load<int64_t>(io.data() + 8);
        return to_hex(result->packet) + " " + to_hex(result->context) + " " + to_hex(io);
    }
    std::unique_ptr<Instance> instance_;
};

TEST_F(Lwt, HeadersAreTheSameOnTheWayOut) {
    size_t pushed = 0, refused = 0;
    for (const uint8_t first : std::initializer_list<uint8_t>{0x45, 0x46, 0x4f, 0x60, 0x50}) {
        for (const uint16_t check : std::initializer_list<uint16_t>{0, 0x1234}) {
            ByteVec headers = packet_of(512);
            headers[0] = first;
            store_be(headers.data() + 10, check);
            set_value(*instance_, ".data.headers", headers);
            for (const uint32_t size : {1u, 19u, 20u, 24u, 39u, 40u, 60u, 256u, 257u}) {
                for (const ByteVec& packet :
                     {frame_of(0x0800, 74), frame_of(0x86dd, 90), frame_of(0x88b5, 64)}) {
                    int64_t error_in = 1, error_out = 2;
                    const std::string in = run("in", packet, 2, size, error_in);
                    EXPECT_EQ(run("out", packet, 2, size, error_out), in)
                        << unsigned{first} << ", check " << check << ", " << size << " bytes";
                    EXPECT_EQ(error_out, error_in);
                    (error_in == 0 ? pushed : refused) += 1;
                }
            }
        }
    }
    EXPECT_GT(pushed, 80u);
    EXPECT_GT(refused, 80u);
}

/// bpf_lwt_xmit_push_encap knows IP headers alone.
TEST_F(Lwt, OtherKindsAreForTheWayInAlone) {
    for (const uint32_t type : {0u, 1u, 3u, 255u}) {
        int64_t error = 0;
        (void)run("out", frame_of(0x86dd, 90), type, 40, error);
        EXPECT_EQ(error, -EINVAL) << type;
    }
}

/// The kernel has no memory for a longer buffer, and neither have we.
TEST_F(Lwt, PacketsGrowToFourMebibytes) {
    constexpr uint32_t kMost = 4 << 20, kHeaders = 256;
    ByteVec headers = packet_of(512);
    headers[0] = 0x45;
    set_value(*instance_, ".data.headers", headers);
    int64_t error = 0;
    const std::string shown = run("often", frame_of(0x0800, 74), 2, kHeaders, error);
    EXPECT_EQ(error, -ENOMEM) << shown.substr(0, 200);
    const auto length = mimicsh::load<uint32_t>(value_of(*instance_, ".bss").data() + 16);
    EXPECT_LE(length, kMost);
    EXPECT_GT(length + kHeaders, kMost);
}

} // namespace

} // namespace mimicsh::test
