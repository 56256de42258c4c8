// SPDX-License-Identifier: MIT
// Conntrack entries that connections made: looked up in the kernel's table and in a scripted one that is read
// from it; and the life of entries.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

extern "C" {
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
}

#include <chrono>
#include <fstream>
#include <sstream>

#include "tests/kernel/sockets.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

/// Netlink messages back to back; attributes are nested by hand.
class NetlinkBatch {
  public:
    void begin(uint16_t type, uint16_t flags, uint8_t family, uint16_t resource = 0) {
        message_ = bytes_.size();
        bytes_.resize(bytes_.size() + NLMSG_HDRLEN);
        store(bytes_.data() + message_ + 4, type);
        store(bytes_.data() + message_ + 6, static_cast<uint16_t>(flags | NLM_F_REQUEST));
        bytes_.push_back(family);
        bytes_.push_back(NFNETLINK_V0);
        bytes_.push_back(static_cast<uint8_t>(resource >> 8));
        bytes_.push_back(static_cast<uint8_t>(resource));
    }
    void add(uint16_t type, ByteView value) {
        const size_t at = open(type);
        bytes_.insert(bytes_.end(), value.begin(), value.end());
        close(at);
    }
    void add(uint16_t type, const std::string& text) {
        add(type, ByteView(reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1));
    }
    void add(uint16_t type, uint32_t number) {
        uint8_t bytes[4];
        store_be(bytes, number);
        add(type, ByteView(bytes));
    }
    size_t open(uint16_t type) {
        const size_t at = bytes_.size();
        bytes_.resize(at + NLA_HDRLEN);
        store(bytes_.data() + at + 2, type);
        return at;
    }
    void close(size_t at) {
        store(bytes_.data() + at, static_cast<uint16_t>(bytes_.size() - at));
        bytes_.resize(NLMSG_ALIGN(bytes_.size()));
    }
    void end() { store(bytes_.data() + message_, static_cast<uint32_t>(bytes_.size() - message_)); }
    [[nodiscard]] const ByteVec& bytes() const { return bytes_; }

  private:
    ByteVec bytes_;
    size_t message_ = 0;
};

/// Makes the namespace track connections: a rule in a chain of no hook that asks for a packet's state. False
/// where the kernel has no nf_tables.
bool track_connections() {
    constexpr uint16_t kSubsystem = NFNL_SUBSYS_NFTABLES << 8;
    NetlinkBatch batch;
    batch.begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    batch.end();
    batch.begin(kSubsystem | NFT_MSG_NEWTABLE, NLM_F_CREATE, NFPROTO_INET);
    batch.add(NFTA_TABLE_NAME, "t");
    batch.end();
    batch.begin(kSubsystem | NFT_MSG_NEWCHAIN, NLM_F_CREATE, NFPROTO_INET);
    batch.add(NFTA_CHAIN_TABLE, "t");
    batch.add(NFTA_CHAIN_NAME, "c");
    batch.end();
    batch.begin(kSubsystem | NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, NFPROTO_INET);
    batch.add(NFTA_RULE_TABLE, "t");
    batch.add(NFTA_RULE_CHAIN, "c");
    const size_t list = batch.open(NFTA_RULE_EXPRESSIONS | NLA_F_NESTED);
    const size_t element = batch.open(NFTA_LIST_ELEM | NLA_F_NESTED);
    batch.add(NFTA_EXPR_NAME, "ct");
    const size_t data = batch.open(NFTA_EXPR_DATA | NLA_F_NESTED);
    batch.add(NFTA_CT_DREG, NFT_REG_1);
    batch.add(NFTA_CT_KEY, NFT_CT_STATE);
    batch.close(data);
    batch.close(element);
    batch.close(list);
    batch.end();
    batch.begin(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    batch.end();
    const Fd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    const ByteVec& bytes = batch.bytes();
    if (!netlink.valid() || send(netlink.get(), bytes.data(), bytes.size(), 0) < 0) {
        return false;
    }
    uint8_t answer[4096];
    const ssize_t size = recv(netlink.get(), answer, sizeof answer, 0);
    return size >= NLMSG_HDRLEN + 4 && mimicsh::load<uint16_t>(answer + 4) == NLMSG_ERROR &&
           mimicsh::load<int32_t>(answer + NLMSG_HDRLEN) == 0;
}

/// One line of /proc/net/nf_conntrack.
struct Tracked {
    std::string protocol, timeout;
    std::vector<std::string> sources, destinations, source_ports, destination_ports; ///< there and back
    bool replied = true, assured = false;
};

std::vector<Tracked> tracked_connections() {
    std::vector<Tracked> all;
    std::ifstream file("/proc/thread-self/net/nf_conntrack");
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        Tracked one;
        std::string word;
        words >> word >> word >> one.protocol >> word >> one.timeout;
        while (words >> word) {
            const auto value = [&](const char* key, std::vector<std::string>& into) {
                if (word.starts_with(key)) {
                    into.push_back(word.substr(std::string_view(key).size()));
                }
            };
            value("src=", one.sources);
            value("dst=", one.destinations);
            value("sport=", one.source_ports);
            value("dport=", one.destination_ports);
            one.replied = one.replied && word != "[UNREPLIED]";
            one.assured = one.assured || word == "[ASSURED]";
        }
        if ((one.protocol == "tcp" || one.protocol == "udp") && one.source_ports.size() == 2) {
            all.push_back(std::move(one));
        }
    }
    return all;
}

