// SPDX-License-Identifier: MIT
// Headers that programs of lightweight tunnels put in front, in test runs and on a route. In a test run a
// buffer has no route, whose device the kernel asks for SEG6 and for an HMAC: it would follow a pointer to
// nothing. Those are compared on a route alone.
#include <linux/if_packet.h>
#include <linux/lwtunnel.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/netlink.h"
#include "kernel/program.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

constexpr uint64_t kSegments = 0, kSegmentsInline = 1, kIpHeaders = 2;
constexpr size_t kEthernet = 14, kIp6Header = 40;

/// A segment routing header that visits addresses in their order.
ByteVec segments_of(const std::vector<std::string>& addresses, ByteView tlvs = {}) {
    ByteVec bytes{0, 0, 4, 0, 0, 0, 0x12, 0x34};
    for (auto address = addresses.rbegin(); address != addresses.rend(); ++address) {
        const ByteVec one = bytes_of(*address);
        bytes.insert(bytes.end(), one.begin(), one.end());
    }
    bytes.insert(bytes.end(), tlvs.begin(), tlvs.end());
    bytes[1] = static_cast<uint8_t>(bytes.size() / 8 - 1);
    bytes[3] = bytes[4] = static_cast<uint8_t>(addresses.size() - 1);
    return bytes;
}

/// An IPv6 frame to the namespace's first interface.
ByteVec packet_to(const std::string& address, size_t size) {
    ByteVec packet = frame_of(0x86dd, size);
    const ByteVec mac{2, 0, 0, 0, 0, 0x10}, from = bytes_of("2001:db8::77"), to = bytes_of(address);
    std::copy(mac.begin(), mac.end(), packet.begin());
    store_be<uint32_t>(packet.data() + kEthernet, 0x6b412345); // traffic class and flow label
    store_be(packet.data() + kEthernet + 4, static_cast<uint16_t>(size - kEthernet - kIp6Header));
    packet[kEthernet + 6] = 59; // no next header
    packet[kEthernet + 7] = 33; // hop limit
    std::copy(from.begin(), from.end(), packet.begin() + kEthernet + 8);
    std::copy(to.begin(), to.end(), packet.begin() + kEthernet + 24);
    return packet;
}

class LwtParity : public SendsParity {
  protected:
    void set_headers(const ByteVec& bytes) {
        ByteVec all = bytes;
        all.resize(512);
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            set_value(*side, ".data.headers", all);
        }
    }
    /// One call with these headers on both, in test runs; what it returned.
    int64_t push(uint64_t type, const ByteVec& headers, const ByteVec& packet) {
        set_headers(headers);
        set_args({type, headers.size()});
        run_both("push_in", packet);
        return static_cast<int64_t>(result(0));
    }
};

TEST_F(LwtParity, PushEncap) {
    if (IsSkipped()) {
        return;
    }
    size_t pushed = 0;
    for (const uint8_t first : std::initializer_list<uint8_t>{0x45, 0x46, 0x4f, 0x60, 0x50, 0x40}) {
        for (const uint16_t check : std::initializer_list<uint16_t>{0, 0x1234}) {
            ByteVec headers = packet_of(512);
            headers[0] = first;
            store_be(headers.data() + 10, check);
            for (const size_t size : {1, 19, 20, 23, 24, 28, 39, 40, 48, 60, 256, 257, 511}) {
                headers.resize(size);
                for (const ByteVec& packet :
                     {frame_of(0x0800, 74), frame_of(0x86dd, 90), frame_of(0x88b5, 14)}) {
                    SCOPED_TRACE(testing::Message() << unsigned{first} << ", check " << check << ", " << size
                                                    << " bytes before " << packet.size());
                    pushed += push(kIpHeaders, headers, packet) == 0 ? 1 : 0;
                }
            }
        }
    }
    EXPECT_GT(pushed, 100u);
    for (const uint64_t type : {3, 4, 255}) {
        push(type, packet_of(40), frame_of(0x0800, 74));
    }
}

