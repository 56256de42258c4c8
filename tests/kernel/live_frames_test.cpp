// SPDX-License-Identifier: MIT
// Programs of device and CPU maps on packets that the kernel really sends there (BPF_F_TEST_XDP_LIVE_FRAMES,
// net/bpf/test_run.c), inside a network namespace of the test's own: what they count, and what arrives.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_packet.h>
}

#include <chrono>
#include <map>

#include "base/cpus.h"
#include "kernel/program.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

constexpr uint16_t kProtocol = 0x88b5; ///< of local experiments: nobody else sends it
constexpr uint32_t kSender = 10, kReceiver = 11, kOtherSender = 13, kOtherReceiver = 12, kLoopback = 1;
const std::string kMarker(16, 'e'); ///< in the bytes of the packet that ends a series, as text

struct Sent {
    ByteVec packet;
    int times = 1;
};

class LiveFrames : public WorldParity {
  protected:
    void SetUp() override {
        WorldParity::SetUp();
        if (IsSkipped()) {
            return;
        }
        ASSERT_TRUE(cpu_.pinned());
        open_world("parity/live");
        ASSERT_TRUE(ready());
        // A veth takes frames when its peer polls, which a program there makes it do.
        for (const uint32_t interface : {kReceiver, kSender, kOtherReceiver}) {
            xdp_links_.emplace_back(
                bpf_link_create(fd_of("pass"), static_cast<int>(interface), BPF_XDP, nullptr));
            ASSERT_TRUE(xdp_links_.back().valid()) << std::strerror(errno);
        }
    }
    void TearDown() override {
        xdp_links_.clear();
        WorldParity::TearDown();
    }
    int fd_of(const std::string& program) {
        return static_cast<kernel::KernelProgram&>(*kernel_->find_program(program)).fd();
    }