std::string endpoint(const std::string& address, const std::string& port) {
    return address.find(':') != std::string::npos ? "[" + address + "]:" + port : address + ":" + port;
}

std::string world_of(const std::vector<Tracked>& all) {
    std::string text = "\"conntrack\": [";
    for (const Tracked& one : all) {
        const int status = 8 | (one.replied ? 2 : 0) | (one.assured ? 4 : 0);
        text += std::string(text.back() == '[' ? "" : ",") + "{\"proto\": \"" + one.protocol +
                "\", \"source\": \"" + endpoint(one.sources[0], one.source_ports[0]) +
                "\", \"destination\": \"" + endpoint(one.destinations[0], one.destination_ports[0]) +
                "\", \"reply_source\": \"" + endpoint(one.sources[1], one.source_ports[1]) +
                "\", \"reply_destination\": \"" + endpoint(one.destinations[1], one.destination_ports[1]) +
                "\", \"status\": " + std::to_string(status) + ", \"timeout_ms\": " + one.timeout + "000}";
    }
    return text + "]";
}

ByteVec tuple_bytes(const std::string& source, const std::string& port, const std::string& destination,
                    const std::string& other_port) {
    ByteVec tuple(64);
    const ByteVec from = bytes_of(source);
    const ByteVec to = bytes_of(destination);
    std::copy(from.begin(), from.end(), tuple.begin());
    std::copy(to.begin(), to.end(), tuple.begin() + static_cast<ptrdiff_t>(from.size()));
    store_be(tuple.data() + 2 * from.size(), static_cast<uint16_t>(std::stoul(port)));
    store_be(tuple.data() + 2 * from.size() + 2, static_cast<uint16_t>(std::stoul(other_port)));
    return tuple;
}

SocketOptions between(const char* local, uint16_t port, const char* peer = "", uint16_t peer_port = 0) {
    SocketOptions options;
    options.local = local;
    options.port = port;
    options.peer = peer;
    options.peer_port = peer_port;
    return options;
}

class ConntrackParity : public WorldParity {
  protected:
    /// Looks up, and says whether something was found.
    uint64_t ask(const std::string& program, const ByteVec& tuple, uint8_t protocol,
                 const std::vector<uint64_t>& args) {
        ByteVec opts(16);
        store(opts.data(), int32_t{-1});
        opts[8] = protocol;
        opts[9] = 7;
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            set_value(*side, ".data.tuple", tuple);
            set_value(*side, ".data.options", opts);
        }
        set_args(args);
        run_both(program, packet_of(64));
        return result(0);
    }
};

constexpr uint64_t kMinute = 60'000;

