// SPDX-License-Identifier: MIT
// The scripted world: what is refused when it is read, and which field a helper misses.
#include <gtest/gtest.h>

#include "base/cpus.h"
#include "tests/unit/vm/raw.h"
#include "vm/target.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

TEST(World, WrongWordsAndValuesNameTheirPath) {
    struct Case {
        const char* text;
        const char* message;
    };
    for (
        const Case& one : {
            Case{"",
                 "load: world: not JSON: parse error at line 1, column 1: syntax error while parsing value - "
                 "unexpected end of input; expected '[', '{', or a literal"},
            Case{"{\n \"routes\": }",
                 "load: world: not JSON: parse error at line 2, column 12: syntax error while parsing "
                 "value - unexpected '}'; expected '[', '{', or a literal"},
            Case{"[1]", "load: world: expected a table with named values"},
            Case{R"({"route": []})",
                 "load: world.route: unknown word (known: cgroup, conntrack, conntrack_max, cpu, "
                 "init_netns_cookie, interfaces, "
                 "kernel, ksyms, linear, neighbours, "
                 "netns_cookie, "
                 "numa_node, route_realm, routes, rx, socket, sockets, task, tc_ingress, tcp_syncookies, "
                 "time, tunnel, xfrm, xfrm_states)"},
            Case{R"({"ksyms": 1})", "load: world.ksyms: expected a table with named values"},
            Case{R"({"ksyms": {"x": true}})", "load: world.ksyms.x: expected a number, bytes as hexadecimal "
                                              "digits, or named fields of a struct"},
            Case{R"({"ksyms": {"x": [1, "0"]}})", "load: world.ksyms.x[2]: expected a number, bytes as "
                                                  "hexadecimal digits, or named fields of a "
                                                  "struct"},
            Case{R"({"ksyms": {"x": []}})", "load: world.ksyms.x: is empty"},
            Case{R"({"ksyms": {"x": {"a": "b"}}})", "load: world.ksyms.x.a: expected a number"},
            Case{R"({"linear": 13})", "load: world.linear: a socket buffer's linear part has the link-layer "
                                      "header: 14 at least"},
            Case{R"({"interfaces": 1})", "load: world.interfaces: expected a list"},
            Case{R"({"interfaces": [{"name": "a"}]})", "load: world.interfaces[1].index: missing"},
            Case{R"({"interfaces": [{"name": "a", "index": 0}]})",
                 "load: world.interfaces[1].index: interfaces count from 1"},
            Case{R"({"interfaces": [{"name": "a", "index": 2, "mtu": -1}]})",
                 "load: world.interfaces[1].mtu: expected a whole number from 0 to 4294967295, got -1"},
            Case{R"({"interfaces": [{"name": "a", "index": 2, "mac": "02:00"}]})",
                 "load: world.interfaces[1].mac: not a MAC address: '02:00'"},
            Case{R"({"interfaces": [{"name": "a", "index": 2}, {"name": "a", "index": 3}]})",
                 "load: world.interfaces[2]: same name or index as world.interfaces[1]"},
            Case{R"({"interfaces": [{"name": "a", "index": 2, "addresses": ["10.0.0.1/33"]}]})",
                 "load: world.interfaces[1].addresses[1]: the length of a prefix is 0 to 32: '10.0.0.1/33'"},
            Case{R"({"routes": [{"to": "10.0.0.0/8", "type": "blackhole"}, {"to": "default", "via": "x"}]})",
                 "load: world.routes[2].via: not an address: 'x'"},
            Case{R"({"routes": [{"to": "default", "dev": "eth7"}]})",
                 "load: world.routes[1].dev: no interface \"eth7\" in world.interfaces"},
            Case{R"({"routes": [{"to": "default"}]})",
                 "load: world.routes[1].dev: a unicast route needs its interface"},
            Case{R"({"routes": [{"to": "default", "type": "black"}]})",
                 "load: world.routes[1].type: 'black' is none of unicast, local, broadcast, anycast, "
                 "blackhole, "
                 "unreachable, prohibit, throw"},
            Case{R"({"task": {"stack": [1, -1]}})", "load: world.task.stack[2]: expected an address, which "
                                                    "is a number, or a table with 'ip', got -1"},
            Case{R"({"task": {"user_stack": [{"ip": 1, "build_id": ""}]}})",
                 "load: world.task.user_stack[1].build_id: a build id has 1 to 20 bytes"},
            Case{R"({"kernel": {"skb": {}}})",
                 "load: world.kernel.skb: unknown word (known: net, sk_buff, skb_shared_info, xdp_buff, "
                 "xdp_rxq_info)"},
            Case{R"({"kernel": {"sk_buff": 1}})",
                 "load: world.kernel.sk_buff: expected a table with named values"},
            Case{R"({"xfrm_states": [{"destination": "10.0.0.1", "spi": 1, "proto": "udp"}]})",
                 "load: world.xfrm_states[1].proto: 'udp' is none of esp, ah, comp"},
            Case{
                R"({"xfrm_states": [{"destination": "::1", "source": "10.0.0.1", "spi": 1, "proto": "ah"}]})",
                "load: world.xfrm_states[1].source: of another family than 'destination'"},
            Case{R"({"sockets": [{"proto": "tcp", "local": "10.0.0.1"}]})",
                 "load: world.sockets[1].local: expected \"address:port\" or \"[address]:port\", got "
                 "'10.0.0.1'"},
            Case{R"({"sockets": [{"proto": "udp", "local": "10.0.0.1:53", "state": "listen"}]})",
                 "load: world.sockets[1].state: only a TCP socket without a peer listens"},
            Case{R"({"sockets": [{"proto": "tcp", "local": "[::]:80", "tcp": {"cwnd": 1}}]})",
                 "load: world.sockets[1].tcp.cwnd: unknown word (known: bytes_acked, bytes_received, "
                 "data_segs_in, "
                 "data_segs_out, delivered, delivered_ce, dsack_dups, ecn_flags, icsk_retransmits, lost_out, "
                 "mss_cache, packets_out, rate_delivered, rate_interval_us, rcv_nxt, retrans_out, rtt_min, "
                 "sacked_out, segs_in, segs_out, snd_cwnd, snd_nxt, snd_ssthresh, snd_una, srtt_us, "
                 "total_retrans)"},
            Case{R"({"task": {"comm": "a name that is too long"}})",
                 "load: world.task.comm: a task's name has at most 15 characters"},
            Case{R"({"time": {}})", "load: world.time.ns: missing"},
        }) {
        const auto world = vm::parse_world(one.text);
        ASSERT_FALSE(world) << one.text;
        EXPECT_EQ(world.error().message(), one.message);
    }
}