    /// What arrives at an interface until the marker comes.
    class Arrivals {
      public:
        explicit Arrivals(uint32_t interface) : fd_(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)) {
            const int room = 32 << 20;
            EXPECT_EQ(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room), 0);
            sockaddr_ll at{};
            at.sll_family = AF_PACKET;
            at.sll_protocol = htons(kProtocol);
            at.sll_ifindex = static_cast<int>(interface);
            EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
        }
        std::vector<std::string> until_marker() {
            std::vector<std::string> all;
            const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
            while (std::chrono::steady_clock::now() < deadline) {
                pollfd waits{fd_.get(), POLLIN, 0};
                (void)poll(&waits, 1, 100);
                ByteVec bytes(8192);
                const ssize_t size = recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
                if (size > 0) {
                    bytes.resize(static_cast<size_t>(size));
                    all.push_back(to_hex(bytes));
                    if (all.back().find(kMarker) != std::string::npos) {
                        return all;
                    }
                }
            }
            ADD_FAILURE() << "the last packet did not arrive; " << all.size() << " did";
            return all;
        }

      private:
        Fd fd_;
    };

    /// One packet, whose byte behind the Ethernet header asks a second program for an action.
    static ByteVec packet_for(uint8_t action, size_t size, bool is_last = false) {
        ByteVec packet(size);
        for (size_t i = 0; i < size; ++i) {
            packet[i] = static_cast<uint8_t>(i * 3 + action);
        }
        store_be(packet.data() + 12, kProtocol);
        packet[14] = action;
        std::fill_n(packet.begin() + 30, kMarker.size() / 2, is_last ? 0xee : 0x11);
        return packet;
    }
    /// Packets of several lengths and for each action, the last one to pass.
    static std::vector<Sent> series() {
        std::vector<Sent> all;
        for (const size_t size : {64u, 65u, 200u, 1400u}) {
            for (const uint8_t action : std::initializer_list<uint8_t>{2, 1, 0, 3, 5, 2}) {
                all.push_back({packet_for(action, size)});
            }
        }
        all.push_back({packet_for(2, 100, true)});
        return all;
    }

    void put(const std::string& map, uint32_t key, uint32_t target, const std::string& program) {
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            ByteVec place(4);
            store(place.data(), key);
            const Status done =
                side->find_map(map)->put_target(place, target, *side->find_program(program), 0);
            ASSERT_TRUE(done) << done.error().message();
        }
    }

    void forget_counts() {
        for (Instance* side : {vm_.get(), kernel_.get()}) {
            Map& map = *side->find_map("counted");
            for (const uint8_t key : std::initializer_list<uint8_t>{0, 1}) {
                ASSERT_TRUE(map.update(ByteVec{key, 0, 0, 0}, ByteVec(host_value_size(map.info())), 0));
            }
        }
    }

    /// The maps, without those whose entries have numbers of programs on the kernel.
    void expect_same_counts() {
        EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), to_hex(value_of(*kernel_, ".bss")));
        for (const uint8_t key : std::initializer_list<uint8_t>{0, 1}) {
            std::string values[2];
            Instance* sides[] = {vm_.get(), kernel_.get()};
            for (size_t i = 0; i < 2; ++i) {
                Map& map = *sides[i]->find_map("counted");
                ByteVec value(host_value_size(map.info()));
                EXPECT_TRUE(map.lookup(ByteVec{key, 0, 0, 0}, value));
                values[i] = to_hex(value);
            }
            EXPECT_EQ(values[0], values[1]) << "counts at " << unsigned{key};
        }
    }

    void send_live(const std::string& program, const Sent& sent, uint32_t ingress = 0) {
        LIBBPF_OPTS(bpf_test_run_opts, opts);
        abi::XdpMd context;
        context.data_end = static_cast<uint32_t>(sent.packet.size());
        context.ingress_ifindex = ingress;
        if (ingress != 0) {
            opts.ctx_in = &context;
            opts.ctx_size_in = sizeof context;
        }
        opts.data_in = sent.packet.data();
        opts.data_size_in = static_cast<uint32_t>(sent.packet.size());
        opts.repeat = sent.times;
        opts.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
        ASSERT_EQ(bpf_prog_test_run_opts(fd_of(program), &opts), 0) << std::strerror(errno);
    }

    /// Sends on both sides: what arrives is what single runs on the vm let pass, and the maps are as after
    /// the vm's replay. `moves`: what the first program does to head, tail and metadata.
    void compare(const std::string& map, uint32_t key, uint32_t at, const std::vector<uint64_t>& moves,
                 const std::vector<Sent>& all) {
        const std::vector<uint64_t> args{key, moves[0], moves[1], moves[2]};
        forget_counts();
        set_args(args);
        Arrivals arrivals(at);
        std::vector<BatchItem> items;
        for (const Sent& sent : all) {
            send_live("to_" + map, sent);
            BatchItem item;
            item.in = sent.packet;
            items.insert(items.end(), static_cast<size_t>(sent.times), item);
        }
        const std::vector<std::string> got = arrivals.until_marker();
        Program& on_vm = *vm_->find_program("to_" + map);
        const auto done = on_vm.run_batch(items, {});
        ASSERT_TRUE(done && *done == items.size());
        expect_same_counts();
        std::vector<std::string> expected;
        size_t item = 0;
        for (const Sent& sent : all) {
            auto result = on_vm.run(sent.packet, {});
            ASSERT_TRUE(result && !result->fault && result->redirect && result->redirect->second);
            const SecondRun& second = *result->redirect->second;
            for (int i = 0; i < sent.times; ++i, ++item) {
                EXPECT_EQ(items[item].second, second.ret) << item;
                if (second.ret == kPass) {
                    expected.push_back(to_hex(second.packet));
                }
            }
        }
        EXPECT_EQ(got, expected);
    }

    /// Every second program of a kind in an entry of the map.
    void compare_programs(const std::string& map, const std::vector<std::string>& programs, uint32_t key,
                          uint32_t target, uint32_t at) {
        const std::vector<std::vector<uint64_t>> kMoves{{0, 0, 0}, {0, 16, 0}, {0, 0, 8}, {0, 3, 32}};
        for (const std::string& program : programs) {
            put(map, key, target, program);
            for (const std::vector<uint64_t>& moves : kMoves) {
                SCOPED_TRACE(testing::Message() << program << " in " << map << ", tail moved by " << moves[1]
                                                << ", metadata " << moves[2]);
                compare(map, key, at, moves, series());
            }
        }
    }

    /// What the vm lists as leaving by interfaces arrives at their other ends, in order; maps as after runs
    /// on the vm, and after its replay.
    void compare_egress(const std::string& program, const std::vector<uint64_t>& args, uint32_t ingress,
                        const std::vector<ByteVec>& packets) {
        SCOPED_TRACE(testing::Message() << program << " with " << args[0] << ", from " << ingress);
        const std::vector<uint32_t> ends{kSender, kReceiver, kOtherReceiver};
        std::vector<Arrivals> arrivals;
        arrivals.reserve(ends.size());
        for (const uint32_t end : ends) {
            arrivals.emplace_back(end);
        }
        forget_counts();
        set_args(args);
        std::map<uint32_t, std::vector<std::string>> expected;
        std::vector<BatchItem> items;
        RunOptions options;
        abi::XdpMd context;
        context.ingress_ifindex = ingress;
        options.context.resize(sizeof context);
        for (const ByteVec& packet : packets) {
            send_live(program, {packet}, ingress);
            context.data_end = static_cast<uint32_t>(packet.size());
            std::memcpy(options.context.data(), &context, sizeof context);
            const auto result = vm_->find_program(program)->run(packet, options);
            ASSERT_TRUE(result && !result->fault);
            for (const Emitted& one : result->egress) {
                if (one.interface != 0) {
                    EXPECT_EQ(one.name, "v" + std::to_string(one.interface - kSender));
                }
                if (one.interface != 0 && one.dropped.empty()) {
                    expected[one.interface ^ 1].push_back(to_hex(one.packet));
                }
            }
            items.emplace_back().in = packet;
        }
        // Where none of them is the last, that goes by itself.
        const ByteVec last = packet_for(2, 100, true);
        for (const uint32_t sender : {kSender, kReceiver, kOtherSender}) {
            std::vector<std::string>& there = expected[sender ^ 1];
            if (there.empty() || there.back().find(kMarker) == std::string::npos) {
                send_to(sender, last);
                there.push_back(to_hex(last));
            }
        }
        for (size_t i = 0; i < ends.size(); ++i) {
            EXPECT_EQ(arrivals[i].until_marker(), expected[ends[i]]) << "at " << ends[i];
        }
        expect_same_counts();
        if (ingress != 0) {
            return; // a replay has the loopback device's
        }
        const std::string after = to_hex(value_of(*vm_, ".bss"));
        set_args(args);
        const auto done = vm_->find_program(program)->run_batch(items, {});
        ASSERT_TRUE(done && *done == items.size());
        EXPECT_EQ(to_hex(value_of(*vm_, ".bss")), after);
    }

    /// A frame from user space.
    static void send_to(uint32_t interface, const ByteVec& frame) {
        const Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_ifindex = static_cast<int>(interface);
        EXPECT_EQ(
            sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
            static_cast<ssize_t>(frame.size()));
    }

    static constexpr uint32_t kPass = 2;
    OnFirstCpu cpu_;
    std::vector<Fd> xdp_links_;
};

