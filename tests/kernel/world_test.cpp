// SPDX-License-Identifier: MIT
// The scripted world against a network namespace that was set up the same way.
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <set>

#include "tests/kernel/program_packets.h"
#include "tests/kernel/sockets.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

TEST_F(WorldParity, FibLookup) {
    open_world("parity/world");
    ASSERT_TRUE(ready());
    constexpr uint32_t kDirect = 1, kOutput = 2, kSkipNeigh = 4, kTbid = 8, kSrc = 16, kMark = 32;
    struct Way {
        uint32_t flags;
        uint32_t ifindex;
        uint16_t length;
        uint32_t table;
    };
    const std::vector<Way> ways{
        {0, 10, 0, 0},
        {0, 11, 0, 0},
        {0, 12, 1500, 0},
        {0, 13, 1501, 0},
        {0, 99, 0, 0},
        {0, 0, 0, 0},
        {0, 1, 901, 0},
        {kSkipNeigh, 12, 9001, 0},
        {kSrc, 12, 0, 0},
        {kSrc | kSkipNeigh, 10, 0, 0},
        {kOutput, 10, 0, 0},
        {kOutput, 12, 0, 0},
        {kOutput | kDirect, 12, 0, 0},
        {kDirect, 10, 1000, 0},
        {kDirect | kTbid, 10, 0, 100},
        {kDirect | kTbid, 10, 0, 77},
        {kDirect | kTbid, 10, 0, 0},
        {kSrc | kDirect | kTbid, 10, 0, 0},
        {kDirect | kTbid, 10, 0, 254},
        {kDirect | kTbid | kSkipNeigh, 10, 0, 255},
        {kTbid, 10, 0, 100},
        {kMark, 10, 0, 0},
        {64, 10, 0, 0},
        {1u << 31, 10, 0, 0},
    };
    const std::vector<std::pair<const char*, const char*>> addresses{
        {"10.0.0.5", "10.9.3.4"},
        {"10.0.0.5", "10.9.1.4"},
        {"10.0.0.5", "172.16.1.1"},
        {"10.0.0.5", "192.0.2.1"},
        {"10.0.0.5", "198.51.100.1"},
        {"10.0.0.5", "203.0.113.1"},
        {"10.0.0.5", "8.8.8.8"},
        {"10.0.0.5", "10.30.0.1"},
        {"10.0.0.5", "10.31.0.1"},
        {"10.0.0.5", "10.20.1.1"},
        {"10.0.0.5", "10.21.1.1"},
        {"10.0.0.5", "10.0.0.1"},
        {"10.0.0.5", "10.0.0.50"},
        {"10.0.0.5", "10.0.0.51"},
        {"10.0.0.5", "10.0.0.255"},
        {"10.0.0.5", "10.0.7.77"},
        {"10.0.0.5", "127.0.0.1"},
        {"10.0.0.5", "127.1.2.3"},
        {"0.0.0.0", "224.0.0.1"},
        {"10.0.0.5", "255.255.255.255"},
        {"0.0.0.0", "0.0.0.0"},
        {"10.0.0.5", "10.40.0.1"},
        {"2001:db8:f::1", "2001:db8:9::7"},
        {"2001:db8:f::1", "2001:db8:8::7"},
        {"2001:db8:f::1", "2001:db8:a::7"},
        {"2001:db8:f::1", "2001:db8:b::7"},
        {"2001:db8:f::1", "2001:db8:c::7"},
        {"2001:db8:f::1", "2001:db8:d::7"},
        {"2001:db8:f::1", "2001:db8:e::7"},
        {"2001:db8:f::1", "3000::7"},
        {"2001:db8:f::1", "2001:db8::1"},
        {"2001:db8:f::1", "2001:db8::2"},
        {"2001:db8:f::1", "2001:db8::3"},
        {"2001:db8:f::1", "2001:db8::"},
        {"2001:db8:f::1", "ff02::1"},
        {"2001:db8:f::1", "fe80::1"},
        {"fe80::2", "3000::7"},
        {"2001:db8:f::1", "::1"},
        {"::", "::"},
    };
    std::set<uint64_t> seen;
    for (const Way& way : ways) {
        for (const auto& [source, destination] : addresses) {
            for (const char* program : {"fib_xdp", "fib_tc"}) {
                SCOPED_TRACE(testing::Message()
                             << program << " to " << destination << ", flags " << way.flags << ", ifindex "
                             << way.ifindex << ", table " << way.table << ", length " << way.length);
                ByteVec params(128);
                const ByteVec from = bytes_of(source);
                const ByteVec to = bytes_of(destination);
                params[0] = from.size() == 4 ? 2 : 10;
                params[1] = 6;
                mimicsh::store<uint16_t>(params.data() + 6, way.length);
                mimicsh::store<uint32_t>(params.data() + 8, way.ifindex);
                std::copy(from.begin(), from.end(), params.begin() + 16);
                std::copy(to.begin(), to.end(), params.begin() + 32);
                mimicsh::store<uint32_t>(params.data() + 48, way.table);
                set_value(*vm_, ".data.lookup", params);
                set_value(*kernel_, ".data.lookup", params);
                set_args({64, way.flags});
                run_both(program, packet_of(1600));
                seen.insert(result(0));
            }
        }
    }
    for (const uint64_t code : {0u, 1u, 2u, 3u, 4u, 5u, 7u, 8u}) {
        EXPECT_TRUE(seen.contains(code)) << "nothing was answered with " << code;
    }
    for (const uint64_t size : {1u, 63u, 64u, 65u, 127u}) {
        for (const uint8_t family : {uint8_t{0}, uint8_t{2}, uint8_t{10}, uint8_t{7}}) {
            ByteVec params(128);
            params[0] = family;
            set_value(*vm_, ".data.lookup", params);
            set_value(*kernel_, ".data.lookup", params);
            set_args({size, 0});
            run_both("fib_xdp", packet_of(64));
        }
    }
}

