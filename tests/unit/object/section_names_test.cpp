// SPDX-License-Identifier: MIT
// Section names against libbpf's own table, asked through libbpf_prog_type_by_name.
#include <gtest/gtest.h>

extern "C" {
#include <bpf/libbpf.h>
}

#include "object/object.h"

namespace mimicsh {
namespace {

TEST(SectionNames, MeanWhatLibbpfMeans) {
    const char* names[] = {
        "xdp",
        "xdp.frags",
        "xdp/devmap",
        "xdp.frags/devmap",
        "xdp/cpumap",
        "xdp.frags/cpumap",
        "tc",
        "classifier",
        "action",
        "socket",
        "cgroup_skb/ingress",
        "cgroup_skb/egress",
        "cgroup/skb",
        "cgroup/sock",
        "lwt_in",
        "lwt_out",
        "lwt_xmit",
        "lwt_seg6local",
        "flow_dissector",
        "sk_lookup",
        "sk_msg",
        "sk_skb",
        "sk_skb/stream_parser",
        "sk_skb/stream_verdict",
        "sockops",
        "sk_reuseport",
        "sk_reuseport/migrate",
        "cgroup/connect4",
        "cgroup/bind6",
        "cgroup/dev",
        "cgroup/sysctl",
        "cgroup/getsockopt",
        "perf_event",
        "syscall",
        "kprobe/do_something",
        "tracepoint/net/netif_rx",
        "tp/net/netif_rx",
        "raw_tp/netif_rx",
        "lirc_mode2",
        "cgroup/post_bind4",
        "cgroup/sock_release",
    };
    libbpf_set_print(nullptr);
    for (const char* name : names) {
        bpf_prog_type type{};
        bpf_attach_type attach{};
        ASSERT_EQ(libbpf_prog_type_by_name(name, &type, &attach), 0) << name;
        const auto ours = spec_of_section(name);
        ASSERT_TRUE(ours) << name;
        EXPECT_EQ(static_cast<uint32_t>(ours->type), static_cast<uint32_t>(type)) << name;
        if (ours->attach_type != abi::AttachType::None) {
            EXPECT_EQ(static_cast<uint32_t>(ours->attach_type), static_cast<uint32_t>(attach)) << name;
        } else {
            EXPECT_EQ(static_cast<uint32_t>(attach), 0u) << name;
        }
    }
}

TEST(SectionNames, CarryFlagsAndTargets) {
    EXPECT_EQ(spec_of_section("xdp.frags")->flags, abi::kProgXdpHasFrags);
    EXPECT_EQ(spec_of_section("?xdp")->type, abi::ProgType::Xdp);
    EXPECT_EQ(spec_of_section("tcx/egress")->attach_type, abi::AttachType::TcxEgress);
    EXPECT_EQ(spec_of_section("fentry/tcp_v4_rcv")->attach_target, "tcp_v4_rcv");
    EXPECT_EQ(spec_of_section("tracepoint/net/netif_rx")->attach_target, "net/netif_rx");
    EXPECT_EQ(spec_of_section("syscall")->flags, abi::kProgSleepable);
}

TEST(SectionNames, SayNothingAboutOthers) {
    for (const char* name : {"", "?", "xdp_main", "xdp/eth0", "tcx", "prog", "kprobes", ".text"}) {
        EXPECT_FALSE(spec_of_section(name)) << name;
    }
}

} // namespace
} // namespace mimicsh
