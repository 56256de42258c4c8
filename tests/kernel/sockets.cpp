// SPDX-License-Identifier: MIT
// Opening sockets with addresses.
#include "tests/kernel/sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "tests/kernel/world_parity.h"

namespace mimicsh::test {

namespace {

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

Address address_of(const std::string& text, uint16_t port) {
    const ByteVec bytes = bytes_of(text);
    Address address;
    if (bytes.size() == 4) {
        auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        std::memcpy(&in->sin_addr, bytes.data(), bytes.size());
        address.size = sizeof *in;
    } else {
        auto* in = reinterpret_cast<sockaddr_in6*>(&address.storage);
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(port);
        std::memcpy(&in->sin6_addr, bytes.data(), bytes.size());
        address.size = sizeof *in;
    }
    return address;
}

} // namespace

Fd socket_of(int type, const SocketOptions& options) {
    const Address local = address_of(options.local, options.port);
    Fd fd(::socket(local.storage.ss_family, type | SOCK_CLOEXEC, 0));
    EXPECT_TRUE(fd.valid());
    const int on = 1;
    const int only = options.v6only ? 1 : 0;
    EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    if (local.storage.ss_family == AF_INET6) {
        EXPECT_EQ(setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only), 0);
    }
    if (options.device[0] != 0) {
        EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, options.device,
                             static_cast<socklen_t>(std::strlen(options.device))),
                  0);
    }
    if (options.mark != 0) {
        EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &options.mark, sizeof options.mark), 0);
        EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_PRIORITY, &options.mark, sizeof options.mark), 0);
    }
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&local.storage), local.size), 0)
        << options.local;
    if (!options.peer.empty()) {
        const Address peer = address_of(options.peer, options.peer_port);
        EXPECT_EQ(connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer.storage), peer.size), 0);
    } else if (type == SOCK_STREAM) {
        EXPECT_EQ(listen(fd.get(), 8), 0);
    }
    return fd;
}

} // namespace mimicsh::test