TEST(World, EmptyTablesCountAsLists) {
    const auto world = vm::parse_world(R"({"interfaces": {}, "routes": {}, "neighbours": []})");
    ASSERT_TRUE(world) << world.error().message();
    ASSERT_TRUE((*world)->interfaces);
    ASSERT_EQ((*world)->interfaces->size(), 1u);
    EXPECT_EQ((*world)->interfaces->front().name, "lo");
    EXPECT_TRUE((*world)->routes);
    EXPECT_TRUE((*world)->neighbours);
    EXPECT_FALSE((*world)->sockets);
}

/// What becomes of a program in a world: "returned 0", the cause of its fault, or why it does not load.
std::string outcome_in(const char* world, const std::string& program) {
    vm::Options options;
    const auto parsed = vm::parse_world(world);
    if (!parsed) {
        return parsed.error().message();
    }
    options.world = *parsed;
    const auto object =
        compile_text(std::string(kPrelude) + "char LICENSE[] SEC(\"license\") = \"GPL\";\n" + program);
    if (object == nullptr) {
        return "does not compile";
    }
    auto instance = vm::make_target(options)->load(object, {});
    if (!instance) {
        return instance.error().message();
    }
    const auto result = (*instance)->programs().front()->run(packet_of(64), {});
    return !result          ? result.error().message()
           : !result->fault ? "returned " + std::to_string(result->ret)
                            : result->fault->cause;
}