/// Addresses of every label of the policy table and every scope, on both interfaces: which one a packet
/// leaves with.
TEST_F(WorldParity, Ip6Sources) {
    const std::vector<std::string> on_v0{"fd00:1::1/64", "2002:c000:201::1/48", "fe80::10/64",
                                         "2001:db8:0:1::1/120"},
        on_v2{"fd00:2::1/48",  "2001:0:1::1/32", "3ffe::1/16",       "fec0::1/64",
              "2001:10::1/28", "fe80::12/64",    "2001:db8:4::1/126"};
    std::string world = kWorld;
    const auto add = [&](const std::vector<std::string>& addresses, const std::string& device,
                         const std::string& first) {
        for (const std::string& one : addresses) {
            EXPECT_EQ(std::system(("ip addr add " + one + " dev " + device + " nodad").c_str()), 0) << one;
        }
        for (auto one = addresses.rbegin(); one != addresses.rend();
             ++one) { // the newest is first, as in ip's list
            world.insert(world.find(first), '"' + *one + "\", ");
        }
    };
    add(on_v0, "v0", "\"10.0.0.1/24\"");
    add(on_v2, "v2", "\"10.1.0.1/16\"");
    open_world("parity/world", world.c_str());
    ASSERT_TRUE(ready());
    constexpr uint64_t kSkipNeigh = 4, kSrc = 16;
    std::set<std::string> chosen;
    for (const std::string destination :
         {"2001:db8:9::7",    "2001:db8:8::7",  "2001:db8::2", "2001:db8::1:0", "2001:db8:0:1::9",
          "2001:db8:4::2",    "3000::7",        "fd00:1::9",   "fd00:2::9",     "fd00:9::9",
          "2002:c000:201::9", "2002:1::9",      "2001:0:1::9", "2001:0:9::9",   "3ffe::9",
          "3ffe:9::9",        "fec0::9",        "fec0:9::9",   "2001:10::9",    "2001:18::9",
          "64:ff9b::1",       "::ffff:1.2.3.4", "::1.2.3.4",   "2001:db8:d::7"}) {
        for (const uint32_t input : {kV0, kV2}) {
            SCOPED_TRACE(testing::Message() << destination << " by " << input);
            ByteVec params(128);
            const ByteVec to = bytes_of(destination);
            params[0] = 10;
            mimicsh::store<uint32_t>(params.data() + 8, input);
            params[16] = 0x20;
            std::copy(to.begin(), to.end(), params.begin() + 32);
            set_value(*vm_, ".data.lookup", params);
            set_value(*kernel_, ".data.lookup", params);
            set_args({64, kSrc | kSkipNeigh});
            run_both("fib_tc", packet_of(1600));
            const ByteVec answer = value_of(*kernel_, ".data.lookup");
            chosen.insert(to_hex(ByteView(answer).subspan(16, 16)));
        }
    }
    EXPECT_GE(chosen.size(), 9u);
}

