// SPDX-License-Identifier: MIT
// Socket filters on a packet socket, which begin at the link-layer header, beside the emulator's runs that
// do.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

#include "kernel/program.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

constexpr uint32_t kSender = 10, kReceiver = 11;

class PacketSockets : public WorldParity {
  protected:
    void SetUp() override {
        WorldParity::SetUp();
        if (!IsSkipped()) {
            open_world("parity/layers");
            ASSERT_TRUE(ready());
        }
    }
    static Fd packet_socket(uint32_t interface, uint16_t protocol) {
        Fd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
        sockaddr_ll at{};
        at.sll_family = AF_PACKET;
        at.sll_protocol = htons(protocol);
        at.sll_ifindex = static_cast<int>(interface);
        EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
        return fd;
    }
    static ssize_t send(const Fd& from, const ByteVec& frame) {
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_ifindex = static_cast<int>(kSender);
        return sendto(from.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
    }
    /// What the filter lets through of a frame; nothing when it takes none of it.
    static ByteVec received(const Fd& fd, int milliseconds) {
        pollfd waits{fd.get(), POLLIN, 0};
        if (poll(&waits, 1, milliseconds) != 1) {
            return {};
        }
        ByteVec bytes(4096);
        const ssize_t size = recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        bytes.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
        return bytes;
    }
};

TEST_F(PacketSockets, FiltersBeginAtTheLinkLayer) {
    if (IsSkipped()) {
        return;
    }
    constexpr int kDeadline = 60'000;
    const Fd from = packet_socket(kSender, 0);
    RunOptions options;
    options.link_layer = true;
    for (const uint16_t protocol : std::initializer_list<uint16_t>{0x0800, 0x86dd, 0x88b5}) {
        const Fd to = packet_socket(kReceiver, protocol);
        const int filter = static_cast<kernel::KernelProgram&>(*kernel_->find_program("layers")).fd();
        ASSERT_EQ(setsockopt(to.get(), SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof filter), 0);
        for (const size_t size : {60u, 64u, 333u, 1514u}) {
            ByteVec packet = packet_of(size);
            packet[0] = 2; // not a group's address
            store_be(packet.data() + 12, protocol);
            for (const uint64_t taken : {uint64_t{UINT32_MAX}, uint64_t{40}, uint64_t{1}}) {
                SCOPED_TRACE(testing::Message() << std::hex << protocol << std::dec << ", " << size
                                                << " bytes, " << taken << " taken");
                set_args({taken, mimicsh::load<uint64_t>(packet.data())});
                ASSERT_EQ(send(from, packet), static_cast<ssize_t>(size));
                const ByteVec got = received(to, kDeadline);
                const auto result = vm_->find_program("layers")->run(packet, options);
                ASSERT_TRUE(result && !result->fault);
                EXPECT_EQ(to_hex(got), to_hex(ByteView(packet).first(std::min<size_t>(result->ret, size))));
                EXPECT_EQ(to_hex(result->packet), to_hex(packet));
                expect_same_maps();
                // Without the option it is a test run's view.
                run_both("layers", packet);
            }
        }
    }
}

} // namespace

} // namespace mimicsh::test