/// What follows from the segment to visit first, from the header's own fields, and from the packet.
TEST_F(LwtParity, Segments) {
    if (IsSkipped()) {
        return;
    }
    const ByteVec packet = packet_to("2001:db8:9::9", 90);
    const std::vector<std::pair<std::string, int64_t>> nexts{
        {"2001:db8:9::1", 0},       {"2001:db8:8::1", 0},
        {"2001:db8:77::1", 0},      {"2001:db8:a::1", -EINVAL},
        {"2001:db8::1", -EINVAL},   {"2001:db8:b::1", -EHOSTUNREACH},
        {"2001:db8:c::1", -EACCES}, {"fe80::1", -ENETUNREACH},
        {"ff02::1", -ENETUNREACH},  {"::1", -EINVAL}};
    for (const auto& [next, expected] : nexts) {
        for (const std::vector<std::string>& list : {std::vector<std::string>{next},
                                                     {next, "2001:db8:5::5"},
                                                     {next, "2001:db8:5::5", "2001:db8:6::6"}}) {
            SCOPED_TRACE(testing::Message() << next << ", " << list.size() << " segments");
            // One segment gives way to the packet's own destination, and that is where the packet goes.
            EXPECT_EQ(push(kSegmentsInline, segments_of(list), packet), list.size() == 1 ? 0 : expected);
        }
    }
    for (const uint16_t type : std::initializer_list<uint16_t>{0x0800, 0x88b5, 0x8100}) {
        EXPECT_EQ(push(kSegmentsInline, segments_of({"2001:db8:9::1"}), frame_of(type, 90)), -EBADMSG);
    }
    for (const size_t size : {14, 15, 20, 53, 54, 55, 1400, 3500}) {
        ByteVec cut = packet_to("2001:db8:9::9", 3600);
        cut.resize(size);
        SCOPED_TRACE(size);
        push(kSegmentsInline, segments_of({"2001:db8:9::1", "2001:db8:8::8"}), cut);
    }
}

/// Each field of the header at each value that may decide, with and without options behind the segments.
TEST_F(LwtParity, SegmentHeaders) {
    if (IsSkipped()) {
        return;
    }
    const ByteVec packet = packet_to("2001:db8:9::9", 90);
    size_t good = 0, bad = 0;
    for (const ByteVec& tlvs : {ByteVec{}, ByteVec{4, 6, 0, 0, 0, 0, 0, 0}, ByteVec{1, 2, 0, 0, 4, 2, 0, 0},
                                ByteVec{4, 7, 0, 0, 0, 0, 0, 0}, ByteVec{1, 5, 0, 0, 0, 0, 0, 1}}) {
        const ByteVec whole = segments_of({"2001:db8:9::1", "2001:db8:8::8"}, tlvs);
        for (const size_t field : {1, 2, 3, 4}) {
            for (const unsigned value : {0u, 1u, 2u, 3u, 4u, 5u, 6u, 8u, 63u, 127u, 255u}) {
                ByteVec header = whole;
                header[field] = static_cast<uint8_t>(value);
                SCOPED_TRACE(testing::Message() << to_hex(header));
                (push(kSegmentsInline, header, packet) == -EINVAL ? bad : good) += 1;
            }
        }
        for (size_t size = 1; size <= whole.size(); ++size) {
            SCOPED_TRACE(size);
            (push(kSegmentsInline, ByteVec(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)),
                  packet) == -EINVAL
                 ? bad
                 : good) += 1;
        }
    }
    EXPECT_GT(good, 10u);
    EXPECT_GT(bad, 200u);
}