TEST(World, MissingValuesAreFaultsThatNameTheField) {
    const std::string fib = R"(SEC("xdp") int filter(struct xdp_md *ctx)
{
    struct bpf_fib_lookup p = { .family = 2, .ifindex = 2, .ipv4_dst = 0x0100000a };
    return bpf_fib_lookup(ctx, &p, sizeof(p), 0);
})";
    EXPECT_EQ(outcome_in("{}", fib), "the scripted world has no world.interfaces");
    EXPECT_EQ(outcome_in(R"({"interfaces": [{"name": "a", "index": 2}]})", fib),
              "the scripted world has no world.routes");
    EXPECT_EQ(outcome_in(R"({"interfaces": [{"name": "a", "index": 2}], "routes": []})", fib), "returned 4");
    EXPECT_EQ(outcome_in(R"({"interfaces": [{"name": "a", "index": 2}],
                          "routes": [{"to": "10.0.0.0/8", "dev": "a"}]})",
                         fib),
              "the scripted world has no world.interfaces[1].mtu");
    EXPECT_EQ(outcome_in(R"({"interfaces": [{"name": "a", "index": 2, "mtu": 1500}],
                          "routes": [{"to": "10.0.0.0/8", "dev": "a"}]})",
                         fib),
              "the scripted world has no world.neighbours");
}

TEST(World, FieldsOfKernelStructsComeFromTheWorldOrAreNamed) {
    const auto skb = [](const char* world, const std::string& read) {
        return outcome_in(world, R"(#define __core __attribute__((preserve_access_index))
struct net_device { int ifindex; unsigned int mtu, flags; } __core;
struct sock { int sk_rcvbuf; } __core;
struct sk_buff { struct net_device *dev; struct sock *sk; unsigned int len, truesize; } __core;
struct skb_shared_info { unsigned char nr_frags; } __core;
extern void *bpf_cast_to_kern_ctx(void *context) __ksym;
extern void *bpf_rdonly_cast(void *object, __u32 type) __ksym;
#define id(type) __builtin_btf_type_id(*(struct type *)0, 1)
SEC("tc") int filter(struct __sk_buff *ctx)
{
    struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);
    return )" + read + ";\n}");
    };
    EXPECT_EQ(skb("{}", "skb->len"), "returned 64");
    EXPECT_EQ(skb("{}", "skb->truesize"), "the scripted world has no world.kernel.sk_buff[\"truesize\"]");
    EXPECT_EQ(skb(R"({"kernel": {"sk_buff": {"truesize": 768}}})", "skb->truesize"), "returned 768");
    EXPECT_EQ(skb("{}", "skb->dev->ifindex"), "returned 1");
    EXPECT_EQ(skb("{}", "skb->dev->mtu"), "the scripted world has no world.interfaces with index 1");
    EXPECT_EQ(skb(R"({"interfaces": []})", "skb->dev->mtu"), "returned 65536");
    constexpr const char* kLo = R"({"interfaces": [{"name": "lo", "index": 1, "fields": {"flags": 9}}]})";
    EXPECT_EQ(skb(kLo, "skb->dev->mtu"), "the scripted world has no world.interfaces[1].mtu");
    EXPECT_EQ(skb(kLo, "skb->dev->flags"), "returned 9");
    EXPECT_EQ(skb("{}", "skb->sk->sk_rcvbuf"), "the scripted world has no world.kernel.sk_buff[\"sk\"]");
    constexpr const char* kSocket = R"({"sockets": [{"proto": "tcp", "local": "10.0.0.1:80",
        "fields": {"sk_rcvbuf": 77}}], "socket": {"is": 1}})";
    EXPECT_EQ(skb(kSocket, "skb->sk->sk_rcvbuf"), "returned 77");
    EXPECT_EQ(skb("{}", "((struct sk_buff *)bpf_rdonly_cast(ctx, id(sk_buff)))->len"), "returned 64");
    EXPECT_EQ(skb("{}", "((struct skb_shared_info *)bpf_rdonly_cast(skb, id(skb_shared_info)))->nr_frags"),
              "bpf_rdonly_cast: no struct skb_shared_info is known at this address");
}

