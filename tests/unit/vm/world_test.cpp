// SPDX-License-Identifier: MIT
// The scripted world: what is refused when it is read, and which field a helper misses.
#include <gtest/gtest.h>

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
    for (const Case& one : {
             Case{"", "load: world: not JSON"},
             Case{"[1]", "load: world: expected a table with named values"},
             Case{
                 R"({"route": []})",
                 "load: world.route: unknown word (known: cgroup, cpu, interfaces, neighbours, netns_cookie, "
                 "numa_node, route_realm, routes, socket, sockets, task, tcp_syncookies, time)"},
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
             Case{R"({"sockets": [{"proto": "tcp", "local": "10.0.0.1"}]})",
                  "load: world.sockets[1].local: expected \"address:port\" or \"[address]:port\", got "
                  "'10.0.0.1'"},
             Case{R"({"sockets": [{"proto": "udp", "local": "10.0.0.1:53", "state": "listen"}]})",
                  "load: world.sockets[1].state: only a TCP socket without a peer listens"},
             Case{
                 R"({"sockets": [{"proto": "tcp", "local": "[::]:80", "tcp": {"cwnd": 1}}]})",
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

/// Cause of the fault that a program meets in a world; its message when it does not run at all.
std::string fault_in(const char* world, const std::string& program) {
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
    return !result ? result.error().message() : !result->fault ? "no fault" : result->fault->cause;
}

TEST(World, MissingValuesAreFaultsThatNameTheField) {
    const std::string fib = R"(SEC("xdp") int filter(struct xdp_md *ctx)
{
    struct bpf_fib_lookup p = { .family = 2, .ifindex = 2, .ipv4_dst = 0x0100000a };
    return bpf_fib_lookup(ctx, &p, sizeof(p), 0);
})";
    EXPECT_EQ(fault_in("{}", fib), "the scripted world has no world.interfaces");
    EXPECT_EQ(fault_in(R"({"interfaces": [{"name": "a", "index": 2}]})", fib),
              "the scripted world has no world.routes");
    EXPECT_EQ(fault_in(R"({"interfaces": [{"name": "a", "index": 2}], "routes": []})", fib), "no fault");
    EXPECT_EQ(fault_in(R"({"interfaces": [{"name": "a", "index": 2}],
                          "routes": [{"to": "10.0.0.0/8", "dev": "a"}]})",
                       fib),
              "the scripted world has no world.interfaces[1].mtu");
    EXPECT_EQ(fault_in(R"({"interfaces": [{"name": "a", "index": 2, "mtu": 1500}],
                          "routes": [{"to": "10.0.0.0/8", "dev": "a"}]})",
                       fib),
              "the scripted world has no world.neighbours");
}

} // namespace

} // namespace mimicsh::test
