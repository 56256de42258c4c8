// SPDX-License-Identifier: MIT
// What helpers say of a buffer's route, socket and namespace: in test runs, and of packets that are really
// sent.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

extern "C" {
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
}

#include <cstdlib>
#include <cstring>

#include "kernel/program.h"
#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

constexpr uint64_t kRealm = 5, kUid = 4321;
constexpr uint32_t kMark = 0x7a11, kInterface = 10;

uint64_t cookie_of(const Fd& socket, int option) {
    uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    EXPECT_EQ(getsockopt(socket.get(), SOL_SOCKET, option, &cookie, &size), 0) << std::strerror(errno);
    return cookie;
}

/// The members of a world that answer for a buffer.
std::string answers(uint64_t realm, uint64_t cookie, uint64_t uid, uint64_t netns_cookie) {
    return R"("route_realm": )" + std::to_string(realm) + R"(, "netns_cookie": )" +
           std::to_string(netns_cookie) + R"(, "socket": {"cookie": )" + std::to_string(cookie) +
           R"(, "uid": )" + std::to_string(uid) + "}";
}

TEST_F(WorldParity, AnswersOfBuffers) {
    if (IsSkipped()) {
        return;
    }
    const Fd sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_TRUE(sender.valid());
    const uint64_t cookie = cookie_of(sender, SO_COOKIE);
    const uint64_t netns_cookie = cookie_of(sender, SO_NETNS_COOKIE);
    ASSERT_NE(cookie, 0u);

    // A test run makes a socket of its own, which belongs to root, and has no route.
    open_world("parity/answers", world_with(answers(0, cookie, 0, netns_cookie)).c_str());
    ASSERT_TRUE(ready());
    for (const char* program : {"of_filter", "of_cgroup", "of_classifier", "of_route"}) {
        SCOPED_TRACE(program);
        set_args({});
        run_both(program, packet_of(64));
        const bool has_socket = std::strcmp(program, "of_route") != 0;
        EXPECT_EQ(result(1), has_socket ? 1u : 0u);
        EXPECT_EQ(result(3), has_socket ? netns_cookie : 0u);
    }

    // A packet of a socket that is somebody's, through a route with a realm.
    open_world("parity/answers", world_with(answers(kRealm, cookie, kUid, netns_cookie)).c_str());
    ASSERT_TRUE(ready());
    ASSERT_EQ(std::system("ip route add 10.50.0.0/16 via 10.0.0.2 dev v0 realm 5"), 0);
    ASSERT_EQ(fchown(sender.get(), kUid, static_cast<gid_t>(-1)), 0) << std::strerror(errno);
    ASSERT_EQ(setsockopt(sender.get(), SOL_SOCKET, SO_MARK, &kMark, sizeof kMark), 0);
    set_args({kMark});
    const int program = static_cast<kernel::KernelProgram&>(*kernel_->find_program("of_sent")).fd();
    const Fd link(bpf_link_create(program, kInterface,
                                  static_cast<bpf_attach_type>(abi::AttachType::TcxEgress), nullptr));
    ASSERT_TRUE(link.valid()) << std::strerror(errno);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    to.sin_addr.s_addr = htonl(0x0a320001);
    ASSERT_EQ(sendto(sender.get(), "x", 1, 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 1)
        << std::strerror(errno);
    RunOptions options;
    options.context.resize(192);
    store(options.context.data() + 8, kMark); // struct __sk_buff, mark
    const auto run = vm_->find_program("of_sent")->run(packet_of(64), options);
    ASSERT_TRUE(run) << run.error().message();
    EXPECT_FALSE(run->fault) << run->fault->report;
    expect_same_maps();
    EXPECT_EQ(result(0), cookie);
    EXPECT_EQ(result(1), kUid);
    EXPECT_EQ(result(2), netns_cookie);
    EXPECT_EQ(result(3), kRealm);
    EXPECT_EQ(result(4), 1u);
}

} // namespace

} // namespace mimicsh::test