TEST(World, FieldsOfConnectionsAndIpsecStatesAreNamed) {
    const std::string program = R"(#define __core __attribute__((preserve_access_index))
struct nf_conn { unsigned int mark, secmark; } __core;
struct xfrm_state { unsigned int if_id; struct { unsigned int reqid; } props; } __core;
struct ct_options { __s32 netns, error; __u8 proto, dir; __u16 zone; __u8 zone_dir, reserved[3]; };
struct xfrm_options { __s32 error, netns; __u32 mark, daddr[4], spi; __u8 proto; __u16 family; };
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 size,
    struct ct_options *options, __u32 options_size) __ksym;
extern void bpf_ct_release(struct nf_conn *ct) __ksym;
extern struct xfrm_state *bpf_xdp_get_xfrm_state(struct xdp_md *ctx, struct xfrm_options *options,
    __u32 size) __ksym;
extern void bpf_xdp_xfrm_state_release(struct xfrm_state *state) __ksym;
SEC("xdp") int filter(struct xdp_md *ctx)
{
    struct bpf_sock_tuple t = { .ipv4 = { 0x0200000a, 0x0100000a, 0x0500, 0x5000 } };
    struct ct_options o = { .netns = -1, .proto = 6 };
    struct xfrm_options x = { .netns = -1, .daddr = { 0x0100000a }, .spi = 0x05000000, .proto = 50, .family = 2 };
    int result;
#ifdef IPSEC
    struct xfrm_state *state = bpf_xdp_get_xfrm_state(ctx, &x, sizeof(x));
    if (!state)
        return 1000;
    result = state->FIELD;
    bpf_xdp_xfrm_state_release(state);
#else
    struct nf_conn *ct = bpf_xdp_ct_lookup(ctx, &t, 12, &o, sizeof(o));
    if (!ct)
        return 1000;
    result = ct->FIELD;
    bpf_ct_release(ct);
#endif
    return result;
})";
    const auto ct = [&](const std::string& fields, const std::string& read) {
        const std::string world = R"({"conntrack": [{"proto": "tcp", "source": "10.0.0.2:5",
            "destination": "10.0.0.1:80")" +
                                  fields + "}]}";
        return outcome_in(world.c_str(), "#define FIELD " + read + "\n" + program);
    };
    EXPECT_EQ(ct(R"(, "mark": 42)", "mark"), "returned 42");
    EXPECT_EQ(ct("", "mark"), "returned 0");
    EXPECT_EQ(ct("", "secmark"), "the scripted world has no world.conntrack[1].fields[\"secmark\"]");
    EXPECT_EQ(ct(R"(, "fields": {"secmark": 6})", "secmark"), "returned 6");
    const auto ipsec = [&](const char* world, const std::string& read) {
        return outcome_in(world, "#define IPSEC\n#define FIELD " + read + "\n" + program);
    };
    constexpr const char* kState = R"({"xfrm_states": [{"destination": "10.0.0.1", "spi": 5, "proto": "esp",
        "reqid": 9}]})";
    EXPECT_EQ(ipsec("{}", "props.reqid"), "the scripted world has no world.xfrm_states");
    EXPECT_EQ(ipsec(R"({"xfrm_states": []})", "props.reqid"), "returned 1000");
    EXPECT_EQ(ipsec(kState, "props.reqid"), "returned 9");
    EXPECT_EQ(ipsec(kState, "if_id"), "the scripted world has no world.xfrm_states[1].fields[\"if_id\"]");
}