/// A route with the program, and the packets that it forwards.
TEST_F(LwtParity, OnARoute) {
    if (IsSkipped()) {
        return;
    }
    constexpr uint16_t kBpf = 6; // LWTUNNEL_ENCAP_BPF
    auto netlink = kernel::Netlink::open("test");
    ASSERT_TRUE(netlink);
    kernel::NetlinkRequest request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK);
    auto& route = request.header<rtmsg>();
    route.rtm_family = AF_INET6;
    route.rtm_dst_len = 48;
    route.rtm_table = RT_TABLE_MAIN;
    route.rtm_protocol = RTPROT_STATIC;
    route.rtm_type = RTN_UNICAST;
    const int program = static_cast<kernel::KernelProgram&>(*kernel_->find_program("push_in")).fd();
    request.put(RTA_DST, ByteView(bytes_of("2001:db8:f::")))
        .put_u32(RTA_OIF, kV2)
        .put(RTA_GATEWAY, ByteView(bytes_of("2001:db8:1::fe")))
        .put_u16(RTA_ENCAP_TYPE, kBpf)
        .begin_nest(RTA_ENCAP | NLA_F_NESTED)
        .begin_nest(LWT_BPF_IN | NLA_F_NESTED)
        .put_u32(LWT_BPF_PROG_FD, static_cast<uint32_t>(program))
        .put(LWT_BPF_PROG_NAME, std::string_view("push_in"))
        .end_nest()
        .end_nest();
    const Status added = netlink->request(request, "route");
    ASSERT_TRUE(added) << added.error().message();

    const Fd on_v1 = listen_on(kV1), on_v3 = listen_on(kV3),
             out(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_ifindex = kV1;
    const ByteVec packet = packet_to("2001:db8:f::1", 90);
    constexpr size_t kLengthShown = (kIoArgs + 5) * 8 + 4; // where the program puts the header's length
    struct Case {
        uint64_t type;
        ByteVec headers;
        bool near; ///< leaves by v0, for v1
        int64_t expected;
        bool is_keyed = false;
    };
    ByteVec keyed = segments_of({"2001:db8:9::1"}, ByteVec(40)), keyless = segments_of({"2001:db8:9::1"});
    keyed[5] = keyless[5] = 8; // asks for an HMAC
    keyed[24] = 5;
    keyed[25] = 38;
    for (const Case& one : std::vector<Case>{
             {kSegments, segments_of({"2001:db8:9::1"}), true, 0},
             {kSegments, segments_of({"2001:db8:9::1", "2001:db8:8::8"}), true, 0},
             {kSegments, segments_of({"2001:db8:77::1", "2001:db8:9::1"}), false, 0},
             {kSegments, segments_of({"2001:db8:77::1"}, ByteVec{4, 6, 0, 0, 0, 0, 0, 0}), false, 0},
             {kSegmentsInline, segments_of({"2001:db8:9::1", "2001:db8:f::1"}), true, 0},
             {kSegmentsInline, segments_of({"2001:db8:77::1"}), false, 0},
             {kSegments, segments_of({"2001:db8:b::1"}), false, -EHOSTUNREACH},
             {kSegments, segments_of({"2001:db8::1"}), false, -EINVAL},
             {kSegments, keyed, false, -ENOENT, true},
             {kSegments, keyless, false, -EINVAL, true},
             {kSegmentsInline, keyed, false, -ENOENT, true}}) {
        SCOPED_TRACE(testing::Message()
                     << (one.type == kSegments ? "outer " : "inline ") << to_hex(one.headers));
        set_headers(one.headers);
        set_args({one.type, one.headers.size()});
        const auto emulated = vm_->find_program("push_in")->run(packet, {});
        ASSERT_TRUE(emulated);
        ASSERT_FALSE(emulated->fault) << emulated->fault->cause;
        const std::string expected = to_hex(value_of(*vm_, ".bss"));
        set_args({one.type, one.headers.size()});
        ASSERT_EQ(sendto(out.get(), packet.data(), packet.size(), 0,
                         reinterpret_cast<const sockaddr*>(&address), sizeof address),
                  static_cast<ssize_t>(packet.size()));
        if (one.expected == 0) {
            ByteVec forwarded = emulated->packet;
            forwarded[kEthernet + 7] -= 1; // hop limit
            constexpr uint8_t kRouting = 43;
            ByteVec arrived = next_frame(one.near ? on_v1 : on_v3, [](ByteView frame) {
                return frame.size() > kEthernet + kIp6Header && frame[12] == 0x86 &&
                       frame[kEthernet + 6] == kRouting;
            });
            ASSERT_GE(arrived.size(), kEthernet);
            std::fill_n(arrived.begin(), kEthernet, uint8_t{0}); // as in the result of a test run
            std::fill_n(forwarded.begin(), kEthernet, uint8_t{0});
            EXPECT_EQ(to_hex(arrived), to_hex(forwarded));
        }
        constexpr size_t kLastStored = 9;
        for (int i = 0; i < 60'000 && result(kLastStored) == 0; ++i) {
            usleep(1000);
        }
        EXPECT_EQ(static_cast<int64_t>(result(0)), one.expected);
        ByteVec shown = value_of(*kernel_, ".bss");
        if (one.type == kSegments &&
            one.is_keyed) { // an outer header without its length has what lay there before
            std::fill_n(shown.begin() + kLengthShown, 2, uint8_t{0});
        }
        EXPECT_EQ(to_hex(shown), expected);
    }
}

} // namespace

} // namespace mimicsh::test
