// SPDX-License-Identifier: MIT
// Sockets of the kernel, in the network namespace of the thread.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"

namespace mimicsh::test {

struct SocketOptions {
    std::string local;
    uint16_t port = 0;
    std::string peer;
    uint16_t peer_port = 0;
    bool v6only = false;
    const char* device = "";
    int mark = 0;
};

/// A socket with addresses (type: SOCK_*); a TCP socket without a peer listens. Fails the test where that
/// fails.
[[nodiscard]] Fd socket_of(int type, const SocketOptions& options);

} // namespace mimicsh::test