TEST_F(ConntrackParity, EntriesOfConnections) {
    if (IsSkipped()) {
        return;
    }
    if (!track_connections()) {
        GTEST_SKIP() << "nf_tables cannot be told to track connections";
    }
    const Fd listener = socket_of(SOCK_STREAM, between("127.0.0.1", 8000));
    const Fd client = socket_of(SOCK_STREAM, between("127.0.0.1", 41000, "127.0.0.1", 8000));
    const Fd listener6 = socket_of(SOCK_STREAM, between("::1", 8001));
    const Fd client6 = socket_of(SOCK_STREAM, between("::1", 41001, "::1", 8001));
    const Fd first = socket_of(SOCK_DGRAM, between("127.0.0.1", 9000, "127.0.0.1", 9001));
    const Fd second = socket_of(SOCK_DGRAM, between("127.0.0.1", 9001, "127.0.0.1", 9000));
    const Fd alone = socket_of(SOCK_DGRAM, between("10.0.0.1", 9002, "10.0.0.2", 53));
    for (const Fd* sender : {&first, &second, &first, &alone}) {
        EXPECT_EQ(send(sender->get(), "x", 1, 0), 1);
    }
    const std::vector<Tracked> all = tracked_connections();
    EXPECT_GE(all.size(), 4u);
    size_t replied = 0, assured = 0;
    for (const Tracked& one : all) {
        replied += one.replied ? 1 : 0;
        assured += one.assured ? 1 : 0;
    }
    EXPECT_GE(assured, 2u);
    EXPECT_GT(replied, assured);
    EXPECT_LT(replied, all.size());
    open_world("parity/conntrack", world_with(world_of(all)).c_str());
    ASSERT_TRUE(ready());
    uint64_t found = 0;
    for (const Tracked& one : all) {
        const uint8_t protocol = one.protocol == "tcp" ? 6 : 17;
        const bool v6 = one.sources[0].find(':') != std::string::npos;
        for (const bool back : {false, true}) {
            const size_t at = back ? 1 : 0;
            const ByteVec tuple = tuple_bytes(one.sources[at], one.source_ports[at], one.destinations[at],
                                              one.destination_ports[at]);
            for (const char* program : v6 ? std::vector<const char*>{"look_tc_ip6"}
                                          : std::vector<const char*>{"look_xdp", "look_xdp_old", "look_tc"}) {
                // A change that takes something away is refused, which tells what is there.
                for (const uint64_t status : {0u, 8u, 10u, 12u, 14u}) {
                    SCOPED_TRACE(testing::Message()
                                 << program << " " << to_hex(tuple).substr(0, 72) << " protocol "
                                 << unsigned{protocol} << " status " << status);
                    found += ask(program, tuple, protocol, {status, kMinute});
                    EXPECT_EQ(ask(program, tuple, static_cast<uint8_t>(23 - protocol), {status, kMinute}),
                              0u);
                }
            }
        }
    }
    EXPECT_GE(found, all.size() * 2 * 5);
}

/// Entries go when their time is over, at the same time in jiffies on both sides.
TEST_F(ConntrackParity, EntriesExpire) {
    if (IsSkipped()) {
        return;
    }
    open_world("parity/conntrack", world_with(R"("conntrack": [])").c_str());
    ASSERT_TRUE(ready());
    constexpr uint64_t kTimeout = 400;
    const ByteVec tuple = tuple_bytes("10.0.0.5", "1000", "10.0.0.1", "80");
    const ByteVec other = tuple_bytes("10.0.0.5", "1001", "10.0.0.1", "80");
    const ByteVec lasting = tuple_bytes("10.0.0.5", "1002", "10.0.0.1", "80");
    const auto begin = std::chrono::steady_clock::now();
    const auto passed = [&] {
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin)
            .count();
    };
    EXPECT_EQ(ask("add_tc", tuple, 6, {0, kTimeout, 8}), 1u);
    EXPECT_EQ(ask("add_tc", other, 6, {0, 0, 8}), 1u); // over at once
    EXPECT_EQ(ask("add_tc", lasting, 6, {0, 0xffffffff, 8}), 1u);
    EXPECT_EQ(ask("look_tc", other, 6, {8, kMinute}), 0u);
    const auto found_in_kernel = [&] {
        set_value(*kernel_, ".data.tuple", tuple);
        EXPECT_TRUE(kernel_->find_program("only_look")->run(packet_of(64), {}));
        return result(0) != 0;
    };
    while (found_in_kernel() && passed() < 20'000) {
        (void)poll(nullptr, 0, 5);
    }
    EXPECT_GE(passed(), static_cast<int64_t>(kTimeout) - 8);
    EXPECT_LT(passed(), 10'000);
    const auto found_in_vm = [&] {
        set_value(*vm_, ".data.tuple", tuple);
        EXPECT_TRUE(vm_->find_program("only_look")->run(packet_of(64), {}));
        return number_at(value_of(*vm_, ".bss"), kIoArgs) != 0;
    };
    EXPECT_TRUE(found_in_vm());
    ASSERT_TRUE(vm_->advance((kTimeout - 4) * 1'000'000));
    EXPECT_TRUE(found_in_vm());
    ASSERT_TRUE(vm_->advance(4'000'000));
    EXPECT_FALSE(found_in_vm());
    // The place is free again, on both sides.
    EXPECT_EQ(ask("look_tc", tuple, 6, {8, kMinute}), 0u);
    EXPECT_EQ(ask("add_tc", tuple, 6, {0, kMinute, 8}), 1u);
    EXPECT_EQ(result(2), 1u);
    EXPECT_EQ(ask("look_tc", tuple, 6, {8, kMinute}), 1u);
    EXPECT_EQ(ask("look_tc", lasting, 6, {8, kMinute}), 1u);
}

} // namespace

} // namespace mimicsh::test