TEST(World, RedirectionsNameNextHopAndPeer) {
    const auto world = vm::parse_world(R"({
        "interfaces": [{"name": "a", "index": 3, "peer": 9}, {"name": "b", "index": 4}],
        "neighbours": [{"ip": "10.0.0.2", "dev": "a", "mac": "02:aa:00:00:00:02"},
                       {"ip": "2001:db8::2", "dev": "b", "mac": "02:bb:00:00:00:02"}]})");
    ASSERT_TRUE(world) << world.error().message();
    vm::Options options;
    options.world = *world;
    const auto redirect = [&](const std::string& call, size_t warnings = 0) {
        const auto object = compile_text(
            std::string(kPrelude) +
            "#define V4(a) { .nh_family = 2, .ipv4_nh = __builtin_bswap32(0x0a000000 + a) }\n"
            "#define V6(a) { .nh_family = 10, .ipv6_nh = {0xb80d0120, 0, 0, __builtin_bswap32(a)} }\n"
            "#define NEIGH(dev, ...) ({ struct bpf_redir_neigh hop = __VA_ARGS__; "
            "bpf_redirect_neigh(dev, &hop, sizeof(hop), 0); })\n"
            "SEC(\"tc\") int filter(struct __sk_buff *ctx) { return " +
            call + "; }\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n");
        auto instance = vm::make_target(options)->load(object, {});
        EXPECT_TRUE(instance) << instance.error().message();
        const auto result = (*instance)->find_program("filter")->run(packet_of(64), {});
        EXPECT_TRUE(result && !result->fault && result->redirect);
        EXPECT_EQ(result->warnings.size(), warnings);
        return *result->redirect;
    };
    const auto mac = [](const NextHop& hop) { return hop.mac ? to_hex(ByteView(*hop.mac)) : "none"; };
    const auto hop_of = [&](const std::string& call) {
        const Redirect one = redirect(call);
        EXPECT_EQ(one.kind, "neigh");
        return one.next_hop ? to_hex(ByteView(one.next_hop->address).first(one.next_hop->v6 ? 16 : 4)) + " " +
                                  mac(*one.next_hop)
                            : "none";
    };
    EXPECT_EQ(hop_of("NEIGH(3, V4(2))"), "0a000002 02aa00000002");
    EXPECT_EQ(hop_of("NEIGH(4, V4(2))"), "0a000002 none");
    EXPECT_EQ(hop_of("NEIGH(3, V4(3))"), "0a000003 none");
    EXPECT_EQ(hop_of("NEIGH(4, V6(2))"), "20010db8000000000000000000000002 02bb00000002");
    EXPECT_EQ(hop_of("bpf_redirect_neigh(3, 0, 0, 0)"), "none");
    EXPECT_FALSE(redirect("NEIGH(3, { .nh_family = 7 })", 1).next_hop);
    EXPECT_EQ(redirect("bpf_redirect_peer(3, 0)").peer, 9u);
    EXPECT_FALSE(redirect("bpf_redirect_peer(4, 0)").peer);
    EXPECT_FALSE(redirect("bpf_redirect_peer(5, 0)").peer);
}