TEST_F(WorldParity, CheckMtu) {
    open_world("parity/world");
    ASSERT_TRUE(ready());
    for (const uint64_t ifindex : {0u, 1u, 10u, 12u, 99u}) {
        for (const uint64_t given :
             {0ull, 1ull, 1486ull, 1500ull, 1501ull, 9000ull, 9001ull, 70000ull, 0xfffffff0ull}) {
            for (const int64_t difference :
                 {0, 1, -1, 1400, 1450, 1451, 9000, -70000, INT32_MAX, INT32_MIN}) {
                for (const uint64_t flags : {0u, 1u, 2u}) {
                    for (const char* program : {"mtu_xdp", "mtu_tc"}) {
                        SCOPED_TRACE(testing::Message()
                                     << program << " ifindex " << ifindex << ", given " << given
                                     << ", difference " << difference << ", flags " << flags);
                        set_args({ifindex, given, static_cast<uint64_t>(difference), flags});
                        run_both(program, packet_of(64));
                    }
                }
            }
        }
    }
}

TEST_F(WorldParity, FibRouterRoutesPackets) {
    open_world("programs/fib_router");
    ASSERT_TRUE(ready());
    std::map<uint32_t, size_t> verdicts;
    for (const ByteVec& packet : program_packets()) {
        ++verdicts[run_both("fib_router", packet).ret];
    }
    EXPECT_GE(verdicts[1], 20u) << "dropped";
    EXPECT_GE(verdicts[2], 20u) << "passed";
    EXPECT_GE(verdicts[4], 10u) << "redirected";
}

// -- Sockets --