TEST_F(LiveFrames, ProgramsOfDeviceMaps) {
    if (IsSkipped()) {
        return;
    }
    for (const std::string map : {"dev", "dev_hash"}) {
        compare_programs(map, {"devmap_second", "devmap_egress", "devmap_wrap", "devmap_stretch"}, 2, kSender,
                         kReceiver);
        // The first program takes the Ethernet header away, the second puts another in front.
        put(map, 1, kSender, "devmap_wrap");
        compare(map, 1, kReceiver, {14, 0, 0}, series());
    }
}

TEST_F(LiveFrames, ProgramsOfCpuMaps) {
    if (IsSkipped()) {
        return;
    }
    for (uint32_t cpu = 0; cpu < std::min(possible_cpus(), 2u); ++cpu) {
        compare_programs("cpu", {"cpumap_second", "cpumap_wrap", "cpumap_stretch"}, cpu, 4096, kLoopback);
        put("cpu", cpu, 4096, "cpumap_wrap");
        compare("cpu", cpu, kLoopback, {14, 0, 0}, series());
    }
}

/// Each target of a broadcast gets the packet as it was, and its program says whether it leaves.
TEST_F(LiveFrames, Broadcasts) {
    if (IsSkipped()) {
        return;
    }
    constexpr uint64_t kBroadcast = 8, kExcludeIngress = 16;
    const std::vector<ByteVec> packets{packet_for(2, 64),       packet_for(1, 64),
                                       packet_for(3, 70),       packet_for(2, 900),
                                       packet_for(kSender, 80), packet_for(kOtherSender, 90)};
    for (const std::string map : {"dev", "dev_hash"}) {
        put(map, 1, kSender, "devmap_turn");
        put(map, 2, kOtherSender, "devmap_turn");
        compare_egress("over_" + map, {kBroadcast}, 0, packets);
        put(map, 0, kReceiver, "devmap_turn");
        for (const uint32_t ingress : {0u, kSender, kReceiver}) {
            compare_egress("over_" + map, {kBroadcast}, ingress, packets);
            compare_egress("over_" + map, {kBroadcast | kExcludeIngress}, ingress, packets);
        }
    }
}

/// Interfaces, the one that a packet came in on, entries without a program, and where a CPU's program sends
/// to.
TEST_F(LiveFrames, EgressIsWhatArrives) {
    if (IsSkipped()) {
        return;
    }
    const std::vector<ByteVec> packets{packet_for(2, 64), packet_for(1, 700), packet_for(2, 1514)};
    for (const uint64_t interface : {uint64_t{kSender}, uint64_t{kReceiver}, uint64_t{kOtherSender}}) {
        compare_egress("to_interface", {interface}, 0, packets);
    }
    compare_egress("bounce", {0}, kReceiver, packets);
    compare_egress("bounce", {0}, kSender, packets);
    compare_egress("to_interface", {kReceiver}, 0,
                   {packet_for(2, 1518), packet_for(2, 1519), packet_for(2, 64)});
    put("cpu", 0, 4096, "cpumap_onward");
    put("dev", 3, kSender, "devmap_turn");
    // What a CPU sends on comes later: the last packet goes the same way.
    compare_egress(
        "to_cpu", {0, 0, 0, 0, 0, 3}, 0,
        {packet_for(2, 64), packet_for(1, 64), packet_for(kSender, 300), packet_for(2, 100, true)});
}

/// Frames of one run share pages, which keep what programs wrote to them: these programs write the same
/// again.
TEST_F(LiveFrames, ManyFramesOfOneRun) {
    if (IsSkipped()) {
        return;
    }
    const std::vector<Sent> all{
        {packet_for(2, 90), 150}, {packet_for(1, 64), 200}, {packet_for(2, 100, true)}};
    put("dev", 0, kSender, "devmap_egress");
    compare("dev", 0, kReceiver, {0, 0, 0}, all);
    put("cpu", 0, 4096, "cpumap_second");
    compare("cpu", 0, kLoopback, {0, 0, 0}, all);
}

} // namespace

} // namespace mimicsh::test