TEST(World, AnswersAreTheScriptedValues) {
    struct Case {
        const char* call;
        const char* field;
        const char* world;
        uint64_t answer;
    };
    for (const Case& one : {
             Case{"bpf_get_route_realm(ctx)", "world.route_realm", R"({"route_realm": 9})", 9},
             Case{"bpf_get_socket_cookie(ctx)", "world.socket.cookie",
                  R"({"socket": {"cookie": 8589934593}})", 8589934593},
             Case{"bpf_get_socket_uid(ctx)", "world.socket.uid", R"({"socket": {"uid": 1000}})", 1000},
             Case{"bpf_get_netns_cookie(ctx)", "world.netns_cookie", R"({"netns_cookie": 77})", 77},
             Case{"bpf_get_netns_cookie(0)", "world.init_netns_cookie",
                  R"({"netns_cookie": 77, "init_netns_cookie": 3})", 3},
             Case{"bpf_get_netns_cookie(ctx)", "", R"({"init_netns_cookie": 3, "socket": {"none": true}})",
                  3},
             Case{"bpf_get_socket_cookie(ctx)", "", R"({"socket": {"none": true, "cookie": 5}})", 0},
             Case{"bpf_get_socket_uid(ctx)", "", R"({"socket": {"none": true}})", 65534},
             Case{"bpf_get_socket_uid(ctx)", "", R"({"sockets": [{"proto": "tcp", "local": "10.0.0.1:80",
                  "peer": "10.0.0.2:5", "state": "time_wait"}], "socket": {"is": 1}})",
                  65534},
             Case{"bpf_get_current_pid_tgid()", "world.task.pid", R"({"task": {"pid": 5, "tgid": 6}})",
                  6ull << 32 | 5},
             Case{"({ __u64 one; bpf_get_task_stack((void *)bpf_get_current_task_btf(), &one, 8, 1); one; })",
                  "world.task.stack", R"({"task": {"stack": [5, 18446744071578845184]}})",
                  18446744071578845184u},
             Case{"({ __u64 all[4]; bpf_get_task_stack((void *)bpf_get_current_task_btf(), all, 32, 0x900); "
                  "all[0] + all[3]; })",
                  "world.task.user_stack",
                  R"({"task": {"user_stack": [{"ip": 9, "build_id": "00000010", "offset": 7}]}})",
                  0x1000000000000001u + 7},
             Case{"({ __u64 all[4]; bpf_get_task_stack((void *)bpf_get_current_task_btf(), all, 32, 0x900); "
                  "all[0] + all[3]; })",
                  "world.task.user_stack", R"({"task": {"user_stack": [9]}})", 2 + 9},
             Case{"bpf_get_current_uid_gid()", "world.task.uid", R"({"task": {"uid": 1, "gid": 2}})",
                  2ull << 32 | 1},
             Case{"bpf_get_numa_node_id()", "world.numa_node", R"({"numa_node": 1})", 1},
             Case{"bpf_get_current_cgroup_id()", "world.cgroup.id", R"({"cgroup": {"id": 4294967297}})",
                  4294967297},
             Case{"bpf_get_current_ancestor_cgroup_id(1)", "world.cgroup.ancestors",
                  R"({"cgroup": {"ancestors": [1, 44]}})", 44},
             Case{"bpf_get_cgroup_classid(ctx)", "world.cgroup.classid", R"({"cgroup": {"classid": 3}})", 3},
             Case{"bpf_ktime_get_boot_ns()", "", R"({"time": {"ns": 5, "boot_ns": 50}})", 50},
             Case{"bpf_ktime_get_tai_ns()", "", R"({"time": {"ns": 5, "tai_ns": 500}})", 500},
             Case{"bpf_ktime_get_ns()", "", R"({"time": {"ns": 5, "tai_ns": 500}})", 5},
             Case{"bpf_get_smp_processor_id()", "", R"({"cpu": 1})", 1},
         }) {
        const auto program = [&](uint64_t answer) {
            return "SEC(\"tc\") int filter(struct __sk_buff *ctx) { return " + std::string(one.call) +
                   " != " + std::to_string(answer) + "ull; }";
        };
        EXPECT_EQ(outcome_in(one.world, program(one.answer)), "returned 0") << one.call;
        if (one.field[0] != 0) {
            EXPECT_EQ(outcome_in("{}", program(one.answer)),
                      std::string("the scripted world has no ") + one.field);
        }
    }
}

TEST(World, SocketsAreReadAsTheKernelAllowsAndGivenBack) {
    const std::string world =
        R"({"interfaces": [], "sockets": [{"proto": "tcp", "local": "10.0.0.1:80", "tcp": {"snd_cwnd": 10}}]})";
    const auto fault = [&](const std::string& body) {
        return outcome_in(world.c_str(), R"(SEC("tc") int filter(struct __sk_buff *ctx)
{
    struct bpf_sock_tuple t = { .ipv4 = { .daddr = 0x0100000a, .dport = 0x5000 } };
    struct bpf_sock *sk = bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
    struct bpf_tcp_sock *tcp;
    if (!sk)
        return 7;
)" + body + "\n}");
    };
    EXPECT_EQ(fault("bpf_sk_release(sk); return 0;"), "returned 0");
    EXPECT_EQ(fault("return 0;"), "the program ends with a socket that was not released");
    EXPECT_EQ(fault("bpf_sk_release(sk); return sk->state;"),
              "read of 4 bytes through a stale socket pointer: bpf_sk_release made it invalid");
    EXPECT_EQ(
        fault("int x = *(volatile unsigned short *)&sk->mark; bpf_sk_release(sk); return x;"),
        "read of 2 bytes at socket+16: struct bpf_sock has no field there that can be loaded like that");
    EXPECT_EQ(fault("*(volatile int *)&sk->mark = 1; bpf_sk_release(sk); return 0;"),
              "write of 4 bytes at socket+16: sockets can only be read");
    EXPECT_EQ(fault("tcp = bpf_tcp_sock(sk); int x = tcp ? tcp->snd_cwnd : 0; bpf_sk_release(sk); return x;"),
              "returned 10");
    EXPECT_EQ(fault("tcp = bpf_tcp_sock(sk); int x = tcp ? tcp->srtt_us : 0; bpf_sk_release(sk); return x;"),
              "the scripted world has no world.sockets[1].tcp.srtt_us");
    EXPECT_EQ(fault("tcp = bpf_tcp_sock(sk); bpf_sk_release(sk); return tcp ? tcp->snd_cwnd : 0;"),
              "read of 4 bytes through a stale tcp socket pointer: bpf_sk_release made it invalid");
}