TEST_F(WorldParity, SocketLookup) {
    if (IsSkipped()) {
        return;
    }
    std::vector<Fd> open_sockets;
    const auto add = [&](int type, const SocketOptions& options) {
        open_sockets.push_back(socket_of(type, options));
    };
    add(SOCK_STREAM, {"0.0.0.0", 80, "", 0, false, "", 0});
    add(SOCK_STREAM, {"10.0.0.1", 81, "", 0, false, "", 7});
    add(SOCK_STREAM, {"::", 82, "", 0, false, "", 0});
    add(SOCK_STREAM, {"::", 83, "", 0, true, "", 0});
    add(SOCK_STREAM, {"2001:db8::1", 84, "", 0, false, "", 0});
    add(SOCK_STREAM, {"0.0.0.0", 85, "", 0, false, "v0", 0});
    add(SOCK_DGRAM, {"0.0.0.0", 80, "", 0, false, "", 3});
    add(SOCK_DGRAM, {"10.0.0.1", 81, "", 0, false, "", 0});
    add(SOCK_DGRAM, {"::", 82, "", 0, false, "", 0});
    add(SOCK_DGRAM, {"127.0.0.1", 90, "127.0.0.1", 91, false, "", 0});
    add(SOCK_DGRAM, {"2001:db8::1", 84, "", 0, false, "", 0});
    add(SOCK_DGRAM, {"0.0.0.0", 85, "", 0, false, "v0", 0});
    // A connection over loopback: both ends are there.
    add(SOCK_STREAM, {"127.0.0.1", 4000, "127.0.0.1", 80, false, "", 0});
    add(SOCK_STREAM, {"::1", 4001, "::1", 82, false, "", 0});
    const std::string world = std::string(kWorld).substr(0, std::strlen(kWorld) - 1) + R"(,
"sockets": [
  {"proto": "tcp", "local": "0.0.0.0:80"},
  {"proto": "tcp", "local": "10.0.0.1:81", "mark": 7, "priority": 7},
  {"proto": "tcp", "local": "[::]:82"},
  {"proto": "tcp", "local": "[::]:83", "v6only": true},
  {"proto": "tcp", "local": "[2001:db8::1]:84"},
  {"proto": "tcp", "local": "0.0.0.0:85", "dev": "v0"},
  {"proto": "udp", "local": "0.0.0.0:80", "mark": 3, "priority": 3},
  {"proto": "udp", "local": "10.0.0.1:81"},
  {"proto": "udp", "local": "[::]:82"},
  {"proto": "udp", "local": "127.0.0.1:90", "peer": "127.0.0.1:91"},
  {"proto": "udp", "local": "[2001:db8::1]:84"},
  {"proto": "udp", "local": "0.0.0.0:85", "dev": "v0"},
  {"proto": "tcp", "local": "127.0.0.1:4000", "peer": "127.0.0.1:80",
   "tcp": {"total_retrans": 0, "bytes_received": 0, "retrans_out": 0}},
  {"proto": "tcp", "local": "[::1]:4001", "peer": "[::1]:82"},
  {"proto": "tcp", "local": "127.0.0.1:80", "peer": "127.0.0.1:4000",
   "tcp": {"total_retrans": 0, "bytes_received": 0, "retrans_out": 0}},
  {"proto": "tcp", "local": "[::1]:82", "peer": "[::1]:4001"}]})";
    open_world("parity/sockets", world.c_str());
    ASSERT_TRUE(ready());
    struct Flow {
        const char* source;
        uint16_t source_port;
        const char* destination;
    };
    size_t found = 0;
    const auto look = [&](const Flow& flow, uint16_t port, const char* hook, uint64_t netns, uint64_t flags) {
        const ByteVec from = bytes_of(flow.source);
        const ByteVec to = bytes_of(flow.destination);
        const std::string program = std::string(hook) + (from.size() == 4 ? "_ip4" : "_ip6");
        SCOPED_TRACE(testing::Message()
                     << program << " " << flow.source << ":" << flow.source_port << " > " << flow.destination
                     << ":" << port << ", netns " << netns << ", flags " << flags);
        ByteVec key(64);
        std::copy(from.begin(), from.end(), key.begin());
        std::copy(to.begin(), to.end(), key.begin() + static_cast<ptrdiff_t>(from.size()));
        mimicsh::store_be<uint16_t>(key.data() + 2 * from.size(), flow.source_port);
        mimicsh::store_be<uint16_t>(key.data() + 2 * from.size() + 2, port);
        set_value(*vm_, ".data.tuple", key);
        set_value(*kernel_, ".data.tuple", key);
        set_args({netns, flags});
        run_both(program, packet_of(64));
        found += result(0) + result(26);
    };
    const std::vector<Flow> flows{
        {"127.0.0.1", 4000, "127.0.0.1"},
        {"127.0.0.1", 80, "127.0.0.1"},
        {"10.0.0.9", 1234, "10.0.0.1"},
        {"10.0.0.9", 1234, "10.9.9.9"},
        {"127.0.0.1", 91, "127.0.0.1"},
        {"0.0.0.0", 0, "0.0.0.0"},
        {"::1", 4001, "::1"},
        {"::1", 82, "::1"},
        {"2001:db8::9", 5, "2001:db8::1"},
        {"2001:db8::9", 5, "3000::1"},
    };
    for (const Flow& flow : flows) {
        for (const uint16_t port :
             std::initializer_list<uint16_t>{79, 80, 81, 82, 83, 84, 85, 90, 4000, 4001}) {
            look(flow, port, "xdp", UINT64_MAX, 0);
            look(flow, port, "tc", UINT64_MAX, 0);
        }
    }
    EXPECT_GT(found, 40u);
    for (const uint64_t netns : {0ull, 1ull, 0x7fffffffull, 0x80000000ull, 0xffffffffull, 1ull << 32}) {
        look(flows[0], 80, "xdp", netns, 0);
        look(flows[0], 80, "xdp", UINT64_MAX, netns);
    }
    set_args({UINT64_MAX, 0});
    run_both("xdp_other", packet_of(64));
    for (const uint16_t port : std::initializer_list<uint16_t>{80, 81, 4000}) {
        ByteVec key(64);
        const ByteVec here = bytes_of("127.0.0.1");
        std::copy(here.begin(), here.end(), key.begin());
        std::copy(here.begin(), here.end(), key.begin() + 4);
        mimicsh::store_be<uint16_t>(key.data() + 8, port == 4000 ? uint16_t{80} : uint16_t{4000});
        mimicsh::store_be<uint16_t>(key.data() + 10, port);
        set_value(*vm_, ".data.tuple", key);
        set_value(*kernel_, ".data.tuple", key);
        set_args({});
        run_both("derived", packet_of(64));
    }
}

// -- SYN cookies --

/// A TCP header of `size` bytes with these flags and options.
ByteVec tcp_header(uint32_t size, uint8_t flags, const ByteVec& options) {
    ByteVec bytes(64);
    mimicsh::store_be<uint16_t>(bytes.data(), 40000);
    mimicsh::store_be<uint16_t>(bytes.data() + 2, 80);
    mimicsh::store_be<uint32_t>(bytes.data() + 4, 0x12345678);
    bytes[12] = static_cast<uint8_t>(size / 4 << 4);
    bytes[13] = flags;
    std::copy(options.begin(), options.end(), bytes.begin() + 20);
    return bytes;
}

