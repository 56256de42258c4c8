// SPDX-License-Identifier: MIT
// The namespace: two pairs of interfaces, addresses on one end of each.
#include "tests/kernel/world_parity.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "net/field_text.h"
#include "vm/world.h"

namespace mimicsh::test {

namespace {

constexpr const char* kSetup = R"(link set lo up
link add v0 index 10 address 02:00:00:00:00:10 type veth peer name v1 index 11 address 02:00:00:00:00:11
link add v2 index 12 address 02:00:00:00:00:12 mtu 9000 type veth peer name v3 index 13 address 02:00:00:00:00:13
link set v0 addrgenmode none
link set v1 addrgenmode none
link set v2 addrgenmode none
link set v3 addrgenmode none
link set v0 up
link set v1 up
link set v2 up
link set v3 up
addr add 10.0.0.1/24 dev v0
addr add 10.0.7.1/24 dev v0
addr add 10.1.0.1/16 dev v2
addr add 2001:db8::1/64 dev v0 nodad
addr add 2001:db8:1::1/64 dev v2 nodad
route add 10.9.0.0/16 via 10.0.0.2 dev v0
route add 10.9.1.0/24 via 10.1.0.254 dev v2 metric 50
route add 10.9.1.0/24 via 10.0.7.9 dev v0 metric 10
route add blackhole 172.16.0.0/12
route add unreachable 192.0.2.0/24
route add prohibit 198.51.100.0/24
route add throw 203.0.113.0/24
route add default via 10.1.0.254 dev v2
route add 10.30.0.0/16 via 10.0.0.2 dev v0 mtu lock 900
route add 10.31.0.0/16 dev v0 src 10.0.7.1
route add 10.40.0.0/16 via inet6 2001:db8::2 dev v0
route add 10.20.0.0/16 via 10.0.0.2 dev v0 table 100
route add blackhole 10.21.0.0/16 table 100
route add 2001:db8:9::/48 via 2001:db8::2 dev v0
route add 2001:db8:8::/48 via 2001:db8::2 dev v0 metric 7
route add 2001:db8:8::/48 via 2001:db8:1::fe dev v2 metric 9
route add blackhole 2001:db8:a::/48
route add unreachable 2001:db8:b::/48
route add prohibit 2001:db8:c::/48
route add default via 2001:db8:1::fe dev v2
route add 2001:db8:d::/48 via 2001:db8::2 dev v0 mtu lock 1300
route add 2001:db8:e::/48 via 2001:db8::2 dev v0 table 100
neigh add 10.0.0.2 lladdr 02:aa:00:00:00:02 dev v0 nud permanent
neigh add 10.0.0.50 lladdr 02:aa:00:00:00:50 dev v0 nud permanent
neigh add 10.1.0.254 lladdr 02:aa:00:00:00:fe dev v2 nud permanent
neigh add 2001:db8::2 lladdr 02:bb:00:00:00:02 dev v0 nud permanent
neigh add 2001:db8:1::fe lladdr 02:bb:00:00:00:fe dev v2 nud permanent
)";

} // namespace

const char* const kWorld = R"({
"interfaces": [
  {"name": "v0", "index": 10, "mtu": 1500, "mac": "02:00:00:00:00:10",
   "addresses": ["10.0.0.1/24", "10.0.7.1/24", "2001:db8::1/64"]},
  {"name": "v1", "index": 11, "mtu": 1500, "mac": "02:00:00:00:00:11", "addresses": [], "forwarding": false},
  {"name": "v2", "index": 12, "mtu": 9000, "mac": "02:00:00:00:00:12", "addresses": ["10.1.0.1/16", "2001:db8:1::1/64"]},
  {"name": "v3", "index": 13, "mtu": 1500, "mac": "02:00:00:00:00:13", "addresses": []}],