// -- Helpers from outside --

const char* const kOwnHelper =
    R"(static long (*own)(void *to, unsigned size, unsigned long from) = (void *)500;
SEC("xdp") int filter(struct xdp_md *ctx)
{
    char text[8] = "........";
    long r = own(text, sizeof(text), 0x123456789abcull);
    if (r != -14 || text[0] != 'y' || text[7] != 'y')
        return XDP_ABORTED;
    return *(volatile char *)own(text, 0, 0);
}
char LICENSE[] SEC("license") = "GPL";
)";

TEST(UserHelpers, AreCalledOnceAndSeeCheckedMemory) {
    vm::Options options;
    size_t calls = 0;
    options.helpers[500] = [&](vm::HelperCall& call) -> Expected<uint64_t> {
        if (++calls == 2) {
            return uint64_t{0};
        }
        EXPECT_EQ(call.args()[1], 8u);
        EXPECT_EQ(call.args()[2], 0x123456789abcull);
        EXPECT_TRUE(call.can_access(call.args()[0], 8, true));
        EXPECT_FALSE(call.can_access(call.args()[0], 512, false));
        EXPECT_FALSE(call.can_access(call.args()[2], 1, false));
        const auto text = call.read(call.args()[0], 8);
        EXPECT_TRUE(text && as_text(*text) == "........");
        EXPECT_TRUE(call.write(call.args()[0], ByteVec(8, 'y')));
        return static_cast<uint64_t>(-14);
    };
    auto instance = vm::make_target(options)->load(compile_text(std::string(kPrelude) + kOwnHelper), {});
    ASSERT_TRUE(instance) << instance.error().message();
    // The run faults on purpose and is made again for the report: the helper is not asked again.
    const auto result = (*instance)->programs().front()->run(packet_of(64), {});
    ASSERT_TRUE(result && result->fault);
    EXPECT_EQ(result->fault->kind, FaultKind::NullPointer) << result->fault->report;
    EXPECT_EQ(calls, 2u);
}