ByteVec ip_header(uint8_t version) {
    ByteVec bytes(64, 0x21);
    bytes[0] = static_cast<uint8_t>(version << 4 | 5);
    return bytes;
}

TEST_F(WorldParity, SynCookies) {
    if (IsSkipped()) {
        return;
    }
    const std::vector<ByteVec> options{
        {},
        {2, 4, 5, 0xb4},
        {1, 1, 2, 4, 2, 0x18, 0, 0},
        {2, 4, 5, 0x14},
        {2, 4, 0, 0},
        {2, 4, 0x23, 0x28, 2, 4, 5, 0xa0},
        {3, 3, 7, 1, 2, 4, 0xff, 0xff},
        {2, 3, 5, 0xb4},
        {9, 1, 2, 4, 5, 0xb4, 1, 1},
        {8, 60, 2, 4},
        {0, 2, 4, 5, 0xb4, 0, 0, 0},
    };
    const auto set_headers = [&](const ByteVec& ip, const ByteVec& tcp) {
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            set_value(*side, ".data.ip", ip);
            set_value(*side, ".data.tcp", tcp);
        }
    };
    std::vector<Fd> sockets;
    sockets.push_back(socket_of(SOCK_STREAM, {"127.0.0.1", 80, "", 0, false, "", 0}));
    sockets.push_back(socket_of(SOCK_STREAM, {"::", 82, "", 0, false, "", 0}));
    constexpr uint8_t kSyn = 2, kAck = 16;
    for (const int setting : {0, 1, 2}) {
        write_setting("ipv4/tcp_syncookies", std::to_string(setting));
        const std::string world =
            std::string(kWorld).substr(0, std::strlen(kWorld) - 1) + R"(, "tcp_syncookies": )" +
            std::to_string(setting) +
            R"(, "sockets": [{"proto": "tcp", "local": "127.0.0.1:80"}, {"proto": "tcp", "local": "[::]:82"}]})";
        open_world("parity/syncookie", world.c_str());
        ASSERT_TRUE(ready());
        for (const ByteVec& one : options) {
            const auto size = static_cast<uint32_t>(20 + one.size());
            for (const uint32_t given : {size, size + 4, 19u, 0u, 60u}) {
                SCOPED_TRACE(testing::Message() << "options " << to_hex(one) << ", size " << given);
                for (const char* program : {"raw_ipv4", "raw_ipv6"}) {
                    set_headers(ip_header(program[7] == '4' ? 4 : 6), tcp_header(size, kSyn, one));
                    set_args({given});
                    run_both(program, packet_of(64));
                }
                for (const uint16_t port : std::initializer_list<uint16_t>{80, 82}) {
                    for (const uint8_t version : std::initializer_list<uint8_t>{4, 6, 5}) {
                        for (const uint64_t ip_size : {20u, 40u, 19u}) {
                            SCOPED_TRACE(testing::Message()
                                         << "setting " << setting << ", port " << port << ", version "
                                         << unsigned{version} << ", IP header " << ip_size);
                            set_headers(ip_header(version), tcp_header(size, kSyn, one));
                            set_args({ip_size, given, htons(port), setting == 2 ? 1u : 0u});
                            run_both("listener", packet_of(64));
                        }
                    }
                }
            }
        }
        for (const uint8_t flags : std::initializer_list<uint8_t>{0, 1, kSyn, 3, 4, 6, kAck, 18, 20, 17}) {
            SCOPED_TRACE(testing::Message() << "setting " << setting << ", flags " << unsigned{flags});
            set_headers(ip_header(4), tcp_header(20, flags, {}));
            set_args({20, 20, htons(80), 0});
            run_both("listener", packet_of(64));
        }
    }
}

// -- The task --