"routes": [
  {"to": "10.9.0.0/16", "via": "10.0.0.2", "dev": "v0"},
  {"to": "10.9.1.0/24", "via": "10.1.0.254", "dev": "v2", "metric": 50},
  {"to": "10.9.1.0/24", "via": "10.0.7.9", "dev": "v0", "metric": 10},
  {"to": "172.16.0.0/12", "type": "blackhole"},
  {"to": "192.0.2.0/24", "type": "unreachable"},
  {"to": "198.51.100.0/24", "type": "prohibit"},
  {"to": "203.0.113.0/24", "type": "throw"},
  {"to": "default", "via": "10.1.0.254", "dev": "v2"},
  {"to": "10.30.0.0/16", "via": "10.0.0.2", "dev": 10, "mtu": 900},
  {"to": "10.31.0.0/16", "dev": "v0", "source": "10.0.7.1"},
  {"to": "10.40.0.0/16", "via": "2001:db8::2", "dev": "v0"},
  {"to": "10.20.0.0/16", "via": "10.0.0.2", "dev": "v0", "table": 100},
  {"to": "10.21.0.0/16", "type": "blackhole", "table": 100},
  {"to": "2001:db8:9::/48", "via": "2001:db8::2", "dev": "v0"},
  {"to": "2001:db8:8::/48", "via": "2001:db8::2", "dev": "v0", "metric": 7},
  {"to": "2001:db8:8::/48", "via": "2001:db8:1::fe", "dev": "v2", "metric": 9},
  {"to": "2001:db8:a::/48", "type": "blackhole"},
  {"to": "2001:db8:b::/48", "type": "unreachable"},
  {"to": "2001:db8:c::/48", "type": "prohibit"},
  {"to": "default", "via": "2001:db8:1::fe", "dev": "v2"},
  {"to": "2001:db8:d::/48", "via": "2001:db8::2", "dev": "v0", "mtu": 1300},
  {"to": "2001:db8:e::/48", "via": "2001:db8::2", "dev": "v0", "table": 100}],
"neighbours": [
  {"ip": "10.0.0.2", "mac": "02:aa:00:00:00:02", "dev": "v0"},
  {"ip": "10.0.0.50", "mac": "02:aa:00:00:00:50", "dev": "v0"},
  {"ip": "10.1.0.254", "mac": "02:aa:00:00:00:fe", "dev": "v2"},
  {"ip": "2001:db8::2", "mac": "02:bb:00:00:00:02", "dev": "v0"},
  {"ip": "2001:db8:1::fe", "mac": "02:bb:00:00:00:fe", "dev": "v2"}]
})";

void write_setting(const std::string& path, const std::string& value) {
    FILE* file = std::fopen(("/proc/sys/net/" + path).c_str(), "w");
    ASSERT_NE(file, nullptr) << path;
    std::fputs(value.c_str(), file);
    EXPECT_EQ(std::fclose(file), 0) << path;
}

ByteVec bytes_of(std::string_view address) {
    const bool v6 = address.find(':') != std::string_view::npos;
    return net::parse_address(v6 ? net::FieldKind::kIp6 : net::FieldKind::kIp4, address).value();
}

Fd listen_on(uint32_t interface) {
    Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)));
    EXPECT_TRUE(fd.valid());
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(interface);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
}

bool is_own(ByteView frame) {
    return frame.size() > 10 && frame[6] == 2 && frame[10] == 0;
}

ByteVec next_frame(const Fd& fd, const std::function<bool(ByteView)>& wanted) {
    constexpr int kDeadline = 60'000;
    for (;;) {
        pollfd one{fd.get(), POLLIN, 0};
        if (poll(&one, 1, kDeadline) != 1) {
            return {};
        }
        ByteVec bytes(20000);
        sockaddr_ll from{};
        socklen_t size = sizeof from;
        const ssize_t got =
            recvfrom(fd.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
        bytes.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
        if (got > 0 && from.sll_pkttype != PACKET_OUTGOING && wanted(bytes)) {
            return bytes;
        }
    }
}

void WorldParity::SetUp() {
    ParityTest::SetUp();
    if (IsSkipped()) {
        return;
    }
    home_ = Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(home_.valid());
    if (unshare(CLONE_NEWNET) != 0) {
        home_ = Fd();
        GTEST_SKIP() << "no network namespace of one's own here";
    }
    FILE* ip = popen("ip -batch -", "w");
    ASSERT_NE(ip, nullptr);
    std::fputs(kSetup, ip);
    if (pclose(ip) != 0) {
        GTEST_SKIP() << "ip (iproute2) could not set the namespace up";
    }
    write_setting("ipv4/ip_forward", "1");
    write_setting("ipv6/conf/all/forwarding", "1");
    write_setting("ipv4/conf/v1/forwarding", "0");
    write_setting("ipv6/conf/v1/forwarding", "0");
}

void WorldParity::TearDown() {
    vm_.reset();
    kernel_.reset();
    if (home_.valid()) {
        EXPECT_EQ(setns(home_.get(), CLONE_NEWNET), 0);
    }
}

void WorldParity::open_world(const std::string& name, const char* text) {
    const auto world = vm::parse_world(text);
    ASSERT_TRUE(world) << world.error().message();
    vm::Options options;
    options.world = *world;
    open(compile_case(name + ".bpf.c"), options);
}

void SendsParity::SetUp() {
    WorldParity::SetUp();
    if (!IsSkipped()) {
        open_world("parity/sends");
        ASSERT_TRUE(ready());
    }
}

std::string WorldParity::world_with(const std::string& members) {
    const std::string whole = kWorld;
    return whole.substr(0, whole.rfind('}')) + ", " + members + "}";
}

} // namespace mimicsh::test