/// Of a kernel that has none of these names, so that the declared types count.
TEST(World, VariablesOfTheKernel) {
    const auto look = [](const char* ksyms, const std::string& value) {
        return outcome_in((R"({"ksyms": {)" + std::string(ksyms) + "}}").c_str(),
                          "struct mimicsh_pair { int a; unsigned long b; };\n"
                          "extern const int mimicsh_number __ksym;\n"
                          "extern const struct mimicsh_pair mimicsh_pair __ksym;\n"
                          "extern const void mimicsh_place __ksym;\n"
                          "extern const int mimicsh_weak __ksym __weak;\n"
                          "SEC(\"xdp\") int look(struct xdp_md *ctx) { return " +
                              value + "; }");
    };
    const std::string number = "mimicsh_number + 1";
    EXPECT_EQ(look("\"mimicsh_number\": 41", number), "returned 42");
    EXPECT_EQ(look("\"mimicsh_number\": -2", number), "returned 4294967295");
    EXPECT_EQ(look("\"mimicsh_number\": \"2a000000\"", number), "returned 43");
    EXPECT_EQ(look("", "&mimicsh_weak == 0 ? 7 : mimicsh_weak"), "returned 7");
    EXPECT_EQ(look("\"mimicsh_weak\": 9", "&mimicsh_weak == 0 ? 7 : mimicsh_weak"), "returned 9");
    EXPECT_EQ(look("\"mimicsh_pair\": {\"a\": 5}", "mimicsh_pair.a"), "returned 5");
    EXPECT_EQ(look("\"mimicsh_pair\": {\"a\": 5}", "mimicsh_pair.b"),
              "the scripted world has no world.ksyms.mimicsh_pair[\"b\"]");
    EXPECT_EQ(look("\"mimicsh_pair\": \"05000000000000000600000000000000\"", "mimicsh_pair.b"), "returned 6");
    EXPECT_EQ(look("\"mimicsh_place\": 4294967296", "(long)&mimicsh_place >> 32"), "returned 1");

    const std::string each =
        "*(int *)bpf_per_cpu_ptr(&mimicsh_number, 0) + *(int *)bpf_this_cpu_ptr(&mimicsh_number)";
    std::string list;
    for (uint32_t cpu = 0; cpu < possible_cpus(); ++cpu) {
        list += (cpu == 0 ? "" : ", ") + std::to_string(20 + cpu);
    }
    EXPECT_EQ(look(("\"mimicsh_number\": [" + list + "]").c_str(), each), "returned 40");
    EXPECT_EQ(
        look(("\"mimicsh_number\": [" + list + "]").c_str(), number),
        "read of 4 bytes through a pointer to a per-CPU variable of the kernel (bpf_per_cpu_ptr gives a copy "
        "of it)");
    EXPECT_EQ(look("\"mimicsh_number\": 1", each), "bpf_per_cpu_ptr: the argument is no per-CPU object");
    EXPECT_EQ(look("\"mimicsh_number\": 1", "(*(volatile int *)&mimicsh_number = 2)"),
              "write of 4 bytes of a variable of the kernel, which may only be read");

    // At load, with the place in the source.
    const auto refused = [&](const char* ksyms, const std::string& value, const std::string& why) {
        const std::string text = look(ksyms, value);
        EXPECT_NE(text.find(why), std::string::npos) << text;
        EXPECT_NE(text.find(".c:"), std::string::npos) << text;
    };
    refused("", number, "the scripted world has no world.ksyms.mimicsh_number");
    refused("\"mimicsh_number\": 4294967296", number,
            "world.ksyms.mimicsh_number does not fit the variable's 4 bytes");
    refused("\"mimicsh_number\": \"2a\"", number, "has 1 bytes, the variable is 4 bytes long");
    refused("\"mimicsh_number\": {\"a\": 1}", number, "has named fields, but its type is no struct");
    refused("\"mimicsh_pair\": 1", "mimicsh_pair.a", "is a number, but the variable is no number");
    refused(("\"mimicsh_number\": [" + list + ", 1]").c_str(), number, "has contents for");
    refused("\"mimicsh_place\": 0", "(long)&mimicsh_place", "it has to be a number above 0");
}

TEST(UserHelpers, RefusedAccessesAndErrorsAreFaults) {
    for (const bool reads : {true, false}) {
        vm::Options options;
        options.helpers[500] = [&](vm::HelperCall& call) -> Expected<uint64_t> {
            if (reads) {
                EXPECT_FALSE(call.read(call.args()[0], 9 + 512));
                return uint64_t{0};
            }
            return Error{EINVAL, "", "does not want to", {}, {}};
        };
        auto instance = vm::make_target(options)->load(compile_text(std::string(kPrelude) + kOwnHelper), {});
        ASSERT_TRUE(instance) << instance.error().message();
        const auto result = (*instance)->programs().front()->run(packet_of(64), {});
        ASSERT_TRUE(result && result->fault);
        EXPECT_EQ(result->fault->cause.substr(0, 28),
                  reads ? "helper: read of 521 bytes at" : "helper 500: does not want to");
        EXPECT_EQ(result->fault->source.line, 7u);
    }
}

} // namespace

} // namespace mimicsh::test