TEST_F(WorldParity, Task) {
    if (IsSkipped()) {
        return;
    }
    struct stat ns {};
    ASSERT_EQ(stat("/proc/self/ns/pid", &ns), 0);
    struct stat root {};
    ASSERT_EQ(stat("/sys/fs/cgroup", &root), 0);
    char comm[16] = {};
    ASSERT_EQ(prctl(PR_GET_NAME, comm), 0);
    const auto pid = static_cast<uint64_t>(syscall(SYS_gettid));
    const auto tgid = static_cast<uint64_t>(getpid());
    const std::string ids = R"("pid": )" + std::to_string(pid) + R"(, "tgid": )" + std::to_string(tgid);
    // Nested pid namespaces have other numbers: then only what is asked there differs.
    const std::string world =
        R"({"numa_node": 0, "cgroup": {"id": 1, "ancestors": [1], "classid": 0}, "task": {)" + ids +
        R"(, "uid": 0, "gid": 0, "comm": ")" + comm + R"(", "ns": {"dev": )" + std::to_string(ns.st_dev) +
        R"(, "ino": )" + std::to_string(ns.st_ino) + ", " + ids + "}}}";
    open_world("parity/task", world.c_str());
    ASSERT_TRUE(ready());
    for (const uint64_t level : {0ull, 100ull, ~0ull}) {
        for (const uint64_t inode : {static_cast<uint64_t>(ns.st_ino), uint64_t{1}}) {
            set_args({level, static_cast<uint64_t>(ns.st_dev), inode});
            run_both("task", packet_of(64));
        }
    }
    for (const char* program : {"comm_1", "comm_4", "comm_16", "comm_40"}) {
        set_args({});
        run_both(program, packet_of(64));
    }
}

TEST_F(WorldParity, TaskStack) {
    constexpr uint64_t kUser = 1 << 8, kBuildId = 1 << 11, kLongest = 1016;
    open_world("parity/task", R"({"task": {"stack": []}})");
    ASSERT_TRUE(ready());
    // How deep the kernel's stack is below a test run.
    set_args({kLongest, 0});
    ASSERT_TRUE(kernel_->find_program("stack")->run(packet_of(64), {}));
    const uint64_t depth = result(0) / 8;
    ASSERT_GE(depth, 3u);
    ASSERT_LT(depth, 127u);
    std::string calls;
    for (uint64_t i = 0; i < depth; ++i) {
        calls += (calls.empty() ? "" : ", ") + std::to_string(0xffffffff81000000 + i);
    }
    open_world("parity/task",
               (R"({"task": {"stack": [)" + calls +
                R"(], "user_stack": [{"ip": 4198400, "build_id": "0102", "offset": 4096}, 2]}})")
                   .c_str());
    ASSERT_TRUE(ready());
    const auto run = [&](uint64_t size, uint64_t flags) {
        SCOPED_TRACE(testing::Message() << size << " bytes, flags " << flags);
        set_args({size, flags});
        run_both("stack", packet_of(64));
    };
    for (const uint64_t skip : {uint64_t{0}, uint64_t{1}, depth - 1, depth, depth + 1, uint64_t{255}}) {
        for (const uint64_t size :
             {uint64_t{0}, uint64_t{8}, uint64_t{9}, uint64_t{16}, 8 * depth, kLongest}) {
            run(size, skip);
        }
    }
    EXPECT_NE(result(0), 0u);
    for (const uint64_t flags : {kBuildId, uint64_t{1} << 9, uint64_t{1} << 10, uint64_t{1} << 12,
                                 uint64_t{1} << 32, kUser | uint64_t{1} << 63}) {
        run(64, flags);
    }
    // Of the user's stack only the first call is sure to be there.
    for (const uint64_t size : {0u, 7u, 8u}) {
        run(size, kUser);
    }
    for (const uint64_t size : {0u, 8u, 31u, 32u, 40u}) {
        run(size, kUser | kBuildId);
    }
    EXPECT_EQ(static_cast<int64_t>(result(0)), -EINVAL);
}

#ifdef __x86_64__
TEST_F(WorldParity, TaskRegisters) {
    constexpr int kTestRun = 10; // BPF_PROG_TEST_RUN
    open_world("parity/task", (R"({"task": {"regs": {"orig_ax": )" + std::to_string(SYS_bpf) + R"(, "di": )" +
                               std::to_string(kTestRun) + "}}}")
                                  .c_str());
    ASSERT_TRUE(ready());
    set_args({});
    run_both("registers", packet_of(64));
    EXPECT_EQ(result(0), static_cast<uint64_t>(SYS_bpf));
}
#endif

TEST_F(WorldParity, ProbeRead) {
    open_world("parity/task");
    ASSERT_TRUE(ready());
    for (uint64_t size = 0; size < 32; ++size) {
        for (const uint64_t text : {0ull, 0x4142434445464748ull, 0x41420044ull, ~0ull}) {
            set_args({size, text, text, text});
            run_both("probe", packet_of(64));
        }
        set_args({size});
        run_both("probe_null", packet_of(64));
        run_both("probe_user", packet_of(64));
    }
}

} // namespace

} // namespace mimicsh::test
